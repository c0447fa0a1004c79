"""Alerts in PostgreSQL: durable before anything is sent, each change and the events that say so in one commit.

One statement leases what is due. A change is decided while the alert's row is locked: nobody decides on what is old.
Changes that are asked for while another commit is under way leave together with the next one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import asyncpg

from sca_service.alerts.intake.postgres_store import Intake, queue_all
from sca_service.alerts.model import (
    CLAIM_LEASE_MS,
    Alert,
    AlertStatus,
    Change,
    NewAlert,
    Suppression,
    TakenIn,
    take_back,
)
from sca_service.alerts.rows import Origin, Row, alert_of_row, deliveries_text, event_of, moment_of_ms, ms_of
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import Connection, copy_events, insert_events
from sca_service.kernel.batching import Batcher, at_once
from sca_service.kernel.errors import ScaError
from sca_service.kernel.postgres import in_time

__all__ = ["Origin"]

_MOST_CHANGES: Final = 200
"""Changes of one commit: it stays far below the deadline of a statement, also on a busy machine."""

_CLAIM = """
    UPDATE alerts SET due_at = clock_timestamp() + $1::bigint * interval '1 ms'
    WHERE id IN (
        SELECT id FROM alerts WHERE due_at <= clock_timestamp() ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT $2
    )
    RETURNING *, clock_timestamp() AS now
"""

# In one order, so that two who change the same alerts never wait for each other for good.
_LOCK = "SELECT *, clock_timestamp() AS now FROM alerts WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE"
_CHANGE = """
    UPDATE alerts
    SET status = new.status, reason = new.reason, deliveries = new.deliveries, due_at = new.due_at, sealed = new.sealed
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
        AS new (id, status, reason, deliveries, due_at, sealed)
    WHERE alerts.id = new.id
"""
_OF_CLIENT = "SELECT * FROM alerts WHERE id = $1 AND client_id = $2"
_ONE = "SELECT * FROM alerts WHERE id = $1"
_PAGE = """
    SELECT * FROM alerts
    WHERE client_id = $1 AND ($2::text IS NULL OR psu = $2) AND ($3::text IS NULL OR status = $3)
      AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
    ORDER BY created_at DESC, id DESC
    LIMIT $6
"""
_DISOWN = """
    UPDATE alerts SET disowned_at = clock_timestamp() WHERE id = $1 AND disowned_at IS NULL
    RETURNING *, disowned_at AS now
"""

Decide = Callable[[Alert, int], Change | None]
"""What becomes of an alert, given how it stands and the time; None when nothing is to be said of it."""


@dataclass(frozen=True, slots=True)
class DueAlert:
    """An alert whose time has come, as it stood when it was leased at `now_ms`; its `due_at` is the lease's end."""

    alert: Alert
    now_ms: int


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts of a client are listed; `after` is the place of the last one before them, in (ms, id)."""

    psu: str | None = None
    status: AlertStatus | None = None
    after: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class _Wish:
    """A change that somebody asks for."""

    alert_id: str
    decide: Decide
    origin: Origin
    leased_until: int | None


@dataclass(frozen=True, slots=True)
class _Decided:
    """What is written of a commit: how alerts stand after it, its events, and what each who asked is told."""

    alerts: dict[str, Alert]
    events: list[AuditEvent]
    told: "list[tuple[Change, bool] | Exception | None]"


async def queue(connection: Connection, new: NewAlert, origin: Origin) -> Alert | None:
    """Store an alert, and the event that says so, in the caller's transaction; None where its key or id is taken."""
    queued = await queue_all(connection, [new], origin)
    return queued[0] if queued else None


async def withdraw(
    connection: Connection, alert_id: str, origin: Origin, *, bare: Callable[[Alert], str]
) -> bool:
    """Suppress an alert as `recovered` in the caller's transaction; whether nothing of it was sent, or will be.

    A worker that has begun to send it is waited for, and then it is too late. `bare` says what stays sealed of it.
    """
    rows = await connection.fetch(_LOCK, [alert_id])
    if not rows:
        return False
    alert, now_ms = alert_of_row(rows[0]), ms_of(rows[0]["now"])
    if alert.status.is_final:
        return alert.status is AlertStatus.SUPPRESSED and alert.reason == Suppression.RECOVERED
    change = take_back(alert)
    if change.alert == alert:
        return False
    after = replace(change.alert, sealed=bare(change.alert) if alert.sealed else "")
    await connection.execute(_CHANGE, *_columns([after]))
    events = [event_of(after, kind, now_ms, origin, members) for kind, members in change.events]
    await insert_events(connection, events)
    return True


class AlertStore:
    """The table `alerts`. A class because it holds the pool, and the changes that wait for their commit."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._intake = Intake(pool)
        self._changes: Batcher[_Wish, tuple[Change, bool] | None] = Batcher(
            at_once(self._change_all), most_in_flight=1, most_in_batch=_MOST_CHANGES, most_waiting=20_000
        )

    async def add(self, new: NewAlert, origin: Origin) -> Alert:
        """Queue an alert. The same id again is the one from before; another one with the same key is suppressed.

        Raises StoreUnavailable.
        """
        return await self._intake.add(new, origin)

    async def add_all(self, news: Sequence[NewAlert], origin: Origin) -> list[TakenIn]:
        """As `add` for many. Raises StoreUnavailable: then some may be queued, and the same ids again find them."""
        return await self._intake.add_all(news, origin)

    async def get(self, alert_id: str, client: str) -> Alert | None:
        """One of a client's. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_OF_CLIENT, alert_id, client))
        return alert_of_row(found) if found else None

    async def page(self, client: str, wanted: AlertFilter, *, most: int) -> list[Alert]:
        """A client's alerts, the newest first. Raises StoreUnavailable."""
        at_ms, alert_id = wanted.after or (None, None)
        at = moment_of_ms(at_ms) if at_ms is not None else None
        status = wanted.status.value if wanted.status else None
        rows = await in_time(self._pool.fetch(_PAGE, client, wanted.psu, status, at, alert_id, most))
        return [alert_of_row(row) for row in rows]

    async def of_anybody(self, alert_id: str) -> Alert | None:
        """One of whatever client: a supplier speaks of it. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, alert_id))
        return alert_of_row(found) if found else None

    async def claim(self, *, most: int) -> list[DueAlert]:
        """Lease what is due, what has waited longest first. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_CLAIM, CLAIM_LEASE_MS, most))
        return [DueAlert(alert_of_row(row), ms_of(row["now"])) for row in rows]

    async def change(
        self, alert_id: str, decide: Decide, origin: Origin, *, leased_until: int | None = None
    ) -> tuple[Change, bool] | None:
        """Let `decide` say what becomes of an alert, given how it stands and the time; also whether that was news.

        None when there is no such alert, `decide` says None, or the lease that is named is over. Raises what `decide`
        raises, StoreUnavailable.
        """
        return await self._changes.submit(_Wish(alert_id, decide, origin, leased_until))

    async def disown(self, alert_id: str, origin: Origin) -> bool:
        """Put on record that the payer did not do what an alert tells; again is as once. False for an unknown one.

        Raises StoreUnavailable.
        """
        return await in_time(self._disown(alert_id, origin))

    async def _change_all(self, wishes: Sequence[_Wish]) -> Sequence[tuple[Change, bool] | Exception | None]:
        return await in_time(self._transact(wishes))

    async def _transact(self, wishes: Sequence[_Wish]) -> Sequence[tuple[Change, bool] | Exception | None]:
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_LOCK, list({wish.alert_id for wish in wishes}))
            decided = _decided(wishes, rows)
            if decided.alerts:
                await connection.execute(_CHANGE, *_columns(decided.alerts.values()))
            if decided.events:
                await copy_events(connection, decided.events)
            return decided.told

    async def _disown(self, alert_id: str, origin: Origin) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_DISOWN, alert_id)
            if found is None:
                return await connection.fetchrow(_ONE, alert_id) is not None
            event = event_of(alert_of_row(found), "payer.not_me", ms_of(found["now"]), origin, {})
            await insert_events(connection, [event])
            return True


def _decided(wishes: Sequence[_Wish], rows: Sequence[Row]) -> _Decided:
    """What becomes of the locked rows, wish after wish: of two for one alert the second sees what the first did.

    A wish whose decision fails, or whose event is too long for the log, changes nothing, and those beside it go on.
    """
    standing = {row["id"]: alert_of_row(row) for row in rows}
    now_ms = ms_of(rows[0]["now"]) if rows else 0
    decided = _Decided({}, [], [])
    for wish in wishes:
        alert = standing.get(wish.alert_id)
        if alert is None or (wish.leased_until is not None and alert.due_at != wish.leased_until):
            decided.told.append(None)
            continue
        try:
            change = wish.decide(alert, now_ms)
            said = change.events if change else ()
            events = [event_of(alert, kind, now_ms, wish.origin, members) for kind, members in said]
        except (ScaError, ValueError) as fault:
            decided.told.append(fault)
            continue
        if change is None or change.alert == alert:
            decided.told.append((change, False) if change else None)
            continue
        standing[alert.id] = decided.alerts[alert.id] = change.alert
        decided.events.extend(events)
        decided.told.append((change, True))
    return decided


def _columns(alerts: Iterable[Alert]) -> tuple[tuple[object, ...], ...]:
    """One array for each column."""
    rows = [
        (
            one.id,
            one.status,
            one.reason,
            deliveries_text(one),
            moment_of_ms(one.due_at) if one.due_at is not None else None,
            one.sealed,
        )
        for one in alerts
    ]
    return tuple(zip(*rows, strict=True))
