"""api and worker through PgBouncer in transaction mode: what they ask for needs no session of their own."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from sca_service.sandbox.servers import PostgresProcess, Servers, ValkeyProcess
from tests.faults.checker import violations
from tests.faults.postgres_pair import Server
from tests.faults.traffic import Told, Traffic
from tests.harness import Deployment
from tests.peers.pgbouncer import PgBouncer, installed

pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL that other accounts of the machine may reach, and PgBouncer in front of it."""

    server: Server
    pooler: PgBouncer

    @property
    def url(self) -> str:
        """Without PgBouncer."""
        return f"postgresql://sca@/sca?host={self.server.host}"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    """Four sessions for everybody, so that they have to be shared."""
    installed()
    server = Server(tmp_path / "postgres")
    cluster = server.start()
    try:
        pooler = PgBouncer.start(tmp_path / "pooler", server.host, cluster.launcher, sessions=4)
        try:
            yield Postgres(server, pooler)
        finally:
            pooler.stop()
    finally:
        server.process.kill()


@pytest.fixture
def deployment(tmp_path: Path, postgres: Postgres) -> Iterator[Deployment]:
    """Two apis, a worker and a log; the log and readers go past the pooler."""
    deployment = Deployment(tmp_path, more_settings=(f'postgres.pooler_url = "{postgres.pooler.url}"',))
    valkey = ValkeyProcess()
    valkey.start(tmp_path / "valkey")
    deployment.servers = Servers(valkey, cast("PostgresProcess", postgres))
    try:
        deployment.furnish()
        for name in ("api", "api", "worker", "log"):
            deployment.start(name)
        yield deployment
    finally:
        for role in deployment.roles:
            role.stop()
        valkey.stop()


async def test_transactions_are_all_that_is_asked_for(deployment: Deployment, postgres: Postgres) -> None:
    """Payers at both apis are answered and put on record over four shared sessions; without PgBouncer nobody is."""
    urls = [role.url for role in deployment.roles if role.name == "api"]
    told = await asyncio.to_thread(_pay, deployment, urls)
    assert await violations(deployment, told) == []
    postgres.pooler.stop()
    async with deployment.bank() as bank:
        assert (await bank.http.get("/readyz")).status_code == 503


def _pay(deployment: Deployment, urls: list[str]) -> list[Told]:
    with Traffic(deployment, seed=1, url=urls[0]) as one, Traffic(deployment, seed=2, url=urls[1]) as other:
        one.await_answers(60)
        other.await_answers(60)
    assert [*one.heard.surprises, *other.heard.surprises] == []
    return [*one.heard.told, *other.heard.told]
