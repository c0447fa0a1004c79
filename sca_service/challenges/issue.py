"""Issue a challenge: the one place with the control flow."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from sca_service.audit.private.commitments import SEED_BYTES
from sca_service.authenticators.model import ELEMENT_OF, AuthenticatorType, SigningQuestion
from sca_service.challenges.model import (
    ChallengeId,
    ChallengeState,
    Element,
    Fixed,
    LadderState,
    Method,
    PhoneRange,
    Private,
    Status,
    is_sca,
    partition_of,
)
from sca_service.challenges.personal import personal_values
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers, NewChallenge
from sca_service.challenges.view import ChallengeView
from sca_service.delivery.render import message_shown
from sca_service.kernel.errors import InvalidInput, Mistake, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import NumberKind, PhoneNumber
from sca_service.kernel.telemetry import CHALLENGES_ISSUED
from sca_service.kernel.transaction import Transaction
from sca_service.limits.model import limits_for, observing, refusing
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Channel, Ladder, LadderStep, LimitedAction, LimitScope, Policy, Purpose


@dataclass(frozen=True, slots=True)
class WantedStep:
    """A channel that the client asks for, with its own time-out in seconds or the policy's."""

    channel: Channel
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ChallengeOrder:
    """What a client asks for, parsed: every value is already right in itself."""

    psu_id: str
    purpose: Purpose
    method: Method = Method.ONE_TIME_CODE
    transaction: Transaction | None = None
    phone: PhoneNumber | None = None
    locale: str = ""
    channels: Sequence[WantedStep] = ()
    elements_presented: Sequence[Element] = ()
    signals: Mapping[str, str] | None = None
    lifetime_seconds: int | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is, and which."""

    client: str
    request: str

    def event_members(self, policy: Policy) -> EventMembers:
        """What every event of this request says of it."""
        return EventMembers(f"client:{self.client}", self.request, policy.digest)


class _IssuedMembers(msgspec.Struct, frozen=True, omit_defaults=True):
    purpose: str
    method: str
    channels: tuple[str, ...]
    elements: tuple[str, ...]
    sca: bool
    commitments: dict[str, str]


class Enrolled(Protocol):
    """What payers have enrolled."""

    async def has_active(self, payer: str, kind: AuthenticatorType) -> bool:
        """Whether a payer (a pseudonym) could answer with this type now. Raises StoreUnavailable."""

    async def ask(self, payer: str, *, challenge: str, transaction_digest: str) -> SigningQuestion | None:
        """What a payer's generator that signs is asked, None when there is none. Raises StoreUnavailable."""


class Issuer:
    """Issues challenges. A class because it holds what it issues with."""

    def __init__(
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: ChallengeStore,
        limits: LimitStore,
        recorder: Recorder,
        authenticators: Enrolled,
    ) -> None:
        self._authenticators = authenticators
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
        steps = self._steps(order)
        lifetime_seconds = self._lifetime(order)
        payer = self._keyring.pseudonym("payer", caller.client, order.psu_id)
        asks_pin = await self._asks_pin(payer, order)
        challenge = ChallengeId.new(
            partition=partition_of(payer),
            purpose=order.purpose,
            key_version=self._keyring.current,
            digits=0 if order.method.authenticator else self._policy.code.digits,
            asks_pin=asks_pin,
            unique=unique,
        )
        private = self._private(order)
        personal = personal_values("", payer, private)
        assert personal is not None  # noqa: S101 - it was given a seed
        commitments = personal.commitments
        fixed = Fixed(
            purpose=order.purpose,
            method=order.method,
            elements=_elements(order, asks_pin=asks_pin),
            policy=self._policy.digest,
            sealed=self._keyring.seal(msgspec.json.encode(private), challenge.text),
            question=await self._question(payer, order, challenge.text),
        )
        state = ChallengeState(
            id=challenge.text,
            client=caller.client,
            payer=payer,
            status=Status.PENDING,
            revision=0,
            digest=order.transaction.digest() if order.transaction else "",
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
            transaction=commitments.get("transaction", ""),
        )
        payer_limits = limits_for(self._policy, LimitedAction.ISSUE, LimitScope.PAYER, payer)
        await self._spend_shared_limits(caller, order)
        await self._limits.spend(observing(payer_limits))
        reply = await self._store.add(
            challenge,
            NewChallenge(
                state=state,
                event=_issued_members(state, fixed, commitments),
                lifetime_ms=lifetime_seconds * 1000,
                most_pending=self._policy.most_pending,
                most_failures=self._policy.lockout.most_failures,
                limits=refusing(payer_limits),
            ),
            caller.event_members(self._policy),
        )
        if reply.word == "limited":
            raise TooEarly("the limit on challenges for this payer is spent", -(-reply.wait_ms // 1000))
        assert reply.state is not None  # noqa: S101 - every word but `limited` comes with the state
        if reply.word == "exists":
            await self._recorder.expect(reply.state)
            return ChallengeView.open(reply.state, self._keyring)
        kept = replace(personal, event_id=reply.events[0].head.id)
        await self._recorder.commit(challenge.partition, reply, private=(kept,))
        CHALLENGES_ISSUED.labels(order.purpose, reply.state.status).inc()
        return ChallengeView(reply.state, fixed, private)

    async def _asks_pin(self, payer: str, order: ChallengeOrder) -> bool:
        """Whether the payer's PIN is asked: when there is one and the client answers for no other knowledge.

        What nobody can answer is not issued: raises InvalidInput when the payer has nothing to answer with.
        """
        kind = order.method.authenticator
        is_asked = order.method is Method.OCRA  # and refused there, by `_question`
        if kind and not is_asked and not await self._authenticators.has_active(payer, kind):
            raise _nothing_to_answer_with()
        return Element.KNOWLEDGE not in order.elements_presented and await self._authenticators.has_active(
            payer, AuthenticatorType.PIN
        )

    async def _question(self, payer: str, order: ChallengeOrder, challenge: str) -> SigningQuestion | None:
        """What the payer's generator is asked for exactly this transaction (RTS Art. 5(1)(b)), where one is to sign."""
        if order.method is not Method.OCRA:
            return None
        digest = order.transaction.digest() if order.transaction else ""
        question = await self._authenticators.ask(payer, challenge=challenge, transaction_digest=digest)
        if question is None:
            raise _nothing_to_answer_with()
        return question

    def _steps(self, order: ChallengeOrder) -> tuple[LadderStep, ...]:
        """The ladder of this challenge: the policy's, or what the client wants of it; none when nothing is sent."""
        if order.method.authenticator:
            return _no_steps(order)
        ladder = self._policy.ladder(order.purpose)
        steps = _wanted_steps(ladder, order.channels) if order.channels else ladder.steps
        if order.phone and not ladder.phone_vouched_by_client:
            raise InvalidInput.at(
                "/psu/phone", "the policy does not take a number from the client for this purpose"
            )
        if not order.phone and any(step.channel.needs_phone for step in steps):
            raise InvalidInput.at("/psu/phone", "is needed for these channels: no phone line is enrolled")
        if (
            order.phone
            and order.phone.kind is NumberKind.LANDLINE
            and any(step.channel is Channel.SMS for step in steps)
        ):
            raise InvalidInput.at("/psu/phone", "cannot receive text messages; use voice only")
        return steps

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

    def _private(self, order: ChallengeOrder) -> Private:
        return Private(
            psu_id=order.psu_id,
            locale=order.locale,
            message_shown=message_shown(self._policy.texts, order.purpose, order.locale, order.transaction),
            phone=order.phone.e164 if order.phone else None,
            phone_masked=order.phone.masked if order.phone else None,
            phone_range=PhoneRange(order.phone.country, order.phone.kind, order.phone.calling_code)
            if order.phone
            else None,
            transaction=order.transaction.canonical().decode() if order.transaction else None,
            reference=order.reference,
            metadata=dict(order.metadata) if order.metadata else None,
            signals=dict(order.signals) if order.signals else None,
            seed=base64.b64encode(os.urandom(SEED_BYTES)).decode(),
        )

    def _session(self, caller: Caller, order: ChallengeOrder) -> str:
        session = (order.signals or {}).get("session_id")
        return self._keyring.pseudonym("session", caller.client, session) if session else ""

    async def _spend_shared_limits(self, caller: Caller, order: ChallengeOrder) -> None:
        subjects = [(LimitScope.CLIENT, self._keyring.pseudonym("client", caller.client))]
        if order.phone:
            subjects.append((LimitScope.PHONE, self._keyring.pseudonym("phone", order.phone.e164)))
        for scope, subject in subjects:
            await self._limits.spend(limits_for(self._policy, LimitedAction.ISSUE, scope, subject))


def _nothing_to_answer_with() -> InvalidInput:
    return InvalidInput.at("/method", "the payer has no active authenticator of this type")


def _no_steps(order: ChallengeOrder) -> tuple[LadderStep, ...]:
    """Nothing is sent: the payer's generator shows the code, which fits a payment only where it was asked for that."""
    if order.purpose is Purpose.PAYMENT and not order.method.links_transaction:
        raise InvalidInput.at(
            "/method", "its codes are not specific to amount and payee, as a payment needs (RTS Art. 5(1)(b))"
        )
    if order.channels:
        raise InvalidInput.at("/channels", "this method sends nothing")
    return ()


def _wanted_steps(ladder: Ladder, wanted: Sequence[WantedStep]) -> tuple[LadderStep, ...]:
    """The client's choice, as far as the policy's ladder has it (OWASP: no downgrade by a client's parameter)."""
    mistakes: list[Mistake] = []
    steps: list[LadderStep] = []
    for at, choice in enumerate(wanted):
        step = ladder.step(choice.channel)
        if step is None:
            mistakes.append(
                Mistake(f"/channels/{at}/channel", "is not in the policy's ladder for this purpose")
            )
        elif any(choice.channel is earlier.channel for earlier in steps):
            mistakes.append(Mistake(f"/channels/{at}/channel", "is named twice"))
        else:
            timeout_seconds = choice.timeout_seconds or step.timeout_seconds or _TIMEOUT_SECONDS
            steps.append(LadderStep(step.channel, timeout_seconds, step.until))
    if mistakes:
        raise InvalidInput(*mistakes)
    return tuple(steps)


_TIMEOUT_SECONDS = 45
"""For a channel that is last in the policy's ladder, so has no time-out there, and not last in the client's."""


def _issued_members(state: ChallengeState, fixed: Fixed, commitments: dict[str, str]) -> bytes:
    return msgspec.json.encode(
        _IssuedMembers(
            purpose=fixed.purpose,
            method=fixed.method,
            channels=tuple(step.channel for step in state.ladder),
            elements=fixed.elements,
            sca=is_sca(fixed.elements),
            commitments=commitments,
        )
    )


def _elements(order: ChallengeOrder, *, asks_pin: bool) -> tuple[Element, ...]:
    """What an approval would establish: a code over a phone line is possession (EBA Q&A 2018_4039)."""
    kind = order.method.authenticator
    present = {*order.elements_presented, ELEMENT_OF[kind] if kind else Element.POSSESSION}
    if asks_pin:
        present.add(Element.KNOWLEDGE)
    return tuple(element for element in Element if element in present)
