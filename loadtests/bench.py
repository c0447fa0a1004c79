"""Issue and verify against a bare echo, interleaved in one run: ratios mean something where rates are noisy."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import asyncpg
from cyclopts import Parameter
from rich.console import Console

from loadtests import generator, start
from loadtests.figures import Figures
from loadtests.generator import Request
from loadtests.orders import answer, answer_body, payment, right_code
from loadtests.place import API_CORE, OTHER_CORE, Place, rss_mib, running

GOALS = {"verify": 0.70, "issue": 0.55}
P99_GOAL_MS, RSS_GOAL_MIB = 50, 150
MOST_VERIFIED = 5_000
"""Verified in a second at most: for so many there have to be challenges."""
_STARTS = 3
"""How often each role and command is started."""
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

    def report(self) -> bool:
        """Print medians, ratios and goals. Returns whether every goal is met."""
        met = self.figures.report(self.place.console, GOALS, p99_goal_ms=P99_GOAL_MS)
        rss = rss_mib(self.place.api.pid)
        self.place.console.print(f"  api process: {rss:.0f} MiB (goal: under {RSS_GOAL_MIB})")
        return met and rss < RSS_GOAL_MIB

    def profile(self, seconds: int) -> None:
        """Print where the api's time goes while it verifies, by py-spy."""
        self.place.put([payment(next(self.payers)) for _ in range(seconds * 20_000)], seconds * 3)
        answers = asyncio.run(self._answers())
        self.place.profile("verifies", seconds, lambda: self.place.put(answers, seconds + 1))


def bench(
    *, rounds: Annotated[int, Parameter(help="How many.")] = 5, seconds: int = 4, profile: bool = True
) -> None:
    """Measure issue and verify of one api process against a bare echo."""
    console = Console(highlight=False)
    console.print(
        f"» {rounds} rounds; api and echo on core {API_CORE}, load ({generator.name()}) and stores on core {OTHER_CORE}"
    )
    with running(console) as place:
        running_bench = Bench(place)
        for number in range(1, rounds + 1):
            running_bench.round(number, seconds)
        met = running_bench.report()
        if profile:
            running_bench.profile(seconds)
    met = start.report(console, start.measure(_STARTS)) and met
    console.print("  [green]every goal is met[/]" if met else "  [red]a goal is missed[/]")
