"""Idempotency keys in Redis: claimed in one script, so that of two equal requests one works and one is told so."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.redis.commands import Script

_CLAIM = Script.read(Path(__file__).parent / "idempotency.lua")

KEY_LIFETIME_MS = 24 * 3600 * 1000
LEASE_MS = 5_000
"""Longer than any request lives; a claim older than this belongs to a process that died."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim came to: `claimed`, `in_flight`, `reused`, or `done` with the sealed answer.

    `since_ms` is when the key was claimed first; it stays the same for as long as the key lives. What the request
    creates is named in the order of that time, unless `in_order` is False: then a release claimed it that named by
    chance.
    """

    word: str
    answer: str = ""
    since_ms: int = 0
    in_order: bool = True


class IdempotencyStore:
    """Records of idempotency keys. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def claim(self, name: str, fingerprint: str) -> Claim:
        """Claim the key called `name` for a request. Raises StoreUnavailable."""
        reply = await self._redis.call(_CLAIM, (_key(name),), (fingerprint, LEASE_MS, KEY_LIFETIME_MS))
        if reply[0] == b"claimed":
            return Claim("claimed", since_ms=reply[1], in_order=bool(reply[2]))
        return Claim(reply[0].decode(), reply[1].decode() if len(reply) > 1 else "")

    async def finish(self, name: str, fingerprint: str, answer: str) -> None:
        """Keep the answer for those who ask again. Raises StoreUnavailable."""
        record = msgspec.msgpack.encode({"fingerprint": fingerprint, "answer": answer})
        await self._redis.command("SET", _key(name), record, "PX", KEY_LIFETIME_MS)

    async def give_back(self, name: str, fingerprint: str, claim: Claim) -> None:
        """End the lease of a request that may have done its work, so that it is sent again. Raises StoreUnavailable."""
        record = {
            "fingerprint": fingerprint,
            "since": claim.since_ms,
            "in_order": int(claim.in_order),
            "lease_ends_at": 0,
        }
        await self._redis.command("SET", _key(name), msgspec.msgpack.encode(record), "PX", KEY_LIFETIME_MS)

    async def release(self, name: str) -> None:
        """Forget a claim whose request was refused. Raises StoreUnavailable."""
        await self._redis.command("DEL", _key(name))


def _key(name: str) -> str:
    return f"idempotency:{name}"
