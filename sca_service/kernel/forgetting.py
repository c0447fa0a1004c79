"""Says at the start of a role what is set so that a store may forget what a caller was told."""

import asyncpg
import structlog

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.postgres import what_forgets

log = structlog.get_logger()


async def warn_of_forgetting(redis: RedisConnection, postgres: asyncpg.Pool) -> None:
    """Log each store that is set so, with the parameters. Raises StoreUnavailable.

    It does not keep the role from starting, since some fleets keep their word by other means, and some tests by none.
    That Redis evicts does (`RedisConnection.ready`).
    """
    for store, parameters in (
        ("redis", await redis.what_forgets()),
        ("postgres", await what_forgets(postgres)),
    ):
        if parameters:
            log.warning("store.may_forget", store=store, parameters=parameters)
