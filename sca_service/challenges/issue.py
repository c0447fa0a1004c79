"""Issue a challenge: the one place with the control flow."""

import base64
import os
from collections.abc import Sequence

import msgspec

from sca_service.audit.private.commitments import SEED_BYTES
from sca_service.challenges.ask import Asker, Question
from sca_service.challenges.elements import Established, established
from sca_service.challenges.model import (
    ChallengeId,
    ChallengeState,
    Fixed,
    LadderState,
    Method,
    PhoneRange,
    Private,
    PushRule,
    Status,
    partition_of,
)
from sca_service.challenges.order import ChallengeOrder
from sca_service.challenges.personal import personal_values
from sca_service.challenges.pumping import Destination, PumpingGuard
from sca_service.challenges.record import COMMITTING, Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers
from sca_service.challenges.risk import Assessor, RiskVerdict, order_at_issue, verdict_of
from sca_service.challenges.script_input import NewChallenge
from sca_service.challenges.shown import text_shown
from sca_service.challenges.spans import note_issue, note_risk
from sca_service.challenges.steps import steps_of
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.errors import InvalidInput, StoreUnavailable, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.telemetry import CHALLENGES_ISSUED
from sca_service.kernel.tracing.traces import Traces
from sca_service.limits.model import Limit, Spent, allowances
from sca_service.limits.pumping.model import Passed
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.model import LadderStep, LimitedAction, Policy, Reach
from sca_service.risk.facts import Marks, RiskOrder
from sca_service.risk.record import RiskMembers


class Caller(msgspec.Struct, frozen=True):
    """Whose request it is, and which. `traceparent` is where it stands in the caller's own trace, empty without one.

    `certificate` is the thumbprint of the caller's, and `organisation` the PSD2 identifier in it; empty without.
    """

    client: str
    request: str
    traceparent: str = ""
    certificate: str = ""
    organisation: str = ""

    def event_members(self, policy: Policy) -> EventMembers:
        """What every event of this request says of it."""
        return EventMembers(
            f"client:{self.client}", self.request, policy.digest, self.certificate, self.organisation
        )


_TOO_EARLY = {
    "limited": "the limit on challenges for this payer is spent",
    "unanswered": "this payer's devices were asked too often without an approval",
}


_ISSUED = ("issued", "refused")
"""What a challenge comes of, on record: its limits stay spent."""
_SENT = ("issued", "superseding")
"""Of these a message follows, where the ladder has one."""


class _IssuedMembers(msgspec.Struct, frozen=True, omit_defaults=True):
    purpose: str
    method: str
    channels: tuple[str, ...]
    elements: tuple[str, ...]
    sca: bool
    commitments: dict[str, str]
    risk: RiskMembers


class Issuer:
    """Issues challenges. A class because it holds what it issues with."""

    def __init__(  # noqa: PLR0913 - the use case holds all that it decides with
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: ChallengeStore,
        limits: LimitStore,
        recorder: Recorder,
        asker: Asker,
        assessor: Assessor,
        guard: PumpingGuard | None = None,
        traces: Traces | None = None,
    ) -> None:
        """`guard` is None where no message is worth pumping, `traces` where nobody wants them."""
        self._traces = traces
        self._guard = guard
        self._asker = asker
        self._assessor = assessor
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._limits = limits
        self._recorder = recorder

    async def issue(
        self, caller: Caller, order: ChallengeOrder, *, unique: str | None = None
    ) -> ChallengeView:
        """Issue a challenge, on record and on its way to the payer.

        `unique` (32 hexadecimal digits) names a repeated request: it gets the challenge it got before. A blocked
        payer's challenge has the status `refused` and nothing is sent. Raises InvalidInput when the order does not
        fit the policy, TooEarly at a limit, StoreUnavailable.
        """
        began_ns = self._traces.now_ns() if self._traces else 0
        payer = self._keyring.pseudonym("payer", caller.client, order.psu_id)
        known_line = await self._asker.line(payer, order)
        line = known_line.number if known_line else None
        wanted = steps_of(order, self._policy.ladder(order.purpose), line)
        lifetime_seconds = self._lifetime(order)
        request = order_at_issue(caller.client, payer, order, known_line)
        asks_pin = await self._asker.asks_pin(payer, order)
        challenge = self._id(payer, order, asks_pin=asks_pin, unique=unique)
        risk = await self._judged(challenge, request, order, wanted)
        steps = risk.steps
        if unique and (known := await self._issued_otherwise(challenge)):
            return known
        question = await self._asker.question(payer, order, challenge.text, asks_pin=asks_pin)
        private = self._private(order, line, question)
        personal = personal_values("", payer, private)
        assert personal is not None  # noqa: S101 - it was given a seed
        commitments = personal.commitments
        reached = self._reached(order, question, steps)
        payer_limits, shared = self._limits_on(caller, payer, order, _called(line, steps))
        spent = await self._limits.spend(shared)
        risk, counted = await self._guarded(caller, order, line, risk, spent)
        fixed = Fixed(
            purpose=order.purpose,
            method=order.method,
            elements=reached.categories,
            policy=self._policy.digest,
            sealed=self._keyring.seal(msgspec.json.encode(private), challenge.text),
            question=question.signing,
            asked=question.asked,
            nonce=question.nonce,
            sca=reached.is_sca,
            risk_reasons=risk.reasons,
            risk_score=risk.score,
            risk_decision=risk.decision,
        )
        state = self._state(caller, payer, order, challenge, risk.steps, fixed)
        state.transaction = commitments.get("transaction", "")
        reply = await self._store.add(
            challenge,
            NewChallenge(
                state=state,
                event=_issued_members(state, fixed, commitments, risk.members),
                lifetime_ms=lifetime_seconds * 1000,
                most_pending=1 if order.supersedes else self._policy.most_pending,
                most_failures=self._policy.lockout.most_failures,
                limits=payer_limits,
                pushes=self._pushes(order),
                refused_for=risk.refused_for,
            ),
            caller.event_members(self._policy),
        )
        told = (*allowances(payer_limits if reply.ahead_ms else (), reply.ahead_ms), *spent.allowances)
        await self._give_back(reply.word, spent, counted)
        if reply.word in _TOO_EARLY:
            raise TooEarly(_TOO_EARLY[reply.word], -(-reply.wait_ms // 1000), told)
        assert reply.state is not None  # noqa: S101 - every other word comes with the state
        if reply.word == "exists":
            await self._expect_issued(reply.state)
            return ChallengeView.open(reply.state, self._keyring)
        kept = msgspec.structs.replace(personal, event_id=reply.events[0].head.id)
        await self._recorder.commit(challenge.partition, reply, private=(kept,))
        CHALLENGES_ISSUED.labels(order.purpose, reply.state.status).inc()
        stands = await self._unless_withdrawn(caller, order, line, reply.state)
        view = ChallengeView(stands, fixed, private, told)
        if self._traces:
            note_issue(self._traces, began_ns, view, caller.traceparent)
        return view

    async def _judged(
        self,
        challenge: ChallengeId,
        request: RiskOrder,
        order: ChallengeOrder,
        wanted: Sequence[LadderStep],
    ) -> RiskVerdict:
        """What risk has to say of the request. Raises StoreUnavailable."""
        began_ns = self._traces.now_ns() if self._traces else 0
        verdict = verdict_of(await self._assessor.assess(request), order.method, wanted)
        if self._traces:
            note_risk(self._traces, began_ns, challenge.text, verdict)
        return verdict

    async def _unless_withdrawn(
        self, caller: Caller, order: ChallengeOrder, line: PhoneNumber | None, state: ChallengeState
    ) -> ChallengeState:
        """The state, cancelled when the line was revoked since it was looked at: whoever did that may not have seen the
        challenge, and nobody has been told of it yet (RTS Art. 27).
        """
        if line is None or state.status is not Status.PENDING:
            return state
        now = await self._asker.line(state.payer, order)
        if now is not None and now.number == line:
            return state
        challenge, members = ChallengeId.parse(state.id), caller.event_members(self._policy)
        assert challenge is not None  # noqa: S101 - it was issued just now
        reply = await self._store.cancel(
            challenge, members, client=caller.client, why="authenticator_revoked"
        )
        if reply.word == "cancelled":
            await self._recorder.commit(challenge.partition, reply)
        return reply.state or state

    async def _give_back(self, word: str, spent: Spent, counted: Passed | None) -> None:
        """Give back what was counted for nothing: of a challenge that was not issued, of a message that is not sent."""
        if word not in _ISSUED:
            self._limits.give_back(spent.limits)
        if self._guard and word not in _SENT:
            await self._guard.give_back(counted)

    async def _guarded(
        self,
        caller: Caller,
        order: ChallengeOrder,
        line: PhoneNumber | None,
        risk: RiskVerdict,
        spent: Spent,
    ) -> tuple[RiskVerdict, Passed | None]:
        """What is left of the ladder when nobody is to earn by it, and what was counted.

        Raises StoreUnavailable, and then what was `spent` for the challenge is given back: it is not issued.
        """
        if self._guard is None or line is None:
            return risk, None
        to = Destination(caller.client, line, order.marks.ip or "")
        try:
            return await self._guard.heed(risk, to, caller.event_members(self._policy))
        except StoreUnavailable:
            self._limits.give_back(spent.limits)
            raise

    def _state(
        self,
        caller: Caller,
        payer: str,
        order: ChallengeOrder,
        challenge: ChallengeId,
        steps: Sequence[LadderStep],
        fixed: Fixed,
    ) -> ChallengeState:
        """The state as it begins; its times are the script's."""
        return ChallengeState(
            id=challenge.text,
            client=caller.client,
            payer=payer,
            status=Status.PENDING,
            revision=0,
            digest=order.digest,
            created_at=0,
            expires_at=0,
            attempts_left=self._policy.lockout.most_failures,
            ladder=[
                LadderState(step.channel, (step.timeout_seconds or 0) * 1000, step.until) for step in steps
            ],
            step=0,
            deliveries=[],
            fixed=msgspec.json.encode(fixed).decode(),
            step_on=" ".join(self._policy.ladder(order.purpose).step_on),
            session=self._session(caller, order),
        )

    def _id(self, payer: str, order: ChallengeOrder, *, asks_pin: bool, unique: str | None) -> ChallengeId:
        return ChallengeId.new(
            partition=partition_of(payer),
            purpose=order.purpose,
            key_version=self._keyring.current,
            digits=0 if order.method.authenticator else self._policy.code.digits,
            asks_pin=asks_pin,
            unique=unique,
        )

    async def _issued_otherwise(self, challenge: ChallengeId) -> ChallengeView | None:
        """What this repeated request was given when the payer's PIN or the keyring stood otherwise: the id tells."""
        state = await self._store.first_of(challenge.otherwise(self._keyring.versions))
        if state is None:
            return None
        await self._expect_issued(state)
        return ChallengeView.open(state, self._keyring)

    async def _expect_issued(self, state: ChallengeState) -> None:
        """Before an earlier request's challenge is told, it and what has become of it are on record."""
        await self._recorder.expect_event(state, *COMMITTING)
        await self._recorder.expect(state)

    def _reached(self, order: ChallengeOrder, question: Question, steps: Sequence[LadderStep]) -> Established:
        """What an approval establishes. Raises InvalidInput when that is less than the purpose requires."""
        reached = established(
            question.elements,
            order.elements_presented,
            channels=[step.channel for step in steps],
            regime=self._policy.elements.regime,
        )
        is_required = self._policy.elements.required[order.purpose] is Reach.SCA and not order.proves_line
        if is_required and not reached.is_sca:
            raise InvalidInput.at(
                "/elements_presented",
                f"with what is asked an approval establishes {' and '.join(reached.categories)} only: the policy asks "
                "for strong customer authentication here, two independent elements (RTS Art. 4(1) and 9)",
            )
        return reached

    def _pushes(self, order: ChallengeOrder) -> PushRule | None:
        """How often the payer's devices may be asked; None where they are not."""
        if order.method is not Method.DEVICE_SIGNATURE:
            return None
        rule = self._policy.authenticators.device_key
        return PushRule(rule.most_unanswered, rule.counted_seconds * 1000)

    def _lifetime(self, order: ChallengeOrder) -> int:
        code = self._policy.code
        if order.lifetime_seconds is None:
            return code.lifetime_seconds
        if not code.allows_lifetime(order.lifetime_seconds):
            raise InvalidInput.at(
                "/expires_in_s",
                f"must be {code.shortest_lifetime_seconds} to {code.longest_lifetime_seconds} seconds",
            )
        return order.lifetime_seconds

    def _private(self, order: ChallengeOrder, line: PhoneNumber | None, question: Question) -> Private:
        return Private(
            psu_id=order.psu_id,
            locale=order.locale,
            message_shown=text_shown(self._policy, order),
            phone=line.e164 if line else None,
            phone_masked=line.masked if line else None,
            phone_range=PhoneRange(line.country, line.kind, line.calling_code) if line else None,
            transaction=order.transaction.canonical().decode() if order.transaction else None,
            reference=order.reference,
            metadata=dict(order.metadata) if order.metadata else None,
            signals=dict(order.signals) if order.signals else None,
            seed=base64.b64encode(os.urandom(SEED_BYTES)).decode(),
            instrument=(order.instrument.name, order.instrument.icon) if order.instrument else None,
            passkey_request=question.passkey_request,
            payment_request=question.payment_request,
            marks=None if order.marks == Marks() else order.marks,
            own_text=order.text.template if order.text else "",
        )

    def _session(self, caller: Caller, order: ChallengeOrder) -> str:
        session = (order.signals or {}).get("session_id")
        return self._keyring.pseudonym("session", caller.client, session) if session else ""

    def _limits_on(
        self, caller: Caller, payer: str, order: ChallengeOrder, line: PhoneNumber | None
    ) -> tuple[tuple[Limit, ...], tuple[Limit, ...]]:
        """The payer's own limits that refuse, spent in the step that issues; and all others, spent before it."""
        signals = order.signals or {}
        subjects = Subjects(caller.client, payer, line, signals.get("ip", ""), signals.get("device_id", ""))
        limits = limits_on(self._policy, self._keyring, LimitedAction.ISSUE, subjects)
        own = tuple(limit for limit in limits if limit.subject == payer and limit.refuses)
        return own, tuple(limit for limit in limits if limit not in own)


def _called(line: PhoneNumber | None, steps: Sequence[LadderStep]) -> PhoneNumber | None:
    """The number that a message may go to, None where none does: whoever sends nothing there does not count there."""
    return line if any(step.channel.needs_phone for step in steps) else None


def _issued_members(
    state: ChallengeState, fixed: Fixed, commitments: dict[str, str], risk: RiskMembers
) -> bytes:
    return msgspec.json.encode(
        _IssuedMembers(
            purpose=fixed.purpose,
            method=fixed.method,
            channels=tuple(step.channel for step in state.ladder),
            elements=fixed.elements,
            sca=fixed.is_sca,
            commitments=commitments,
            risk=risk,
        )
    )
