"""Put on record what a script decided, before anybody hears of it."""

import contextlib

from sca_service.audit.model import Acceptance, AuditEvent, Record, Snapshot
from sca_service.audit.private.commitments import CommitmentBroken, PrivateValues
from sca_service.audit.redis_store import Outbox
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.model import ChallengeId, ChallengeState, Outcome, Status
from sca_service.challenges.personal import personal_values
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.redis_store import ChallengeStore, Reply
from sca_service.challenges.signed import values_of
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.batching import unheard
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.telemetry import CHALLENGES_ANSWERED, count_of

COMMITTING = ("challenge.issued", "challenge.refused")
"""The events that commit to what is personal about a challenge."""


class Recorder:
    """Commits the events of a script's reply; then the outbox may forget them and the delivery may go.

    A class because it holds what is being let go.
    """

    def __init__(
        self, *, writer: AuditWriter, outbox: Outbox, archive: ChallengeArchive, store: ChallengeStore
    ) -> None:
        self._writer = writer
        self._outbox = outbox
        self._archive = archive
        self._store = store

    async def commit(
        self,
        partition: int,
        reply: Reply,
        *,
        with_snapshot: bool = True,
        private: tuple[PrivateValues, ...] = (),
    ) -> bool:
        """Durable when this returns. False when the reply approves a challenge that was approved before.

        Raises StoreUnavailable; then the events are still in the outbox and a worker will commit them.
        """
        if not reply.events and not with_snapshot:
            return True
        snapshots = [reply.state] if with_snapshot and reply.state else []
        if reply.superseded:
            snapshots.append(reply.superseded)
        record = Record(reply.events, _acceptance(reply), tuple(snapshots), private)
        accepted = await self._writer.commit(record)
        if reply.places:
            self._outbox.forget(partition, reply.places)
        if reply.state and reply.state.awaits_release and _queued_by(reply):
            self._release(reply.state)
        return accepted

    async def commit_answer(
        self, challenge: ChallengeId, reply: Reply, *, private: tuple[PrivateValues, ...] = ()
    ) -> Outcome:
        """Put an answer on record, and tell what it came to: `already_used` when another approval was on record before.

        Raises StoreUnavailable.
        """
        outcome = Outcome(reply.word)
        assert reply.state is not None  # noqa: S101 - an answer that was decided comes with the state
        is_settled = reply.state.status.is_final and outcome is not Outcome.ALREADY_USED
        if not await self.commit(challenge.partition, reply, with_snapshot=is_settled, private=private):
            outcome = Outcome.ALREADY_USED
        count_of(CHALLENGES_ANSWERED, challenge.purpose, outcome).inc()
        return outcome

    def _release(self, state: ChallengeState) -> None:
        """Let the newest delivery go, without waiting for it: what is not released goes by its timer."""
        with contextlib.suppress(StoreUnavailable):
            unheard(self._store.release(state))  # a release that failed is no fault: the timer is the way out

    async def commit_event(self, event: AuditEvent) -> None:
        """Put one event on record that no script made. Raises StoreUnavailable."""
        await self._writer.commit(Record((event,)))

    async def accepted_by(self, challenge_id: str) -> str | None:
        """The event on record that approved a challenge, or None while there is none. Raises StoreUnavailable."""
        return await self._writer.accepted_by(challenge_id)

    async def expect(self, state: ChallengeState) -> bool:
        """Make sure that a decision taken by an earlier request is on record, before it is told again.

        False when the record holds another approval of this challenge than the state does (decision 6). Raises
        StoreUnavailable while it holds none: what a killed process left in the outbox is there within seconds.
        """
        if state.status is Status.APPROVED:  # a snapshot may say so before the acceptance is there
            accepted_by = await self.accepted_by(state.id)
            if accepted_by is None:
                raise StoreUnavailable("what was decided is being put on record")
            return accepted_by == state.answer_event
        recorded = await self._archive.get(state.id, state.client)
        if recorded is None or recorded.status != state.status:
            raise StoreUnavailable("what was decided is being put on record")
        return True

    async def expect_event(self, state: ChallengeState, *kinds: str) -> None:
        """Make sure that an earlier request's event is on record, before what it did is told again.

        Not only the state: whatever is committed about a challenge stores its newest state. Raises StoreUnavailable.
        """
        if not await self._writer.has_event(state.id, kinds):
            raise StoreUnavailable("what was decided is being put on record")


class StateSource:
    """Tells the outbox's drain how the challenge of an event stands now. A class because it holds the store."""

    def __init__(self, store: ChallengeStore, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def snapshot_of(self, event: AuditEvent) -> Snapshot | None:
        """The challenge's state in Redis, or None when it is not there (any more)."""
        challenge = ChallengeId.parse(event.head.challenge or "")
        return await self._store.get(challenge) if challenge else None

    def private_of(self, event: AuditEvent, snapshot: Snapshot | None) -> PrivateValues | None:
        """The personal values that an event commits to: of a challenge's issue, or of a signed answer; else None."""
        if not isinstance(snapshot, ChallengeState) or '"commitments"' not in event.body:
            return None
        try:
            if event.head.type not in COMMITTING:
                return values_of(self._keyring, snapshot, event.head.id)
            private = ChallengeView.open(snapshot, self._keyring).private
        except (SealBroken, CommitmentBroken):  # the event goes on record all the same
            return None
        return personal_values(event.head.id, snapshot.payer, private)


def _queued_by(reply: Reply) -> bool:
    """Whether this very decision queued the newest delivery: another one's may not be on record yet."""
    queued_at = reply.state.deliveries[-1].queued_at if reply.state else 0
    return any(event.head.at_ms == queued_at for event in reply.events)


def _acceptance(reply: Reply) -> Acceptance | None:
    state: ChallengeState | None = reply.state
    if reply.word != "approved" or state is None:
        return None
    return Acceptance(state.id, state.answer_event)
