"""Alerts that are over go when the policy says, part by part, and an event says how many; their keys are free then."""

from datetime import timedelta
from typing import Final

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.kernel.clock import Clock
from sca_service.kernel.ids import new_id

MOST_AT_ONCE: Final = 2_000

# Client by client, along the index by which they are listed: nothing is looked at that stays.
_PRUNE = """
    DELETE FROM alerts WHERE id IN (
        SELECT old.id FROM clients, LATERAL (
            SELECT id FROM alerts
            WHERE client_id = clients.id AND created_at < clock_timestamp() - $1::interval AND due_at IS NULL
            ORDER BY created_at, id LIMIT $2
        ) AS old
        LIMIT $2
    )
"""


class AlertPruning:
    """Prunes alerts. A class because it holds the policy's days."""

    def __init__(self, keep_days: int, clock: Clock) -> None:
        self._keep_days = keep_days
        self._clock = clock

    async def tidy(self, connection: Connection) -> bool:
        """Prune one portion. Returns whether there may be more."""
        async with connection.transaction():
            tag: str = await connection.execute(_PRUNE, timedelta(days=self._keep_days), MOST_AT_ONCE)
            count = int(tag.rsplit(" ", 1)[-1])
            if count:
                await insert_events(connection, [self._pruned(count)])
        return count == MOST_AT_ONCE

    def _pruned(self, count: int) -> AuditEvent:
        members = {"actor": "log", "alerts": count, "days": self._keep_days}
        return AuditEvent.create(
            event_id=new_id("evt"), kind="alert.pruned", at_ms=self._clock.now_ms(), members=members
        )
