"""The connection to Redis: scripts, refusals, deadlines, and what happens when the server is away."""

import asyncio
from pathlib import Path

import pytest

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import ConfigurationError, ScaError, StoreUnavailable
from sca_service.kernel.redis.commands import Command, Script
from sca_service.sandbox.servers import ValkeyProcess
from tests.faults.cuts import stopped
from tests.harness import Deployment
from tests.storeroom import new_payer

pytestmark = pytest.mark.one_server


@pytest.fixture
def counting(tmp_path: Path) -> Script:
    """A script that counts its runs."""
    path = tmp_path / "counting.lua"
    path.write_text("return redis.call('INCRBY', KEYS[1], ARGV[1])", "utf-8")
    return Script.read(path)


async def test_a_script_runs_though_redis_has_never_heard_of_it(
    redis: RedisConnection, counting: Script
) -> None:
    """NOSCRIPT is answered by loading the script and asking again."""
    await redis.command("SCRIPT", "FLUSH")
    assert await redis.call(counting, (f"test:{new_payer()}",), (7,)) == 7


async def test_after_a_script_flush_each_call_still_runs_once(
    redis: RedisConnection, counting: Script
) -> None:
    """A failover forgets all scripts while many calls share a pipeline with plain commands."""
    key = f"test:{new_payer()}"
    await redis.call(counting, (key,), (0,))
    await redis.command("SCRIPT", "FLUSH")
    calls = [redis.call(counting, (key,), (1,)) for _ in range(200)]
    commands = [redis.command("INCRBY", key, 1) for _ in range(100)]
    replies = await asyncio.gather(*calls, *commands)
    assert sorted(replies) == list(range(1, 301))


async def test_each_of_many_callers_gets_its_own_reply(redis: RedisConnection) -> None:
    """Sharing a pipeline never mixes up who asked what."""
    replies = await asyncio.gather(*(redis.command("ECHO", f"{number}") for number in range(2_000)))
    assert [int(reply) for reply in replies] == list(range(2_000))


async def test_who_is_answered_has_it_though_the_next_in_the_pipeline_is_late(redis: RedisConnection) -> None:
    """Replies are told as they come, also beside commands that are answered together; none is taken back."""
    before = redis.submit_command("ECHO", "before")
    together = asyncio.ensure_future(redis.all([Command(("ECHO", "one")), Command(("ECHO", "two"))]))
    await asyncio.sleep(0)  # it is submitted
    after = redis.submit_command("ECHO", "after")
    late = redis.submit_command("BLPOP", f"test:{new_payer()}", 0)
    replies = await asyncio.gather(before, together, after, late, return_exceptions=True)
    assert [replies[0], replies[2]] == [b"before", b"after"]
    assert all(isinstance(replies[place], StoreUnavailable) for place in (1, 3))


async def test_who_gives_up_waiting_harms_nobody_beside(redis: RedisConnection) -> None:
    """Their own answer is dropped; the connection stays, and others have theirs."""
    identity = await redis.command("CLIENT", "ID")
    asked = [asyncio.ensure_future(redis.command("ECHO", f"{number}")) for number in range(100)]
    for _ in range(3):
        await asyncio.sleep(0)  # they are under way
    for one in asked[::2]:
        one.cancel()
    replies = await asyncio.gather(*asked, return_exceptions=True)
    assert replies[1::2] == [b"%d" % number for number in range(1, 100, 2)]
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])
    assert await redis.command("CLIENT", "ID") == identity


async def test_a_refused_command_is_our_fault_and_harms_no_other(redis: RedisConnection) -> None:
    """A wrong command is no reason to say that the store is away, nor to fail those beside it."""
    key = f"test:{new_payer()}"
    commands = [("SET", key, "text", "PX", "60000"), ("LPUSH", key, "1"), ("GET", key)]
    replies = await asyncio.gather(*(redis.command(*command) for command in commands), return_exceptions=True)
    assert replies[2] == b"text"
    assert isinstance(replies[1], ScaError)
    assert not isinstance(replies[1], StoreUnavailable)


async def test_a_server_without_memory_is_away(redis: RedisConnection) -> None:
    """`noeviction` refuses writes when full: that is 503, not an internal error."""
    limit = (await redis.command("CONFIG", "GET", "maxmemory"))[1]
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await redis.command("SET", f"test:{new_payer()}", "1")
    finally:
        await redis.command("CONFIG", "SET", "maxmemory", limit)


async def test_a_server_that_evicts_is_refused(redis: RedisConnection) -> None:
    """Eviction would forget attempts, so the service does not start on it."""
    await redis.ready()
    await redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match="noeviction"):
            await redis.ready()
    finally:
        await redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await redis.ready()


async def test_a_server_that_is_not_there_is_away(tmp_path: Path) -> None:
    """No socket, no answer: every caller is told so."""
    redis = RedisConnection(f"unix://{tmp_path / 'none.sock'}")
    replies = await asyncio.gather(*(redis.command("PING") for _ in range(5)), return_exceptions=True)
    await redis.close()
    assert all(isinstance(reply, StoreUnavailable) for reply in replies)


async def test_after_a_late_reply_nobody_gets_another_ones(
    redis: RedisConnection, quiet_stores: Deployment
) -> None:
    """A server that hangs is away; once it is back, a reply that comes late is nobody's."""
    await redis.command("PING")  # there is a connection, on which the server will answer late
    with stopped(quiet_stores.servers.valkey.pid):
        asked = (redis.command("ECHO", "late") for _ in range(10))
        late = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(reply, StoreUnavailable) for reply in late)
        asking = asyncio.gather(*(redis.command("ECHO", f"{number}") for number in range(100)))
        await asyncio.sleep(
            0.05
        )  # these are sent before the late replies come, which a line left open would bring
    replies = await asking
    assert [int(reply) for reply in replies] == list(range(100))


async def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    """Recovery needs no restart of ours (architecture, decision 7)."""
    valkey = ValkeyProcess()
    valkey.start(tmp_path)
    redis = RedisConnection(valkey.url)
    try:
        await redis.command("SET", "test:kept", "1", "PX", 60_000)
        await asyncio.to_thread(valkey.kill)
        with pytest.raises(StoreUnavailable):
            await redis.command("GET", "test:kept")
        await asyncio.to_thread(valkey.start, tmp_path)
        assert await redis.command("ECHO", "back") == b"back"
    finally:
        await redis.close()
        await asyncio.to_thread(valkey.stop)
