"""What a delivery is: one message over one channel through one supplier, and where it stands.

State of a delivery::

    queued ──▶ sent ──▶ delivered | undelivered | answered | no_answer     (receipts)
        ├────▶ failed                                                      (no supplier took it)
        └────▶ skipped                                                     (taken back before it was sent)
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from sca_service.policy.model import Channel


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    EXPIRED = "expired"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        """Whether no later word of a supplier changes it."""
        return self not in (DeliveryStatus.QUEUED, DeliveryStatus.SENT)


class DeliveryState(msgspec.Struct):
    """One delivery as it lies in the challenge's state. Times in milliseconds since the epoch, 0 means not yet."""

    id: str
    channel: Channel
    status: DeliveryStatus
    queued_at: int
    supplier: str = ""
    reason: str = ""
    segments: int = 0
    cost: str = ""
    sent_at: int = 0
    final_at: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a delivery, by the supplier's answer to the submit or by its receipt.

    `cost` is `"<currency> <decimal amount>"`, empty when the supplier has not said; `transient` asks for another try
    over the same channel.
    """

    status: DeliveryStatus
    supplier: str
    reason: str = ""
    segments: int = 0
    cost: str = ""
    transient: bool = False


def delivery_id(challenge_id: str, number: int) -> str:
    """The id of a challenge's delivery number 1, 2, …: a receipt finds its challenge without a look-up."""
    return f"dlv_{challenge_id[4:]}{number:02x}"


def owner_of(delivery: str) -> str | None:
    """The challenge id that a delivery id belongs to, or None when no delivery is called that."""
    if not delivery.startswith("dlv_") or len(delivery) != 44:
        return None
    return f"chl_{delivery[4:-2]}"
