"""Cards in PostgreSQL: what a client tells, what follows from it and its alerts are there in one commit, or not at all.

Whoever changes a card or its charges holds the card's row first. What has to be looked at again because of the time
alone is found by an index, and locked while it is decided on: a worker that is killed leaves it as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import structlog

from sca_service.alerts.cards.model import Applied, Card, Decision, Warn, decide, unmoved_by
from sca_service.alerts.cards.rows import (
    Event,
    HeldCard,
    Outcome,
    PastRow,
    Put,
    Writer,
    alert_column,
    charge_columns,
    held_of,
    past_columns,
    past_of,
)
from sca_service.alerts.postgres_store import Origin, queue, withdraw
from sca_service.audit.postgres_store import Connection
from sca_service.kernel.keyring import SealBroken
from sca_service.kernel.postgres import in_time
from sca_service.policy.alerts import AlertPolicy

Pool = asyncpg.Pool

_POSTPONED = timedelta(hours=1)
"""Before a card is looked at again whose holder cannot be read, or not be told."""

log = structlog.get_logger()

_ONE = "SELECT * FROM cards WHERE card = $1"
_LOCK = "SELECT * FROM cards WHERE card = $1 FOR UPDATE"
_CHARGES = "SELECT * FROM upcoming_charges WHERE card_id = $1 ORDER BY expected_on, id"
_ADD = """
    INSERT INTO cards (card, client_id, psu, sealed, currency, balance, threshold, as_of, state)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'sufficient')
    ON CONFLICT DO NOTHING
    RETURNING *
"""
# Most balances are no news: then this one statement is all there is to do.
_PUT_QUIETLY = """
    UPDATE cards SET balance = $2, as_of = $3, sealed = $4
    WHERE card = $1 AND psu = $5 AND currency = $6 AND threshold IS NOT DISTINCT FROM $7
        AND as_of < $3 AND upcoming = 0 AND next_check_at IS NULL AND state = ANY($8::text[])
    RETURNING *
"""
_SAVE = """
    UPDATE cards SET psu = $2, sealed = $3, currency = $4, balance = $5, threshold = $6, as_of = $7, state = $8,
        episode = $9, alert = $10, upcoming = $11, next_check_at = $12
    WHERE id = $1
"""
_DUE = """
    SELECT * FROM cards WHERE next_check_at <= $1 ORDER BY next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_POSTPONE = "UPDATE cards SET next_check_at = $2 WHERE id = $1"
_DROP_CHARGES = "DELETE FROM upcoming_charges WHERE id = ANY($1::text[])"
_SAVE_CHARGE = """
    INSERT INTO upcoming_charges (id, card_id, name, merchant, currency, amount, expected_on, confidence, source,
        is_warned, turn, alert, sealed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (id) DO UPDATE SET merchant = $4, currency = $5, amount = $6, confidence = $8,
        source = $9, sealed = $13, is_warned = $10, turn = $11, alert = $12
"""
_ADD_PAST = """
    INSERT INTO card_charges (card_id, id, name, merchant, currency, amount, made_on, sealed)
    SELECT $1, * FROM unnest($2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::date[], $8::text[])
    ON CONFLICT (card_id, name) DO NOTHING
    RETURNING id
"""
_PRUNE_PAST = """
    DELETE FROM card_charges WHERE card_id = $1 AND (made_on < $2 OR id IN (
        SELECT id FROM card_charges WHERE card_id = $1 ORDER BY made_on DESC, id OFFSET $3
    ))
"""
_PAST_OF = """
    SELECT merchant, currency, amount, made_on, id, sealed FROM card_charges
    WHERE card_id = $1 AND merchant = ANY($2::uuid[]) ORDER BY made_on, id
"""
_FORGET_PAST = "DELETE FROM card_charges WHERE card_id = $1"
_FORGET = "DELETE FROM cards WHERE id = $1"


class CardStore:
    """The tables of cards. A class because it holds the pool and what follows from a change."""

    def __init__(self, pool: asyncpg.Pool, policy: AlertPolicy, writer: Writer) -> None:
        self._pool = pool
        self._policy = policy
        self._writer = writer

    async def put(
        self,
        key: str,
        client: str,
        put: Put,
        *,
        now: datetime,
        origin: Origin,
    ) -> Outcome:
        """Store a balance, and the card where it is not known. Raises StoreUnavailable."""
        return await in_time(self._put(key, client, put, now, origin))

    async def change(
        self, key: str, event: Callable[[HeldCard], Event], *, now: datetime, origin: Origin
    ) -> Outcome | None:
        """Let `event` say what becomes of a card; None for an unknown one.

        Raises what `event` raises, StoreUnavailable.
        """
        return await in_time(self._change(key, event, now, origin))

    async def add_past(
        self,
        key: str,
        rows: Sequence[PastRow],
        event: Callable[[HeldCard, Sequence[PastRow], frozenset[str]], Event],
        *,
        now: datetime,
        origin: Origin,
    ) -> tuple[Outcome, int] | None:
        """Store charges that were made, and how many of them are new; None for an unknown card.

        `event` gets all that are kept of the same merchants, and the ids of the new ones. Raises StoreUnavailable.
        """
        return await in_time(self._add_past(key, rows, event, now, origin))

    async def forget(self, key: str, *, origin: Origin) -> bool:
        """Delete a card with its charges, and take back its alerts; False for an unknown one.

        Raises StoreUnavailable.
        """
        return await in_time(self._forget(key, origin))

    async def get(self, key: str) -> HeldCard | None:
        """A card with its charges to come, the soonest first. Raises StoreUnavailable."""
        return await in_time(self._get(key))

    async def look(self, *, now: datetime, origin: Origin) -> bool:
        """Decide on the card that has been due longest; False when none is. Raises StoreUnavailable."""
        return await in_time(self._look(now, origin))

    async def _put(self, key: str, client: str, put: Put, now: datetime, origin: Origin) -> Outcome:
        async with self._pool.acquire() as connection:
            found = await connection.fetchrow(
                _PUT_QUIETLY,
                *(key, put.balance.minor, put.balance.as_of, put.sealed, put.psu, put.balance.currency),
                *(put.balance.threshold_minor, unmoved_by(put.balance, self._policy.cards)),
            )
            if found is not None:
                return Outcome(held_of(found, []), is_news=True)
            async with connection.transaction():
                while True:
                    held = await _locked(connection, key)
                    if held is not None:
                        return await self._conclude(connection, held, put.event(held), now, origin)
                    done = put.event(None)
                    added = await _added(connection, key, client, put.psu, put.sealed, done.applied.card)
                    if added is not None:
                        return await self._conclude(connection, added, done, now, origin)

    async def _change(
        self, key: str, event: Callable[[HeldCard], Event], now: datetime, origin: Origin
    ) -> Outcome | None:
        async with self._pool.acquire() as connection, connection.transaction():
            held = await _locked(connection, key)
            if held is None:
                return None
            return await self._conclude(connection, held, event(held), now, origin)

    async def _add_past(
        self,
        key: str,
        rows: Sequence[PastRow],
        event: Callable[[HeldCard, Sequence[PastRow], frozenset[str]], Event],
        now: datetime,
        origin: Origin,
    ) -> tuple[Outcome, int] | None:
        async with self._pool.acquire() as connection, connection.transaction():
            held = await _locked(connection, key)
            if held is None:
                return None
            added = frozenset(
                row["id"] for row in await connection.fetch(_ADD_PAST, held.id, *past_columns(rows))
            )
            kept = self._policy.recognition
            oldest = now.date() - timedelta(days=kept.history_days)
            await connection.execute(_PRUNE_PAST, held.id, oldest, kept.most_charges)
            merchants = sorted({row.charge.merchant for row in rows})
            past = [past_of(row) for row in await connection.fetch(_PAST_OF, held.id, merchants)]
            kept_new = added & {row.id for row in past}
            done = event(held, past, kept_new)
            return await self._conclude(connection, held, done, now, origin), len(kept_new)

    async def _forget(self, key: str, origin: Origin) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            held = await _locked(connection, key)
            if held is None:
                return False
            about = (held.card.alert, *(charge.alert for charge in held.card.charges))
            await self._taken_back(connection, [alert for alert in about if alert], origin)
            await connection.execute(_FORGET, held.id)
            return True

    async def _get(self, key: str) -> HeldCard | None:
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            found = await connection.fetchrow(_ONE, key)
            return await _with_charges(connection, found) if found else None

    async def _look(self, now: datetime, origin: Origin) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_DUE, now)
            if found is None:
                return False
            held = await _with_charges(connection, found)
            try:
                async with connection.transaction():
                    await self._conclude(connection, held, Event(Applied(held.card)), now, origin)
            except (SealBroken, LookupError, ValueError):  # one card never holds up the others
                log.error("cards.postponed")
                await connection.execute(_POSTPONE, held.id, now + _POSTPONED)
            return True

    async def _conclude(
        self, connection: Connection, held: HeldCard, event: Event, now: datetime, origin: Origin
    ) -> Outcome:
        """Decide on what a card became, tell and take back what follows, and store it. The card is locked."""
        if not event.applied.is_news:
            return Outcome(held, is_news=False)
        psu, sealed = event.holder or (held.psu, held.sealed)
        decision = decide(event.applied.card, now, self._policy.cards)
        after = replace(
            held, psu=psu, sealed=sealed, card=decision.card, merchants={**held.merchants, **event.merchants}
        )
        said = {**origin, "card": held.key}
        if event.is_new_holder:
            await connection.execute(_FORGET_PAST, held.id)
        lost = (*event.applied.lost, *decision.take_back.values())
        taken_back = await self._taken_back(connection, lost, said)
        queued = await self._queued(connection, after, decision, now, said)
        card = decision.carried_out(queued=queued, taken_back=taken_back)
        after = replace(after, card=card, next_check_at=decision.next_check_at)
        if after != held:
            await _save(connection, held, after)
        return Outcome(
            after,
            is_news=True,
            queued=tuple(alert for alert in queued.values() if alert),
            taken_back=tuple(taken_back),
        )

    async def _taken_back(self, connection: Connection, alerts: Sequence[str], origin: Origin) -> list[str]:
        """Those of the alerts of which nothing was sent, or will be.

        In the order in which workers change several of them, so that neither waits for the other for good.
        """
        return [
            alert
            for alert in sorted(alerts)
            if await withdraw(connection, alert, origin, bare=self._writer.bare)
        ]

    async def _queued(
        self, connection: Connection, held: HeldCard, decision: Decision, now: datetime, origin: Origin
    ) -> dict[str, str]:
        """Queue what the holder is told. The alerts by what they are about, "" where nobody can be reached."""
        queued = {}
        for warn in decision.warn:
            new = self._writer.alert(held, warn, now)
            alert = await queue(connection, new, {**origin, **_why(held, warn)}) if new else None
            queued[warn.about] = alert.id if alert else ""
        return queued


def _why(held: HeldCard, warn: Warn) -> dict[str, object]:
    """What the log says of the reason for an alert; neither an amount nor a name."""
    if warn.charge is None:
        return {"episode": held.card.episode}
    return {
        "charge": warn.charge.id,
        "expected_on": warn.charge.expected_on.isoformat(),
        "confidence": warn.charge.confidence_percent,
        "source": warn.charge.source,
    }


async def _locked(connection: Connection, key: str) -> HeldCard | None:
    found = await connection.fetchrow(_LOCK, key)
    return await _with_charges(connection, found) if found else None


async def _with_charges(connection: Connection, found: asyncpg.Record) -> HeldCard:
    """The card with its charges: a statement of its own, which sees what was committed before the card was locked."""
    rows = await connection.fetch(_CHARGES, found["id"]) if found["upcoming"] else []
    return held_of(found, rows)


async def _added(
    connection: Connection, key: str, client: str, psu: str, sealed: str, card: Card
) -> HeldCard | None:
    """A new card; None where somebody else has just added it."""
    columns = (key, client, psu, sealed, card.currency, card.balance_minor, card.threshold_minor, card.as_of)
    found = await connection.fetchrow(_ADD, *columns)
    return held_of(found, []) if found else None


async def _save(connection: Connection, before: HeldCard, after: HeldCard) -> None:
    card, known = after.card, {charge.id: charge for charge in before.card.charges}
    gone = known.keys() - {charge.id for charge in card.charges}
    if gone:
        await connection.execute(_DROP_CHARGES, sorted(gone))
    changed = [charge for charge in card.charges if known.get(charge.id) != charge]
    if changed:
        rows = [charge_columns(after.id, charge, after.merchants[charge.id]) for charge in changed]
        await connection.executemany(_SAVE_CHARGE, rows)
    await connection.execute(
        _SAVE,
        *(after.id, after.psu, after.sealed, card.currency, card.balance_minor, card.threshold_minor),
        *(card.as_of, card.state, card.episode, alert_column(card.alert), len(card.charges)),
        after.next_check_at,
    )
