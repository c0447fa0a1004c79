"""How long the log is kept: what is older than the policy says goes, in whole bundles from the beginning.

Pruning makes a beginning of the log unavailable and changes nothing of the tree: every proof of what is kept holds as
before (C2SP tlog-tiles, "Pruning"). Of the tiles only those of level 0 go; the levels above are small and prove the
rest. What a follower has yet to read stays, however old it is. That it was done is an event itself. Payers' keys go
when they are as old and nothing is sealed under them.
"""

from collections.abc import Sequence

import structlog

from sca_service.audit.following.postgres_store import least_index
from sca_service.audit.log import postgres_store as store
from sca_service.audit.log.postgres_store import Bundle
from sca_service.audit.log.tiles import WIDTH
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.audit.private.postgres_store import prune_keys
from sca_service.kernel.clock import Clock
from sca_service.kernel.ids import new_id

_MOST_BUNDLES = 64
"""What one transaction prunes: the log does not grow meanwhile."""

log = structlog.get_logger()


class Retention:
    """Prunes the log and payers' keys and thins the checkpoints, part by part.

    A class because it holds the policy's years, and up to which key it has come.
    """

    def __init__(self, years: int, clock: Clock) -> None:
        self._years = years
        self._clock = clock
        self._keys_seen = 0

    async def tidy(self, connection: store.Connection) -> bool:
        """Prune one portion; when there is none, thin the checkpoints. Returns whether there may be more to prune."""
        if await self._prune(connection) or await self._prune_keys(connection):
            return True
        await store.thin_checkpoints(connection)
        return False

    async def _prune(self, connection: store.Connection) -> bool:
        async with connection.transaction():
            state = await store.lock_state(connection)
            newest = await store.published(connection)
            end = min(state.first_index + _MOST_BUNDLES * WIDTH, newest.size if newest else 0)
            unread = await least_index(connection)
            end = end if unread is None else min(end, unread)
            bundles = await store.bundles(connection, state.first_index, end, years=self._years)
            first_index = first_kept(state.first_index, bundles)
            if first_index == state.first_index:
                return False
            await store.prune(connection, first_index)
            await insert_events(connection, [self._pruned(first_index)])
        log.info("log.pruned", first_index=first_index)
        return True

    async def _prune_keys(self, connection: store.Connection) -> bool:
        """Look at one portion of the payers' keys; after the last old one, begin anew the next time."""
        seen = await prune_keys(connection, self._keys_seen, years=self._years)
        self._keys_seen = seen or 0
        return seen is not None

    def _pruned(self, first_index: int) -> AuditEvent:
        return AuditEvent.create(
            event_id=new_id("evt"),
            kind="log.pruned",
            at_ms=self._clock.now_ms(),
            members={"actor": "log", "first_index": first_index, "years": self._years},
        )


def first_kept(first_index: int, bundles: Sequence[Bundle]) -> int:
    """The minimum index after pruning: behind the last of the bundles in a row that are whole and over."""
    for bundle in bundles:
        if bundle.index * WIDTH != first_index or bundle.entries != WIDTH or not bundle.is_over:
            break
        first_index += WIDTH
    return first_index
