"""What a payer has enrolled to authenticate with, over HTTP: `/v1/psus/{psu_id}/authenticators`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from msgspec import Meta, Struct

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.payers import PsuId
from sca_service.api.requests import Mistakes, psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.authenticators.enrolment import Enrolled, Enrolment, Whose, Wish
from sca_service.authenticators.model import (
    ActivationOutcome,
    Authenticator,
    AuthenticatorState,
    AuthenticatorType,
    Element,
    ResyncOutcome,
)
from sca_service.authenticators.pin.rules import parse_pin, refuse_trivial
from sca_service.challenges import code
from sca_service.challenges.authentication_code import AuthenticationCodeReader
from sca_service.challenges.follow import Follower
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret
from sca_service.kernel.text import clean_text
from sca_service.policy.model import Policy, Purpose

_TAGS = ["authenticators"]
_LONGEST_LABEL = 64

_encode = msgspec.json.Encoder().encode

AuthenticatorIdParameter = Annotated[str, Meta(description="The authenticator's id, `aut_…`.")]


class AuthenticatorForm(Struct, frozen=True, forbid_unknown_fields=True):
    """An authenticator to be enrolled."""

    type: AuthenticatorType
    label: Annotated[
        str,
        Meta(
            max_length=256,
            examples=["Anna"],
            description="What the payer reads beside the codes, at most 64 characters.",
        ),
    ]
    pin: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="For `pin`: what the payer chose, ASCII digits as many as the policy asks for, at most 12. "
                "Kept as an Argon2id hash.",
            ),
        ]
        | None
    ) = None
    authorisation: (
        Annotated[
            str,
            Meta(
                max_length=4096,
                description="The `authentication_code` of an approved `enrolment` challenge, at most five minutes old "
                "and used once. Needed as soon as the payer has an active authenticator (RTS Art. 24).",
            ),
        ]
        | None
    ) = None


class ActivationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What proves that the payer has it, or knows it: one of the two."""

    code: (
        Annotated[str, Meta(max_length=64, examples=["287082"], description="What the generator shows now.")]
        | None
    ) = None
    pin: Annotated[str, Meta(max_length=64, description="For `pin`: the PIN once more.")] | None = None


class AuthenticatorBody(Struct, frozen=True):
    """An authenticator. It never holds what it authenticates by."""

    id: str
    type: AuthenticatorType
    state: AuthenticatorState
    element: Annotated[
        Element, Meta(description="The category of element that it carries (RTS Art. 6 to 8).")
    ]
    label: str
    created_at: str
    activated_at: str | None
    used_at: str | None


class EnrolledBody(Struct, frozen=True):
    """A pending authenticator, and what the payer needs to set it up."""

    authenticator: AuthenticatorBody
    otpauth_uri: Annotated[
        str | None,
        Meta(
            description="For the payer's generator, told once: null for a PIN, and when the same request is sent again."
        ),
    ]


class ActivationBody(Struct, frozen=True):
    """What a try to activate came to."""

    outcome: ActivationOutcome
    tries_left: Annotated[int, Meta(description="Wrong codes that remain before it is revoked.")]
    authenticator: AuthenticatorBody


class ResyncForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Two codes that the generator shows one after the other."""

    codes: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        Meta(min_length=2, max_length=2, examples=[["287082", "359152"]]),
    ]


class ResyncBody(Struct, frozen=True):
    """What a try to find a generator's counter came to."""

    outcome: ResyncOutcome
    tries_left: Annotated[int, Meta(description="Wrong tries that remain before it is revoked.")]
    authenticator: AuthenticatorBody


class AuthenticatorListBody(Struct, frozen=True):
    """All authenticators of a payer, the oldest first, without the revoked."""

    data: tuple[AuthenticatorBody, ...]
    next_cursor: None = None


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
        authorised_by = mistakes.read("/authorisation", lambda: self._approval(call, psu, form.authorisation))
        pin = mistakes.read("/pin", lambda: self._chosen(form))
        mistakes.refuse()
        made: list[Enrolled] = []

        async def enrol(unique: str | None) -> HttpAnswer:
            wish = Wish(form.type, label, authorised_by, pin, unique)
            enrolled = await self._enrolment.enrol(self._whose(call, psu), wish)
            made.append(enrolled)
            # What is kept for a repetition is without the seed: that leaves once.
            return HttpAnswer(201, _encode(EnrolledBody(_body(enrolled.authenticator), None)))

        request = call.path.encode() + b"\0" + call.body
        answer = await self._idempotency.once(call.caller, call.idempotency_key, request, enrol)
        if not made or made[0].uri is None:
            return answer
        body = EnrolledBody(_body(made[0].authenticator), made[0].uri.reveal())
        return HttpAnswer(201, _encode(body), (("Cache-Control", "no-store"),))

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
        body = ActivationBody(tried.outcome, tried.tries_left, _body(tried.authenticator))
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
        return HttpAnswer(200, _encode(ResyncBody(outcome, left, _body(authenticator))))

    async def all_of(self, call: Call, psu_id: str) -> HttpAnswer:
        """A payer's authenticators. Raises InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        found = await self._enrolment.all_of(self._whose(call, psu))
        return HttpAnswer(200, _encode(AuthenticatorListBody(tuple(map(_body, found)))))

    async def revoke(self, call: Call, psu_id: str, authenticator_id: str) -> HttpAnswer:
        """Revoke one, and void what it was to answer: 204. Raises NotFound, InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        kind = await self._enrolment.revoke(self._whose(call, psu), authenticator_id)
        await self._follower.void(call.caller, psu, kind)
        return HttpAnswer(204, b"")

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

    def _approval(self, call: Call, psu: str, authorisation: str | None) -> str | None:
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


def _body(authenticator: Authenticator) -> AuthenticatorBody:
    return AuthenticatorBody(
        id=authenticator.id,
        type=authenticator.type,
        state=authenticator.state,
        element=authenticator.element,
        label=authenticator.label,
        created_at=timestamp(authenticator.created_at_ms),
        activated_at=timestamp(authenticator.activated_at_ms) if authenticator.activated_at_ms else None,
        used_at=timestamp(authenticator.used_at_ms) if authenticator.used_at_ms else None,
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
        "one an `authorisation`. Accepts an `Idempotency-Key`: sent again, the answer is the same but for the URI, "
        "which is told once."
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
