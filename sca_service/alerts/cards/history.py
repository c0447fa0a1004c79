"""What charges that were made say of those to come: an expected one has come, a regular one will come again. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

from sca_service.alerts.cards.model import Applied, Card, ChargeSource, Upcoming, drop, made
from sca_service.alerts.cards.recurring import PastCharge, Regular, is_alike, recognise
from sca_service.policy.alerts import AlertPolicy


def learn(
    card: Card,
    past: Sequence[PastCharge],
    *,
    new: Sequence[PastCharge],
    today: date,
    policy: AlertPolicy,
    next_id: Callable[[], str],
) -> Applied:
    """A card once these charges were made. `past` are all of their merchants', `new` those not known before.

    A charge that was expected and has come is expected no more. What is recognised as regular is expected next, and
    what was recognised and has stopped is not. `next_id` names a charge to come.
    """
    come = _come(card, new, policy)
    applied = drop(card, come)
    lost, card = applied.lost, applied.card
    for merchant, currency in dict.fromkeys((one.merchant, one.currency) for one in past):
        charges = [one for one in past if (one.merchant, one.currency) == (merchant, currency)]
        regular = [
            one
            for one in recognise(charges, today, policy.recognition)
            if one.confidence_percent >= policy.cards.least_confidence_percent
        ]
        applied = _expected_next(card, merchant, currency, regular, policy=policy, next_id=next_id)
        lost, card = (*lost, *applied.lost), applied.card
    return Applied(card, is_news=True, lost=lost)


def _come(card: Card, new: Sequence[PastCharge], policy: AlertPolicy) -> set[str]:
    """The charges to come that these are, each at most one; what was recognised is recognised anew."""
    told = [charge for charge in card.charges if charge.source is not ChargeSource.RECOGNISED]
    come: set[str] = set()
    for one in sorted(new, key=lambda charge: (charge.made_on, charge.amount_minor)):
        found = made(
            [charge for charge in told if charge.id not in come],
            merchant=one.merchant,
            currency=one.currency,
            amount_minor=one.amount_minor,
            made_on=one.made_on,
            within_days=policy.cards.match_days,
            band_percent=policy.recognition.amount_band_percent,
        )
        if found:
            come.add(found.id)
    return come


def _expected_next(
    card: Card,
    merchant: str,
    currency: str,
    regular: Sequence[Regular],
    *,
    policy: AlertPolicy,
    next_id: Callable[[], str],
) -> Applied:
    """The card with what was recognised of one merchant, in place of what was recognised before."""
    before = {
        one.id: one
        for one in card.charges
        if one.source is ChargeSource.RECOGNISED and (one.merchant, one.currency) == (merchant, currency)
    }
    after = []
    for one in regular:
        known = next(
            (
                charge
                for charge in before.values()
                if charge.expected_on == one.next_on
                and is_alike(charge.amount_minor, one.amount_minor, policy.recognition)
            ),
            None,
        )
        if known:
            del before[known.id]
            after.append(
                replace(known, amount_minor=one.amount_minor, confidence_percent=one.confidence_percent)
            )
        else:
            after.append(_recognised(one, merchant, currency, next_id()))
    applied = drop(card, before.keys())
    ids = {charge.id for charge in after}
    others = tuple(charge for charge in applied.card.charges if charge.id not in ids)
    room = max(policy.cards.most_upcoming - len(others), 0)
    return replace(applied, card=replace(applied.card, charges=(*others, *after[:room])))


def _recognised(regular: Regular, merchant: str, currency: str, charge_id: str) -> Upcoming:
    return Upcoming(
        id=charge_id,
        name=charge_id.rpartition("_")[2],
        merchant=merchant,
        currency=currency,
        amount_minor=regular.amount_minor,
        expected_on=regular.next_on,
        confidence_percent=regular.confidence_percent,
        source=ChargeSource.RECOGNISED,
    )
