"""Numbers that want no alerts, in PostgreSQL: an opt-out holds until it is lifted, whatever Redis forgets."""

from datetime import UTC, datetime

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.postgres import in_time

EVERY_CLIENT = ""
"""In place of a client: the opt-out is for the alerts of all of them."""
EVERY_TOPIC = ""
"""In place of a topic: the opt-out is for all notices, whatever they are about."""

_STOP = "stop"

_OPT_OUT = """
    INSERT INTO opt_outs (phone, client_id, topic, kind, at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (phone, client_id, topic) DO UPDATE SET kind = excluded.kind, at = excluded.at, lifted_at = NULL
        WHERE opt_outs.lifted_at IS NOT NULL
    RETURNING true
"""

# Whoever wants everything again wants each topic again; whoever wants one topic again is still sent no other.
_OPT_IN = """
    UPDATE opt_outs SET lifted_at = $4
    WHERE phone = $1 AND client_id IN ($2, '') AND ($3 = '' OR topic = $3) AND lifted_at IS NULL
    RETURNING true
"""

_IS_OPTED_OUT = """
    SELECT EXISTS (
        SELECT FROM opt_outs
        WHERE phone = $1 AND client_id IN ($2, '') AND topic IN ($3, '') AND lifted_at IS NULL
    )
"""


class OptOutStore:
    """The `opt_outs` table, by the pseudonym of a number. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def opt_out(self, phone: str, client: str, event: AuditEvent, topic: str = EVERY_TOPIC) -> bool:
        """No more alerts of a client (or of `EVERY_CLIENT`) to a number, and the event that says so, in one commit.

        False, and no event, when it was so before. Raises StoreUnavailable.
        """
        return await in_time(self._change(_OPT_OUT, (phone, client, topic, _STOP, _moment(event)), event))

    async def opt_in(self, phone: str, client: str, event: AuditEvent, topic: str = EVERY_TOPIC) -> bool:
        """Alerts of a client again, also where the opt-out was for every client; the event in the same commit.

        False, and no event, when there was no opt-out. Raises StoreUnavailable.
        """
        return await in_time(self._change(_OPT_IN, (phone, client, topic, _moment(event)), event))

    async def is_opted_out(self, phone: str, client: str, topic: str = EVERY_TOPIC) -> bool:
        """Whether a client must send no alert to a number; codes are none of its business. Raises StoreUnavailable."""
        found: bool = await in_time(self._pool.fetchval(_IS_OPTED_OUT, phone, client, topic))
        return found

    async def _change(self, statement: str, arguments: tuple[object, ...], event: AuditEvent) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            changed = await connection.fetchval(statement, *arguments) is not None
            if changed:
                await insert_events(connection, [event])
            return changed


def _moment(event: AuditEvent) -> datetime:
    return datetime.fromtimestamp(event.head.at_ms / 1000, UTC)
