"""What is known of a card, and the pure decision on it: whom to warn of what, and which warning to take back.

State of a balance against the card's threshold::

    sufficient ──▶ approaching ──▶ below ──▶ recovered ──▶ approaching, below, …

An episode begins when a balance falls below the threshold, and ends when it reaches the mark of `recovered`: what
moves in between is no news, so an episode has one alert. A charge to come has one alert for its date, or another one
where the first was taken back before anything was sent.

Amounts are in minor units of their currency. A day begins at midnight UTC.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from sca_service.alerts.model import AlertKind
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.alerts import CardPolicy

DAY = timedelta(days=1)


class CardState(StrEnum):
    """How a balance stands to its threshold."""

    SUFFICIENT = "sufficient"  # also without a threshold
    APPROACHING = "approaching"
    BELOW = "below"  # and since then not at the mark of `recovered`
    RECOVERED = "recovered"


class ChargeSource(StrEnum):
    """Who says that a charge will come."""

    ISSUER = "issuer"
    MERCHANT = "merchant"
    PAYER = "payer"
    RECOGNISED = "recognised"  # by the service, in the charges that were made


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A charge to come. `name` is a pseudonym: of the client's reference, or of the merchant as `merchant` is.

    `is_warned` claims that its alert was queued, and not taken back since; `turn` counts those that were. `alert` is
    one that may have to be taken back, "" where there is none.
    """

    id: str
    name: str
    merchant: str
    currency: str
    amount_minor: int
    expected_on: date
    confidence_percent: int
    source: ChargeSource
    is_warned: bool = False
    turn: int = 0
    alert: str = ""

    @property
    def ends_at(self) -> datetime:
        """When it has been made, or will not be: the end of its day."""
        return _midnight(self.expected_on + DAY)

    def opens_at(self, policy: CardPolicy) -> datetime:
        """From when on its payer is warned."""
        day = self.expected_on - policy.days_ahead * DAY
        return datetime.combine(day, time(policy.from_hour_utc), UTC)


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a card. `alert` is that of its episode while it may have to be taken back, else ""."""

    currency: str
    balance_minor: int
    as_of: datetime
    threshold_minor: int | None = None
    state: CardState = CardState.SUFFICIENT
    episode: int = 0
    alert: str = ""
    charges: tuple[Upcoming, ...] = ()


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance as a client puts it."""

    currency: str
    minor: int
    as_of: datetime
    threshold_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """A card after an event. `lost` are alerts whose reason went with the event; `is_news` that something changed."""

    card: Card
    is_news: bool = True
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """A charge that counts, and the balance that is predicted before it."""

    charge: Upcoming
    balance_minor: int

    @property
    def is_short(self) -> bool:
        """Whether the balance will not be enough."""
        return self.charge.amount_minor > self.balance_minor


@dataclass(frozen=True, slots=True)
class Warn:
    """An alert to be queued. `key` names it among the card's; `charge` is None for the balance itself."""

    kind: AlertKind
    key: str
    expires_at: datetime
    charge: Upcoming | None = None

    @property
    def about(self) -> str:
        """The charge's id, "" for the balance."""
        return self.charge.id if self.charge else ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a card becomes, what its holder is told, and when to look again if nothing happens (None: never).

    `take_back` are alerts that lost their reason, by what they are about: a charge's id, or "" for the balance.
    """

    card: Card
    warn: tuple[Warn, ...] = ()
    take_back: Mapping[str, str] = field(default_factory=dict)
    next_check_at: datetime | None = None

    def carried_out(self, *, queued: Mapping[str, str], taken_back: Collection[str]) -> Card:
        """The card once it is done: `queued` are alerts by what they are about, `taken_back` those never sent.

        A charge whose alert was taken back before it was sent may be warned of again.
        """
        charges = []
        for charge in self.card.charges:
            after = charge
            if charge.id in queued:
                after = replace(charge, is_warned=True, alert=queued[charge.id])
            elif self.take_back.get(charge.id) in taken_back:
                after = replace(charge, is_warned=False, turn=charge.turn + 1)
            charges.append(after)
        return replace(self.card, alert=queued.get("", self.card.alert), charges=tuple(charges))


def put_balance(card: Card | None, balance: Balance, *, is_new_holder: bool = False) -> Applied:
    """A card with a newer balance. One that is not newer than what is known changes nothing.

    With another holder nothing that was known holds any more; in another currency the threshold is another one.
    """
    fresh = Card(balance.currency, balance.minor, balance.as_of, balance.threshold_minor)
    if card is None:
        return Applied(fresh)
    if balance.as_of <= card.as_of:
        return Applied(card, is_news=False)
    if is_new_holder:
        return Applied(replace(fresh, episode=card.episode), lost=_alerts_of(card))
    if balance.currency != card.currency:
        other = replace(fresh, episode=card.episode, charges=card.charges)
        return Applied(other, lost=(card.alert,) if card.alert else ())
    kept = replace(fresh, state=card.state, episode=card.episode, alert=card.alert, charges=card.charges)
    return Applied(kept)


def unmoved_by(balance: Balance, policy: CardPolicy) -> tuple[CardState, ...]:
    """The states in which a balance is no news for a card without charges to come, whose threshold stays."""
    return tuple(
        state for state in CardState if _state(state, balance.minor, balance.threshold_minor, policy) is state
    )


def expect(card: Card, charge: Upcoming, policy: CardPolicy) -> Applied:
    """A card with one more charge to come; one of the same name for the same day is replaced, and keeps its alert.

    Raises InvalidInput for another currency than the card's, and for one more than the policy lets a card have.
    """
    if charge.currency != card.currency:
        raise InvalidInput.at("/amount/currency", "must be that of the card's balance")
    for at, known in enumerate(card.charges):
        if (known.name, known.expected_on) == (charge.name, charge.expected_on):
            kept = replace(charge, id=known.id, is_warned=known.is_warned, turn=known.turn, alert=known.alert)
            charges = (*card.charges[:at], kept, *card.charges[at + 1 :])
            return Applied(replace(card, charges=charges), is_news=kept != known)
    if len(card.charges) >= policy.most_upcoming:
        raise InvalidInput.at("", f"the card has {policy.most_upcoming} charges to come already")
    return Applied(replace(card, charges=(*card.charges, charge)))


def drop(card: Card, ids: Collection[str]) -> Applied:
    """A card without these charges to come, whose alerts have lost their reason."""
    gone = [charge for charge in card.charges if charge.id in ids]
    kept = tuple(charge for charge in card.charges if charge.id not in ids)
    lost = tuple(charge.alert for charge in gone if charge.alert)
    return Applied(replace(card, charges=kept), is_news=bool(gone), lost=lost)


def decide(card: Card, now: datetime, policy: CardPolicy) -> Decision:
    """What follows from how a card stands now. Who calls holds the card."""
    card = replace(card, charges=tuple(one for one in card.charges if one.ends_at > now))
    warn: list[Warn] = []
    take_back: dict[str, str] = {}
    state = _state(card.state, card.balance_minor, card.threshold_minor, policy)
    if state is not card.state:
        if state is CardState.BELOW:
            card = replace(card, episode=card.episode + 1)
            expires_at = now + timedelta(hours=policy.lifetime_hours)
            warn.append(Warn(AlertKind.LOW_BALANCE, f"balance {card.episode}", expires_at))
        elif card.state is CardState.BELOW and card.alert:
            take_back[""] = card.alert
            card = replace(card, alert="")
        card = replace(card, state=state)
    short = {one.charge.id for one in forecast(card, policy) if one.is_short}
    charges = []
    for charge in card.charges:
        after = charge
        if charge.id in short and not charge.is_warned and charge.opens_at(policy) <= now:
            key = f"charge {charge.id} {charge.expected_on} {charge.turn}"
            warn.append(Warn(AlertKind.UPCOMING_CHARGE, key, charge.ends_at, charge))
        elif charge.id not in short and charge.alert:
            take_back[charge.id] = charge.alert
            after = replace(charge, alert="")
        charges.append(after)
    card = replace(card, charges=tuple(charges))
    return Decision(card, tuple(warn), take_back, _next_check(card, now, policy))


def forecast(card: Card, policy: CardPolicy) -> list[Forecast]:
    """The charges that count, the soonest first, each with what is left before it. Those of one day: by their ids.

    A charge in another currency than the card's is not compared; nor is one that is less likely than the policy asks
    for. Where somebody has said that a merchant's charge will come, what was recognised of it counts for nothing.
    """
    left = card.balance_minor
    found = []
    for charge in sorted(card.charges, key=lambda one: (one.expected_on, one.id)):
        if counts(card, charge, policy):
            found.append(Forecast(charge, left))
            left -= charge.amount_minor
    return found


def counts(card: Card, charge: Upcoming, policy: CardPolicy) -> bool:
    """Whether a charge of the card is reckoned with."""
    if charge.currency != card.currency or charge.confidence_percent < policy.least_confidence_percent:
        return False
    if charge.source is not ChargeSource.RECOGNISED:
        return True
    return not any(
        other.source is not ChargeSource.RECOGNISED
        and other.merchant == charge.merchant
        and abs(other.expected_on - charge.expected_on) <= policy.match_days * DAY
        for other in card.charges
    )


def made(
    charges: Iterable[Upcoming],
    *,
    merchant: str,
    currency: str,
    amount_minor: int,
    made_on: date,
    within_days: int,
    band_percent: int,
) -> Upcoming | None:
    """Which of these charges one that was made is: the nearest of its merchant, about as much, in its days."""
    found = [
        charge
        for charge in charges
        if (charge.merchant, charge.currency) == (merchant, currency)
        and abs(charge.expected_on - made_on) <= within_days * DAY
        and abs(charge.amount_minor - amount_minor) * 100 <= charge.amount_minor * band_percent
    ]
    return min(found, key=lambda one: (abs(one.expected_on - made_on), one.expected_on, one.id), default=None)


def _state(state: CardState, balance: int, threshold: int | None, policy: CardPolicy) -> CardState:
    """How a balance stands to its threshold, given how it stood before."""
    if threshold is None:
        return CardState.SUFFICIENT
    if balance < threshold:
        return CardState.BELOW
    if balance * 100 >= threshold * policy.recovered_percent:
        was_below = state in (CardState.BELOW, CardState.RECOVERED)
        return CardState.RECOVERED if was_below else CardState.SUFFICIENT
    if state in (CardState.BELOW, CardState.APPROACHING):
        return state
    return CardState.APPROACHING if balance * 100 < threshold * policy.approaching_percent else state


def _next_check(card: Card, now: datetime, policy: CardPolicy) -> datetime | None:
    """When time alone may change the decision: a charge comes into its days, or its day is over."""
    moments = [charge.ends_at for charge in card.charges]
    moments += [charge.opens_at(policy) for charge in card.charges if not charge.is_warned]
    return min((moment for moment in moments if moment > now), default=None)


def _alerts_of(card: Card) -> tuple[str, ...]:
    return tuple(alert for alert in (card.alert, *(one.alert for one in card.charges)) if alert)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
