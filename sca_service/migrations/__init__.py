"""The database schema, step by step (alembic). `migrate` brings a database up to date."""

import asyncio
from pathlib import Path

import asyncpg

from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.primary import Primary

_MIGRATION_LOCK = 0x5CA_0
_HERE = Path(__file__).parent


def migrate(url: str) -> None:
    """Bring the database at `url` (postgresql://…) to the newest schema; several at once wait for each other.

    Raises StoreUnavailable when the database cannot be reached.
    """
    try:
        asyncio.run(_locked(url))
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresConnectionError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ) as error:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from error


async def _locked(url: str) -> None:
    connection = await Primary(url).connect()
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await asyncio.to_thread(_upgrade, url)
    finally:
        await connection.close()


def _upgrade(url: str) -> None:
    from alembic import command  # noqa: PLC0415 - slow to load, and 20 MB that no role needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["url"] = url
    command.upgrade(config, "head")
