"""Read challenges and steer the pending ones: get, list, next channel, cancel."""

import asyncio

from sca_service.authenticators.enrolment.model import Withdrawal, WithdrawnLine
from sca_service.authenticators.model import AuthenticatorType, Withdrawn
from sca_service.challenges.issue import Caller
from sca_service.challenges.model import ChallengeId, ChallengeState, LadderState, Method, Status
from sca_service.challenges.postgres_store import ChallengeArchive, ChallengeFilter
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.verify import as_archived
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.errors import (
    InvalidInput,
    NoMoreChannels,
    NotFound,
    NotPending,
    ResendCooldown,
    TooEarly,
)
from sca_service.kernel.keyring import Keyring
from sca_service.limits.model import limits_for, observing, refusing
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Channel, LimitedAction, LimitScope, Policy

_ON_ITS_WAY_SECONDS = 300
"""Longer than any process stands still between asking whether a device is active and telling what it answered."""


class Follower:
    """Follows challenges after they were issued. A class because it holds the stores."""

    def __init__(
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: ChallengeStore,
        archive: ChallengeArchive,
        limits: LimitStore,
        recorder: Recorder,
    ) -> None:
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._archive = archive
        self._limits = limits
        self._recorder = recorder

    async def get(self, client: str, challenge: ChallengeId) -> ChallengeView:
        """A client's challenge in whatever state, but approved only once that is on record.

        Raises NotFound, StoreUnavailable.
        """
        state = await self._store.get(challenge)
        if state is None or state.client != client:
            archived = await self._archive.get(challenge.text, client)
            if archived is None:
                raise NotFound
            state = as_archived(archived)
        elif state.status is Status.APPROVED:
            state = await self._as_recorded(state)
        return ChallengeView.open(state, self._keyring)

    async def page(self, wanted: ChallengeFilter, *, most: int) -> list[ChallengeView]:
        """A client's challenges, the newest first, at most `most`. Raises StoreUnavailable."""
        states = await self._archive.page(wanted, most=most)
        fresh = await asyncio.gather(*(self._freshest(state) for state in states))
        return [ChallengeView.open(state, self._keyring) for state in fresh]

    async def pending(self, client: str, psu_id: str) -> list[ChallengeView]:
        """A payer's challenges that are pending, or were a moment ago; the newest first.

        Raises StoreUnavailable, SealBroken.
        """
        payer = self._keyring.pseudonym("payer", client, psu_id)
        states = await asyncio.gather(*map(self._store.get, await self._store.pending_of(payer)))
        return [
            ChallengeView.open(state, self._keyring)
            for state in reversed(states)
            if state is not None and state.client == client and state.status is Status.PENDING
        ]

    async def step(
        self, caller: Caller, challenge: ChallengeId, *, over: Channel | None = None
    ) -> ChallengeView:
        """Send over the next channel now, or once more `over` one of its ladder's; the code stays the same.

        Raises NotFound, NoMoreChannels, ResendCooldown and TooEarly (with the seconds to wait), NotPending when the
        challenge is final, InvalidInput for a channel that its ladder does not have, StoreUnavailable.
        """
        state = await self._store.get(challenge)
        if state is None or state.client != caller.client:
            await self.get(caller.client, challenge)
            raise NotPending
        limits = limits_for(self._policy, LimitedAction.RESEND, LimitScope.PAYER, state.payer)
        observed = await self._limits.spend(observing(limits))
        reply = await self._store.step(
            challenge,
            caller.event_members(self._policy),
            client=caller.client,
            resend=self._policy.resend,
            limits=refusing(limits),
            over=_again(state, over) if over else None,
        )
        if reply.word != "stepped":
            self._limits.give_back(observed.limits)
        if reply.wait_ms:
            seconds = -(-reply.wait_ms // 1000)
            if reply.word == "cooldown":
                raise ResendCooldown("the payer gets a moment to receive the last message", seconds)
            raise TooEarly("the limit on messages for this payer is spent", seconds)
        if reply.word == "no_more":
            raise NoMoreChannels
        if reply.state is None:
            raise NotPending
        await self._recorder.commit(challenge.partition, reply)
        return ChallengeView.open(reply.state, self._keyring)

    async def cancel(self, caller: Caller, challenge: ChallengeId) -> ChallengeView:
        """Cancel a pending challenge; a final one stays as it is. Raises NotFound, StoreUnavailable."""
        reply = await self._store.cancel(challenge, caller.event_members(self._policy), client=caller.client)
        if reply.state is None:
            return await self.get(caller.client, challenge)
        if reply.state.status is Status.APPROVED:
            await self._recorder.expect(reply.state)
            return ChallengeView.open(reply.state, self._keyring)
        if reply.state.status is Status.CANCELLED and not reply.events:  # an earlier request cancelled it
            await self._recorder.expect_event(reply.state, "challenge.cancelled")
        await self._recorder.commit(challenge.partition, reply)
        return ChallengeView.open(reply.state, self._keyring)

    async def void(
        self, caller: Caller, psu_id: str, withdrawn: Withdrawal, why: str = "authenticator_revoked"
    ) -> None:
        """Cancel a payer's pending challenges that nothing but this authenticator could answer (RTS Art. 27).

        For after it was revoked or suspended: an answer that comes in between is refused all the same, but for a code
        that a phone line received, which is void from here on. Raises StoreUnavailable, SealBroken.
        """
        payer = self._keyring.pseudonym("payer", caller.client, psu_id)
        if isinstance(withdrawn, Withdrawn) and withdrawn.type is AuthenticatorType.DEVICE_KEY:
            await self._store.withdraw(payer, withdrawn.id, seconds=_ON_ITS_WAY_SECONDS)
        for challenge in await self._store.pending_of(payer):
            state = await self._store.get(challenge)
            if state is None or not self._rests_on(state, withdrawn):
                continue
            members = caller.event_members(self._policy)
            reply = await self._store.cancel(challenge, members, client=caller.client, why=why)
            if reply.word == "cancelled":
                await self._recorder.commit(challenge.partition, reply)

    async def readmit(self, client: str, psu_id: str, authenticator: str) -> None:
        """For after a payer's authenticator was resumed: its answers count again. Raises StoreUnavailable."""
        payer = self._keyring.pseudonym("payer", client, psu_id)
        await self._store.withdraw(payer, authenticator, seconds=0)

    async def _as_recorded(self, state: ChallengeState) -> ChallengeState:
        """An approved challenge as it is on record: by this answer, by an earlier one (decision 6), or not approved."""
        accepted_by = await self._recorder.accepted_by(state.id)
        if accepted_by == state.answer_event:
            return state
        archived = await self._archive.get(state.id, state.client)
        if archived and (accepted_by or archived.status is not Status.APPROVED):
            return archived
        await self._recorder.expect(state)  # it came on record meanwhile, or a snapshot of it did
        return state

    async def _freshest(self, state: ChallengeState) -> ChallengeState:
        if state.status is not Status.PENDING:
            return state
        challenge = ChallengeId.parse(state.id)
        hot = await self._store.get(challenge) if challenge else None
        if hot is None:
            return as_archived(state)
        return state if hot.status is Status.APPROVED else hot  # not on record when the archive was read

    def _rests_on(self, state: ChallengeState, withdrawn: Withdrawal) -> bool:
        """Whether nothing but this authenticator could complete its answer."""
        if not isinstance(withdrawn, WithdrawnLine):
            return _is_only_for(state, withdrawn)
        if state.details.method is not Method.ONE_TIME_CODE:
            return False
        phone = ChallengeView.open(state, self._keyring).private.phone
        if not withdrawn.number:  # nobody knows any more which of those from before went there
            return phone is not None and state.created_at <= withdrawn.revoked_at_ms
        return phone == withdrawn.number


def _again(state: ChallengeState, channel: Channel) -> LadderState:
    """The challenge's own step over this channel. Raises InvalidInput where it has none: what its ladder leaves out was
    not in the policy, or left out by risk.
    """
    step = next((one for one in state.ladder if one.channel is channel), None)
    if step is None or state.details.method is not Method.ONE_TIME_CODE:
        raise InvalidInput.at("/channel", "is not in the challenge's ladder")
    return step


def _is_only_for(state: ChallengeState, withdrawn: Withdrawn) -> bool:
    details = state.details
    if details.question is not None and details.question.authenticator == withdrawn.id:
        return True
    if withdrawn.type is AuthenticatorType.PIN:
        return state.asks_pin and withdrawn.was_all_of(())
    return details.method.authenticator is withdrawn.type and withdrawn.was_all_of(details.asked)
