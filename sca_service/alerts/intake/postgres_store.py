"""New alerts in PostgreSQL: many in one statement, one for each dedupe key, their events in the same commit.

The index lets one alert have a key; whoever comes second waits for the first one's commit. Keys are inserted in one
order, so that two batches with the same keys never wait for each other for good.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg

from sca_service.alerts.model import Alert, AlertStatus, NewAlert, Suppression, TakenIn
from sca_service.alerts.rows import Origin, alert_of_row, event_of, moment_of_ms, queued_alert
from sca_service.audit.postgres_store import Connection, copy_events
from sca_service.kernel.postgres import in_time

AT_ONCE: Final = 50
"""Alerts of one commit: what is made and sent of it holds the event loop, and PostgreSQL, for a millisecond."""
_MOST_COMMITS: Final = 2
"""Of batches at once in one process: whoever verifies a code finds a connection."""

_COLUMNS = """
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::timestamptz[], $11::bigint[]
"""
_NAMES = "id, client, psu, kind, topic, dedupe, sealed, channels, time_zone, send_at, lifetime_ms, at"

_ADD = f"""
    INSERT INTO alerts (id, client_id, psu, kind, topic, dedupe, sealed, channels, time_zone, status, created_at,
        send_at, expires_at, due_at)
    SELECT new.id, client, psu, kind, topic, dedupe, sealed, string_to_array(channels, ' '), time_zone, 'queued', now,
        send_at, GREATEST(now, send_at) + lifetime_ms * interval '1 ms', GREATEST(now, send_at)
    FROM (SELECT date_trunc('milliseconds', clock_timestamp()) AS now) AS clock,
        unnest({_COLUMNS}) WITH ORDINALITY AS new ({_NAMES})
    ORDER BY client, dedupe, at
    ON CONFLICT DO NOTHING
    RETURNING id, created_at, expires_at
"""  # noqa: S608 - made of what stands above

# It is sent by nobody: without a number, without a text, and never due.
_ADD_DUPLICATES = f"""
    INSERT INTO alerts (id, client_id, psu, kind, topic, dedupe, sealed, channels, time_zone, status, reason,
        created_at, send_at, expires_at)
    SELECT new.id, client, psu, kind, topic, dedupe, sealed, string_to_array(channels, ' '), time_zone, 'suppressed',
        'duplicate', now, send_at, GREATEST(now, send_at) + lifetime_ms * interval '1 ms'
    FROM (SELECT date_trunc('milliseconds', clock_timestamp()) AS now) AS clock,
        unnest({_COLUMNS}) WITH ORDINALITY AS new ({_NAMES})
    ORDER BY new.id
    ON CONFLICT DO NOTHING
    RETURNING id, created_at
"""  # noqa: S608 - made of what stands above

_ADD_LINKS = """
    INSERT INTO alert_links (id, alert_id, client_id, psu, url, expires_at)
    SELECT new.id, alert, client, new.psu, url, alerts.expires_at + keeps_ms * interval '1 ms'
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
        AS new (id, alert, client, psu, url, keeps_ms) JOIN alerts ON alerts.id = new.alert
    ON CONFLICT DO NOTHING
"""
_FROM_BEFORE = "SELECT id, status, reason FROM alerts WHERE id = ANY($1::text[])"
_WHOLE = "SELECT * FROM alerts WHERE id = $1"


async def queue_all(connection: Connection, news: Sequence[NewAlert], origin: Origin) -> list[Alert]:
    """Store alerts, and the events that say so, in the caller's transaction; those whose key or id is taken are not."""
    rows = await connection.fetch(_ADD, *_arguments(news, [new.sealed for new in news]))
    by_id = {new.id: new for new in news}
    queued = [queued_alert(by_id[row["id"]], row["created_at"], row["expires_at"]) for row in rows]
    links = [(one, link) for one in queued if (link := by_id[one.id].link)]
    if links:
        columns = ((link.id, one.id, one.client, one.psu, link.url, link.keeps_ms) for one, link in links)
        await connection.execute(_ADD_LINKS, *zip(*columns, strict=True))
    if queued:
        await copy_events(
            connection,
            [
                event_of(one, "alert.queued", one.created_at, origin, _said(one, by_id[one.id]))
                for one in queued
            ],
        )
    return queued


class Intake:
    """Takes alerts in. A class because it holds the pool, and bounds how many commits there are at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(_MOST_COMMITS)

    async def add(self, new: NewAlert, origin: Origin) -> Alert:
        """Queue an alert. The same id again is the one from before; another one with the same key is suppressed.

        Raises StoreUnavailable.
        """
        return await in_time(self._add(new, origin))

    async def add_all(self, news: Sequence[NewAlert], origin: Origin) -> list[TakenIn]:
        """As `add` for many, in their order and in commits of `AT_ONCE`; of one key in it the first is queued.

        Raises StoreUnavailable: then some may be queued, and the same ids again find them.
        """
        taken: dict[str, TakenIn] = {}
        for start in range(0, len(news), AT_ONCE):
            async with self._turns:
                taken |= await in_time(self._add_portion(news[start : start + AT_ONCE], origin))
        return [taken[new.id] for new in news]

    async def _add(self, new: NewAlert, origin: Origin) -> Alert:
        async with self._pool.acquire() as connection, connection.transaction():
            queued = await queue_all(connection, [new], origin)
            if queued:
                return queued[0]
            await _add_duplicates(connection, [new], origin)
            (found,) = await connection.fetch(_WHOLE, new.id)
            return alert_of_row(found)

    async def _add_portion(self, news: Sequence[NewAlert], origin: Origin) -> dict[str, TakenIn]:
        async with self._pool.acquire() as connection, connection.transaction():
            queued = await queue_all(connection, news, origin)
            taken = {one.id: TakenIn(one.id, one.status, "") for one in queued}
            others = [new for new in news if new.id not in taken]
            if others:
                await _add_duplicates(connection, others, origin)
                rows = await connection.fetch(_FROM_BEFORE, [new.id for new in others])
                taken |= {
                    row["id"]: TakenIn(row["id"], AlertStatus(row["status"]), row["reason"]) for row in rows
                }
            return taken


async def _add_duplicates(connection: Connection, news: Sequence[NewAlert], origin: Origin) -> None:
    """Store what has no key left to it as suppressed; what is there already stays as it is."""
    rows = await connection.fetch(_ADD_DUPLICATES, *_arguments(news, [new.seal_bare() for new in news]))
    by_id = {new.id: new for new in news}
    events = []
    for row in rows:
        new = by_id[row["id"]]
        alert = queued_alert(new, row["created_at"], row["created_at"])
        members = {"kind": new.kind, "dedupe": new.dedupe, "reason": Suppression.DUPLICATE}
        events.append(event_of(alert, "alert.suppressed", alert.created_at, origin, members))
    if events:
        await copy_events(connection, events)


def _said(alert: Alert, new: NewAlert) -> dict[str, object]:
    said: dict[str, object] = {
        "kind": alert.kind,
        "channels": alert.channels,
        "dedupe": new.dedupe,
        "expires_at_ms": alert.expires_at,
    }
    if alert.topic:
        said["topic"] = alert.topic
    if alert.send_at:
        said["send_at_ms"] = alert.send_at
    return said


def _arguments(news: Sequence[NewAlert], sealed: Sequence[str]) -> tuple[tuple[object, ...], ...]:
    """One array for each column."""
    rows = [
        (
            new.id,
            new.client,
            new.psu,
            new.kind,
            new.topic,
            new.dedupe,
            text,
            " ".join(new.channels),
            new.time_zone,
            moment_of_ms(new.send_at) if new.send_at else None,
            new.lifetime_ms,
        )
        for new, text in zip(news, sealed, strict=True)
    ]
    return tuple(zip(*rows, strict=True))
