"""Challenges in PostgreSQL: what is newer stays, what is final stays, and lists are complete and in order."""

from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from sca_service.challenges.model import ChallengeState, Status
from sca_service.challenges.postgres_store import ChallengeArchive, ChallengeFilter
from sca_service.kernel.errors import StoreUnavailable
from sca_service.policy.model import Purpose
from tests.storeroom import CLIENT, new_challenge, new_payer

NOON = 1_700_000_000_000
LONG_AFTER = 4_000_000_000_000


def state_of(payer: str, *, client: str = CLIENT, at_ms: int = NOON, **changes: object) -> ChallengeState:
    """A challenge's state; pending, and for ever, unless said otherwise."""
    _, new = new_challenge(payer, client=client)
    changes = {"revision": 1, "created_at": at_ms, "expires_at": LONG_AFTER, **changes}
    return msgspec.structs.replace(new.state, **changes)


async def save(pool: asyncpg.Pool, *states: ChallengeState) -> None:
    """Store snapshots in one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await ChallengeArchive(pool).save(connection, states)


async def test_what_is_stored_is_read_back(archive: ChallengeArchive, pool: asyncpg.Pool) -> None:
    """Every member of the state, whatever it is."""
    state = state_of(new_payer(), attempts_left=2, why="superseded", answer_key="k", resend_at=NOON)
    await save(pool, state)
    assert await archive.get(state.id, CLIENT) == state


async def test_an_older_revision_never_replaces_a_newer(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """Commits reach PostgreSQL in another order than the scripts ran."""
    newer = state_of(new_payer(), revision=5, attempts_left=2)
    older = msgspec.structs.replace(newer, revision=4, attempts_left=3)
    same = msgspec.structs.replace(newer, attempts_left=1)
    for state in (newer, older, same):
        await save(pool, state)
        assert await archive.get(newer.id, CLIENT) == newer
    newest = msgspec.structs.replace(newer, revision=6, attempts_left=1)
    await save(pool, newest)
    assert await archive.get(newer.id, CLIENT) == newest


@pytest.mark.parametrize("status", [status for status in Status if status.is_final])
async def test_a_final_status_is_never_replaced_by_another(
    archive: ChallengeArchive, pool: asyncpg.Pool, status: Status
) -> None:
    """Not even by a newer revision: a store that lost its tail tells an old story with new numbers."""
    final = state_of(new_payer(), status=status, revision=3)
    await save(pool, final)
    for other in Status:
        if other is not status:
            await save(pool, msgspec.structs.replace(final, status=other, revision=9))
    assert await archive.get(final.id, CLIENT) == final


async def test_a_final_status_replaces_pending_whatever_its_revision(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """A store that lost its tail counts anew; what it decides then must still be found."""
    pending = state_of(new_payer(), revision=7)
    final = msgspec.structs.replace(pending, status=Status.APPROVED, revision=3)
    await save(pool, pending)
    await save(pool, final)
    assert await archive.get(pending.id, CLIENT) == final


async def test_a_final_challenge_still_learns_about_its_deliveries(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """A receipt that comes late is kept, the status does not change."""
    final = state_of(new_payer(), status=Status.APPROVED, revision=3)
    later = msgspec.structs.replace(final, revision=4, why="late receipt")
    await save(pool, final)
    await save(pool, later)
    assert await archive.get(final.id, CLIENT) == later


async def test_of_several_states_in_one_commit_the_newest_counts(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """Two requests for one challenge share a commit."""
    first = state_of(new_payer(), revision=1)
    last = msgspec.structs.replace(first, revision=3, status=Status.CANCELLED)
    between = msgspec.structs.replace(first, revision=2)
    await save(pool, first, last, between)
    assert await archive.get(first.id, CLIENT) == last


async def test_a_change_stays_on_its_page_and_touches_no_index(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """HOT: no index holds what changes, and the page has room. Else each change would be written into three indexes."""
    states = [state_of(new_payer()) for _ in range(3)]
    changed = msgspec.structs.replace(states[0], status=Status.APPROVED, revision=2, why="w" * 200)
    async with pool.acquire() as connection, connection.transaction():
        await archive.save(connection, states)
        await archive.save(connection, [changed])
        row = await connection.fetchrow(
            "SELECT n_tup_ins, n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'challenges'"
        )
    assert tuple(row or ()) == (3, 1, 1)


async def test_another_client_finds_nothing(archive: ChallengeArchive, pool: asyncpg.Pool) -> None:
    """An id alone does not open anything."""
    state = state_of(new_payer())
    await save(pool, state)
    assert await archive.get(state.id, "other-bank") is None
    assert await archive.get(state_of(new_payer()).id, CLIENT) is None


async def test_a_list_is_complete_and_newest_first(archive: ChallengeArchive, pool: asyncpg.Pool) -> None:
    """Page after page, also where many were created in the same millisecond."""
    payer = new_payer()
    states = [state_of(payer, at_ms=NOON + at // 4) for at in range(11)]
    await save(pool, *states)
    wanted = [state.id for state in sorted(states, key=lambda one: (one.created_at, one.id), reverse=True)]
    found: list[str] = []
    after: tuple[int, str] | None = None
    for _ in range(4):
        page = await archive.page(ChallengeFilter(CLIENT, payer=payer, after=after), most=3)
        found += [state.id for state in page]
        after = (page[-1].created_at, page[-1].id)
    assert found == wanted
    assert await archive.page(ChallengeFilter(CLIENT, payer=payer, after=after), most=3) == []


async def test_each_filter_leaves_out_what_does_not_fit(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """Client, payer, status, purpose and time; a pending one whose time is over counts as expired."""
    payer = new_payer()
    pending = state_of(payer)
    over = state_of(payer, expires_at=NOON + 1)
    approved = state_of(payer, status=Status.APPROVED, at_ms=NOON + 60_000)
    foreign = state_of(payer, client="other-bank")
    await save(pool, pending, over, approved, foreign, state_of(new_payer()))

    async def ids(**members: object) -> set[str]:
        wanted = ChallengeFilter(CLIENT, payer=payer, **members)  # type: ignore[arg-type]
        return {state.id for state in await archive.page(wanted, most=10)}

    assert await ids() == {pending.id, over.id, approved.id}
    assert await ids(status=Status.PENDING) == {pending.id}
    assert await ids(status=Status.EXPIRED) == {over.id}
    assert await ids(status=Status.APPROVED) == {approved.id}
    assert await ids(purpose=Purpose.PAYMENT) == {pending.id, over.id, approved.id}
    assert await ids(purpose=Purpose.LOGIN) == set()
    assert await ids(created_after=datetime.fromtimestamp(NOON / 1000, UTC)) == {approved.id}


async def test_reading_from_a_store_that_is_away_is_said(
    archive: ChallengeArchive, pool: asyncpg.Pool
) -> None:
    """An archive that cannot be read is not an empty one."""
    await pool.close()
    with pytest.raises(StoreUnavailable):
        await archive.get("chl_1", CLIENT)
    with pytest.raises(StoreUnavailable):
        await archive.page(ChallengeFilter(CLIENT), most=1)
