"""Which proofs of devices have come already, in Redis: each counts once (RFC 9449, section 11.1)."""

from sca_service.authenticators.device_key.proof import REMEMBERED_SECONDS
from sca_service.kernel.connections import RedisConnection


class ProofStore:
    """Remembers proofs for as long as they are good. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def is_new(self, name: str) -> bool:
        """Whether a proof of this name comes for the first time; then it is remembered. Raises StoreUnavailable."""
        key = f"device_proof:{name}"
        noted = await self._redis.command("SET", key, 1, "NX", "EX", REMEMBERED_SECONDS, lasts=True)
        return noted is not None
