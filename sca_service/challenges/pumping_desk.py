"""Blocks of the pumping guard and its allow-list, as the operator sees and changes them; on record before it holds."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.challenges.allow_list.postgres_store import AllowListStore
from sca_service.challenges.issue import Caller
from sca_service.challenges.record import Recorder
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import NotFound
from sca_service.kernel.ids import new_id
from sca_service.limits.pumping.model import Entry, Subject
from sca_service.limits.pumping.redis_store import EntryKind, PumpingStore
from sca_service.policy.model import Policy

LIFTED = "pumping.lifted"
ALLOWED = "pumping.allowed"
DISALLOWED = "pumping.disallowed"


class PumpingDesk:
    """Tells, lifts and allows. A class because it holds the stores and the record."""

    def __init__(
        self,
        *,
        policy: Policy,
        store: PumpingStore,
        allow_list: AllowListStore,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._store = store
        self._allow_list = allow_list
        self._recorder = recorder
        self._clock = clock

    async def entries(self, kind: EntryKind, *, most: int, skip: int) -> Sequence[Entry]:
        """What is in force, what ends last first. Raises StoreUnavailable."""
        if kind is EntryKind.ALLOW:
            return [one.entry for one in await self._allow_list.in_force(most=most, skip=skip)]
        return await self._store.entries(kind, most=most, skip=skip)

    async def lift(self, caller: Caller, block_id: str, reason: str) -> Entry:
        """Lift a block; its subject is counted anew. Raises NotFound, StoreUnavailable."""
        found = await self._store.find(EntryKind.BLOCK, block_id)
        if found is None:
            raise NotFound
        about = {"block": found.id, "scope": found.scope, "subject": found.subject}
        await self._recorder.commit_event(self._event(caller, LIFTED, about, reason))
        await self._store.lift(EntryKind.BLOCK, block_id)  # or somebody else was faster
        return found

    async def disallow(self, caller: Caller, entry_id: str, reason: str) -> Entry:
        """Take a subject off the allow-list. Raises NotFound; StoreUnavailable, then it may be off within seconds."""

        def event_of(entry: Entry) -> AuditEvent:
            about = {"entry": entry.id, "scope": entry.scope, "subject": entry.subject}
            return self._event(caller, DISALLOWED, about, reason)

        found = await self._allow_list.take_out(entry_id, event_of)
        if found is None:
            raise NotFound
        await self._store.lift(EntryKind.ALLOW, entry_id)
        return found

    async def allow(self, caller: Caller, subject: Subject, *, reason: str, days: int) -> Entry:
        """Count and stop nothing of a subject for so many days; what stood there of it gives way.

        Raises StoreUnavailable; then it may hold within seconds.
        """
        entry_id = new_id("alw")
        about = {"entry": entry_id, "scope": subject.scope, "subject": subject.name, "days": days}
        event = self._event(caller, ALLOWED, about, reason)
        put = await self._allow_list.put(subject, entry_id=entry_id, why=reason, days=days, event=event)
        seconds = put.until - put.since
        await self._store.allow(subject, entry_id=entry_id, why=reason, seconds=seconds)
        return put

    def _event(self, caller: Caller, kind: str, about: dict[str, Any], reason: str) -> AuditEvent:
        return AuditEvent.create(
            event_id=new_id("evt"),
            kind=kind,
            at_ms=self._clock.now_ms(),
            members={
                **msgspec.to_builtins(caller.event_members(self._policy)),
                **about,
                "reason": reason,
            },
        )
