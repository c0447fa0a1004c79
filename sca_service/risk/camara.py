"""What the operator of a phone line knows of it: SIM swap, handset swap, call forwarding, number recycling (CAMARA).

Sources, all of CAMARA's release Fall25: sim-swap 2.1.0, device-swap 1.0.0, call-forwarding-signal 0.4.0,
number-recycling 0.2.0; access by OAuth 2.0 client credentials (RFC 6749 section 4.4, RFC 6750). Each question is one
that is answered by yes or no, so that no date of anybody's is learned.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol
from urllib.parse import quote, urlencode

import msgspec

from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import ConfigurationError, ScaError
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.risk import LineQuestion, LineRule
from sca_service.risk.model import AnswerState, LineAnswer

REST_SECONDS: Final = 1.0
"""After questions that nobody answered, the next ones are left out for so long: they would only wait in vain."""
SILENT_LINES: Final = 3
"""So many lines in a row of which nothing was answered are an operator that is away. One may be silent by itself, and
whoever owns it must not decide what is asked about the lines of others.
"""
_SPARE_MS: Final = 10_000
"""An access key is renewed so long before it ends."""
_MOST_ACCESS_SECONDS: Final = 86_400
_NO_ANSWER: Final = LineAnswer(AnswerState.NO_ANSWER)


class Answer(Protocol):
    """What an HTTP call answered."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def body(self) -> bytes:
        """The body."""


class HttpCaller(Protocol):
    """Calls over HTTP; `HttpClient` of the delivery room is one."""

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request. Raises ScaError."""


class LineMemory(Protocol):
    """Remembers answers; `LineStore` is one."""

    async def find(
        self, pseudonym: str, questions: Sequence[LineQuestion]
    ) -> Mapping[LineQuestion, LineAnswer]:
        """The answers that are remembered. Raises StoreUnavailable."""

    def remember(self, pseudonym: str, question: LineQuestion, answer: LineAnswer, *, seconds: int) -> None:
        """Keep an answer; never waits and never raises."""


class LineDesk(Protocol):
    """Whoever is asked about a phone line."""

    async def ask(
        self, number: PhoneNumber, *, known_since: date | None
    ) -> Mapping[LineQuestion, LineAnswer]:
        """An answer to every question. Never raises."""


class NobodyAsked:
    """For a policy without an operator's address."""

    async def ask(
        self, number: PhoneNumber, *, known_since: date | None
    ) -> Mapping[LineQuestion, LineAnswer]:
        """Every answer is `not_asked`."""
        return dict.fromkeys(LineQuestion, LineAnswer())


@dataclass(frozen=True, slots=True)
class OperatorClient:
    """How we are known to the operator's authorisation server."""

    client_id: str
    secret: Secret[str]


class _Granted(msgspec.Struct, frozen=True):
    access: str = msgspec.field(name="access_token")
    expires_in: int = 0


class _Swap(msgspec.Struct, frozen=True):
    swapped: bool


class _Forwarding(msgspec.Struct, frozen=True):
    active: bool


class _Recycling(msgspec.Struct, frozen=True):
    recycled: bool = msgspec.field(name="phoneNumberRecycled")


_PATHS: Final = {
    LineQuestion.SIM_SWAP: "/sim-swap/v2/check",
    LineQuestion.DEVICE_SWAP: "/device-swap/v1/check",
    LineQuestion.CALL_FORWARDING: "/call-forwarding-signal/v0.4/unconditional-call-forwardings",
    LineQuestion.NUMBER_RECYCLING: "/number-recycling/v0.2/check",
}
_SCOPES: Final = {
    LineQuestion.SIM_SWAP: "sim-swap:check",
    LineQuestion.DEVICE_SWAP: "device-swap:check",
    LineQuestion.CALL_FORWARDING: "call-forwarding-signal:unconditional-call-forwardings:read",
    LineQuestion.NUMBER_RECYCLING: "number-recycling:check",
}


class _Refused(ScaError):
    """The operator gave no answer that can be used. Nobody sees it: it becomes `no_answer`."""


class OperatorDesk:
    """Asks the operators' gateway. A class because it keeps the access key, and knows when to rest."""

    def __init__(
        self,
        rule: LineRule,
        client: OperatorClient,
        *,
        http: HttpCaller,
        memory: LineMemory,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        """`rule.base_url` and `rule.access_url` are set."""
        self._rule = rule
        self._http = http
        self._memory = memory
        self._keyring = keyring
        self._access = _Access(rule, client, http, clock)
        self._rests_until = 0.0
        self._silent_lines = 0

    async def ask(
        self, number: PhoneNumber, *, known_since: date | None
    ) -> Mapping[LineQuestion, LineAnswer]:
        """An answer to every question, within the rule's time-out; `known_since`: when the bank learned the number.

        Without it nobody can tell whether the number was recycled. Never raises: no answer is an answer.
        """
        asks = [one for one in self._rule.asks if one is not LineQuestion.NUMBER_RECYCLING or known_since]
        found = dict.fromkeys(LineQuestion, LineAnswer()) | dict.fromkeys(asks, _NO_ANSWER)
        loop = asyncio.get_running_loop()
        if not asks or loop.time() < self._rests_until:
            return found
        ends_at = loop.time() + self._rule.timeout_ms / 1000
        pseudonym = self._pseudonym(number, known_since)
        try:
            async with asyncio.timeout_at(ends_at):
                remembered = await self._memory.find(pseudonym, asks)
        except (ScaError, TimeoutError):
            return found  # without the memory every challenge would cost a question
        open_asks = [question for question in asks if question not in remembered]
        answers = await asyncio.gather(
            *(self._answer(question, number, known_since, ends_at) for question in open_asks)
        )
        asked = dict(zip(open_asks, answers, strict=True))
        for question, answer in asked.items():
            self._remember(pseudonym, question, answer)
        if open_asks:
            self._heard(answers, loop.time())
        return found | dict(remembered) | asked

    def _heard(self, answers: Sequence[LineAnswer], now: float) -> None:
        is_silent = all(answer.state is AnswerState.NO_ANSWER for answer in answers)
        self._silent_lines = self._silent_lines + 1 if is_silent else 0
        if self._silent_lines >= SILENT_LINES:
            self._rests_until = now + REST_SECONDS

    def _pseudonym(self, number: PhoneNumber, known_since: date | None) -> str:
        """What answers are remembered under: another date is another question."""
        return self._keyring.pseudonym("line", number.e164, known_since.isoformat() if known_since else "")

    def _remember(self, pseudonym: str, question: LineQuestion, answer: LineAnswer) -> None:
        answered = answer.state is AnswerState.ANSWERED
        seconds = self._rule.remember_seconds if answered else self._rule.remember_unknown_seconds
        self._memory.remember(pseudonym, question, answer, seconds=seconds)

    async def _answer(
        self, question: LineQuestion, number: PhoneNumber, known_since: date | None, ends_at: float
    ) -> LineAnswer:
        try:
            async with asyncio.timeout_at(ends_at):
                return await self._asked(question, self._body(question, number, known_since))
        except (ScaError, TimeoutError):
            return _NO_ANSWER

    async def _asked(self, question: LineQuestion, body: bytes) -> LineAnswer:
        """The answer, asked once more with a new access key when the operator no longer takes the one we had."""
        for _ in range(2):
            access = await self._access.authorization()
            answer = await self._http.call(
                "POST",
                self._rule.base_url.rstrip("/") + _PATHS[question],
                headers={"Authorization": access.reveal(), "Content-Type": "application/json"},
                body=body,
            )
            if answer.status != 401:
                return _read(question, answer)
            self._access.forget(access)
        raise _Refused("the operator does not take our access key")

    def _body(self, question: LineQuestion, number: PhoneNumber, known_since: date | None) -> bytes:
        asked: dict[str, str | int] = {"phoneNumber": number.e164}
        if question is LineQuestion.SIM_SWAP:
            asked["maxAge"] = self._rule.sim_swap_hours
        elif question is LineQuestion.DEVICE_SWAP:
            asked["maxAge"] = self._rule.device_swap_hours
        elif question is LineQuestion.NUMBER_RECYCLING and known_since:
            asked["specifiedDate"] = known_since.isoformat()
        return msgspec.json.encode(asked)


def line_desk(
    rule: LineRule,
    client: OperatorClient | None,
    *,
    http: HttpCaller,
    memory: LineMemory,
    keyring: Keyring,
    clock: Clock,
) -> LineDesk:
    """Whom the policy says to ask. Raises ConfigurationError when it names an operator that does not know us."""
    if not rule.base_url:
        return NobodyAsked()
    if client is None:
        raise ConfigurationError(
            "risk.toml:line: the operator wants a client id and a secret, and there are none"
        )
    return OperatorDesk(rule, client, http=http, memory=memory, keyring=keyring, clock=clock)


class _Access:
    """The header that the operator's APIs want. A class because it keeps the access key until it ends."""

    def __init__(self, rule: LineRule, client: OperatorClient, http: HttpCaller, clock: Clock) -> None:
        self._url = rule.access_url
        self._scope = " ".join(_SCOPES[question] for question in rule.asks)
        self._client = client
        self._http = http
        self._clock = clock
        self._held: tuple[Secret[str], int] | None = None
        self._asking = asyncio.Lock()

    async def authorization(self) -> Secret[str]:
        """The value of `Authorization`; asked for once by all who wait for it. Raises ScaError."""
        async with self._asking:
            if self._held is None or self._clock.now_ms() >= self._held[1]:
                self._held = await self._ask()
            return self._held[0]

    def forget(self, refused: Secret[str]) -> None:
        """Ask anew next time: the operator refused this one."""
        if self._held and self._held[0] is refused:
            self._held = None

    async def _ask(self) -> tuple[Secret[str], int]:
        """RFC 6749 section 4.4.2; the client is known by HTTP Basic, its parts form-encoded (section 2.3.1)."""
        pair = f"{quote(self._client.client_id, safe='')}:{quote(self._client.secret.reveal(), safe='')}"
        answer = await self._http.call(
            "POST",
            self._url,
            headers={
                "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode({"grant_type": "client_credentials", "scope": self._scope}).encode(),
        )
        if answer.status != 200:
            raise _Refused("the operator's authorisation server refused")
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _Refused("the operator's authorisation server answered something else") from None
        lives_ms = min(granted.expires_in, _MOST_ACCESS_SECONDS) * 1000
        return Secret(f"Bearer {granted.access}"), self._clock.now_ms() + max(lives_ms - _SPARE_MS, 0)


def _read(question: LineQuestion, answer: Answer) -> LineAnswer:
    """Yes, no, or what else the operator says. Raises _Refused."""
    if answer.status in (404, 422):  # IDENTIFIER_NOT_FOUND, SERVICE_NOT_APPLICABLE
        return LineAnswer(AnswerState.NOT_APPLICABLE)
    if answer.status != 200:
        raise _Refused("the operator refused")
    try:
        match question:
            case LineQuestion.SIM_SWAP | LineQuestion.DEVICE_SWAP:
                found = msgspec.json.decode(answer.body, type=_Swap).swapped
            case LineQuestion.CALL_FORWARDING:
                found = msgspec.json.decode(answer.body, type=_Forwarding).active
            case LineQuestion.NUMBER_RECYCLING:
                found = msgspec.json.decode(answer.body, type=_Recycling).recycled
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Refused("the operator answered something else") from None
    return LineAnswer(AnswerState.ANSWERED, found)
