"""What delivery keeps in Redis: the signal that something is due, and the newest text sent to each number.

The signal is a channel, published by the scripts, heard by every worker. It only makes sending prompt: what is due
stands in the partitions' timers, and the worker sweeps them anyway.
"""

import asyncio
from typing import Final

import redis.exceptions

from sca_service.delivery.inbox import SentText
from sca_service.delivery.supplier import Message
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring
from sca_service.policy.words import Channel, Occasion

CHANNEL = "sca:due"

REPLY_DAYS: Final = 7
"""How long a reply is understood: by whom and about what the number was written to is forgotten then."""

_REPLY_MS: Final = REPLY_DAYS * 86_400_000


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
                async with await self._redis.subscription() as subscription:
                    await subscription.subscribe(CHANNEL)
                    while not stop.is_set():
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=0.5)
                        if message:
                            self._due.add(int(message["data"], 16))
                            self._heard.set()
            except (redis.exceptions.RedisError, OSError, StoreUnavailable):
                await asyncio.sleep(0.5)

    async def wait(self, seconds: float) -> set[int]:
        """The partitions named since the last call, at the latest after so many seconds."""
        if not self._heard.is_set():
            try:
                await asyncio.wait_for(self._heard.wait(), seconds)
            except TimeoutError:
                return set()
        self._heard.clear()
        due, self._due = self._due, set()
        return due


class SentTextStore:
    """The newest text to each number, by the number's pseudonym. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection, keyring: Keyring) -> None:
        self._redis = redis
        self._keyring = keyring

    async def note_sent(self, message: Message, client: str) -> None:
        """A text is about to go out; a call is no text that one could reply to. Raises StoreUnavailable."""
        if message.channel is Channel.VOICE or not message.channel.needs_phone:
            return
        phone = self._keyring.pseudonym("phone", message.to.reveal())
        note = f"{message.delivery_id} {client} {message.occasion or ''}"
        await self._redis.command("SET", _sent(phone), note, "PX", _REPLY_MS)

    async def newest(self, phone: str) -> SentText | None:
        """The newest text to a number, or None when there was none for a week. Raises StoreUnavailable."""
        note: bytes | None = await self._redis.command("GET", _sent(phone))
        if note is None:
            return None
        delivery_id, client, occasion = note.decode().split(" ")
        return SentText(delivery_id, client, Occasion(occasion) if occasion else None)


def _sent(phone: str) -> str:
    return f"sent:{phone}"
