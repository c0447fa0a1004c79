"""Signatures of devices, codes of generators and PINs, beside the echo: `python -m loadtests.authenticators_bench`.

Bounded in count and time, loopback only; it ends by itself.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cyclopts import run
from rich.console import Console

from loadtests import generator, payers
from loadtests.bench import ECHO, P99_GOAL_MS
from loadtests.figures import Figures
from loadtests.generator import Result
from loadtests.orders import login, payment
from loadtests.payers import PERIOD_SECONDS, PayersGenerator, SigningDevice
from loadtests.pins import PinQueue
from loadtests.place import API_CORE, OTHER_CORE, Place, rss_mib, running

GOALS = {"device": 0.40, "totp": 0.50}
_OF_A_DEVICE = 4
"""Challenges that a payer's device is asked in one round: a fifth push in a row would be allowed, and no more."""
_LEAST_LEFT_SECONDS = 10
"""Of a generator's period, before a load of its codes begins."""


@dataclass(slots=True)
class AuthenticatorsBench:
    """What was measured, and the payers who answer. A class because rounds build on each other."""

    place: Place
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    figures: Figures = field(default_factory=Figures)
    devices: list[SigningDevice] = field(default_factory=list)
    generators: list[PayersGenerator] = field(default_factory=list)
    period: int = 0
    """The newest of which codes were used."""

    def enrol(self, count: int) -> None:
        """Enrol `count` generators, and devices for as many answers in a round."""
        self.devices = payers.devices(self.place, self.numbers, count // _OF_A_DEVICE)
        self.generators = payers.generators(self.place, self.numbers, count)
        self.period = int(time.time()) // PERIOD_SECONDS - 1

    def round(self, number: int, seconds: int) -> None:
        """One round of all; each challenge is issued before, and answered rightly and once."""
        place, measure = self.place, self.figures.measure
        measure("echo", place.echo.pid, lambda: place.put_echo(ECHO, seconds))
        self.answer_by_devices(seconds)
        self.answer_by_generators(seconds)
        place.console.print(f"  round {number}: {self.figures.newest()}")

    def answer_by_devices(self, seconds: int, *, profile: bool = False) -> None:
        """Measure what devices sign."""
        devices = self.devices * _OF_A_DEVICE
        orders = [payment(device.payer, method="device_signature") for device in devices]
        challenges = self.place.exchange(orders)
        asked = [device.answers(one) for device, one in zip(devices, challenges, strict=True) if one]
        self._put("device", asked, seconds, profile=profile)

    def answer_by_generators(self, seconds: int, *, profile: bool = False) -> None:
        """Measure codes of generators, in a period of which none was used yet."""
        challenges = self.place.exchange([login(one.payer, method="totp") for one in self.generators])
        self._await_period()
        asked = [
            one.answers(challenge)
            for one, challenge in zip(self.generators, challenges, strict=True)
            if challenge
        ]
        self._put("totp", asked, seconds, profile=profile)

    def _put(self, name: str, asked: Sequence[generator.Request], seconds: int, *, profile: bool) -> None:
        if profile:
            self.place.profile(f"answers ({name})", seconds, lambda: self.place.put_and_count(asked, seconds))
            return
        result = self.figures.measure(
            name, self.place.api.pid, lambda: self.place.put_and_count(asked, seconds)
        )
        _refuse_to_run_out(result, len(asked))

    def _await_period(self) -> None:
        """Wait for a period after the newest, with some of it left: every code counts once."""
        while True:
            now = time.time()
            left = PERIOD_SECONDS - now % PERIOD_SECONDS
            if now // PERIOD_SECONDS > self.period and left > _LEAST_LEFT_SECONDS:
                self.period = int(now // PERIOD_SECONDS)
                return
            time.sleep(min(left + 0.1, 1))


def _refuse_to_run_out(result: Result, count: int) -> None:
    """wrk counts the seconds that it had nothing to send in. Raises RuntimeError when it had (or nearly)."""
    if result.requests >= count - 2 * generator.CONNECTIONS:
        raise RuntimeError(f"all {count} answers were sent before the time was over: give a larger --count")


def bench(
    *,
    rounds: int = 5,
    seconds: int = 2,
    count: int = 6_000,
    pin_rounds: int = 5,
    pin_seconds: int = 5,
    profile: bool = False,
) -> None:
    """Measure answers of devices and generators against the echo, then codes beside a queue of PINs.

    With no `rounds`, or no `pin_rounds`, only the other part.
    """
    console = Console(highlight=False)
    console.print(
        f"» {rounds} rounds; api and echo on core {API_CORE}, load ({generator.name()}) and stores on core {OTHER_CORE}"
    )
    with running(console) as place:
        measured = AuthenticatorsBench(place)
        met = True
        if rounds:
            measured.enrol(count)
        for number in range(1, rounds + 1):
            measured.round(number, seconds)
        if rounds:
            met = measured.figures.report(console, GOALS, p99_goal_ms=P99_GOAL_MS)
        if rounds and profile:
            measured.answer_by_devices(seconds, profile=True)
            measured.answer_by_generators(seconds, profile=True)
        if pin_rounds:
            queue = PinQueue(place, measured.numbers)
            queue.enrol()
            for number in range(1, pin_rounds + 1):
                queue.round(number, pin_seconds)
            met = queue.report() and met
        console.print(f"  api process: {rss_mib(place.api.pid):.0f} MiB")
    console.print("  [green]every goal is met[/]" if met else "  [red]a goal is missed[/]")


if __name__ == "__main__":
    run(bench)
