"""The log is counted once, whatever is cut when; what is over goes and stays gone; a question finds its span."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.analytics.counting import FOLLOWER, Counting
from sca_service.analytics.model import Dimension, Figure, Span, Subject
from sca_service.analytics.reading.answer import Analytics
from sca_service.analytics.reading.postgres_store import FigureStore
from sca_service.analytics.sketch import bin_of
from sca_service.audit.following.follower import LogFollower, Work
from sca_service.audit.following.model import LoggedEvent
from sca_service.audit.log.note import NoteSigner
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.ids import new_id
from sca_service.policy.analytics import AnalyticsPolicy
from tests.figures import by_span, made_up_log, rolled_up
from tests.harness import Deployment
from tests.logs import own_schema
from tests.recount import recount
from tests.storeroom import eventually

SIGNER = NoteSigner("sca.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
POLICY = AnalyticsPolicy(minute_days=1, hour_days=8, day_days=35, delivery_days=8)
DAY_MS = Span.DAY.length_ms
BEGAN_MS = 1_790_000_000_000 - 1_790_000_000_000 % DAY_MS


class BreaksOff:
    """Counts, and loses its connection when every third portion has been counted. A class because it counts those."""

    def __init__(self) -> None:
        self._counting = Counting(POLICY)
        self._portions = 0
        self.broken_off = 0

    async def work(self, connection: asyncpg.pool.PoolConnectionProxy, events: Sequence[LoggedEvent]) -> None:
        """Count these events, within a transaction that may not come to its end."""
        await self._counting.work(connection, events)
        self._portions += 1
        if self._portions % 3 == 0:
            self.broken_off += 1
            connection.terminate()


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to tables of their own, in which nothing has happened."""
    async with own_schema(quiet_stores) as pool:
        yield pool


async def log(pool: asyncpg.Pool, events: list[AuditEvent]) -> None:
    """Put events on the log, in this order."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await insert_events(connection, events)
        sequencer = Sequencer(pool, [SIGNER])
        async with asyncio.timeout(60):
            while await pool.fetchval(
                "SELECT (SELECT count(*) FROM audit_leaves) < (SELECT count(*) FROM audit_events)"
            ):
                await sequencer.sequence_once(connection)


def follower(pool: asyncpg.Pool, work: Work, *, most: int = 500) -> LogFollower:
    """What counts the log."""
    return LogFollower(pool, FOLLOWER, work, from_beginning=True, most_at_once=most, pause_seconds=0.001)


async def count_all(pool: asyncpg.Pool, counting: Counting | None = None) -> None:
    """Count what is on the log. Who counts for the first time looks what is over, and then once a minute."""
    one = follower(pool, (counting or Counting(POLICY)).work)
    await one.register()
    while await one.follow_once():
        pass


def members(events: list[AuditEvent]) -> list[dict[str, object]]:
    """What events say."""
    return [msgspec.json.decode(event.body) for event in events]


async def test_cut_off_again_and_again_each_event_counts_once(pool: asyncpg.Pool) -> None:
    """Three followers in each other's way, whose transactions are cut off while they count: figures are a recount."""
    events = made_up_log(7, challenges=120, since_ms=BEGAN_MS)
    await log(pool, events)
    stop, works = asyncio.Event(), [BreaksOff() for _ in range(3)]
    tasks = [asyncio.create_task(follower(pool, work.work, most=9).run(stop)) for work in works]

    async def is_counted() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM followers WHERE next_index >= $1", len(events)))

    await eventually(is_counted)
    stop.set()
    await asyncio.gather(*tasks)
    assert sum(work.broken_off for work in works) > 10
    by_minute = recount(members(events))
    for span in Span:
        assert await rolled_up(pool, span) == by_span(by_minute, span)


def event(kind: str, at_ms: int, challenge: str = "chl_a", /, **more: object) -> AuditEvent:
    """An event of a challenge."""
    said = {"client": "bank", "challenge": challenge, **more}
    return AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=at_ms, members=said)


async def moments(pool: asyncpg.Pool, span: Span) -> set[int]:
    """The pieces of time that figures are kept of."""
    return {at for _, _, at, *_ in await rolled_up(pool, span)}


async def test_what_is_over_goes_and_does_not_come_back(pool: asyncpg.Pool) -> None:
    """Minutes after a day, hours after eight; a receipt that comes later counts where figures are still kept."""
    named: dict[str, object] = {"delivery": "dlv_a", "channel": "sms"}
    early = [
        event("challenge.issued", BEGAN_MS, purpose="payment", method="one_time_code"),
        event("delivery.attempted", BEGAN_MS + 1, **{**named, "supplier": "north", "try": 1}),
        event("delivery.settled", BEGAN_MS + 9, **named, status="sent"),
    ]
    third = BEGAN_MS + 3 * DAY_MS
    later = [
        event("challenge.issued", third, "chl_b", purpose="login", method="totp"),
        event("delivery.settled", third + 5, **named, status="delivered"),
    ]
    await log(pool, early)
    await count_all(pool)
    assert await rolled_up(pool, Span.MINUTE) == recount(members(early))
    counting = Counting(POLICY)
    for one in later:  # with the second, nothing is looked for that is over
        await log(pool, [one])
        await count_all(pool, counting)
    assert await moments(pool, Span.MINUTE) == {third}
    for span in (Span.HOUR, Span.DAY):
        assert await rolled_up(pool, span) == by_span(recount(members([*early, *later])), span)
    await log(pool, [event("challenge.expired", BEGAN_MS + 12 * DAY_MS, "chl_c")])
    await count_all(pool)
    assert await moments(pool, Span.MINUTE) == await moments(pool, Span.HOUR) == {BEGAN_MS + 12 * DAY_MS}
    assert await moments(pool, Span.DAY) == {BEGAN_MS, third, BEGAN_MS + 12 * DAY_MS}
    assert await pool.fetchval("SELECT count(*) FROM analytics_deliveries") == 0


async def test_an_alert_for_later_is_remembered_until_then(pool: asyncpg.Pool) -> None:
    """However soon others are forgotten: it is one alert of its topic, and has not been late by the days it waited."""
    sent_at = BEGAN_MS + 30 * DAY_MS
    about = {"client": "bank", "alert": "alt_a"}
    named = {**about, "delivery": "alt_a01", "channel": "sms"}
    told = (
        ("alert.queued", BEGAN_MS, {**about, "kind": "notice", "topic": "charge", "send_at_ms": sent_at}),
        ("challenge.issued", BEGAN_MS + 20 * DAY_MS, {"client": "bank", "challenge": "chl_a"}),
        ("alert.attempted", sent_at + 5, {**named, "supplier": "north", "try": 1}),
        ("alert.sent", sent_at + 40, named),
        ("alert.delivered", sent_at + 700, named),
    )
    events = [
        AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=at_ms, members=said)
        for kind, at_ms, said in told
    ]
    for one in events:
        await log(pool, [one])
        await count_all(pool)
    alerts = {at: number for at, number in (await rolled_up(pool, Span.DAY)).items() if at[0] == "alerts"}
    assert alerts == {
        ("alerts", "bank", BEGAN_MS, "charge", figure, index): 1
        for figure, index in (("queued", 0), ("sent", 0), ("delivered", 0), ("delivered_ms", bin_of(700)))
    }


async def test_a_question_finds_its_span(pool: asyncpg.Pool) -> None:
    """Whole days come from days, whole hours from hours; what is not kept so finely is asked of something longer."""
    events = made_up_log(11, challenges=40, since_ms=BEGAN_MS + DAY_MS // 2, step_ms=90_000)
    await log(pool, events)
    await count_all(pool)
    analytics = Analytics(FigureStore(pool), POLICY)
    begin = BEGAN_MS + DAY_MS // 2
    for since, until, span in (
        (BEGAN_MS, BEGAN_MS + DAY_MS, Span.DAY),
        (begin, begin + DAY_MS // 2, Span.HOUR),
        (begin, begin + 30 * 60_000, Span.MINUTE),
        (begin - 3 * DAY_MS + 1, begin + 1, Span.HOUR),
        (BEGAN_MS - 20 * DAY_MS + 1, begin, Span.DAY),
    ):
        answer = await analytics.answer(
            Subject.DELIVERIES,
            since_ms=since,
            until_ms=until,
            client="bank-1",
            group_by=(Dimension.SUPPLIER,),
        )
        asked = answer.question
        assert asked.span is span
        assert asked.since_ms <= since < until <= asked.until_ms
        expected = sum(
            number
            for (subject, client, at, _, figure, _), number in recount(members(events)).items()
            if (subject, client, figure) == ("deliveries", "bank-1", "sent")
            and asked.since_ms <= at < asked.until_ms
        )
        assert sum(line.counts[Figure.SENT] for line in answer.lines) == expected > 0


async def test_figures_can_be_counted_anew(pool: asyncpg.Pool) -> None:
    """As the page on analytics says, after somebody has changed the tables by hand."""
    events = made_up_log(13, challenges=30, since_ms=BEGAN_MS)
    await log(pool, events)
    await count_all(pool)
    await pool.execute("UPDATE analytics_figures SET numbers = array_fill(7, ARRAY[cardinality(bins)])")
    assert await rolled_up(pool, Span.DAY) != by_span(recount(members(events)), Span.DAY)
    page = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text("utf-8")
    (statements,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(statements)
    await count_all(pool)
    for span in Span:
        assert await rolled_up(pool, span) == by_span(recount(members(events)), span)
