"""How we reach PostgreSQL: pools to its primary, with deadlines on statements and on pieces of work.

What does not answer in time is `StoreUnavailable`: the caller is told 503 and nothing is approved (architecture,
decision 7).
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg

from sca_service.kernel.deadline import STORE_DEADLINE_SECONDS
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.primary import Primary

Result = TypeVar("Result")

_CONNECT_DEADLINE_SECONDS = 5.0
_POOLED = "sca pooled"
_SERVER_GIVES_UP_AFTER = 2
"""How many times the deadline of a statement the server lets it run, should its client not be there to end it."""
_SETTINGS = "SELECT current_setting($1), current_setting($2)"
_ENDS_BY_ITSELF = {
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""A transaction whose process is gone, stopped or cut off holds up the log: nothing younger is put in order."""


def ends_by_itself(statement_deadline_seconds: float) -> dict[str, str]:
    """What a session is set to so that none of its work outlives who asked for it.

    The server ends a statement somewhat later than its client, who is there to say so as a rule. It does not end a
    commit: one that waits for a standby would be reported as done (PostgreSQL, "Synchronous Replication").
    """
    timeout_ms = int(statement_deadline_seconds * _SERVER_GIVES_UP_AFTER * 1000)
    return {**_ENDS_BY_ITSELF, "statement_timeout": f"{timeout_ms}ms"}


async def connect_postgres(
    primary: Primary | str,
    *,
    most_connections: int,
    statement_deadline_seconds: float = STORE_DEADLINE_SECONDS,
    leaves_nothing: bool = False,
) -> asyncpg.Pool:
    """A pool to PostgreSQL with deadlines on connecting and on every statement. Raises StoreUnavailable.

    `leaves_nothing` claims that nobody leaves a lock, a setting or a cursor in a session: then a connection that is
    given back is not reset by a statement of its own, which would take as long as the work. An open transaction is
    rolled back all the same. A session behind a pooler is set to nothing: that is for the role (docs/operations.md).
    """
    primary = Primary(primary) if isinstance(primary, str) else primary
    try:
        pool = await asyncpg.create_pool(
            connect=primary.connect,
            min_size=1,
            max_size=most_connections,
            timeout=_CONNECT_DEADLINE_SECONDS,
            command_timeout=statement_deadline_seconds,
            max_inactive_connection_lifetime=0,
            reset=_nothing_to_reset if leaves_nothing or primary.is_pooler else None,
            server_settings={
                "application_name": _POOLED if primary.is_pooler else "sca",
                "timezone": "UTC",
                **({} if primary.is_pooler else ends_by_itself(statement_deadline_seconds)),
            },
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error
    primary.watch(pool)
    return pool


async def what_forgets(pool: asyncpg.Pool) -> list[str]:
    """The parameters by which PostgreSQL may forget what it has confirmed. Raises StoreUnavailable."""
    names = ("fsync", "synchronous_commit")
    row = await in_time(pool.fetchrow(_SETTINGS, *names))
    return [name for name, setting in zip(names, row or (), strict=True) if setting == "off"]


def arrays(kinds: Sequence[str], first: int = 1) -> str:
    """Parameters that are arrays of these types, numbered from `first`, as `unnest` takes them."""
    return ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, first))


def is_pooled(connection: asyncpg.pool.PoolConnectionProxy) -> bool:
    """Whether a pooler stands before the server. A COPY would keep its session for good (PgBouncer 1.21 to 1.25)."""
    return str(connection.get_settings().application_name).startswith(_POOLED)


async def _nothing_to_reset(_: object) -> None:
    """asyncpg has rolled back what was open before it asks for this."""


POSTGRES_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock: nothing of it was done
    asyncpg.InternalClientError,  # a COPY whose connection was cut, a host that is no primary
    asyncpg.ReadOnlySQLTransactionError,  # a primary that has become a standby
)
"""What asyncpg raises when the server is not there, is shutting down or is full, or breaks off what two wait for."""

_ending: "set[asyncio.Task[Any]]" = set()


async def in_time(work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` on PostgreSQL comes to. Raises StoreUnavailable when the server is away or takes too long.

    asyncpg bounds each statement, but not the wait for a connection, and gives a connection back only when the server
    has answered for it. So work that is late is told to end and left to do so by itself; nobody waits for it.
    """
    task = asyncio.get_running_loop().create_task(work)
    done, _ = await asyncio.wait({task}, timeout=STORE_DEADLINE_SECONDS)
    if not done:
        _ending.add(task)
        task.add_done_callback(_ended)
        task.cancel()
        raise StoreUnavailable("PostgreSQL does not answer")
    try:
        return task.result()
    except POSTGRES_AWAY as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error


def _ended(task: "asyncio.Task[Any]") -> None:
    _ending.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that the event loop does not print it
