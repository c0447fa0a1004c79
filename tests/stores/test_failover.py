"""A replica takes over: what was told stays told, and what may be lost is void. Nobody gets guesses back."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sca_service.challenges.redis_store import ChallengeStore, Reply
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ConfigurationError, StoreUnavailable
from sca_service.kernel.redis.replicas import NO_REPLICAS, ReplicaRule
from tests.ports import free_port
from tests.storeroom import answered, eventually, issued, new_payer
from tests.valkeys import Node, await_following, await_that, start_replicas

ONE = ReplicaRule(count=1, must_have=1, wait_ms=200)
"""An answer is told once the replica has it."""


class Pair:
    """A primary and its replica, and connections to them. A class because it closes what it opened."""

    def __init__(self, folder: Path) -> None:
        self.primary, self.replica = start_replicas(
            folder, 1, **{"min-replicas-to-write": "1", "min-replicas-max-lag": "10"}
        )
        self._connections: list[RedisConnection] = []

    @property
    def url(self) -> str:
        """Both of them."""
        return f"redis://{self.primary.address},{self.replica.address}"

    def connect(self, url: str = "", *, rule: ReplicaRule = NO_REPLICAS) -> RedisConnection:
        """A connection to both, or to what is named."""
        self._connections.append(RedisConnection(url or self.url, replicas=rule))
        return self._connections[-1]

    def store(self, *, rule: ReplicaRule = NO_REPLICAS) -> ChallengeStore:
        """The scripts of the challenges, as a process runs them that knows both."""
        return ChallengeStore(self.connect(rule=rule))

    def cut(self) -> None:
        """The replica hears nothing more; the primary decides on as long as it may."""
        self.primary.client.config_set("min-replicas-to-write", "0")
        self.replica.client.replicaof("127.0.0.1", free_port())

    def promote(self) -> None:
        """The replica takes over, with what it has."""
        self.replica.client.config_set("min-replicas-to-write", "0")
        self.replica.client.replicaof("NO", "ONE")

    def kill_primary(self) -> None:
        """As a crash would."""
        self.primary.signal(signal.SIGKILL)

    async def close(self) -> None:
        """Close all connections, end both."""
        for connection in self._connections:
            await connection.close()
        for node in (self.primary, self.replica):
            node.end()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A primary and its replica."""
    pair = await asyncio.to_thread(Pair, tmp_path)
    try:
        yield pair
    finally:
        await pair.close()


@pytest.fixture
def payer() -> str:
    """Somebody."""
    return new_payer()


async def once_there(store: ChallengeStore, payer: str) -> str:
    """The word of a payer's next challenge, issued as soon as somebody decides again."""
    words = []

    async def is_issued() -> bool:
        with contextlib.suppress(StoreUnavailable):
            await issued(store, payer)
            words.append("issued")
        return bool(words)

    await eventually(is_issued)
    return words[0]


async def lose_attempts(pair: Pair, store: ChallengeStore, payer: str) -> Reply:
    """Five wrong answers that the replica never hears of; it takes over, and the right code comes."""
    challenge = await issued(store, payer)
    pair.primary.client.wait(1, 10_000)
    pair.cut()
    for _ in range(5):
        assert (await answered(store, challenge, right=False)).word == "incorrect"
    assert (await answered(store, challenge, right=True)).word == "blocked"
    pair.kill_primary()
    pair.promote()
    await once_there(store, new_payer())
    return await answered(store, challenge, right=True)


async def test_attempts_that_were_lost_are_not_given_back(pair: Pair, payer: str) -> None:
    """RTS Art. 4(3)(b): the challenge is void, its event says why, and a new one can be had."""
    store = pair.store()
    reply = await lose_attempts(pair, store, payer)
    assert reply.word == "expired"
    assert '"reason":"failover"' in reply.events[0].body
    again = await issued(store, payer)
    assert (await answered(store, again, right=True)).word == "approved"


async def test_without_epochs_they_would_be(pair: Pair, payer: str) -> None:
    """The negative control: what is told of no failover approves after five wrong answers."""
    connection = pair.connect()
    connection.may_lose = False
    assert (await lose_attempts(pair, ChallengeStore(connection), payer)).word == "approved"


async def test_nothing_is_told_that_no_replica_has(pair: Pair, payer: str) -> None:
    """While the replica is cut off an answer is 503; what was told is there after a failover, and void is nothing."""
    store = pair.store(rule=ONE)
    challenge, other = await issued(store, payer), await issued(store, new_payer())
    for _ in range(3):
        assert (await answered(store, challenge, right=False)).word == "incorrect"
    pair.cut()
    with pytest.raises(StoreUnavailable):
        await answered(store, challenge, right=False)
    with pytest.raises(StoreUnavailable):
        await answered(store, other, right=True)
    assert await store.get(challenge) is not None  # what decides nothing is answered
    pair.kill_primary()
    await asyncio.to_thread(_as_told, pair)
    await once_there(store, new_payer())
    assert (await answered(store, challenge, right=False)).word == "incorrect"
    assert (await store.lockout(payer)).failures == 4
    assert (await answered(store, challenge, right=True)).word == "approved"


async def test_what_need_not_last_is_told_before_replicas_have_the_rest(pair: Pair) -> None:
    """In one pipeline: only what must outlive its server waits for them."""
    connection = pair.connect(f"redis://{pair.primary.address}", rule=ReplicaRule(1, 1, wait_ms=60_000))
    pair.cut()
    replies = await asyncio.gather(
        connection.command("SET", "lasts", "1", "PX", 60_000, lasts=True),
        connection.command("ECHO", "told"),
        return_exceptions=True,
    )
    assert replies[1] == b"told"
    assert isinstance(replies[0], StoreUnavailable)


def _as_told(pair: Pair) -> None:
    """Promote the replica, and give it a replica of its own, so that something can be told again."""
    pair.promote()
    pair.primary.start()
    pair.primary.await_answer()
    pair.primary.client.replicaof("127.0.0.1", pair.replica.port)
    await_following([pair.primary])
    await_that(lambda: int(pair.replica.role()["connected_slaves"]) == 1, "a replica")


async def test_a_primary_that_was_stopped_and_comes_back_accepts_nothing(pair: Pair, payer: str) -> None:
    """It does not know that it was replaced: nobody has what it decides, so nobody is told."""
    store = pair.store(rule=ONE)
    challenge = await issued(store, payer)
    pair.primary.client.wait(1, 10_000)
    late = ChallengeStore(pair.connect(f"redis://{pair.primary.address}", rule=ONE))
    assert await late.get(challenge) is not None  # a process that has heard of no other
    pair.primary.client.config_set("min-replicas-to-write", "0")  # which would refuse as well, a moment later
    pair.primary.signal(signal.SIGSTOP)
    pair.promote()
    pair.primary.signal(signal.SIGCONT)
    await asyncio.to_thread(pair.primary.await_answer)
    for right in (True, False, True):
        with pytest.raises(StoreUnavailable):
            await answered(late, challenge, right=right)


async def test_of_two_that_say_they_are_primary_the_successor_is_asked(pair: Pair) -> None:
    """The one that went on with the other's history."""
    pair.primary.client.config_set("min-replicas-to-write", "0")
    pair.promote()
    both = pair.connect()
    await both.command("SET", "asked", "1", "PX", 60_000)
    assert pair.replica.client.get("asked") == b"1"
    assert pair.primary.client.get("asked") is None


async def test_two_that_know_nothing_of_each_other_are_not_chosen_from(pair: Pair, tmp_path: Path) -> None:
    """A mistake in the URL must not divide what is kept."""
    stranger = Node(tmp_path)
    stranger.start()
    try:
        await asyncio.to_thread(stranger.await_answer)
        with pytest.raises(StoreUnavailable, match="exactly one"):
            await pair.connect(f"redis://{pair.primary.address},{stranger.address}").command("PING")
    finally:
        stranger.end()


async def test_a_primary_that_steps_down_is_left_without_an_error(pair: Pair) -> None:
    """READONLY says that nothing was run: the command goes to the new primary."""
    connection = pair.connect()
    await connection.command("SET", "before", "1", "PX", 60_000)
    pair.primary.client.wait(1, 10_000)
    pair.promote()
    pair.primary.client.replicaof("127.0.0.1", pair.replica.port)
    await connection.command("SET", "after", "1", "PX", 60_000)
    assert pair.replica.client.get("after") == b"1"


async def test_what_the_rule_asks_for_is_checked_at_start(pair: Pair) -> None:
    """A primary that would decide alone is refused, and too few replicas are waited for."""
    connection = pair.connect(rule=ONE)
    await connection.ready()
    pair.primary.client.config_set("min-replicas-to-write", "0")
    with pytest.raises(ConfigurationError, match="min-replicas"):
        await connection.ready()
    pair.primary.client.config_set("min-replicas-to-write", "1")
    pair.replica.client.replicaof("NO", "ONE")
    await_that(lambda: int(pair.primary.role()["connected_slaves"]) == 0, "no replica")
    with pytest.raises(StoreUnavailable, match="too few"):
        await pair.connect(f"redis://{pair.primary.address}", rule=ONE).ready()
