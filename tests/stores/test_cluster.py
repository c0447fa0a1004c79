"""A cluster of six nodes: every command finds the node that decides, also while slots move."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions

from sca_service.challenges.model import ChallengeId
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.custody.redis_store import HotStore
from sca_service.delivery.redis_store import RedisDueSignal
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable
from sca_service.kernel.redis.commands import Command, Script, slot_of
from sca_service.kernel.redis.replicas import ReplicaRule
from tests.storeroom import answered, eventually, issued, new_payer
from tests.stores.test_keys import play
from tests.valkeys import Node, ValkeyCluster, await_following, await_that

_PARTITION = 7
_SLOT = slot_of(f"{{p{_PARTITION:02d}}}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """Three primaries, each with a replica."""
    cluster = ValkeyCluster()
    try:
        cluster.start(tmp_path_factory.mktemp("cluster"))
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def redis(cluster: ValkeyCluster) -> AsyncIterator[RedisConnection]:
    """A connection to the cluster."""
    connection = RedisConnection(cluster.url)
    yield connection
    await connection.close()


@pytest.fixture
def store(redis: RedisConnection) -> ChallengeStore:
    """The scripts of the challenges, on the cluster."""
    return ChallengeStore(redis)


def owner_of(cluster: ValkeyCluster, slot: int) -> Node:
    """The primary that owns a slot."""
    for node in cluster.nodes:
        try:
            own = node.client.execute_command("CLUSTER NODES")
        except exceptions.ConnectionError:  # it is the one that was killed
            continue
        (me,) = (one for one in own.values() if "myself" in one["flags"])
        if any(int(first) <= slot <= int(last[0] if last else first) for first, *last in me["slots"]):
            return node
    raise AssertionError("nobody owns the slot")


def another_primary(cluster: ValkeyCluster, node: Node) -> Node:
    """A primary that is not this one."""
    return next(one for one in cluster.nodes if one is not node and one.role()["role"] == "master")


def id_of(node: Node) -> str:
    """What the cluster calls a node."""
    return str(node.client.execute_command("CLUSTER", "MYID").decode())


async def approvals_while(
    store: ChallengeStore, under_way: Callable[[], Awaitable[Any]]
) -> list[tuple[ChallengeId, int]]:
    """How often each challenge of a partition was approved, with four right answers at a time, meanwhile."""
    approvals: list[tuple[ChallengeId, int]] = []
    is_over = asyncio.Event()

    async def one_after_the_other() -> None:
        while not is_over.is_set():
            with contextlib.suppress(StoreUnavailable):
                challenge = await issued(store, new_payer(_PARTITION))
                asked = (answered(store, challenge, right=True) for _ in range(4))
                replies = await asyncio.gather(*asked, return_exceptions=True)
                faults = [reply for reply in replies if isinstance(reply, BaseException)]
                assert all(isinstance(fault, StoreUnavailable) for fault in faults), [
                    fault.__cause__.args if fault.__cause__ else fault for fault in faults
                ]
                count = sum(getattr(reply, "word", "") == "approved" for reply in replies)
                approvals.append((challenge, count))

    load = [asyncio.create_task(one_after_the_other()) for _ in range(4)]
    await eventually(lambda: _is(len(approvals) > 20))
    await under_way()
    reached = len(approvals)
    await eventually(lambda: _is(len(approvals) > reached + 20))
    is_over.set()
    await asyncio.gather(*load)
    return approvals


def assert_once_each(approvals: list[tuple[ChallengeId, int]]) -> None:
    """None was approved twice; and each of the last ones was, when nothing stood in the way any more."""
    counts = [count for _, count in approvals]
    assert set(counts) <= {0, 1}
    assert counts[-10:] == [1] * 10


async def _is(claim: bool) -> bool:
    return claim


async def test_every_script_runs(redis: RedisConnection, store: ChallengeStore) -> None:
    """A node refuses a script that touches a slot of others: none does, along all of its ways."""
    await play(redis)
    challenge = await issued(store, new_payer())
    assert (await answered(store, challenge, right=True)).word == "approved"


async def test_a_script_that_touches_what_it_was_not_told_of_is_found(
    redis: RedisConnection, tmp_path: Path
) -> None:
    """The negative control: such a script runs on one server, and not on a cluster."""
    path = tmp_path / "reaching.lua"
    path.write_text("return redis.call('GET', 'elsewhere:' .. ARGV[1])", "utf-8")
    script = Script.read(path)
    replies = await asyncio.gather(
        *(redis.call(script, (f"here:{number}",), (number,)) for number in range(20)), return_exceptions=True
    )
    assert any(
        isinstance(reply, ScaError) for reply in replies
    )  # where the node has both slots it lets it pass


async def test_what_has_no_key_is_asked_of_every_node(redis: RedisConnection, store: ChallengeStore) -> None:
    """Looking at all keys, the clock, the check at start, commands to many nodes for one wait."""
    await redis.ready()
    challenges = [await issued(store, new_payer(partition)) for partition in range(64)]
    keys = [key async for some in redis.find_keys("{p[0-9][0-9]}:challenge:*", at_once=100) for key in some]
    assert {challenge.text for challenge in challenges} <= {key.rpartition(b":")[2].decode() for key in keys}
    assert sum((await HotStore(redis).challenges()).values()) >= 64
    asked = [Command(("EXISTS", key)) for key in keys]
    assert await redis.all(asked) == [1] * len(keys)
    with pytest.raises(ScaError):
        await redis.all([*asked, Command(("LPUSH", keys[0], "1"))])
    assert abs(await redis.now_ms() - await redis.now_ms("a key")) < 60_000


async def test_an_evicting_node_is_found_at_start(cluster: ValkeyCluster, redis: RedisConnection) -> None:
    """One of three primaries that forgets is one too many."""
    node = owner_of(cluster, _SLOT)
    node.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match="noeviction"):
            await redis.ready()
    finally:
        node.client.config_set("maxmemory-policy", "noeviction")


async def test_what_is_due_is_heard_at_any_node(redis: RedisConnection, store: ChallengeStore) -> None:
    """A worker hears of the partition wherever it listens."""
    signal, stop = RedisDueSignal(redis), asyncio.Event()
    listening = asyncio.create_task(signal.listen(stop))
    payer = new_payer(_PARTITION)
    heard: set[int] = set()
    async with asyncio.timeout(60):
        while _PARTITION not in heard:
            state = await store.get(await issued(store, payer))
            assert state is not None
            await store.release(state)
            heard |= await signal.wait(0.2)
    stop.set()
    await listening


async def test_after_a_slot_has_moved_every_call_finds_it(
    cluster: ValkeyCluster, store: ChallengeStore
) -> None:
    """MOVED says that a command was not run: it is sent again, and no answer is refused or counted twice."""
    source = owner_of(cluster, _SLOT)
    target = another_primary(cluster, source)

    async def move() -> None:
        slots: tuple[Any, ...] = ("SLOTSRANGE", _SLOT, _SLOT, "NODE", id_of(target))
        await asyncio.to_thread(source.client.execute_command, "CLUSTER", "MIGRATESLOTS", *slots)
        await asyncio.to_thread(
            await_that, lambda: owner_of(cluster, _SLOT) is target, "the slot on the other node"
        )

    idle = RedisConnection(cluster.url)
    await idle.command("GET", f"{{p{_PARTITION:02d}}}:nothing")  # it knows where the slot is
    approvals = await approvals_while(store, move)
    assert_once_each(approvals)
    assert (
        await idle.command("GET", f"{{p{_PARTITION:02d}}}:nothing") is None
    )  # its first call follows the slot
    await idle.close()


async def test_while_a_slot_moves_key_by_key_each_answer_counts_once(
    cluster: ValkeyCluster, redis: RedisConnection, store: ChallengeStore
) -> None:
    """ASK and TRYAGAIN: keys lie on two nodes for a while. What cannot be decided then is 503, and decided later."""
    source = owner_of(cluster, _SLOT)
    target = another_primary(cluster, source)
    kept = f"{{p{_PARTITION:02d}}}:test:{new_payer()}"
    await redis.command("SET", kept, "there", "PX", 60_000)
    told: list[bytes] = []

    async def move() -> None:
        target.client.execute_command("CLUSTER", "SETSLOT", _SLOT, "IMPORTING", id_of(source))
        source.client.execute_command("CLUSTER", "SETSLOT", _SLOT, "MIGRATING", id_of(target))
        while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", _SLOT, 3):
            where = ("127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
            await asyncio.to_thread(source.client.execute_command, "MIGRATE", *where)
        told.append(await redis.command("GET", kept))  # the slot is still the source's: it answers ASK
        for node in (target, source):
            node.client.execute_command("CLUSTER", "SETSLOT", _SLOT, "NODE", id_of(target))

    approvals = await approvals_while(store, move)
    assert told == [b"there"]
    assert_once_each(approvals)


async def test_after_a_primary_has_died_no_answer_counts_again(cluster: ValkeyCluster) -> None:
    """Killed under load; its replica takes over. What was approved stays so, and others are approved once more."""
    connection = RedisConnection(cluster.url, replicas=ReplicaRule(count=1, must_have=1, wait_ms=300))
    store = ChallengeStore(connection)
    killed = owner_of(cluster, _SLOT)

    def fail_over() -> None:
        for node in cluster.nodes:
            node.client.config_set("cluster-node-timeout", 500)
        killed.signal(signal.SIGKILL)
        await_that(lambda: owner_of(cluster, _SLOT) is not killed, "another owner")
        killed.start()
        await_following([killed])

    try:
        approvals = await approvals_while(store, lambda: asyncio.to_thread(fail_over))
        assert_once_each(approvals)
        for challenge, count in approvals:
            if count:
                assert (await answered(store, challenge, right=True)).word == "already_used"
    finally:
        await connection.close()
