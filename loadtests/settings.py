"""What a parameter of PostgreSQL does to issue and verify: `make bench ARGS="settings wal_compression=lz4"`.

Each argument is a variant: parameters that go together stand between blanks, in quotes. Every turn has servers of its
own, as `sca dev` sets them but for the variant; what is shipped is measured beside them, in turns. Rates differ with
the minute, so CPU of the stores for a request and bytes of write-ahead log tell more. It ends by itself.
"""

import asyncio
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from rich.console import Console

from loadtests.generator import Request, Result
from loadtests.orders import answer, payment, right_code
from loadtests.place import Place, running
from loadtests.scenario.watch import sample
from loadtests.written import RESULTS, table, write_report

OURS = "as shipped"
_MOST_ISSUED = 4_000
"""A second: for so many there are requests prepared."""
TITLES = ("requests/s", "p50 ms", "p99 ms", "api CPU µs", "PostgreSQL CPU µs", "WAL bytes", "commits")


@dataclass(frozen=True, slots=True)
class Used:
    """What was used so far: CPU seconds of both, bytes of write-ahead log, and commits."""

    api: float
    postgres: float
    wal_bytes: int
    commits: int


@dataclass(slots=True)
class Settings:
    """The figures of each variant and of what was asked, turn by turn. A class because turns add up."""

    seconds: int
    figures: dict[tuple[str, str], list[tuple[float, ...]]] = field(default_factory=dict)

    def turn(self, console: Console, variant: str) -> None:
        """One turn of a variant, on fresh servers: what was issued first is answered then."""
        with running(console, parameters(variant)) as place:
            payers = iter(range(10_000_000, 99_999_999))
            place.put([payment(next(payers)) for _ in range(1_000)], 1)  # code and caches are cold
            orders = [payment(next(payers)) for _ in range(_MOST_ISSUED * self.seconds)]
            self._measure(place, variant, "issue", orders)
            self._measure(place, variant, "verify", asyncio.run(_answers(place)))
        console.print(
            "  "
            + "; ".join(
                f"{what}: {', '.join(f'{value:,.0f}' for value in self.figures[variant, what][-1])}"
                for what in ("issue", "verify")
            )
            + f" ({variant})",
            soft_wrap=True,
        )

    def _measure(self, place: Place, variant: str, what: str, requests: Sequence[Request]) -> None:
        before = asyncio.run(_used(place))
        result: Result = place.put(requests, self.seconds)
        after, count = asyncio.run(_used(place)), result.requests
        self.figures.setdefault((variant, what), []).append(
            (
                result.per_second,
                result.p50_ms,
                result.p99_ms,
                (after.api - before.api) / count * 1e6,
                (after.postgres - before.postgres) / count * 1e6,
                (after.wal_bytes - before.wal_bytes) / count,
                (after.commits - before.commits) / count,
            )
        )

    def rows(self) -> dict[str, list[str]]:
        """Medians of each, by what was asked and the variant."""
        return {
            f"{what}, {variant}": [
                f"{statistics.median(column):,.2f}"
                if at == len(TITLES) - 1
                else f"{statistics.median(column):,.0f}"
                for at, column in enumerate(zip(*turns, strict=True))
            ]
            for (variant, what), turns in sorted(self.figures.items(), key=lambda one: one[0][1])
        }


def parameters(variant: str) -> Mapping[str, str]:
    """What stands in a variant: `name=value`, between blanks. Raises ValueError."""
    if variant == OURS:
        return {}
    return dict(one.split("=", 1) for one in variant.split())


async def _answers(place: Place) -> list[Request]:
    connection = await asyncpg.connect(place.servers.postgres.url)
    rows = await connection.fetch("SELECT id FROM challenges WHERE status = 'pending'")
    await connection.close()
    return [answer(row["id"], right_code(place.keyring, row["id"])) for row in rows]


async def _used(place: Place) -> Used:
    connection = await asyncpg.connect(place.servers.postgres.url)
    wal = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
    commits = await connection.fetchval(
        "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    return Used(sample(place.api.pid).cpu, sample(place.servers.postgres.pid).cpu, int(wal), int(commits))


def settings(*variants: str, rounds: int = 3, seconds: int = 3, results: Path = RESULTS) -> None:
    """Measure parameters of PostgreSQL against the shipped ones, in turns.

    Parameters
    ----------
    variants
        Each with its parameters: `"commit_delay=100 commit_siblings=1"`.
    """
    console = Console(highlight=False)
    load_before = os.getloadavg()[0]
    measured = Settings(seconds)
    for _ in range(rounds):
        for variant in (OURS, *variants):
            measured.turn(console, variant)
    console.print(table(TITLES, measured.rows()), soft_wrap=True)
    write_report(
        console,
        "settings",
        title="Parameters of PostgreSQL",
        told=[
            f"Medians of {rounds} turns of {seconds} s each, load {load_before:.1f} before the run. For each request."
        ],
        titles=TITLES,
        rows=measured.rows(),
        results=results,
    )
