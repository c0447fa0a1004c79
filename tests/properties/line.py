"""A line to the real Valkey for Hypothesis, which knows no event loop; and how time goes by on it.

Redis tells the time itself, so time goes by when everything that is stored about it is moved into the past: a day
passes in a millisecond, and the scripts run as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from sca_service.challenges.model import ChallengeState, decode_state
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.connections import RedisConnection

T = TypeVar("T")


class Line:
    """Calls the stores from outside an event loop. A class because it holds the loop and the connection."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.redis = RedisConnection(url)
        self.store = ChallengeStore(self.redis)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.redis.close())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What an awaitable comes to."""
        return self._runner.run(work)

    def heard(self, begin: Callable[[], Awaitable[T]]) -> T:
        """What comes of something that nobody has to wait for."""

        async def waited() -> T:
            return await begin()

        return self.run(waited())

    def command(self, *arguments: str | bytes | int) -> Any:
        """What a command replies."""
        return self.run(self.redis.command(*arguments))

    def now_ms(self) -> int:
        """The time by Redis."""
        seconds, microseconds = self.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    def state(self, partition: int, challenge: str) -> ChallengeState | None:
        """A challenge as it lies in Redis."""
        packed = self.command("GET", f"{{p{partition:02d}}}:challenge:{challenge}")
        return decode_state(packed) if packed else None

    def let_pass(self, ms: int) -> None:
        """Move everything that is stored into the past by so many milliseconds."""
        for key in sorted(self.command("KEYS", "*")):
            name = key.decode().split(":", 1)[1]
            if name == "due" or name.startswith("pending:"):
                for member in self.command("ZRANGE", key, 0, -1):
                    self.command("ZINCRBY", key, -ms, member)
            elif name.startswith("challenge:"):
                self._age(key, ms)
            elif name.startswith("lockout:"):
                if self.command("HEXISTS", key, "blocked_until"):
                    self.command("HINCRBY", key, "blocked_until", -ms)
            elif "limit:" in key.decode():
                self.command("DECRBY", key, ms)
            ends_at = self.command("PEXPIRETIME", key)
            if ends_at >= 0:
                self.command("PEXPIREAT", key, ends_at - ms)

    def _age(self, key: bytes, ms: int) -> None:
        packed = self.command("GET", key)
        if (
            packed is None
        ):  # what is to be forgotten ends by the real clock, also between two commands of this line
            return
        state = decode_state(packed)

        def aged(at_ms: int) -> int:
            return at_ms - ms if at_ms else 0

        for delivery in state.deliveries:
            delivery.queued_at = aged(delivery.queued_at)
            delivery.sent_at = aged(delivery.sent_at)
            delivery.final_at = aged(delivery.final_at)
        for name in ("created_at", "expires_at", "settled_at", "next_at", "resend_at", "blocked_until"):
            setattr(state, name, aged(getattr(state, name)))
        self.command("SET", key, msgspec.msgpack.encode(state), "XX", "KEEPTTL")
