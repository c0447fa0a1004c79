"""The document is no narrower than what is refused: each text that it does not allow is refused by the parsers."""

from typing import Any

import msgspec
import pytest

from sca_service.api.forms import AnswerForm, CreateChallenge
from sca_service.api.requests import answer_of, order_of
from sca_service.kernel.errors import InvalidInput

_PAYMENT: dict[str, Any] = {
    "psu": {"id": "p"},
    "purpose": "payment",
    "transaction": {"amount": {"currency": "EUR", "amount": "1.00"}, "payee": {"name": "ACME"}},
}
_SHORTEST = [
    (("reference",), 1),
    (("transaction", "reference"), 1),
    (("transaction", "payee", "name"), 1),
    (("transaction", "amount", "currency"), 3),
    (("transaction", "amount", "amount"), 1),
    (("transaction", "payee", "account", "iban"), 5),
    (("transaction", "payee", "account", "bban"), 1),
    (("psu", "phone"), 3),
    (("psu", "locale"), 2),
    (("instrument", "name"), 1),
    (("instrument", "icon"), 8),
    (("signals", "ip"), 2),
    (("signals", "device_id"), 1),
    (("signals", "user_agent"), 1),
    (("signals", "session_id"), 1),
    (("signals", "card_ref"), 1),
]
_SHORTER = ("", "0", "d", "E", "+4", "EU", "DE89", "::"[:1], "1234", "http://", "https://")


@pytest.mark.parametrize(
    ("place", "least"), _SHORTEST, ids=lambda one: "/".join(one) if isinstance(one, tuple) else ""
)
def test_a_text_that_is_too_short_for_the_document_is_refused(place: tuple[str, ...], least: int) -> None:
    """At its member, as everything is that parsers refuse."""
    for text in [one for one in _SHORTER if len(one) < least]:
        body = msgspec.json.decode(msgspec.json.encode(_PAYMENT | {"method": "passkey"}))
        inner = body
        for member in place[:-1]:
            inner = inner.setdefault(member, {})
        if place[0] == "instrument":
            inner |= {"name": "Current account", "icon": "https://bank.example/icon.png"}
        inner[place[-1]] = text
        with pytest.raises(InvalidInput) as found:
            order_of(msgspec.convert(body, CreateChallenge))
        assert any(one.pointer.startswith(f"/{place[0]}") for one in found.value.mistakes), text


@pytest.mark.parametrize("code", ["", "1", "123"])
def test_a_code_has_four_characters_at_least(code: str) -> None:
    """Whatever the challenge."""
    with pytest.raises(InvalidInput):
        answer_of(AnswerForm(code=code), key="")
