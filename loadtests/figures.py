"""What was measured, round by round, and how it stands to the echo of the same round."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from loadtests.generator import Result
from loadtests.place import cpu_seconds


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

    def report(self, console: Console, goals: dict[str, float], *, p99_goal_ms: float) -> bool:
        """Print medians, ratios and goals. Returns whether every goal is met."""
        table = Table(title="Medians", title_justify="left", box=None, padding=(0, 2))
        for title in ("", "requests/s", "of the echo", "goal", "p50 ms", "p99 ms", "CPU µs"):
            table.add_column(title, justify="right" if title else "left")
        met = True
        for name, results in self.results.items():
            ratio = statistics.median(
                one.per_second / base.per_second
                for one, base in zip(results, self.results["echo"], strict=True)
            )
            p99 = statistics.median(one.p99_ms for one in results)
            goal = goals.get(name)
            met = met and (goal is None or (ratio >= goal and p99 < p99_goal_ms))
            table.add_row(
                name,
                f"{statistics.median(one.per_second for one in results):,.0f}",
                f"{ratio:.2f}",
                f"{goal:.2f}" if goal else "",
                f"{statistics.median(one.p50_ms for one in results):.1f}",
                f"{p99:.1f}",
                f"{statistics.median(self.cpu_us[name]):.0f}",
            )
        console.print(table)
        return met
