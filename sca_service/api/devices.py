"""What a payer's device calls, over HTTP: `/device/v1/…`. No API key: each request is signed by the device's key."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import HeaderParameter
from msgspec import Meta, Struct

from sca_service.api.answer import HttpAnswer
from sca_service.api.authenticator_forms import ActivationBody, authenticator_body
from sca_service.api.call import REQUEST_ID_KEY
from sca_service.api.device_door import DeviceDoor
from sca_service.api.responses import TransactionBody, transaction_body
from sca_service.api.routes import StrictRequest, problems, refuse_unknown_parameters, respond
from sca_service.authenticators.device_key.devices import Device, Devices, SignedRequest
from sca_service.authenticators.enrolment.enrolment import Enrolment
from sca_service.authenticators.enrolment.model import HeldKey
from sca_service.authenticators.model import ActivationOutcome
from sca_service.challenges.device_answers import DeviceAnswers
from sca_service.challenges.model import ChallengeId, Outcome, Status
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import InvalidProof, NotFound
from sca_service.kernel.secret import Secret
from sca_service.limits.model import Limit
from sca_service.policy.model import Purpose

_TAGS = ["devices"]
_BASE = "/device/v1"

_NOT_KEPT = (("Cache-Control", "no-store"),)
"""A cache on the way knows nothing of proofs: it would answer another device with what it has for the URL."""

_encode = msgspec.json.Encoder().encode

ProofHeader = Annotated[
    str | None,
    HeaderParameter(
        name="DPoP",
        description="RFC 9449, section 4.2, signed by the device's key (its `kid` the authenticator's id), with `bth`, "
        "the SHA-256 of the body in base64url, where there is a body. At activation the header carries the key as "
        "`jwk`.",
    ),
]


class DeviceActivationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The key that signs this request is to be this authenticator's."""

    authenticator: Annotated[str, Meta(max_length=64, description="Its id, `aut_…`.")]
    activation_code: Annotated[str, Meta(max_length=64, description="As the bank handed it to the app.")]


class DeviceAnswerForm(Struct, frozen=True, forbid_unknown_fields=True):
    """The payer's answer, signed."""

    answer: Annotated[
        str,
        Meta(
            max_length=8192,
            description="A JWS of type `sca-approval+jwt` over `challenge`, `transaction` (the digest of what was "
            "shown; left out without one), `decision` (`approve` or `decline`), `digits` (in an approval: the two that "
            "the payer read on the bank's page), `reason` (in a decline: `not_me`, `mistake` or `other`; optional), "
            "and `iat`.",
        ),
    ]


class DeviceChallengeBody(Struct, frozen=True):
    """A challenge as the device is to show it."""

    id: str
    status: Status
    purpose: Purpose
    message_shown: Annotated[str, Meta(description="What the payer is to read: amount and payee.")]
    transaction: TransactionBody | None
    created_at: str
    expires_at: str
    matching_digits_needed: Annotated[
        bool, Meta(description="Whether an approval needs the two digits of the bank's page.")
    ]


class DeviceChallengeListBody(Struct, frozen=True):
    """What the device is asked now, the oldest first."""

    data: tuple[DeviceChallengeBody, ...]
    next_cursor: None = None


class DeviceOutcomeBody(Struct, frozen=True):
    """What an answer came to."""

    outcome: Outcome
    attempts_left: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A device's request as it came in; `limits` count it where it fails."""

    method: str
    path: str
    body: bytes
    proof: str | None
    limits: tuple[Limit, ...] = ()


class DeviceOperations:
    """The operations of devices. A class because it holds the use cases."""

    def __init__(
        self,
        *,
        devices: Devices,
        enrolment: Enrolment,
        answers: DeviceAnswers,
        door: DeviceDoor,
        url: str,
        clock: Clock,
    ) -> None:
        """`url` is what devices are told to call."""
        self._door = door
        self._devices = devices
        self._enrolment = enrolment
        self._answers = answers
        self._url = url
        self._clock = clock

    async def activate(self, arrived: Arrived, request_id: str, form: DeviceActivationForm) -> HttpAnswer:
        """Activate by the key that signed: 200 with the outcome.

        Who does not know the code is told nothing of the payer's: neither label nor times. Raises InvalidProof,
        TooEarly where the address has to wait, what `activate_device` raises.
        """
        async with self._door.watched(arrived.limits):
            key = await self._devices.shown_key(self._signed(arrived), form.authenticator)
            held = HeldKey(key, Secret(form.activation_code))
            origin = {"actor": "device", "request": request_id}
            tried = await self._enrolment.activate_device(form.authenticator, held, origin)
        told = tried.authenticator
        if tried.outcome is not ActivationOutcome.ACTIVATED:
            await self._door.failed(arrived.limits)
            told = replace(told, label="", activated_at_ms=0, used_at_ms=0, unlocked_by=None)
        body = ActivationBody(tried.outcome, tried.tries_left, authenticator_body(told))
        return HttpAnswer(200, _encode(body))

    async def pending(self, arrived: Arrived) -> HttpAnswer:
        """What the device is asked now. Raises InvalidProof, TooEarly, StoreUnavailable."""
        device = await self._device(arrived)
        views = await self._answers.pending(device)
        return HttpAnswer(200, _encode(DeviceChallengeListBody(tuple(map(self._body, views)))), _NOT_KEPT)

    async def get(self, arrived: Arrived, challenge_id: str) -> HttpAnswer:
        """What the device is or was asked. Raises InvalidProof, TooEarly, NotFound, StoreUnavailable."""
        device = await self._device(arrived)
        view = await self._answers.get(device, _parsed(challenge_id))
        return HttpAnswer(200, _encode(self._body(view)), _NOT_KEPT)

    async def answer(
        self, arrived: Arrived, request_id: str, challenge_id: str, form: DeviceAnswerForm
    ) -> HttpAnswer:
        """Decide what the device signed: 200 with the outcome. Raises TooEarly, what `DeviceAnswers.answer` raises."""
        device = await self._device(arrived)
        told = await self._answers.answer(device, request_id, _parsed(challenge_id), form.answer)
        return HttpAnswer(200, _encode(DeviceOutcomeBody(told.outcome, told.attempts_left)))

    def limits_of(self, peer: str, forwarded: Sequence[str]) -> tuple[Limit, ...]:
        """What counts failures of a request that came from there."""
        return self._door.limits_of(peer, forwarded)

    async def _device(self, arrived: Arrived) -> Device:
        async with self._door.watched(arrived.limits):
            return await self._devices.authenticate(self._signed(arrived))

    def _signed(self, arrived: Arrived) -> SignedRequest:
        """A request as its proof has to cover it. Raises InvalidProof without one."""
        if not arrived.proof:
            raise InvalidProof
        url = self._url + arrived.path.removeprefix(_BASE)
        return SignedRequest(arrived.method, url, arrived.body, arrived.proof)

    def _body(self, view: ChallengeView) -> DeviceChallengeBody:
        status = view.state.status_at(self._clock.now_ms())
        return DeviceChallengeBody(
            id=view.state.id,
            status=status,
            purpose=view.fixed.purpose,
            message_shown=view.private.message_shown,
            transaction=transaction_body(view),
            created_at=timestamp(view.state.created_at),
            expires_at=timestamp(view.state.expires_at),
            matching_digits_needed=status is Status.PENDING,
        )


def _parsed(challenge_id: str) -> ChallengeId:
    challenge = ChallengeId.parse(challenge_id)
    if challenge is None:
        raise NotFound
    return challenge


async def _arrived(request: StrictRequest, devices: DeviceOperations, proof: str | None) -> Arrived:
    refuse_unknown_parameters(request, request.scope["route_handler"])
    if len(request.headers.getall("DPoP", [])) > 1:  # RFC 9449, section 4.3: which of them counts?
        proof = None
    peer = request.client.host if request.client else ""
    limits = devices.limits_of(peer, request.headers.getall("x-forwarded-for", []))
    return Arrived(request.method, request.scope["path"], await request.raw_body(), proof, limits)


def _id_of(request: Request[Any, Any, Any]) -> str:
    request_id: str = request.scope[REQUEST_ID_KEY]  # type: ignore[literal-required]
    return request_id


@post(
    f"{_BASE}/activate",
    tags=_TAGS,
    operation_id="device_activate",
    summary="Show the device's key",
    description="The key that signs this request becomes the authenticator's, once, for good.",
    status_code=200,
    responses=problems(401, 404, 409, 413, 415, 422, 429, keyed=False),
)
async def device_activate(
    request: StrictRequest, data: DeviceActivationForm, devices: DeviceOperations, proof: ProofHeader = None
) -> Response[ActivationBody]:
    """Show the device's key."""
    arrived = await _arrived(request, devices, proof)
    return respond(await devices.activate(arrived, _id_of(request), data))


@get(
    f"{_BASE}/challenges",
    tags=_TAGS,
    operation_id="device_challenges",
    summary="What the device is asked now",
    responses=problems(401, 422, 429, keyed=False),
)
async def device_challenges(
    request: StrictRequest, devices: DeviceOperations, proof: ProofHeader = None
) -> Response[DeviceChallengeListBody]:
    """What the device is asked now."""
    return respond(await devices.pending(await _arrived(request, devices, proof)))


@get(
    f"{_BASE}/challenges/{{challenge_id:str}}",
    tags=_TAGS,
    operation_id="device_challenge",
    summary="One challenge, to be shown",
    responses=problems(401, 404, 422, 429, keyed=False),
)
async def device_challenge(
    request: StrictRequest, devices: DeviceOperations, challenge_id: str, proof: ProofHeader = None
) -> Response[DeviceChallengeBody]:
    """One challenge, to be shown."""
    return respond(await devices.get(await _arrived(request, devices, proof), challenge_id))


@post(
    f"{_BASE}/challenges/{{challenge_id:str}}/answer",
    tags=_TAGS,
    operation_id="device_answer",
    summary="Answer a challenge with a signature",
    description=(
        "An approval needs the two digits that the bank's page shows: wrong ones count as an attempt. Another amount "
        "or payee voids the challenge. A decline ends it; the reason `not_me` tells the bank that somebody else began "
        "it."
    ),
    status_code=200,
    responses=problems(401, 404, 413, 415, 422, 429, keyed=False),
)
async def device_answer(
    request: StrictRequest,
    data: DeviceAnswerForm,
    devices: DeviceOperations,
    challenge_id: str,
    proof: ProofHeader = None,
) -> Response[DeviceOutcomeBody]:
    """Answer a challenge with a signature."""
    arrived = await _arrived(request, devices, proof)
    return respond(await devices.answer(arrived, _id_of(request), challenge_id, data))


ROUTES = (device_activate, device_challenges, device_challenge, device_answer)
