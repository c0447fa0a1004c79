"""Audit events and acceptances in PostgreSQL: the statements, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from sca_service.audit.model import Acceptance, AuditEvent, Snapshot, SnapshotStore
from sca_service.kernel.postgres import arrays, in_time, is_pooled

Connection = asyncpg.pool.PoolConnectionProxy

_COLUMNS = ("id", "at", "type", "client_id", "psu", "challenge_id", "body")

_KINDS = ("text", "timestamptz", "text", "text", "text", "text", "text")

_INSERT_NEW = """
    INSERT INTO audit_events (id, at, type, client_id, psu, challenge_id, body)
    SELECT * FROM unnest({parameters})
"""
_INSERT_EVENTS = f"{_INSERT_NEW.format(parameters=arrays(_KINDS))} ON CONFLICT (id) DO NOTHING"

# A challenge that is on record as voided, blocked or otherwise over is not approved any more: Redis has lost its tail.
_INSERT_ACCEPTANCES = """
    INSERT INTO acceptances (challenge_id, event_id)
    SELECT claim.challenge_id, claim.event_id
    FROM unnest($1::text[], $2::text[]) AS claim (challenge_id, event_id)
    WHERE NOT EXISTS (
        SELECT FROM challenges WHERE id = claim.challenge_id AND status NOT IN ('pending', 'approved')
    )
    ON CONFLICT (challenge_id) DO NOTHING
    RETURNING challenge_id, event_id
"""

# One statement and no transaction around it: a way to the server in place of five. The acceptances are counted first;
# where one is not to be had this divides by zero, and nothing of the statement has happened.
_COMMIT = """
    WITH held AS ({acceptances}), told AS ({events}), kept AS ({snapshots})
    SELECT 1 / (count(*) = cardinality($1::text[]))::int FROM held
"""
_FIRST_OF_EVENT = 3
_FIRST_OF_SNAPSHOT = _FIRST_OF_EVENT + len(_KINDS)

_SELECT_ACCEPTANCES = "SELECT challenge_id, event_id FROM acceptances WHERE challenge_id = ANY($1::text[])"
_HAS_EVENT = "SELECT EXISTS (SELECT FROM audit_events WHERE challenge_id = $1 AND type = ANY($2::text[]))"
_SELECT_ACCEPTANCE = "SELECT event_id FROM acceptances WHERE challenge_id = $1"

_MARK = "SELECT pg_logical_emit_message(true, 'sca', '')"
"""Writes a few bytes to the write-ahead log that nobody reads."""


# In the order of the log; what has no index yet comes last.
_STORY = """
    SELECT event.id, event.body, leaf.index
    FROM audit_events AS event LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id
    WHERE event.challenge_id = $1 AND ($2::text IS NULL OR event.client_id = $2)
    ORDER BY event.txid, event.position
    LIMIT $3
"""

# By the payer, whose events have an index: an assessment's id has none.
_ASSESSMENT = """
    SELECT event.id, event.body, leaf.index
    FROM audit_events AS event LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id
    WHERE event.psu = (SELECT psu FROM exemption_assessments WHERE id = $1)
      AND event.type = 'exemption.assessed' AND event.body::jsonb->>'assessment' = $1
"""

# A payer who came back after an erasure has values again: only an erasure after the event explains that they are gone.
_ERASED_SINCE = """
    SELECT event.id FROM audit_events AS event
    WHERE event.id = ANY($1::text[]) AND EXISTS (
        SELECT FROM audit_events AS erased
        WHERE erased.psu = event.psu AND erased.type = 'payer.erased'
          AND (erased.txid, erased.position) > (event.txid, event.position)
    )
"""

# Said once for each change, whoever starts first. The lock makes the look and the insertion one step.
_LAST_DIGEST = """
    SELECT body::jsonb->>'digest' FROM audit_events WHERE type = $1 ORDER BY txid DESC, position DESC LIMIT 1
"""
_ANNOUNCE = """
    INSERT INTO audit_events (id, at, type, body)
    SELECT $1, $2, $3, $4
    WHERE (SELECT body::jsonb->>'digest' FROM audit_events WHERE type = $3 ORDER BY txid DESC, position DESC LIMIT 1)
        IS DISTINCT FROM $5
"""
_ANNOUNCE_LOCK = 0x5CA_107


@dataclass(frozen=True, slots=True)
class StoryRow:
    """One event of a challenge: its leaf, and its index once it has one."""

    id: str
    body: str
    index: int | None


async def copy_events(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Append events none of which is there yet, in the cheapest way. Raises asyncpg.UniqueViolationError if one is."""
    if is_pooled(connection):
        await connection.execute(
            _INSERT_NEW.format(parameters=arrays(_KINDS)), *zip(*map(_row, events), strict=True)
        )
        return
    await connection.copy_records_to_table("audit_events", columns=_COLUMNS, records=map(_row, events))


async def commit_new(
    connection: Connection,
    acceptances: Sequence[Acceptance],
    events: Sequence[AuditEvent],
    store: SnapshotStore,
    snapshots: Sequence[Snapshot],
) -> bool:
    """All of it by itself, durable when this returns, or nothing: False where an acceptance is not to be had.

    Raises asyncpg.UniqueViolationError when an event is there already.
    """
    statement = _COMMIT.format(
        acceptances=_INSERT_ACCEPTANCES,
        events=_INSERT_NEW.format(parameters=arrays(_KINDS, _FIRST_OF_EVENT)),
        snapshots=store.statement(_FIRST_OF_SNAPSHOT),
    )
    try:
        await connection.execute(
            statement,
            [acceptance.challenge_id for acceptance in acceptances],
            [acceptance.event_id for acceptance in acceptances],
            *zip(*map(_row, events), strict=True),
            *store.arguments(snapshots),
        )
    except asyncpg.DivisionByZeroError:
        return False
    return True


async def insert_events(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Append events; one that is there already is left as it is, so a repeated commit changes nothing."""
    await connection.execute(_INSERT_EVENTS, *zip(*map(_row, events), strict=True))


async def await_standby(connection: Connection) -> None:
    """Have the commit of this transaction wait for the disk and for the standby, also when it has changed nothing.

    What an earlier commit wrote may be here alone: it shows as soon as whoever waits for the standby gives up, and a
    transaction that writes nothing waits for nothing.
    """
    await connection.execute(_MARK)


async def claim_acceptances(connection: Connection, acceptances: Sequence[Acceptance]) -> set[Acceptance]:
    """Take each challenge's one acceptance. Returns those that hold it: new, or taken by the same event before."""
    taken = await connection.fetch(
        _INSERT_ACCEPTANCES,
        [acceptance.challenge_id for acceptance in acceptances],
        [acceptance.event_id for acceptance in acceptances],
    )
    held = {Acceptance(*row) for row in taken}
    others = [one.challenge_id for one in acceptances if one not in held]
    if others:
        held |= {Acceptance(*row) for row in await connection.fetch(_SELECT_ACCEPTANCES, others)}
    return held.intersection(acceptances)


async def accepted_by(pool: asyncpg.Pool, challenge_id: str) -> str | None:
    """The event that holds a challenge's acceptance, or None while nothing does."""
    event_id: str | None = await pool.fetchval(_SELECT_ACCEPTANCE, challenge_id)
    return event_id


async def has_event(pool: asyncpg.Pool, challenge_id: str, kinds: Sequence[str]) -> bool:
    """Whether an event of one of these types about a challenge is on record."""
    return bool(await pool.fetchval(_HAS_EVENT, challenge_id, kinds))


def _row(event: AuditEvent) -> tuple[str, datetime, str, str | None, str | None, str | None, str]:
    head = event.head
    at = datetime.fromtimestamp(head.at_ms / 1000, UTC)
    return head.id, at, head.type, head.client, head.psu, head.challenge, event.body


class StoryReader:
    """Reads what the log has about one challenge. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def story(self, challenge_id: str, *, client: str | None, most: int) -> list[StoryRow]:
        """A challenge's events in the order of the log, at most `most`; those of one client when it is named.

        Raises StoreUnavailable.
        """
        rows = await in_time(self._pool.fetch(_STORY, challenge_id, client, most))
        return [StoryRow(row["id"], row["body"], row["index"]) for row in rows]

    async def assessment(self, assessment_id: str) -> StoryRow | None:
        """The event of an assessment of an exemption, None when there is none. Raises StoreUnavailable."""
        row = await in_time(self._pool.fetchrow(_ASSESSMENT, assessment_id))
        return StoryRow(row["id"], row["body"], row["index"]) if row else None

    async def erased_since(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of the events after which the erasure of their payer is on record. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_ERASED_SINCE, event_ids))
        return frozenset(row["id"] for row in rows)


class AnnouncementStore:
    """Events that tell of a change once, and the server's clock. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def announce(self, event: AuditEvent, digest: str) -> bool:
        """Append an event that tells of a new `digest`, unless the last one of its type tells of the same.

        Raises StoreUnavailable.
        """
        return await in_time(self._announce(event, digest))

    async def now_ms(self) -> int:
        """The time by PostgreSQL. Raises StoreUnavailable."""
        at_ms: int = await in_time(
            self._pool.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        )
        return at_ms

    async def _announce(self, event: AuditEvent, digest: str) -> bool:
        at = datetime.fromtimestamp(event.head.at_ms / 1000, UTC)
        # Mostly it is no news: then a role starts without writing, also while nothing can be written.
        if await self._pool.fetchval(_LAST_DIGEST, event.head.type) == digest:
            return False
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _ANNOUNCE_LOCK)
            tag = await connection.execute(_ANNOUNCE, event.head.id, at, event.head.type, event.body, digest)
            return not tag.endswith(" 0")
