"""Analytics over HTTP: figures of a bank's traffic are a recount of its log, whatever failed and whoever was killed."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from sca_service.analytics.model import COUNTS, Span, Subject
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from tests.figures import by_span, rolled_up
from tests.harness import Bank, Deployment, unique_psu, wrong
from tests.recount import recount
from tests.storeroom import eventually

COUNTER = "counting-bank"
FIGURES = "/v1/analytics/deliveries"
SCOPES = [Scope.CHALLENGES, Scope.ALERTS, Scope.ANALYTICS]
CHARGE = {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."}
LADDER = [{"channel": "sms"}, {"channel": "voice"}]


class Traffic:
    """A bank of its own that things happen to, and the payers they happen to. A class because it holds both."""

    def __init__(self, bank: Bank, pool: asyncpg.Pool) -> None:
        self.bank = bank
        self.pool = pool
        self.payers: list[dict[str, str]] = []

    def payer(self) -> dict[str, str]:
        """Another payer."""
        self.payers.append(unique_psu())
        return self.payers[-1]

    async def approve(self) -> None:
        """A challenge is answered wrongly, then rightly."""
        psu = self.payer()
        challenge = await self.bank.issue(psu=psu)
        code = await self.bank.code(psu["phone"])
        await self.bank.settled(challenge["id"])
        await self.bank.verify(challenge["id"], wrong(code))
        await self.bank.verify(challenge["id"], code)

    async def make(self, service: Deployment) -> None:
        """Approvals, failures, retries, a step to the next channel, a cancelled challenge, an alert; a worker dies."""
        await asyncio.gather(*(self.approve() for _ in range(4)))
        doomed = service.start("worker")
        await self.bank.script("sms", "undelivered")
        stepped = await self.bank.issue(psu=self.payer(), channels=LADDER)
        await self.bank.reached(stepped["id"], "pending")
        await self.bank.settled(stepped["id"], status="answered")
        doomed.kill()
        service.forget(doomed)
        await self.bank.script("sms", "throttle", delay_ms=0, next=1)
        await self.approve()
        await self.bank.script("sms", "error")
        failed = await self.bank.issue(psu=self.payer(), channels=[{"channel": "sms"}])
        await self.bank.reached(failed["id"], "undeliverable")
        await self.bank.script("sms", "deliver")
        cancelled = await self.bank.issue(psu=self.payer(), channels=[{"channel": "push"}])
        await self.bank.http.post(f"/v1/challenges/{cancelled['id']}/cancel", json={})
        await self._alert()

    async def _alert(self) -> None:
        body = {
            "psu": self.payer(),
            "template": "upcoming_charge",
            "variables": CHARGE,
            "channels": [{"channel": "sms"}],
        }
        notices = (await self.bank.http.post("/v1/alerts", json=body)).json()
        assert notices.get("status") == "queued", notices

        async def is_delivered() -> bool:
            told = await self.bank.http.get(f"/v1/alerts/{notices['id']}")
            return bool(told.json()["status"] == "delivered")

        await eventually(is_delivered)

    async def events(self) -> list[dict[str, Any]]:
        """All that the log has of this bank, in its order, once all of the log is counted."""

        async def is_counted() -> bool:
            return bool(
                await self.pool.fetchval(
                    "SELECT next_index = (SELECT size FROM log_state) AND NOT EXISTS ("
                    "   SELECT FROM audit_events AS event WHERE client_id = $1"
                    "   AND NOT EXISTS (SELECT FROM audit_leaves WHERE event_id = event.id)"
                    ") FROM followers WHERE name = 'analytics'",
                    COUNTER,
                )
            )

        await eventually(is_counted)
        rows = await self.pool.fetch(
            "SELECT event.body FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
            " WHERE event.client_id = $1 ORDER BY leaf.index",
            COUNTER,
        )
        return [msgspec.json.decode(row["body"]) for row in rows]


@pytest.fixture
async def traffic(service: Deployment) -> AsyncIterator[Traffic]:
    """The traffic of a bank that no other test has; made by the first test that asks for it."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=2) as pool:
        is_new = COUNTER not in service.keys
        if is_new:
            registry = ClientRegistry(ClientStore(pool), service.keyring)
            service.keys[COUNTER] = (await registry.create(COUNTER, SCOPES)).reveal()
        async with service.bank(client=COUNTER) as bank:
            one = Traffic(bank, pool)
            if is_new:

                async def is_known() -> bool:
                    return (await bank.http.get(FIGURES)).status_code == 200

                await eventually(is_known)
                await one.make(service)
            yield one


async def total(bank: Bank, path: str = FIGURES, **asked: str) -> dict[str, Any]:
    """The only line of an answer."""
    response = await bank.http.get(path, params=asked)
    assert response.status_code == 200, response.text
    (line,) = response.json()["data"]
    found: dict[str, Any] = line
    return found


async def test_roll_ups_are_a_recount_of_the_log(traffic: Traffic) -> None:
    """By the minute, the hour and the day, every figure and every bin, as if the log were counted anew."""
    events = await traffic.events()
    by_minute = recount(events)
    assert {event["type"] for event in events} >= {
        *("challenge.issued", "challenge.answered", "challenge.cancelled", "challenge.undeliverable"),
        *("delivery.attempted", "delivery.settled", "delivery.retried", "alert.attempted", "alert.delivered"),
    }
    for span in Span:
        assert await rolled_up(traffic.pool, span, COUNTER) == by_span(by_minute, span)


async def test_what_is_answered_is_what_is_counted(traffic: Traffic) -> None:
    """Sums over routes, over channels, and over minutes are the whole; shares, percentiles and money are told."""
    counts = Counter[str]()
    for (subject, _, _, _, figure, _), number in recount(await traffic.events()).items():
        if subject == "deliveries" and not figure.endswith("_ms"):
            counts[figure] += number
    whole = await total(traffic.bank)
    for figure in COUNTS[Subject.DELIVERIES]:
        assert whole[figure] == counts[figure]
    assert whole["conversion_rate"] == round(counts["converted"] / counts["sent"], 4)
    assert whole["cost"] == [{"currency": "EUR", "amount": whole["cost"][0]["amount"]}]
    assert round(float(whole["cost"][0]["amount"]) * 1_000_000) == counts["cost EUR"]
    latency = whole["latency_ms"]["delivered"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"]
    for asked in ({"group_by": "route,country"}, {"group_by": "channel"}, {"interval": "minute"}):
        answer = (await traffic.bank.http.get(FIGURES, params=asked)).json()
        for figure in COUNTS[Subject.DELIVERIES]:
            assert sum(line[figure] for line in answer["data"]) == whole[figure], asked


async def test_challenges_and_alerts_have_their_own_figures(traffic: Traffic) -> None:
    """How challenges ended, and what became of alerts."""
    await traffic.events()
    challenges = await total(traffic.bank, "/v1/analytics/challenges", group_by="purpose,method")
    assert challenges["group"] == {"purpose": "payment", "method": "one_time_code"}
    ends = {
        name: challenges[name] for name in ("issued", "approved", "cancelled", "undeliverable", "answered")
    }
    assert ends == {"issued": 8, "approved": 5, "cancelled": 1, "undeliverable": 1, "answered": 5}
    assert challenges["latency_ms"]["approved"]["p50"] > 0
    alerts = await total(traffic.bank, "/v1/analytics/alerts", group_by="purpose")
    assert [alerts[name] for name in ("queued", "sent", "delivered", "failed")] == [1, 1, 1, 0]


async def test_every_figure_leads_to_the_messages_behind_it(traffic: Traffic) -> None:
    """The list of a line, by the path that the line names, is as long as each of its figures; and names nobody."""
    await traffic.events()
    response = await traffic.bank.http.get(FIGURES, params={"group_by": "route,purpose"})
    for line in response.json()["data"]:
        for figure in COUNTS[Subject.DELIVERIES]:
            found, cursor = [], ""
            while cursor is not None:
                page = await traffic.bank.http.get(
                    f"{line['deliveries']}&counted={figure}&limit=2{cursor and f'&cursor={cursor}'}"
                )
                assert page.status_code == 200, page.text
                found += page.json()["data"]
                cursor = page.json()["next_cursor"]
                for psu in traffic.payers:
                    assert psu["id"] not in page.text
                    assert psu["phone"][-7:] not in page.text
            assert len({(one["id"], one["number"]) for one in found}) == len(found) == line[figure]


async def test_figures_come_as_csv(traffic: Traffic) -> None:
    """The same lines as in JSON, a column for each number."""
    await traffic.events()
    asked = {"group_by": "channel,country", "interval": "hour"}
    lines = (await traffic.bank.http.get(FIGURES, params=asked)).json()["data"]
    answer = await traffic.bank.http.get(FIGURES, params={**asked, "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len(lines) > 1
    for row, line in zip(rows, lines, strict=True):
        assert row["from"] == line["at"]
        assert (row["channel"], row["country"]) == (line["group"]["channel"], line["group"]["country"])
        assert [int(row[figure]) for figure in COUNTS[Subject.DELIVERIES]] == [
            line[figure] for figure in COUNTS[Subject.DELIVERIES]
        ]
        sent = line["latency_ms"]["sent"]
        assert row["sent_ms_p95"] == (str(sent["p95"]) if sent else "")
        assert row["cost_EUR"] == (line["cost"][0]["amount"] if line["cost"] else "0.00")


async def test_a_client_sees_its_own_figures_only(traffic: Traffic, other_bank: Bank, operator: Bank) -> None:
    """To another bank this one is like a client that does not exist; an operator sees everybody's."""
    await traffic.events()
    for path in (FIGURES, "/v1/analytics/challenges", f"{FIGURES}/list"):
        for client in (COUNTER, "nobody-at-all"):
            answer = await other_bank.http.get(path, params={"client": client})
            assert (answer.status_code, answer.json()["data"]) == (200, [])
        grouped = {} if path.endswith("list") else {"group_by": "client"}
        everybody = (await operator.http.get(path, params=grouped or {"limit": "200"})).text
        assert COUNTER in everybody
        assert COUNTER not in (await other_bank.http.get(path, params=grouped)).text
    own = await total(traffic.bank)
    assert await total(operator, client=COUNTER) | {"deliveries": ""} == own | {"deliveries": ""}


async def test_no_table_names_a_payer(traffic: Traffic, service: Deployment) -> None:
    """Neither a reference nor a number nor a pseudonym of a payer stands in what is kept of figures."""
    await traffic.events()
    names = [
        name
        for psu in traffic.payers
        for name in (psu["id"], psu["phone"][-7:], service.keyring.pseudonym("payer", COUNTER, psu["id"]))
    ]
    tables = ("analytics_keys", "analytics_figures", "analytics_stories", "analytics_deliveries")
    for table in tables:
        rows = await traffic.pool.fetch(f"SELECT kept::text AS kept FROM {table} AS kept")  # noqa: S608
        assert rows
        text = "\n".join(row["kept"] for row in rows)
        assert [name for name in names if name in text] == []


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"group_by": "psu"}, "/group_by"),
        ({"group_by": "channel,channel"}, "/group_by"),
        ({"group_by": "channel,"}, "/group_by"),
        ({"group_by": "method"}, "/group_by"),
        ({"from": "yesterday"}, "/from"),
        ({"to": "9999-12-31T23:59:59Z"}, "/to"),
        ({"to": "0001-01-01T00:00:00Z"}, "/to"),
        ({"from": "0001-01-01T00:00:00Z"}, "/from"),
        ({"from": "2026-11-28T00:00:00Z", "to": "2026-11-27T00:00:00Z"}, "/to"),
        ({"from": "2020-01-01T00:00:00Z", "interval": "minute"}, "/interval"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T01:00:00Z", "interval": "minute"}, "/from"),
        ({"route": "sms"}, "/route"),
        ({"channel": "x" * 200}, "/channel"),
    ],
)
async def test_what_cannot_be_asked_is_refused(traffic: Traffic, asked: dict[str, str], pointer: str) -> None:
    """With a pointer to what is wrong; no filter is ignored."""
    answer = await traffic.bank.http.get(FIGURES, params=asked)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_the_answer_says_over_which_time_it_is(traffic: Traffic) -> None:
    """Ends that lie on no piece of time that is kept are moved out; figures are counted up to a moment ago."""
    asked = {"from": "2026-01-05T10:20:30Z", "to": "2026-01-07T10:20:30Z"}
    answer = (await traffic.bank.http.get(FIGURES, params=asked)).json()
    assert (answer["from"], answer["to"]) == ("2026-01-05T00:00:00.000Z", "2026-01-08T00:00:00.000Z")
    assert answer["span"] == "day"
    assert answer["relative_error"] == 0.02
    newest = max(one["at_ms"] for one in await traffic.events())
    answer = (await traffic.bank.http.get(FIGURES)).json()
    assert datetime.fromisoformat(answer["counted_until"]).timestamp() * 1000 >= newest
