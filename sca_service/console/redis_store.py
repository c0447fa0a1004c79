"""Sessions that were ended before their time, in Redis."""

from sca_service.kernel.connections import RedisConnection


class EndedSessions:
    """Remembers ended sessions until they would have ended by themselves. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def add(self, session_id: str, seconds: int) -> None:
        """End a session. Raises StoreUnavailable."""
        await self._redis.command("SET", _key(session_id), "1", "EX", seconds)

    async def holds(self, session_id: str) -> bool:
        """Whether a session was ended. Raises StoreUnavailable."""
        return bool(await self._redis.command("EXISTS", _key(session_id)))


def _key(session_id: str) -> str:
    return f"desk:ended:{session_id}"
