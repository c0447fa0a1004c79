"""The sandbox's call-backs on the wire: what they say, and who is believed for how long."""

import hmac
from typing import Any

import msgspec
import pytest

from sca_service.delivery.supplier import Receipt, ReceiptStatus
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret
from sca_service.sandbox.supplier.wire import (
    FRESH_MS,
    ReceiptBody,
    ReplyBody,
    is_signed,
    read_word,
    signature,
)
from tests.unit.sandbox.listener import KEY, NOW_MS

AT = "2023-11-14T22:13:20.020Z"
AT_MS = NOW_MS + 20
SIGNED = signature(KEY, "sandbox-sms", at_ms=NOW_MS, body=b"{}")


def believed(
    header: str, *, supplier: str = "sandbox-sms", now_ms: int = NOW_MS, body: bytes = b"{}"
) -> bool:
    """Whether a reader would take the call-back."""
    return is_signed(KEY, supplier, now_ms=now_ms, body=body, header=header)


def test_the_signature_is_the_hmac_of_supplier_time_and_body() -> None:
    """Computed a second way, as whoever writes a receipt by hand would."""
    signed = b"sandbox-sms\n1700000000000\n{}"
    expected = hmac.new(b"an example key of the sandbox", signed, "sha256").hexdigest()
    assert f"t=1700000000000,sha256={expected}" == SIGNED
    assert believed(SIGNED)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        SIGNED.partition(",")[2],
        SIGNED.upper(),
        SIGNED.replace("t=1700000000000", "t=1700000000001"),
        SIGNED.replace("t=", "t=0"),
        SIGNED.replace("t=1700000000000", "t=" + "9" * 400),
        SIGNED.replace("t=1700000000000", "t=-1"),
        SIGNED.replace("t=1", "t=１"),
        SIGNED + "0",
        SIGNED + "\n",
        SIGNED[:-1],
        f"{SIGNED},{SIGNED}",
        signature(KEY, "sandbox-sms", at_ms=NOW_MS, body=b"{ }"),
        signature(KEY, "sandbox-sms-2", at_ms=NOW_MS, body=b"{}"),
        signature(Secret(b"another key"), "sandbox-sms", at_ms=NOW_MS, body=b"{}"),
        "t=1700000000000,sha256=ü",
        "t=1700000000000,sha256=\udcff",
    ],
)
def test_a_wrong_signature(header: str) -> None:
    """Another supplier, time, body or key, and anything malformed are all refused without an error."""
    assert not believed(header)


def test_a_signature_of_another_supplier_is_not_taken() -> None:
    """Receipts are one supplier's own: the same bytes at another's address are forged."""
    assert not believed(SIGNED, supplier="sandbox-sms-2")


@pytest.mark.parametrize(
    ("age_ms", "is_believed"),
    [(0, True), (FRESH_MS, True), (FRESH_MS + 1, False), (-FRESH_MS, True), (-FRESH_MS - 1, False)],
)
def test_a_replay_is_believed_for_five_minutes(age_ms: int, is_believed: bool) -> None:
    """Older than five minutes, or from a clock that far ahead, a genuine signature is refused."""
    assert believed(SIGNED, now_ms=NOW_MS + age_ms) is is_believed


def test_a_receipt_is_read_back() -> None:
    """What is written is what is read: one receipt of the supplier at whose address it came."""
    raw = msgspec.json.encode(ReceiptBody("dlv_1", ReceiptStatus.DELIVERED, AT))
    assert raw == b'{"delivery":"dlv_1","status":"delivered","at":"2023-11-14T22:13:20.020Z"}'
    word = read_word("sandbox-sms", raw)
    assert word.receipts == (Receipt("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED, AT_MS),)
    assert (word.declined, word.replies, word.again) == ((), (), "")


def test_a_refusal_and_a_reply_are_read_back() -> None:
    """One call-back may tell of a receipt, of a payer's no and of a reply at the same time, or of one alone."""
    both = ReceiptBody(
        "dlv_1", ReceiptStatus.ANSWERED, AT, declined=True, reply=ReplyBody("+491713920001", "NO")
    )
    raw = msgspec.json.encode(both)
    assert b'"reply":{"from":"+491713920001","text":"NO"}' in raw
    word = read_word("sandbox-voice", raw)
    assert [receipt.status for receipt in word.receipts] == [ReceiptStatus.ANSWERED]
    assert word.declined == ("dlv_1",)
    assert [(reply.sender.reveal(), reply.text.reveal()) for reply in word.replies] == [
        ("+491713920001", "NO")
    ]
    alone = read_word(
        "sandbox-sms", msgspec.json.encode(ReceiptBody(at=AT, reply=ReplyBody("+4917", "STOP")))
    )
    assert (alone.receipts, alone.declined, alone.replies[0].text.reveal()) == ((), (), "STOP")


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"delivery": "dlv_x"},
        {"delivery": "dlv_x", "at": AT},
        {"delivery": "dlv_x", "status": "delivered"},
        {"delivery": "dlv_x", "status": "lost", "at": AT},
        {"delivery": "dlv_x", "status": "delivered", "at": "today"},
        {"delivery": "dlv_x", "status": "delivered", "at": AT, "cost": 1},
        {"delivery": 1, "status": "delivered", "at": AT},
        {"at": AT, "reply": {"from": "+4917"}},
    ],
)
def test_what_cannot_be_read(body: Any) -> None:
    """A body that is of another shape, or says nothing, is refused as the sender's fault."""
    with pytest.raises(InvalidInput):
        read_word("sandbox-sms", msgspec.json.encode(body))


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[" * 5000, b'{"delivery":"dlv_x"'])
def test_bytes_that_are_no_json(raw: bytes) -> None:
    """Truncated, nested without end, or not text at all: refused in the same way."""
    with pytest.raises(InvalidInput):
        read_word("sandbox-sms", raw)
