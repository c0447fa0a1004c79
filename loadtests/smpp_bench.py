"""Messages per second through one SMPP bind, for a batch that is queued already: `python -m loadtests.smpp_bench`.

The supplier is the service's own, with its receipts in an embedded Valkey; the SMS centre is `smpp34`'s server in
another process. Bounded: it ends by itself after two batches.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import uvloop
from cyclopts import run

from sca_service.delivery.channels.sms.smpp.supplier import SmppSupplier
from sca_service.delivery.supplier import Message, Word
from sca_service.kernel.connections import RedisConnection
from sca_service.sandbox.servers import ValkeyProcess
from tests.smpp_setup import smpp_supplier, sms

UNDER_WAY = 500
"""As many messages as a worker has under way at once."""
MOST_SECONDS = 120.0


class CountingEar:
    """Counts receipts; `all_heard` is set with the last one that is expected."""

    def __init__(self, expected: int) -> None:
        self.all_heard = asyncio.Event()
        self._outstanding = expected

    async def hear(self, _supplier: str, word: Word) -> None:
        """Take a word in."""
        self._outstanding -= len(word.receipts)
        if self._outstanding <= 0:
            self.all_heard.set()


@dataclass(frozen=True, slots=True)
class Figures:
    """What one batch came to."""

    sent: int
    seconds: float
    until_heard: float
    waits_ms: Sequence[float]
    cpu_seconds: float

    def lines(self) -> list[str]:
        """The figures, to be read."""
        quantiles = statistics.quantiles(self.waits_ms, n=100)
        said = [
            f"  {self.sent / self.seconds:8.0f} messages/s taken ({self.sent} in {self.seconds:.2f} s)",
            f"  {quantiles[49]:8.1f} ms p50, {quantiles[98]:.1f} ms p99 from send to taken, {UNDER_WAY} under way",
        ]
        said.append(
            f"  {self.cpu_seconds / self.sent * 1e6:8.0f} µs of CPU a message in the worker's process"
        )
        if self.until_heard:
            said.append(f"  {self.sent / self.until_heard:8.0f} messages/s taken and their receipts heard")
        return said


async def send_all(supplier: SmppSupplier, messages: Sequence[Message]) -> tuple[float, list[float]]:
    """Send a batch; how long it took in seconds, and each message in milliseconds."""
    queue, waits = iter(messages), []

    async def sender() -> None:
        for message in queue:
            began = time.perf_counter()
            await supplier.send(message)
            waits.append((time.perf_counter() - began) * 1_000)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as senders:
        for _ in range(UNDER_WAY):
            senders.create_task(sender())
    return time.perf_counter() - began, waits


async def measure(redis_url: str, *, messages: int, window: int, receipts: bool) -> Figures:
    """One batch against a centre of its own."""
    command = [sys.executable, "-m", "loadtests.smpp_centre", *(["--receipts"] if receipts else [])]
    centre = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    redis, ear = RedisConnection(redis_url), CountingEar(messages + 1)
    try:
        port = int(await asyncio.to_thread(cast("TextIO", centre.stdout).readline))
        supplier = smpp_supplier(port, redis, ear, window=window)
        await supplier.send(sms())
        batch = [sms(to=f"+49151{number:08d}") for number in range(messages)]
        async with asyncio.timeout(MOST_SECONDS):
            began, cpu_before = time.perf_counter(), time.process_time()
            seconds, waits = await send_all(supplier, batch)
            if receipts:
                await ear.all_heard.wait()
            until_heard = time.perf_counter() - began if receipts else 0.0
            cpu_seconds = time.process_time() - cpu_before
        await supplier.close()
        return Figures(messages, seconds, until_heard, waits, cpu_seconds)
    finally:
        await redis.close()
        centre.kill()
        centre.wait()


def bench(*, messages: int = 30_000, window: int = 200) -> None:
    """Measure one bind, without receipts and with them."""
    valkey = ValkeyProcess()
    with tempfile.TemporaryDirectory() as folder:
        valkey.start(Path(folder))
        try:
            for receipts in (False, True):
                print(f"One bind, window {window}, {'every receipt told' if receipts else 'no receipts'}:")
                figures = uvloop.run(measure(valkey.url, messages=messages, window=window, receipts=receipts))
                print("\n".join(figures.lines()))
        finally:
            valkey.stop()


if __name__ == "__main__":
    run(bench)
