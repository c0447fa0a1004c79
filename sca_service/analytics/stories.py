"""What the log tells of one challenge or one alert, and of each try to deliver its messages. Pure.

A try is counted in the minute in which it began and by the route that it went over, whenever the rest is heard of. So
of those sent in a minute none can be delivered in another, and no share exceeds its whole. `counts` says what one
story comes to as it stands; whoever has a newer one adds the difference.
"""

import msgspec

from sca_service.analytics.model import COST, Counted, Figure, Key, Subject
from sca_service.analytics.sketch import bin_of
from sca_service.delivery.model import DeliveryStatus
from sca_service.kernel.money import MICROS

ALERT = "alert"
"""The purpose of an alert's deliveries."""

_ARRIVED = (DeliveryStatus.DELIVERED, DeliveryStatus.ANSWERED)
_TAKEN = (
    *(DeliveryStatus.SENT, *_ARRIVED),
    *(DeliveryStatus.UNDELIVERED, DeliveryStatus.NO_ANSWER, DeliveryStatus.EXPIRED),
)
"""Such a word only a supplier can say that has the message."""
_FAILED = (
    *(DeliveryStatus.FAILED, DeliveryStatus.UNDELIVERED),
    *(DeliveryStatus.NO_ANSWER, DeliveryStatus.EXPIRED),
)


class TryStory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try to deliver one message. Times in ms since the epoch, 0 for not yet.

    `began_at` is when the try went on record. One that is `taken_back` was not sent, and counts for nothing.
    """

    delivery: str
    number: int
    client: str
    began_at: int
    purpose: str = ""
    channel: str = ""
    country: str = ""
    network: str = ""
    supplier: str = ""
    sender: str = ""
    price: str = ""
    status: DeliveryStatus = DeliveryStatus.QUEUED
    reason: str = ""
    sent_at: int = 0
    final_at: int = 0
    answered: bool = False
    converted_at: int = 0
    clicked: bool = False
    taken_back: bool = False

    @property
    def key(self) -> Key:
        """What it is counted under."""
        return Key(
            Subject.DELIVERIES,
            client=self.client,
            purpose=self.purpose,
            channel=self.channel,
            country=self.country,
            network=self.network,
            supplier=self.supplier,
            sender=self.sender,
            price=self.price,
        )

    @property
    def was_taken(self) -> bool:
        """Whether a supplier has, or had, the message."""
        return self.sent_at > 0 or self.status in _TAKEN

    @property
    def has_arrived(self) -> bool:
        """Whether the supplier says that it arrived."""
        return self.status in _ARRIVED

    @property
    def has_failed(self) -> bool:
        """Whether it came to nothing, as far as anybody knows."""
        return self.status in _FAILED

    def counts(self) -> dict[Counted, int]:
        """What it comes to."""
        if self.taken_back:
            return {}
        told: dict[Counted, int] = {(Figure.ATTEMPTED, 0): 1}
        if self.was_taken:
            told[Figure.SENT, 0] = 1
            currency, micros = _price(self.price)
            if micros:
                told[f"{COST}{currency}", 0] = micros
        for figure, is_so in (
            (Figure.DELIVERED, self.has_arrived),
            (Figure.FAILED, self.has_failed),
            (Figure.ANSWERED, self.answered),
            (Figure.CONVERTED, self.converted_at > 0),
            (Figure.CLICKED, self.clicked),
        ):
            if is_so:
                told[figure, 0] = 1
        for figure, at in (
            (Figure.SENT_MS, self.sent_at),
            (Figure.DELIVERED_MS, self.final_at if self.has_arrived else 0),
            (Figure.CONVERTED_MS, self.converted_at),
        ):
            if at:
                told[figure, bin_of(at - self.began_at)] = 1
        return told


class ChallengeStory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One challenge. `status` is the figure of how it ended, "" while it is open. A refused one was not issued."""

    client: str
    began_at: int
    purpose: str = ""
    method: str = ""
    was_issued: bool = False
    status: str = ""
    answered: bool = False
    approved_at: int = 0

    @property
    def key(self) -> Key:
        """What it is counted under."""
        return Key(Subject.CHALLENGES, client=self.client, purpose=self.purpose, method=self.method)

    def counts(self) -> dict[Counted, int]:
        """What it comes to."""
        told: dict[Counted, int] = {}
        if self.was_issued:
            told[Figure.ISSUED, 0] = 1
        if self.answered:
            told[Figure.ANSWERED, 0] = 1
        if self.status:
            told[self.status, 0] = 1
        if self.approved_at:
            told[Figure.APPROVED_MS, bin_of(self.approved_at - self.began_at)] = 1
        return told


class AlertStory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alert. `status` is the figure of how it ended: delivered, failed or suppressed, "" while it is open.

    `send_at` is when it was ordered for, 0 for at once: it is no delay that it waited until then.
    """

    client: str
    began_at: int
    kind: str = ""
    was_queued: bool = False
    was_sent: bool = False
    status: str = ""
    delivered_at: int = 0
    clicked: bool = False
    send_at: int = 0

    @property
    def key(self) -> Key:
        """What it is counted under."""
        return Key(Subject.ALERTS, client=self.client, purpose=self.kind)

    def counts(self) -> dict[Counted, int]:
        """What it comes to."""
        told: dict[Counted, int] = {}
        if self.was_queued:
            told[Figure.QUEUED, 0] = 1
        if self.was_sent:
            told[Figure.SENT, 0] = 1
        if self.clicked:
            told[Figure.CLICKED, 0] = 1
        if self.status:
            told[self.status, 0] = 1
        if self.delivered_at:
            told[Figure.DELIVERED_MS, bin_of(self.delivered_at - max(self.began_at, self.send_at))] = 1
        return told


Part = ChallengeStory | AlertStory | TryStory
"""What is counted by itself."""


class Story(msgspec.Struct, frozen=True, omit_defaults=True):
    """A challenge or an alert, with its tries in the order in which they began."""

    challenge: ChallengeStory | None = None
    alert: AlertStory | None = None
    tries: tuple[TryStory, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that is counted of it."""
        whole = tuple(one for one in (self.challenge, self.alert) if one is not None)
        return (*whole, *self.tries)

    @property
    def kept_from(self) -> int:
        """The moment from which its time to be remembered runs: when the oldest of it began, or an alert is sent."""
        began_at = min((one.began_at for one in self.parts), default=0)
        return max(began_at, self.alert.send_at) if self.alert else began_at


def _price(text: str) -> tuple[str, int]:
    """Currency and millionths of a price as events name it, `EUR 0.0063`; nothing for "" and what is none."""
    currency, _, amount = text.partition(" ")
    whole, _, fraction = amount.partition(".")
    if not (currency and whole.isdecimal() and (fraction or "0").isdecimal()):
        return "", 0
    return currency, int(whole) * MICROS + int(fraction.ljust(6, "0")[:6])
