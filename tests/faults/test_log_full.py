"""The log's store is full: nothing is approved that cannot be put on record; it goes on when there is room again."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx

from tests.faults.checker import violations
from tests.faults.cuts import postgres_pids, until
from tests.faults.traffic import Told
from tests.harness import TRANSACTION, Bank, Deployment, unique_psu

_LIMIT_BYTES = 17 * 2**20
"""Above PostgreSQL's log segments of 16 MiB, which it could not do without."""
_EVENTS_BEYOND = 60_000


@contextlib.contextmanager
def no_file_grows(deployment: Deployment) -> Iterator[None]:
    """No process of PostgreSQL may write a file beyond the limit: to the table of events its disk is full."""

    _limit(deployment, str(_LIMIT_BYTES))
    try:
        yield
    finally:
        _limit(deployment, "unlimited")


def _limit(deployment: Deployment, size: str) -> None:
    """Set the soft limit of each process as the account it runs as, which alone may. One that has ended has none."""
    for pid in postgres_pids(deployment):
        with contextlib.suppress(FileNotFoundError):
            owner = Path(f"/proc/{pid}").stat()
            command = ["prlimit", "--pid", str(pid), f"--fsize={size}:unlimited"]
            subprocess.run(
                command, user=owner.st_uid, group=owner.st_gid, check=False, stderr=subprocess.DEVNULL
            )


async def _fill(deployment: Deployment) -> None:
    """More events than fit below the limit, of which the last page has hardly room for another."""
    connection = await asyncpg.connect(deployment.servers.postgres.url)
    try:
        await connection.execute(
            """
            INSERT INTO audit_events (id, at, type, body)
            SELECT 'evt_filler_' || number, now(), 'test.filler', format(
                '{"actor":"test","at_ms":1,"filler":"%s","id":"evt_filler_%s","type":"test.filler"}',
                repeat('x', 250), number)
            FROM generate_series(1, $1) AS number
            """,
            _EVENTS_BEYOND,
        )
        size = await connection.fetchval("SELECT pg_relation_size('audit_events')")
        assert size > _LIMIT_BYTES
    finally:
        await connection.close()


async def test_nothing_is_approved_while_the_log_is_full(deployment: Deployment) -> None:
    """The right code gets 503 for as long as its event cannot be stored; then it is approved, once."""
    await _fill(deployment)
    async with deployment.bank() as bank:
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        code = await bank.code(psu["phone"])
        blocked = await _blocked(bank)
        with no_file_grows(deployment):
            await until(lambda: _are_refused(bank, blocked), "the last page of events is full")
            for _ in range(3):
                assert (await _answer(bank, challenge, code)).status_code == 503
            assert (await bank.get(challenge))["status"] == "pending"

        async def approved() -> bool:
            answer = await _answer(bank, challenge, code)
            return answer.status_code == 200 and answer.json()["outcome"] == "approved"

        await until(approved, "there is room again")
        assert (await bank.get(challenge))["status"] == "approved"
    assert await violations(deployment, [Told(None, challenge, "approved")]) == []


async def _answer(bank: Bank, challenge: str, code: str, *, key: bool = True) -> httpx.Response:
    """The same answer each time: a bank that heard nothing repeats it under its key."""
    body = {"code": code, "transaction": TRANSACTION}
    headers = {"Idempotency-Key": f"answer to {challenge}"} if key else {}
    return await bank.http.post(f"/v1/challenges/{challenge}/verify", json=body, headers=headers)


async def _blocked(bank: Bank) -> str:
    """A challenge every answer to which is an event just shorter than that of an approval."""
    challenge: str = (await bank.issue(psu=unique_psu()))["id"]
    while (await bank.verify(challenge, "00000000"))["outcome"] != "blocked":
        pass
    return challenge


async def _are_refused(bank: Bank, challenge: str) -> bool:
    """Whether no connection of the service finds room any more: each may have a page of its own."""
    answers = [await _answer(bank, challenge, "00000000", key=False) for _ in range(4)]
    return all(answer.status_code == 503 for answer in answers)
