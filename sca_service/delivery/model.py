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
    """One delivery as it lies in the challenge's state. Times in milliseconds since the epoch, 0 means not yet.

    `supplier` is the one that was given it last, `tried` are those that did not take it, `route` is its RouteRecord.
    """

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
    tried: str = ""
    route: str = ""

    @property
    def network(self) -> str:
        """The network of its route, as far as it is known."""
        return msgspec.json.decode(self.route, type=RouteRecord).network if self.route else ""

    @property
    def suppliers_tried(self) -> tuple[str, ...]:
        """The suppliers that did not take this message, the first one first."""
        return tuple(self.tried.split())

    @property
    def is_in_hand(self) -> bool:
        """Whether a worker may be sending it: it was tried more often than suppliers said that they did not take it."""
        return self.status is DeliveryStatus.QUEUED and self.tries > len(self.suppliers_tried)

    def settled(self, *, is_news: bool) -> "SettledDelivery":
        """What those who learn of routes are told of it."""
        since = self.sent_at or self.queued_at
        return SettledDelivery(
            self.id,
            self.status,
            is_news=is_news,
            channel=self.channel,
            supplier=self.supplier,
            network=self.network,
            latency_ms=max(self.final_at - since, 0) if self.final_at else 0,
        )


class RouteRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which route was chosen for a delivery, and why; kept with it and answered to its client."""

    supplier: str
    network: str = ""
    sender: str = ""
    price: str = ""
    reasons: tuple[str, ...] = ()
    passed_over: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class SettledDelivery:
    """A delivery after somebody told what became of it.

    `is_news` is False for what was known before; the rest is not filled in then. `latency_ms` is the time from when the
    supplier took it until its last word, 0 before that.
    """

    id: str
    status: DeliveryStatus
    is_news: bool = False
    channel: Channel | None = None
    supplier: str = ""
    network: str = ""
    latency_ms: int = 0


class DeclinedBy(StrEnum):
    """How a payer said no."""

    CALL = "payer_call"
    REPLY = "payer_reply"
    APP = "payer_app"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a delivery, by the supplier's answer to the submit or by its receipt.

    `cost` is `"<currency> <decimal amount>"`, empty when the supplier has not said; `transient` asks for another try
    over the same channel, after `retry_ms`. `attempt` is the try that it speaks of, 0 when nobody counted.
    """

    status: DeliveryStatus
    supplier: str
    reason: str = ""
    segments: int = 0
    cost: str = ""
    transient: bool = False
    retry_ms: int = 0
    attempt: int = 0


def delivery_id(challenge_id: str, number: int) -> str:
    """The id of a challenge's delivery number 1, 2, …: a receipt finds its challenge without a look-up."""
    return f"dlv_{challenge_id[4:]}{number:02x}"


def owner_of(delivery: str) -> str | None:
    """The challenge id that a delivery id belongs to, or None when no delivery is called that."""
    if not delivery.startswith("dlv_") or len(delivery) != 44:
        return None
    return f"chl_{delivery[4:-2]}"
