"""Alerts: batches accepted, a batch delivered by one worker, and codes beside it. `python -m loadtests.alerts_bench`.

The api, one worker, the embedded stores and an SMS centre that tells every receipt at once, all on loopback. Bounded in
count and time; it stops by itself.
"""

import asyncio
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvloop
from cyclopts import run
from rich.console import Console

from loadtests import generator
from loadtests.deliveries import MOST_SECONDS, PORT, Place, Worker, issue, running
from loadtests.place import cpu_seconds, rss_mib

_IN_BATCH = 1_000
_BATCHES_UNDER_WAY = 4
_MOST_BESIDE = 60
"""Batches beside codes: more than there is time for."""


def batches(count: int, seed: int) -> list[str]:
    """Bodies of so many alerts, each to another payer and number, each with a key of its own; every tenth is wrong."""
    unique = random.Random(seed).sample(range(10_000_000, 99_999_999), count)  # noqa: S311 - numbers of nobody
    alerts = [
        {
            "psu": {"id": f"cust_{number}", "phone": f"+49151{number}", "locale": "de-DE"},
            "template": "upcoming_charge",
            "variables": {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."},
            "channels": [{"channel": "sms"}],
            "dedupe_key": f"card-{number} sub-77 2026-12-01",
        }
        for number in unique
    ]
    for at, alert in enumerate(alerts):
        if at % 10 == 9:
            alert["template"] = "unheard_of"
    return [json.dumps({"alerts": alerts[at : at + _IN_BATCH]}) for at in range(0, count, _IN_BATCH)]


class _Answer(msgspec.Struct):
    """What is looked at of an answer: reading all of it would hold up those who measure."""

    accepted: int


async def accept(place: Place, bodies: Sequence[str]) -> int:
    """Send the batches, some at once; how many alerts were taken in."""
    waiting = iter(bodies)
    accepted = 0

    async def caller() -> None:
        nonlocal accepted
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=2**20)
        for body in waiting:
            status = 503
            while status == 503:  # as a client does: what was queued before is a duplicate then
                writer.write(generator.request_bytes("/v1/alerts/batch", body, place.api_key))
                status, answer = await generator.read_answer(reader)
            if status != 200:
                raise RuntimeError(f"the api answered {status}")
            accepted += msgspec.json.decode(answer, type=_Answer).accepted
        writer.close()

    async with asyncio.TaskGroup() as callers:
        for _ in range(_BATCHES_UNDER_WAY):
            callers.create_task(caller())
    return accepted


async def one_value(place: Place, statement: str) -> Any:
    """What a statement gives."""
    connection = await asyncpg.connect(place.servers.postgres.url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def measure_accepting(place: Place, count: int, api: int, console: Console) -> int:
    """The rate at which alerts are durable and deduplicated."""
    bodies = batches(count, 0)
    before, began = cpu_seconds(api), time.perf_counter()
    accepted = await accept(place, bodies)
    seconds = time.perf_counter() - began
    used = cpu_seconds(api) - before
    stored = await one_value(place, "SELECT count(*) FROM alerts WHERE status = 'queued'")
    if stored != accepted:
        raise RuntimeError(f"{accepted} accepted, {stored} stored")
    console.print(
        f"  accepted: {accepted / seconds:,.0f} alerts/s ({accepted:,} in {seconds:.1f} s, a tenth more was refused), "
        f"{used / count * 1e6:,.0f} µs of CPU each in the api"
    )
    return accepted


async def measure_delivering(
    place: Place, worker: Worker, count: int, console: Console, *, profile: bool
) -> None:
    """The rate at which one worker delivers what is queued, until the last receipt is on record."""
    process = worker.start()
    first, before = time.perf_counter(), 0.0
    spy: subprocess.Popen[bytes] | None = None
    async with asyncio.timeout(MOST_SECONDS):
        while (done := await one_value(place, _DELIVERED)) < count:
            if not done:
                first, before = time.perf_counter(), cpu_seconds(process.pid)
            elif profile and spy is None:
                spy = subprocess.Popen(  # noqa: ASYNC220 - it looks on
                    [
                        ".venv/bin/py-spy",
                        "record",
                        "-p",
                        str(process.pid),
                        "-d",
                        "5",
                        "-f",
                        "raw",
                        "-o",
                        "/dev/stdout",
                    ]
                )
            await asyncio.sleep(0.05)
    seconds = time.perf_counter() - first
    used = cpu_seconds(process.pid) - before
    if spy:
        spy.wait(30)
    console.print(
        f"  delivered: {count / seconds:,.0f} alerts/s from claim to receipt on record ({count:,} in {seconds:.1f} s), "
        f"{used / count * 1e6:,.0f} µs of CPU each in the worker, which takes {rss_mib(process.pid):.0f} MiB"
    )


_DELIVERED = "SELECT count(*) FROM alerts WHERE status = 'delivered'"


async def codes_p99(place: Place, seconds: float, per_second: int) -> float:
    """The 99th percentile of wrong answers to pending challenges at a steady rate, in milliseconds."""
    ids = await issue(place, int(seconds * per_second), per_second=2 * per_second)
    waits: list[float] = []
    began = time.perf_counter()
    numbered = iter(enumerate(ids))
    body = json.dumps({"code": "000000", "transaction": _TRANSACTION})

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for at, challenge in numbered:
            await asyncio.sleep(max(began + at / per_second - time.perf_counter(), 0))
            sent = time.perf_counter()
            path = f"/v1/challenges/{challenge}/verify"
            writer.write(generator.request_bytes(path, body, place.api_key))
            await generator.read_answer(reader)
            waits.append((time.perf_counter() - sent) * 1000)
        writer.close()

    async with asyncio.TaskGroup() as callers:
        for _ in range(16):
            callers.create_task(caller())
    return statistics.quantiles(waits, n=100)[98]


_TRANSACTION = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
}


async def measure_codes(place: Place, worker: Worker, rounds: int, console: Console) -> None:
    """The p99 of verify alone and with batches being accepted and delivered beside it, in turns."""
    worker.start()
    grown = []
    for number in range(rounds):
        alone = await codes_p99(place, 4, 100)
        stop = asyncio.Event()

        prepared = batches(_MOST_BESIDE * _IN_BATCH, number + 1)  # now, or it would hold up those who measure

        async def keep_accepting(bodies: Sequence[str] = prepared, ends: asyncio.Event = stop) -> int:
            accepted = 0
            for body in bodies:
                if not ends.is_set():
                    accepted += await accept(place, [body])
            return accepted

        before, began = cpu_seconds(place.api), time.perf_counter()
        beside = asyncio.create_task(keep_accepting())
        with_batch = await codes_p99(place, 4, 100)
        stop.set()
        accepted, seconds = await beside, time.perf_counter() - began
        used = (cpu_seconds(place.api) - before) / seconds
        grown.append(with_batch / alone)
        console.print(
            f"  verify p99: {alone:.1f} ms alone, {with_batch:.1f} ms beside batches ({grown[-1]:.2f} times), of which "
            f"{accepted / seconds:,.0f} alerts/s were accepted, with {used:.0%} of a core in the api"
        )
    console.print(f"  verify p99 beside batches: {statistics.median(grown):.2f} times that alone (median)")


def bench(*, count: int = 50_000, rounds: int = 3, profile: bool = False) -> None:
    """Measure accepting, delivering by one worker, and codes beside both."""
    console = Console(highlight=False)
    os.environ["SCA_SUPPLIER_CENTRE_PASSWORD"] = "loadtest"  # noqa: S105 - of the centre on loopback
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as place:
        worker = Worker(place)

        async def measure() -> None:
            accepted = await measure_accepting(place, count, place.api, console)
            await measure_delivering(place, worker, accepted, console, profile=profile)
            worker.stop()
            if rounds:
                await measure_codes(place, worker, rounds, console)

        try:
            uvloop.run(measure())
        finally:
            worker.stop()


if __name__ == "__main__":
    run(bench)
