"""SMPP: what a receipt says, in all the ways that SMS centres write it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.delivery.channels.sms.smpp.receipts import (
    MessageId,
    is_receipt,
    is_reply,
    read_receipt,
    read_reply,
)
from sca_service.delivery.channels.sms.smpp.wire import Inbound
from sca_service.delivery.supplier import ReceiptStatus

DONE_MS = int(datetime(2026, 11, 22, 10, 16, tzinfo=UTC).timestamp() * 1_000)
TEXT = "id:0A1F sub:001 dlvrd:001 submit date:2611221015 done date:2611221016 stat:DELIVRD err:000 text:Your"


def inbound(text: str = "", esm_class: int = 4, coding: int = 0, **parameters: bytes) -> Inbound:
    """A `deliver_sm`; TLVs as `t` and their tag in hexadecimal."""
    body = text.encode("utf-16-be" if coding == 8 else "latin-1")
    tags = {int(tag[1:], 16): value for tag, value in parameters.items()}
    return Inbound("4915100000001", "MyBank", esm_class, coding, body, tags)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.lower(),
        TEXT.upper().replace("ID:0A1F", "ID:0a1f"),
        "id:0A1F sub:1 dlvrd:1 submit date:261122101500 done date:261122101600 stat:DELIVRD err:0 text:",
        "id: 0A1F sub: 001 dlvrd: 001 submit date: 2611221015 done date: 2611221016 stat: DELIVRD err: 000",
        "stat:DELIVRD done date:2611221016 id:0A1F",
        "id:0A1F\nsub:001\nstat:DELIVRD\ndone date:2611221016",
        "id:0A1F stat:DELIVRD donedate:2611221016 Text:id:77 stat:UNDELIV",
    ],
)
def test_the_text_form(text: str) -> None:
    """However it is written; what the message said is not part of it."""
    heard = read_receipt(inbound(text), utc_minutes=0)
    assert heard
    assert (heard.message.plain, heard.status, heard.at_ms) == ("a1f", ReceiptStatus.DELIVERED, DONE_MS)
    assert heard.numbers == ("4915100000001", "MyBank")


def test_a_text_in_ucs2() -> None:
    """A few centres write receipts as they write texts."""
    assert read_receipt(inbound(TEXT, coding=8), utc_minutes=0)


def test_a_text_in_the_payload() -> None:
    """Where there is no short message."""
    assert read_receipt(inbound(t0424=TEXT.encode()), utc_minutes=0)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (1, None),
        (2, ReceiptStatus.DELIVERED),
        (3, ReceiptStatus.UNDELIVERED),
        (4, ReceiptStatus.UNDELIVERED),
        (5, ReceiptStatus.UNDELIVERED),
        (6, None),
        (7, None),
        (8, ReceiptStatus.UNDELIVERED),
        (200, None),
    ],
)
def test_the_parameters(state: int, status: ReceiptStatus | None) -> None:
    """They are believed rather than the text; a state that is not final says nothing."""
    heard = read_receipt(inbound(TEXT, t001e=b"77\0", t0427=bytes((state,))), utc_minutes=0)
    assert (heard and heard.status) == status
    if heard:
        assert heard.message.exact == "77"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("DELIVRD", ReceiptStatus.DELIVERED),
        ("DELIVRED", None),
        ("UNDELIV", ReceiptStatus.UNDELIVERED),
        ("UNDELIVERABLE", ReceiptStatus.UNDELIVERED),
        ("EXPIRED", ReceiptStatus.UNDELIVERED),
        ("DELETED", ReceiptStatus.UNDELIVERED),
        ("REJECTD", ReceiptStatus.UNDELIVERED),
        ("ENROUTE", None),
        ("ACCEPTD", None),
        ("UNKNOWN", None),
        ("", None),
    ],
)
def test_the_states_of_the_text(word: str, status: ReceiptStatus | None) -> None:
    """Only what is final says anything."""
    heard = read_receipt(inbound(TEXT.replace("DELIVRD", word)), utc_minutes=0)
    assert (heard and heard.status) == status


@pytest.mark.parametrize(
    "text", ["", "stat:DELIVRD", "id: stat:DELIVRD", "nothing at all", "id:\x00 :", "id:"]
)
def test_a_receipt_of_nothing(text: str) -> None:
    """Without an id or a state it settles nothing."""
    assert read_receipt(inbound(text), utc_minutes=0) is None


@pytest.mark.parametrize("done", ["9999999999", "26112210", "never", ""])
def test_no_such_moment(done: str) -> None:
    """Then it does not say when."""
    heard = read_receipt(inbound(TEXT.replace("2611221016", done)), utc_minutes=0)
    assert heard
    assert heard.at_ms == 0


def test_the_zone_of_its_times() -> None:
    """Is an option, as they do not say it."""
    heard = read_receipt(inbound(TEXT), utc_minutes=330)
    assert heard
    assert heard.at_ms == DONE_MS - 330 * 60_000


@given(st.text(max_size=200), st.binary(max_size=70), st.binary(max_size=3))
def test_no_receipt_is_a_fault(text: str, message_id: bytes, state: bytes) -> None:
    """Whatever an SMS centre sends."""
    told = Inbound("1", "2", 4, 8, text.encode("utf-16-be", "replace"), {0x1E: message_id, 0x427: state})
    read_receipt(told, utc_minutes=0)


def test_who_speaks() -> None:
    """A text that is written like a receipt is a payer's, unless the centre says otherwise."""
    assert not is_receipt(inbound(TEXT, esm_class=0))
    assert not is_receipt(inbound(TEXT, esm_class=0x40))
    assert is_receipt(inbound(TEXT, esm_class=0x44))
    assert is_receipt(inbound(TEXT, esm_class=0x20))
    assert is_receipt(inbound("", esm_class=0, t001e=b"77\0"))
    assert is_reply(inbound(TEXT, esm_class=0x40))
    assert not is_reply(inbound("", esm_class=0, t001e=b"77\0"))
    for acknowledgement in (0x08, 0x10, 0x18):
        assert not is_reply(inbound(TEXT, esm_class=acknowledgement))
        assert not is_receipt(inbound(TEXT, esm_class=acknowledgement))


@pytest.mark.parametrize(
    ("text", "plain", "others"),
    [
        ("1A2B", "1a2b", ("6699",)),
        (" 0001a2b ", "1a2b", ("6699",)),
        ("6699", "6699", ("1a2b", "26265")),
        ("0000", "0", ()),
        ("7", "7", ()),
        ("msg-0001", "msg-0001", ()),
        ("", "", ()),
        ("٣", "٣", ()),
        ("9" * 65, "9" * 65, (f"{int('9' * 65):x}", str(int("9" * 65, 16)))),
    ],
)
def test_the_spellings_of_an_id(text: str, plain: str, others: tuple[str, ...]) -> None:
    """One number has two bases, an id that is none has only itself."""
    message_id = MessageId.read(text)
    assert (message_id.exact, message_id.plain, message_id.others) == (text.strip(), plain, others)


@given(st.integers(0, 2**64))
def test_both_bases_find_each_other(number: int) -> None:
    """Whichever of them the answer was in."""
    hexadecimal, decimal = MessageId.read(f"{number:X}"), MessageId.read(f"{number:020d}")
    if hexadecimal.plain != decimal.plain:
        assert hexadecimal.plain in decimal.others
        assert decimal.plain in hexadecimal.others


def test_a_reply() -> None:
    """From whom, and what; its end is cut where nobody would read it."""
    reply = read_reply(inbound("NO" + "x" * 9_999, esm_class=0))
    assert reply.sender.reveal() == "+4915100000001"
    assert len(reply.text.reveal()) == 1_600
