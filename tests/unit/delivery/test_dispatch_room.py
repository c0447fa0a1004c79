"""How much a worker takes at once: what it leases and cannot begin in time, another worker would send too."""

import asyncio
from collections import Counter

from sca_service.delivery.dispatch import Dispatcher, Outbound, Plan
from sca_service.delivery.model import SettledDelivery, Settlement
from sca_service.policy.model import Channel, Occasion, Purpose
from sca_service.routing.model import Route, RouteChoice, SendOutcome
from tests.sending import Unlimited
from tests.unit.delivery.test_dispatch import Notes

PARTITIONS = range(64)
MOST_UNDER_WAY = 500


class Backlog:
    """Much that is due; nothing of it leads to a message. It counts what is leased and not worked on yet."""

    def __init__(self, per_partition: int) -> None:
        self.waiting = dict.fromkeys(PARTITIONS, per_partition)
        self.worked_on: Counter[int] = Counter()
        self.endless: set[int] = set()
        self.leased = 0
        self.most_leased = 0

    async def claim(self, partition: int, *, most: int) -> list[int]:
        """Lease some."""
        found = min(most, self.waiting[partition])
        if partition not in self.endless:
            self.waiting[partition] -= found
        self.leased += found
        self.most_leased = max(self.most_leased, self.leased)
        return [partition] * found

    def plan(self, _: int) -> Plan | None:
        """Nothing is to be sent."""
        return None

    async def advance(self, due: int, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """It takes a while."""
        assert plan is None
        assert choice is None
        await asyncio.sleep(0.001)
        self.leased -= 1
        self.worked_on[due] += 1
        return None

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Nothing was sent."""
        raise AssertionError(delivery, settlement)


class NoRoutes:
    """Nobody asks for a route."""

    async def choose(
        self,
        channel: Channel,
        _: object,
        *,
        purpose: Purpose | None,
        occasion: Occasion | None,
        segments: int,
        tried: tuple[str, ...],
        prefer: str = "",
        spent: tuple[str, ...] = (),
    ) -> RouteChoice:
        """Nobody asks."""
        raise AssertionError(channel, purpose, occasion, segments, tried, prefer)

    def observe(self, route: Route, outcome: SendOutcome, latency_ms: int) -> None:
        """Nothing is sent."""
        raise AssertionError(route, outcome, latency_ms)


class OneSignal:
    """Signals everything once, then nothing."""

    def __init__(self) -> None:
        self.waits = 0

    async def wait(self, seconds: float) -> set[int]:
        """Not for longer than a test may take."""
        self.waits += 1
        await asyncio.sleep(min(seconds, 0.001))
        return set()


async def test_a_backlog_is_leased_no_faster_than_it_is_worked_on() -> None:
    """Of 20,000 that are due at once never more are leased than may be under way, and all are worked on, once."""
    book = Backlog(per_partition=20_000 // len(PARTITIONS))
    dispatcher = Dispatcher(
        book=book,
        suppliers={},
        routes=NoRoutes(),
        limits=Unlimited(),
        notes=Notes(),
        signal=OneSignal(),
        partitions=PARTITIONS,
    )
    stop = asyncio.Event()
    running = asyncio.get_running_loop().create_task(dispatcher.run(stop))
    async with asyncio.timeout(60):
        while any(book.waiting.values()) or book.leased:  # noqa: ASYNC110 - the book tells nobody
            await asyncio.sleep(0.005)
    stop.set()
    await running
    assert book.most_leased <= MOST_UNDER_WAY
    assert set(book.worked_on.values()) == {20_000 // len(PARTITIONS)}


async def test_a_backlog_of_one_partition_does_not_hold_up_another() -> None:
    """What is due elsewhere is begun in the next round, not after the backlog."""
    book = Backlog(per_partition=0)
    book.waiting[7] = MOST_UNDER_WAY
    book.endless.add(7)
    dispatcher = Dispatcher(
        book=book,
        suppliers={},
        routes=NoRoutes(),
        limits=Unlimited(),
        notes=Notes(),
        signal=OneSignal(),
        partitions=PARTITIONS,
    )
    stop = asyncio.Event()
    running = asyncio.get_running_loop().create_task(dispatcher.run(stop))
    async with asyncio.timeout(60):
        while not book.worked_on[7]:  # noqa: ASYNC110 - the book tells nobody
            await asyncio.sleep(0)
        book.waiting[8] = 1
        while not book.worked_on[8]:  # noqa: ASYNC110 - the book tells nobody
            await asyncio.sleep(0)
    stop.set()
    await running
