"""The reader of sandbox call-backs believes the supplier at whose address they come, and nobody else."""

from dataclasses import replace

import pytest

from sca_service.delivery.supplier import CallBack, ReceiptStatus
from sca_service.kernel.errors import InvalidInput, Unauthorized
from sca_service.sandbox.supplier.receipts import SandboxWords
from sca_service.sandbox.supplier.wire import FRESH_MS, SIGNATURE_HEADER, signature
from tests.unit.sandbox.listener import KEY, NOW_MS, StoppedClock

BODY = b'{"delivery":"dlv_1","status":"delivered","at":"2023-11-14T22:13:20.020Z"}'


def words(supplier: str = "sandbox-sms", *, now_ms: int = NOW_MS) -> SandboxWords:
    """The reader of a supplier's call-backs, at a certain time."""
    return SandboxWords(supplier, secret=KEY, clock=StoppedClock(now_ms))


def call(body: bytes = BODY) -> CallBack:
    """A call-back that the supplier `sandbox-sms` has signed."""
    signed = signature(KEY, "sandbox-sms", at_ms=NOW_MS, body=body)
    return CallBack(
        "POST", "http://127.0.0.1/receipts/sandbox-sms", {}, {SIGNATURE_HEADER.lower(): signed}, body
    )


def test_a_signed_call_back_is_read() -> None:
    """Its receipt carries the supplier's name, and the answer is empty."""
    reader = words()
    word = reader.read(call())
    assert [(one.supplier, one.delivery_id, one.status) for one in word.receipts] == [
        ("sandbox-sms", "dlv_1", ReceiptStatus.DELIVERED)
    ]
    assert reader.answer(word, None).body == b""


def test_a_forged_call_back_is_refused_before_it_is_read() -> None:
    """Unsigned, changed, or for another supplier: unauthorized, even where the body could not be read either."""
    genuine = call()
    forged = [
        replace(genuine, headers={}),
        replace(genuine, body=BODY.replace(b"delivered", b"undelivered")),
        replace(genuine, body=b"not JSON"),
    ]
    for each in forged:
        with pytest.raises(Unauthorized):
            words().read(each)
    with pytest.raises(Unauthorized):
        words("sandbox-sms-2").read(genuine)


def test_an_old_call_back_is_refused() -> None:
    """A call-back kept for more than five minutes is a replay."""
    assert words(now_ms=NOW_MS + FRESH_MS).read(call()).receipts
    with pytest.raises(Unauthorized):
        words(now_ms=NOW_MS + FRESH_MS + 1).read(call())


def test_a_signed_call_back_that_says_nothing() -> None:
    """The supplier itself may be at fault: that is invalid, not forged."""
    with pytest.raises(InvalidInput):
        words().read(call(b"{}"))
