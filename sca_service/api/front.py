"""What stands before the framework: the request id of every answer, and a short way for the two hot routes.

Issuing and verifying make up nearly all traffic. The framework's routing, parameter model and response cost as much as
the whole decision (90 µs against 32 µs of CPU), so these two are served here, by the same operations, parser, client
directory and problems as its routes; `tests/service` holds the two ways to the same answers. What does not fit exactly
(another method, a query string) goes the long way.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import REQUEST_ID_KEY, Call, request_id_of
from sca_service.api.clients import ClientDirectory
from sca_service.api.clients import Scope as ClientScope
from sca_service.api.forms import AnswerForm, CreateChallenge
from sca_service.api.json_body import MOST_BYTES, parse_json
from sca_service.api.operations import ChallengeOperations
from sca_service.api.problems import as_sca_error, is_ours, problem
from sca_service.api.routes import check_media_type
from sca_service.kernel.errors import BodyTooLarge, MalformedRequest
from sca_service.kernel.telemetry import log_failure

_CREATE = "/v1/challenges"
_VERIFY = re.compile(r"/v1/challenges/([a-z0-9_]+)/verify")

Serve = Callable[[Call], Awaitable[HttpAnswer]]


class Front:
    """The ASGI application that the server runs. A class because it holds what it hands on to."""

    def __init__(
        self, framework: ASGIApp, directory: ClientDirectory, challenges: ChallengeOperations
    ) -> None:
        self._framework = framework
        self._directory = directory
        self._challenges = challenges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand it on with its request id."""
        if scope["type"] != ScopeType.HTTP:
            await self._framework(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        serve = self._serving(scope)
        if serve:
            await _send(send, await self._answer(scope, receive, request_id, serve), request_id)
            return
        scope[REQUEST_ID_KEY] = request_id  # type: ignore[literal-required]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self._framework(scope, receive, send_with_id)

    def _serving(self, scope: Any) -> Serve | None:
        if scope["method"] != "POST" or scope["query_string"]:
            return None
        path = scope["path"]
        if path == _CREATE:
            return self._create
        verify = _VERIFY.fullmatch(path)
        if verify:
            challenge_id = verify[1]
            return lambda call: self._challenges.verify(call, challenge_id, parse_json(call.body, AnswerForm))
        return None

    async def _create(self, call: Call) -> HttpAnswer:
        return await self._challenges.create(call, parse_json(call.body, CreateChallenge))

    async def _answer(self, scope: Any, receive: Receive, request_id: str, serve: Serve) -> HttpAnswer:
        path = scope["path"]
        try:
            headers = dict(scope["headers"])
            client = self._directory.authenticate(headers.get(b"authorization", b"").decode("latin-1"))
            client.needs(ClientScope.CHALLENGES)
            body = await _body(headers, receive)
            check_media_type(headers.get(b"content-type", b"").decode("latin-1"), body)
            key = headers.get(b"idempotency-key")
            return await serve(
                Call(client, request_id, path, body, None if key is None else key.decode("latin-1"))
            )
        except Exception as error:  # the request loop: whatever happens, the caller is told and we hear of it
            fault = as_sca_error(error)
            if is_ours(fault):
                log_failure(error)
            return problem(fault, path=path, request_id=request_id)


async def _body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    if int(headers.get(b"content-length", b"0")) > MOST_BYTES:
        raise BodyTooLarge
    body = bytearray()
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest("the body did not arrive")
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise BodyTooLarge
        if not message.get("more_body"):
            return bytes(body)


async def _send(send: Any, answer: HttpAnswer, request_id: str) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request_id.encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
