"""The outbox in PostgreSQL: filled in the order of the log, leased, settled, pruned. The statements, and nothing else.

An endpoint's row is always locked before its messages, so that no two transactions wait for each other for good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.webhooks.model import AttemptOutcome, CallResult, Claimed, Scheme, WhyDead, WhyDisabled

Pool = asyncpg.Pool
Connection = asyncpg.pool.PoolConnectionProxy

FOLLOWER = "webhooks"
"""The name under which the log is followed."""

_SUBSCRIBERS = """
    SELECT endpoint.id, endpoint.client_id, endpoint.types, client.scopes
    FROM webhook_endpoints AS endpoint JOIN clients AS client ON client.id = endpoint.client_id
    WHERE client.revoked_at IS NULL AND endpoint.reason <> 'deleted'
"""

# An endpoint that is deleted meanwhile gets none; what comes while it is disabled is dead, and may be replayed.
_ADD = """
    INSERT INTO webhook_messages (id, endpoint_id, type, subject, once, at, body, status, reason, due_at, settled_at)
    SELECT new.id, endpoint.id, new.type, new.subject, new.once, new.at, new.body,
        CASE endpoint.status WHEN 'active' THEN 'waiting' ELSE 'dead' END,
        CASE endpoint.status WHEN 'active' THEN '' ELSE 'endpoint_disabled' END,
        CASE endpoint.status WHEN 'active' THEN now() END,
        CASE endpoint.status WHEN 'active' THEN NULL ELSE now() END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
        WITH ORDINALITY AS new (id, endpoint_id, type, subject, once, at, body, number)
    JOIN webhook_endpoints AS endpoint ON endpoint.id = new.endpoint_id
    ORDER BY new.number
    FOR SHARE OF endpoint
    ON CONFLICT (endpoint_id, once) WHERE once IS NOT NULL DO NOTHING
"""

# The head of each subject that is due, as many of an endpoint as it has slots; those with the fewest calls come first.
# The head is looked up for one message after the other: a join over all that wait took a third of a second.
_CLAIM = """
    WITH slots AS MATERIALIZED (
        SELECT endpoint.id, COALESCE(busy.calls, 0) AS calls,
            CASE WHEN endpoint.failing_since IS NULL THEN $1::int ELSE 1 END - COALESCE(busy.calls, 0) AS free
        FROM webhook_endpoints AS endpoint JOIN clients AS client ON client.id = endpoint.client_id
            LEFT JOIN unnest($2::text[], $3::int[]) AS busy (id, calls) ON busy.id = endpoint.id
        WHERE endpoint.status = 'active' AND client.revoked_at IS NULL
        ORDER BY COALESCE(busy.calls, 0), endpoint.failing_since NULLS FIRST
    ),
    claimed AS MATERIALIZED (
        SELECT head.id FROM slots CROSS JOIN LATERAL (
            SELECT message.id FROM webhook_messages AS message
            WHERE message.endpoint_id = slots.id AND message.due_at <= now() AND message.place = (
                SELECT first.place FROM webhook_messages AS first
                WHERE first.endpoint_id = message.endpoint_id AND first.subject = message.subject
                  AND first.due_at IS NOT NULL
                ORDER BY first.place LIMIT 1
            )
            ORDER BY message.due_at, message.place
            LIMIT GREATEST(slots.free, 0)
            FOR UPDATE OF message SKIP LOCKED
        ) AS head
        LIMIT $4
    )
    UPDATE webhook_messages AS message
    SET due_at = now() + make_interval(secs => $5::float8), tries = tries + 1
    FROM claimed, webhook_endpoints AS endpoint
    WHERE message.id = claimed.id AND endpoint.id = message.endpoint_id
    RETURNING message.id, message.endpoint_id, message.body, message.tries, message.tries_before,
        endpoint.url, endpoint.scheme, endpoint.sealed
"""

_RECOVERED = """
    UPDATE webhook_endpoints SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL AND url = $2
"""

_LOCK_ENDPOINT = (
    "SELECT client_id, url, status, failing_since FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE"
)

_FAILING = "UPDATE webhook_endpoints SET failing_since = now() WHERE id = $1 AND failing_since IS NULL"

_DELIVERED = """
    UPDATE webhook_messages SET status = 'delivered', reason = '', due_at = NULL, settled_at = now()
    WHERE id = $1 AND status <> 'delivered' RETURNING id
"""

# Only by whoever holds the lease: another call of the message counts for itself.
_AGAIN = """
    UPDATE webhook_messages SET due_at = now() + make_interval(secs => $3::float8)
    WHERE id = $1 AND status = 'waiting' AND tries = $2 RETURNING id, endpoint_id, subject, place, due_at
"""

# What waits behind it is not due before it is: so that a look at what is due meets few that have to wait.
_BEHIND = """
    UPDATE webhook_messages AS later SET due_at = GREATEST(later.due_at, $4)
    WHERE later.endpoint_id = $1 AND later.subject = $2 AND later.place > $3 AND later.due_at IS NOT NULL
"""

_DEAD = """
    UPDATE webhook_messages SET status = 'dead', reason = $3, due_at = NULL, settled_at = now()
    WHERE id = $1 AND status = 'waiting' AND tries = $2 RETURNING id
"""

_ATTEMPT = """
    INSERT INTO webhook_attempts (message_id, number, outcome, http_status, latency_ms)
    SELECT id, $2, $3, $4, $5 FROM webhook_messages WHERE id = $1 FOR KEY SHARE
    ON CONFLICT (message_id, number) DO NOTHING
"""

_DISABLE = """
    UPDATE webhook_endpoints SET status = 'disabled', reason = $2, failing_since = NULL
    WHERE id = $1 AND status = 'active' AND ($3::text IS NULL OR url = $3) RETURNING client_id
"""

_DEAD_AT_ONCE = """
    UPDATE webhook_messages SET status = 'dead', reason = 'endpoint_disabled', due_at = NULL, settled_at = now()
    WHERE id IN (
        SELECT id FROM webhook_messages WHERE endpoint_id = $1 AND due_at IS NOT NULL ORDER BY due_at, place LIMIT $2
    )
"""

_GONE_AT_ONCE = """
    DELETE FROM webhook_messages WHERE id IN (
        SELECT id FROM webhook_messages WHERE endpoint_id = $1 ORDER BY place LIMIT $2
    )
"""

_EMPTY = """
    DELETE FROM webhook_endpoints AS endpoint WHERE id = $1 AND reason = 'deleted'
      AND NOT EXISTS (SELECT FROM webhook_messages AS message WHERE message.endpoint_id = endpoint.id)
"""

# One for which something is left to do; a client that is revoked is called no more either.
_UNCLEARED = """
    SELECT endpoint.id, endpoint.reason
    FROM webhook_endpoints AS endpoint JOIN clients AS client ON client.id = endpoint.client_id
    WHERE (endpoint.status = 'disabled' OR client.revoked_at IS NOT NULL) AND (
        endpoint.reason = 'deleted' OR EXISTS (
            SELECT FROM webhook_messages AS message
            WHERE message.endpoint_id = endpoint.id AND message.due_at IS NOT NULL
        )
    )
    LIMIT 1 FOR NO KEY UPDATE OF endpoint SKIP LOCKED
"""

AT_ONCE = 500
"""Messages that one transaction brings to an end: an endpoint may have millions, a request has no time for these."""

_PRUNE = """
    DELETE FROM webhook_messages WHERE id IN (
        SELECT id FROM webhook_messages WHERE settled_at < now() - make_interval(days => $1)
        ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""

_LAG = """
    SELECT COALESCE(extract(epoch FROM now() - min(message.due_at)), 0)::float8
    FROM webhook_endpoints AS endpoint JOIN webhook_messages AS message ON message.endpoint_id = endpoint.id
    WHERE endpoint.status = 'active' AND endpoint.failing_since IS NULL AND message.due_at <= now()
"""

_CHECKPOINT = """
    SELECT size, encode(root, 'base64') AS root, (extract(epoch FROM made_at) * 1000)::bigint AS at_ms
    FROM log_checkpoints WHERE published_at IS NOT NULL ORDER BY size DESC LIMIT 1
"""

_TELL_CHECKPOINT = """
    UPDATE webhook_endpoints SET checkpoint_size = $2, checkpoint_at = now()
    WHERE id = ANY($1::text[]) AND status = 'active' AND checkpoint_size < $2
      AND checkpoint_at <= now() - make_interval(secs => $3::float8)
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An endpoint and what decides whether it hears of something."""

    id: str
    client: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to one endpoint, before it is in the outbox."""

    id: str
    endpoint: str
    type: str
    subject: str
    at_ms: int
    body: str
    once: str | None = None


@dataclass(frozen=True, slots=True)
class NewestCheckpoint:
    """The newest checkpoint that is out: the log's size, its root in base64, and when it was made."""

    size: int
    root: str
    at_ms: int


async def subscribers(connection: Pool | Connection) -> list[Subscriber]:
    """Every endpoint whose client may still be told."""
    rows = await connection.fetch(_SUBSCRIBERS)
    return [
        Subscriber(row["id"], row["client_id"], tuple(row["types"]), tuple(row["scopes"])) for row in rows
    ]


async def add(connection: Connection, messages: Sequence[NewMessage]) -> None:
    """Put messages into the outbox, in their order."""
    if messages:
        await connection.execute(_ADD, *zip(*map(_row, messages), strict=True))


async def disable(connection: Connection, endpoint: str, why: str, *, url: str | None = None) -> str | None:
    """Call an endpoint no more: what waits for it is dead; where that is much, the rest within seconds (`clear`).

    With `url`, only where it still has that URL. Returns its client, None when it was disabled or is gone.
    """
    client: str | None = await connection.fetchval(_DISABLE, endpoint, why, url)
    if client is not None:
        await connection.execute(_DEAD_AT_ONCE, endpoint, AT_ONCE)
    return client


async def take_out(connection: Connection, endpoint: str) -> None:
    """Delete a part of the messages to an endpoint that is marked as deleted, and with the last of them itself."""
    await connection.execute(_GONE_AT_ONCE, endpoint, AT_ONCE)
    await connection.execute(_EMPTY, endpoint)


class OutboxStore:
    """The outbox as a worker sees it. A class because it holds the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(
        self, *, at_once: int, busy: Mapping[str, int], most: int, lease_seconds: float
    ) -> list[Claimed]:
        """Lease what is due: at most `most`, and of an endpoint as many as `at_once` leaves beside its `busy` calls."""
        rows = await self._pool.fetch(_CLAIM, at_once, list(busy), list(busy.values()), most, lease_seconds)
        return [
            Claimed(
                id=row["id"],
                endpoint=row["endpoint_id"],
                url=row["url"],
                scheme=Scheme(row["scheme"]),
                sealed=row["sealed"],
                body=row["body"],
                number=row["tries"],
                tries_before=row["tries_before"],
            )
            for row in rows
        ]

    async def delivered(self, claimed: Claimed, result: CallResult) -> None:
        """Put down that a message arrived."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_RECOVERED, claimed.endpoint, claimed.url)
            await connection.execute(_DELIVERED, claimed.id)
            await _note(connection, claimed, result)

    async def failed(
        self, claimed: Claimed, result: CallResult, wait_seconds: float | None
    ) -> datetime | None:
        """Put down that a call failed; without a wait the message is dead.

        Returns since when nothing has arrived at the endpoint, None when it is gone, disabled, or elsewhere by now:
        a URL that was left behind says nothing of the one that is called instead.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            endpoint = await connection.fetchrow(_LOCK_ENDPOINT, claimed.endpoint)
            if endpoint is None:
                return None
            is_there = endpoint["url"] == claimed.url
            if is_there:
                await connection.execute(_FAILING, claimed.endpoint)
            if wait_seconds is None:
                await connection.execute(_DEAD, claimed.id, claimed.number, WhyDead.EXHAUSTED)
            else:
                again = await connection.fetchrow(_AGAIN, claimed.id, claimed.number, wait_seconds)
                if again:
                    await connection.execute(
                        _BEHIND, again["endpoint_id"], again["subject"], again["place"], again["due_at"]
                    )
            await _note(connection, claimed, result)
            if endpoint["status"] != "active" or not is_there:
                return None
            since: datetime = endpoint["failing_since"] or datetime.now(UTC)
            return since

    async def disable(self, endpoint: str, url: str, why: str, event: AuditEvent) -> bool:
        """Disable an endpoint that still has this URL, on record; whether it was active until now."""
        async with self._pool.acquire() as connection, connection.transaction():
            if await disable(connection, endpoint, why, url=url) is None:
                return False
            await insert_events(connection, [event])
            return True

    async def clear(self) -> bool:
        """Bring to an end a part of what is left of an endpoint that is called no more; whether there was one."""
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_UNCLEARED)
            if found is None:
                return False
            if found["reason"] == WhyDisabled.DELETED:
                await take_out(connection, found["id"])
            else:
                await connection.execute(_DEAD_AT_ONCE, found["id"], AT_ONCE)
            return True

    async def client_of(self, endpoint: str) -> str | None:
        """Whose an endpoint is; None when it is gone."""
        client: str | None = await self._pool.fetchval(
            "SELECT client_id FROM webhook_endpoints WHERE id = $1", endpoint
        )
        return client

    async def prune(self, *, days: int, most: int) -> int:
        """Delete what was settled so long ago, at most `most` at once. Returns how many messages went."""
        tag: str = await self._pool.execute(_PRUNE, days, most)
        return int(tag.rsplit(" ", 1)[-1])

    async def lag_seconds(self) -> float:
        """How long the message that is due the longest has been due, among endpoints that answer."""
        return float(await self._pool.fetchval(_LAG))

    async def newest_checkpoint(self) -> NewestCheckpoint | None:
        """The newest checkpoint that is out, None before the first."""
        row = await self._pool.fetchrow(_CHECKPOINT)
        return NewestCheckpoint(row["size"], row["root"].replace("\n", ""), row["at_ms"]) if row else None

    async def subscribers(self) -> list[Subscriber]:
        """Every endpoint whose client may still be told."""
        return await subscribers(self._pool)

    async def tell_checkpoint(self, size: int, messages: Sequence[NewMessage], *, every_seconds: int) -> int:
        """Put a checkpoint into the outbox, for endpoints that were told of none for so long. Returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                _TELL_CHECKPOINT, [message.endpoint for message in messages], size, every_seconds
            )
            told = {row["id"] for row in rows}
            await add(connection, [message for message in messages if message.endpoint in told])
            return len(told)


async def _note(connection: Connection, claimed: Claimed, result: CallResult) -> None:
    outcome: AttemptOutcome = result.outcome
    await connection.execute(
        _ATTEMPT, claimed.id, claimed.number, outcome, result.http_status, result.latency_ms
    )


def _row(message: NewMessage) -> tuple[str, str, str, str, str | None, datetime, str]:
    at = datetime.fromtimestamp(message.at_ms / 1000, UTC)
    return message.id, message.endpoint, message.type, message.subject, message.once, at, message.body
