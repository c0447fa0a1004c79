"""Balances and charges played in memory: what would be sent, when and why. The store decides by the same rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sca_service.alerts.cards.history import learn
from sca_service.alerts.cards.model import (
    Applied,
    Balance,
    Card,
    ChargeSource,
    Upcoming,
    Warn,
    decide,
    expect,
    forecast,
    put_balance,
)
from sca_service.alerts.cards.recurring import PastCharge
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.alerts import AlertPolicy


@dataclass(frozen=True, slots=True)
class Expected:
    """A charge to come as somebody tells it; `name` is its reference, or its merchant."""

    name: str
    merchant: str
    currency: str
    amount_minor: int
    expected_on: date
    confidence_percent: int = 100


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody tells of a card, and when."""

    at: datetime
    card: str
    what: Balance | Expected | PastCharge


@dataclass(frozen=True, slots=True)
class Happening:
    """What comes of it: an alert that is queued (`warn`), one that is taken back, or a call that is refused.

    `card` is as it stands then; `left_minor` is what is predicted to be left before the charge.
    """

    at: datetime
    card_ref: str
    card: Card | None
    warn: Warn | None = None
    taken_back: Warn | None = None
    refused: str = ""
    left_minor: int = 0


@dataclass(slots=True)
class _Held:
    """A card in memory: as it stands, when it is looked at next, and the charges that were made."""

    card: Card
    next_check_at: datetime | None = None
    past: list[PastCharge] = field(default_factory=list)


class Simulation:
    """Plays what is told in the order of time. A class because it remembers the cards."""

    def __init__(self, policy: AlertPolicy, *, sent_after: timedelta) -> None:
        """`sent_after` is how long an alert waits until it is sent, and cannot be taken back any more."""
        self._policy = policy
        self._sent_after = sent_after
        self._cards: dict[str, _Held] = {}
        self._queued: dict[str, tuple[datetime, Warn]] = {}
        self._named = 0

    def play(self, told: Iterable[Told]) -> Iterator[Happening]:
        """What happens, in its order; after the last call until nothing is left to come."""
        for one in sorted(told, key=lambda each: each.at):
            yield from self._look_until(one.at)
            yield from self.tell(one)
        yield from self._look_until(None)

    def tell(self, told: Told) -> Iterator[Happening]:
        """What comes of one call."""
        held = self._cards.get(told.card)
        try:
            applied = self._applied(held, told)
        except InvalidInput as refused:
            why = "; ".join(mistake.detail for mistake in refused.mistakes)
            yield Happening(told.at, told.card, held.card if held else None, refused=why)
            return
        if not applied.is_news:
            yield Happening(told.at, told.card, applied.card, refused="older than what is known")
            return
        held = self._cards.setdefault(told.card, _Held(applied.card))
        yield from self._conclude(told.card, held, applied, told.at)

    def next_due(self) -> datetime | None:
        """When something falls due if nobody tells anything; None for never."""
        return min((held.next_check_at for held in self._cards.values() if held.next_check_at), default=None)

    def look(self, at: datetime) -> Iterator[Happening]:
        """What comes of the time alone, of the cards that are due."""
        for ref, held in list(self._cards.items()):
            if held.next_check_at and held.next_check_at <= at:
                yield from self._conclude(ref, held, Applied(held.card), at)

    def look_at_all(self, at: datetime) -> Iterator[Happening]:
        """The same of every card, due or not: nothing more may come of it."""
        for ref, held in list(self._cards.items()):
            yield from self._conclude(ref, held, Applied(held.card), at)

    def _look_until(self, until: datetime | None) -> Iterator[Happening]:
        while (due := self.next_due()) is not None and (until is None or due <= until):
            yield from self.look(due)

    def _applied(self, held: _Held | None, told: Told) -> Applied:
        """The card after a call. Raises InvalidInput."""
        match told.what:
            case Balance():
                return put_balance(held.card if held else None, told.what)
            case _ if held is None:
                raise InvalidInput.at("", "no balance of this card is known")
            case Expected():
                return expect(held.card, self._upcoming(told.what), self._policy.cards)
            case PastCharge():
                new = [told.what] if told.what not in held.past else []
                held.past += new
                of_merchant = [one for one in held.past if one.merchant == told.what.merchant]
                return learn(
                    held.card,
                    of_merchant,
                    new=new,
                    today=told.at.date(),
                    policy=self._policy,
                    next_id=self._next_name,
                )

    def _conclude(self, ref: str, held: _Held, applied: Applied, at: datetime) -> Iterator[Happening]:
        decision = decide(applied.card, at, self._policy.cards)
        taken_back = [
            alert
            for alert in (*applied.lost, *decision.take_back.values())
            if at < self._queued[alert][0] + self._sent_after
        ]
        queued = {warn.about: self._queue(warn, at) for warn in decision.warn}
        held.card = decision.carried_out(queued=queued, taken_back=taken_back)
        held.next_check_at = decision.next_check_at
        for alert in taken_back:
            yield Happening(at, ref, held.card, taken_back=self._queued[alert][1])
        left = {one.charge.id: one.balance_minor for one in forecast(held.card, self._policy.cards)}
        for warn in decision.warn:
            yield Happening(at, ref, held.card, warn=warn, left_minor=left.get(warn.about, 0))

    def _queue(self, warn: Warn, at: datetime) -> str:
        alert = self._next_name()
        self._queued[alert] = (at, warn)
        return alert

    def _upcoming(self, told: Expected) -> Upcoming:
        return Upcoming(
            id=self._next_name(),
            name=told.name,
            merchant=told.merchant,
            currency=told.currency,
            amount_minor=told.amount_minor,
            expected_on=told.expected_on,
            confidence_percent=told.confidence_percent,
            source=ChargeSource.ISSUER,
        )

    def _next_name(self) -> str:
        self._named += 1
        return f"sim_{self._named:08d}"
