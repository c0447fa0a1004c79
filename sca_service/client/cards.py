"""Cards: balances and charges to come, so that the service itself warns."""

from collections.abc import Sequence
from typing import Required, TypedDict

import msgspec

from sca_service.client.call import NOTHING, Call, Page, quoted
from sca_service.client.shapes import Amount, AmountForm, Psu


class BalanceForm(TypedDict, total=False):
    """What a card can spend."""

    currency: Required[str]
    amount: Required[str]


class Card(msgspec.Struct, frozen=True):
    """A card as the service sees it."""

    card_ref: str
    psu: Psu
    balance: Amount
    threshold: Amount | None
    as_of: str
    state: str
    upcoming_charges: int
    next_check_at: str | None


class HolderForm(TypedDict, total=False):
    """The payer who holds a card."""

    id: Required[str]
    phone: Required[str]
    locale: str | None


class PastChargeForm(TypedDict, total=False):
    """A charge that was made."""

    merchant: Required[str]
    amount: Required[AmountForm]
    date: Required[str]
    reference: str | None


class UpcomingCharge(msgspec.Struct, frozen=True):
    """A charge to come."""

    id: str
    merchant: str
    amount: Amount
    expected_date: str
    confidence: int
    source: str
    counts: bool
    predicted_balance: Amount | None
    short: bool
    alert: str | None
    warned: bool


class PastCharges(msgspec.Struct, frozen=True):
    """How many past charges were taken."""

    new: int
    recognised: tuple[UpcomingCharge, ...]
    alerts: tuple[str, ...]
    suppressed: tuple[str, ...]


class PutBalance(msgspec.Struct, frozen=True):
    """What a balance came to."""

    card_ref: str
    psu: Psu
    balance: Amount
    threshold: Amount | None
    as_of: str
    state: str
    upcoming_charges: int
    next_check_at: str | None
    applied: bool
    alerts: tuple[str, ...]
    suppressed: tuple[str, ...]


def put_balance(
    card_ref: str, *, psu: HolderForm, balance: BalanceForm, as_of: str, threshold: AmountForm | None = None
) -> Call[PutBalance]:
    """Tell a card's balance.

    The holder is warned when the balance falls below the threshold, once until it has recovered, and of a
    charge to come that it will not be enough for. A balance that is not newer (`as_of`) than what is known
    changes nothing, and `applied` is false. What is not sent yet is suppressed when the balance is enough
    again.
    """
    return Call(
        "PUT",
        f"/v1/cards/{quoted(card_ref)}/balance",
        PutBalance,
        body={"psu": psu, "balance": balance, "as_of": as_of, "threshold": threshold},
    )


def read(card_ref: str) -> Call[Card]:
    """A card as it stands."""
    return Call("GET", f"/v1/cards/{quoted(card_ref)}", Card)


def forget(card_ref: str) -> Call[None]:
    """Forget a card. With its charges. Alerts about it that are not sent yet are suppressed."""
    return Call("DELETE", f"/v1/cards/{quoted(card_ref)}", NOTHING)


def add_upcoming_charge(
    card_ref: str,
    *,
    merchant: str,
    amount: AmountForm,
    expected_date: str,
    confidence: int | None = None,
    source: str | None = None,
    reference: str | None = None,
) -> Call[UpcomingCharge]:
    """Tell of a charge to come.

    The holder is warned some days before it when the balance will not be enough, at most once for each
    charge and day. The same `reference`, or without one the same merchant, on the same day is the same
    charge: what is sent last stands. Accepts an `Idempotency-Key`.
    """
    return Call(
        "POST",
        f"/v1/cards/{quoted(card_ref)}/upcoming-charges",
        UpcomingCharge,
        body={
            "merchant": merchant,
            "amount": amount,
            "expected_date": expected_date,
            "confidence": confidence,
            "source": source,
            "reference": reference,
        },
    )


def upcoming_charges(card_ref: str, *, limit: int | None = None) -> Call[Page[UpcomingCharge]]:
    """The charges to come of a card.

    Those that were told and those that were recognised, the soonest first, with what is predicted.
    """
    return Call(
        "GET", f"/v1/cards/{quoted(card_ref)}/upcoming-charges", Page[UpcomingCharge], query={"limit": limit}
    )


def cancel_upcoming_charge(card_ref: str, charge_id: str) -> Call[None]:
    """Expect a charge no more. An alert about it that is not sent yet is suppressed."""
    return Call("DELETE", f"/v1/cards/{quoted(card_ref)}/upcoming-charges/{quoted(charge_id)}", NOTHING)


def add_charges(card_ref: str, *, charges: Sequence[PastChargeForm]) -> Call[PastCharges]:
    """Tell of charges that were made.

    Regular ones are recognised among them, and expected again with the source `recognised`. A charge to
    come that has come is expected no more. Each counts once, by its `reference` or by its merchant, day
    and amount, so a request may be repeated.
    """
    return Call("POST", f"/v1/cards/{quoted(card_ref)}/charges", PastCharges, body={"charges": charges})
