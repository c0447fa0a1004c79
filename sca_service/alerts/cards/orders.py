"""What clients tell of cards, and what they see of them."""

from dataclasses import dataclass, field
from datetime import date

from sca_service.alerts.cards.model import Balance, ChargeSource, Upcoming
from sca_service.alerts.cards.rows import HeldCard
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber


@dataclass(frozen=True, slots=True)
class BalanceOrder:
    """A card's balance as a client tells it."""

    psu_id: str = field(repr=False)
    phone: PhoneNumber = field(repr=False)
    locale: str
    balance: Balance


@dataclass(frozen=True, slots=True)
class UpcomingOrder:
    """A charge to come as a client tells it; `reference` is the client's own, "" for none."""

    merchant: str = field(repr=False)
    amount: Amount
    expected_on: date
    confidence_percent: int
    source: ChargeSource
    reference: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PastOrder:
    """A charge that was made as a client tells it; `reference` is the client's own, "" for none."""

    merchant: str = field(repr=False)
    amount: Amount
    made_on: date
    reference: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SeenCharge:
    """A charge to come as its client sees it."""

    charge: Upcoming
    merchant: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SeenCard:
    """A card as its client sees it. `queued` and `taken_back` are the alerts that a call led to."""

    held: HeldCard
    psu_id: str = field(repr=False)
    is_applied: bool = True
    queued: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Learned:
    """What charges that were made led to: how many are new, and what was recognised of their merchants."""

    card: SeenCard
    new: int
    recognised: tuple[SeenCharge, ...]
