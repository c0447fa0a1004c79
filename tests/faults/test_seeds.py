"""A hundred seeds of faults on two of each role, and the controls: what the checker has to catch, it catches.

`make faults ARGS="--seeds 1000"` plays more; see tests/faults/README.md.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from tests.faults.place import Place
from tests.faults.schedule import Fault, plan_of
from tests.faults.seeds import disks, run_seeds, trial
from tests.harness import Deployment

pytestmark = pytest.mark.race

_SEEDS = 100
_MOST_SEEDS = 40
"""Within so many seeds each control is caught."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, tuple[str, ...]]]:
    """Stores alone, on small disks where those may be mounted; which have one."""
    with ExitStack() as stack:
        deployment = Deployment(tmp_path_factory.mktemp("sca"))
        mounted = disks(deployment, stack)
        deployment.start_stores()
        stack.callback(deployment.stop)
        yield deployment, mounted


def test_nothing_is_lost_doubled_or_left_open_in_a_hundred_seeds(
    stores: tuple[Deployment, tuple[str, ...]],
) -> None:
    """Kills, cuts, halves of replies, full disks and clocks that step, while every kind of request is made."""
    deployment, mounted = stores

    async def play() -> list[str]:
        async with trial(Place(deployment, mounted)) as one:
            assert await one.warm_up() == []
            found = await run_seeds(one, range(_SEEDS), audited_every=_SEEDS)
            assert len(one.stories.heard.told) > 5 * _SEEDS, "hardly anything was answered"
            return found

    assert asyncio.run(play()) == []


def test_a_seed_is_its_plan() -> None:
    """The same seed, the same faults at the same times and the same stories; another, others."""
    plans = [plan_of(seed) for seed in range(200)]
    assert plans == [plan_of(seed) for seed in range(200)]
    assert len({plan.blows for plan in plans}) == 200
    assert {blow.fault for plan in plans for blow in plan.blows} == set(Fault)


CONTROLS = {
    "torn": (
        {"api": "torn"},
        (Fault.SLOW,),
        "wrong answers left|accepted, and PostgreSQL does not|in Redis, ",
    ),
    "hasty": ({"api": "hasty"}, (Fault.HOLD, Fault.SLOW), "before it was on record"),
    "unguarded": ({"api": "unguarded"}, (Fault.LOSE_TAIL,), "approv"),
    "forgetful": ({"api": "forgetful"}, (Fault.KILL_ROLE,), "in Redis alone|the log does not say why"),
    "careless": (
        {"worker": "careless"},
        (Fault.OUTAGE,),
        "in Redis alone|the log does not say why|undecided",  # a request waits for what is never put on record
    ),
    "endless": ({"worker": "endless"}, (Fault.KILL_ROLE,), "its lease does not end"),
    "skipping": ({"worker": "skipping"}, (Fault.KILL_ROLE,), "is 0 messages to"),
    "deaf": ({"worker": "deaf"}, (Fault.SLOW,), "is called delivered, and was never taken"),
    "asynchronous": ({}, (Fault.KILL_STORE,), "the log does not s|no active authenticator"),
}
"""What is wrong with which role, the faults that it is tried with, and what the checker says in the end."""


@pytest.mark.on_demand
@pytest.mark.parametrize("control", CONTROLS)
def test_what_is_broken_is_caught(tmp_path: Path, control: str) -> None:
    """A step that is not atomic, an answer before its commit, and whatever else a seed is there to find."""
    broken, only, said = CONTROLS[control]
    deployment = Deployment(tmp_path)
    deployment.start_stores()

    async def play() -> list[str]:
        if control == "asynchronous":
            await _commit_later(deployment)
        async with trial(Place(deployment, broken=broken)) as one:
            return await run_seeds(one, range(_MOST_SEEDS), only=only, audited_every=10)

    try:
        found = asyncio.run(play())
    finally:
        deployment.stop()
    assert any(re.search(said, one) for one in found), found


@pytest.mark.on_demand
def test_what_is_hoarded_is_noticed(tmp_path: Path) -> None:
    """An api that lets go of nothing: its memory, sockets and tasks are told after some windows."""
    deployment = Deployment(tmp_path)
    deployment.start_stores()

    async def play() -> list[str]:
        async with trial(Place(deployment, broken={"api": "hoarding"})) as one:
            assert await one.warm_up() == []
            return await run_seeds(one, range(_MOST_SEEDS), only=(Fault.SLOW,))

    try:
        found = asyncio.run(play())
    finally:
        deployment.stop()
    for what in ("memory (KiB)", "sockets", "tasks"):
        for api in ("api-1", "api-2"):
            assert any(one.startswith(api) and f" {what} " in one for one in found), found
    assert not any("worker" in one or "log" in one for one in found), found


async def _commit_later(deployment: Deployment) -> None:
    """Whoever connects from now on is told that a transaction is committed before it is on disk."""
    connection = await asyncpg.connect(deployment.servers.postgres.url)
    await connection.execute("ALTER ROLE sca SET synchronous_commit = off")
    await connection.close()
