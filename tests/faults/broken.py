"""A role with one thing wrong, to show that tests notice, or that it is none: `python -m tests.faults.broken <fault>
<config> [<role>]`. The role is the api unless another is named.

hasty      answers before the commit, instead of after it
forgetful  takes an event out of the outbox before the commit, instead of after it
racing     reads a limit and then writes it, by its own clock, instead of asking a script
ahead      its clocks go 30 seconds ahead of the others'
torn       reads a challenge, waits, and writes it back before its script decides: read, decide, write
unguarded  takes every approval, whether the challenge was approved before or not
trusting   takes a Redis that took over for one that knows all that was told
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from sca_service import app, core, web
from sca_service.audit import postgres_store
from sca_service.audit.model import Acceptance
from sca_service.audit.private.commitments import PrivateValues
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, Reply
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.settings import read_settings
from tests.racing_limits import RacingLimits

_commits: set[asyncio.Task[None]] = set()


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
    core.Recorder = HastyRecorder  # type: ignore[attr-defined]


def forgetful() -> None:
    """Forget first."""
    core.Recorder = ForgetfulRecorder  # type: ignore[attr-defined]


def racing() -> None:
    """Read, then write."""
    core.LimitStore = RacingLimits  # type: ignore[attr-defined]
    web.LimitStore = RacingLimits  # type: ignore[attr-defined]


def ahead() -> None:
    """Every clock that this process reads by name; what Redis and PostgreSQL tell stays."""
    now_ns = time.time_ns
    time.time_ns = lambda: now_ns() + 30 * 10**9
    time.time = lambda: time.time_ns() / 10**9


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
    core.ChallengeStore = TornStore  # type: ignore[attr-defined]


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


FAULTS = {one.__name__: one for one in (hasty, forgetful, racing, ahead, torn, unguarded, trusting)}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    app.run_role((sys.argv[3:] or ["api"])[0], read_settings(Path(sys.argv[2])))
