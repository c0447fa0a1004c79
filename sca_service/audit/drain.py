"""Commits what a killed process left in the outbox, so that no decision stays off the record."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import msgspec
import structlog

from sca_service.audit.model import Acceptance, AuditEvent, Record, Snapshot
from sca_service.audit.private.commitments import PrivateValues
from sca_service.audit.redis_store import LEFT_BEHIND_MS, Outbox
from sca_service.audit.writer import AuditWriter
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.telemetry import EVENTS_RECOVERED

_PAUSE_SECONDS = 0.5
_MOST_PER_ROUND = 500

log = structlog.get_logger()


class SnapshotSource(Protocol):
    """Whoever can tell how the record that an event is about stands now."""

    async def snapshot_of(self, event: AuditEvent) -> Snapshot | None:
        """The newest state of the event's challenge, or None when there is none any more."""

    def private_of(self, event: AuditEvent, snapshot: Snapshot | None) -> PrivateValues | None:
        """The personal values that the event commits to, or None when it has none or they are gone."""


class _Answered(msgspec.Struct):
    outcome: str = ""


class Drain:
    """Looks through the outboxes of its partitions every half second."""

    def __init__(
        self, outbox: Outbox, writer: AuditWriter, snapshots: SnapshotSource, partitions: Iterable[int]
    ) -> None:
        self._outbox = outbox
        self._writer = writer
        self._snapshots = snapshots
        self._partitions = tuple(partitions)

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop` is set; stores that are away are waited for."""
        while not stop.is_set():
            try:
                before_ms = await self._outbox.now_ms() - LEFT_BEHIND_MS
                await self.drain_once(before_ms)
            except StoreUnavailable as away:
                log.warning("drain.waiting", reason=away.detail)
            except Exception as error:  # the worker loop lives on (style, rule 10)
                log.error("drain.failed", exc=error)
            try:
                await asyncio.wait_for(stop.wait(), _PAUSE_SECONDS)
            except TimeoutError:
                continue

    async def drain_once(self, before_ms: int) -> int:
        """Commit every event older than `before_ms` (Redis time). Returns how many.

        A partition that cannot be read does not hold up the others; StoreUnavailable is raised when none can.
        """
        found = await asyncio.gather(
            *(
                self._outbox.left_behind(partition, before_ms=before_ms, most=_MOST_PER_ROUND)
                for partition in self._partitions
            ),
            return_exceptions=True,
        )
        failures = [each for each in found if isinstance(each, BaseException)]
        if failures and len(failures) == len(found):
            raise failures[0]
        for failure in failures:
            log.error("drain.stumbled", exc=failure)
        drained = 0
        for partition, entries in zip(self._partitions, found, strict=True):
            if not entries or isinstance(entries, BaseException):
                continue
            results = await asyncio.gather(
                *(self._commit(event) for _, event in entries), return_exceptions=True
            )
            done = [place for (place, _), error in zip(entries, results, strict=True) if error is None]
            self._outbox.forget(partition, done)
            drained += len(done)
            for error in results:
                if isinstance(error, StoreUnavailable):
                    raise error
                if error is not None:  # it stays in the outbox and is told again until somebody looks
                    log.error("drain.stumbled", partition=partition, exc=error)
        if drained:
            EVENTS_RECOVERED.inc(drained)
            log.info("drain.recovered", events=drained)
        return drained

    async def _commit(self, text: bytes) -> None:
        await self._writer.commit(await self._record(AuditEvent.parse(text)))

    async def _record(self, event: AuditEvent) -> Record:
        snapshot = await self._snapshots.snapshot_of(event)
        approved = (
            event.head.type == "challenge.answered"
            and msgspec.json.decode(event.body, type=_Answered).outcome == "approved"
        )
        acceptance = (
            Acceptance(event.head.challenge, event.head.id) if approved and event.head.challenge else None
        )
        private = self._snapshots.private_of(event, snapshot)
        return Record((event,), acceptance, (snapshot,) if snapshot else (), (private,) if private else ())
