"""The signal that something is due: a channel of Redis, published by the scripts, heard by every worker.

It only makes sending prompt. What is due stands in the partitions' timers, and the worker sweeps them anyway.
"""

import asyncio

import redis.exceptions

from sca_service.kernel.connections import RedisConnection

CHANNEL = "sca:due"


class RedisDueSignal:
    """Listens on the channel and remembers which partitions were named. A class because it remembers."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._due: set[int] = set()
        self._heard = asyncio.Event()

    async def listen(self, stop: asyncio.Event) -> None:
        """Listen until `stop` is set; a lost connection is made again."""
        while not stop.is_set():
            try:
                async with self._redis.client.pubsub() as subscription:
                    await subscription.subscribe(CHANNEL)
                    while not stop.is_set():
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=0.5)
                        if message:
                            self._due.add(int(message["data"], 16))
                            self._heard.set()
            except (redis.exceptions.RedisError, OSError):
                await asyncio.sleep(0.5)

    async def wait(self, seconds: float) -> set[int]:
        """The partitions named since the last call, at the latest after so many seconds."""
        try:
            await asyncio.wait_for(self._heard.wait(), seconds)
        except TimeoutError:
            return set()
        self._heard.clear()
        due, self._due = self._due, set()
        return due
