"""What a payer has enrolled to authenticate with, over HTTP: `/v1/psus/{psu_id}/authenticators`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from msgspec import Meta

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
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.payers import PsuId
from sca_service.api.requests import Mistakes, psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.authenticators.enrolment import Enrolled, Enrolment, Whose, Wish
from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType, Authorisation
from sca_service.authenticators.ocra.signing import parse_key, parse_suite
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.authenticators.pin.rules import parse_pin, refuse_trivial
from sca_service.authenticators.qr import qr_svg
from sca_service.challenges import code
from sca_service.challenges.authentication_code import AuthenticationCodeReader
from sca_service.challenges.follow import Follower
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret
from sca_service.kernel.text import clean_text
from sca_service.policy.model import Policy, Purpose

_TAGS = ["authenticators"]
_LONGEST_LABEL = 64

_encode = msgspec.json.Encoder().encode

AuthenticatorIdParameter = Annotated[str, Meta(description="The authenticator's id, `aut_…`.")]


class AuthenticatorOperations:
    """The operations on authenticators. A class because it holds those who keep them."""

    def __init__(
        self,
        *,
        enrolment: Enrolment,
        reader: AuthenticationCodeReader,
        follower: Follower,
        idempotency: Idempotency,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._enrolment = enrolment
        self._reader = reader
        self._follower = follower
        self._idempotency = idempotency
        self._policy = policy
        self._clock = clock

    async def enrol(self, call: Call, psu_id: str, form: AuthenticatorForm) -> HttpAnswer:
        """Enrol one: 201. Raises InvalidInput with every mistake, what `Enrolment.enrol` raises, and for the key."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        label = mistakes.read("/label", lambda: clean_text(form.label, pointer="", most=_LONGEST_LABEL)) or ""
        authorisation = mistakes.read("/authorisation", lambda: self._approval(call, psu, form.authorisation))
        pin = mistakes.read("/pin", lambda: self._chosen(form))
        suite, key = self._signing(form, mistakes)
        mistakes.refuse()
        made: list[Enrolled] = []

        async def enrol(unique: str | None) -> HttpAnswer:
            wish = Wish(form.type, label, authorisation, pin, unique, suite, key)
            enrolled = await self._enrolment.enrol(self._whose(call, psu), wish)
            made.append(enrolled)
            # What is kept for a repetition is without the seed or key: that leaves once.
            return HttpAnswer(201, _encode(_enrolled_body(enrolled)))

        request = call.path.encode() + b"\0" + call.body
        answer = await self._idempotency.once(call.caller, call.idempotency_key, request, enrol)
        if not made or (made[0].uri is None and made[0].key is None):
            return answer
        told = msgspec.structs.replace(
            _enrolled_body(made[0]),
            otpauth_uri=made[0].uri.reveal() if made[0].uri else None,
            otpauth_qr=qr_svg(made[0].uri).reveal() if made[0].uri else None,
            ocra_key=made[0].key.reveal() if made[0].key else None,
        )
        return HttpAnswer(201, _encode(told), (("Cache-Control", "no-store"),))

    async def activate(
        self, call: Call, psu_id: str, authenticator_id: str, form: ActivationForm
    ) -> HttpAnswer:
        """Activate one: 200 with the outcome. Raises InvalidInput, what `Enrolment.activate` raises."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        if (form.code is None) is (form.pin is None):
            mistakes.note("/code", "either a code or a PIN is required")
        shown = mistakes.read("/code", lambda: None if form.code is None else code.parse_code(form.code))
        known = mistakes.read("/pin", lambda: None if form.pin is None else parse_pin(form.pin))
        mistakes.refuse()
        proof = shown or known
        assert proof is not None  # noqa: S101 - or `refuse` would have raised
        tried = await self._enrolment.activate(
            self._whose(call, psu), authenticator_id, proof, is_pin=known is not None
        )
        body = ActivationBody(tried.outcome, tried.tries_left, authenticator_body(tried.authenticator))
        return HttpAnswer(200, _encode(body))

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
        revoked = await self._enrolment.revoke(self._whose(call, psu), authenticator_id)
        await self._follower.void(call.caller, psu, revoked)

    def _whose(self, call: Call, psu: str) -> Whose:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return Whose(call.client.id, psu, origin)

    def _chosen(self, form: AuthenticatorForm) -> Secret[str] | None:
        if form.type is not AuthenticatorType.PIN:
            if form.pin is not None:
                raise InvalidInput.at("", f"is not a member of {form.type}")
            return None
        if form.pin is None:
            raise InvalidInput.at("", "is required for a PIN")
        pin = parse_pin(form.pin, shortest=self._policy.authenticators.pin_shortest)
        refuse_trivial(pin, "")
        return pin

    def _signing(
        self, form: AuthenticatorForm, mistakes: Mistakes
    ) -> tuple[OcraSuite | None, Secret[bytes] | None]:
        """What one that signs computes by, and the key of a device that has one; neither for another type."""
        if form.type is not AuthenticatorType.OCRA:
            for pointer, given in (("/suite", form.suite), ("/key", form.key)):
                if given is not None:
                    mistakes.note(pointer, f"is not a member of {form.type}")
            return None, None
        suite, key = form.suite, form.key
        if suite is None:
            mistakes.note("/suite", "is required for ocra")
        return (
            mistakes.read("/suite", lambda: parse_suite(suite)) if suite is not None else None,
            mistakes.read("/key", lambda: parse_key(key)) if key is not None else None,
        )

    def _approval(self, call: Call, psu: str, authorisation: str | None) -> Authorisation | None:
        if authorisation is None:
            return None
        approval = self._reader.approval_of(
            authorisation,
            client=call.client.id,
            psu_id=psu,
            purpose=Purpose.ENROLMENT,
            now_s=self._clock.now_ms() // 1000,
        )
        if approval is None:
            raise InvalidInput.at(
                "",
                "must be the authentication code of an enrolment challenge that this payer approved, not expired",
            )
        return approval


def _enrolled_body(enrolled: Enrolled) -> EnrolledBody:
    """Without what leaves once."""
    return EnrolledBody(
        authenticator_body(enrolled.authenticator), None, None, activation_question=enrolled.question
    )


@post(
    "/v1/psus/{psu_id:str}/authenticators",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="enrol_authenticator",
    summary="Enrol an authenticator",
    description=(
        "It is pending until a code proves that the payer has it. A payer's first one needs your word only; any other "
        "one an `authorisation`. Accepts an `Idempotency-Key`: sent again, the answer is the same but for the URI "
        "or key, which is told once."
    ),
    responses=problems(409, 413, 415, 422),
)
async def enrol_authenticator(
    request: Request[Any, Any, Any],
    data: AuthenticatorForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
) -> Response[EnrolledBody]:
    """Enrol an authenticator."""
    return respond(await authenticators.enrol(await call_of(request), psu_id, data))


@post(
    "/v1/psus/{psu_id:str}/authenticators/{authenticator_id:str}/activate",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="activate_authenticator",
    summary="Prove that the payer has it",
    description="A wrong code is a 200 with its `outcome`. After five wrong codes it is revoked.",
    status_code=200,
    responses=problems(404, 409, 413, 415, 422),
)
async def activate_authenticator(
    request: Request[Any, Any, Any],
    data: ActivationForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[ActivationBody]:
    """Activate an authenticator."""
    return respond(await authenticators.activate(await call_of(request), psu_id, authenticator_id, data))


@post(
    "/v1/psus/{psu_id:str}/authenticators/{authenticator_id:str}/resynchronise",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="resynchronise_authenticator",
    summary="Find the counter of a generator",
    description=(
        "For a `hotp` generator that was pressed too often: two codes in a row tell where it stands (RFC 4226, section "
        "7.4). Neither is taken again. After five wrong tries it is revoked."
    ),
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def resynchronise_authenticator(
    request: Request[Any, Any, Any],
    data: ResyncForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[ResyncBody]:
    """Find a generator's counter."""
    return respond(await authenticators.resynchronise(await call_of(request), psu_id, authenticator_id, data))


@get(
    "/v1/psus/{psu_id:str}/authenticators",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="list_authenticators",
    summary="A payer's authenticators",
    description="All of them, the oldest first, without the revoked.",
    responses=problems(422),
)
async def list_authenticators(
    request: Request[Any, Any, Any], authenticators: AuthenticatorOperations, psu_id: PsuId
) -> Response[AuthenticatorListBody]:
    """A payer's authenticators."""
    return respond(await authenticators.all_of(await call_of(request), psu_id))


@delete(
    "/v1/psus/{psu_id:str}/authenticators/{authenticator_id:str}",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="revoke_authenticator",
    summary="Revoke an authenticator",
    description="At once and for good, on every replica. Pending challenges that it was to answer are cancelled.",
    status_code=204,
    responses=problems(404, 422),
)
async def revoke_authenticator(
    request: Request[Any, Any, Any],
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[None]:
    """Revoke an authenticator."""
    return respond(await authenticators.revoke(await call_of(request), psu_id, authenticator_id))


ROUTES = (
    enrol_authenticator,
    activate_authenticator,
    resynchronise_authenticator,
    list_authenticators,
    revoke_authenticator,
)
