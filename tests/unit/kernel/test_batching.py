"""Batches: what is asked within a moment leaves together, and everybody hears of their own."""

import asyncio
from collections.abc import Sequence

import pytest

from sca_service.kernel.batching import Batcher, Tell, at_once
from sca_service.kernel.errors import ScaError, StoreUnavailable


class Store:
    """A store that doubles numbers, as slowly as a test wants. A class because it remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: BaseException | None = None

    async def run(self, items: Sequence[int]) -> Sequence[int | ScaError]:
        """Double each; a negative one is refused."""
        self.batches.append(list(items))
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return [2 * item if item >= 0 else ScaError("refused") for item in items]


@pytest.fixture
def store() -> Store:
    """A store."""
    return Store()


def batcher(
    store: Store, *, in_flight: int = 1, in_batch: int = 100, waiting: int = 1_000
) -> Batcher[int, int]:
    """What collects."""
    return Batcher(at_once(store.run), most_in_flight=in_flight, most_in_batch=in_batch, most_waiting=waiting)


async def test_what_is_asked_in_one_moment_leaves_together(store: Store) -> None:
    """One batch for all, and each hears the answer to its own."""
    batches = batcher(store)
    assert await asyncio.gather(*(batches.submit(number) for number in range(50))) == [
        2 * number for number in range(50)
    ]
    assert store.batches == [list(range(50))]


async def test_what_is_asked_meanwhile_leaves_with_the_next(store: Store) -> None:
    """No more are under way than allowed; those who come later share one batch."""
    batches = batcher(store)
    store.may_answer.clear()
    first = batches.submit(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [batches.submit(number) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.batches == [[1]]
    store.may_answer.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
    assert store.batches == [[1], [2, 3, 4]]


async def test_a_batch_is_bounded(store: Store) -> None:
    """What does not fit goes with the next, in order."""
    batches = batcher(store, in_batch=4)
    await asyncio.gather(*(batches.submit(number) for number in range(10)))
    assert store.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_several_may_be_under_way(store: Store) -> None:
    """As many as allowed, without waiting for each other."""
    batches = batcher(store, in_flight=2, in_batch=1)
    store.may_answer.clear()
    futures = [batches.submit(number) for number in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert store.batches == [[0], [1]]
    store.may_answer.set()
    assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8]


async def test_too_many_that_wait_are_refused_at_once(store: Store) -> None:
    """A queue has an end; who is in it is served all the same."""
    batches = batcher(store, waiting=3)
    futures = [batches.submit(number) for number in range(3)]
    with pytest.raises(StoreUnavailable):
        batches.submit(4)
    assert await asyncio.gather(*futures) == [0, 2, 4]


async def test_one_that_is_refused_harms_no_other(store: Store) -> None:
    """A result that is an error is that item's alone."""
    batches = batcher(store)
    results = await asyncio.gather(*(batches.submit(number) for number in (1, -1, 3)), return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], ScaError)
    assert results[2] == 6


async def test_when_the_store_is_away_nobody_waits_for_a_second_time_out(store: Store) -> None:
    """Those under way and those who wait behind them hear it at the same moment; the next may try again."""
    batches = batcher(store)
    store.may_answer.clear()
    store.error = StoreUnavailable("away")
    first = batches.submit(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    behind = [batches.submit(number) for number in (2, 3)]
    store.may_answer.set()
    results = await asyncio.gather(first, *behind, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert store.batches == [[1]]
    store.error = None
    assert await batches.submit(4) == 8


async def test_who_does_not_wait_any_more_harms_no_other(store: Store) -> None:
    """A request that was given up is served with the rest, and its answer dropped."""
    batches = batcher(store)
    store.may_answer.clear()
    given_up, kept = batches.submit(1), batches.submit(2)
    await asyncio.sleep(0)
    given_up.cancel()
    store.may_answer.set()
    assert await kept == 4
    assert given_up.cancelled()


async def test_draining_waits_for_everything(store: Store) -> None:
    """Nothing that was asked is dropped when a process stops."""
    batches = batcher(store, in_batch=2)
    futures = [batches.submit(number) for number in range(7)]
    await batches.drain()
    assert [future.result() for future in futures] == [0, 2, 4, 6, 8, 10, 12]
    await batches.drain()


async def test_beside_another_leaves_only_a_batch_that_is_worth_it(store: Store) -> None:
    """Who comes meanwhile waits until enough do, or until the one under way is back."""
    batches: Batcher[int, int] = Batcher(
        at_once(store.run), most_in_flight=2, most_in_batch=100, most_waiting=1_000, least_beside=3
    )
    store.may_answer.clear()
    futures = [batches.submit(1)]
    await _turns()
    futures += [batches.submit(number) for number in (2, 3)]
    await _turns()
    assert store.batches == [[1]]
    futures.append(batches.submit(4))
    await _turns()
    futures.append(batches.submit(5))
    await _turns()
    assert store.batches == [[1], [2, 3, 4]]
    store.may_answer.set()
    assert await asyncio.gather(*futures) == [2, 4, 6, 8, 10]
    assert store.batches == [[1], [2, 3, 4], [5]]


async def test_a_result_that_is_told_early_is_kept_when_the_batch_fails() -> None:
    """Who was told nothing yet hears of the failure."""

    async def run(items: Sequence[int], tell: Tell) -> None:
        tell(0, 2 * items[0])
        raise StoreUnavailable("away")

    batches: Batcher[int, int] = Batcher(run, most_in_flight=1, most_in_batch=100, most_waiting=1_000)
    told, failed = await asyncio.gather(batches.submit(1), batches.submit(2), return_exceptions=True)
    assert told == 2
    assert isinstance(failed, StoreUnavailable)


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
