"""The connection to Redis while callers give up, connections are killed, scripts forgotten and the server hangs.

Nobody gets what another asked, nothing runs twice, and what nobody decided is away. Under uvloop, as the service runs.
"""

import asyncio
import os
import random
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.redis.commands import Command, Script
from sca_service.sandbox.servers import ValkeyProcess

pytestmark = [pytest.mark.on_demand, pytest.mark.race]

_CALLERS = 100
_CALLS = 100
_BLOWS = 60


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_gets_anothers_reply_and_nothing_runs_twice(tmp_path: Path, seed: int) -> None:
    """Each reply is the caller's own; a script of a name of its own has run once if that was told, never twice."""
    path = tmp_path / "counting.lua"
    path.write_text("return redis.call('INCR', KEYS[1])", "utf-8")
    valkey = ValkeyProcess()
    valkey.start(tmp_path / "valkey")
    try:
        uvloop.run(_abuse(valkey, Script.read(path), random.Random(seed)))
    finally:
        valkey.stop()


async def _abuse(valkey: ValkeyProcess, counting: Script, chance: random.Random) -> None:
    redis, other = RedisConnection(valkey.url), RedisConnection(valkey.url)
    told: set[str] = set()

    async def call_on_and_on(caller: int) -> None:
        for number in range(_CALLS):
            name = f"{caller}-{number}"
            if await _replied(redis, counting, name, chance):
                told.add(name)

    callers = [asyncio.create_task(call_on_and_on(caller)) for caller in range(_CALLERS)]
    blows = asyncio.create_task(_strike(valkey, other, chance))
    await asyncio.gather(blows, *callers)
    names = [f"{caller}-{number}" for caller in range(_CALLERS) for number in range(_CALLS)]
    counts = await asyncio.gather(*(redis.command("GET", name) for name in names))
    assert set(counts) == {None, b"1"}
    assert [name for name, count in zip(names, counts, strict=True) if count is None and name in told] == []
    assert len(told) > _CALLERS
    await redis.close()
    await other.close()


async def _replied(redis: RedisConnection, counting: Script, name: str, chance: random.Random) -> bool:
    """Whether a script was told to have run. Some callers ask for something else, some give up."""
    echoes = [Command(("ECHO", name)), Command(("ECHO", f"{name}, again"))]
    asked: Coroutine[Any, Any, Any]
    wanted: object
    match chance.randrange(3):
        case 0:
            asked, wanted = redis.call(counting, (name,), ()), 1
        case 1:
            asked, wanted = redis.command("ECHO", name), name.encode()
        case _:
            asked, wanted = redis.all(echoes), [name.encode(), f"{name}, again".encode()]
    task = asyncio.create_task(asked)
    if chance.random() < 0.05:
        await asyncio.sleep(chance.random() * 0.002)
        task.cancel()
    try:
        assert await task == wanted
    except (StoreUnavailable, asyncio.CancelledError):
        return False
    return wanted == 1


async def _strike(valkey: ValkeyProcess, redis: RedisConnection, chance: random.Random) -> None:
    kill: Sequence[str] = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _ in range(_BLOWS):
        await asyncio.sleep(chance.random() * 0.1)
        match chance.randrange(5):
            case 0:
                await _if_it_answers(redis, ("SCRIPT", "FLUSH"))
            case 1:
                os.kill(valkey.pid, signal.SIGSTOP)
                await asyncio.sleep(chance.choice((0.05, 1.0)))
                os.kill(valkey.pid, signal.SIGCONT)
            case _:
                await _if_it_answers(redis, kill)


async def _if_it_answers(redis: RedisConnection, command: Sequence[str]) -> None:
    try:
        await redis.command(*command)
    except StoreUnavailable:
        return
