"""The log role's system calls fail, or end it, at random points (strace): afterwards the log is whole."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.postgres import connect_postgres
from sca_service.log_keys import log_signers
from sca_service.sandbox.server_process import launcher
from sca_service.settings import read_settings
from tests.harness import Deployment
from tests.logs import PATIENT_SECONDS, assert_whole
from tests.peers import program
from tests.storeroom import an_event, eventually

pytestmark = [pytest.mark.long, pytest.mark.race]

_WRITES = "write,writev,sendto,sendmsg"
_MOST_PUTS = 1000
_CUT_OFF = "sequencer.waiting"
"""What a log role logs when its connection broke."""


@contextmanager
def broken_log(deployment: Deployment, injection: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A log role under strace, which makes its system calls fail as `injection` says; it is killed at the end."""
    config = deployment.config(1)
    output = (deployment.folder / "broken-log.log").open("ab")
    command = [
        *launcher(death_signal="KILL"),
        *(str(program("strace")), "-f", "-qq", "-o", "/dev/null", "-e", f"inject={injection}"),
        *("-e", f"trace={_WRITES}"),
        *launcher(death_signal="KILL"),  # when strace is killed
        *(sys.executable, "-m", "sca_service", "log", "--config", str(config)),
    ]
    with output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def said(deployment: Deployment) -> str:
    """What the broken log roles logged."""
    return (deployment.folder / "broken-log.log").read_text("utf-8")


async def put(pool: asyncpg.Pool, count: int) -> None:
    """Commit events, as an api does."""
    async with pool.acquire() as connection, connection.transaction():
        await insert_events(connection, [an_event() for _ in range(count)])


async def waiting(pool: asyncpg.Pool) -> int:
    """How many events have no index."""
    count: int = await pool.fetchval(
        "SELECT count(*) FROM audit_events WHERE id NOT IN (SELECT event_id FROM audit_leaves)"
    )
    return count


def kills(seed: int) -> list[str]:
    """At which of its writes the role is killed."""
    chance = random.Random(seed)
    return [f"{_WRITES}:signal=SIGKILL:when={chance.randrange(15, 120)}" for _ in range(6)]


def errors(seed: int) -> list[str]:
    """Which of its writes fail, again and again, and with what."""
    chance = random.Random(seed)
    return [
        f"{_WRITES}:error={error}:when={chance.randrange(60, 120)}+{chance.randrange(70, 130)}"
        for error in ("EIO", "ECONNRESET", "EPIPE", "ENOBUFS")
    ]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[tuple[Deployment, asyncpg.Pool]]:
    """Stores without a role, and connections to PostgreSQL."""
    program("strace")
    deployment = Deployment(tmp_path)
    await asyncio.to_thread(deployment.start_stores)
    url = deployment.servers.postgres.url
    pool = await connect_postgres(url, most_connections=3, statement_deadline_seconds=PATIENT_SECONDS)
    yield deployment, pool
    await pool.close()
    await asyncio.to_thread(deployment.stop)


async def assert_whole_in_the_end(deployment: Deployment, pool: asyncpg.Pool) -> None:
    """A sound log role gives every event its one index, and the tree is the one over them."""
    deployment.start("log")

    async def is_done() -> bool:
        return await waiting(pool) == 0

    await eventually(is_done)
    events = await pool.fetchval("SELECT count(*) FROM audit_events")
    leaves = await pool.fetchrow("SELECT count(*), min(index), max(index) FROM audit_leaves")
    assert leaves
    assert tuple(leaves) == (events, 0, events - 1)
    await assert_whole(pool, log_signers(read_settings(deployment.config(1)))[0].verifier_key)


@pytest.mark.parametrize("seed", [1])
async def test_a_log_role_that_dies_at_a_system_call_leaves_the_log_whole(
    log: tuple[Deployment, asyncpg.Pool], seed: int
) -> None:
    """Killed at writes drawn at random: a round is in the log as a whole, or not at all."""
    deployment, pool = log
    for injection in kills(seed):
        with broken_log(deployment, injection) as process:
            for _ in range(_MOST_PUTS):
                await put(pool, 25)
                await asyncio.sleep(0.02)
                if process.poll() is not None:
                    break
            assert process.poll() == -signal.SIGKILL, injection
    await assert_whole_in_the_end(deployment, pool)


@pytest.mark.parametrize("seed", [1])
async def test_a_log_role_whose_system_calls_fail_leaves_the_log_whole(
    log: tuple[Deployment, asyncpg.Pool], seed: int
) -> None:
    """Its connections break anywhere in a round: it begins the round anew, and goes on."""
    deployment, pool = log
    for injection in errors(seed):
        with broken_log(deployment, injection):
            cut_off = said(deployment).count(_CUT_OFF)
            for _ in range(_MOST_PUTS):
                await put(pool, 25)
                await asyncio.sleep(0.02)
                if said(deployment).count(_CUT_OFF) >= cut_off + 2:
                    break
            assert said(deployment).count(_CUT_OFF) >= cut_off + 2, f"{injection}: {said(deployment)[-1000:]}"
            size = await pool.fetchval("SELECT size FROM log_state")
            for _ in range(_MOST_PUTS):
                await put(pool, 25)
                await asyncio.sleep(0.02)
                if await pool.fetchval("SELECT size FROM log_state") > size:
                    break
            assert await pool.fetchval("SELECT size FROM log_state") > size, injection
    await assert_whole_in_the_end(deployment, pool)
