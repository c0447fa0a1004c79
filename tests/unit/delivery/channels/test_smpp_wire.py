"""SMPP: a text's parts, addresses, times and India's parameters as they are written."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.delivery.channels.kinds import check
from sca_service.delivery.channels.sms.smpp.settings import LongTexts, Settings
from sca_service.delivery.channels.sms.smpp.wire import (
    GSM_DEFAULT,
    MOST_PARTS,
    UCS2,
    Address,
    destination_of,
    dlt_parameters,
    number_of,
    parts_of,
    source_of,
    text_of,
    validity_period,
)
from sca_service.delivery.gsm import segments
from sca_service.kernel.errors import ConfigurationError
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SenderKind, SenderRule, SupplierRule
from tests.smpp_setup import sms

DLT = SenderRule(
    "IN", Channel.SMS, "MYBANK", SenderKind.DLT, entity="1101", templates={Occasion.PAYMENT: "1107"}
)


def settings(**options: Any) -> Settings:
    """Options as a policy may have them."""
    return Settings(host="smsc.example", port=2775, system_id="bank", **options)


def in_parts(text: str, long_texts: LongTexts = LongTexts.UDH) -> list[tuple[bytes, int, bool, bool]]:
    """A text's parts, to be compared."""
    parts = parts_of(text, long_texts=long_texts, reference=0xAB)
    return [(part.body, part.coding, part.has_header, part.in_payload) for part in parts]


def test_a_short_text_in_the_gsm_alphabet() -> None:
    """One byte a septet, an escape before what is in the extension table."""
    assert in_parts("@ä€") == [(b"\x00\x7b\x1b\x65", GSM_DEFAULT, False, False)]
    assert in_parts("x" * 160) == [(b"x" * 160, GSM_DEFAULT, False, False)]


def test_any_other_text_in_ucs2() -> None:
    """One character outside the alphabet is enough."""
    assert in_parts("漢") == [(b"\x6f\x22", UCS2, False, False)]
    assert len(in_parts("漢" * 70)) == 1


def test_the_header_of_parts() -> None:
    """Concatenation with a reference of eight bits (3GPP TS 23.040, 9.2.3.24.1)."""
    first, second = in_parts("x" * 161)
    assert first == (b"\x05\x00\x03\xab\x02\x01" + b"x" * 153, GSM_DEFAULT, True, False)
    assert second == (b"\x05\x00\x03\xab\x02\x02" + b"x" * 8, GSM_DEFAULT, True, False)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("x" * 152 + "€" * 10, 152),  # the escape and its character
        ("漢" * 66 + "😀" * 5, 66),  # two surrogates
    ],
)
def test_pairs_stay_together(text: str, cut: int) -> None:
    """At the end of a part they go to the next one."""
    first = parts_of(text, long_texts=LongTexts.UDH, reference=0)[0]
    assert text_of(first.body, coding=first.coding, has_header=True) == text[:cut]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400) | st.text("€x[", max_size=400))
def test_parts_come_together_again(text: str) -> None:
    """Each part fits into a message and is a text by itself; together they are the text."""
    parts = parts_of(text, long_texts=LongTexts.UDH, reference=7)
    assert len(parts) == segments(text)
    assert all(len(part.body) <= (160 if part.coding == GSM_DEFAULT else 140) for part in parts)
    read = [text_of(part.body, coding=part.coding, has_header=part.has_header) for part in parts]
    assert "".join(read) == text


def test_a_long_text_in_one_parameter() -> None:
    """Where the SMS centre cuts it."""
    assert in_parts("x" * 161, LongTexts.PAYLOAD) == [(b"x" * 161, GSM_DEFAULT, False, True)]
    assert in_parts("x" * 160, LongTexts.PAYLOAD) == [(b"x" * 160, GSM_DEFAULT, False, False)]


@pytest.mark.parametrize("long_texts", list(LongTexts))
def test_a_text_without_end(long_texts: LongTexts) -> None:
    """Is refused: no code needs so many parts."""
    assert parts_of("x" * 153 * MOST_PARTS, long_texts=long_texts, reference=0)
    with pytest.raises(ValueError, match="too long"):
        parts_of("x" * (153 * MOST_PARTS + 1), long_texts=long_texts, reference=0)


def test_nothing_of_a_text_is_seen_in_passing() -> None:
    """The `repr` of a part says how long it is."""
    assert repr(parts_of("123456", long_texts=LongTexts.UDH, reference=0)[0]) == "Part(6 bytes)"


@pytest.mark.parametrize(
    ("kind", "sender", "expected"),
    [
        (SenderKind.ALPHANUMERIC, "MyBank", Address("MyBank", 5, 0)),
        (SenderKind.ALPHANUMERIC, "12345", Address("12345", 5, 0)),
        (SenderKind.DLT, "MYBANK", Address("MYBANK", 5, 0)),
        (SenderKind.DLT, "650001", Address("650001", 6, 0)),
        (SenderKind.SHORT_CODE, "72255", Address("72255", 6, 0)),
        (SenderKind.LONG_NUMBER, "+12065550100", Address("12065550100", 1, 1)),
        (SenderKind.TEN_DLC, "12065550100", Address("12065550100", 1, 1)),
    ],
)
def test_senders(kind: SenderKind, sender: str, expected: Address) -> None:
    """By kind; a short code as the contract has it."""
    rule = SenderRule("*", Channel.SMS, sender, kind)
    assert source_of(rule, settings(short_code_ton=6)) == expected


def test_no_sender() -> None:
    """Leaves it to the SMS centre."""
    assert source_of(None, settings()) == Address("", 0, 0)


def test_destinations() -> None:
    """International numbers without their plus."""
    assert destination_of("+4915112345678") == Address("4915112345678", 1, 1)


@pytest.mark.parametrize("written", ["4915112345678", "+4915112345678", "004915112345678", " 4915112345678 "])
def test_numbers_that_come_in(written: str) -> None:
    """As E.164, however the SMS centre writes them."""
    assert number_of(written) == "+4915112345678"


def test_india() -> None:
    """Entity and template under the tags that are configured, with a zero at their end where that is asked for."""
    assert dlt_parameters(sms(sender=DLT), settings()) == ((0x1400, b"1101"), (0x1401, b"1107"))
    asked = settings(
        dlt_entity_tag=0x2000,
        dlt_template_tag=0x2001,
        dlt_telemarketer_tag=0x2002,
        dlt_telemarketer="1102",
        dlt_ends_with_zero=True,
    )
    expected = ((0x2000, b"1101\0"), (0x2001, b"1107\0"), (0x2002, b"1102\0"))
    assert dlt_parameters(sms(sender=DLT), asked) == expected
    assert dlt_parameters(sms(sender=DLT, occasion=None), settings()) == ((0x1400, b"1101"),)


def test_elsewhere() -> None:
    """No sender without an entity has such parameters."""
    assert dlt_parameters(sms(), settings(dlt_telemarketer="1102")) == ()


@pytest.mark.parametrize(
    ("left_ms", "expected"),
    [
        (300_000, "000000000500000R"),
        (3_600_000 * 49 + 61_000, "000002010101000R"),
        (-5, "000000000001000R"),
        (28 * 86_400_000, ""),
    ],
)
def test_validity(left_ms: int, expected: str) -> None:
    """A relative time, never none of a message that expires."""
    assert validity_period(1_000_000 + left_ms, 1_000_000) == expected


def test_no_validity() -> None:
    """A message that never expires leaves it to the SMS centre."""
    assert validity_period(0, 1_000_000) == ""


@pytest.mark.parametrize(
    ("body", "coding", "has_header", "text"),
    [
        (b"No\x1b\x65\x00", 0, False, "No€@"),
        (b"\x05\x00\x03\x01\x02\x01No", 0, True, "No"),
        (b"\x00N\x00o", 8, False, "No"),
        (b"N\xf6", 3, False, "Nö"),
        (b"No", 1, False, "No"),
        (b"N\xff", 1, False, "N\ufffd"),
        (b"\x00N\x00", 8, False, "N\ufffd"),
        (b"\x7f", 0, True, ""),
        (b"", 0, True, ""),
    ],
)
def test_texts_that_come_in(body: bytes, coding: int, has_header: bool, text: str) -> None:
    """In every alphabet that payers' handsets write in."""
    assert text_of(body, coding=coding, has_header=has_header) == text


@given(st.binary(max_size=160), st.integers(0, 255), st.booleans())
def test_no_text_is_a_fault(body: bytes, coding: int, has_header: bool) -> None:
    """Whatever a payer or an SMS centre sends."""
    assert isinstance(text_of(body, coding=coding, has_header=has_header), str)


@pytest.mark.parametrize(
    "options",
    [
        {"port": 0},
        {"system_id": "much-longer-than-15"},
        {"window": 0},
        {"long_texts": "sar"},
        {"password": "never here"},
        {"dlt_entity_tag": 0x1_0000},
    ],
)
def test_mistakes_in_options(options: dict[str, Any]) -> None:
    """Are refused before anything connects."""
    own = {"host": "smsc.example", "port": 2775, "system_id": "bank"}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(own | options, Settings)


def test_a_section_of_the_policy() -> None:
    """The kind is known, and an option that is none is named."""
    rule = SupplierRule(
        name="smpp-eu",
        kind="smpp",
        channel=Channel.SMS,
        countries=("DE",),
        currency="EUR",
        prices=(),
        options={"host": "smsc.example", "port": 3550, "system_id": "bank"},
    )
    check(rule)
    with pytest.raises(ConfigurationError, match=r"smpp-eu.*windows"):
        check(replace(rule, options=dict(rule.options) | {"windows": 3}))
