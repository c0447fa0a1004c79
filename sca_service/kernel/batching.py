"""Requests that wait for the same store leave together: one pipeline, one commit, for all who ask within a moment.

Measured with redis-py: 65 µs of CPU a call on its own, 18 µs in a shared pipeline.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from sca_service.kernel.errors import StoreUnavailable


def unheard(future: "asyncio.Future[Any]") -> None:
    """Whatever comes of it, nobody waits for it: the event loop is not to print that it failed."""
    future.add_done_callback(_looked_at)


def _looked_at(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


Item = TypeVar("Item")
Result = TypeVar("Result")
Tell = Callable[[int, Any], None]
"""Tells an item, by its place in the batch, its result, or the error that is its own; what comes later is not heard."""
Run = Callable[[Sequence[Item], Tell], Awaitable[None]]
"""Runs a batch and tells each item. What it raises is told all who were told nothing yet."""


def at_once(run: Callable[[Sequence[Item]], Awaitable[Sequence[Any]]]) -> Run[Item]:
    """A run of what has the results of a batch all at once, in the order of its items."""

    async def run_and_tell(items: Sequence[Item], tell: Tell) -> None:
        results = await run(items)
        for place in range(len(items)):
            tell(place, results[place])

    return run_and_tell


class Batcher(Generic[Item, Result]):
    """Collects items within one turn of the event loop and runs them in one go.

    A class because it holds what waits. While `most_in_flight` batches are under way further items wait and leave
    together with the next; beside another one leaves a batch only when `least_beside` items wait, since each has a
    price of its own. When a batch fails because the store is away, all that wait fail with it: nobody waits
    for two time-outs in a row (architecture, decision 7). A result that is an exception fails its own item only.
    """

    def __init__(
        self,
        run: Run[Item],
        *,
        most_in_flight: int,
        most_in_batch: int,
        most_waiting: int,
        least_beside: int = 1,
    ) -> None:
        self._run = run
        self._most_in_flight = most_in_flight
        self._most_in_batch = most_in_batch
        self._most_waiting = most_waiting
        self._least_beside = least_beside
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue one item; the future holds its result. Raises StoreUnavailable when too many wait already."""
        if len(self._waiting) >= self._most_waiting:
            raise StoreUnavailable("too many requests wait for the store")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if not self._scheduled and self._may_start():
            self._scheduled = True
            loop.call_soon(self._start)
        return future

    async def drain(self) -> None:
        """Wait until nothing is under way any more."""
        while self._waiting or self._under_way:
            await asyncio.sleep(0)
            if self._under_way:
                await asyncio.wait(self._under_way)

    def _start(self) -> None:
        self._scheduled = False
        while self._may_start():
            count = min(len(self._waiting), self._most_in_batch)
            batch = [self._waiting.popleft() for _ in range(count)]
            task = asyncio.get_running_loop().create_task(self._settle(batch))
            self._under_way.add(task)
            task.add_done_callback(self._finished)

    def _may_start(self) -> bool:
        if not self._under_way:
            return bool(self._waiting)
        return len(self._under_way) < self._most_in_flight and len(self._waiting) >= self._least_beside

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._start()

    async def _settle(self, batch: "list[tuple[Item, asyncio.Future[Result]]]") -> None:
        def tell(place: int, result: Any) -> None:
            _, future = batch[place]
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        try:
            await self._run([item for item, _ in batch], tell)
        except StoreUnavailable as away:
            batch.extend(self._waiting)
            self._waiting.clear()
            self._fail(batch, away)
        except BaseException as fault:
            self._fail(batch, fault)
            raise

    @staticmethod
    def _fail(batch: "list[tuple[Item, asyncio.Future[Result]]]", error: BaseException) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
