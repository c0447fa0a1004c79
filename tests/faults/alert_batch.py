"""A worker that is killed over and over while it sends a batch of alerts."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import asyncpg

from sca_service.alerts.tries import MOST_TRIES
from sca_service.sandbox.mailbox import MAILBOX_FILE
from tests.faults.cuts import restart, until
from tests.harness import Bank, Deployment

CHARGE = {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."}
_IN_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a batch: status, messages, and the highest try on record of each alert."""

    statuses: dict[str, str]
    messages: Counter[str]
    tries: dict[str, int]

    @property
    def given_up(self) -> int:
        """How many were given up because three workers died with them."""
        return sum(status == "failed" for status in self.statuses.values())

    @property
    def sent_again(self) -> int:
        """How many were sent once more than needed."""
        return sum(count > 1 for count in self.messages.values())

    def check(self, count: int) -> None:
        """Every alert was sent, and what was sent again is marked so. Raises AssertionError.

        One that three workers died with is given up, and says so: somewhere it may lie at the cause of it.
        """
        assert len(self.statuses) == count, "some are lost"
        given_up = {alert for alert, status in self.statuses.items() if status == "failed"}
        assert all(self.tries[alert] == MOST_TRIES for alert in given_up), "given up before its last try"
        sent = {alert for alert, status in self.statuses.items() if status in ("sent", "delivered")}
        assert len(sent) + len(given_up) == count, Counter(self.statuses.values())
        assert sent <= self.messages.keys(), "some arrived nowhere"
        unmarked = {alert: sent for alert, sent in self.messages.items() if sent > self.tries[alert]}
        assert not unmarked, "sent more often than is on record"


class _Arrivals:
    """The deliveries of alerts' messages. The mailbox keeps so many only, so it is looked into again and again."""

    def __init__(self, deployment: Deployment) -> None:
        self.seen: list[str] = []
        self._file = deployment.folder / MAILBOX_FILE
        self._last = 0

    def look(self) -> None:
        """Put down what has come since."""
        with closing(sqlite3.connect(self._file)) as mailbox:
            rows = mailbox.execute(
                "SELECT id, delivery FROM messages WHERE id > ? ORDER BY id", (self._last,)
            ).fetchall()
        self._last = rows[-1][0] if rows else self._last
        self.seen += [delivery for _, delivery in rows if delivery.startswith("dlv_alt")]


async def killed_batch(deployment: Deployment, *, count: int, kills: int, chance: random.Random) -> Outcome:
    """Order so many alerts twice over, kill the worker so often while it sends them, and let the last one finish."""
    worker = next(role for role in deployment.roles if role.name == "worker")
    async with (
        deployment.bank(client="issuer") as issuer,
        asyncpg.create_pool(deployment.servers.postgres.url, min_size=1, max_size=1) as pool,
    ):
        await _order(issuer, count)
        arrivals = _Arrivals(deployment)
        for number in range(1, kills + 1):
            wanted = count * number // (kills + 1)
            await until(partial(_are_over, pool, wanted), f"{wanted} of {count} are over")
            await asyncio.sleep(chance.uniform(0, 0.05))
            worker.kill()
            arrivals.look()
            # The leases of the dead end; who is alive has none.
            await pool.execute(
                "UPDATE alerts SET due_at = clock_timestamp() WHERE due_at > clock_timestamp()"
            )
            worker = restart(deployment, worker)
        await until(lambda: _is_over(pool), "all of it is over")
        arrivals.look()
        return await _outcome(arrivals.seen, pool)


async def _order(issuer: Bank, count: int) -> None:
    """Each alert has a key; the second time each is a duplicate."""
    alerts = [
        {
            "psu": {"id": f"p{at}", "phone": f"+49151{10_000_000 + at}", "locale": "de-DE"},
            "template": "upcoming_charge",
            "variables": CHARGE,
            "channels": [{"channel": "sms"}],
            "dedupe_key": f"key-{at}",
        }
        for at in range(count)
    ]
    for status in ("queued", "suppressed"):
        for start in range(0, count, _IN_BATCH):
            body = {"alerts": alerts[start : start + _IN_BATCH]}
            response = await issuer.http.post("/v1/alerts/batch", json=body)
            assert {one["status"] for one in response.json()["results"]} == {status}, response.text


async def _are_over(pool: asyncpg.Pool, most: int) -> bool:
    over = "SELECT count(*) FROM alerts WHERE status IN ('sent', 'delivered', 'failed')"
    return bool(await pool.fetchval(over) >= most)


async def _is_over(pool: asyncpg.Pool) -> bool:
    """A receipt may be lost with the worker: what was sent is over as well, once nothing more is to be done."""
    return bool(await pool.fetchval("SELECT count(*) = 0 FROM alerts WHERE due_at IS NOT NULL"))


async def _outcome(arrived: Sequence[str], pool: asyncpg.Pool) -> Outcome:
    rows = await pool.fetch(
        "SELECT id, status FROM alerts WHERE client_id = 'issuer' AND reason <> 'duplicate'"
    )
    tries = await pool.fetch(
        "SELECT body::jsonb ->> 'alert' AS alert, max((body::jsonb ->> 'try')::int) AS most FROM audit_events"
        " WHERE type = 'alert.attempted' GROUP BY 1"
    )
    statuses = {row["id"]: row["status"] for row in rows}
    messages = [f"alt_{delivery[7:39]}" for delivery in arrived]
    return Outcome(
        statuses,
        Counter(alert for alert in messages if alert in statuses),
        {row["alert"]: row["most"] for row in tries},
    )
