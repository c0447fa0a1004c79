"""Cards and the lane of alerts change the same alerts at the same time: in one order, so that neither is broken off."""

import asyncio
import secrets
from datetime import timedelta

import asyncpg
import pytest

from sca_service.alerts.cards import writer
from sca_service.alerts.cards.desk import CardDesk
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.postgres import in_time
from tests.cards import BY, CLIENT, NOON, SetClock, a_card, balance, card_desk, upcoming
from tests.faults.cuts import until

SECOND = timedelta(seconds=1)
_CHARGES = 4


@pytest.fixture
def desk(pool: asyncpg.Pool, keyring: Keyring) -> CardDesk:
    """A desk over the store."""
    return card_desk(pool, keyring, SetClock())


async def warned_card(desk: CardDesk) -> tuple[str, list[str]]:
    """A card that is not enough for its charges, and their alerts: the first one's id is not the least."""
    while True:
        ref, alerts = a_card(), []
        await desk.put_balance(CLIENT, ref, balance(100), BY)
        for at in range(_CHARGES):
            order = upcoming(200, NOON.date() + timedelta(1), merchant=f"Shop {at}")
            alerts.append((await desk.expect(CLIENT, ref, order, BY))[0].charge)
        ids = [one.alert for one in sorted(alerts, key=lambda charge: charge.id)]
        if ids[0] != min(ids):
            return ref, ids


def _by_chance(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"


async def changed(desk: CardDesk, ref: str, *, forgets: bool) -> None:
    """The card is forgotten, or its balance is enough again, on a machine that is busy too."""
    while True:
        try:
            if forgets:
                await desk.forget(CLIENT, ref, BY)
            else:
                await desk.put_balance(CLIENT, ref, balance(9_000, at=NOON + SECOND), BY)
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("forgets", [False, True])
async def test_a_card_and_a_worker_never_wait_for_each_other(
    pool: asyncpg.Pool, desk: CardDesk, forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker holds the alert with the least id and then wants another of the card's, as its commits do."""
    monkeypatch.setattr(writer, "new_id", _by_chance)  # as the release before names alerts: in any order
    ref, ids = await warned_card(desk)
    async with pool.acquire() as worker, worker.transaction():
        await worker.execute("SELECT FROM alerts WHERE id = $1 FOR UPDATE", min(ids))
        change = asyncio.create_task(changed(desk, ref, forgets=forgets))
        await until(lambda: _is_waiting(pool), "the card waits for the worker")
        await worker.execute("SELECT FROM alerts WHERE id = $1 FOR UPDATE NOWAIT", ids[0])
    await change
    rows = await pool.fetch("SELECT reason FROM alerts WHERE id = ANY($1::text[])", ids)
    assert [row["reason"] for row in rows] == ["recovered"] * _CHARGES


async def _is_waiting(pool: asyncpg.Pool) -> bool:
    asked = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple'))"
    )
    found: bool = await pool.fetchval(asked)
    return found


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_what_is_broken_off_may_be_tried_again(pool: asyncpg.Pool, code: str) -> None:
    """Of two who wait for each other PostgreSQL ends one: nothing of its work is done, and that is no fault of it."""
    with pytest.raises(StoreUnavailable):
        await in_time(pool.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"))
