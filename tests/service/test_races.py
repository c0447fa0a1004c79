"""What arrives at once: two api processes, many answers, and one decision.

What is asserted of parallel right answers is asserted of a broken version as well, read-then-write in place of the
script, with and without the guard `acceptances` behind it. It has to fail there before it counts here.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from sca_service.audit.model import AuditEvent
from sca_service.audit.private.commitments import PrivateValues
from sca_service.challenges import code
from sca_service.challenges.answer import Answer
from sca_service.challenges.authentication_code import AuthenticationCodeSigner
from sca_service.challenges.evaluate import Evaluator
from sca_service.challenges.issue import Caller
from sca_service.challenges.model import ChallengeId, Status
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers, Reply
from sca_service.challenges.script_input import UNSIGNED, KeptAnswer
from sca_service.challenges.verify import Verifier
from sca_service.core import Core, open_core
from sca_service.kernel.ids import new_id
from sca_service.kernel.transaction import Transaction
from sca_service.limits.calm import Calm
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import LockoutPolicy
from sca_service.settings import read_settings
from tests.harness import TRANSACTION, Bank, Deployment, Role, order, unique_psu, wrong
from tests.valkeys import raw_async_client
from tests.volley import Post, Volley

pytestmark = pytest.mark.race

ROUNDS = 100
ANSWERS = 50
AnswerOnce = Callable[[], Awaitable[str]]


@pytest.fixture(scope="module")
def second_api(service: Deployment) -> Iterator[Role]:
    """Another api process beside the first."""
    role = service.start("api")
    yield role
    role.stop()
    service.forget(role)


@pytest.fixture
async def banks(service: Deployment, second_api: Role) -> AsyncIterator[tuple[Bank, Bank]]:
    """A bank whose requests reach one api process, and one whose requests reach the other."""
    async with service.bank() as one, service.bank(url=second_api.url) as other:
        yield one, other


def _right_code(service: Deployment, challenge: dict[str, Any]) -> str:
    parsed = ChallengeId.parse(challenge["id"])
    assert parsed is not None
    return code.derive(service.keyring, parsed, challenge["transaction"]["digest"]).reveal()


def _right_answer(service: Deployment, challenge: dict[str, Any]) -> Post:
    body = {"code": _right_code(service, challenge), "transaction": TRANSACTION}
    return Post(f"/v1/challenges/{challenge['id']}/verify", body)


async def _outcomes(answers: list[AnswerOnce]) -> Counter[str]:
    return Counter(await asyncio.gather(*(answer() for answer in answers)))


def _assert_one_is_approved(outcomes: Counter[str]) -> None:
    assert outcomes == {"approved": 1, "already_used": ANSWERS - 1}


async def test_of_fifty_parallel_right_answers_one_is_approved(service: Deployment, second_api: Role) -> None:
    """In a hundred rounds over two api processes exactly one of fifty right answers is approved, each time.

    Two challenges at a time, so that the answers to one are among those to the other.
    """
    urls = [service.api.url, second_api.url]
    async with Volley(urls, service.keys["bank"], connections=2 * ANSWERS) as volley:
        issued = await volley.fire([Post("/v1/challenges", order()) for _ in range(2 * ANSWERS)])
        assert {reply.status for reply in issued} == {201}
        challenges = [reply.body for reply in issued]
        assert len(challenges) == ROUNDS
        for pair in zip(challenges[::2], challenges[1::2], strict=True):
            posts = [_right_answer(service, challenge) for challenge in pair]
            replies = await volley.fire(posts * ANSWERS)
            for number in range(2):
                _assert_one_is_approved(Counter(reply.body["outcome"] for reply in replies[number::2]))


async def test_read_then_write_accepts_a_code_many_times(bank: Bank, service: Deployment) -> None:
    """Without the script, and without the guard behind it, what is asserted above does not hold."""
    challenge = await bank.issue()
    right = _right_code(service, challenge)
    async with _broken_verifier(service, UnguardedRecorder) as (verifier, _):
        outcomes = await _outcomes([_in_process(verifier, challenge, right) for _ in range(ANSWERS)])
    assert outcomes["approved"] > 1
    with pytest.raises(AssertionError):
        _assert_one_is_approved(outcomes)


async def test_the_acceptances_are_a_guard_of_their_own(bank: Bank, service: Deployment) -> None:
    """Read-then-write accepts one code many times, and PostgreSQL lets one of these through."""
    challenge = await bank.issue()
    right = _right_code(service, challenge)
    async with _broken_verifier(service, Recorder) as (verifier, store):
        outcomes = await _outcomes([_in_process(verifier, challenge, right) for _ in range(ANSWERS)])
    assert store.accepted > 1
    _assert_one_is_approved(outcomes)


async def test_of_a_hundred_parallel_wrong_answers_five_are_counted(
    banks: tuple[Bank, Bank], service: Deployment
) -> None:
    """Five of a hundred wrong answers at once are incorrect, all others blocked, and the right code after them too."""
    challenge = await banks[0].issue()
    right = _right_code(service, challenge)
    answers = [_over_http(banks[number % 2], challenge["id"], wrong(right)) for number in range(100)]
    assert await _outcomes(answers) == {"incorrect": 5, "blocked": 95}
    assert (await banks[1].verify(challenge["id"], right))["outcome"] == "blocked"
    async with service.bank(client="auditor") as auditor:
        params = {"challenge": challenge["id"], "type": "challenge.answered", "limit": "200"}
        events = (await auditor.http.get("/v1/audit/events", params=params)).json()["data"]
    assert Counter(event["outcome"] for event in events) == {"incorrect": 5, "blocked": 96}


async def test_wrong_answers_over_many_challenges_count_as_one_payers(
    banks: tuple[Bank, Bank], service: Deployment
) -> None:
    """Guessing at ten challenges of one payer at once gives five guesses, not fifty (RTS Art. 4(3)(b))."""
    psu = unique_psu()
    challenges = [await banks[0].issue(psu=psu) for _ in range(10)]
    answers = [
        _over_http(banks[number % 2], challenge["id"], wrong(_right_code(service, challenge)))
        for challenge in challenges
        for number in range(5)
    ]
    assert await _outcomes(answers) == {"incorrect": 5, "blocked": 45}


@pytest.mark.parametrize("subject", ["payer", "phone"])
async def test_a_limit_lets_exactly_its_burst_through(banks: tuple[Bank, Bank], subject: str) -> None:
    """Of sixty challenges asked for at once, for one payer or one number, thirty are issued and thirty refused."""
    same = unique_psu()
    key = "id" if subject == "payer" else "phone"
    bodies = [order(psu=unique_psu() | {key: same[key]}) for _ in range(60)]
    began = time.monotonic()
    responses = await asyncio.gather(
        *(banks[number % 2].http.post("/v1/challenges", json=body) for number, body in enumerate(bodies))
    )
    statuses = Counter(response.status_code for response in responses)
    regained = int((time.monotonic() - began) / 20)  # one more every 20 s, should the machine be that slow
    assert 30 <= statuses[201] <= 30 + regained
    assert statuses[201] + statuses[429] == 60
    assert all(int(one.headers["Retry-After"]) >= 1 for one in responses if one.status_code == 429)


async def test_of_parallel_requests_for_the_next_channel_one_steps(banks: tuple[Bank, Bank]) -> None:
    """Ten taps on `send again` send one message more."""
    psu = unique_psu()
    channels = [{"channel": "push"}, {"channel": "sms"}, {"channel": "voice"}]
    challenge = await banks[0].issue(psu=psu, channels=channels)
    responses = await asyncio.gather(
        *(
            banks[number % 2].http.post(f"/v1/challenges/{challenge['id']}/next", json={})
            for number in range(10)
        )
    )
    assert Counter(response.status_code for response in responses) == {200: 1, 429: 9}


async def test_the_same_request_twice_at_once_issues_one_challenge(banks: tuple[Bank, Bank]) -> None:
    """Two requests with one Idempotency-Key on two processes: one challenge, one message."""
    psu = unique_psu()
    body, headers = order(psu=psu), {"Idempotency-Key": new_id("key")}
    responses = await asyncio.gather(
        *(banks[number % 2].http.post("/v1/challenges", json=body, headers=headers) for number in range(8))
    )
    assert {response.status_code for response in responses} <= {201, 409}
    ids = {response.json()["id"] for response in responses if response.status_code == 201}
    again = await banks[1].http.post("/v1/challenges", json=body, headers=headers)
    assert ids == {again.json()["id"]}
    await banks[0].settled(again.json()["id"])
    assert len(await banks[0].messages(psu["phone"])) == 1


def _over_http(bank: Bank, challenge: str, presented: str) -> AnswerOnce:
    async def answer() -> str:
        return str((await bank.verify(challenge, presented))["outcome"])

    return answer


def _in_process(verifier: Verifier, challenge: dict[str, Any], presented: str) -> AnswerOnce:
    parsed = ChallengeId.parse(challenge["id"])
    assert parsed is not None
    members = {name: value for name, value in challenge["transaction"].items() if name != "digest"}
    canonical = msgspec.json.encode(members, order="sorted")
    transaction = Transaction.from_canonical(canonical)

    async def answer() -> str:
        verified = await verifier.verify(
            Caller("bank", new_id("req")), parsed, Answer(code.parse_code(presented), transaction)
        )
        return verified.outcome.value

    return answer


class ReadThenWriteStore(ChallengeStore):
    """What the script replaces: read the state, decide in Python, write the state."""

    def __init__(self, redis: Redis, core: Core) -> None:
        super().__init__(core.redis)
        self._plain = redis
        self.accepted = 0

    async def answer(
        self,
        challenge: ChallengeId,
        head: EventMembers,
        *,
        client: str,
        code_matches: bool,
        digest: str,
        answer_key: str,
        lockout: LockoutPolicy,
        device: str = "",
        signed: KeptAnswer = UNSIGNED,
    ) -> Reply:
        state = await self.get(challenge)
        assert state is not None
        assert code_matches and digest == state.digest
        if state.status is not Status.PENDING:
            outcome = "already_used"
        else:
            self.accepted += 1
            outcome, state.status, state.revision = "approved", Status.APPROVED, state.revision + 1
            state.settled_at, state.answer_event = state.created_at, new_id("evt")
            key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
            await self._plain.set(key, msgspec.msgpack.encode(state), keepttl=True)
        event = AuditEvent.create(
            event_id=state.answer_event or new_id("evt"),
            kind="challenge.answered",
            at_ms=state.created_at,
            members={"client": client, "challenge": state.id, "outcome": outcome},
        )
        return Reply(outcome, state, (event,))


class UnguardedRecorder(Recorder):
    """Takes no notice of what the acceptances say."""

    async def commit(
        self,
        partition: int,
        reply: Reply,
        *,
        with_snapshot: bool = True,
        private: tuple[PrivateValues, ...] = (),
    ) -> bool:
        await super().commit(partition, reply, with_snapshot=with_snapshot, private=private)
        return True


@asynccontextmanager
async def _broken_verifier(
    service: Deployment, kind: type[Recorder]
) -> AsyncIterator[tuple[Verifier, ReadThenWriteStore]]:
    settings = read_settings(service.config(service.api.port))
    async with open_core(settings) as core, raw_async_client(service.servers.valkey.url) as redis:
        store = ReadThenWriteStore(redis, core)
        verifier = Verifier(
            policy=core.policy,
            keyring=settings.keyring,
            store=store,
            archive=core.archive,
            recorder=kind(writer=core.writer, outbox=core.outbox, archive=core.archive, store=core.store),
            signer=AuthenticationCodeSigner(settings.keyring, settings.issuer),
            conversions=core.router,
            evaluator=Evaluator(
                keyring=settings.keyring,
                store=store,
                generators=core.generators(),
                pins=core.pins(),
                passkeys=core.passkeys(),
            ),
            uses=core.generators(),
            assessor=core.assessor(),
            limits=LimitStore(core.redis),
            calm=Calm(LimitStore(core.redis), core.settings.keyring),
            clock=core.clock,
        )
        yield verifier, store
