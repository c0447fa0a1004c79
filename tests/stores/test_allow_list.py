"""The allow-list is durable: Redis' copy follows PostgreSQL, whatever was lost and whatever changes meanwhile."""

import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from sca_service.challenges.allow_list.keeper import AllowListKeeper
from sca_service.challenges.allow_list.postgres_store import Allowed, AllowListStore
from sca_service.challenges.issue import Caller
from sca_service.challenges.pumping_desk import PumpingDesk
from sca_service.core import Core, open_core
from sca_service.desks import pumping_desk
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import NotFound, StoreUnavailable
from sca_service.limits.pumping.model import Entry, Subject
from sca_service.limits.pumping.redis_store import EntryKind, PumpingStore
from sca_service.policy.load import load
from sca_service.policy.pumping import PumpingScope
from sca_service.settings import read_settings, shipped_policies
from tests.harness import Deployment
from tests.ports import free_port
from tests.storeroom import keys_of

OPERATOR = Caller("operator", "req_allow")
PUMPING = load(shipped_policies()).pumping


@pytest.fixture
def rows(pool: asyncpg.Pool) -> AllowListStore:
    """The durable list."""
    return AllowListStore(pool)


@pytest.fixture
def copy(redis: RedisConnection) -> PumpingStore:
    """Redis' copy."""
    return PumpingStore(redis, PUMPING)


@pytest.fixture
async def core(quiet_stores: Deployment) -> AsyncIterator[Core]:
    """What every role is made of, over stores that no role works on."""
    async with open_core(read_settings(quiet_stores.config(1))) as core:
        yield core


@pytest.fixture
def desk(core: Core) -> PumpingDesk:
    """The operator's desk."""
    return pumping_desk(core)


def a_prefix() -> Subject:
    """One that no other test has."""
    return Subject(PumpingScope.PREFIX, f"+49{secrets.randbelow(10**7):07d}")


async def copied(copy: PumpingStore, subject: Subject) -> list[Entry]:
    """What Redis has of a subject."""
    entries = await copy.entries(EntryKind.ALLOW, most=10_000)
    return [one for one in entries if (one.scope, one.subject) == (subject.scope, subject.name)]


async def lose(redis: RedisConnection) -> None:
    """All of the guard's keys, as after a loss of Redis."""
    keys = await keys_of(redis, "{pumping}:*")
    if keys:
        await redis.command("DEL", *keys)


async def events_about(pool: asyncpg.Pool, entry: str) -> list[str]:
    """The types of the events about an entry."""
    found = await pool.fetch(
        "SELECT type FROM audit_events WHERE body::jsonb ->> 'entry' = $1 ORDER BY txid, position", entry
    )
    return [row["type"] for row in found]


async def test_what_was_allowed_comes_back_after_a_loss_of_redis(
    desk: PumpingDesk, rows: AllowListStore, copy: PumpingStore, redis: RedisConnection, pool: asyncpg.Pool
) -> None:
    """Under its id and until its end; what was taken off in the meantime does not."""
    kept, gone = a_prefix(), a_prefix()
    entry = await desk.allow(OPERATOR, kept, reason="new staff", days=3)
    other = await desk.allow(OPERATOR, gone, reason="new staff", days=3)
    await lose(redis)
    assert await copied(copy, kept) == []
    assert (await desk.disallow(OPERATOR, other.id, "they are in")).id == other.id
    await AllowListKeeper(rows, copy).compare()
    (back,) = await copied(copy, kept)
    assert (back.id, back.why) == (entry.id, "new staff")
    assert abs(back.until - entry.until) <= 2
    assert await copied(copy, gone) == []
    assert await events_about(pool, other.id) == ["pumping.allowed", "pumping.disallowed"]


async def test_once_more_takes_the_place_of_what_stood_there(
    desk: PumpingDesk, rows: AllowListStore, copy: PumpingStore
) -> None:
    """In both stores, and the first one cannot be taken off any more."""
    subject = a_prefix()
    first = await desk.allow(OPERATOR, subject, reason="one", days=1)
    second = await desk.allow(OPERATOR, subject, reason="two", days=2)
    await AllowListKeeper(rows, copy).compare()
    assert [one.id for one in await copied(copy, subject)] == [second.id]
    listed = await desk.entries(EntryKind.ALLOW, most=1_000, skip=0)
    assert [one.id for one in listed if one.subject == subject.name] == [second.id]
    with pytest.raises(NotFound):
        await desk.disallow(OPERATOR, first.id, "again")


async def test_what_is_over_comes_back_nowhere(
    desk: PumpingDesk, rows: AllowListStore, copy: PumpingStore, redis: RedisConnection, pool: asyncpg.Pool
) -> None:
    """Its time has passed while Redis was away."""
    subject = a_prefix()
    entry = await desk.allow(OPERATOR, subject, reason="one", days=1)
    await pool.execute("UPDATE pumping_allowances SET until = clock_timestamp() WHERE id = $1", entry.id)
    await lose(redis)
    await AllowListKeeper(rows, copy).compare()
    assert await copied(copy, subject) == []
    with pytest.raises(NotFound):
        await desk.disallow(OPERATOR, entry.id, "again")


async def test_what_redis_did_not_hear_of_is_told_to_it_later(
    core: Core, desk: PumpingDesk, rows: AllowListStore, copy: PumpingStore
) -> None:
    """The operator is told 503, and the word holds in seconds: on record it is."""
    away = RedisConnection(f"redis://127.0.0.1:{free_port()}/0")
    cut_off = pumping_desk(replace(core, redis=away))
    allowed, disallowed = a_prefix(), a_prefix()
    with pytest.raises(StoreUnavailable):
        await cut_off.allow(OPERATOR, allowed, reason="one", days=1)
    entry = await desk.allow(OPERATOR, disallowed, reason="one", days=1)
    with pytest.raises(StoreUnavailable):
        await cut_off.disallow(OPERATOR, entry.id, "again")
    await away.close()
    await AllowListKeeper(rows, copy).compare()
    assert len(await copied(copy, allowed)) == 1
    assert await copied(copy, disallowed) == []


class Interrupted(AllowListStore):
    """Something changes after the one store was looked at and before the other is."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self.changes: list[Coroutine[Any, Any, Entry]] = []

    async def forget(self) -> None:
        """Between the two."""
        for change in self.changes:
            await change
        await super().forget()


class LooksHereFirst(AllowListKeeper):
    """Broken on purpose: looks into PostgreSQL first, and then into Redis."""

    async def compare(self) -> None:
        """The other way round."""
        before = await self._rows.in_force(most=10_000)
        rows = self._rows

        class Before(AllowListStore):
            async def in_force(self, *, most: int, skip: int = 0) -> Sequence[Allowed]:
                return before

        await rows.forget()
        self._rows = Before(rows._pool)
        await super().compare()


@pytest.mark.parametrize("keeper", [AllowListKeeper, LooksHereFirst])
async def test_nothing_that_changes_meanwhile_is_undone(
    desk: PumpingDesk,
    copy: PumpingStore,
    pool: asyncpg.Pool,
    keeper: type[AllowListKeeper],
) -> None:
    """One is allowed and one is taken off while a worker compares; in the wrong order both would be undone."""
    rows, allowed, disallowed = Interrupted(pool), a_prefix(), a_prefix()
    entry = await desk.allow(OPERATOR, disallowed, reason="one", days=1)
    rows.changes = [
        desk.allow(OPERATOR, allowed, reason="one", days=1),
        desk.disallow(OPERATOR, entry.id, "again"),
    ]
    await keeper(rows, copy).compare()
    held = len(await copied(copy, allowed)), len(await copied(copy, disallowed))
    assert held == ((1, 0) if keeper is AllowListKeeper else (0, 1))
