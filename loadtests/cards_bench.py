"""Balances of cards: how much room they take, and how long one takes at a steady rate.

`python -m loadtests.cards_bench`. Bounded in count and time, loopback only; it ends by itself.
"""

import asyncio
import json
import random
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
from cyclopts import run
from rich.console import Console

from loadtests import open_loop
from loadtests.bench import ECHO
from loadtests.generator import request_bytes
from loadtests.open_loop import Delays
from loadtests.place import API_URL, ECHO_URL, Place, cpu_seconds, running
from sca_service.alerts.cards.content import Holder, sealed_holder

GOAL_P99_MS: Final = 20.0
GOAL_BYTES: Final = 3 * 1024**3 / 5_000_000
"""A card's share of 3 GiB for 5,000,000 of them."""
_CONNECTIONS: Final = 32
_COLUMNS: Final = (
    *("card", "client_id", "psu", "sealed", "currency"),
    *("balance", "threshold", "as_of", "state", "next_check_at"),
)
_SIZE = "SELECT pg_total_relation_size('cards') + pg_total_relation_size('upcoming_charges')"


def bench(*, cards: int = 200_000, rate: int = 1_000, seconds: int = 10, rounds: int = 3) -> None:
    """Fill a table of cards, then put balances and the echo at the same steady rate, in turn.

    Parameters
    ----------
    cards
        How many cards there are.
    rate
        Requests a second.
    seconds
        How long each load lasts.
    rounds
        How often.
    """
    console = Console()
    with running(console) as place:
        bytes_before = asyncio.run(_fill(place, cards))
        console.print(
            f"{cards:,} cards: {bytes_before / cards:.0f} bytes each, with indexes; {_gib(bytes_before, cards)}"
        )
        told: dict[str, list[tuple[Delays, float]]] = {"echo": [], "balance": []}
        for _ in range(rounds):
            echo = [request_bytes(ECHO.path, ECHO.body, "-")] * (rate * seconds)
            told["echo"].append(_steady(echo, rate, ECHO_URL, place.echo.pid))
            puts = _puts(place, cards, rate * seconds)
            told["balance"].append(_steady(puts, rate, API_URL, place.api.pid))
        for name, results in told.items():
            p50, p99 = (
                statistics.median(one.percentile(percent) for one, _ in results) for percent in (50, 99)
            )
            cpu = statistics.median(cpu for _, cpu in results)
            failed = sum(one.failed for one, _ in results)
            console.print(
                f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms at {rate}/s, CPU {cpu:.0f} µs, {failed} failed"
            )
        after = asyncio.run(_size(place))
        console.print(f"after the balances: {after / cards:.0f} bytes each; {_gib(after, cards)}")
        p99 = statistics.median(one.percentile(99) for one, _ in told["balance"])
        met = p99 < GOAL_P99_MS and after / cards < GOAL_BYTES
        console.print("Every goal is met." if met else "Not every goal is met.")


def _gib(size: int, cards: int) -> str:
    return f"5,000,000 would take {size / cards * 5_000_000 / 1024**3:.2f} GiB"


async def _fill(place: Place, cards: int) -> int:
    """Cards as the service stores them: each with a number, a threshold and a holder of its own."""
    now = datetime.now(UTC) - timedelta(days=1)
    keyring = place.keyring

    async def rows() -> AsyncIterator[tuple[object, ...]]:
        for at in range(cards):
            key = keyring.pseudonym("card", "bank", f"card-{at}")
            holder = sealed_holder(keyring, _holder(at), key)
            psu = keyring.pseudonym("payer", "bank", _holder(at).psu_id)
            yield key, "bank", psu, holder, "EUR", 5_000, 2_000, now, "sufficient", None

    async with _connected(place) as connection:
        await connection.copy_records_to_table("cards", columns=_COLUMNS, records=rows())
        await connection.execute("VACUUM ANALYZE cards")
        return int(await connection.fetchval(_SIZE))


async def _size(place: Place) -> int:
    async with _connected(place) as connection:
        return int(await connection.fetchval(_SIZE))


@asynccontextmanager
async def _connected(place: Place) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(place.servers.postgres.url)
    try:
        yield connection
    finally:
        await connection.close()


def _holder(at: int) -> Holder:
    return Holder(f"cust_{at:08d}", f"+49151{10_000_000 + at}", "de-DE")


def _puts(place: Place, cards: int, count: int) -> list[bytes]:
    """Balances that stay above their thresholds, of cards by chance, each newer than all before."""
    chance = random.Random(1)  # noqa: S311 - the same cards in each run
    requests = []
    for _ in range(count):
        at = chance.randrange(cards)
        holder = _holder(at)
        body = {
            "psu": {"id": holder.psu_id, "phone": holder.number, "locale": holder.locale},
            "balance": {"currency": "EUR", "amount": f"{chance.randrange(30, 90)}.00"},
            "as_of": datetime.now(UTC).isoformat(),
            "threshold": {"currency": "EUR", "amount": "20.00"},
        }
        requests.append(
            request_bytes(f"/v1/cards/card-{at}/balance", json.dumps(body), place.api_key, method="PUT")
        )
    return requests


def _steady(requests: Sequence[bytes], rate: int, url: str, pid: int) -> tuple[Delays, float]:
    """The delays at an even rate, and the CPU time of the process for each request, in microseconds."""
    before = cpu_seconds(pid)
    told = open_loop.send(url, requests, open_loop.at_rate(rate), connections=_CONNECTIONS)
    return told, (cpu_seconds(pid) - before) / len(requests) * 1e6


if __name__ == "__main__":
    run(bench)
