"""Take in what clients tell of cards, and look at what falls due: the one place with the control flow."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sca_service.alerts.cards.content import Holder, holder_of, merchant_of, sealed_holder, sealed_merchant
from sca_service.alerts.cards.history import learn
from sca_service.alerts.cards.model import Applied, Balance, ChargeSource, Upcoming, drop, expect
from sca_service.alerts.cards.orders import (
    BalanceOrder,
    Learned,
    PastOrder,
    SeenCard,
    SeenCharge,
    UpcomingOrder,
)
from sca_service.alerts.cards.postgres_store import CardStore
from sca_service.alerts.cards.recurring import PastCharge
from sca_service.alerts.cards.rows import Event, HeldCard, Outcome, PastRow, Put
from sca_service.alerts.postgres_store import Origin
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Policy

MOST_AHEAD: Final = timedelta(minutes=10)
"""How far a client's clock may be ahead: a balance of the future would make all that follow too late."""
MOST_DAYS_TO_COME: Final = 400
"""A yearly charge, with room."""


class CardDesk:
    """Keeps what is known of cards. A class because it holds the store, the policy and the keys."""

    def __init__(self, *, policy: Policy, keyring: Keyring, store: CardStore, clock: Clock) -> None:
        self._policy = policy.alerts
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._looking: Origin = {"actor": "worker", "policy": policy.digest}

    async def put_balance(self, client: str, card_ref: str, order: BalanceOrder, origin: Origin) -> SeenCard:
        """A card's newest balance. One that is not newer than what is known changes nothing.

        Raises InvalidInput for a time that is still to come, StoreUnavailable.
        """
        now, key, balance = self._now(), self._key(client, card_ref), order.balance
        if balance.as_of > now + MOST_AHEAD:
            raise InvalidInput.at("/as_of", "must not lie in the future")
        psu = self._keyring.pseudonym("payer", client, order.psu_id)
        holder = Holder(order.psu_id, order.phone.e164, order.locale)
        put = Put(balance, psu, sealed_holder(self._keyring, holder, key))
        outcome = await self._store.put(key, client, put, now=now, origin=origin)
        applies = outcome.is_news or self._says_the_same(outcome.held, put, holder)
        seen = self._seen(outcome, psu_id=order.psu_id if outcome.held.psu == psu else None)
        return replace(seen, is_applied=applies)

    async def expect(
        self, client: str, card_ref: str, order: UpcomingOrder, origin: Origin, *, unique: str | None = None
    ) -> tuple[SeenCharge, SeenCard]:
        """A charge to come. Another one of the same name for the same day takes its place.

        `unique` names a repeated request. Raises NotFound, InvalidInput, StoreUnavailable.
        """
        now, key = self._now(), self._key(client, card_ref)
        days = (order.expected_on - now.date()).days
        if not 0 <= days <= MOST_DAYS_TO_COME:
            raise InvalidInput.at("/expected_date", f"must be today or within {MOST_DAYS_TO_COME} days")
        merchant = self._merchant(key, order.merchant)
        new = Upcoming(
            id=f"chg_{unique}" if unique else new_id("chg"),
            name=self._keyring.pseudonym("charge", key, order.reference) if order.reference else merchant,
            merchant=merchant,
            currency=order.amount.currency,
            amount_minor=order.amount.minor,
            expected_on=order.expected_on,
            confidence_percent=order.confidence_percent,
            source=order.source,
        )

        def event(held: HeldCard) -> Event:
            applied = expect(held.card, new, self._policy.cards)
            stands = _standing(applied.card.charges, new)
            return Event(
                applied, merchants={stands.id: sealed_merchant(self._keyring, order.merchant, stands.id)}
            )

        outcome = await self._store.change(key, event, now=now, origin=origin)
        if outcome is None:
            raise NotFound
        return SeenCharge(_standing(outcome.held.card.charges, new), order.merchant), self._seen(outcome)

    async def record(
        self, client: str, card_ref: str, orders: Sequence[PastOrder], origin: Origin
    ) -> Learned:
        """Charges that were made, and what is learned of them; one that is known counts once.

        Raises NotFound, InvalidInput, StoreUnavailable.
        """
        now, key = self._now(), self._key(client, card_ref)
        today = now.date()
        for at, order in enumerate(orders):
            if order.made_on > today + timedelta(days=1):  # it is tomorrow there
                raise InvalidInput.at(f"/charges/{at}/date", "must not lie in the future")
        rows = [self._past(key, order) for order in orders]

        def event(held: HeldCard, past: Sequence[PastRow], added: frozenset[str]) -> Event:
            made = [row.charge for row in past if row.id in added]
            applied = learn(
                held.card,
                [row.charge for row in past],
                new=made,
                today=today,
                policy=self._policy,
                next_id=lambda: new_id("chg"),
            )
            return Event(applied, merchants=self._merchants_of(held, applied, past))

        done = await self._store.add_past(key, rows, event, now=now, origin=origin)
        if done is None:
            raise NotFound
        outcome, new = done
        merchants = {row.charge.merchant for row in rows}
        recognised = tuple(
            one
            for one in self._seen_charges(outcome.held)
            if one.charge.source is ChargeSource.RECOGNISED and one.charge.merchant in merchants
        )
        return Learned(self._seen(outcome), new, recognised)

    async def cancel(self, client: str, card_ref: str, charge_id: str, origin: Origin) -> None:
        """Expect a charge no more. Raises NotFound, StoreUnavailable."""

        def event(held: HeldCard) -> Event:
            applied = drop(held.card, {charge_id})
            if not applied.is_news:
                raise NotFound
            return Event(applied)

        outcome = await self._store.change(self._key(client, card_ref), event, now=self._now(), origin=origin)
        if outcome is None:
            raise NotFound

    async def forget(self, client: str, card_ref: str, origin: Origin) -> None:
        """Forget a card and its charges; what waits to be sent about it is not. Raises NotFound, StoreUnavailable."""
        if not await self._store.forget(self._key(client, card_ref), origin=origin):
            raise NotFound

    async def get(self, client: str, card_ref: str) -> SeenCard:
        """A card as it stands. Raises NotFound, StoreUnavailable."""
        return self._seen_card(await self._held(client, card_ref))

    async def upcoming(self, client: str, card_ref: str) -> tuple[SeenCard, tuple[SeenCharge, ...]]:
        """A card and its charges to come, the soonest first. Raises NotFound, StoreUnavailable."""
        held = await self._held(client, card_ref)
        return self._seen_card(held), self._seen_charges(held)

    async def look(self) -> bool:
        """Decide on the card that has been due longest because of the time; False when none is.

        Raises StoreUnavailable.
        """
        return await self._store.look(now=self._now(), origin=self._looking)

    async def _held(self, client: str, card_ref: str) -> HeldCard:
        held = await self._store.get(self._key(client, card_ref))
        if held is None:
            raise NotFound
        return held

    def _past(self, key: str, order: PastOrder) -> PastRow:
        merchant = self._merchant(key, order.merchant)
        charge = PastCharge(merchant, order.amount.currency, order.amount.minor, order.made_on)
        name = (
            self._keyring.pseudonym("past charge", key, order.reference)
            if order.reference
            else self._keyring.pseudonym(
                "past charge",
                key,
                merchant,
                order.made_on.isoformat(),
                order.amount.currency,
                order.amount.text,
            )
        )
        charge_id = new_id("chg")
        return PastRow(charge_id, name, charge, sealed_merchant(self._keyring, order.merchant, charge_id))

    def _merchants_of(self, held: HeldCard, applied: Applied, past: Sequence[PastRow]) -> Mapping[str, str]:
        """The merchants of the charges to come that were not there before, sealed for each."""
        newest = {row.charge.merchant: row for row in past}
        return {
            charge.id: sealed_merchant(
                self._keyring,
                merchant_of(self._keyring, newest[charge.merchant].sealed, newest[charge.merchant].id),
                charge.id,
            )
            for charge in applied.card.charges
            if charge.id not in held.merchants
        }

    def _says_the_same(self, held: HeldCard, put: Put, holder: Holder) -> bool:
        """Whether what a client tells is how the card stands already: a request that is repeated."""
        card = held.card
        known = Balance(card.currency, card.balance_minor, card.as_of, card.threshold_minor)
        return (held.psu, known) == (put.psu, put.balance) and holder_of(
            self._keyring, held.sealed, held.key
        ) == holder

    def _seen(self, outcome: Outcome, *, psu_id: str | None = None) -> SeenCard:
        seen = self._seen_card(outcome.held, psu_id)
        return replace(seen, queued=outcome.queued, taken_back=outcome.taken_back)

    def _seen_card(self, held: HeldCard, psu_id: str | None = None) -> SeenCard:
        """A card with its holder, who is only opened where nobody has just said who it is."""
        known = psu_id if psu_id is not None else holder_of(self._keyring, held.sealed, held.key).psu_id
        return SeenCard(held, known)

    def _seen_charges(self, held: HeldCard) -> tuple[SeenCharge, ...]:
        return tuple(
            SeenCharge(one, merchant_of(self._keyring, held.merchants[one.id], one.id))
            for one in sorted(held.card.charges, key=lambda charge: (charge.expected_on, charge.id))
        )

    def _key(self, client: str, card_ref: str) -> str:
        return self._keyring.pseudonym("card", client, card_ref)

    def _merchant(self, key: str, name: str) -> str:
        """A merchant's pseudonym within the card: the same however it is spelled in capitals and spaces."""
        spelled = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        return self._keyring.pseudonym("merchant", key, spelled)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)


def _standing(charges: Sequence[Upcoming], new: Upcoming) -> Upcoming:
    """The charge of this name and day."""
    return next(one for one in charges if (one.name, one.expected_on) == (new.name, new.expected_on))
