"""Alerts in PostgreSQL: durable before anything is sent, each change and the events that say so in one commit.

One statement leases what is due. A change is decided while the alert's row is locked: nobody decides on what is old.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
import msgspec

from sca_service.alerts.model import Alert, AlertKind, AlertStatus, Change, NewAlert, Suppression, take_back
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.delivery.model import DeliveryState
from sca_service.kernel.connections import in_time
from sca_service.kernel.ids import new_id
from sca_service.policy.model import Channel

CLAIM_LEASE_MS: Final = 10_000
"""How long a worker that has leased an alert may take until it puts down that it sends it."""

Origin = Mapping[str, object]
"""What the events of a change say of who made it: `actor`, and of a request its id and the policy's digest."""

# The index lets one alert have a key; whoever comes second waits for the first one's commit.
_ADD = """
    INSERT INTO alerts (id, client_id, psu, kind, dedupe, sealed, channels, status, created_at, expires_at, due_at)
    SELECT $1, $2, $3, $4, $5, $6, $7::text[], 'queued', now, now + $8::bigint * interval '1 ms', now
    FROM (SELECT clock_timestamp() AS now) AS clock
    ON CONFLICT DO NOTHING
    RETURNING *
"""

# It is sent by nobody: without a number, without a text, and never due.
_ADD_DUPLICATE = """
    INSERT INTO alerts (id, client_id, psu, kind, dedupe, sealed, channels, status, reason, created_at, expires_at)
    SELECT $1, $2, $3, $4, $5, $6, $7::text[], 'suppressed', 'duplicate', now, now + $8::bigint * interval '1 ms'
    FROM (SELECT clock_timestamp() AS now) AS clock
    ON CONFLICT DO NOTHING
    RETURNING *
"""

_CLAIM = """
    UPDATE alerts SET due_at = clock_timestamp() + $1::bigint * interval '1 ms'
    WHERE id IN (
        SELECT id FROM alerts WHERE due_at <= clock_timestamp() ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT $2
    )
    RETURNING *, clock_timestamp() AS now
"""

_LOCK = "SELECT *, clock_timestamp() AS now FROM alerts WHERE id = $1 FOR UPDATE"
_CHANGE = """
    UPDATE alerts SET status = $2, reason = $3, deliveries = $4, due_at = $5, sealed = $6 WHERE id = $1
"""
_OF_CLIENT = "SELECT * FROM alerts WHERE id = $1 AND client_id = $2"
_ONE = "SELECT * FROM alerts WHERE id = $1"
_DISOWN = """
    UPDATE alerts SET disowned_at = clock_timestamp() WHERE id = $1 AND disowned_at IS NULL
    RETURNING *, disowned_at AS now
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[DeliveryState, ...]).decode


@dataclass(frozen=True, slots=True)
class DueAlert:
    """An alert whose time has come, as it stood when it was leased at `now_ms`; its `due_at` is the lease's end."""

    alert: Alert
    now_ms: int


async def queue(connection: Connection, new: NewAlert, origin: Origin) -> Alert | None:
    """Store an alert, and the event that says so, in the caller's transaction; None where its key or id is taken."""
    columns = (new.id, new.client, new.psu, new.kind, new.dedupe, new.sealed, list(new.channels))
    added = await connection.fetchrow(_ADD, *columns, new.lifetime_ms)
    if added is None:
        return None
    alert = _alert(added)
    members = {
        "kind": alert.kind,
        "channels": alert.channels,
        "dedupe": new.dedupe,
        "expires_at_ms": alert.expires_at,
    }
    await insert_events(connection, [_event("alert.queued", alert, alert.created_at, origin, members)])
    return alert


async def withdraw(
    connection: Connection, alert_id: str, origin: Origin, *, bare: Callable[[Alert], str]
) -> bool:
    """Suppress an alert as `recovered` in the caller's transaction; whether nothing of it was sent, or will be.

    A worker that has begun to send it is waited for, and then it is too late. `bare` says what stays sealed of it.
    """
    found = await connection.fetchrow(_LOCK, alert_id)
    if found is None:
        return False
    alert, now_ms = _alert(found), _ms(found["now"])
    if alert.status.is_final:
        return alert.status is AlertStatus.SUPPRESSED and alert.reason == Suppression.RECOVERED
    change = take_back(alert)
    if change.alert == alert:
        return False
    after = change.alert
    sealed = bare(after) if after.sealed else ""
    await connection.execute(_CHANGE, after.id, after.status, after.reason, "[]", None, sealed)
    events = [_event(kind, after, now_ms, origin, members) for kind, members in change.events]
    await insert_events(connection, events)
    return True


class AlertStore:
    """The table `alerts`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, new: NewAlert, origin: Origin) -> Alert:
        """Queue an alert. The same id again is the one from before; another one with the same key is suppressed.

        Raises StoreUnavailable.
        """
        return await in_time(self._add(new, origin))

    async def get(self, alert_id: str, client: str) -> Alert | None:
        """One of a client's. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_OF_CLIENT, alert_id, client))
        return _alert(found) if found else None

    async def of_anybody(self, alert_id: str) -> Alert | None:
        """One of whatever client: a supplier speaks of it. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, alert_id))
        return _alert(found) if found else None

    async def claim(self, *, most: int) -> list[DueAlert]:
        """Lease what is due, what has waited longest first. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_CLAIM, CLAIM_LEASE_MS, most))
        return [DueAlert(_alert(row), _ms(row["now"])) for row in rows]

    async def change(
        self,
        alert_id: str,
        decide: Callable[[Alert, int], Change | None],
        origin: Origin,
        *,
        leased_until: int | None = None,
    ) -> tuple[Change, bool] | None:
        """Let `decide` say what becomes of an alert, given how it stands and the time; also whether that was news.

        None when there is no such alert, `decide` says None, or the lease that is named is over. Raises what `decide`
        raises, StoreUnavailable.
        """
        return await in_time(self._change(alert_id, decide, origin, leased_until))

    async def disown(self, alert_id: str, origin: Origin) -> bool:
        """Put on record that the payer did not do what an alert tells; again is as once. False for an unknown one.

        Raises StoreUnavailable.
        """
        return await in_time(self._disown(alert_id, origin))

    async def _add(self, new: NewAlert, origin: Origin) -> Alert:
        async with self._pool.acquire() as connection, connection.transaction():
            queued = await queue(connection, new, origin)
            if queued is not None:
                return queued
            columns = (new.id, new.client, new.psu, new.kind, new.dedupe, new.sealed_bare)
            added = await connection.fetchrow(_ADD_DUPLICATE, *columns, list(new.channels), new.lifetime_ms)
            if added is None:  # the same request once more
                (before,) = await connection.fetch(_ONE, new.id)
                return _alert(before)
            alert = _alert(added)
            members = {"kind": alert.kind, "dedupe": new.dedupe, "reason": Suppression.DUPLICATE}
            event = _event("alert.suppressed", alert, alert.created_at, origin, members)
            await insert_events(connection, [event])
            return alert

    async def _change(
        self,
        alert_id: str,
        decide: Callable[[Alert, int], Change | None],
        origin: Origin,
        leased_until: int | None,
    ) -> tuple[Change, bool] | None:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_LOCK, alert_id)
            if found is None:
                return None
            alert, now_ms = _alert(found), _ms(found["now"])
            if leased_until is not None and alert.due_at != leased_until:
                return None
            change = decide(alert, now_ms)
            if change is None or change.alert == alert:
                return (change, False) if change else None
            after = change.alert
            due_at = _moment(after.due_at) if after.due_at is not None else None
            encoded = _encode(after.deliveries).decode()
            await connection.execute(
                _CHANGE, after.id, after.status, after.reason, encoded, due_at, after.sealed
            )
            if change.events:
                events = [_event(kind, after, now_ms, origin, members) for kind, members in change.events]
                await insert_events(connection, events)
            return change, True

    async def _disown(self, alert_id: str, origin: Origin) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_DISOWN, alert_id)
            if found is None:
                return await connection.fetchrow(_ONE, alert_id) is not None
            event = _event("payer.not_me", _alert(found), _ms(found["now"]), origin, {})
            await insert_events(connection, [event])
            return True


def _event(kind: str, alert: Alert, at_ms: int, origin: Origin, members: Mapping[str, object]) -> AuditEvent:
    said = {"client": alert.client, "psu": alert.psu, **origin, "alert": alert.id, **members}
    return AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=at_ms, members=said)


def _alert(found: asyncpg.Record) -> Alert:
    return Alert(
        id=found["id"],
        client=found["client_id"],
        psu=found["psu"],
        kind=AlertKind(found["kind"]),
        channels=tuple(Channel(one) for one in found["channels"]),
        status=AlertStatus(found["status"]),
        created_at=_ms(found["created_at"]),
        expires_at=_ms(found["expires_at"]),
        due_at=_ms(found["due_at"]) if found["due_at"] else None,
        reason=found["reason"],
        deliveries=_decode(found["deliveries"]),
        sealed=found["sealed"],
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
