"""Whether a role can decide: what `/readyz` tells."""

from collections.abc import Awaitable, Callable

import asyncpg

from sca_service.core import Core
from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.kernel.postgres import in_time


async def readiness(core: Core) -> dict[str, str]:
    """The parts that have to be there, each `ok` or what is the matter (architecture, decision 7)."""

    async def postgres() -> None:
        if await in_time(core.postgres.fetchval("SELECT pg_is_in_recovery()")):
            raise StoreUnavailable("PostgreSQL takes no writes: the audit log cannot be written")

    checks: dict[str, Callable[[], Awaitable[None]]] = {"redis": core.redis.ready, "audit_log": postgres}
    parts = {"policy": "ok"}
    for name, check in checks.items():
        try:
            await check()
        except ScaError as error:
            parts[name] = error.detail
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            parts[name] = "does not answer"
        else:
            parts[name] = "ok"
    return parts
