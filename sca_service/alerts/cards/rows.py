"""Cards and charges as they are stored, and what a change of them comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from sca_service.alerts.cards.model import (
    Applied,
    Balance,
    Card,
    CardState,
    ChargeSource,
    Upcoming,
    Warn,
    put_balance,
)
from sca_service.alerts.cards.recurring import PastCharge
from sca_service.alerts.model import Alert, NewAlert


class Record(Protocol):
    """A row as the driver gives it."""

    def __getitem__(self, column: str, /) -> Any:
        """What stands in a column."""


@dataclass(frozen=True, slots=True)
class HeldCard:
    """A card as it is stored; `key` and `psu` are pseudonyms. `merchants` are sealed, by the charge's id."""

    id: int
    key: str
    client: str
    psu: str
    sealed: str = field(repr=False)
    card: Card
    next_check_at: datetime | None = None
    merchants: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """What a card becomes by what a client tells, with its holder (None: the same) and the merchants of new charges.

    `is_new_holder` claims that the charges that were made are another's.
    """

    applied: Applied
    holder: tuple[str, str] | None = field(default=None, repr=False)
    merchants: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_new_holder: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """A balance to be stored, with the card's holder: a pseudonym, and what is sealed of it."""

    balance: Balance
    psu: str
    sealed: str = field(repr=False)

    def event(self, held: HeldCard | None) -> Event:
        """What a card becomes by it."""
        is_new = held is not None and held.psu != self.psu
        applied = put_balance(held.card if held else None, self.balance, is_new_holder=is_new)
        return Event(applied, (self.psu, self.sealed), is_new_holder=is_new and applied.is_news)


@dataclass(frozen=True, slots=True)
class PastRow:
    """A charge that was made, to be stored; `name` is the pseudonym by which it is known."""

    id: str
    name: str
    charge: PastCharge
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A card after a change: whether something changed, the alerts queued, and those taken back unsent."""

    held: HeldCard
    is_news: bool
    queued: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()


class Writer(Protocol):
    """Writes alerts about cards."""

    def alert(self, held: HeldCard, warn: Warn, now: datetime) -> NewAlert | None:
        """The alert for a warning; None where nobody can be reached. Raises SealBroken."""

    def bare(self, alert: Alert) -> str:
        """What stays sealed of an alert that is over. Raises SealBroken."""


def held_of(found: Record, rows: Sequence[Record]) -> HeldCard:
    """A card of its row and those of its charges to come."""
    card = Card(
        currency=found["currency"],
        balance_minor=found["balance"],
        as_of=found["as_of"],
        threshold_minor=found["threshold"],
        state=CardState(found["state"]),
        episode=found["episode"],
        alert=alert_id(found["alert"]),
        charges=tuple(charge_of(row) for row in rows),
    )
    return HeldCard(
        id=found["id"],
        key=found["card"].hex,
        client=found["client_id"],
        psu=found["psu"].hex,
        sealed=found["sealed"],
        card=card,
        next_check_at=found["next_check_at"],
        merchants={row["id"]: row["sealed"] for row in rows},
    )


def charge_columns(card_id: int, charge: Upcoming, sealed: str) -> tuple[Any, ...]:
    """The columns of a charge to come."""
    return (
        *(charge.id, card_id, charge.name, charge.merchant, charge.currency, charge.amount_minor),
        *(charge.expected_on, charge.confidence_percent, charge.source),
        *(charge.is_warned, charge.turn, alert_column(charge.alert), sealed),
    )


def charge_of(row: Record) -> Upcoming:
    """A charge to come of its row."""
    return Upcoming(
        id=row["id"],
        name=row["name"].hex,
        merchant=row["merchant"].hex,
        currency=row["currency"],
        amount_minor=row["amount"],
        expected_on=row["expected_on"],
        confidence_percent=row["confidence"],
        source=ChargeSource(row["source"]),
        is_warned=row["is_warned"],
        turn=row["turn"],
        alert=alert_id(row["alert"]),
    )


def past_of(row: Record) -> PastRow:
    """A charge that was made of its row."""
    charge = PastCharge(row["merchant"].hex, row["currency"], row["amount"], row["made_on"])
    return PastRow(row["id"], "", charge, row["sealed"])


def past_columns(rows: Sequence[PastRow]) -> tuple[list[str] | list[int] | list[date], ...]:
    """Charges that were made, column by column."""
    return (
        [row.id for row in rows],
        [row.name for row in rows],
        [row.charge.merchant for row in rows],
        [row.charge.currency for row in rows],
        [row.charge.amount_minor for row in rows],
        [row.charge.made_on for row in rows],
        [row.sealed for row in rows],
    )


def alert_id(held: Any) -> str:
    """An alert's id; in the table it is half as long."""
    return f"alt_{held.hex}" if held else ""


def alert_column(alert: str) -> str | None:
    """An alert's id as it is stored; None for none."""
    return alert.removeprefix("alt_") or None
