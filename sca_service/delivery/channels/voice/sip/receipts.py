"""What a call comes to, in the words of receipts. A trunk calls no URL of ours: calls tell while they last."""

from sca_service.delivery.channels.context import Context
from sca_service.delivery.channels.voice.sip.wire import Meaning
from sca_service.delivery.supplier import (
    FailureReason,
    Receipt,
    ReceiptStatus,
    SupplierFailure,
    Word,
    WordReader,
)


def build(context: Context) -> WordReader | None:
    """None: what becomes of a call is heard on the trunk's own connection, by the worker that made it."""
    return None


def answered(supplier: str, delivery_id: str, at_ms: int) -> Word:
    """A person took the call."""
    return Word(receipts=(Receipt(supplier, delivery_id, ReceiptStatus.ANSWERED, at_ms),))


def not_answered(supplier: str, delivery_id: str, at_ms: int) -> Word:
    """Busy, declined, nobody there, or a machine: no code was said."""
    return Word(receipts=(Receipt(supplier, delivery_id, ReceiptStatus.NO_ANSWER, at_ms),))


def undelivered(supplier: str, delivery_id: str, at_ms: int) -> Word:
    """The trunk took the call on and then could not put it through."""
    return Word(receipts=(Receipt(supplier, delivery_id, ReceiptStatus.UNDELIVERED, at_ms),))


def declined(delivery_id: str) -> Word:
    """The payer pressed 9: they did not ask for this."""
    return Word(declined=(delivery_id,))


def failure(meaning: Meaning, retry_after_ms: int) -> SupplierFailure | None:
    """How a refusal ends the hand-over; None when the trunk did take the call, and the payer did not."""
    match meaning:
        case Meaning.NO_ANSWER:
            return None
        case Meaning.DOWN:
            reason = FailureReason.SUPPLIER_DOWN
            return SupplierFailure(reason, transient=True, retry_after_ms=retry_after_ms)
        case Meaning.UNAUTHORIZED | Meaning.WRONG_NUMBER:
            return SupplierFailure(FailureReason.REJECTED, transient=False)
