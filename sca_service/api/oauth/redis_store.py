"""Which assertions have come, in Redis."""

from sca_service.kernel.connections import RedisConnection


class AssertionStore:
    """Remembers assertions for as long as they are good. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def is_new(self, name: str, *, seconds: int) -> bool:
        """Whether an assertion comes for the first time; then it is remembered. Raises StoreUnavailable."""
        return await self._redis.command("SET", f"oauth_assertion:{name}", 1, "NX", "EX", seconds) is not None
