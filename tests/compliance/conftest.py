"""What the tests of the exemptions share: a payer's bank on real stores, where time can be moved."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sca_service.kernel.postgres import connect_postgres
from tests.exemption_office import ExemptionOffice
from tests.harness import Deployment


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a PostgreSQL that no role works on."""
    pool = await connect_postgres(quiet_stores.servers.postgres.url, most_connections=6)
    yield pool
    await pool.close()


@pytest.fixture
def office(pool: asyncpg.Pool, quiet_stores: Deployment) -> ExemptionOffice:
    """A bank and a payer nobody else has."""
    return ExemptionOffice(pool, quiet_stores.keyring)
