"""A role with one thing wrong, to show that tests notice, or that it is none: `python -m tests.faults.broken <fault>
<config> [<role>]`. The role is the api unless another is named.

hasty      answers before the commit, instead of after it
forgetful  takes an event out of the outbox before the commit, instead of after it
racing     reads a limit and then writes it, by its own clock, instead of asking a script
ahead      its clocks go 30 seconds ahead of the others'
torn       reads a challenge, waits, and writes it back before its script decides: read, decide, write
unguarded  takes every approval, whether the challenge was approved before or not
trusting   takes a Redis that took over for one that knows all that was told
careless   takes what others left in the outbox out of it before the commit, instead of after it
endless    leases what it sends for an hour: nobody else takes it up when it dies
skipping   moves on in the log before it writes down what is to be told, instead of together with that
hoarding   keeps memory, a pair of sockets and a task of each commit
deaf       takes every call of an endpoint for a success
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from sca_service import app, core, web, worker_role
from sca_service.audit import postgres_store
from sca_service.audit.drain import Drain
from sca_service.audit.following import postgres_store as following
from sca_service.audit.following.follower import LogFollower
from sca_service.audit.model import Acceptance
from sca_service.audit.private.commitments import PrivateValues
from sca_service.challenges import redis_store
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, Reply
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.settings import read_settings
from sca_service.webhooks.caller import EndpointCaller
from sca_service.webhooks.model import AttemptOutcome, CallResult
from tests.faults.counted import tell_tasks
from tests.racing_limits import RacingLimits

_commits: set[asyncio.Task[None]] = set()
_hoarded: list[tuple[object, ...]] = []


def _put(where: ModuleType, **broken: object) -> None:
    """Have a module use something broken. Raises AttributeError where it uses nothing of that name any more."""
    for name, one in broken.items():
        getattr(where, name)
        setattr(where, name, one)


class HastyRecorder(Recorder):
    """Says that a decision is on record while it is being put there."""

    async def commit(
        self,
        partition: int,
        reply: Reply,
        *,
        with_snapshot: bool = True,
        private: tuple[PrivateValues, ...] = (),
    ) -> bool:
        """True at once."""
        record = super().commit(partition, reply, with_snapshot=with_snapshot, private=private)
        task = asyncio.get_running_loop().create_task(_later(record))
        _commits.add(task)
        task.add_done_callback(_commits.discard)
        return True


async def _later(record: Coroutine[Any, Any, bool]) -> None:
    with contextlib.suppress(StoreUnavailable):
        await record


class ForgetfulRecorder(Recorder):
    """Takes a decision out of the outbox and only then puts it on record."""

    async def commit(
        self,
        partition: int,
        reply: Reply,
        *,
        with_snapshot: bool = True,
        private: tuple[PrivateValues, ...] = (),
    ) -> bool:
        """What the commit comes to."""
        self._outbox.forget(partition, reply.places)
        await asyncio.sleep(0.2)  # it forgets in the background, a few at a time
        return await super().commit(partition, reply, with_snapshot=with_snapshot, private=private)


def hasty() -> None:
    """Answer first."""
    _put(core, Recorder=HastyRecorder)


def forgetful() -> None:
    """Forget first."""
    _put(core, Recorder=ForgetfulRecorder)


def racing() -> None:
    """Read, then write."""
    _put(core, LimitStore=RacingLimits)
    _put(web, LimitStore=RacingLimits)


def ahead() -> None:
    """Every clock that this process reads by name; what Redis and PostgreSQL tell stays."""
    now_ns = time.time_ns
    time.time_ns = lambda: now_ns() + 30 * 10**9
    time.time = lambda: time.time_ns() / 10**9


class HoardingRecorder(Recorder):
    """Lets go of nothing."""

    async def commit(self, *arguments: Any, **members: Any) -> bool:
        """What the commit comes to."""
        task = asyncio.get_running_loop().create_task(asyncio.sleep(86_400))
        _hoarded.append((task, bytearray(os.urandom(512)) * 512, socket.socketpair()))
        return await super().commit(*arguments, **members)


def hoarding() -> None:
    """Keep everything."""
    _put(core, Recorder=HoardingRecorder)


class TornStore(ChallengeStore):
    """Decides on what a challenge was a moment ago."""

    async def answer(self, challenge: ChallengeId, *arguments: Any, **members: Any) -> Reply:
        """What the script says of the state that was read before."""
        key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
        before = await self._redis.command("GET", key)
        await asyncio.sleep(0.02)
        if before:
            await self._redis.command("SET", key, before, "KEEPTTL")
        return await super().answer(challenge, *arguments, **members)


def torn() -> None:
    """Read, decide, write."""
    _put(core, ChallengeStore=TornStore)


def unguarded() -> None:
    """Every acceptance is taken."""
    claim = postgres_store.claim_acceptances

    async def claim_all(connection: Any, acceptances: Sequence[Acceptance]) -> set[Acceptance]:
        await claim(connection, acceptances)
        return set(acceptances)

    postgres_store.claim_acceptances = claim_all


def trusting() -> None:
    """No epochs."""
    make = RedisConnection.__init__

    def made(connection: RedisConnection, *arguments: Any, **members: Any) -> None:
        make(connection, *arguments, **members)
        connection.may_lose = False

    RedisConnection.__init__ = made  # type: ignore[method-assign, assignment]


class CarelessDrain(Drain):
    """Takes out of the outbox what it is about to put on record."""

    async def drain_once(self, before_ms: int) -> int:
        """How many were put on record."""
        for partition in self._partitions:
            found = await self._outbox.left_behind(partition, before_ms=before_ms, most=500)
            self._outbox.forget(partition, [place for place, _ in found])
            await asyncio.gather(*(self._commit(text) for _, text in found))
        return 0


def careless() -> None:
    """Forget first, in the worker."""
    _put(worker_role, Drain=CarelessDrain)


def endless() -> None:
    """An hour for whatever is leased."""
    redis_store.CLAIM_LEASE_MS = redis_store.SEND_LEASE_MS = 3_600_000


class SkippingFollower(LogFollower):
    """Moves on, and then works what it has passed."""

    async def follow_once(self) -> int:
        """How many events it has worked."""
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                portion = await following.take(connection, self._name, most=self._most_at_once)
                if portion is None or not portion.events:
                    return 0
                await following.advance(connection, self._name, portion.next_index)
            await asyncio.sleep(0.1)
            async with connection.transaction():
                await self._work(connection, portion.events)
        return len(portion.events)


def skipping() -> None:
    """Two transactions instead of one."""
    _put(worker_role, LogFollower=SkippingFollower)


class DeafCaller(EndpointCaller):
    """Does not listen to what it is answered."""

    async def call(self, url: str, *, headers: Mapping[str, str], body: str) -> CallResult:
        """Delivered."""
        called = await super().call(url, headers=headers, body=body)
        return CallResult(AttemptOutcome.DELIVERED, called.latency_ms, 200)


def deaf() -> None:
    """Whatever an endpoint answers."""
    _put(worker_role, EndpointCaller=DeafCaller)


FAULTS = {
    one.__name__: one
    for one in (
        *(hasty, forgetful, racing, ahead, hoarding, torn, unguarded),
        *(trusting, careless, endless, skipping, deaf),
    )
}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    tell_tasks(Path(sys.argv[2]).parent)
    app.run_role((sys.argv[3:] or ["api"])[0], read_settings(Path(sys.argv[2])))
