"""Answer a challenge: the one place with the control flow."""

import contextlib
from typing import Protocol

import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.challenges.answer import Answer
from sca_service.challenges.authentication_code import AuthenticationCodeSigner
from sca_service.challenges.evaluate import Evaluation
from sca_service.challenges.issue import Caller
from sca_service.challenges.model import OUTCOME_OF_FINAL, ChallengeId, ChallengeState, Outcome, Status
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.pumping import PumpingGuard
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.risk import Assessor, learn
from sca_service.challenges.spans import note_answer
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, NotFound, ScaError, StoreUnavailable, TooEarly
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.quota import Allowance
from sca_service.kernel.telemetry import CHALLENGES_ANSWERED, count_of
from sca_service.kernel.tracing.traces import Traces
from sca_service.limits.calm import Calm
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.model import LimitedAction, LimitScope, Policy, Purpose

_OF_SIGNALS = (LimitScope.IP, LimitScope.DEVICE)
"""What only the challenge tells: its client named them when it was issued."""


class Verified(msgspec.Struct, frozen=True):
    """What the answer came to; `authentication_code` only when approved.

    `is_news` claims that it was approved just now and not before, `allowances` is what the client may be told of the
    limits on its answers.
    """

    outcome: Outcome
    view: ChallengeView
    authentication_code: str | None = None
    is_news: bool = False
    allowances: tuple[Allowance, ...] = ()


class Uses(Protocol):
    """Remembers when authenticators were used."""

    async def used(self, payer: str, *, challenge: str, pin: bool) -> None:
        """Note which authenticators an approval rested on. Raises StoreUnavailable."""


class Evaluator(Protocol):
    """Evaluates answers."""

    async def evaluate(
        self, client: str, challenge: ChallengeId, digest: str, answer: Answer, key: str
    ) -> Evaluation:
        """Whether the answer is right; what is right is used from now on.

        Raises InvalidInput, Overloaded, StoreUnavailable, SealBroken.
        """


class Conversions(Protocol):
    """Counts which routes bring codes that are answered. Never raises, never waits."""

    def converted(self, supplier: str, network: str) -> None:
        """A code that this supplier carried into this network was answered rightly."""


class Verifier:
    """Verifies answers. A class because it holds what it verifies with."""

    def __init__(  # noqa: PLR0913 - the use case holds all that it decides with
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: ChallengeStore,
        archive: ChallengeArchive,
        recorder: Recorder,
        signer: AuthenticationCodeSigner,
        conversions: Conversions,
        evaluator: Evaluator,
        uses: Uses,
        assessor: Assessor,
        limits: LimitStore,
        calm: Calm,
        clock: Clock,
        guard: PumpingGuard | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._limits = limits
        self._calm = calm
        self._counts_answers = bool(policy.limits_on(LimitedAction.VERIFY))
        self._guard = guard
        self._assessor = assessor
        self._evaluator = evaluator
        self._uses = uses
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._archive = archive
        self._recorder = recorder
        self._signer = signer
        self._conversions = conversions
        self._clock = clock

    async def verify(self, caller: Caller, challenge: ChallengeId, answer: Answer) -> Verified:
        """Decide one answer: on record before it is told.

        Wrong answers count against the limits, so that no code is tried on one payer after another; what says nothing
        of a code does not, and an approval takes a wrong one back (docs/decisions/0019 and 0024). Raises InvalidInput
        when a transaction is missing or not wanted, NotFound for an unknown or another client's challenge, TooEarly at
        a limit, StoreUnavailable.
        """
        began_ns = self._traces.now_ns() if self._traces else 0
        if not self._counts_answers:
            verified = await self._decide(caller, challenge, answer)
        elif await self._calm.holds(caller.client):
            verified = await self._verify_in_calm(caller, challenge, answer)
        else:
            verified = await self._verify_counted(caller, challenge, answer)
        if self._traces:
            note_answer(self._traces, began_ns, challenge.text, verified.outcome, caller.traceparent)
        return verified

    async def _verify_in_calm(self, caller: Caller, challenge: ChallengeId, answer: Answer) -> Verified:
        """Look first, and count what is wrong before it is told: no limit is near."""
        verified = await self._decide(caller, challenge, answer)
        if verified.outcome is not Outcome.INCORRECT:
            return verified
        try:
            spent = await self._limits.spend(self._limits_for(caller, verified.view))
        except TooEarly:
            self._calm.ends(caller.client)
            raise
        if spent.is_pressed:
            self._calm.ends(caller.client)
        return msgspec.structs.replace(verified, allowances=spent.allowances)

    async def _verify_counted(self, caller: Caller, challenge: ChallengeId, answer: Answer) -> Verified:
        """Count before it is looked at, and give back what was no guess: not one more is tried than a limit allows."""
        known = await self._known(caller, challenge)
        spent = await self._limits.spend(self._limits_for(caller, known))
        try:
            verified = await self._decide(caller, challenge, answer, known)
        except ScaError:  # nothing was told
            self._limits.give_back(spent.limits)
            raise
        if verified.outcome is Outcome.INCORRECT:
            return msgspec.structs.replace(verified, allowances=spent.allowances)
        self._limits.give_back(spent.limits, times=2 if verified.is_news else 1)
        return verified

    async def _known(self, caller: Caller, challenge: ChallengeId) -> ChallengeView | None:
        """The challenge, where limits count by what only it tells. Raises StoreUnavailable, SealBroken."""
        if not any(rule.scope in _OF_SIGNALS for rule in self._policy.limits_on(LimitedAction.VERIFY)):
            return None
        state = await self._store.get(challenge)
        if state is None or state.client != caller.client:
            return None
        return ChallengeView.open(state, self._keyring)

    def _limits_for(self, caller: Caller, known: ChallengeView | None) -> tuple[Limit, ...]:
        """The limits on an answer to this challenge: it names an address and a device."""
        signals = (known.private.signals if known else None) or {}
        subjects = Subjects(
            client=caller.client, ip=signals.get("ip", ""), device=signals.get("device_id", "")
        )
        return limits_on(self._policy, self._keyring, LimitedAction.VERIFY, subjects)

    async def _decide(
        self, caller: Caller, challenge: ChallengeId, answer: Answer, known: ChallengeView | None = None
    ) -> Verified:
        if (challenge.purpose is Purpose.PAYMENT) != (answer.transaction is not None):
            needed = "is required: it is compared with the one the code was issued for (RTS Art. 5)"
            raise InvalidInput.at(
                "/transaction", needed if answer.transaction is None else "only a payment has one"
            )
        if challenge.asks_pin is not (answer.pin is not None):
            needed = "is required: the payer's PIN is asked beside the code"
            raise InvalidInput.at("/pin", needed if challenge.asks_pin else "is not asked for this challenge")
        digest = answer.transaction.digest() if answer.transaction else ""
        key = answer.name(self._keyring, caller.client)
        try:
            evaluated = await self._evaluator.evaluate(caller.client, challenge, digest, answer, key)
        except SealBroken:  # an id that was never given out names whatever key it likes
            if await self._store.get(challenge) is None:
                return await self._answer_from_archive(caller, challenge)
            raise
        reply = await self._store.answer(
            challenge,
            caller.event_members(self._policy),
            client=caller.client,
            code_matches=evaluated.is_right,
            digest=digest,
            answer_key=key,
            lockout=self._policy.lockout,
            signed=evaluated.signed.kept,
        )
        if reply.state is None:
            return await self._answer_from_archive(caller, challenge)
        outcome = Outcome(reply.word)
        if not reply.events:  # the same answer again, approved before
            if not await self._recorder.expect(reply.state):
                outcome = Outcome.ALREADY_USED
            return self._told(outcome, reply.state, known)
        private = evaluated.signed.of(reply)
        decided, outcome = outcome, await self._recorder.commit_answer(challenge, reply, private=private)
        if outcome is not decided:  # Redis has lost its tail; the record has not
            recorded = await self._archive.get(challenge.text, caller.client)
            reply = msgspec.structs.replace(reply, state=recorded or reply.state)
        assert reply.state is not None  # noqa: S101 - it was there before
        told = self._told(outcome, reply.state, known)
        if outcome is not Outcome.APPROVED:
            return told
        await self._note_use(challenge, told.view, answer)
        return msgspec.structs.replace(told, is_news=True)

    async def _note_use(self, challenge: ChallengeId, view: ChallengeView, answer: Answer) -> None:
        """What an approval rested on, and what is learned from it: the route that carried the code, the payer's
        authenticators, what the payer is used to. None of it is worth a failed answer; what Redis learns leaves
        before the answer does, which does not wait for it.
        """
        state = view.state
        learn(self._assessor, view, answer.transaction)
        if self._guard:
            self._guard.approved(view)
        if carried := state.newest_arrived:
            self._conversions.converted(carried.supplier, carried.network)
        if challenge.digits == 0 or challenge.asks_pin:
            with contextlib.suppress(StoreUnavailable):
                await self._uses.used(state.payer, challenge=challenge.text, pin=challenge.asks_pin)

    def _told(self, outcome: Outcome, state: ChallengeState, known: ChallengeView | None) -> Verified:
        # what was fixed at issue may be opened already
        view = known.of(state) if known else ChallengeView.open(state, self._keyring)
        if outcome is not Outcome.APPROVED:
            return Verified(outcome, view)
        return Verified(outcome, view, self._signer.sign(view.state, view.fixed, view.private))

    async def _answer_from_archive(self, caller: Caller, challenge: ChallengeId) -> Verified:
        """An answer that comes after Redis has let go of the challenge: it was or is over."""
        state = await self._archive.get(challenge.text, caller.client)
        if state is None:
            raise NotFound
        state = as_archived(state)
        outcome = OUTCOME_OF_FINAL[state.status]
        event = AuditEvent.create(
            event_id=new_id("evt"),
            kind="challenge.answered",
            at_ms=self._clock.now_ms(),
            members={
                "client": state.client,
                "psu": state.payer,
                "challenge": state.id,
                **msgspec.to_builtins(caller.event_members(self._policy)),
                **state.references,
                "outcome": outcome,
                "attempts_left": state.attempts_left,
            },
        )
        await self._recorder.commit_event(event)
        count_of(CHALLENGES_ANSWERED, challenge.purpose, outcome).inc()
        return Verified(outcome, ChallengeView.open(state, self._keyring))


def as_archived(state: ChallengeState) -> ChallengeState:
    """The state of a challenge that only PostgreSQL knows: one still pending there can never be approved any more."""
    if state.status is Status.PENDING:
        state.status = Status.EXPIRED
    return state
