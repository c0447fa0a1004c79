"""Limits that a process leases a share of: never more pass than the limit, and right answers ask Redis for little."""

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable, TooEarly
from sca_service.limits import leases
from sca_service.limits.leases import SHARE, Leases
from sca_service.limits.model import Limit, Spent
from sca_service.limits.redis_store import LimitStore
from tests.ports import free_port
from tests.storeroom import new_payer

HOUR_MS = 3_600_000
BURST = 10 * SHARE
HELD = BURST // SHARE


class CountedLimits:
    """Limits in Redis that count how often they were asked."""

    def __init__(self, limits: LimitStore) -> None:
        self._limits = limits
        self.asked = 0

    async def spend(self, wanted: Sequence[Limit]) -> Spent:
        """Spend, and count that."""
        self.asked += 1
        return await self._limits.spend(wanted)

    def give_back(self, spent: Iterable[Limit], *, times: int = 1) -> None:
        """Give back, and count that."""
        self.asked += 1
        self._limits.give_back(spent, times=times)


class FreeLimits:
    """A broken version: a lease that nobody has spent."""

    async def spend(self, wanted: Sequence[Limit]) -> Spent:
        """Grants everything."""
        return Spent(tuple(wanted))

    def give_back(self, spent: Iterable[Limit], *, times: int = 1) -> None:
        """Takes everything."""


@pytest.fixture
def limits(redis: RedisConnection) -> LimitStore:
    """What spends."""
    return LimitStore(redis)


def of_a_client(burst: int = BURST, *, refuses: bool = True) -> Limit:
    """A limit that refills far too slowly to matter."""
    return Limit("verify", new_payer(), HOUR_MS, burst, refuses=refuses)


async def passed(spending: Leases, limit: Limit) -> bool:
    """Whether one more is allowed."""
    try:
        return bool((await spending.spend([limit])).limits)
    except TooEarly:
        return False


async def of_three_processes(processes: Sequence[Leases], limit: Limit) -> int:
    """How many of twice as many pass as the limit allows, in one moment."""
    tries = [passed(processes[at % 3], limit) for at in range(2 * BURST)]
    return sum(await asyncio.gather(*tries))


@pytest.mark.race
async def test_of_many_at_once_over_three_processes_no_more_than_the_limit_pass(limits: LimitStore) -> None:
    """All but what the other processes hold; and nothing passes afterwards."""
    processes, limit = [Leases(limits) for _ in range(3)], of_a_client()
    assert BURST - 2 * HELD <= await of_three_processes(processes, limit) <= BURST
    left = [await passed(one, limit) for one in processes for _ in range(HELD + 1)]
    assert [await passed(one, limit) for one in processes] == [False] * 3
    assert sum(left) <= 2 * HELD


async def test_a_lease_that_nobody_has_spent_lets_more_pass() -> None:
    """What is asserted above does not hold when a lease is not taken from the limit first."""
    assert await of_three_processes([Leases(FreeLimits()) for _ in range(3)], of_a_client()) > BURST


async def test_right_answers_ask_redis_for_little(limits: LimitStore) -> None:
    """Each is spent and given back, some twice for an approval; the limit is whole afterwards."""
    counted, limit = CountedLimits(limits), of_a_client()
    spending = Leases(counted)
    for at in range(200):
        spent = await spending.spend([limit])
        spending.give_back(spent.limits, times=1 + at % 2)
    assert counted.asked <= 2 + 100 // HELD


async def test_a_wrong_answer_stays_spent_and_an_approval_takes_it_back(limits: LimitStore) -> None:
    """Over the whole limit, whatever lies in pockets."""
    spending, limit = Leases(limits), of_a_client()
    assert sum([await passed(spending, limit) for _ in range(BURST + 5)]) == BURST
    spending.give_back([limit], times=2)
    assert [await passed(spending, limit) for _ in range(3)] == [True, True, False]


async def test_what_is_left_of_a_lease_goes_back_at_its_end(
    limits: LimitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may then spend all but what was used."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.0)
    first, second, limit = Leases(limits), Leases(limits), of_a_client()
    assert await passed(first, limit)
    assert await passed(first, limit)  # the first lease has ended by now
    monkeypatch.setattr(leases, "LEASE_SECONDS", 60.0)
    first_holds = HELD - 1
    assert sum([await passed(second, limit) for _ in range(BURST)]) == BURST - 2 - first_holds


async def test_a_small_limit_is_spent_one_at_a_time(limits: LimitStore) -> None:
    """Nothing of it lies in a pocket, so it is exact over processes."""
    first, second, limit = Leases(limits), Leases(limits), of_a_client(5)
    assert sum([await passed(one, limit) for one in (first, second) * 5]) == 5


async def test_what_only_observes_lets_through(limits: LimitStore) -> None:
    """Once it is spent nothing is taken, and so nothing is given back."""
    spending, limit = Leases(limits), of_a_client(refuses=False)
    assert sum([await passed(spending, limit) for _ in range(BURST + 5)]) == BURST
    assert (await spending.spend([limit])).limits == ()


async def test_of_several_all_are_spent_or_none(limits: LimitStore) -> None:
    """What was taken of a large one goes back into the pocket when a small one refuses."""
    spending, large, small = Leases(limits), of_a_client(), of_a_client(1)
    await spending.spend([large, small])
    for _ in range(3):
        with pytest.raises(TooEarly):
            await spending.spend([large, small])
    assert sum([await passed(spending, large) for _ in range(BURST)]) == BURST - 1


async def test_without_redis_nothing_is_leased() -> None:
    """It fails closed."""
    away = LimitStore(RedisConnection(f"redis://127.0.0.1:{free_port()}"))
    with pytest.raises(StoreUnavailable):
        await Leases(away).spend([of_a_client()])
