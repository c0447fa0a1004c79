"""One call of a client, as the operations see it: who, which, and what was sent; with or without the framework."""

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec
from litestar import Request

from sca_service.api.clients import Client
from sca_service.challenges.issue import Caller
from sca_service.kernel.ids import new_id

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
REQUEST_ID_KEY = "sca_request_id"


class Call(msgspec.Struct, frozen=True):
    """A request of a known client. `body` is as it was sent; `idempotency_key` None when there is none.

    `traceparent` is where it stands in the caller's own trace (W3C Trace Context), as it was sent; empty without it.
    """

    client: Client
    request_id: str
    path: str
    body: bytes
    idempotency_key: str | None
    traceparent: str = ""

    @property
    def caller(self) -> Caller:
        """Whose request it is, and which, for those behind the API."""
        client = self.client
        return Caller(client.id, self.request_id, self.traceparent, client.certificate, client.organisation)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's `X-Request-Id` when it is 8 to 64 letters, digits, dots, dashes or underscores; else a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            sent = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(sent):
                return sent
    return new_id("req")


async def call_of(request: Request[Client, Any, Any]) -> Call:
    """The call that a framework's request stands for; its client was authenticated by the route's guard."""
    return Call(
        client=request.scope["user"],
        request_id=cast("dict[str, str]", request.scope)[REQUEST_ID_KEY],
        path=request.scope["path"],
        body=await request.body(),
        idempotency_key=request.headers.get("idempotency-key"),
        traceparent=request.headers.get("traceparent", ""),
    )
