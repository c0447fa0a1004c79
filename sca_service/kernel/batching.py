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


class Batcher(Generic[Item, Result]):
    """Collects items within one turn of the event loop and runs them in one go.

    A class because it holds what waits. While `most_in_flight` batches are under way further items wait and leave
    together with the next. When a batch fails because the store is away, all that wait fail with it: nobody waits
    for two time-outs in a row (architecture, decision 7). A result that is an exception fails its own item only.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Any]]],
        *,
        most_in_flight: int,
        most_in_batch: int,
        most_waiting: int,
    ) -> None:
        self._run = run
        self._most_in_flight = most_in_flight
        self._most_in_batch = most_in_batch
        self._most_waiting = most_waiting
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
        if not self._scheduled and len(self._under_way) < self._most_in_flight:
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
        while self._waiting and len(self._under_way) < self._most_in_flight:
            count = min(len(self._waiting), self._most_in_batch)
            batch = [self._waiting.popleft() for _ in range(count)]
            task = asyncio.get_running_loop().create_task(self._settle(batch))
            self._under_way.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._start()

    async def _settle(self, batch: "list[tuple[Item, asyncio.Future[Result]]]") -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except StoreUnavailable as away:
            batch.extend(self._waiting)
            self._waiting.clear()
            self._fail(batch, away)
        except BaseException as fault:
            self._fail(batch, fault)
            raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    @staticmethod
    def _fail(batch: "list[tuple[Item, asyncio.Future[Result]]]", error: BaseException) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
