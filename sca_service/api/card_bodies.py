"""Cards as clients see them: the shapes of the contract."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from sca_service.alerts.cards.model import CardState, ChargeSource, counts, forecast
from sca_service.alerts.cards.orders import Learned, SeenCard, SeenCharge
from sca_service.alerts.cards.rows import HeldCard
from sca_service.api.responses import AmountBody, PsuBody
from sca_service.kernel.clock import timestamp
from sca_service.kernel.money import Amount
from sca_service.policy.alerts import CardPolicy


class CardBody(Struct, frozen=True):
    """A card as it stands."""

    card_ref: str
    psu: PsuBody
    balance: AmountBody
    threshold: AmountBody | None
    as_of: str
    state: CardState
    upcoming_charges: Annotated[int, Meta(description="How many charges to come are known.")]
    next_check_at: Annotated[
        str | None, Meta(description="When the service looks at it next if nobody calls; null for never.")
    ]


class PutBalanceBody(CardBody, frozen=True):
    """A card after a call: whether it changed anything, and the alerts it led to."""

    applied: Annotated[
        bool, Meta(description="False where something else is known of that moment or a later one.")
    ]
    alerts: Annotated[tuple[str, ...], Meta(description="Alerts that were queued by this call.")]
    suppressed: Annotated[
        tuple[str, ...], Meta(description="Alerts that were not sent, because the balance is enough again.")
    ]


class UpcomingChargeBody(Struct, frozen=True):
    """A charge to come, and what is predicted."""

    id: str
    merchant: str
    amount: AmountBody
    expected_date: str
    confidence: int
    source: ChargeSource
    counts: Annotated[
        bool,
        Meta(
            description="Whether it is reckoned with: it is likely enough, in the card's currency, and nobody else's "
            "word on it stands."
        ),
    ]
    predicted_balance: Annotated[
        AmountBody | None, Meta(description="What is left before it; null where it does not count.")
    ]
    short: Annotated[bool, Meta(description="Whether that will not be enough.")]
    alert: Annotated[
        str | None, Meta(description="The alert about it, as long as it may have to be suppressed.")
    ]
    warned: Annotated[bool, Meta(description="Whether an alert about it was queued, and not suppressed.")]


class UpcomingChargeListBody(Struct, frozen=True):
    """A page of them, the soonest first."""

    data: tuple[UpcomingChargeBody, ...]
    next_cursor: str | None


class PastChargesBody(Struct, frozen=True):
    """What charges that were made led to."""

    new: Annotated[int, Meta(description="How many were not known before.")]
    recognised: Annotated[
        tuple[UpcomingChargeBody, ...], Meta(description="What comes regularly from these merchants.")
    ]
    alerts: tuple[str, ...]
    suppressed: tuple[str, ...]


def card_body(card_ref: str, seen: SeenCard) -> CardBody:
    """The body for a card."""
    held, card = seen.held, seen.held.card
    threshold = card.threshold_minor
    return CardBody(
        card_ref=card_ref,
        psu=PsuBody(seen.psu_id),
        balance=_money(card.currency, card.balance_minor),
        threshold=_money(card.currency, threshold) if threshold is not None else None,
        as_of=_moment(card.as_of),
        state=card.state,
        upcoming_charges=len(card.charges),
        next_check_at=_moment(held.next_check_at) if held.next_check_at else None,
    )


def put_balance_body(card_ref: str, seen: SeenCard) -> PutBalanceBody:
    """The body for a card after a call."""
    plain = card_body(card_ref, seen)
    return PutBalanceBody(
        **{name: getattr(plain, name) for name in plain.__struct_fields__},
        applied=seen.is_applied,
        alerts=seen.queued,
        suppressed=seen.taken_back,
    )


def charge_bodies(
    held: HeldCard, charges: Sequence[SeenCharge], policy: CardPolicy
) -> tuple[UpcomingChargeBody, ...]:
    """The bodies for charges to come of a card."""
    predicted = {one.charge.id: one for one in forecast(held.card, policy)}
    bodies = []
    for seen in charges:
        charge = seen.charge
        before = predicted.get(charge.id)
        bodies.append(
            UpcomingChargeBody(
                id=charge.id,
                merchant=seen.merchant,
                amount=_money(charge.currency, charge.amount_minor),
                expected_date=charge.expected_on.isoformat(),
                confidence=charge.confidence_percent,
                source=charge.source,
                counts=counts(held.card, charge, policy),
                predicted_balance=_money(held.card.currency, before.balance_minor) if before else None,
                short=before.is_short if before else False,
                alert=charge.alert or None,
                warned=charge.is_warned,
            )
        )
    return tuple(bodies)


def past_charges_body(learned: Learned, policy: CardPolicy) -> PastChargesBody:
    """The body for what charges that were made led to."""
    return PastChargesBody(
        new=learned.new,
        recognised=charge_bodies(learned.card.held, learned.recognised, policy),
        alerts=learned.card.queued,
        suppressed=learned.card.taken_back,
    )


def _money(currency: str, minor: int) -> AmountBody:
    text = Amount(currency, abs(minor)).text
    return AmountBody(currency, f"-{text}" if minor < 0 else text)


def _moment(at: datetime) -> str:
    return timestamp(round(at.timestamp() * 1000))
