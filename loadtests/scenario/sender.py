"""The sender, on Locust: `python -m loadtests.scenario.sender <plan>`, in the environment `.load`.

One Locust user stands for each kind of client. It does not wait for answers: each of its journeys has a greenlet of
its own, from the moment at which the journey is due.
"""

import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Group
from locust import FastHttpUser, events, task  # its import makes sockets and sleeping gevent's
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

from loadtests.scenario.attackers import Attackers
from loadtests.scenario.auditor import Auditor
from loadtests.scenario.bank import Bank
from loadtests.scenario.calls import Caller, Clock
from loadtests.scenario.handsets import Handsets
from loadtests.scenario.issuer import Issuer
from loadtests.scenario.plan import Notes, Plan
from loadtests.scenario.shapes import ATTACKS, SHAPES, Arrival, Kind, arrivals

MOST_AT_ONCE = 2_000
"""Connections of one client: more requests than that under way is a service that answers no more."""
TIMEOUT_SECONDS = 30.0
DRAIN_SECONDS = 150.0
"""For journeys that have begun: a message, a resend after its cooldown, a message, and slow payers."""
_SAID_EVERY_SECONDS = 10.0

Journey = Callable[[float], None]


class Run:
    """One run. A class because Locust's users share its clock, its notes and what is due."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.notes = Notes(began_at=time.time())
        self.clock = Clock(time.perf_counter())
        self.handsets = Handsets(plan.mailbox, self.notes)
        self.due = arrivals(SHAPES[plan.shape], plan.rates, seconds=plan.seconds, seed=plan.seed)
        self.journeys = Group()
        self.waiting = 0

    def caller(self, session: FastHttpSession, client: str) -> Caller:
        """Calls of a client, with its key."""
        return Caller(session, self.plan.keys[client], self.notes, self.clock)

    def chance(self, whose: str) -> random.Random:
        """Chance that is the same again for the same seed."""
        return random.Random(f"{self.plan.seed} {whose}")  # noqa: S311 - payers of nobody

    def keep(self, journeys: dict[Kind, Journey]) -> None:
        """Begin each of these journeys when it is due, whatever became of those before."""
        due: Sequence[Arrival] = [one for one in self.due if one.kind in journeys]
        self.waiting += 1
        for arrival in due:
            gevent.sleep(max(arrival.due - self.clock.now(), 0))
            self.journeys.start(gevent.Greenlet(self._go, journeys[arrival.kind], arrival.due))
        self.waiting -= 1
        gevent.sleep(self.plan.seconds + DRAIN_SECONDS)  # nothing else is due; the run ends it

    def _go(self, journey: Journey, due: float) -> None:
        try:
            journey(due)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self.notes.surprises.append(f"an answer had another shape than it should: {error!r}")


def clients(run: Run) -> list[type[FastHttpUser]]:
    """The kinds of client, as Locust wants them."""

    class AtCheckout(FastHttpUser):
        """A bank, and those who attack it through its own door."""

        concurrency, network_timeout, connection_timeout = MOST_AT_ONCE, TIMEOUT_SECONDS, TIMEOUT_SECONDS
        fixed_count = 1

        @task
        def arrive(self) -> None:
            """Begin what is due."""
            caller = run.caller(self.client, "bank")
            bank = Bank(caller, run.handsets, run.chance("bank"), run.plan.think)
            attackers = Attackers(bank, run.chance("attackers"))
            attacks = (attackers.spray, attackers.pumping, attackers.replay, attackers.change_amount)
            run.keep({Kind.CHECKOUT: bank.checkout, **dict(zip(ATTACKS, attacks, strict=True))})

    class OfCards(FastHttpUser):
        """An issuer."""

        concurrency, network_timeout, connection_timeout = MOST_AT_ONCE, TIMEOUT_SECONDS, TIMEOUT_SECONDS
        fixed_count = 1

        @task
        def arrive(self) -> None:
            """Begin what is due."""
            issuer = Issuer(run.caller(self.client, "issuer"), run.chance("issuer"))
            run.keep({Kind.BATCH: issuer.batch, Kind.BALANCE: issuer.balance})

    class OfTheLog(FastHttpUser):
        """An auditor."""

        concurrency, network_timeout, connection_timeout = MOST_AT_ONCE, TIMEOUT_SECONDS, TIMEOUT_SECONDS
        fixed_count = 1

        @task
        def arrive(self) -> None:
            """Begin what is due."""
            auditor = Auditor(run.caller(self.client, "auditor"), run.chance("auditor"))
            run.keep({Kind.READING: auditor.read, Kind.EXPORT: auditor.export})

    return [AtCheckout, OfCards, OfTheLog]


def send(plan: Plan) -> Notes:
    """Run the plan; what was seen."""
    run = Run(plan)
    kinds = clients(run)
    environment = Environment(user_classes=kinds, events=events, host=plan.url, stop_timeout=0)
    runner = environment.create_local_runner()
    following = gevent.spawn(run.handsets.follow)
    saying = gevent.spawn(_say, run, environment.stats)
    runner.start(len(kinds), spawn_rate=100)
    gevent.sleep(plan.seconds + 0.5)
    run.journeys.join(timeout=DRAIN_SECONDS)
    if left := len(run.journeys):
        run.notes.surprises.append(f"{left} journeys did not end in {DRAIN_SECONDS:.0f} s")
        run.journeys.kill()
    gevent.sleep(1)  # messages of what was sent last
    gevent.killall([following, saying])
    runner.quit()
    used = resource.getrusage(resource.RUSAGE_SELF)
    run.notes.sender_cpu_seconds = used.ru_utime + used.ru_stime
    return run.notes


def _say(run: Run, stats: Any) -> None:
    while True:
        gevent.sleep(_SAID_EVERY_SECONDS)
        total = stats.total
        print(
            f"  {run.clock.now():4.0f} s: {total.num_requests:,} requests, p99 "
            f"{total.get_response_time_percentile(0.99) or 0:.0f} ms, {len(run.journeys)} journeys under way, "
            f"{len(run.notes.surprises)} surprises",
            flush=True,
        )


if __name__ == "__main__":
    told = Plan.read(Path(sys.argv[1]))
    send(told).write(Path(told.notes))
