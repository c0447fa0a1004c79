"""Blocks of the pumping guard and its allow-list, as the operator sees and changes them; on record before it holds."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.challenges.issue import Caller
from sca_service.challenges.record import Recorder
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import NotFound
from sca_service.kernel.ids import new_id
from sca_service.limits.pumping.model import DAY_SECONDS, Entry, Subject
from sca_service.limits.pumping.redis_store import EntryKind, PumpingStore
from sca_service.policy.model import Policy

LIFTED = "pumping.lifted"
ALLOWED = "pumping.allowed"
DISALLOWED = "pumping.disallowed"


class PumpingDesk:
    """Tells, lifts and allows. A class because it holds the store and the record."""

    def __init__(self, *, policy: Policy, store: PumpingStore, recorder: Recorder, clock: Clock) -> None:
        self._policy = policy
        self._store = store
        self._recorder = recorder
        self._clock = clock

    async def entries(self, kind: EntryKind, *, most: int, skip: int) -> Sequence[Entry]:
        """What is in force, what ends last first. Raises StoreUnavailable."""
        return await self._store.entries(kind, most=most, skip=skip)

    async def lift(self, caller: Caller, block_id: str, reason: str) -> Entry:
        """Lift a block; its subject is counted anew. Raises NotFound, StoreUnavailable."""
        return await self._take_out(caller, EntryKind.BLOCK, block_id, LIFTED, reason)

    async def disallow(self, caller: Caller, entry_id: str, reason: str) -> Entry:
        """Take a subject off the allow-list. Raises NotFound, StoreUnavailable."""
        return await self._take_out(caller, EntryKind.ALLOW, entry_id, DISALLOWED, reason)

    async def allow(self, caller: Caller, subject: Subject, *, reason: str, days: int) -> Entry:
        """Count and stop nothing of a subject for so many days; what stood there of it gives way.

        Raises StoreUnavailable.
        """
        entry_id = new_id("alw")
        members = {"entry": entry_id, "scope": subject.scope, "subject": subject.name, "days": days}
        await self._record(caller, ALLOWED, members, reason)
        return await self._store.allow(subject, entry_id=entry_id, why=reason, seconds=days * DAY_SECONDS)

    async def _take_out(
        self, caller: Caller, kind: EntryKind, entry_id: str, event: str, reason: str
    ) -> Entry:
        found = await self._store.find(kind, entry_id)
        if found is None:
            raise NotFound
        members = {
            "entry" if kind is EntryKind.ALLOW else "block": found.id,
            "scope": found.scope,
            "subject": found.subject,
        }
        await self._record(caller, event, members, reason)
        await self._store.lift(kind, entry_id)  # where somebody else was faster, it is out all the same
        return found

    async def _record(self, caller: Caller, kind: str, members: dict[str, Any], reason: str) -> None:
        event = AuditEvent.create(
            event_id=new_id("evt"),
            kind=kind,
            at_ms=self._clock.now_ms(),
            members={
                **msgspec.to_builtins(caller.event_members(self._policy)),
                **members,
                "reason": reason,
            },
        )
        await self._recorder.commit_event(event)
