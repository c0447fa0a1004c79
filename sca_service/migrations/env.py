"""How alembic reaches the database: asyncpg, the driver the service itself uses."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sca_service.kernel.primary import Primary


def _run(connection: Connection) -> None:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    url = context.config.attributes["url"]
    # asyncpg reads the URL itself: SQLAlchemy would hand `?sslmode=` on as an argument that asyncpg does not have.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=Primary(url).connect, poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


asyncio.run(_online())
