"""A device reads what it is asked and answers with a signature: the one place with the control flow."""

from dataclasses import dataclass
from typing import Protocol

from sca_service.authenticators.device_key.approval import (
    LEEWAY_SECONDS,
    Approval,
    DeclineReason,
    Verdict,
    judge,
    matching_digits,
    parse_approval,
)
from sca_service.authenticators.device_key.devices import Device
from sca_service.authenticators.device_key.jws import BadSignature
from sca_service.challenges.model import (
    OUTCOME_OF_FINAL,
    ChallengeId,
    ChallengeState,
    Method,
    Outcome,
    Status,
)
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers, Reply
from sca_service.challenges.risk import Assessor, learn, learn_disowned
from sca_service.challenges.signed import SignedAnswer, signed_answer
from sca_service.challenges.spans import note_answer
from sca_service.challenges.verify import as_archived
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, InvalidProof, NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.kernel.telemetry import CHALLENGES_DECLINED
from sca_service.kernel.tracing.traces import Traces
from sca_service.policy.model import Policy

_NOT_AN_ANSWER = {
    Verdict.OTHER_CHALLENGE: "is the answer to another challenge",
    Verdict.LATE: "was signed before this challenge, or in the future: the device's clock may be wrong",
}


@dataclass(frozen=True, slots=True)
class DeviceOutcome:
    """What a device's answer came to, and how many wrong ones remain."""

    outcome: Outcome
    attempts_left: int


class Active(Protocol):
    """Knows which devices are active."""

    async def keeps(self, device: Device, challenge: str) -> bool:
        """Whether a device that signed for a challenge is active still. Raises StoreUnavailable."""


class DeviceAnswers:
    """Serves devices. A class because it holds what it decides with."""

    def __init__(  # noqa: PLR0913 - the use case holds all that it decides with
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: ChallengeStore,
        archive: ChallengeArchive,
        recorder: Recorder,
        devices: Active,
        assessor: Assessor,
        clock: Clock,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._assessor = assessor
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._archive = archive
        self._recorder = recorder
        self._devices = devices
        self._clock = clock

    async def pending(self, device: Device) -> list[ChallengeView]:
        """What this device is asked now, the oldest first. Raises StoreUnavailable, SealBroken."""
        found = []
        for challenge in await self._store.pending_of(device.row.psu):
            state = await self._store.get(challenge)
            if state and _asks(state, device) and state.status_at(self._clock.now_ms()) is Status.PENDING:
                found.append(ChallengeView.open(state, self._keyring))
        return found

    async def get(self, device: Device, challenge: ChallengeId) -> ChallengeView:
        """What this device is or was asked. Raises NotFound for anything else, StoreUnavailable, SealBroken."""
        return ChallengeView.open(await self._state(device, challenge), self._keyring)

    async def answer(
        self, device: Device, request: str, challenge: ChallengeId, signed: str
    ) -> DeviceOutcome:
        """Decide what a device signed (a JWS): on record before it is told.

        Raises InvalidInput for what is no answer of this device to this challenge, which counts as none; NotFound for a
        challenge that this device is not asked, InvalidProof when it was revoked meanwhile, StoreUnavailable.
        """
        began_ns = self._traces.now_ns() if self._traces else 0
        decided = await self._decide(device, request, challenge, signed)
        if self._traces:
            note_answer(self._traces, began_ns, challenge.text, decided.outcome)
        return decided

    async def _decide(
        self, device: Device, request: str, challenge: ChallengeId, signed: str
    ) -> DeviceOutcome:
        state = await self._state(device, challenge)
        approval = _read(signed, device)
        verdict = self._judged(approval, state)
        if verdict in _NOT_AN_ANSWER:
            raise InvalidInput.at("/answer", _NOT_AN_ANSWER[verdict])
        head = EventMembers(device.actor, request, self._policy.digest)
        proof = signed_answer(
            self._keyring, state, {"device_answer": signed, "device_key": device.key.canonical.decode()}
        )
        if verdict is Verdict.DECLINED:
            return await self._decline(head, challenge, state, approval, proof)
        if verdict is Verdict.APPROVED and not await self._devices.keeps(device, challenge.text):
            raise InvalidProof
        reply = await self._store.answer(
            challenge,
            head,
            client=state.client,
            code_matches=verdict is Verdict.APPROVED,
            digest=approval.transaction,
            answer_key="",
            lockout=self._policy.lockout,
            device=device.row.id,
            signed=proof.kept,
        )
        if reply.word == "withdrawn":  # since it was asked for
            raise InvalidProof
        if reply.state is None:
            return _final(await self._state(device, challenge))
        outcome = await self._recorder.commit_answer(challenge, reply, private=proof.of(reply))
        if outcome is Outcome.APPROVED:
            learn(self._assessor, ChallengeView.open(reply.state, self._keyring))
        return DeviceOutcome(outcome, reply.state.attempts_left)

    def _judged(self, approval: Approval, state: ChallengeState) -> Verdict:
        now_s = self._clock.now_ms() // 1000
        return judge(
            approval,
            challenge=state.id,
            digest=state.digest,
            digits=digits_of(self._keyring, state.id),
            now_s=now_s,
            window_s=max(now_s - state.created_at // 1000, 0) + LEEWAY_SECONDS,
        )

    async def _decline(
        self,
        head: EventMembers,
        challenge: ChallengeId,
        state: ChallengeState,
        approval: Approval,
        proof: SignedAnswer,
    ) -> DeviceOutcome:
        reply: Reply = await self._store.decline(challenge, head, "", approval.reason or "", proof.kept)
        if reply.state is None:
            return _final(await self._still(challenge, state))
        await self._recorder.commit(challenge.partition, reply, private=proof.of(reply))
        CHALLENGES_DECLINED.labels(reply.state.why).inc()
        if approval.reason is DeclineReason.NOT_ME:
            await learn_disowned(self._assessor, ChallengeView.open(reply.state, self._keyring))
        return _final(reply.state)

    async def _still(self, challenge: ChallengeId, before: ChallengeState) -> ChallengeState:
        state = await self._store.get(challenge) or before
        if state.status_at(self._clock.now_ms()) is Status.EXPIRED:
            state.status = Status.EXPIRED
        return state

    async def _state(self, device: Device, challenge: ChallengeId) -> ChallengeState:
        """Raises NotFound unless this device was asked, whatever the state."""
        state = await self._store.get(challenge)
        if state is None:
            archived = await self._archive.get(challenge.text, device.row.client)
            state = as_archived(archived) if archived else None
        if state is None or not _asks(state, device):
            raise NotFound
        return state


def digits_of(keyring: Keyring, challenge: str) -> Secret[str]:
    """The two digits that the bank's page shows for a challenge, and that the payer repeats in the app."""
    return matching_digits(Secret(keyring.channel_key("matching digits")), challenge)


def _asks(state: ChallengeState, device: Device) -> bool:
    if state.payer != device.row.psu or state.client != device.row.client:
        return False
    details = state.details
    return details.method is Method.DEVICE_SIGNATURE and device.row.id in details.asked


def _read(signed: str, device: Device) -> Approval:
    try:
        return parse_approval(signed, device.key)
    except BadSignature:
        raise InvalidInput.at("/answer", "must be an answer that this device signed") from None
    except InvalidInput as error:
        at = error.mistakes[0]
        raise InvalidInput.at("/answer", f"the claim {at.pointer.strip('/') or 'set'} {at.detail}") from None


def _final(state: ChallengeState) -> DeviceOutcome:
    """Of a challenge that is over: one that only this machine's clock takes for pending has expired by Redis'."""
    return DeviceOutcome(OUTCOME_OF_FINAL.get(state.status, Outcome.EXPIRED), state.attempts_left)
