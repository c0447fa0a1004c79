"""Each change of a challenge as it happens, over HTTP: server-sent events (WHATWG HTML, section 9.2).

Looked at twice a second, and told when what its client would read has changed: so a status, a delivery or a code of a
device's approval is told by the same words as a `GET`, whichever role changed it, and only once it is on record.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
from litestar import Request, get
from litestar.response import Stream

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.challenges import ChallengeIdParameter
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.routes import needs, problems
from sca_service.kernel.errors import Overloaded, ScaError
from sca_service.kernel.stopping import pause
from sca_service.kernel.telemetry import CHALLENGE_STREAMS

MOST_STREAMS = 1_000
"""Of one process; who comes then is told to read instead."""
MOST_OF_A_CLIENT = MOST_STREAMS // 2
"""So that no client's forgotten streams turn all the others away."""
LOOK_SECONDS = 0.5
HEARTBEAT_LOOKS = 30
"""Every quarter of a minute a comment, so that nothing between us and the client takes it for idle."""

_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Readings(Protocol):
    """Reads challenges."""

    async def get(self, call: Call, challenge_id: str) -> HttpAnswer:
        """A challenge as its client sees it. Raises NotFound, StoreUnavailable."""


class _Seen(msgspec.Struct):
    status: str


class ChallengeStreams:
    """Follows challenges for whoever listens. A class because it counts the listeners."""

    def __init__(self, challenges: Readings, ending: asyncio.Event | None = None) -> None:
        """Streams break off when the process is `ending`; the client connects anew, to another."""
        self._challenges = challenges
        self._ending = ending or asyncio.Event()
        self._open: Counter[str] = Counter()

    async def follow(self, call: Call, challenge_id: str, last_seen: str) -> AsyncIterator[bytes]:
        """Events from now on, the last of which is final; what has `last_seen` as its id is not told again.

        Raises NotFound, StoreUnavailable, and Overloaded when too many listen, in all or of this client's.
        """
        if self._is_full_for(call):
            raise Overloaded
        first = await self._challenges.get(call, challenge_id)
        return self._events(call, challenge_id, first.body, last_seen)

    async def _events(
        self, call: Call, challenge_id: str, body: bytes, last_seen: str
    ) -> AsyncIterator[bytes]:
        if self._is_full_for(call):  # many came at once, and were let in before any of them was counted
            return
        self._open[call.client.id] += 1
        CHALLENGE_STREAMS.inc()
        try:
            quiet = 0
            while True:
                name, quiet = _name(body), quiet + 1
                if name != last_seen:
                    last_seen, quiet = name, 0
                    yield b"id: %s\nevent: challenge\ndata: %s\n\n" % (name.encode(), body)
                elif quiet >= HEARTBEAT_LOOKS:
                    quiet = 0
                    yield b": still here\n\n"
                if msgspec.json.decode(body, type=_Seen).status != "pending":
                    return
                await pause(LOOK_SECONDS, self._ending)
                if self._ending.is_set():
                    return
                try:
                    body = (await self._challenges.get(call, challenge_id)).body
                except ScaError:  # the client connects anew, and hears then what is the matter
                    return
        finally:
            self._open[call.client.id] -= 1
            CHALLENGE_STREAMS.dec()

    def _is_full_for(self, call: Call) -> bool:
        return self._open.total() >= MOST_STREAMS or self._open[call.client.id] >= MOST_OF_A_CLIENT


def _name(body: bytes) -> str:
    """What an event is called: the same for the same words, on every replica."""
    return hashlib.sha256(body).hexdigest()[:16]


@get(
    "/v1/challenges/{challenge_id:str}/events",
    guards=[needs(Scope.CHALLENGES)],
    security=asks_for(Scope.CHALLENGES),
    tags=["challenges"],
    operation_id="follow_challenge",
    summary="Follow a challenge",
    description=(
        "Server-sent events: the challenge as it stands, then again with each change of its status or a delivery, each "
        "as an event `challenge` whose data is what a `GET` answers. The stream ends with the final status. "
        "`Last-Event-ID` leaves out what was heard before."
    ),
    responses=problems(404, 422),
    media_type=_MEDIA_TYPE,
)
async def follow_challenge(
    request: Request[Any, Any, Any],
    challenge_streams: ChallengeStreams,
    challenge_id: ChallengeIdParameter,
) -> Stream:
    """Follow a challenge."""
    last_seen = request.headers.get("last-event-id", "")
    events = await challenge_streams.follow(await call_of(request), challenge_id, last_seen)
    return Stream(events, media_type=_MEDIA_TYPE, headers=_HEADERS)


ROUTES = (follow_challenge,)
