"""Ours, a bare echo, a plain ASGI application and privacyIDEA, in turns, in one run: `make compare`.

Each serves alone from core 0; stores and load are on core 1. Bounded in time, loopback only; it ends by itself.
"""

import asyncio
import os
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from cyclopts import run
from rich.console import Console

from loadtests import generator, privacyidea
from loadtests.bench import ECHO
from loadtests.figures import Figures
from loadtests.generator import Load, Result
from loadtests.orders import answer, payment, right_code
from loadtests.place import OTHER_CORE, Place, a_worker, rss_mib, running, served
from loadtests.privacyidea import PrivacyIdea
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
_MOST_ISSUED, _MOST_VERIFIED = 4_000, 3_000
"""In a second, at most."""
_SAME = """| | ours | privacyIDEA |
|---|---|---|
| one-time code by SMS, no PIN asked, each right code once | yes | yes |
| server | uvicorn, one process | gunicorn, one process, 8 threads |
| core | 0, with its worker while it issues | 0 |
| PostgreSQL (embedded, synchronous commit, core 1) | yes | yes |
| Valkey (append-only, every second, core 1) | yes | no |
| connections of the load | 64, kept open | 8, kept open: as many as it has threads |
| the message | handed to a worker, sent after the answer | sent by HTTP before the answer |
| the code | bound to amount and payee, which are compared | bound to nothing |
| record | an event in a log that is hashed into a tree | a row in a table, signed (RSA) |
| the answer | with a signed authentication code (Ed25519) | signed as a whole (RSA) |
| limits on orders and answers, risk, pumping, lockout | yes | a count of failures |
| what else it does | what this project is for | more kinds of factors, directories, RADIUS, a web interface |
"""


@dataclass(slots=True)
class Comparison:
    """What was measured. A class because rounds build on each other."""

    place: Place
    plain_port: int
    plain_pid: int
    other: PrivacyIdea
    figures: Figures = field(default_factory=Figures)
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))

    def round(self, number: int, seconds: int) -> None:
        """Each once, one after the other."""
        place, measure = self.place, self.figures.measure
        measure("echo", place.echo.pid, lambda: place.put_echo(ECHO, seconds))
        measure("plain ASGI", self.plain_pid, lambda: self._plain(seconds))
        before = self._pending()
        with a_worker(place):
            orders = [payment(next(self.payers)) for _ in range(seconds * _MOST_ISSUED)]
            measure("ours: issue", place.api.pid, lambda: place.put(orders, seconds))
        while (
            len(self._pending() - before) < seconds * _MOST_VERIFIED
        ):  # or a verify would have nothing to send
            place.put([payment(next(self.payers)) for _ in range(seconds * _MOST_ISSUED)], seconds)
        fresh = sorted(self._pending() - before)
        answers = [answer(one, right_code(place.keyring, one)) for one in fresh]
        measure("ours: verify", place.api.pid, lambda: place.put_and_count(answers, seconds))
        other = self.other
        measure(
            "privacyIDEA: trigger",
            other.pid,
            lambda: other.put(other.triggers(), seconds, each_once=False),
        )
        right = other.answers()
        measure("privacyIDEA: check", other.pid, lambda: other.put_and_count(right, seconds))
        place.console.print(f"  round {number}: {self.figures.newest()}")

    def _plain(self, seconds: int) -> Result:
        load = Load(f"http://127.0.0.1:{self.plain_port}", "-", [ECHO], each_once=False)
        return generator.run(load, seconds=seconds, core=OTHER_CORE)

    def _pending(self) -> set[str]:
        async def read() -> set[str]:
            connection = await asyncpg.connect(self.place.servers.postgres.url)
            try:
                rows = await connection.fetch("SELECT id FROM challenges WHERE status = 'pending'")
                return {row["id"] for row in rows}
            finally:
                await connection.close()

        return asyncio.run(read())


def markdown(comparison: Comparison, *, seconds: int, load_before: float) -> str:
    """The report."""
    results = comparison.figures.results
    lines = [
        "# Comparison",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {len(results['echo'])} rounds of {seconds} s on {os.cpu_count()} cores, load"
        f" {load_before:.1f} before the run. Medians; the ratios are medians of those of each round.",
        "",
        "| | requests/s | of the echo | p50 ms | p99 ms | CPU µs |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, measured in results.items():
        ratios = [
            one.per_second / base.per_second for one, base in zip(measured, results["echo"], strict=True)
        ]
        medians = [
            statistics.median(getattr(one, member) for one in measured)
            for member in ("per_second", "p50_ms", "p99_ms")
        ]
        lines.append(
            f"| {name} | {medians[0]:,.0f} | {statistics.median(ratios):.4f} | {medians[1]:.1f} | {medians[2]:.1f} |"
            f" {statistics.median(comparison.figures.cpu_us[name]):,.0f} |"
        )
    rss = {"api": comparison.place.api.pid, "privacyIDEA": comparison.other.pid}
    lines += [
        "",
        "Resident: " + ", ".join(f"{name} {rss_mib(pid):.0f} MiB" for name, pid in rss.items()),
        "",
        _SAME,
    ]
    return "\n".join(lines)


def compare(
    *,
    rounds: int = 3,
    seconds: int = 4,
    payers: int = 400,
    programs: Path = ROOT / ".venv" / "compare" / "bin",
    results: Path = ROOT / "loadtests" / "results",
) -> None:
    """Measure all of them and write a report.

    Parameters
    ----------
    payers
        How many privacyIDEA knows: as many right answers are there in a round.
    programs
        Where privacyIDEA's commands are.
    """
    console = Console(highlight=False)
    load_before = os.getloadavg()[0]
    console.print(f"» {rounds} rounds of {seconds} s; load by {generator.name()}")
    with ExitStack() as stack:
        place = stack.enter_context(running(console))
        port = free_port()
        plain = stack.enter_context(served("loadtests.plain:app", port, "/"))
        other = stack.enter_context(privacyidea.running(place.folder / "privacyidea", programs))
        other.enrol(payers)
        comparison = Comparison(place, port, plain.pid, other)
        for number in range(1, rounds + 1):
            comparison.round(number, seconds)
        text = markdown(comparison, seconds=seconds, load_before=load_before)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-compare.md"
    path.write_text(text, "utf-8")
    console.print(text)
    console.print(f"» {path}")


if __name__ == "__main__":
    run(compare)
