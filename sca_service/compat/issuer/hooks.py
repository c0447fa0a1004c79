"""Takes a card processor's challenge request: who signed it, how old it is, whether it came before; then issues.

A request is signed as Standard Webhooks says, with the secret of a webhook endpoint: the processor that is told of
results there is the one that may ask. One secret, two directions: what we send has another form than what we take.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.api.clients import Scope
from sca_service.api.device_door import DeviceDoor
from sca_service.api.idempotency import Idempotency
from sca_service.api.json_body import parse_json
from sca_service.challenges.device_answers import digits_of
from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.model import Status
from sca_service.challenges.view import ChallengeView
from sca_service.compat.issuer.forms import ChallengeAnswer, ChallengeRequest, order_of
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import InvalidInput, NotFound, Overloaded, Unauthorized
from sca_service.kernel.keyring import Keyring
from sca_service.webhooks.announcements import matches
from sca_service.webhooks.model import Endpoint
from sca_service.webhooks.postgres_store import EndpointStore
from sca_service.webhooks.signature import SigningKeys

TOLERANCE_SECONDS = 300
"""How old a signed request may be, or how far ahead its clock (Standard Webhooks). Its id is known for longer."""
ANSWER_SECONDS = 2.0
_RESULTS = ("challenge.approved", "challenge.declined", "challenge.expired")
_ENDPOINT = re.compile(r"whk_[0-9a-f]{32}", re.ASCII)
_MESSAGE = re.compile(r"[A-Za-z0-9][\x21-\x7e]{7,127}", re.ASCII)
_OURS = "msg_"
"""How the ids of messages begin that we send with the same secret."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it came: its three headers, its body, and the addresses that it came from."""

    message: str
    sent_at: str
    signature: str
    body: bytes
    peer: str
    forwarded: Sequence[str]


class IssuerHooks:
    """Takes requests. A class because it holds what it issues with, and the requests that are under way."""

    def __init__(
        self,
        *,
        endpoints: EndpointStore,
        issuer: Issuer,
        idempotency: Idempotency,
        door: DeviceDoor,
        keyring: Keyring,
        clock: Clock,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._answer_seconds = answer_seconds
        self._endpoints = endpoints
        self._issuer = issuer
        self._idempotency = idempotency
        self._door = door
        self._keyring = keyring
        self._clock = clock
        self._under_way: set[asyncio.Task[HttpAnswer]] = set()

    async def challenge(self, endpoint: str, signed: Signed, request_id: str) -> HttpAnswer:
        """Ask a cardholder's app, and answer within two seconds; the same request once more gets the same answer.

        Raises Unauthorized for what nobody signed, InvalidInput, IdempotencyKeyReused, RequestInFlight, TooEarly, and
        Overloaded when it takes longer: what was begun is finished, and found by the request's repetition.
        """
        task = asyncio.get_running_loop().create_task(self._challenge(endpoint, signed, request_id))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait((task,), timeout=self._answer_seconds)
        if not done:
            task.add_done_callback(_looked_at)
            raise Overloaded("the answer takes too long: send the same request again")
        return task.result()

    async def _challenge(self, endpoint: str, signed: Signed, request_id: str) -> HttpAnswer:
        known = await self._signer(endpoint, signed)
        form = parse_json(signed.body, ChallengeRequest)
        order = order_of(form)
        if not _hears_results(known):
            raise InvalidInput.at("", f"the endpoint is not told of {' and '.join(_RESULTS)}")
        caller = Caller(known.client, request_id)

        async def issue(unique: str | None) -> HttpAnswer:
            try:
                view = await self._issuer.issue(caller, order, unique=unique)
            except InvalidInput as error:
                if any(one.pointer == "/method" for one in error.mistakes):  # nothing of theirs could answer
                    return _answered(ChallengeAnswer(form.reference, "refused", reason="no_device"))
                raise
            return _answered(self._told(form.reference, view))

        return await self._idempotency.once(caller, f"{endpoint}:{signed.message}", signed.body, issue)

    async def _signer(self, endpoint: str, signed: Signed) -> Endpoint:
        """The endpoint with whose secret the request is signed. Raises Unauthorized, TooEarly, StoreUnavailable."""
        try:
            async with self._door.watched(self._door.limits_of(signed.peer, signed.forwarded)):
                return await self._verified(endpoint, signed)
        except NotFound:
            raise Unauthorized(
                "the request is not signed for this endpoint, or its time is not within five minutes"
            ) from None

    async def _verified(self, endpoint: str, signed: Signed) -> Endpoint:
        now_ms = self._clock.now_ms()
        is_whole = _ENDPOINT.fullmatch(endpoint) and _MESSAGE.fullmatch(signed.message)
        if not is_whole or signed.message.startswith(_OURS) or not _is_recent(signed.sent_at, now_ms):
            raise NotFound
        known = await self._endpoints.of_any(endpoint, Scope.CHALLENGES)
        if known is None:
            raise NotFound
        keys = SigningKeys.opened(self._keyring, known.sealed, known.id, known.scheme)
        at_s = int(signed.sent_at)
        if not keys.signed(
            signed.signature, message=signed.message, at_s=at_s, body=signed.body, now_ms=now_ms
        ):
            raise NotFound
        return known

    def _told(self, reference: str, view: ChallengeView) -> ChallengeAnswer:
        state = view.state
        if state.status is not Status.PENDING:
            return ChallengeAnswer(reference, str(state.status), state.id, state.why or None)
        digits = digits_of(self._keyring, state.id).reveal()
        return ChallengeAnswer(
            reference, "pending", state.id, expires_at=timestamp(state.expires_at), matching_digits=digits
        )


def _hears_results(endpoint: Endpoint) -> bool:
    """Whether the processor would learn what came of it."""
    return not endpoint.types or all(
        any(matches(wanted, kind) for wanted in endpoint.types) for kind in _RESULTS
    )


def _is_recent(sent_at: str, now_ms: int) -> bool:
    if not re.fullmatch(r"[0-9]{1,12}", sent_at, re.ASCII):
        return False
    return abs(int(sent_at) - now_ms // 1000) <= TOLERANCE_SECONDS


def _answered(answer: ChallengeAnswer) -> HttpAnswer:
    return HttpAnswer(200, msgspec.json.encode(answer))


def _looked_at(task: "asyncio.Task[HttpAnswer]") -> None:
    """Nobody waits for it any more: its repetition is told what came of it."""
    if not task.cancelled():
        task.exception()
