"""What a supplier is to us: it takes one message over one channel or says why not, and sends a receipt."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sca_service.kernel.errors import ScaError
from sca_service.kernel.money import Amount
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One text for one payer over one channel, as a supplier gets it.

    `delivery_id` is the stable reference: a repeated send carries the same one, so that a supplier can
    recognise it. `to` is an E.164 number, `locale` a BCP 47 tag such as `de-DE`, which a voice speaks in.
    """

    delivery_id: str
    channel: Channel
    to: Secret[str]
    text: Secret[str]
    locale: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A supplier took the message; whether it arrives, a receipt tells later.

    `reference` is the supplier's own name for the message, `segments` how many parts it is charged for (at
    least one), `cost` what it charges for all of them, or None when the supplier does not say.
    """

    reference: str
    segments: int
    cost: Amount | None


class FailureReason(StrEnum):
    """Why a delivery came to nothing."""

    UNDELIVERED = "undelivered"  # accepted, but it never reached the handset
    TIMEOUT = "timeout"  # no answer within the deadline; the message may still arrive
    NO_ANSWER = "no_answer"  # the call rang, or met a mailbox, and nobody took it
    SUPPLIER_DOWN = "supplier_down"  # the supplier cannot be reached or is failing
    NO_DEVICE = "no_device"  # the payer has no device this channel could reach
    REJECTED = "rejected"  # the supplier refuses this message


class SupplierFailure(ScaError):
    """A supplier did not take the message.

    `transient` claims that the same message may well be taken later, or by another supplier; a failure that
    is not transient ends this delivery, and the ladder goes on. No caller of the API ever sees the error
    itself: the delivery shows its `reason`.
    """

    code = "supplier-failure"
    title = "A supplier did not take the message"
    meaning = "Never answered to a request: the delivery shows the `reason`, and the ladder goes on."

    def __init__(self, reason: FailureReason, *, transient: bool) -> None:
        super().__init__(f"the supplier did not take the message: {reason}")
        self.reason = reason
        self.transient = transient


class Supplier(Protocol):
    """Carries messages over one channel."""

    @property
    def name(self) -> str:
        """Lower-case name such as `sandbox-sms`: it stands in routes, in receipts' URLs and in metrics."""

    @property
    def channel(self) -> Channel:
        """The one channel this supplier carries."""

    async def send(self, message: Message) -> Accepted:
        """Hand over one message; returns once the supplier has taken it.

        Sets no deadline of its own: the caller cancels. Raises SupplierFailure.
        """


class ReceiptStatus(StrEnum):
    """A supplier's last word on a delivery; every state is final."""

    DELIVERED = "delivered"  # sms, push: it is on the handset
    UNDELIVERED = "undelivered"  # sms, push: it will not get there
    ANSWERED = "answered"  # voice: somebody took the call
    NO_ANSWER = "no_answer"  # voice: nobody did


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a supplier says became of a delivery, and when by its clock (milliseconds since the epoch)."""

    supplier: str
    delivery_id: str
    status: ReceiptStatus
    at_ms: int
