"""Payers at work while something is cut: each is issued a challenge, answers wrongly, rightly, and once more.

The traffic runs in a thread of its own, so that a test may block while it kills and starts what serves it. What a
client was told is kept: `tests/faults/checker.py` holds the service to it.
"""

import asyncio
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from sca_service.challenges.code import derive
from sca_service.challenges.model import ChallengeId
from sca_service.kernel.keyring import Keyring
from tests.harness import TRANSACTION, Deployment, order, wrong

_PAYERS = 4
_PAUSE_SECONDS = 0.25
_PATIENCE_SECONDS = 60.0
_UNDECIDED = (409, 503)  # request-in-flight, store-unavailable: sent again under the same key


@dataclass(frozen=True, slots=True)
class Told:
    """What a client was told of a challenge: `issued`, or the outcome of an answer.

    `request` is the request's id, or None when it was not the first one sent under its Idempotency-Key: then an
    earlier one, whose answer did not arrive, may be what is on record.
    """

    request: str | None
    challenge: str
    said: str


@dataclass(slots=True)
class Heard:
    """All that the clients heard: answers, how many requests had none, and answers that nobody may get."""

    told: list[Told] = field(default_factory=list)
    unanswered: int = 0
    undecided: int = 0
    surprises: list[str] = field(default_factory=list)


class Traffic:
    """Four payers at a time, until `stop`, at the first api or at `url`. A class because it owns the thread."""

    def __init__(self, deployment: Deployment, *, seed: int, url: str = "") -> None:
        self.heard = Heard()
        self._url = url or deployment.api.url
        self._key = deployment.keys["bank"]
        self._keyring = deployment.keyring
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the requests under way end, and begin no more."""
        self._stop.set()
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the traffic did not end"

    def await_answers(self, count: int) -> None:
        """Wait until so many more answers have come: a point in the traffic that no machine's speed moves."""
        self._await_more(lambda: len(self.heard.told), count)

    def await_undecided(self, count: int) -> None:
        """Wait until so many more requests were told that the service cannot decide."""
        self._await_more(lambda: self.heard.undecided, count)

    def _await_more(self, number: Callable[[], int], count: int) -> None:
        wanted = number() + count
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while number() < wanted:
            assert time.monotonic() < deadline, f"waited in vain; the traffic heard {self._summary()}"
            time.sleep(0.001)

    def _summary(self) -> str:
        heard = self.heard
        return (
            f"{len(heard.told)} answers, {heard.unanswered} times none, {heard.undecided} times undecided, "
            f"surprises {heard.surprises}"
        )

    async def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        async with (
            httpx.AsyncClient(base_url=self._url, headers=headers, timeout=5, trust_env=False) as http,
            asyncio.TaskGroup() as payers,
        ):
            for _ in range(_PAYERS):
                payers.create_task(self._pay_on_and_on(http))

    async def _pay_on_and_on(self, http: httpx.AsyncClient) -> None:
        while not self._stop.is_set():
            await self._pay(http)

    async def _pay(self, http: httpx.AsyncClient) -> None:
        """One payer: a new challenge, a wrong answer or none, the right one under a key, and the right one again."""
        issued = await self._post(http, "/v1/challenges", order(), key=f"issue-{secrets.token_hex(8)}")
        if issued is None:
            return
        right = code_of(self._keyring, issued)
        answers = [wrong(right)] * self._chance.randrange(2) + [right, right]
        keys = [None] * (len(answers) - 2) + [f"answer-{secrets.token_hex(8)}", None]
        for code, key in zip(answers, keys, strict=True):
            body = {"code": code, "transaction": TRANSACTION}
            await self._post(http, f"/v1/challenges/{issued['id']}/verify", body, key=key)

    async def _post(
        self, http: httpx.AsyncClient, path: str, body: dict[str, Any], *, key: str | None
    ) -> dict[str, Any] | None:
        """Send a request, with a key until it is decided. None when it was not."""
        first = True
        while first or (key is not None and not self._stop.is_set()):
            if not first:
                await asyncio.sleep(_PAUSE_SECONDS)
            request = f"req-{secrets.token_hex(8)}"
            headers = {"X-Request-Id": request} | ({"Idempotency-Key": key} if key else {})
            try:
                response = await http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                self.heard.unanswered += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if response.status_code in (200, 201):
                    return self._note(response.json(), request if first else None)
                self._note_problem(response)
            first = False
        return None

    def _note(self, answer: dict[str, Any], request: str | None) -> dict[str, Any]:
        challenge = answer.get("challenge", answer)
        self.heard.told.append(Told(request, challenge["id"], answer.get("outcome", "issued")))
        return answer

    def _note_problem(self, response: httpx.Response) -> None:
        if response.status_code in _UNDECIDED:
            self.heard.undecided += 1
        else:
            self.heard.surprises.append(f"{response.status_code} {response.text}")


def code_of(keyring: Keyring, issued: dict[str, Any]) -> str:
    """The code of an issued challenge, derived as the service derives it: the traffic does not wait for messages."""
    challenge = ChallengeId.parse(issued["id"])
    assert challenge is not None
    transaction = issued["transaction"]
    return derive(keyring, challenge, transaction["digest"] if transaction else "").reveal()
