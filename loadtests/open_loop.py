"""Requests that arrive when they arrive, whether an answer was late or not, so that waiting does not hide delays.

Each is due at a moment fixed beforehand, and its delay counts from that moment, also while no connection was free.
"""

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

from loadtests.generator import read_answer

CONNECTIONS = 128
"""Twice those of the closed load, so that a stall of the service finds connections to queue on."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from when each request was due until it was answered. `failed` are answers other than 2xx.

    `late_ms` is how late each was begun: by the sender itself, or because all connections waited for answers.
    """

    delays_ms: Sequence[float]
    late_ms: Sequence[float]
    seconds: float
    failed: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.delays_ms) / self.seconds

    def percentile(self, percent: float) -> float:
        """The delay that so many per cent of the answers stayed below."""
        return _percentile(self.delays_ms, percent)

    def late(self, percent: float) -> float:
        """How late so many per cent of the requests were begun at most."""
        return _percentile(self.late_ms, percent)


def _percentile(values: Sequence[float], percent: float) -> float:
    if len(values) < 2:
        return float("nan")
    return statistics.quantiles(values, n=1000)[round(percent * 10) - 1]


def at_rate(per_second: float) -> Iterator[float]:
    """When requests are due that come evenly, in seconds from the beginning."""
    return (at / per_second for at in itertools.count())


def by_chance(per_second: float, *, seed: int = 1) -> Iterator[float]:
    """When requests are due that do not know of each other (a Poisson process): in bunches, as payers come."""
    chance = random.Random(seed)  # noqa: S311 - the same arrivals in each run
    due = 0.0
    while True:
        due += chance.expovariate(per_second)
        yield due


def send(
    url: str, requests: Sequence[bytes], due_at: Iterable[float], *, connections: int = CONNECTIONS
) -> Delays:
    """Send each when it is due, and wait for all answers."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send(url, zip(due_at, requests, strict=False), connections))


def send_at_once(url: str, requests: Sequence[bytes], *, seconds: float, connections: int) -> Delays:
    """Send one after the other over each connection for so many seconds, as fast as answers come: the top rate."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        until = time.perf_counter() + seconds
        still_time = itertools.takewhile(lambda _: time.perf_counter() < until, requests)
        return runner.run(_send(url, ((0.0, one) for one in still_time), connections))


async def _send(url: str, upcoming: Iterator[tuple[float, bytes]], connections: int) -> Delays:
    place = urlsplit(url)
    delays: list[float] = []
    late: list[float] = []
    failed = 0
    streams = [await asyncio.open_connection(place.hostname, place.port) for _ in range(connections)]
    start = time.perf_counter()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal failed
        for due, request in upcoming:
            if (early := start + due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            late.append((time.perf_counter() - start - due) * 1000)
            writer.write(request)
            status, _ = await read_answer(reader)
            delays.append((time.perf_counter() - start - due) * 1000)
            failed += status // 100 != 2
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for reader, writer in streams:
            tasks.create_task(connection(reader, writer))
    return Delays(delays, late, time.perf_counter() - start, failed)
