"""Compares the challenges with the log and the log with the challenges, in constant memory, and tells what is off.

What was touched a moment ago is not judged: it may be on its way. What looks wrong is looked at once more at the end,
and told when it still does.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from sca_service.audit.private.commitments import CommitmentBroken, broken_commitments
from sca_service.challenges.model import decode_state
from sca_service.challenges.reconcile.judge import Moment, faults_of, is_in_motion
from sca_service.challenges.reconcile.model import (
    EVERYTHING,
    Counts,
    Fault,
    Finding,
    PrivateVault,
    Span,
    StoredChallenge,
    StoredEvent,
    Story,
    ToldEvent,
    told_event,
)
from sca_service.challenges.reconcile.postgres_store import (
    CHALLENGES_AT_ONCE,
    EVENTS_AT_ONCE,
    LEAVES_AT_ONCE,
    LogExtent,
    ReconcileStore,
)
from sca_service.kernel.clock import Clock
from sca_service.kernel.keyring import SealBroken

GRACE_SECONDS = 90
"""Longer than a worker's lease and the last wait for a worker that died (50 s), and than the outbox's drain."""

_SECOND_LOOK_SECONDS = 3.0
_MOST_HELD = 10_000
_OPENED_AT_ONCE = 200
_PRUNED_SLACK = timedelta(days=1)
_BEGINNING = ("0", 0)


class Reconciler:
    """One comparison. A class because it counts, and holds what is to be looked at once more."""

    def __init__(
        self,
        store: ReconcileStore,
        vault: PrivateVault,
        clock: Clock,
        *,
        span: Span = EVERYTHING,
        grace_seconds: int = GRACE_SECONDS,
        second_look_seconds: float = _SECOND_LOOK_SECONDS,
    ) -> None:
        self.counts = Counts()
        self._store = store
        self._vault = vault
        self._moment = Moment(clock.now_ms(), grace_seconds * 1000)
        self._span = span
        self._second_look_seconds = second_look_seconds
        self._kept_since: datetime | None = None
        self._challenges_held: list[str] = []
        self._events_held: list[str] = []

    async def findings(self) -> AsyncIterator[Finding]:
        """Everything that is off. Raises StoreUnavailable."""
        extent = await self._store.extent()
        if extent.first_at:  # what is older may have lost its first events, by retention
            self._kept_since = extent.first_at + _PRUNED_SLACK
        parts = [self._challenges(), self._events(), self._acceptances()]
        if self._span.is_everything:
            parts += [self._leaves(extent), self._private_values()]
        for part in (*parts, self._second_look()):
            async for finding in part:
                self.counts.faults[finding.fault] += 1
                yield finding

    async def _challenges(self) -> AsyncIterator[Finding]:
        after = ""
        while rows := await self._store.challenges(self._span, after):
            for row in rows:
                self.counts.challenges += 1
                faults = list(self._faults_in(row))
                if faults and len(self._challenges_held) < _MOST_HELD:
                    self._challenges_held.append(row.id)
                    continue
                for finding in faults:
                    yield finding
            after = rows[-1].id

    def _faults_in(self, row: StoredChallenge, *, is_again: bool = False) -> Iterator[Finding]:
        try:
            story = _story(row)
        except msgspec.DecodeError:
            yield Finding(Fault.ALTERED, row.id, "its state or one of its events cannot be read")
            return
        state = story.state
        if (row.id, row.client, row.psu, row.status) != (state.id, state.client, state.payer, state.status):
            yield Finding(Fault.ALTERED, row.id, "its row and its state say different things")
        if is_in_motion(story, self._moment) or self._has_lost_its_beginning(state.created_at):
            return
        if not is_again:
            self.counts.judged += 1
            self.counts.deliveries += len(state.deliveries)
        yield from faults_of(story, self._moment)

    def _has_lost_its_beginning(self, created_at_ms: int) -> bool:
        return self._kept_since is not None and created_at_ms < self._kept_since.timestamp() * 1000

    async def _events(self) -> AsyncIterator[Finding]:
        place = _BEGINNING
        while rows := await self._store.events(self._span, place):
            self.counts.events += len(rows)
            told = [(row, _told(row)) for row in rows]
            for row, event in told:
                for finding in self._faults_of_event(row, event):
                    yield finding
            async for finding in self._faults_of_values(told):
                yield finding
            place = rows[-1].place
            if len(rows) < EVENTS_AT_ONCE:
                return

    def _faults_of_event(self, row: StoredEvent, event: ToldEvent | None) -> Iterator[Finding]:
        if event is None:
            yield Finding(Fault.ALTERED, row.id, "its leaf cannot be read")
            return
        said = (event.id, event.type, event.client, event.psu, event.challenge, event.at_ms)
        if said != row.head:
            yield Finding(Fault.ALTERED, row.id, "its row and its leaf say different things")
        if not self._moment.is_over(event.at_ms):
            return
        if row.challenge and not row.has_challenge:
            yield Finding(
                Fault.MISSING, row.challenge, f"{row.type} {row.id} tells of it, and it is not there"
            )
        if not row.has_leaf and len(self._events_held) < _MOST_HELD:
            self._events_held.append(row.id)
        elif not row.has_leaf:
            yield _leafless(row.id)
        if event.commitments and not row.is_sealed and not row.is_erased:
            yield Finding(Fault.MISSING, row.id, "the personal values that it commits to are not there")
        if row.is_sealed and not row.has_key and not row.is_erased:
            yield Finding(
                Fault.MISSING, row.id, "the key of its personal values is gone, and no erasure says why"
            )

    async def _faults_of_values(
        self, told: Sequence[tuple[StoredEvent, ToldEvent | None]]
    ) -> AsyncIterator[Finding]:
        """Personal values that do not open, or are not what their event commits to."""
        sealed = {row.id: event for row, event in told if event and row.is_sealed and row.has_key}
        ids = list(sealed)
        for begin in range(0, len(ids), _OPENED_AT_ONCE):
            portion = ids[begin : begin + _OPENED_AT_ONCE]
            self.counts.private_values += len(portion)
            async for finding in self._opened({one: sealed[one] for one in portion}):
                yield finding

    async def _opened(self, events: dict[str, ToldEvent]) -> AsyncIterator[Finding]:
        try:
            found = await self._vault.disclosures(list(events))
        except (SealBroken, CommitmentBroken):
            if len(events) == 1:
                yield Finding(Fault.ALTERED, next(iter(events)), "its personal values do not open")
                return
            for event_id, event in events.items():
                async for finding in self._opened({event_id: event}):
                    yield finding
            return
        for event_id, event in events.items():
            broken = broken_commitments(found.get(event_id, ()), event.commitments)
            if broken:
                detail = f"not what it commits to: {', '.join(broken)}"
                yield Finding(Fault.ALTERED, event_id, detail)

    async def _acceptances(self) -> AsyncIterator[Finding]:
        after = ""
        while rows := await self._store.acceptances(self._span, after):
            self.counts.acceptances += len(rows)
            for challenge, event, is_stray in rows:
                if is_stray:
                    detail = f"an acceptance by {event} is of it, and it is not there"
                    yield Finding(Fault.MISSING, challenge, detail)
            after = rows[-1][0]

    async def _leaves(self, extent: LogExtent) -> AsyncIterator[Finding]:
        self.counts.leaves = extent.size - extent.first_index
        for begin in range(extent.begin, extent.end, LEAVES_AT_ONCE):
            end = min(begin + LEAVES_AT_ONCE, extent.end)
            for index, event_id in await self._store.gaps(begin, end):
                subject = f"leaf {index}"
                if event_id is None:
                    yield Finding(Fault.MISSING, subject, "no event has this index")
                else:
                    yield Finding(Fault.MISSING, subject, f"its event {event_id} is not there")
        if extent.begin < extent.first_index or extent.end > extent.size:
            detail = f"leaves from {extent.begin} to {extent.end}, the log from {extent.first_index} to {extent.size}"
            yield Finding(Fault.CONTRADICTED, "log", detail)

    async def _private_values(self) -> AsyncIterator[Finding]:
        after = ""
        while rows := await self._store.private_values(after):
            for row in rows:
                if row["is_stray"]:
                    yield Finding(Fault.MISSING, row["event_id"], "it has personal values, and is not there")
                if row["is_keyless"]:
                    yield Finding(
                        Fault.MISSING, row["event_id"], "the key of its personal values is not there"
                    )
                if row["is_left_over"]:
                    detail = "its payer was erased, and its personal values are still there"
                    yield Finding(Fault.CONTRADICTED, row["event_id"], detail)
            after = rows[-1]["event_id"]

    async def _second_look(self) -> AsyncIterator[Finding]:
        """What looked wrong, after whatever was under way has ended."""
        if self._challenges_held or self._events_held:
            await asyncio.sleep(self._second_look_seconds)
        for begin in range(0, len(self._challenges_held), CHALLENGES_AT_ONCE):
            portion = self._challenges_held[begin : begin + CHALLENGES_AT_ONCE]
            for row in await self._store.challenges_by_id(portion):
                for finding in self._faults_in(row, is_again=True):
                    yield finding
        for begin in range(0, len(self._events_held), EVENTS_AT_ONCE):
            for event_id in await self._store.leafless(self._events_held[begin : begin + EVENTS_AT_ONCE]):
                yield _leafless(event_id)


def _leafless(event_id: str) -> Finding:
    return Finding(Fault.MISSING, event_id, "it has no index in the log")


def _told(row: StoredEvent) -> ToldEvent | None:
    try:
        return told_event(row.body)
    except msgspec.DecodeError:
        return None


def _story(row: StoredChallenge) -> Story:
    """The row's state and events; an event that is another one's copy but for its id is set aside."""
    events: list[ToldEvent] = []
    copies: list[ToldEvent] = []
    seen: set[str] = set()
    for leaf in row.leaves:
        event = told_event(leaf)
        content = leaf.replace(f'"id":"{event.id}"', "", 1)
        (copies if content in seen else events).append(event)
        seen.add(content)
    return Story(decode_state(row.packed), events, copies, row.accepted_by)
