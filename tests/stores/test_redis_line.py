"""One ordered connection to Redis: several pipelines are on it at once, and fail together."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import hiredis
import pytest
import uvloop
from redis.asyncio.connection import BlockingConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.redis.line import Line
from tests.faults.cuts import until
from tests.harness import PATIENCE_SECONDS, Deployment
from tests.storeroom import new_payer

pytestmark = pytest.mark.one_server
_LONG = "x" * 10_000


@pytest.fixture
async def line(quiet_stores: Deployment) -> AsyncIterator[Line]:
    """A line to the embedded Valkey, with no deadline; at most two connections are there for it."""
    pool = BlockingConnectionPool.from_url(
        quiet_stores.servers.valkey.url,
        max_connections=2,
        timeout=PATIENCE_SECONDS,
        socket_timeout=None,
        protocol=2,
        driver_info=None,
    )
    line = Line(pool)
    yield line
    await line.close()
    await pool.disconnect()


def _send(line: Line, *commands: Sequence[str]) -> "asyncio.Task[list[Any]]":
    """A pipeline of its own, as it will be answered."""
    return asyncio.create_task(asyncio.wait_for(line.exchange(_packed(*commands)), PATIENCE_SECONDS))


def _packed(*commands: Sequence[str]) -> list[bytes]:
    each: list[tuple[Any, ...]] = [tuple(command) for command in commands]
    return [hiredis.pack_command(command) for command in each]


async def _until_it_waits(redis: RedisConnection, *, behind: int = 0) -> None:
    """Until a connection waits for a list, and the server has so many bytes of it."""

    async def waits() -> bool:
        for client in (await redis.command("CLIENT", "LIST")).splitlines():
            fields = dict(field.split(b"=", 1) for field in client.split())
            if fields[b"cmd"] == b"blpop" and int(fields[b"tot-net-in"]) >= behind:
                return True
        return False

    await until(waits, "the server waits for a list")


async def test_a_pipeline_leaves_before_the_one_before_it_is_answered(
    line: Line, redis: RedisConnection
) -> None:
    """While the server is at the first it has the others already; each gets its own replies, in order."""
    key = f"test:{new_payer()}"
    first = _send(line, ("ECHO", "a"), ("BLPOP", key, "0"), ("ECHO", "b"))
    others = [_send(line, ("ECHO", f"{number}"), ("ECHO", _LONG)) for number in range(3)]
    await _until_it_waits(redis, behind=3 * len(_LONG))
    assert not any(one.done() for one in (first, *others))
    await redis.command("RPUSH", key, "1")
    assert await first == [b"a", [key.encode(), b"1"], b"b"]
    assert await asyncio.gather(*others) == [[b"%d" % number, _LONG.encode()] for number in range(3)]


async def test_what_is_sent_first_runs_first(line: Line, redis: RedisConnection) -> None:
    """No pipeline overtakes another, though many are under way and none waits for the one before."""
    key = f"test:{new_payer()}"
    asked = [_send(line, ("RPUSH", key, f"{number}"), ("LLEN", key)) for number in range(300)]
    assert await asyncio.gather(*asked) == [[number, number] for number in range(1, 301)]
    assert [int(one) for one in await redis.command("LRANGE", key, 0, -1)] == list(range(300))


@pytest.mark.parametrize("late", [1, 2])
async def test_when_one_is_late_those_on_its_connection_fail_and_no_other(
    line: Line, redis: RedisConnection, late: int
) -> None:
    """Who was answered before keeps it; who comes after gets their own reply, on another connection.

    Whether it is the one that the server is at or one behind it that loses patience.
    """
    key = f"test:{new_payer()}"
    pipelines = [_send(line, ("ECHO", "before"))]
    pipelines.append(_send(line, ("ECHO", "in the middle"), ("BLPOP", key, "0")))
    pipelines += [_send(line, ("ECHO", f"behind {number}")) for number in range(2)]
    await _until_it_waits(redis)
    assert await pipelines[0] == [b"before"]
    pipelines[late].cancel()  # as a deadline does
    after = _send(line, ("ECHO", "after"))
    assert await after == [b"after"]
    failed = await asyncio.gather(*pipelines[1:], return_exceptions=True)
    assert isinstance(failed.pop(late - 1), asyncio.CancelledError)
    assert all(isinstance(one, ConnectionLost) for one in failed)


async def test_a_refusal_harms_no_pipeline_beside_it(line: Line) -> None:
    """What the server refuses is a reply; those before, beside and behind it have theirs."""
    key = f"test:{new_payer()}"
    before = _send(line, ("SET", key, "text", "PX", "60000"))
    refused = _send(line, ("LPUSH", key, "1"), ("GET", key))
    behind = _send(line, ("ECHO", "behind"))
    assert await before == [b"OK"]
    refusal, read = await refused
    assert isinstance(refusal, ResponseError)
    assert read == b"text"
    assert await behind == [b"behind"]


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    line: Line, redis: RedisConnection
) -> None:
    """An idle connection may go; nobody hears of it."""
    [identity] = await _send(line, ("CLIENT", "ID"))
    assert await redis.command("CLIENT", "KILL", "ID", f"{identity}") == 1
    await asyncio.sleep(0.05)  # the end of the connection is at our door by now
    [another] = await _send(line, ("CLIENT", "ID"))
    assert another != identity


async def test_after_it_is_renewed_what_was_under_way_is_answered(line: Line, redis: RedisConnection) -> None:
    """The next pipeline has another connection; those on the one before it lose nothing."""
    key = f"test:{new_payer()}"
    waiting = _send(line, ("CLIENT", "ID"), ("BLPOP", key, "0"))
    await _until_it_waits(redis)
    await line.renew()
    [another] = await _send(line, ("CLIENT", "ID"))
    await redis.command("RPUSH", key, "1")
    identity, popped = await waiting
    assert identity != another
    assert popped == [key.encode(), b"1"]
    assert await _send(line, ("CLIENT", "ID")) == [another]


async def test_every_connection_is_given_back(line: Line, redis: RedisConnection) -> None:
    """However it ended: renewed at rest and under way, closed by the server, given up by who waited."""
    key = f"test:{new_payer()}"
    for _ in range(4):
        assert await _send(line, ("ECHO", "at rest")) == [b"at rest"]
        await line.renew()
        waiting = _send(line, ("BLPOP", key, "0"))
        await _until_it_waits(redis)
        await line.renew()
        assert await _send(line, ("ECHO", "renewed")) == [b"renewed"]
        await redis.command("RPUSH", key, "1")
        assert await waiting == [[key.encode(), b"1"]]
        given_up, beside = _send(line, ("BLPOP", key, "0")), _send(line, ("ECHO", "beside"))
        await _until_it_waits(redis)
        given_up.cancel()
        assert isinstance((await asyncio.gather(given_up, beside, return_exceptions=True))[1], ConnectionLost)
        [identity] = await _send(line, ("CLIENT", "ID"))
        killed = _send(line, ("BLPOP", key, "0"))
        await _until_it_waits(redis)
        await redis.command("CLIENT", "KILL", "ID", f"{identity}")
        with pytest.raises(ConnectionLost):
            await killed
    assert await _send(line, ("ECHO", "still")) == [b"still"]


def test_who_writes_at_the_moment_when_a_connection_ends_hears_that_the_server_is_away() -> None:
    """Also under uvloop, on which the service runs: it has a word of its own for that."""
    assert all(isinstance(one, ConnectionLost) for one in uvloop.run(_written_as_it_ends()))


async def _written_as_it_ends() -> list[Any]:
    """What comes of a pipeline that is unread when the server resets the connection, and of one written just then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}"
        pool = BlockingConnectionPool.from_url(url, socket_timeout=None, protocol=2, driver_info=None)
        line = Line(pool)

        async def write_in_the_next_turn() -> list[Any]:
            await asyncio.sleep(0)
            return await line.exchange(_packed(("ECHO", "second")))

        unread = _send(line, ("ECHO", "first"))
        connection, _ = await asyncio.to_thread(server.accept)
        await asyncio.to_thread(connection.recv, 1)
        second = asyncio.create_task(write_in_the_next_turn())
        connection.close()  # with something unread: a reset
        outcomes = await asyncio.gather(unread, second, return_exceptions=True)
        await line.close()
        await pool.disconnect()
        return list(outcomes)


async def test_a_reply_is_heard_when_it_comes(line: Line, redis: RedisConnection) -> None:
    """While the server is at a later command of the same pipeline."""
    key, heard = f"test:{new_payer()}", list[tuple[int, Any]]()
    packed = _packed(("ECHO", "first"), ("ECHO", "second"), ("BLPOP", key, "0"))
    asked = asyncio.create_task(line.exchange(packed, lambda place, reply: heard.append((place, reply))))
    await _until_it_waits(redis)
    await until(lambda: _is(len(heard) == 2), "two replies are heard")
    assert heard == [(0, b"first"), (1, b"second")]
    assert not asked.done()
    await redis.command("RPUSH", key, "1")
    assert (await asked)[:2] == [b"first", b"second"]


async def _is(claim: bool) -> bool:
    return claim
