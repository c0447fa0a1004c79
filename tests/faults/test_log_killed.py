"""`kill -9` of the log role, again and again while events are being committed: the log is whole all the same."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial

import asyncpg
import pytest

from sca_service.audit.log.note import NoteSigner
from sca_service.audit.model import Record
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.postgres import connect_postgres
from tests.faults.cuts import restart, until
from tests.harness import Deployment
from tests.logs import PATIENT_SECONDS, assert_whole
from tests.storeroom import an_event

pytestmark = pytest.mark.race

KILLS = 6
COMMITTERS = 25
ORIGIN = "sca.example/log"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Stores and a log role, and nothing else."""
    deployment = Deployment(tmp_path_factory.mktemp("log"))
    deployment.start_stores()
    try:
        deployment.start("log")
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
async def pool(deployment: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the database."""
    url = deployment.servers.postgres.url
    pool = await connect_postgres(url, most_connections=6, statement_deadline_seconds=PATIENT_SECONDS)
    yield pool
    await pool.close()


class Committers:
    """Commit events as fast as they are answered, and remember those that were. A class because it counts."""

    def __init__(self, pool: asyncpg.Pool, deployment: Deployment) -> None:
        self.answered: list[str] = []
        self._writer = AuditWriter(pool, ChallengeArchive(pool), Vault(pool, deployment.keyring))
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._commit()) for _ in range(COMMITTERS)]

    async def stop(self) -> None:
        """Let each finish what it commits."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._writer.close()

    async def _commit(self) -> None:
        while not self._stop.is_set():
            events = tuple(an_event(note="x" * random.randrange(300)) for _ in range(random.randrange(1, 4)))
            with suppress(StoreUnavailable):  # late on a busy machine: nobody was answered
                assert await self._writer.commit(Record(events))
                self.answered += [event.head.id for event in events]
            await asyncio.sleep(random.random() * 0.05)


@pytest.mark.long
async def test_a_log_that_is_killed_again_and_again_is_whole(
    deployment: Deployment, pool: asyncpg.Pool
) -> None:
    """Each event is exactly one leaf, the tree is the one over them, and nothing that was answered is missing."""
    (role,) = deployment.roles
    committers = Committers(pool, deployment)
    for _ in range(KILLS):
        reached = await _size(pool)
        await until(partial(_has_grown, pool, reached), "the log has grown")
        await asyncio.sleep(random.random() * 0.25)
        role.kill()
        role = await asyncio.to_thread(restart, deployment, role)
    await committers.stop()
    await until(lambda: _is_all_in(pool), "every event has its leaf")
    answered = committers.answered
    assert len(answered) > 500
    assert len(set(answered)) == len(answered)
    leaves = [row["event_id"] for row in await pool.fetch("SELECT event_id FROM audit_leaves")]
    assert len(leaves) == len(set(leaves))
    assert set(answered) <= set(leaves)
    (key,) = deployment.keyring.log_signing_keys
    await assert_whole(pool, NoteSigner(ORIGIN, key).verifier_key)


async def _size(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("SELECT size FROM log_state"))


async def _has_grown(pool: asyncpg.Pool, reached: int) -> bool:
    return await _size(pool) > reached


async def _is_all_in(pool: asyncpg.Pool) -> bool:
    return bool(
        await pool.fetchval("SELECT (SELECT count(*) FROM audit_events) = (SELECT size FROM log_state)")
    )
