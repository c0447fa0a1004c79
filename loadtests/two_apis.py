"""Two api processes beside one, on the same stores: `make bench ARGS=two-apis`.

With four cores or more each api has one, the load another, and the stores the rest: then rates say how far a second
api takes it (goal: 1.6 times). With fewer, both apis share the first core, so that rates cannot say it. CPU time can:
what a request costs api and stores when two apis work on them, held against what it costs when one does. Where it costs
the same, nothing that they share makes either work more. Bounded in time, loopback only; it ends by itself.
"""

import asyncio
import os
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
from rich.console import Console

from loadtests import generator
from loadtests.generator import CONNECTIONS, Load, Request
from loadtests.orders import answer, payment, right_code
from loadtests.place import API_CORE, API_URL, OTHER_CORE, Place, another_api, running
from loadtests.scenario.watch import children, sample
from loadtests.written import RESULTS, table, write_report
from tests.ports import free_port

GOAL = 1.6
"""Times the rate of one api."""
_NEEDED_CORES = 4
_SECOND_CORE, _LOAD_CORE = 2, 3
_MOST = {"issue": 8_000, "verify": 6_000}
"""Requests prepared for a second, of both loads together."""
PARTS = ("apis", "valkey", "postgres")


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where."""

    second_api: int
    load: int
    stores: tuple[int, ...]

    @property
    def is_enough(self) -> bool:
        """Whether rates say what a second api gives."""
        return self.second_api != API_CORE


def cores() -> Cores:
    """Where things run on this machine."""
    count = os.cpu_count() or 1
    if count < _NEEDED_CORES:
        return Cores(
            API_CORE, OTHER_CORE if count > 1 else API_CORE, (OTHER_CORE,) if count > 1 else (API_CORE,)
        )
    return Cores(_SECOND_CORE, _LOAD_CORE, (OTHER_CORE, *range(_NEEDED_CORES, count)))


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one load: answers a second, p99 in milliseconds, and CPU microseconds a request by part."""

    per_second: float
    p99_ms: float
    micros: dict[str, float]


@dataclass(slots=True)
class Apis:
    """Both apis, and what was measured by what was asked and how many answered. A class because turns add up."""

    place: Place
    second_url: str
    second_pid: int
    cores: Cores
    seconds: int
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    used: set[str] = field(default_factory=set)
    turns: dict[tuple[str, int], list[Turn]] = field(default_factory=dict)

    def round(self, number: int) -> None:
        """Issue and verify by one api and by two; the other order in every second round."""
        for count in (1, 2) if number % 2 else (2, 1):
            self._turn("issue", count, self._orders(_MOST["issue"] * self.seconds))
            self._turn("verify", count, self._answers(_MOST["verify"] * self.seconds))
        rates = "  ".join(
            f"{what} by {count} {turns[-1].per_second:,.0f}/s"
            for (what, count), turns in sorted(self.turns.items())
        )
        self.place.console.print(f"  round {number}: {rates}", soft_wrap=True)

    def _turn(self, what: str, count: int, requests: Sequence[Request]) -> None:
        """Two loads of half of the requests each: both to the first api, or one to each, which then has as many
        connections as the first had by itself. Raises RuntimeError when a request fails.
        """
        urls = (API_URL, API_URL if count == 1 else self.second_url)
        connections = CONNECTIONS // 2 * count
        put = partial(self._put, connections)
        before = self._used()
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(put, urls, (requests[::2], requests[1::2])))
        used = self._used()
        done = sum(one.requests for one in results)
        if any(one.failed for one in results):
            raise RuntimeError(f"{sum(one.failed for one in results)} of {what} failed")
        self.turns.setdefault((what, count), []).append(
            Turn(
                sum(one.per_second for one in results),
                max(one.p99_ms for one in results),
                {part: (used[part] - before[part]) / done * 1e6 for part in PARTS},
            )
        )

    def _put(self, connections: int, url: str, requests: Sequence[Request]) -> generator.Result:
        load = Load(url, self.place.api_key, requests, each_once=True, connections=connections)
        return generator.run(load, seconds=self.seconds, core=self.cores.load)

    def _orders(self, count: int) -> list[Request]:
        return [payment(next(self.payers)) for _ in range(count)]

    def _answers(self, most: int) -> list[Request]:
        """Right answers to what was issued and not answered, as many as a turn may take."""
        fresh = asyncio.run(self._pending())
        while len(fresh) < most and len(fresh) < self._taken_at_most():
            self._put(CONNECTIONS, API_URL, self._orders(_MOST["issue"] * self.seconds))
            fresh = asyncio.run(self._pending())
        fresh = fresh[:most]
        self.used.update(fresh)
        return [answer(one, right_code(self.place.keyring, one)) for one in fresh]

    def _taken_at_most(self) -> float:
        """What a turn takes at most, by what one took before, and with room."""
        known = [
            turn.per_second for (what, _), turns in self.turns.items() if what == "verify" for turn in turns
        ]
        return max(known) * 2.5 * self.seconds if known else float("inf")

    async def _pending(self) -> list[str]:
        connection = await asyncpg.connect(self.place.servers.postgres.url)
        rows = await connection.fetch("SELECT id FROM challenges WHERE status = 'pending'")
        await connection.close()
        return [row["id"] for row in rows if row["id"] not in self.used]

    def _used(self) -> dict[str, float]:
        servers = self.place.servers
        apis = sample(self.place.api.pid).cpu + sample(self.second_pid).cpu
        return {
            "apis": apis,
            "valkey": sample(servers.valkey.pid).cpu,
            "postgres": sample(servers.postgres.pid).cpu,
        }

    def rows(self) -> dict[str, list[str]]:
        """Medians, and what two apis come to beside one: in each round for itself, the median of the rounds."""
        rows: dict[str, list[str]] = {}
        for what in ("issue", "verify"):
            one, two = self.turns[what, 1], self.turns[what, 2]
            for count, turns in ((1, one), (2, two)):
                rows[f"{what}, {count} api{'s' * (count > 1)}"] = [
                    f"{value:,.{digits}f}"
                    for value, digits in (
                        (statistics.median(turn.per_second for turn in turns), 0),
                        (statistics.median(turn.p99_ms for turn in turns), 1),
                        *((statistics.median(turn.micros[part] for turn in turns), 0) for part in PARTS),
                    )
                ]
            pairs = list(zip(one, two, strict=True))
            rows[f"{what}, two / one"] = [
                f"{statistics.median(after / before for before, after in values):.2f}"
                for values in (
                    [(a.per_second, b.per_second) for a, b in pairs],
                    [(a.p99_ms, b.p99_ms) for a, b in pairs],
                    *([(a.micros[part], b.micros[part]) for a, b in pairs] for part in PARTS),
                )
            ]
        return rows


def two_apis(*, rounds: int = 4, seconds: int = 3, results: Path = RESULTS) -> None:
    """Measure two api processes beside one.

    Parameters
    ----------
    rounds
        How many.
    seconds
        How long each load lasts.
    """
    console = Console(highlight=False)
    load_before, where, port = os.getloadavg()[0], cores(), free_port()
    with (
        running(console) as place,
        another_api(place, "sca_service", port, core=where.second_api) as second,
    ):
        _pin(place, where.stores)
        measured = Apis(place, f"http://127.0.0.1:{port}", second.pid, where, seconds)
        for number in range(rounds + 1):
            measured.round(number)
        for turns in measured.turns.values():
            del turns[0]  # code and caches are cold
    titles = ["requests/s", "p99 ms", *(f"CPU µs, {part}" for part in PARTS)]
    rows = measured.rows()
    verdict = _verdict(measured)
    console.print(table(titles, rows), soft_wrap=True)
    console.print(verdict, soft_wrap=True)
    placed = (
        f"Apis on cores {API_CORE} and {where.second_api}, load on {where.load},"
        f" stores on {', '.join(map(str, where.stores))}; {generator.name()}; load {load_before:.1f} before the run."
    )
    write_report(
        console,
        "two-apis",
        title="Two apis beside one",
        told=[f"Medians of {rounds} rounds of {seconds} s. {placed}", verdict],
        titles=titles,
        rows=rows,
        results=results,
    )


def _pin(place: Place, where: Sequence[int]) -> None:
    """Put both stores on these cores, with what they have started so far."""
    for server in (place.servers.valkey, place.servers.postgres):
        for process in (server.pid, *children(server.pid)):
            for thread in Path(f"/proc/{process}/task").iterdir():
                os.sched_setaffinity(int(thread.name), where)


def _verdict(measured: Apis) -> str:
    """What the run says of the goal."""
    if measured.cores.is_enough:
        ratios = {
            what: statistics.median(
                two.per_second / one.per_second
                for one, two in zip(measured.turns[what, 1], measured.turns[what, 2], strict=True)
            )
            for what in ("issue", "verify")
        }
        told = ", ".join(f"{what} {ratio:.2f}" for what, ratio in ratios.items())
        met = "met" if min(ratios.values()) >= GOAL else "missed"
        return f"Rate of two apis over that of one: {told}. The goal of {GOAL} is {met}."
    return (
        f"This machine has {os.cpu_count()} cores, so both apis share one, and rates do not say whether two reach"
        f" {GOAL} times one: {_NEEDED_CORES} cores would. What a request costs with two over what it costs"
        " with one is in the rows `two / one`: 1.00 means that they share nothing which makes them dearer."
    )
