"""Shapes of traffic: how much there is of each kind at each moment, and when each journey is due.

Arrivals are open-loop: they are drawn before the run and do not wait for answers, so that a service that is slow meets
those who come all the same, and their waiting counts.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from loadtests.scenario.plan import Rates

Share = Callable[[float], float]
"""How much of the full rate there is, when this share (0 to 1) of the run is over."""


class Kind(StrEnum):
    """What arrives. Each is a journey: some requests that belong together."""

    CHECKOUT = "checkout"
    BATCH = "batch"
    BALANCE = "balance"
    READING = "reading"
    EXPORT = "export"
    SPRAY = "spray"
    PUMPING = "pumping"
    REPLAY = "replay"
    CHANGED_AMOUNT = "changed_amount"


ATTACKS = (Kind.SPRAY, Kind.PUMPING, Kind.REPLAY, Kind.CHANGED_AMOUNT)
"""What has to be refused."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: what it means, and how honest traffic and attacks run."""

    meaning: str
    honest: Share
    attack: Share


def _all_the_time(_: float) -> float:
    return 1.0


def _never(_: float) -> float:
    return 0.0


def _payday(over: float) -> float:
    return 0.25 + 0.75 * math.exp(-(((over - 0.5) / 0.17) ** 2))


def _in_the_middle(over: float) -> float:
    return 1.0 if 0.3 <= over < 0.7 else 0.0


SHAPES: dict[str, Shape] = {
    "steady": Shape("the same rate from beginning to end", _all_the_time, _never),
    "payday": Shape("a quarter of the rate, a peak in the middle, and back", _payday, _never),
    "attack": Shape(
        "steady, and from 30 to 70 % of the time attackers beside", _all_the_time, _in_the_middle
    ),
    "soak": Shape("steady, for as long as it takes to see growth", _all_the_time, _never),
}


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """A journey that is due: seconds after the beginning, and of which kind."""

    due: float
    kind: Kind


def full_rates(rates: Rates) -> dict[Kind, float]:
    """Journeys a second at the full rate; the auditor and the issuer keep their share of the checkouts."""
    attacks = dict.fromkeys(ATTACKS, rates.attacks / len(ATTACKS))
    return {
        Kind.CHECKOUT: rates.checkouts,
        Kind.BATCH: rates.checkouts / 100,
        Kind.BALANCE: rates.checkouts / 4,
        Kind.READING: rates.checkouts / 10,
        Kind.EXPORT: 1 / 30,
        **attacks,
    }


def arrivals(shape: Shape, rates: Rates, *, seconds: float, seed: int) -> list[Arrival]:
    """When each journey is due: a Poisson process for each kind, thinned to the shape."""
    drawn = []
    for kind, full in full_rates(rates).items():
        chance = random.Random(f"{seed} {kind}")  # noqa: S311 - the same again for the same seed
        share, due = shape.attack if kind in ATTACKS else shape.honest, 0.0
        while full and (due := due + chance.expovariate(full)) < seconds:
            if chance.random() < share(due / seconds):
                drawn.append(Arrival(due, kind))
    return sorted(drawn)
