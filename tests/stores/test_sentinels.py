"""Sentinels watch a primary: the service asks them who it is, and follows."""

import asyncio
import contextlib
import signal
from pathlib import Path

from redis import Redis

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from tests.storeroom import eventually
from tests.valkeys import Sentinel, await_that, start_replicas


async def test_the_primary_that_sentinels_name_is_asked(tmp_path: Path) -> None:
    """Killed, it is replaced by its replica, and the connection finds the new one by itself."""
    primary, replica = await asyncio.to_thread(start_replicas, tmp_path, 1)
    sentinel = Sentinel(tmp_path, watched=primary)
    redis = RedisConnection(f"redis+sentinel://{sentinel.address}/main")
    try:
        sentinel.start()
        with Redis(port=sentinel.port) as client:
            await asyncio.to_thread(await_that, lambda: len(client.sentinel_slaves("main")) == 1, "a replica")
        await redis.command("SET", "asked", "first", "PX", 60_000)
        assert primary.client.get("asked") == b"first"
        primary.signal(signal.SIGKILL)

        async def is_written() -> bool:
            with contextlib.suppress(StoreUnavailable):
                await redis.command("SET", "asked", "second", "PX", 60_000)
                return True
            return False

        await eventually(is_written)
        assert replica.client.get("asked") == b"second"
    finally:
        await redis.close()
        for server in (sentinel, primary, replica):
            server.end()
