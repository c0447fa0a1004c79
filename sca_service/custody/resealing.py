"""Seals anew, in the background, what lies under an older root than the current one.

A worker that starts with such a root in its keyring goes through the tables, portion by portion, and exchanges each
text by one statement that does nothing when the record changed since it was read. So nothing waits for it, it may be
killed anywhere, and two at once do no harm. A pass looks at everything again: what was sealed meanwhile by a replica
that has not been restarted yet is found by the next one.
"""

import asyncio
from collections import Counter

import structlog
from prometheus_client import Gauge

from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.writer import AuditWriter
from sca_service.custody.model import TABLES, Place, resealed
from sca_service.custody.postgres_store import SealedStore
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, SealBroken

PAUSE_SECONDS = 0.25
"""After each portion that had something to seal anew: 500 records, so at most 2000 of them a second."""
_BETWEEN_PASSES_SECONDS = 3600.0
_BETWEEN_TRIES_SECONDS = 60.0
"""After a pass that another worker was at, or that a store's absence ended."""

UNDER_OLDER_ROOTS = Gauge(
    "sca_records_under_older_roots", "Records that are yet to be sealed under the current root.", ["table"]
)

log = structlog.get_logger()


class Resealer:
    """Goes through the tables, pass after pass. A class because it holds the stores."""

    def __init__(
        self,
        *,
        store: SealedStore,
        writer: AuditWriter,
        keyring: Keyring,
        clock: Clock,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._store = store
        self._writer = writer
        self._keyring = keyring
        self._clock = clock
        self._pause_seconds = pause_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Pass after pass until `stop` is set; at once over where the keyring has no older root. Raises nothing."""
        while self._keyring.older_versions and not stop.is_set():
            try:
                is_done = await self.run_pass(stop)
            except StoreUnavailable as away:
                log.warning("resealing.waiting", reason=away.detail)
                is_done = False
            except Exception as error:  # the worker's other loops go on
                log.error("resealing.failed", exc=error)
                is_done = False
            await _pause(stop, _BETWEEN_PASSES_SECONDS if is_done else _BETWEEN_TRIES_SECONDS)

    async def run_pass(self, stop: asyncio.Event) -> bool:
        """Go through every table once; what was sealed anew is put on record at the end.

        False when another worker is at it, or `stop` was set before the end. Raises StoreUnavailable.
        """
        async with self._store.turn() as is_ours:
            if not is_ours:
                return False
            older = self._keyring.older_versions
            for table in TABLES:
                uses = await self._store.uses(table)
                UNDER_OLDER_ROOTS.labels(table).set(sum(uses.get(version, 0) for version in older))
            done: Counter[Place] = Counter()
            for table in TABLES:
                done[table] = await self._reseal(table, stop)
            if stop.is_set():
                return False
            if done.total():
                await self._put_on_record(done)
            return True

    async def _reseal(self, table: Place, stop: asyncio.Event) -> int:
        """Go through one table, and return how many of its records were sealed anew."""
        done = unopened = 0
        last: str | int | None = None
        while not stop.is_set():
            portion = await self._store.find(table, self._keyring.older_versions, after=last)
            for record in portion.records:
                try:
                    held = resealed(record, self._keyring)
                except SealBroken:
                    unopened += 1
                    continue
                if await self._store.exchange(table, record, held):
                    UNDER_OLDER_ROOTS.labels(table).dec()
                    done += 1
            if portion.last is None:
                break
            last = portion.last
            if portion.records:
                await _pause(stop, self._pause_seconds)
        if unopened:  # altered where they lie: they stay as they are, and so does the root
            log.error("resealing.unopened", table=table, records=unopened)
        return done

    async def _put_on_record(self, done: Counter[Place]) -> None:
        members = {
            "actor": "worker",
            "current": self._keyring.current,
            "records": {str(table): records for table, records in done.items() if records},
        }
        event = AuditEvent.create(
            event_id=new_id("evt"), kind="keys.resealed", at_ms=self._clock.now_ms(), members=members
        )
        await self._writer.commit(Record((event,)))
        log.info("keys.resealed", current=self._keyring.current, records=done.total())


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
