"""Issue and verify against a bare echo, interleaved in one run: ratios mean something where rates are noisy."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import asyncpg
from cyclopts import Parameter
from rich.console import Console

from loadtests import generator, start
from loadtests.figures import Figures
from loadtests.generator import Request
from loadtests.orders import answer, answer_body, payment, right_code
from loadtests.place import API_CORE, OTHER_CORE, Place, rss_mib, running
from loadtests.written import RESULTS, table, write_report

GOALS = {"verify": 1.4, "issue": 0.9}
P99_GOAL_MS, RSS_GOAL_MIB = 30, 150
MOST_VERIFIED = 5_000
"""Verified in a second at most: for so many there have to be challenges."""
ECHO = Request("/echo", answer_body("693554"))


@dataclass(slots=True)
class Bench:
    """What was measured, and who was used for it. A class because rounds build on each other."""

    place: Place
    figures: Figures = field(default_factory=Figures)
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    used: set[str] = field(default_factory=set)

    def round(self, number: int, seconds: int) -> None:
        """One round of all three; verify answers, each once and rightly, what the issue before it issued."""
        place, measure = self.place, self.figures.measure
        measure("echo", place.echo.pid, lambda: place.put_echo(ECHO, seconds))
        measure("issue", place.api.pid, lambda: place.put(self._orders(seconds), seconds))
        answers = asyncio.run(self._answers())
        while (
            len(answers) < MOST_VERIFIED * seconds
        ):  # or the verify would end before its time, and read too slow
            place.put(self._orders(seconds), 2 * seconds)
            answers += asyncio.run(self._answers())
        measure("verify", place.api.pid, lambda: place.put_and_count(answers, seconds))
        place.console.print(f"  round {number}: {self.figures.newest()}")

    def _orders(self, seconds: int) -> list[Request]:
        return [payment(next(self.payers)) for _ in range(seconds * 15_000)]

    async def _answers(self) -> list[Request]:
        """A right answer to every challenge that waits for one."""
        connection = await asyncpg.connect(self.place.servers.postgres.url)
        rows = await connection.fetch("SELECT id FROM challenges WHERE status = 'pending'")
        await connection.close()
        fresh = [row["id"] for row in rows if row["id"] not in self.used]
        self.used.update(fresh)
        return [answer(challenge, right_code(self.place.keyring, challenge)) for challenge in fresh]

    def report(self, rss: float) -> bool:
        """Print medians, ratios and goals. Returns whether every goal is met."""
        met = self.figures.report(self.place.console, GOALS, p99_goal_ms=P99_GOAL_MS)
        self.place.console.print(f"  api process: {rss:.0f} MiB (goal: under {RSS_GOAL_MIB})")
        return met and rss < RSS_GOAL_MIB

    def profile(self, seconds: int) -> None:
        """Print where the api's time goes while it verifies, by py-spy."""
        self.place.put([payment(next(self.payers)) for _ in range(seconds * 20_000)], seconds * 3)
        answers = asyncio.run(self._answers())
        self.place.profile("verifies", seconds, lambda: self.place.put(answers, seconds + 1))


def bench(
    *,
    rounds: Annotated[int, Parameter(help="How many.")] = 5,
    seconds: int = 4,
    profile: bool = True,
    starts: Annotated[int, Parameter(help="How often each role and command is started.")] = 3,
    results: Path = RESULTS,
) -> None:
    """Measure issue and verify of one api process against a bare echo."""
    console = Console(highlight=False)
    load_before = os.getloadavg()[0]
    placed = f"api and echo on core {API_CORE}, load ({generator.name()}) and stores on core {OTHER_CORE}"
    console.print(f"» {rounds} rounds; {placed}", soft_wrap=True)
    with running(console) as place:
        running_bench = Bench(place)
        for number in range(1, rounds + 1):
            running_bench.round(number, seconds)
        rss = rss_mib(place.api.pid)
        met = running_bench.report(rss)
        if profile:
            running_bench.profile(seconds)
    started = start.measure(starts) if starts else {}
    if started:
        met = start.report(console, started) and met
    console.print("  [green]every goal is met[/]" if met else "  [red]a goal is missed[/]")
    figures, goals = running_bench.figures, ", ".join(f"{name} {goal:g}" for name, goal in GOALS.items())
    write_report(
        console,
        "bench",
        results=results,
        title="Issue and verify against a bare echo",
        told=[
            f"Medians of {rounds} rounds of {seconds} s; {placed}; load {load_before:.1f} before the run.",
            f"Goals: {goals} of the echo, p99 under {P99_GOAL_MS} ms, the api under {RSS_GOAL_MIB} MiB"
            f" (it took {rss:.0f}), ready within {start.GOAL_MS:,} ms.",
            f"**{'Every goal is met' if met else 'A goal is missed'}.**",
            *([table(start.TITLES, {what: one.told() for what, one in started.items()})] if started else []),
        ],
        titles=figures.titles(),
        rows=figures.rows(GOALS),
        charts=figures.charts(GOALS, p99_goal_ms=P99_GOAL_MS),
    )
