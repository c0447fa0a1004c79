"""What is counted: of what, along which dimensions, in which figures and spans of time. Values only."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from sca_service.policy.analytics import AnalyticsPolicy

MINUTE_MS: Final = 60_000


class Subject(StrEnum):
    """What figures are of."""

    DELIVERIES = "deliveries"
    CHALLENGES = "challenges"
    ALERTS = "alerts"


class Span(StrEnum):
    """How long a piece of time is that figures are kept for. Every span lies on UTC's own."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length_ms(self) -> int:
        """Its milliseconds."""
        return _LENGTHS_MS[self]

    def begin(self, at_ms: int) -> int:
        """When the span that holds a moment began."""
        return at_ms - at_ms % self.length_ms

    def kept_since(self, counted_at_ms: int, policy: AnalyticsPolicy) -> int:
        """The moment since which figures of this span are kept, given the date of the newest event counted.

        A piece of time that began before it is not grown any more, and goes.
        """
        days = {
            Span.MINUTE: policy.minute_days,
            Span.HOUR: policy.hour_days,
            Span.DAY: policy.day_days,
        }[self]
        return counted_at_ms - days * _LENGTHS_MS[Span.DAY]


_LENGTHS_MS: Mapping[Span, int] = MappingProxyType(
    {Span.MINUTE: MINUTE_MS, Span.HOUR: 60 * MINUTE_MS, Span.DAY: 24 * 60 * MINUTE_MS}
)


class Key(NamedTuple):
    """Everything that figures can be told apart by; "" where it does not apply or nobody knows.

    `purpose` is the challenge's, `alert` for an alert's delivery, and of an alert its topic or its kind. `country` is
    an ISO 3166 code, `network` an MCC with or without MNC. A route is channel, supplier, network, sender and price.
    """

    subject: Subject
    client: str = ""
    purpose: str = ""
    method: str = ""
    channel: str = ""
    country: str = ""
    network: str = ""
    supplier: str = ""
    sender: str = ""
    price: str = ""


class Dimension(StrEnum):
    """What figures can be grouped by."""

    CLIENT = "client"
    PURPOSE = "purpose"
    METHOD = "method"
    CHANNEL = "channel"
    COUNTRY = "country"
    NETWORK = "network"
    SUPPLIER = "supplier"
    ROUTE = "route"

    @property
    def columns(self) -> tuple[str, ...]:
        """The members of a key that it is made of."""
        if self is Dimension.ROUTE:
            return ("channel", "supplier", "network", "sender", "price")
        return (str(self),)


DIMENSIONS: Mapping[Subject, tuple[Dimension, ...]] = MappingProxyType(
    {
        Subject.DELIVERIES: (
            *(Dimension.CLIENT, Dimension.PURPOSE, Dimension.CHANNEL, Dimension.COUNTRY),
            *(Dimension.NETWORK, Dimension.SUPPLIER, Dimension.ROUTE),
        ),
        Subject.CHALLENGES: (Dimension.CLIENT, Dimension.PURPOSE, Dimension.METHOD),
        Subject.ALERTS: (Dimension.CLIENT, Dimension.PURPOSE),
    }
)
"""The dimensions of each subject."""


class Figure(StrEnum):
    """What is counted. Each counts what it is about once, however often it was told."""

    ATTEMPTED = "attempted"  # given to a supplier, or should have been
    SENT = "sent"  # taken by a supplier
    DELIVERED = "delivered"  # the supplier says that it arrived, or was picked up
    FAILED = "failed"  # not taken, or the supplier says that it did not arrive
    ANSWERED = "answered"  # the payer answered, rightly or not, after it
    CONVERTED = "converted"  # it led to the right answer
    CLICKED = "clicked"  # the payer followed the link in it
    ISSUED = "issued"
    APPROVED = "approved"
    REFUSED = "refused"
    DECLINED = "declined"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNDELIVERABLE = "undeliverable"
    QUEUED = "queued"
    SUPPRESSED = "suppressed"
    SENT_MS = "sent_ms"  # how long until a supplier had taken it
    DELIVERED_MS = "delivered_ms"  # how long until it had arrived
    CONVERTED_MS = "converted_ms"  # how long until it had led to the right answer
    APPROVED_MS = "approved_ms"  # how long until the right answer


COUNTS: Mapping[Subject, tuple[Figure, ...]] = MappingProxyType(
    {
        Subject.DELIVERIES: (
            *(Figure.ATTEMPTED, Figure.SENT, Figure.DELIVERED, Figure.FAILED),
            *(Figure.ANSWERED, Figure.CONVERTED, Figure.CLICKED),
        ),
        Subject.CHALLENGES: (
            *(Figure.ISSUED, Figure.REFUSED, Figure.ANSWERED, Figure.APPROVED, Figure.DECLINED),
            *(Figure.REJECTED, Figure.BLOCKED, Figure.EXPIRED, Figure.CANCELLED, Figure.UNDELIVERABLE),
        ),
        Subject.ALERTS: (
            *(Figure.QUEUED, Figure.SENT, Figure.DELIVERED, Figure.FAILED),
            *(Figure.SUPPRESSED, Figure.CLICKED),
        ),
    }
)
"""The figures of each subject that are plain counts."""

DURATIONS: Mapping[Subject, tuple[Figure, ...]] = MappingProxyType(
    {
        Subject.DELIVERIES: (Figure.SENT_MS, Figure.DELIVERED_MS, Figure.CONVERTED_MS),
        Subject.CHALLENGES: (Figure.APPROVED_MS,),
        Subject.ALERTS: (Figure.DELIVERED_MS,),
    }
)
"""The figures of each subject that are sketches of durations, from when it began."""

COST: Final = "cost "
"""What a figure of money begins with; its currency follows. It counts millionths of the currency's unit."""

Counted = tuple[str, int]
"""One number of a figure: its name, and its bin (0 for whatever is no sketch)."""

Place = tuple[Key, int]
"""Where a number belongs: its key, and the minute in which what it counts began, in ms since the epoch."""
