"""What the calls on authenticators do: forms in, answers out. No framework in here."""

from dataclasses import replace
from typing import Any

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.api.authenticator_forms import (
    ActivationBody,
    ActivationForm,
    AuthenticatorForm,
    AuthenticatorListBody,
    EnrolledBody,
    ResyncBody,
    ResyncForm,
    authenticator_body,
)
from sca_service.api.authenticator_requests import proof_of, wish_of
from sca_service.api.authorisations import Authorisations
from sca_service.api.call import Call
from sca_service.api.idempotency import Idempotency
from sca_service.api.requests import Mistakes, psu_id_of
from sca_service.authenticators.enrolment.enrolment import Enrolment
from sca_service.authenticators.enrolment.model import (
    Activation,
    Enrolled,
    ReachedLine,
    ShownCode,
    Whose,
    Wish,
)
from sca_service.authenticators.model import (
    ActivationOutcome,
    AuthenticatorState,
    AuthenticatorType,
    Authorisation,
)
from sca_service.authenticators.qr import qr_svg
from sca_service.challenges import code
from sca_service.challenges.follow import Follower
from sca_service.challenges.model import ChallengeId, Outcome
from sca_service.challenges.phone_lines import PhoneLines
from sca_service.kernel.errors import InvalidInput, NotFound, ScaError, StoreUnavailable, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.model import LimitedAction, Policy, Purpose

_encode = msgspec.json.Encoder().encode


class AuthenticatorOperations:
    """The operations on authenticators. A class because it holds those who keep them."""

    def __init__(  # noqa: PLR0913 - it holds all that the operations decide with
        self,
        *,
        enrolment: Enrolment,
        authorisations: Authorisations,
        follower: Follower,
        lines: PhoneLines,
        idempotency: Idempotency,
        limits: LimitStore,
        keyring: Keyring,
        policy: Policy,
        device_url: str,
    ) -> None:
        self._limits = limits
        self._keyring = keyring
        self._lines = lines
        self._device_url = device_url
        self._enrolment = enrolment
        self._authorisations = authorisations
        self._follower = follower
        self._idempotency = idempotency
        self._policy = policy

    async def enrol(self, call: Call, psu_id: str, form: AuthenticatorForm) -> HttpAnswer:
        """Enrol one: 201. Raises InvalidInput with every mistake, what `Enrolment.enrol` raises, and for the key."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        authorisation = mistakes.read("/authorisation", lambda: self._approval(call, psu, form))
        shortest = self._policy.authenticators.pin_shortest
        wish = wish_of(form, authorisation, pin_shortest=shortest, mistakes=mistakes)
        mistakes.refuse()
        made: list[Enrolled] = []

        async def enrol(unique: str | None) -> HttpAnswer:
            enrolled = await self._enrol_within_limits(call, psu, replace(wish, unique=unique))
            made.append(enrolled)
            # What is kept for a repetition is without the seed or key: that leaves once.
            return HttpAnswer(201, _encode(self._enrolled_body(enrolled)))

        request = call.path.encode() + b"\0" + call.body
        answer = await self._idempotency.once(call.caller, call.idempotency_key, request, enrol)
        if not made or not (made[0].uri or made[0].key or made[0].activation_code):
            return answer
        uri, key, activation_code = made[0].uri, made[0].key, made[0].activation_code
        told = msgspec.structs.replace(
            self._enrolled_body(made[0]),
            otpauth_uri=uri.reveal() if uri else None,
            otpauth_qr=qr_svg(uri).reveal() if uri else None,
            ocra_key=key.reveal() if key else None,
            activation_code=activation_code.reveal() if activation_code else None,
        )
        return HttpAnswer(201, _encode(told), (("Cache-Control", "no-store"),))

    async def _enrol_within_limits(self, call: Call, psu: str, wish: Wish) -> Enrolled:
        """Enrol one, unless the payer or the client did so too often; what comes to nothing is not counted."""
        client = call.client.id
        subjects = Subjects(client=client, payer=self._keyring.pseudonym("payer", client, psu))
        limits = limits_on(self._policy, self._keyring, LimitedAction.ENROL, subjects)
        spent = await self._limits.spend(limits)
        try:
            enrolled = await self._enrolment.enrol(self._whose(call, psu), wish)
            if wish.phone is not None:
                await self._send_or_forget(call, psu, wish, enrolled)
        except StoreUnavailable:
            raise  # it may have been enrolled
        except ScaError:
            self._limits.give_back(spent.limits)
            raise
        if not enrolled.is_new:
            self._limits.give_back(spent.limits)
        return enrolled

    async def _send_or_forget(self, call: Call, psu: str, wish: Wish, enrolled: Enrolled) -> None:
        """Send a new line its code, or let it be as if it had not been enrolled: its authorisation is not used."""
        try:
            await self._send(call, psu, wish, enrolled)
        except (InvalidInput, TooEarly):
            if enrolled.is_new:
                await self._enrolment.forget(self._whose(call, psu), enrolled.authenticator.id)
            raise

    async def _send(self, call: Call, psu: str, wish: Wish, enrolled: Enrolled) -> None:
        """Send a pending phone line its code; a repeated request sends none anew."""
        assert wish.phone is not None  # noqa: S101 - asked before
        authenticator = enrolled.authenticator.id
        if enrolled.authenticator.state is not AuthenticatorState.PENDING:
            return
        challenge = await self._lines.send(
            call.caller, psu, wish.phone, locale=wish.locale, unique=authenticator.removeprefix("aut_")
        )
        await self._enrolment.sent_for(self._whose(call, psu), authenticator, challenge)

    async def activate(
        self, call: Call, psu_id: str, authenticator_id: str, form: ActivationForm
    ) -> HttpAnswer:
        """Activate one: 200 with the outcome. Raises InvalidInput, what `Enrolment.activate` raises."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        proof = proof_of(form, mistakes)
        mistakes.refuse()
        assert proof is not None  # noqa: S101 - or `refuse` would have raised
        whose = self._whose(call, psu)
        sent_for = await self._enrolment.pending_line(whose, authenticator_id)
        if sent_for is not None and isinstance(proof, ShownCode):
            return await self._activate_line(call, whose, (authenticator_id, sent_for), proof)
        return _activation(await self._enrolment.activate(whose, authenticator_id, proof))

    async def _activate_line(
        self, call: Call, whose: Whose, line: tuple[str, str], shown: ShownCode
    ) -> HttpAnswer:
        """A phone line is proven by the challenge that was sent to it, with that challenge's attempts and lockout."""
        authenticator_id, sent_for = line
        challenge = ChallengeId.parse(sent_for)
        if challenge is None:
            raise NotFound
        checked = await self._lines.check(call.caller, challenge, shown.code)
        if checked.outcome is Outcome.APPROVED:
            proven = ReachedLine(challenge.text)
            tried = await self._enrolment.activate(whose, authenticator_id, proven)
            if tried.replaced is not None:
                await self._follower.void(call.caller, whose.psu_id, tried.replaced)
            return _activation(tried)
        known = await self._enrolment.one_of(whose, authenticator_id)
        is_wrong = checked.outcome is Outcome.INCORRECT
        outcome = ActivationOutcome.INCORRECT if is_wrong else ActivationOutcome.EXPIRED
        left = checked.view.state.attempts_left if is_wrong else 0
        return _activation(Activation(outcome, left, known))

    async def suspend(self, call: Call, psu_id: str, authenticator_id: str) -> HttpAnswer:
        """Suspend one, and void what it was to answer: 200. Raises NotFound, InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        suspended, withdrawn = await self._enrolment.suspend(self._whose(call, psu), authenticator_id)
        if suspended.state is AuthenticatorState.SUSPENDED:
            await self._follower.void(call.caller, psu, withdrawn, "authenticator_suspended")
        return HttpAnswer(200, _encode(authenticator_body(suspended)))

    async def resume(self, call: Call, psu_id: str, authenticator_id: str) -> HttpAnswer:
        """Let a suspended one answer again: 200. Raises NotFound, InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        resumed = await self._enrolment.resume(self._whose(call, psu), authenticator_id)
        if resumed.state is AuthenticatorState.ACTIVE:
            await self._follower.readmit(call.client.id, psu, authenticator_id)
        return HttpAnswer(200, _encode(authenticator_body(resumed)))

    async def resynchronise(
        self, call: Call, psu_id: str, authenticator_id: str, form: ResyncForm
    ) -> HttpAnswer:
        """Find a generator's counter: 200 with the outcome. Raises InvalidInput, NotFound, StoreUnavailable."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        first = mistakes.read("/codes/0", lambda: code.parse_code(form.codes[0]))
        second = mistakes.read("/codes/1", lambda: code.parse_code(form.codes[1]))
        mistakes.refuse()
        assert first and second  # noqa: S101 - or `refuse` would have raised
        outcome, left, authenticator = await self._enrolment.resynchronise(
            self._whose(call, psu), authenticator_id, (first, second)
        )
        if authenticator.state is AuthenticatorState.REVOKED:
            await self._revoke(call, psu, authenticator_id)
        return HttpAnswer(200, _encode(ResyncBody(outcome, left, authenticator_body(authenticator))))

    async def all_of(self, call: Call, psu_id: str) -> HttpAnswer:
        """A payer's authenticators. Raises InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        found = await self._enrolment.all_of(self._whose(call, psu))
        return HttpAnswer(200, _encode(AuthenticatorListBody(tuple(map(authenticator_body, found)))))

    async def revoke(self, call: Call, psu_id: str, authenticator_id: str) -> HttpAnswer:
        """Revoke one, and void what it was to answer: 204. Raises NotFound, InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        await self._revoke(call, psu, authenticator_id)
        return HttpAnswer(204, b"")

    async def _revoke(self, call: Call, psu: str, authenticator_id: str) -> None:
        withdrawn = await self._enrolment.revoke(self._whose(call, psu), authenticator_id)
        await self._follower.void(call.caller, psu, withdrawn)

    def _enrolled_body(self, enrolled: Enrolled) -> EnrolledBody:
        """Without what leaves once."""
        is_device = enrolled.authenticator.type is AuthenticatorType.DEVICE_KEY
        return EnrolledBody(
            authenticator_body(enrolled.authenticator),
            None,
            None,
            activation_question=enrolled.question,
            device_url=self._device_url if is_device else None,
            passkey_options=msgspec.json.decode(enrolled.options) if enrolled.options else None,
        )

    def _whose(self, call: Call, psu: str) -> Whose:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return Whose(call.client.id, psu, origin)

    def _approval(self, call: Call, psu: str, form: AuthenticatorForm) -> Authorisation | None:
        return self._authorisations.read(call, psu, form.authorisation, purpose=Purpose.ENROLMENT)


def _activation(tried: Activation) -> HttpAnswer:
    body = ActivationBody(tried.outcome, tried.tries_left, authenticator_body(tried.authenticator))
    return HttpAnswer(200, _encode(body))
