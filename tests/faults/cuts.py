"""Ways to cut: hold back a commit, stop a process, end a lease before its time, let Redis lose its tail."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from sca_service.challenges.model import ChallengeState, decode_state
from tests import warm
from tests.harness import PATIENCE_SECONDS, Deployment, Role, await_ready
from tests.valkeys import raw_client

_ROOT = Path(__file__).parents[2]
_STARTED = ".starting"  # ends the name of what each role logs once it has its stores


def await_true(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds. Raises AssertionError when it does not, in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


async def until(holds: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    """The same for what has to be awaited."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        await asyncio.sleep(0.01)


def restart(deployment: Deployment, role: Role) -> Role:
    """Start a role that was killed, where it was, and wait until it works."""
    deployment.forget(role)
    before = _starts(deployment, role)
    started = deployment.start(role.name, port=role.port, metrics_port=role.metrics_port)
    await_started(deployment, started, before=before)
    return started


def await_started(deployment: Deployment, role: Role, *, before: int = 0) -> None:
    """Wait until a role has its stores: one that is still starting ends when it does not find them."""
    await_true(
        lambda: _starts(deployment, role) > before or role.process.poll() is not None,
        f"the {role.name} has started",
    )
    assert _starts(deployment, role) > before, f"the {role.name} ended with status {role.process.returncode}"


def _starts(deployment: Deployment, role: Role) -> int:
    return (deployment.folder / f"{role.name}-{role.port}.log").read_text().count(_STARTED)


def start_broken(deployment: Deployment, fault: str, *, port: int | None = None) -> Role:
    """Start an api with one thing wrong (`tests/faults/broken.py`), in the first api's place or on a port."""
    port = port or deployment.api.port
    role = Role("api", port, None)  # type: ignore[arg-type]
    role.process = start_broken_role(deployment, fault, role, {})
    deployment.roles.append(role)
    await_ready(role)
    return role


def start_broken_role(
    deployment: Deployment, fault: str, role: Role, environ: Mapping[str, str]
) -> warm.Running:
    """Start a role with one thing wrong where it is; nobody waits for it."""
    config = str(deployment.config(role.port))
    with (deployment.folder / f"{role.name}-{role.port}.log").open("ab") as log:
        return warm.start(
            *("tests.faults.broken", fault, config, role.name),
            stdout=log,
            stderr=log,
            env={**os.environ, **environ},
            cwd=_ROOT,
        )


_END_WHAT_WAITS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
    WHERE relation = 'audit_events'::regclass AND NOT granted
"""


@contextlib.asynccontextmanager
async def commits_held_back(deployment: Deployment, *, are_lost: bool = False) -> AsyncIterator[None]:
    """No audit event is committed while this lasts: what a script has decided stays in the outbox.

    With `are_lost` what waits at the end is never committed: else it would be without the process that was killed.
    """
    connection = await asyncpg.connect(deployment.servers.postgres.url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE audit_events IN EXCLUSIVE MODE")
            yield
            if are_lost:
                await connection.execute(_END_WHAT_WAITS)
    finally:
        await connection.close()


@contextlib.contextmanager
def scripts_held_back(deployment: Deployment) -> Iterator[None]:
    """No script runs while this lasts; what a process has asked for is forgotten when that process dies."""
    with redis_of(deployment) as redis:
        redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        try:
            yield
        finally:
            redis.execute_command("CLIENT", "UNPAUSE")


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes that are there and do not answer (SIGSTOP), as behind a cut network; then they go on."""
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a child of PostgreSQL that has ended meanwhile
            os.kill(pid, number)


def postgres_pids(deployment: Deployment) -> list[int]:
    """The postmaster and all of its children."""
    return family(deployment.servers.postgres.pid)


def family(postmaster: int) -> list[int]:
    """A process and all of its children."""
    return [postmaster, *(pid for pid, parent in parents().items() if parent == postmaster)]


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended while we looked
                status = (folder / "stat").read_text(errors="replace")
                found[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    return found


def redis_of(deployment: Deployment) -> Any:
    """A connection to the deployment's Redis."""
    return raw_client(deployment.servers.valkey.url)


def challenge_key(challenge: str) -> str:
    """Where a challenge's state lies in Redis."""
    return f"{{p{int(challenge[4:6], 16):02d}}}:challenge:{challenge}"


def due_key(challenge: str) -> str:
    """Where the timer of a challenge stands in Redis."""
    return f"{{p{int(challenge[4:6], 16):02d}}}:due"


def state_of(deployment: Deployment, challenge: str) -> ChallengeState:
    """A challenge's state as it lies in Redis."""
    with redis_of(deployment) as redis:
        packed = redis.get(challenge_key(challenge))
    assert packed, "Redis does not have the challenge"
    return decode_state(packed)


def end_lease(deployment: Deployment, challenge: str) -> None:
    """Bring a challenge's timer forward to now, as if its lease of 20 s were over."""
    with redis_of(deployment) as redis:
        redis.zadd(due_key(challenge), {challenge: 1}, xx=True)


class Tail:
    """What Redis writes from now on, to be lost later: the end of its append-only file."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        with redis_of(deployment) as redis:
            redis.execute_command("WAITAOF", 1, 0, 5000)  # all that was decided so far is in the file
        folder = deployment.folder / "valkey" / "appendonlydir"
        self._lengths = {path: path.stat().st_size for path in folder.iterdir()}

    def lose(self) -> None:
        """Kill Redis, cut the file back to where it was, and start it again."""
        valkey = self._deployment.servers.valkey
        valkey.kill()
        for path, length in self._lengths.items():
            os.truncate(path, length)
        valkey.start(self._deployment.folder / "valkey")
