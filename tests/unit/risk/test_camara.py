"""What operators say of a phone line: asked as CAMARA defines it, in time, once, and with no answer as a fact."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

import pytest

from sca_service.delivery.http_client import HttpClient
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.risk import LineQuestion, LineRule
from sca_service.risk import camara
from sca_service.risk.camara import NobodyAsked, OperatorClient, OperatorDesk, line_desk
from sca_service.risk.model import AnswerState, LineAnswer
from tests.adapters import words_of
from tests.rude_server import Answer, RudeServer
from tests.unit.risk.operator_gateway import (
    ACCESS,
    CALL_FORWARDING,
    CLIENT_ID,
    CLIENT_SECRET,
    DEVICE_SWAP,
    NUMBER_RECYCLING,
    OPERATIONS,
    SIM_SWAP,
    Gateway,
)

KEYRING = Keyring.parse(create_keyring_text())
NUMBER = PhoneNumber.parse("+4915112345678")
SINCE = date(2024, 10, 31)
PATHS = dict(zip(LineQuestion, OPERATIONS, strict=True))
YES, NO = (LineAnswer(AnswerState.ANSWERED, found) for found in (True, False))
NOT_ASKED, NOT_APPLICABLE, NO_ANSWER = (
    LineAnswer(state) for state in (AnswerState.NOT_ASKED, AnswerState.NOT_APPLICABLE, AnswerState.NO_ANSWER)
)
HANGS_SECONDS = 20


class Memory:
    """What a Redis would remember, in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, LineQuestion], tuple[LineAnswer, int]] = {}
        self.is_away = False

    async def find(
        self, pseudonym: str, questions: Sequence[LineQuestion]
    ) -> Mapping[LineQuestion, LineAnswer]:
        """The remembered answers."""
        if self.is_away:
            raise StoreUnavailable("away")
        return {one: self.kept[pseudonym, one][0] for one in questions if (pseudonym, one) in self.kept}

    def remember(self, pseudonym: str, question: LineQuestion, answer: LineAnswer, *, seconds: int) -> None:
        """Keep it."""
        self.kept[pseudonym, question] = (answer, seconds)


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """Where the gateway listens."""
    async with RudeServer() as server:
        yield server


@pytest.fixture
def gateway(server: RudeServer) -> Gateway:
    """A gateway that knows one line, of which nothing is to be feared."""
    gateway = Gateway(server)
    gateway.lines[NUMBER.e164] = dict.fromkeys(OPERATIONS, False)
    return gateway


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client that suppliers are called with."""
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
def memory() -> Memory:
    """What was answered before."""
    return Memory()


@pytest.fixture
def rule(server: RudeServer) -> LineRule:
    """All questions, at the gateway."""
    return LineRule(
        asks=tuple(LineQuestion),
        timeout_ms=300,
        remember_seconds=1_800,
        remember_unknown_seconds=60,
        sim_swap_hours=72,
        device_swap_hours=48,
        base_url=f"{server.url}/",
        access_url=f"{server.url}{ACCESS}",
    )


@pytest.fixture
def desk(rule: LineRule, http: HttpClient, memory: Memory) -> OperatorDesk:
    """Who asks."""
    return desk_with(rule, http, memory)


def desk_with(rule: LineRule, http: HttpClient, memory: Memory, secret: str = CLIENT_SECRET) -> OperatorDesk:
    """Who asks by another rule."""
    client = OperatorClient(CLIENT_ID, Secret(secret))
    return OperatorDesk(rule, client, http=http, memory=memory, keyring=KEYRING, clock=SystemClock())


async def test_every_question_is_asked_as_it_is_defined(
    desk: OperatorDesk, gateway: Gateway, server: RudeServer, memory: Memory
) -> None:
    """Paths, scopes, bodies: the gateway would refuse anything else. One access key serves all."""
    gateway.lines[NUMBER.e164][SIM_SWAP] = gateway.lines[NUMBER.e164][CALL_FORWARDING] = True
    answers = await desk.ask(NUMBER, known_since=SINCE)
    assert answers == {
        LineQuestion.SIM_SWAP: YES,
        LineQuestion.DEVICE_SWAP: NO,
        LineQuestion.CALL_FORWARDING: YES,
        LineQuestion.NUMBER_RECYCLING: NO,
    }
    assert sorted(gateway.asked) == sorted(OPERATIONS)
    assert len(gateway.granted) == 1
    bodies = {request.path: request.json() for request in server.requests if request.path != ACCESS}
    assert bodies[SIM_SWAP] == {"phoneNumber": NUMBER.e164, "maxAge": 72}
    assert bodies[DEVICE_SWAP] == {"phoneNumber": NUMBER.e164, "maxAge": 48}
    assert bodies[CALL_FORWARDING] == {"phoneNumber": NUMBER.e164}
    assert bodies[NUMBER_RECYCLING] == {"phoneNumber": NUMBER.e164, "specifiedDate": "2024-10-31"}
    assert {seconds for _, seconds in memory.kept.values()} == {1_800}


async def test_an_answer_is_remembered_under_a_pseudonym(
    desk: OperatorDesk, gateway: Gateway, memory: Memory
) -> None:
    """The second challenge asks nobody; no number stands in what is remembered."""
    first = await desk.ask(NUMBER, known_since=SINCE)
    assert await desk.ask(NUMBER, known_since=SINCE) == first
    assert len(gateway.asked) == len(OPERATIONS)
    assert all(NUMBER.e164[1:] not in pseudonym for pseudonym, _ in memory.kept)


async def test_whether_a_number_was_recycled_is_asked_since_a_date(
    desk: OperatorDesk, gateway: Gateway
) -> None:
    """Without one there is no such question; another date is another question."""
    answers = await desk.ask(NUMBER, known_since=None)
    assert answers[LineQuestion.NUMBER_RECYCLING] == NOT_ASKED
    assert NUMBER_RECYCLING not in gateway.asked
    await desk.ask(NUMBER, known_since=SINCE)
    await desk.ask(NUMBER, known_since=date(2025, 1, 1))
    assert gateway.asked.count(NUMBER_RECYCLING) == 2


async def test_only_what_the_policy_asks_is_asked(
    rule: LineRule, http: HttpClient, memory: Memory, gateway: Gateway
) -> None:
    """Each question costs money; scopes are asked for these alone."""
    desk = desk_with(replace(rule, asks=(LineQuestion.SIM_SWAP,)), http, memory)
    answers = await desk.ask(NUMBER, known_since=SINCE)
    assert answers == dict.fromkeys(LineQuestion, NOT_ASKED) | {LineQuestion.SIM_SWAP: NO}
    assert gateway.asked == [SIM_SWAP]
    assert gateway.scope == "sim-swap:check"


async def test_a_line_that_the_operator_cannot_speak_of_is_not_applicable(
    desk: OperatorDesk, gateway: Gateway, memory: Memory
) -> None:
    """404 for another operator's number, 422 for a landline: an answer of its own, believed for the shorter time."""
    gateway.lines[NUMBER.e164] = {SIM_SWAP: False}
    answers = await desk.ask(NUMBER, known_since=SINCE)
    assert answers == dict.fromkeys(LineQuestion, NOT_APPLICABLE) | {LineQuestion.SIM_SWAP: NO}
    other = PhoneNumber.parse("+4915112345679")
    assert set((await desk.ask(other, known_since=SINCE)).values()) == {NOT_APPLICABLE}
    seconds = {kept[1] for (_, one), kept in memory.kept.items() if one is LineQuestion.DEVICE_SWAP}
    assert seconds == {60}


@pytest.mark.parametrize(
    "odd",
    [
        Answer(400, {"status": 400, "code": "OUT_OF_RANGE", "message": "30 days"}),
        Answer(403, {"status": 403, "code": "PERMISSION_DENIED", "message": ""}),
        Answer(429, {"status": 429, "code": "QUOTA_EXCEEDED", "message": ""}),
        Answer(500, "oops"),
        Answer(500, {"swapped": False}),
        Answer(207, {"swapped": False}),
        Answer(200, "oops"),
        Answer(200, b"\xff\xfe"),
        Answer(200, {}),
        Answer(200, {"swapped": "false"}),
        Answer(200, {"swapped": None}),
        Answer(200, "[" * 20_000),
    ],
    ids=lambda odd: f"{odd.status}-{str(odd.body)[:12]}",
)
async def test_what_is_no_answer_is_a_fact_of_its_own(
    desk: OperatorDesk, gateway: Gateway, odd: Answer
) -> None:
    """It is never taken for a no; the other questions are answered all the same."""
    gateway.odd[SIM_SWAP] = odd
    answers = await desk.ask(NUMBER, known_since=SINCE)
    assert answers == dict.fromkeys(LineQuestion, NO) | {LineQuestion.SIM_SWAP: NO_ANSWER}


async def test_one_silent_line_leaves_the_others_asked(desk: OperatorDesk, gateway: Gateway) -> None:
    """Whoever owns a number that nobody answers for would else blind the question about everybody's SIM."""
    victim = "+4915112345679"
    gateway.lines[victim] = dict.fromkeys(OPERATIONS, False) | {SIM_SWAP: True}
    odd = dict.fromkeys(OPERATIONS, Answer(500, ""))
    for silent in range(camara.SILENT_LINES - 1):
        gateway.odd = odd
        answers = await desk.ask(PhoneNumber.parse(f"+491511234560{silent}"), known_since=SINCE)
        assert set(answers.values()) == {NO_ANSWER}
    gateway.odd = {}
    assert (await desk.ask(PhoneNumber.parse(victim), known_since=SINCE))[LineQuestion.SIM_SWAP] == YES
    gateway.odd = odd  # who was answered in between has broken the row
    await desk.ask(PhoneNumber.parse("+4915112345610"), known_since=SINCE)
    gateway.odd = {}
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO}


async def test_an_operator_who_is_late_is_not_waited_for(
    desk: OperatorDesk,
    gateway: Gateway,
    server: RudeServer,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All questions end at the rule's time-out, and the next ones are not asked at once."""
    monkeypatch.setattr(camara, "SILENT_LINES", 1)
    server.delay_next(HANGS_SECONDS)
    async with asyncio.timeout(HANGS_SECONDS / 2):
        answers = await desk.ask(NUMBER, known_since=SINCE)
    assert set(answers.values()) == {NO_ANSWER}
    assert {seconds for _, seconds in memory.kept.values()} == {60}
    other = PhoneNumber.parse("+4915112345679")
    assert set((await desk.ask(other, known_since=SINCE)).values()) == {NO_ANSWER}
    assert len(server.requests) == 1


async def test_after_its_rest_an_operator_is_asked_again(
    desk: OperatorDesk, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another line, that is: that there was no answer for this one is remembered for its time."""
    monkeypatch.setattr(camara, "REST_SECONDS", 0.0)
    gateway.odd = dict.fromkeys(OPERATIONS, Answer(500, ""))
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO_ANSWER}
    gateway.odd = {}
    gateway.lines["+4915112345679"] = dict.fromkeys(OPERATIONS, False)
    other = PhoneNumber.parse("+4915112345679")
    assert set((await desk.ask(other, known_since=SINCE)).values()) == {NO}
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO_ANSWER}


async def test_without_its_memory_nobody_is_asked(
    desk: OperatorDesk, gateway: Gateway, memory: Memory
) -> None:
    """Each challenge would cost a question, and Redis has other things to do then."""
    memory.is_away = True
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO_ANSWER}
    assert gateway.asked == []


async def test_a_revoked_access_key_is_asked_for_anew(desk: OperatorDesk, gateway: Gateway) -> None:
    """Once; all questions then use the new one."""
    await desk.ask(NUMBER, known_since=None)
    gateway.revoked.update(gateway.granted)
    gateway.lines["+4915112345679"] = dict.fromkeys(OPERATIONS, True)
    answers = await desk.ask(PhoneNumber.parse("+4915112345679"), known_since=SINCE)
    assert set(answers.values()) == {YES}
    assert len(gateway.granted) == 2


async def test_an_access_key_that_is_about_to_end_is_not_used(desk: OperatorDesk, gateway: Gateway) -> None:
    """What ends within seconds might end under way."""
    gateway.expires_in = 5
    await desk.ask(NUMBER, known_since=None)
    await desk.ask(NUMBER, known_since=SINCE)
    assert len(gateway.granted) > 1


async def test_an_operator_that_never_takes_the_key_gives_no_answer(
    desk: OperatorDesk, gateway: Gateway
) -> None:
    """No loop: each question is asked twice at most."""
    refusal = Answer(401, {"status": 401, "code": "UNAUTHENTICATED", "message": ""})
    gateway.odd = dict.fromkeys(OPERATIONS, refusal)
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO_ANSWER}
    assert len(gateway.asked) <= 2 * len(OPERATIONS)


@pytest.mark.parametrize("odd", [Answer(500, ""), Answer(200, "oops"), Answer(200, {"expires_in": 3_600})])
async def test_without_access_nothing_is_asked(
    desk: OperatorDesk, server: RudeServer, gateway: Gateway, odd: Answer
) -> None:
    """An authorisation server that is down, or answers something else."""
    server.answer_by(lambda request: odd)
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO_ANSWER}
    assert gateway.asked == []


async def test_a_wrong_secret_is_told_nowhere(
    rule: LineRule, http: HttpClient, memory: Memory, gateway: Gateway
) -> None:
    """No error that leaves holds the secret, the number or the key."""
    desk = desk_with(rule, http, memory, secret="wr0ng-secret")
    with pytest.raises(ScaError) as caught:
        await desk._access.authorization()
    told = words_of(caught.value) + repr(desk._access._client)
    assert "wr0ng" not in told
    assert "Basic" not in told
    assert set((await desk.ask(NUMBER, known_since=SINCE)).values()) == {NO_ANSWER}


async def test_nobody_is_asked_where_the_policy_names_no_operator(
    rule: LineRule, http: HttpClient, memory: Memory, gateway: Gateway
) -> None:
    """Every answer says so; with an operator we need to be known to it."""
    client = OperatorClient(CLIENT_ID, Secret(CLIENT_SECRET))
    clock = SystemClock()
    silent = replace(rule, base_url="", access_url="")
    desk = line_desk(silent, None, http=http, memory=memory, keyring=KEYRING, clock=clock)
    assert isinstance(desk, NobodyAsked)
    assert await desk.ask(NUMBER, known_since=SINCE) == dict.fromkeys(LineQuestion, NOT_ASKED)
    asking = line_desk(rule, client, http=http, memory=memory, keyring=KEYRING, clock=clock)
    assert set((await asking.ask(NUMBER, known_since=SINCE)).values()) == {NO}
    with pytest.raises(ConfigurationError, match="client id and a secret"):
        line_desk(rule, None, http=http, memory=memory, keyring=KEYRING, clock=clock)
