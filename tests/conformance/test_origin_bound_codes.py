"""The last line of an SMS against the WICG format of origin-bound one-time codes.

The parser below is written from the specification's steps ("parse an origin-bound one-time code message") and first
held against its own examples; then it reads what we send.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sca_service.delivery.render import message_text
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.load import load
from sca_service.policy.model import Autofill, Channel, Purpose

POLICIES = Path(__file__).resolve().parents[2] / "policies"
CODE = "693554"
_TOKEN = r"[^\t\n\f\r ]+"  # not ASCII whitespace
_LINE = re.compile(rf"@(?P<host>{_TOKEN}) #(?P<code>{_TOKEN})(?: [@%](?P<embedded>{_TOKEN}))?(?= |$)")


def parsed(message: str) -> tuple[str, str, str | None] | None:
    """Host, code and embedded host of the last line, or None. The sigil `@` is that of the older examples."""
    last = message.replace("\r\n", "\n").replace("\r", "\n").split("\n")[-1]
    match = _LINE.match(last)
    return (match["host"], match["code"], match["embedded"]) if match else None


def test_the_parser_reads_the_examples_of_the_specification(shared: Path) -> None:
    """So that it may judge our own texts."""
    vectors = json.loads((shared / "vectors/sms/origin_bound_otc_vectors.json").read_text("utf-8"))["vectors"]
    assert len(vectors) == 6
    for vector in vectors:
        assert parsed(vector["message"]) == expected(vector), vector["message"]


def expected(vector: dict[str, Any]) -> tuple[str, str, str | None] | None:
    """What a vector says should come out."""
    return (vector["top_level"], vector["code"], vector["embedded"]) if vector["ok"] else None


@pytest.mark.parametrize("locale", ["en", "de", "it", "hi"])
@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("android_hash", ["", "FA+9qCX9VSu"])
@pytest.mark.parametrize("payee", ["ACME GmbH", "@evil.example #111111"])
def test_our_texts_bind_the_code_to_the_bank(
    locale: str, purpose: Purpose, android_hash: str, payee: str
) -> None:
    """In every language, with and without an app's hash, whatever the payee is called."""
    texts = replace(load(POLICIES).texts, autofill=Autofill(domain="bank.example", android_hash=android_hash))
    transaction = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee(payee))
    text = message_text(
        texts,
        purpose=purpose,
        channel=Channel.SMS,
        locale=locale,
        transaction=transaction if purpose is Purpose.PAYMENT else None,
        code=Secret(CODE),
        lifetime_minutes=5,
    )
    assert parsed(text.reveal()) == ("bank.example", CODE, None)
