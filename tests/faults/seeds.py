"""Runs seed after seed on one deployment, and goes over everything: `python -m tests.faults.seeds --seeds 1000`.

A seed is a window of about a second: what payers do in it and which faults happen follow from the seed alone. Answers
are looked up as they come; the rest is looked at after every so many windows.
"""

import asyncio
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
from cyclopts import run

from tests import device, generator
from tests.faults.auditing import audited, stories_of
from tests.faults.endpoints import Endpoints, impatient_policies
from tests.faults.levels import Levels, grown, levels_of
from tests.faults.place import Place, faketime, opened, small_disk
from tests.faults.schedule import STORES, Fault, Plan, plan_of
from tests.faults.stories import Payers, Stories, scripted
from tests.harness import Bank, Deployment, unique_psu
from tests.rude_server import RudeServer
from tests.valkeys import raw_async_client

_DEVICES, _GENERATORS = 6, 8
_AUDITED_EVERY = 50
_WARM_UP_PLANS = 8
_PATIENCE_SECONDS = 40.0
AT_ONCE = 4
"""So many windows overlap: most of a window is waiting."""


@dataclass(slots=True)
class Trial:
    """A place, and the stories that are told in it."""

    place: Place
    stories: Stories
    endpoints: Endpoints
    without: frozenset[Fault]
    forgiven: set[str] = field(default_factory=set)
    warm: Levels | None = None

    async def warm_up(self) -> list[str]:
        """Play some windows without a fault, and remember what the roles hold then; what was found."""
        plans = [replace(plan_of(seed), blows=()) for seed in range(-_WARM_UP_PLANS, 0)]
        found = await _played(self, plans, AT_ONCE, lambda _: None)
        self.warm = await self.levels()
        return found

    async def levels(self) -> Levels:
        """What the roles hold now."""
        servers = self.place.deployment.servers
        postgres = await asyncpg.connect(servers.postgres.url)
        try:
            async with raw_async_client(servers.valkey.url) as redis:
                return await levels_of(self.place, redis, postgres)
        finally:
            await postgres.close()

    async def grown(self) -> list[str]:
        """What the roles hold more than after the warm-up, once what they are about to let go is gone."""
        assert self.warm, "there was a warm-up"
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while found := grown(self.warm, await self.levels()):
            if asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(1)
        return []

    async def play(self, plan: Plan) -> list[str]:
        """One window; what was found in it."""
        place, stories = self.place, self.stories
        await scripted(place.deployment, *plan.scripted)
        self.endpoints.behave(*plan.endpoints)
        async with asyncio.TaskGroup() as tasks:
            for blow in plan.blows:
                tasks.create_task(place.strike(blow))
            for story, seed in plan.stories:
                tasks.create_task(stories.tell(story, seed))
        if plan.loses_tail:
            await stories.answer_again()
        return self.found()

    def found(self) -> list[str]:
        return [*self.place.found, *self.stories.violations, *self.stories.heard.surprises]

    async def audit(self) -> list[str]:
        """Everything that does not hold once all of it is over."""
        await self.place.check_alive()
        has_lost_tail, self.place.has_lost_tail = self.place.has_lost_tail, False
        return [
            *self.found(),
            *await audited(
                self.place.deployment,
                self.stories.heard.told,
                self.stories.dedupe_keys,
                self.endpoints,
                self.place.apis[0],
                has_lost_tail=has_lost_tail,
                forgiven=self.forgiven,
            ),
        ]


@asynccontextmanager
async def trial(place: Place) -> AsyncIterator[Trial]:
    """A trial in a place that is opened for it, with payers who have enrolled their devices."""
    without = {Fault.STEP_CLOCK} if faketime() is None else set()
    without |= set() if place.disks else {Fault.FULL_DISK}
    place.deployment.policies = impatient_policies(place.deployment.folder)
    async with RudeServer() as server, opened(place):
        endpoints = Endpoints(server)
        await endpoints.open(place.deployment, place.apis[0])
        async with place.deployment.bank(url=place.apis[0]) as bank:
            payers = await _enrolled(bank)
        stories = Stories(place.deployment, place.apis, payers)
        try:
            yield Trial(place, stories, endpoints, frozenset(without))
        finally:
            await stories.close()


async def _enrolled(bank: Bank) -> Payers:
    devices = [unique_psu() for _ in range(_DEVICES)]
    generators = [unique_psu() for _ in range(_GENERATORS)]
    return Payers(
        [(psu, await device.enrolled(bank, psu)) for psu in devices],
        [(psu, (await generator.enrolled(bank, psu))[1]) for psu in generators],
    )


async def run_seeds(
    one: Trial,
    seeds: Iterable[int],
    *,
    only: Collection[Fault] = (),
    audited_every: int = _AUDITED_EVERY,
    at_once: int = AT_ONCE,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Play seeds, so many `at_once`, until something is found; what it is, with the seeds to look at."""
    plans = [plan_of(seed, without=one.without, only=only) for seed in seeds]
    for start in range(0, len(plans), audited_every):
        portion = plans[start : start + audited_every]
        # What loses Redis's tail comes last: then less can be asked for.
        for part in (
            [plan for plan in portion if not plan.loses_tail],
            [plan for plan in portion if plan.loses_tail],
        ):
            found = await _played(one, part, at_once, say) if part else []
            if found:
                first, last = min(plan.seed for plan in portion), max(plan.seed for plan in portion)
                where = f"in seeds {first} to {last}; again: --first {first} --seeds {last - first + 1}"
                return [where, *found, *await stories_of(one.place.deployment, found)]
    return await one.grown() if one.warm else []


async def _played(one: Trial, plans: Sequence[Plan], at_once: int, say: Callable[[str], None]) -> list[str]:
    """Windows that overlap, so many at once, and what is found in them or afterwards."""
    waiting = iter(plans)

    async def keep_playing() -> None:
        for plan in waiting:
            if one.found():
                return
            say(f"seed {plan.seed}: {' '.join(f'{blow.fault}:{blow.target}' for blow in plan.blows)}")
            await one.play(plan)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(keep_playing())
    return one.found() or await one.audit()


def disks(deployment: Deployment, stack: ExitStack) -> tuple[str, ...]:
    """The stores that get a small disk of their own: both, or none where nothing may be mounted."""
    return tuple(store for store in STORES if stack.enter_context(small_disk(deployment.folder / store)))


def seeds(*, seeds: int = 100, first: int = 0, only: str = "", at_once: int = AT_ONCE) -> None:
    """Play so many seeds from the first on; `only` names faults, with commas between."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        deployment = Deployment(Path(folder))
        place = Place(deployment, disks(deployment, stack))
        deployment.start_stores()
        stack.callback(deployment.stop)
        wanted = tuple(Fault(name) for name in only.split(",") if name)

        async def main() -> list[str]:
            async with trial(place) as one:
                await one.warm_up()
                left_out = ", ".join(sorted(one.without)) or "nothing"
                print(f"» {seeds} seeds from {first} on; left out: {left_out}", flush=True)
                found = await run_seeds(
                    one, range(first, first + seeds), only=wanted, say=lambda text: print(text, flush=True)
                )
                heard = one.stories.heard
                print(
                    f"» {len(heard.told)} answers, {heard.undecided} undecided, {heard.unanswered} unanswered"
                )
                calls, taken = len(one.endpoints.server.requests), len(one.endpoints.taken)
                print(f"» held after the warm-up: {one.warm}\n» held now: {await one.levels()}")
                print(f"» {calls} webhooks came, of {taken} messages that were taken")
                return found

        found = asyncio.run(main())
        spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(f"» CPU: {sum(one.ru_utime + one.ru_stime for one in spent):.0f} s")
        if found:
            sys.exit("\n".join(found))


if __name__ == "__main__":
    run(seeds)
