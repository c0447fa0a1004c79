"""How long requests take at four fifths of the top rate, when they come by chance: `make bench ARGS=headroom`.

In each round, for issue and for verify: first the top rate, by as many connections as `make bench` has, each of which
asks again when it is answered; then 0.8 of it, by arrivals that do not wait for answers. One sender does both, so its
own cost is in both rates. Bounded in count and time, loopback only; it ends by itself.
"""

import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtests import open_loop
from loadtests.drawn import Chart
from loadtests.generator import CONNECTIONS, Request, request_bytes
from loadtests.open_loop import Delays
from loadtests.orders import answer, payment, right_code
from loadtests.place import API_URL, Place, running
from loadtests.written import RESULTS, write_report

SHARE = 0.8
GOAL_P99_MS = 50.0
_MOST_ISSUED = 4_000
"""A second: for so many there are requests prepared; the run fails when the service is faster."""
_VERIFIED_FOR_ONE_ISSUED = 4
"""At most, in the same time."""
_SHOWN = (50.0, 90.0, 99.0, 99.9)


@dataclass(slots=True)
class Headroom:
    """What was measured, round by round. A class because payers go on and rounds add up."""

    place: Place
    seconds: int
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    tops: dict[str, list[float]] = field(default_factory=dict)
    steady: dict[str, list[Delays]] = field(default_factory=dict)

    def round(self, number: int) -> None:
        """The top rate of each, and the delays at 0.8 of it. Raises RuntimeError when a request fails."""
        for name, prepare in (("issue", self._orders), ("verify", self._answers)):
            most = _MOST_ISSUED if name == "issue" else self.tops["issue"][-1] * _VERIFIED_FOR_ONE_ISSUED
            top = self._send_top(name, prepare(round(most * self.seconds)))
            rate = top.per_second * SHARE
            requests = prepare(round(rate * self.seconds))
            steady = open_loop.send(API_URL, requests, open_loop.by_chance(rate, seed=number))
            _check(name, steady)
            self.tops.setdefault(name, []).append(top.per_second)
            self.steady.setdefault(name, []).append(steady)
            self.place.console.print(
                f"  round {number}: {name} {top.per_second:,.0f}/s at most; at {steady.per_second:,.0f}/s"
                f" p50 {steady.percentile(50):.1f}, p99 {steady.percentile(99):.1f} ms;"
                f" begun late: p99 {steady.late(99):.1f} ms",
                soft_wrap=True,
            )

    def _send_top(self, name: str, requests: Sequence[bytes]) -> Delays:
        top = open_loop.send_at_once(API_URL, requests, seconds=self.seconds, connections=CONNECTIONS)
        _check(name, top)
        if len(top.delays_ms) >= len(requests):
            raise RuntimeError(f"{len(requests):,} of {name} were too few for {self.seconds} s")
        return top

    def _orders(self, count: int) -> list[bytes]:
        return [self._bytes(payment(next(self.payers))) for _ in range(count)]

    def _answers(self, count: int) -> list[bytes]:
        """Right answers to challenges that are issued for them, unmeasured."""
        told = self.place.exchange([payment(next(self.payers)) for _ in range(count)])
        challenges = [str(one["id"]) for one in told if one is not None]
        return [self._bytes(answer(one, right_code(self.place.keyring, one))) for one in challenges]

    def _bytes(self, request: Request) -> bytes:
        return request_bytes(request.path, request.body, self.place.api_key)

    def rows(self) -> dict[str, list[float]]:
        """For each: the top rate, the rate of the arrivals, delays, and how late requests were begun (p99); medians."""
        return {
            name: [
                statistics.median(self.tops[name]),
                statistics.median(one.per_second for one in results),
                *(statistics.median(one.percentile(percent) for one in results) for percent in _SHOWN),
                statistics.median(one.late(99) for one in results),
            ]
            for name, results in self.steady.items()
        }


def _check(name: str, delays: Delays) -> None:
    if delays.failed:
        raise RuntimeError(f"{delays.failed} of {name} failed")


def headroom(*, rounds: int = 3, seconds: int = 4, results: Path = RESULTS) -> None:
    """Measure delays at 0.8 of the top rate, with arrivals by chance.

    Parameters
    ----------
    rounds
        How many.
    seconds
        How long each load lasts; challenges to answer are issued beforehand, which takes longer.
    """
    console = Console(highlight=False)
    load_before = os.getloadavg()[0]
    with running(console) as place:
        measured = Headroom(place, seconds)
        for number in range(1, rounds + 1):
            measured.round(number)
    titles = ["top/s", "at /s", *(f"p{percent:g} ms" for percent in _SHOWN), "begun late, p99 ms"]
    table = Table(
        title=f"At {SHARE} of the top rate, medians", title_justify="left", box=None, padding=(0, 2)
    )
    for title in ("", *titles):
        table.add_column(title, justify="right" if title else "left")
    rows = {name: [f"{value:,.1f}" for value in values] for name, values in measured.rows().items()}
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console.print(table)
    worst = max(values[2 + _SHOWN.index(99.0)] for values in measured.rows().values())
    verdict = f"p99 {worst:.1f} ms, goal: under {GOAL_P99_MS:g} ms at {SHARE} of the top rate"
    console.print(f"  {'met' if worst < GOAL_P99_MS else 'missed'}: {verdict}")
    write_report(
        console,
        "headroom",
        results=results,
        title=f"Delays at {SHARE} of the top rate",
        told=[
            f"Medians of {rounds} rounds of {seconds} s, load {load_before:.1f} before the run. Arrivals by chance; a"
            f" delay counts from when the request was due."
            f" **{'Met' if worst < GOAL_P99_MS else 'Missed'}**: {verdict}.",
        ],
        titles=titles,
        rows=rows,
        charts=[
            Chart(
                title=f"delays at {SHARE} of the top rate",
                unit="ms",
                groups=[f"p{percent:g}" for percent in _SHOWN],
                series={name: values[2 : 2 + len(_SHOWN)] for name, values in measured.rows().items()},
                goals={"p99": GOAL_P99_MS},
            )
        ],
    )
