"""What an answer claims in PostgreSQL: a step, a passkey's counter, a device's leave; whoever comes first has it.

What is asserted of parallel claims is asserted of a broken store as well, and has to fail there before it counts here.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import asyncpg
import pytest

from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

AT_ONCE = 20


async def stored(
    pool: asyncpg.Pool, kind: str, *, last_step: int = 0, state: str = "active"
) -> AuthenticatorRow:
    """An authenticator of a payer nobody else has."""
    name = new_id("aut")
    await pool.execute(
        "INSERT INTO authenticators (id, client_id, psu, type, state, sealed, last_step)"
        " VALUES ($1, 'bank', $2, $3, $4, 'sealed', $5)",
        name,
        new_id("psu"),
        kind,
        state,
        last_step,
    )
    row = await AuthenticatorStore(pool).of_anybody(name)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("last_step", "count", "is_claimed"),
    [
        (0, 0, True),
        (-1, 0, True),
        (0, 1, True),
        (4, 5, True),
        (4, 900, True),
        (4, 4, False),
        (4, 3, False),
        (4, 0, False),
    ],
)
async def test_a_counter_grows_or_stays_nothing(
    pool: asyncpg.Pool, last_step: int, count: int, is_claimed: bool
) -> None:
    """WebAuthn section 6.1.1; what was not claimed changed nothing."""
    row, store = await stored(pool, "passkey", last_step=last_step), AuthenticatorStore(pool)
    assert await store.claim_count(row, count, "chl_one") is is_claimed
    after = await store.of_anybody(row.id)
    assert after is not None
    assert (after.last_step, after.last_challenge) == (
        (count, "chl_one") if is_claimed else (last_step, None)
    )


async def test_the_same_challenge_claims_its_count_again(pool: asyncpg.Pool) -> None:
    """A client that heard nothing asks again: by the same count, for the same challenge, and for no other."""
    row, store = await stored(pool, "passkey"), AuthenticatorStore(pool)
    claims = [("chl_one", 5), ("chl_one", 5), ("chl_two", 5), ("chl_two", 6), ("chl_one", 5)]
    told = [await store.claim_count(row, count, challenge) for challenge, count in claims]
    assert told == [True, True, False, True, False]


@pytest.mark.parametrize("state", ["pending", "suspended", "revoked"])
async def test_what_is_not_active_claims_nothing(pool: asyncpg.Pool, state: str) -> None:
    """RTS Art. 27: whatever was read before, and whoever read it."""
    store = AuthenticatorStore(pool)
    passkey, device = (
        await stored(pool, "passkey", state=state),
        await stored(pool, "device_key", state=state),
    )
    assert await store.claim_count(passkey, 7, "chl_one") is False
    assert await store.claim_key(device, "chl_one") is False
    for row in (passkey, device):
        after = await store.of_anybody(row.id)
        assert after is not None
        assert (after.last_step, after.last_challenge, after.used_at) == (0, None, None)


async def test_an_active_device_is_used_now(pool: asyncpg.Pool) -> None:
    """What it signed is for one challenge alone, so the same device may answer the next one."""
    row, store = await stored(pool, "device_key"), AuthenticatorStore(pool)
    for challenge in ("chl_one", "chl_two"):
        assert await store.claim_key(row, challenge)
        after = await store.of_anybody(row.id)
        assert after is not None
        assert after.last_challenge == challenge
        assert after.used_at is not None


class LookThenWriteStore(AuthenticatorStore):
    """Broken: it reads, decides, and writes. Inherits to differ in this one way.

    Two look before the first writes, as they sooner or later would.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self._looked = asyncio.Barrier(2)

    async def claim(self, row: AuthenticatorRow, step: int, challenge: str) -> bool:
        """The same for a generator."""
        return await self.claim_count(row, step, challenge)

    async def claim_count(self, row: AuthenticatorRow, count: int, challenge: str) -> bool:
        """As somebody would write it who does not think of parallel answers."""
        now = await self.of_anybody(row.id)
        if now is None or now.state != "active" or now.last_step >= count:
            return False
        await self._look(row)
        query = "UPDATE authenticators SET last_step = $2, last_challenge = $3 WHERE id = $1"
        await in_time(self._pool.execute(query, row.id, count, challenge))
        return True

    async def claim_key(self, row: AuthenticatorRow, challenge: str) -> bool:
        """The same for a device."""
        now = await self.of_anybody(row.id)
        if now is None or now.state != "active":
            return False
        await self._look(row)
        query = "UPDATE authenticators SET last_challenge = $2, used_at = now() WHERE id = $1"
        await in_time(self._pool.execute(query, row.id, challenge))
        return True

    async def _look(self, _: AuthenticatorRow) -> None:
        with suppress(asyncio.BrokenBarrierError):
            await self._looked.wait()
            await self._looked.abort()


@pytest.mark.parametrize("name", ["claim", "claim_count"])
@pytest.mark.parametrize(
    ("store_kind", "is_guarded"), [(LookThenWriteStore, False), (AuthenticatorStore, True)]
)
@pytest.mark.race
async def test_of_parallel_claims_of_one_step_one_holds(
    pool: asyncpg.Pool, store_kind: type[AuthenticatorStore], is_guarded: bool, name: str
) -> None:
    """A generator's code or a passkey's count comes to many challenges at once: the statement lets one through."""
    row, store = await stored(pool, "passkey" if name == "claim_count" else "hotp"), store_kind(pool)
    claims = (getattr(store, name)(row, 5, f"chl_{number}") for number in range(AT_ONCE))
    told = await asyncio.gather(*claims)
    assert (told.count(True) == 1) is is_guarded


@pytest.mark.race
async def test_claims_of_many_rows_at_once_are_each_their_own(pool: asyncpg.Pool) -> None:
    """Whatever leaves together: a used step, a revoked one and another payer's hold up none of the others."""
    store = AuthenticatorStore(pool)
    fresh = [await stored(pool, "hotp") for _ in range(4)]
    used, revoked = await stored(pool, "hotp", last_step=5), await stored(pool, "hotp", state="revoked")
    others = replace(await stored(pool, "hotp"), psu="somebody else")
    rows = [fresh[0], used, fresh[1], revoked, others, fresh[2], fresh[3]]
    told = await asyncio.gather(*(store.claim(row, 5, f"chl_{at}") for at, row in enumerate(rows)))
    assert told == [row in fresh for row in rows]
    after = [await store.of_anybody(row.id) for row in rows]
    assert [one.last_challenge if one else "" for one in after] == [
        f"chl_{at}" if row in fresh else None for at, row in enumerate(rows)
    ]


class RevokedInBetween(LookThenWriteStore):
    """Broken, and somebody revokes after it looked. Inherits to differ in this one way."""

    async def _look(self, row: AuthenticatorRow) -> None:
        await self._pool.execute("UPDATE authenticators SET state = 'revoked' WHERE id = $1", row.id)


@pytest.mark.parametrize(
    "claim",
    [
        lambda store, row: store.claim_count(row, 5, "chl_one"),
        lambda store, row: store.claim_key(row, "chl_one"),
    ],
)
async def test_a_revocation_in_between_is_not_passed_over(
    pool: asyncpg.Pool, claim: Callable[[AuthenticatorStore, AuthenticatorRow], asyncio.Future[bool]]
) -> None:
    """Whoever looks and then writes lets a revoked one answer; the statement looks and writes at once."""
    row = await stored(pool, "passkey")
    assert await claim(RevokedInBetween(pool), row) is True
    assert await claim(AuthenticatorStore(pool), row) is False
