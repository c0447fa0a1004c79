"""A primary with a synchronous standby: what waits for it, and which of the two is used when both take writes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from sca_service.audit.model import Record
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring, write_keyring
from sca_service.kernel.postgres import connect_postgres
from sca_service.kernel.primary import NotPrimary, Primary
from sca_service.migrations import migrate
from tests.faults.postgres_pair import Pair
from tests.storeroom import an_event

pytestmark = pytest.mark.race


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary and its standby, with the schema."""
    pair = Pair.start(tmp_path_factory.mktemp("pair"))
    try:
        migrate(pair.urls)
        yield pair
    finally:
        pair.stop()


@pytest.fixture
async def pool(pair: Pair) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the primary, found among both."""
    pool = await connect_postgres(pair.urls, most_connections=2)
    yield pool
    pool.terminate()


async def test_a_commit_that_is_repeated_waits_for_the_standby_too(
    pair: Pair, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """The first commit gave up waiting, so the event shows on the primary: the second, which adds nothing, waits too.

    Else the outbox would forget an event that is lost with the primary.
    """
    write_keyring(tmp_path / "keyring.json")
    keyring = Keyring.parse((tmp_path / "keyring.json").read_text("utf-8"))
    writer = AuditWriter(pool, ChallengeArchive(pool), Vault(pool, keyring))
    record = Record((an_event(outcome="incorrect"),))
    with pair.cut_off():
        with pytest.raises(StoreUnavailable):
            await writer.commit(record)
        shown = "SELECT count(*) FROM audit_events WHERE id = $1"
        assert await pool.fetchval(shown, record.events[0].head.id) == 1
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await writer.commit(record)
    assert await writer.commit(record)
    await writer.close()


async def test_who_was_promoted_is_the_primary_and_who_was_replaced_is_refused(
    pair: Pair, pool: asyncpg.Pool
) -> None:
    """Both take writes: the one on the later timeline is used, alone, and pools leave the other."""
    primary = Primary(pair.urls)
    watched = await connect_postgres(primary, most_connections=1)
    assert await watched.fetchval("SHOW cluster_name") == pair.first.name
    pair.promote()
    connection = await primary.connect()
    assert await connection.fetchval("SHOW cluster_name") == pair.second.name
    await connection.close()
    assert await watched.fetchval("SHOW cluster_name") == pair.second.name
    fresh = await Primary(pair.urls).connect()
    assert await fresh.fetchval("SHOW cluster_name") == pair.second.name
    await fresh.close()
    watched.terminate()
    pair.second.process.kill()
    with pytest.raises(NotPrimary):
        await primary.connect()


async def test_a_server_of_another_cluster_is_refused(pair: Pair, tmp_path: Path) -> None:
    """What answers under the name of the primary and has other files is not the primary."""
    primary = Primary(pair.url_of(pair.first))
    await (await primary.connect()).close()
    pair.first.process.kill()
    pair.first.folder.rename(tmp_path / "aside")
    pair.first.start()
    with pytest.raises(NotPrimary):
        await primary.connect()
