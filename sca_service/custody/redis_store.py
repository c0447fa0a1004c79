"""What the keyring's roots are still needed for in Redis: challenges, and answers under an Idempotency-Key."""

from collections import Counter

import msgspec

from sca_service.challenges.model import ChallengeId
from sca_service.custody.model import UNREADABLE
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.redis.commands import Command

_AT_ONCE = 1_000


class _StoredAnswer(msgspec.Struct):
    answer: str = ""


_decode = msgspec.msgpack.Decoder(_StoredAnswer).decode


class HotStore:
    """Counts by looking at every key: for a command, not for a request. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def challenges(self) -> dict[int, int]:
        """How many challenges Redis holds by the version that their ids name. Raises StoreUnavailable.

        Their codes are derived from that root, and what is personal about them was sealed under it.
        """
        counted: Counter[int] = Counter()
        async for keys in self._redis.find_keys("{p[0-9][0-9]}:challenge:*", at_once=_AT_ONCE):
            for key in keys:
                challenge = ChallengeId.parse(key.rpartition(b":")[2].decode("ascii", "replace"))
                counted[challenge.key_version if challenge else UNREADABLE] += 1
        return dict(counted)

    async def answers(self) -> dict[int, int]:
        """How many stored answers lie under each version. Raises StoreUnavailable."""
        counted: Counter[int] = Counter()
        async for keys in self._redis.find_keys("idempotency:*", at_once=_AT_ONCE):
            for packed in await self._redis.all([Command(("GET", key)) for key in keys]):
                if packed and (sealed := _sealed(packed)):
                    counted[_version(sealed)] += 1
        return dict(counted)


def _sealed(packed: bytes) -> str:
    """The sealed answer of a record; a claim has none yet."""
    try:
        return _decode(packed).answer
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _version(sealed: str) -> int:
    try:
        return Keyring.version_of(sealed)
    except SealBroken:
        return UNREADABLE
