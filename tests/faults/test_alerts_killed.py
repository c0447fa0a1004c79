"""Killed around the notice to a replaced line: api after it was queued, worker while it sends. It arrives, and once.

And around a batch: the worker, again and again.
"""

import random
import sqlite3
from contextlib import closing

import asyncpg
import pytest

from sca_service.sandbox.mailbox import MAILBOX_FILE
from tests.alerts import alert_events
from tests.faults.alert_batch import killed_batch
from tests.faults.cuts import restart, until
from tests.generator import activate
from tests.harness import Deployment, Role, unique_psu
from tests.service.test_phone_lines import enrol, enrolled, word

pytestmark = pytest.mark.race


ALERTS = 40
KILLS = 2


def role(deployment: Deployment, name: str) -> Role:
    """The one role of this name."""
    return next(one for one in deployment.roles if one.name == name)


async def test_a_replaced_line_is_told_once_whoever_is_killed(deployment: Deployment) -> None:
    """The api dies behind the activation, the worker amid the sending; another sends it, marked as its second try."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    async with deployment.bank() as bank:
        await enrolled(bank, psu, old)
        authorisation = await word(bank, psu, old)
        line = (await enrol(bank, psu, new, authorisation=authorisation)).json()["authenticator"]["id"]
        code = await bank.code(new)
        before = len(await bank.messages(old))
        role(deployment, "worker").kill()
        activated = (await activate(bank, psu, line, code)).json()
        assert activated["outcome"] == "activated"
    role(deployment, "api").kill()
    restart(deployment, role(deployment, "api"))
    async with (
        deployment.bank() as bank,
        asyncpg.create_pool(deployment.servers.postgres.url, min_size=1, max_size=1) as pool,
    ):
        assert (await activate(bank, psu, line, code)).json()["outcome"] == "not_pending"
        await bank.script("sms", "slow", delay_ms=60_000, next=1)
        worker = restart(deployment, role(deployment, "worker"))
        await until(lambda: _is_sending(deployment), "the supplier keeps the worker waiting")
        worker.kill()
        assert len(await bank.messages(old)) == before
        await pool.execute("UPDATE alerts SET due_at = clock_timestamp()")  # the lease of the dead
        restart(deployment, worker)
        await until(lambda: _is_delivered(pool), "the notice is delivered")
        alert = await pool.fetchval("SELECT id FROM alerts")
        assert len(await bank.messages(old)) == before + 1
        assert len(await bank.messages(new)) == 1, "its code, and no notice"
        events = await alert_events(pool, alert)
        attempts = [event for event in events if event["type"] == "alert.attempted"]
        assert [one["try"] for one in attempts] == [1, 2]
        assert len({one["delivery"] for one in attempts}) == 1


async def test_every_alert_of_a_batch_arrives_once_or_is_marked(deployment: Deployment) -> None:
    """The worker is killed again and again meanwhile; those of a second order with the same keys are suppressed.

    As often as CI has time for: `python -m loadtests.alert_kills` kills it fifty times during ten thousand.
    """
    outcome = await killed_batch(deployment, count=ALERTS, kills=KILLS, chance=random.Random(7))
    outcome.check(ALERTS)


async def _is_sending(deployment: Deployment) -> bool:
    with closing(sqlite3.connect(deployment.folder / MAILBOX_FILE)) as mailbox:
        found = mailbox.execute("SELECT remaining FROM scripts WHERE supplier = 'sandbox-sms'").fetchone()
    return bool(found == (0,))


async def _is_delivered(pool: asyncpg.Pool) -> bool:
    rows = await pool.fetch("SELECT status FROM alerts")
    return [row["status"] for row in rows] == ["delivered"]
