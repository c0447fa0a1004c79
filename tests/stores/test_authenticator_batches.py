"""What concurrent answers read and claim leaves in one statement: each is told what it would be told alone."""

import asyncio

import asyncpg
import pytest

from sca_service.authenticators.model import AuthenticatorType
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

AT_ONCE = 100
"""More than one statement takes."""


async def stored(pool: asyncpg.Pool, kind: str, psu: str = "", state: str = "active") -> AuthenticatorRow:
    """An authenticator, of a payer nobody else has unless it is told."""
    name = new_id("aut")
    await pool.execute(
        "INSERT INTO authenticators (id, client_id, psu, type, state, sealed, last_step)"
        " VALUES ($1, 'bank', $2, $3, $4, 'sealed', 0)",
        name,
        psu or new_id("psu"),
        kind,
        state,
    )
    row = await AuthenticatorStore(pool).of_anybody(name)
    assert row is not None
    return row


async def test_each_reads_its_own(pool: asyncpg.Pool) -> None:
    """By id and by payer, the active and the others, what is there and what is not, and the same one twice."""
    store = AuthenticatorStore(pool)
    rows = [await stored(pool, "totp") for _ in range(5)]
    revoked = await stored(pool, "totp", state="revoked")
    second = await stored(pool, "totp", psu=rows[0].psu)
    await stored(pool, "hotp", psu=rows[1].psu)
    wanted = [*rows, revoked, *rows]
    assert await asyncio.gather(*(store.of_anybody(row.id) for row in wanted)) == wanted
    active = await asyncio.gather(*(store.active(row.psu, AuthenticatorType.TOTP) for row in wanted))
    assert active == [
        [rows[0], second],
        *([row] for row in rows[1:]),
        [],
        [rows[0], second],
        *([row] for row in rows[1:]),
    ]
    assert await store.of_anybody("aut_none") is None
    assert await store.active("nobody", AuthenticatorType.PIN) == []


@pytest.mark.parametrize("name", ["", "aut_\0", "aut_\ud800", "aut_ü", "aut_\n", "a" * 10_000])
async def test_what_is_no_id_spoils_no_read_of_others(pool: asyncpg.Pool, name: str) -> None:
    """Whatever one device says that it is called, those whose statement it shares are read."""
    row, store = await stored(pool, "device_key"), AuthenticatorStore(pool)
    nobody, somebody = await asyncio.gather(store.of_anybody(name), store.of_anybody(row.id))
    assert nobody is None
    assert somebody == row


async def test_each_claims_its_own(pool: asyncpg.Pool) -> None:
    """A hundred at once, each told about its own row: free, used up, another payer's, revoked."""
    store = AuthenticatorStore(pool)
    rows = [await stored(pool, "totp") for _ in range(AT_ONCE)]
    used, other = rows[10], rows[20]
    assert await store.claim(used, 7, "chl_before")
    await pool.execute("UPDATE authenticators SET psu = 'another' WHERE id = $1", other.id)
    await pool.execute("UPDATE authenticators SET state = 'revoked' WHERE id = $1", rows[30].id)
    told = await asyncio.gather(*(store.claim(row, 7, f"chl_{at}") for at, row in enumerate(rows)))
    assert [at for at, held in enumerate(told) if not held] == [10, 20, 30]
    after = await asyncio.gather(*(store.of_anybody(row.id) for row in rows))
    assert [(row.last_step, row.last_challenge) for row in after if row][11] == (7, "chl_11")
    assert [row.last_challenge for row in after if row][10] == "chl_before"


async def test_of_many_claims_of_one_step_one_holds(pool: asyncpg.Pool) -> None:
    """In one batch and in several, of two processes: one challenge has the step, and may have it again."""
    row, stores = await stored(pool, "totp"), (AuthenticatorStore(pool), AuthenticatorStore(pool))
    told = await asyncio.gather(*(stores[at % 2].claim(row, 3, f"chl_{at}") for at in range(AT_ONCE)))
    assert told.count(True) == 1
    winner = f"chl_{told.index(True)}"
    assert await asyncio.gather(*(stores[at % 2].claim(row, 3, winner) for at in range(6))) == [True] * 6


@pytest.mark.parametrize("kind", ["totp", "device_key"])
async def test_who_is_held_up_holds_up_nobody(pool: asyncpg.Pool, kind: str) -> None:
    """While one payer's row is locked, the others' claims in the same batch come through; that one waits, and holds."""
    store = AuthenticatorStore(pool)
    locked, free = await stored(pool, kind), [await stored(pool, kind) for _ in range(5)]

    def claim(row: AuthenticatorRow) -> "asyncio.Task[bool]":
        is_key = kind == "device_key"
        work = store.claim_key(row, "chl_one") if is_key else store.claim(row, 1, "chl_one")
        return asyncio.ensure_future(work)

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM authenticators WHERE id = $1 FOR UPDATE", locked.id)
        waiting, others = claim(locked), [claim(row) for row in free]
        assert await asyncio.gather(*others) == [True] * 5
        assert not waiting.done()
    assert await waiting


async def test_many_claims_leave_in_few_statements(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred claims of as many rows take two statements, not a hundred."""
    store = AuthenticatorStore(pool)
    rows = [await stored(pool, "device_key") for _ in range(AT_ONCE)]
    statements: list[object] = []
    real = in_time

    def counted(work: object) -> object:
        statements.append(work)
        return real(work)  # type: ignore[arg-type]

    monkeypatch.setattr("sca_service.authenticators.postgres_store.in_time", counted)
    assert await asyncio.gather(*(store.claim_key(row, "chl_one") for row in rows)) == [True] * AT_ONCE
    assert len(statements) == 2
