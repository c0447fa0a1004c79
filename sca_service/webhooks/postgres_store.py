"""Endpoints and the messages to them, as their client sees and changes them. The statements, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sca_service.audit.following.postgres_store import register
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.postgres import in_time
from sca_service.webhooks.model import (
    Attempt,
    AttemptOutcome,
    Endpoint,
    EndpointStatus,
    Message,
    MessageStatus,
    Scheme,
    WhyDisabled,
)
from sca_service.webhooks.outbox import postgres_store as outbox
from sca_service.webhooks.outbox.postgres_store import NewMessage

# The client's row is held, so that two who add at once are counted one after the other.
_LOCK_CLIENT = "SELECT FROM clients WHERE id = $1 FOR NO KEY UPDATE"

_ADD = """
    INSERT INTO webhook_endpoints (id, client_id, url, description, types, scheme, sealed, status, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', $8)
"""

_COLUMNS = "id, client_id, url, description, types, scheme, sealed, status, reason, created_at, failing_since"

# One that is deleted is there only until the worker has deleted its messages.
_ONE = f"""
    SELECT {_COLUMNS} FROM webhook_endpoints WHERE id = $1 AND client_id = $2 AND reason <> 'deleted'
"""  # noqa: S608 - a constant

_ALL = f"""
    SELECT {_COLUMNS} FROM webhook_endpoints WHERE client_id = $1 AND reason <> 'deleted' ORDER BY created_at, id
"""  # noqa: S608 - a constant

# Of another URL nothing is known yet.
_CHANGE = """
    UPDATE webhook_endpoints SET url = $2, description = $3, types = $4, sealed = $5,
        failing_since = CASE WHEN url = $2 THEN failing_since END
    WHERE id = $1
"""

_DELETE = """
    UPDATE webhook_endpoints SET status = 'disabled', reason = $3, failing_since = NULL
    WHERE id = $1 AND client_id = $2 AND reason <> $3
"""

_ENABLE = """
    UPDATE webhook_endpoints SET status = 'active', reason = '', failing_since = NULL
    WHERE id = $1 AND status = 'disabled'
"""

_SIGNING = f"""
    SELECT {_COLUMNS} FROM webhook_endpoints WHERE id = $1 AND status = 'active'
        AND client_id IN (SELECT id FROM clients WHERE revoked_at IS NULL AND $2 = ANY(scopes))
"""  # noqa: S608 - a constant

_MESSAGE = "id, endpoint_id, type, at, status, reason, tries, due_at, body"

_MESSAGES = f"""
    SELECT {_MESSAGE}, place FROM webhook_messages
    WHERE endpoint_id = $1 AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR type = $3)
      AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
      AND ($6::bigint IS NULL OR place < $6)
    ORDER BY place DESC LIMIT $7
"""  # noqa: S608 - a constant

_MESSAGE_OF = f"SELECT {_MESSAGE} FROM webhook_messages WHERE id = $1 AND endpoint_id = $2"  # noqa: S608 - a constant

_ATTEMPTS = """
    SELECT number, at, outcome, http_status, latency_ms FROM webhook_attempts WHERE message_id = $1 ORDER BY number
"""

_AGAIN = """
    UPDATE webhook_messages
    SET status = 'waiting', reason = '', due_at = now(), settled_at = NULL, tries_before = tries
    WHERE id = ANY($1::text[]) AND due_at IS NULL
"""

_TO_REPLAY = """
    SELECT id FROM webhook_messages
    WHERE endpoint_id = $1 AND due_at IS NULL AND at >= $2 AND at < $3 AND ($4::text IS NULL OR status = $4)
    ORDER BY place LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages of an endpoint are listed or replayed; None is any."""

    status: MessageStatus | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class EndpointStore:
    """Endpoints by client. A class because it holds the pool. Whatever takes too long is StoreUnavailable."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, endpoint: Endpoint, event: AuditEvent, *, most: int) -> Endpoint | None:
        """Store a new endpoint, on record; one of this id that is there stays. None when the client has so many."""
        return await in_time(self._add(endpoint, event, most))

    async def get(self, endpoint: str, client: str) -> Endpoint | None:
        """A client's endpoint; None for an unknown one, or another client's."""
        row = await in_time(self._pool.fetchrow(_ONE, endpoint, client))
        return _endpoint(row) if row else None

    async def of_any(self, endpoint: str, scope: str) -> Endpoint | None:
        """An active endpoint of whichever client, if that may call with this scope; else None."""
        row = await in_time(self._pool.fetchrow(_SIGNING, endpoint, scope))
        return _endpoint(row) if row else None

    async def all_of(self, client: str) -> list[Endpoint]:
        """A client's endpoints, the oldest first."""
        return [_endpoint(row) for row in await in_time(self._pool.fetch(_ALL, client))]

    async def change(
        self, endpoint: str, client: str, decide: Callable[[Endpoint], tuple[Endpoint, AuditEvent | None]]
    ) -> Endpoint | None:
        """Let `decide` say what becomes of an endpoint, and on record with which event; None when there is none.

        One that is enabled begins anew; what waited for one that is disabled is dead. Raises what `decide` raises.
        """
        return await in_time(self._change(endpoint, client, decide))

    async def delete(self, endpoint: str, client: str, event: AuditEvent) -> bool:
        """Delete an endpoint with its messages, on record; whether it was there.

        Nothing is sent to it from then on. Where it has many messages, a worker deletes the rest within seconds.
        """
        return await in_time(self._delete(endpoint, client, event))

    async def messages(
        self, endpoint: str, wanted: MessageFilter, *, before: int | None, most: int
    ) -> tuple[list[Message], int | None]:
        """The messages to an endpoint, the newest first, and the place before which to read on."""
        rows = await in_time(
            self._pool.fetch(
                _MESSAGES, endpoint, wanted.status, wanted.type, wanted.since, wanted.until, before, most + 1
            )
        )
        following = rows[most - 1]["place"] if len(rows) > most else None
        return [_message(row) for row in rows[:most]], following

    async def message(self, message: str, endpoint: str) -> Message | None:
        """One message to an endpoint, or None."""
        row = await in_time(self._pool.fetchrow(_MESSAGE_OF, message, endpoint))
        return _message(row) if row else None

    async def attempts(self, message: str) -> list[Attempt]:
        """Every call of a message, in their order."""
        rows = await in_time(self._pool.fetch(_ATTEMPTS, message))
        return [
            Attempt(
                row["number"],
                row["at"],
                AttemptOutcome(row["outcome"]),
                row["http_status"],
                row["latency_ms"],
            )
            for row in rows
        ]

    async def put(self, message: NewMessage) -> Message | None:
        """Put one message into the outbox; None when its endpoint is gone."""
        return await in_time(self._put(message))

    async def replay(self, messages: Sequence[str]) -> int:
        """Let messages that are settled wait once more, under the ids they have. Returns how many."""
        tag: str = await in_time(self._pool.execute(_AGAIN, messages))
        return int(tag.rsplit(" ", 1)[-1])

    async def to_replay(
        self, endpoint: str, since: datetime, until: datetime, status: MessageStatus | None, *, most: int
    ) -> list[str]:
        """The ids of settled messages to an endpoint about what happened in a time, at most `most`."""
        rows = await in_time(self._pool.fetch(_TO_REPLAY, endpoint, since, until, status, most))
        return [row["id"] for row in rows]

    async def _add(self, endpoint: Endpoint, event: AuditEvent, most: int) -> Endpoint | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_CLIENT, endpoint.client)
            known = await connection.fetchrow(_ONE, endpoint.id, endpoint.client)
            if known is not None:  # the same request once more
                return _endpoint(known)
            count = "SELECT count(*) FROM webhook_endpoints WHERE client_id = $1 AND reason <> 'deleted'"
            if await connection.fetchval(count, endpoint.client) >= most:
                return None
            await connection.execute(
                _ADD,
                endpoint.id,
                endpoint.client,
                endpoint.url,
                endpoint.description,
                list(endpoint.types),
                endpoint.scheme,
                endpoint.sealed,
                endpoint.created_at,
            )
            # From here on it is told, also where no worker has run yet.
            await register(connection, outbox.FOLLOWER, from_beginning=False)
            await insert_events(connection, [event])
            return endpoint

    async def _change(
        self, endpoint: str, client: str, decide: Callable[[Endpoint], tuple[Endpoint, AuditEvent | None]]
    ) -> Endpoint | None:
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(f"{_ONE} FOR NO KEY UPDATE", endpoint, client)
            if row is None:
                return None
            before = _endpoint(row)
            after, event = decide(before)
            await connection.execute(
                _CHANGE, endpoint, after.url, after.description, list(after.types), after.sealed
            )
            if before.status is not after.status:
                if after.status is EndpointStatus.ACTIVE:
                    await connection.execute(_ENABLE, endpoint)
                else:
                    await outbox.disable(connection, endpoint, WhyDisabled.CLIENT)
            if event is not None:
                await insert_events(connection, [event])
            found = await connection.fetchrow(_ONE, endpoint, client)
            return _endpoint(found) if found else None

    async def _delete(self, endpoint: str, client: str, event: AuditEvent) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            tag: str = await connection.execute(_DELETE, endpoint, client, WhyDisabled.DELETED)
            if tag == "UPDATE 0":
                return False
            await outbox.take_out(connection, endpoint)
            await insert_events(connection, [event])
            return True

    async def _put(self, message: NewMessage) -> Message | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await outbox.add(connection, [message])
            row = await connection.fetchrow(_MESSAGE_OF, message.id, message.endpoint)
            return _message(row) if row else None


def _endpoint(row: asyncpg.Record) -> Endpoint:
    return Endpoint(
        id=row["id"],
        client=row["client_id"],
        url=row["url"],
        description=row["description"],
        types=tuple(row["types"]),
        scheme=Scheme(row["scheme"]),
        sealed=row["sealed"],
        status=EndpointStatus(row["status"]),
        reason=row["reason"],
        created_at=row["created_at"],
        failing_since=row["failing_since"],
    )


def _message(row: asyncpg.Record) -> Message:
    return Message(
        id=row["id"],
        endpoint=row["endpoint_id"],
        type=row["type"],
        at=row["at"],
        status=MessageStatus(row["status"]),
        reason=row["reason"],
        tries=row["tries"],
        next_try_at=row["due_at"],
        body=row["body"],
    )
