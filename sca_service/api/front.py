"""What stands before the framework: the request id of every answer, and a short way for the three hot routes.

Issuing, verifying and the answers of devices make up nearly all traffic. The framework's routing, parameter model and
response cost as much as the whole decision (90 µs against 32 µs of CPU), so these are served here, by the same
operations, parser, client directory and problems as its routes; `tests/service` holds the two ways to the same answers.
What does not fit exactly (another method, a query string, two proofs) goes the long way.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import REQUEST_ID_KEY, Call, request_id_of
from sca_service.api.client_door import ClientDoor
from sca_service.api.clients import Scope as ClientScope
from sca_service.api.devices import Arrived, DeviceAnswerForm, DeviceOperations
from sca_service.api.forms import AnswerForm, CreateChallenge
from sca_service.api.json_body import MOST_BYTES, parse_json
from sca_service.api.operations import ChallengeOperations
from sca_service.api.problems import as_sca_error, is_ours, problem
from sca_service.api.routes import check_media_type
from sca_service.kernel.errors import BodyTooLarge, MalformedRequest
from sca_service.kernel.telemetry import log_failure
from sca_service.kernel.turns import Turns

_CREATE = "/v1/challenges"
_VERIFY = re.compile(r"/v1/challenges/([a-z0-9_]+)/verify")
_PROOF = b"dpop"
_DEVICE_ANSWER = re.compile(r"/device/v1/challenges/([a-z0-9_]+)/answer")


class _Arriving(msgspec.Struct, frozen=True):
    """A request whose body may still be on its way; of a header that is given twice the first one counts."""

    scope: Any
    path: str
    headers: dict[bytes, bytes]
    receive: Receive
    request_id: str

    def header(self, name: bytes) -> str | None:
        """A header by its name in lower case, None without it."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


_Serve = Callable[[_Arriving], Awaitable[HttpAnswer]]


class Front:
    """The ASGI application that the server runs. A class because it holds what it hands on to."""

    def __init__(
        self,
        framework: ASGIApp,
        door: ClientDoor,
        challenges: ChallengeOperations,
        devices: DeviceOperations | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Without `devices` their answers go the framework's way. Long work stands back by `turns` for what is hot."""
        self._turns = turns or Turns()
        self._framework = framework
        self._door = door
        self._challenges = challenges
        self._devices = devices

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand it on with its request id."""
        if scope["type"] != ScopeType.HTTP:
            await self._framework(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        serve = self._serving(scope)
        if serve:
            headers = dict(reversed(list(scope["headers"])))
            arriving = _Arriving(scope, scope["path"], headers, receive, request_id)
            with self._turns.promptly():
                await _send(send, await _answered(serve, arriving), request_id)
            return
        scope[REQUEST_ID_KEY] = request_id  # type: ignore[literal-required]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self._framework(scope, receive, send_with_id)

    def _serving(self, scope: Any) -> _Serve | None:
        if scope["method"] != "POST" or scope["query_string"]:
            return None
        path = scope["path"]
        if path == _CREATE:
            return self._create
        verify = _VERIFY.fullmatch(path)
        if verify:
            return partial(self._verify, verify[1])
        answer = _DEVICE_ANSWER.fullmatch(path)
        if answer and self._devices and not _has_two_proofs(scope["headers"]):
            return partial(self._answer_by_device, self._devices, answer[1], _origin_of(scope))
        return None

    async def _create(self, arriving: _Arriving) -> HttpAnswer:
        call = await self._called(arriving)
        return await self._challenges.create(call, parse_json(call.body, CreateChallenge))

    async def _verify(self, challenge_id: str, arriving: _Arriving) -> HttpAnswer:
        call = await self._called(arriving)
        return await self._challenges.verify(call, challenge_id, parse_json(call.body, AnswerForm))

    @staticmethod
    async def _answer_by_device(
        devices: DeviceOperations, challenge_id: str, origin: tuple[str, list[str]], arriving: _Arriving
    ) -> HttpAnswer:
        limits = devices.limits_of(*origin)
        body = await _body(arriving)
        form = parse_json(body, DeviceAnswerForm)
        arrived = Arrived("POST", arriving.path, body, arriving.header(_PROOF), limits)
        return await devices.answer(arrived, arriving.request_id, challenge_id, form)

    async def _called(self, arriving: _Arriving) -> Call:
        client = self._door.admit(arriving.scope, arriving.header(b"authorization"))
        client.needs(ClientScope.CHALLENGES)
        body = await _body(arriving)
        return Call(
            client,
            arriving.request_id,
            arriving.path,
            body,
            arriving.header(b"idempotency-key"),
            arriving.header(b"traceparent") or "",
        )


def _has_two_proofs(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return sum(name == _PROOF for name, _ in headers) > 1


def _origin_of(scope: Any) -> tuple[str, list[str]]:
    """The peer's address, and what stands in `X-Forwarded-For`."""
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return (scope["client"] or ("", 0))[0], forwarded


async def _answered(serve: _Serve, arriving: _Arriving) -> HttpAnswer:
    """What serving comes to, or the problem that it ran into."""
    try:
        return await serve(arriving)
    except Exception as error:  # the request loop: whatever happens, the caller is told and we hear of it
        fault = as_sca_error(error)
        if is_ours(fault):
            log_failure(error)
        return problem(fault, path=arriving.path, request_id=arriving.request_id)


async def _body(arriving: _Arriving) -> bytes:
    """The body, read to its end. Raises BodyTooLarge, MalformedRequest, UnsupportedMediaType."""
    if int(arriving.headers.get(b"content-length", b"0")) > MOST_BYTES:
        raise BodyTooLarge
    body = b""
    while True:
        message: Any = await arriving.receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest("the body did not arrive")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MOST_BYTES:
            raise BodyTooLarge
        if not message.get("more_body"):
            break
    check_media_type(arriving.header(b"content-type"), body)
    return body


async def _send(send: Any, answer: HttpAnswer, request_id: str) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request_id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
