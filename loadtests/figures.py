"""What was measured, round by round, and how it stands to the echo of the same round."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from loadtests.drawn import Chart
from loadtests.generator import PERCENTILES, Result
from loadtests.place import cpu_seconds

_PRINTED = (50.0, 99.0)
"""All of them are in the report; a terminal is narrower."""


@dataclass(slots=True)
class Figures:
    """Results by name, in the order of the rounds; `echo` is the yardstick. A class because rounds add to it."""

    results: dict[str, list[Result]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, name: str, pid: int, put: Callable[[], Result]) -> Result:
        """Put a load on and note what came of it, and the CPU time that each request took of the process."""
        before = cpu_seconds(pid)
        result = put()
        self.results.setdefault(name, []).append(result)
        self.cpu_us.setdefault(name, []).append((cpu_seconds(pid) - before) / result.requests * 1e6)
        return result

    def newest(self) -> str:
        """The rates of the newest round, on one line."""
        return "  ".join(f"{name} {results[-1].per_second:,.0f}/s" for name, results in self.results.items())

    def report(self, console: Console, goals: Mapping[str, float], *, p99_goal_ms: float) -> bool:
        """Print medians, ratios and goals. Returns whether every goal is met."""
        shown = Table(title="Medians", title_justify="left", box=None, padding=(0, 2))
        for title in ("", *self.titles(_PRINTED)):
            shown.add_column(title, justify="right" if title else "left")
        for name, cells in self.rows(goals, _PRINTED).items():
            shown.add_row(name, *cells)
        console.print(shown)
        return all(
            self.ratio(name) >= goal and self.percentile(name, 99.0) < p99_goal_ms
            for name, goal in goals.items()
        )

    def titles(self, percentiles: Sequence[float] = PERCENTILES) -> Sequence[str]:
        """Of the columns of `rows`."""
        return (
            "requests/s",
            "of the echo",
            "goal",
            *(f"p{percent:g} ms" for percent in percentiles),
            "CPU µs",
        )

    def rows(
        self, goals: Mapping[str, float], percentiles: Sequence[float] = PERCENTILES
    ) -> dict[str, Sequence[str]]:
        """Medians of the rounds, as the cells of a row for each name."""
        return {
            name: (
                f"{statistics.median(one.per_second for one in results):,.0f}",
                f"{self.ratio(name):.2f}",
                f"{goals[name]:.2f}" if name in goals else "",
                *(f"{self.percentile(name, percent):.1f}" for percent in percentiles),
                f"{statistics.median(self.cpu_us[name]):.0f}",
            )
            for name, results in self.results.items()
        }

    def ratio(self, name: str) -> float:
        """Its rate over that of the echo of the same round: the median of the rounds."""
        echo = self.results["echo"]
        return statistics.median(
            one.per_second / base.per_second for one, base in zip(self.results[name], echo, strict=True)
        )

    def percentile(self, name: str, percent: float) -> float:
        """The latency that so many per cent stayed below, in milliseconds: the median of the rounds."""
        return statistics.median(one.percentiles_ms[percent] for one in self.results[name])

    def charts(self, goals: Mapping[str, float], *, p99_goal_ms: float) -> list[Chart]:
        """What is drawn: ratios, latencies, and CPU time."""
        names = list(self.results)
        return [
            Chart(
                "rate over that of the echo",
                "times",
                names,
                {"": [self.ratio(name) for name in names]},
                goals,
            ),
            Chart(
                title="latency at 64 connections",
                unit="ms",
                groups=[f"p{percent:g}" for percent in PERCENTILES],
                series={name: [self.percentile(name, percent) for percent in PERCENTILES] for name in names},
                goals={"p99": p99_goal_ms},
                is_logarithmic=True,
            ),
            Chart(
                title="CPU time of the process for a request",
                unit="µs",
                groups=names,
                series={"": [statistics.median(self.cpu_us[name]) for name in names]},
                goals={},
            ),
            Chart(
                title="requests a second, round by round",
                unit="requests / s",
                groups=[f"{at + 1}" for at in range(len(self.results["echo"]))],
                series={name: [one.per_second for one in results] for name, results in self.results.items()},
                goals={},
            ),
        ]
