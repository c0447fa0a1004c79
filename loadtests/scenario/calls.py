"""A client's calls: each delay counts from when the call was due, not from when the sender came to it."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from locust.contrib.fasthttp import FastHttpSession

from loadtests.scenario.plan import NO_ANSWER, Notes


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds after the beginning of the run."""

    began: float

    def now(self) -> float:
        """Now, on the run's clock."""
        return time.perf_counter() - self.began


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `at` is on the run's clock; `status` is 0 where nothing came."""

    status: int
    body: Any
    request: str
    at: float

    @property
    def is_good(self) -> bool:
        """Whether the service did what it was asked."""
        return self.status // 100 == 2


@dataclass(frozen=True, slots=True)
class Caller:
    """One client: its session, its key, and where it notes down what it saw."""

    session: FastHttpSession
    key: str
    notes: Notes
    clock: Clock

    def call(self, method: str, path: str, body: object = None, *, name: str, due: float) -> Reply:
        """Call, and note down the delay behind `due`. No answer and 5xx are surprises: no fault is injected.

        Locust counts a 429 and other refusals as answers: whether one was deserved is for the journey to say.
        """
        request = f"req-{secrets.token_hex(8)}"
        headers = {"Authorization": f"Bearer {self.key}", "X-Request-Id": request}
        self.notes.latest_ms = max(self.notes.latest_ms, (self.clock.now() - due) * 1000)
        with self.session.request(
            method, path, name=name, json=body, headers=headers, catch_response=True
        ) as response:
            at = self.clock.now()
            status = response.status_code or NO_ANSWER
            response.request_meta["response_time"] = (at - due) * 1000
            self.notes.requests.append((round(due, 4), name, round((at - due) * 1000, 3), status))
            if status == NO_ANSWER or status >= 500:
                self.notes.surprises.append(f"{name}: {status or 'no answer'} at {at:.1f} s")
                response.failure(f"status {status}")
            else:
                response.success()
            return Reply(status, _read(response.text), request, at)


def _read(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return text
