"""Lists of events: what fits, all of it and in the order of the log, and by an index, whatever is asked for."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from sca_service.audit.listing.postgres_store import (
    FIRST_PLACE,
    LAST_PLACE,
    EventFilter,
    EventLists,
    EventRow,
    list_statement,
)
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import copy_events
from sca_service.kernel.ids import new_id
from tests.harness import Deployment
from tests.logs import own_schema

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_DAYS = timedelta(days=2)
PAYERS = [f"{number:032x}" for number in range(40)]
CHALLENGES = [f"chl_{number:038x}" for number in range(200)]
KINDS = ("challenge.issued", "challenge.answered", "delivery.settled")
CLIENTS = ("bank", "issuer")

_LEAVES = """
    INSERT INTO audit_leaves (index, event_id)
    SELECT (SELECT count(*) FROM audit_leaves) + row_number() OVER (ORDER BY txid, position) - 1, id
    FROM audit_events AS event WHERE NOT EXISTS (SELECT FROM audit_leaves WHERE event_id = event.id)
"""
_CHECKPOINT = """
    INSERT INTO log_checkpoints (size, root, note, made_at)
    SELECT (SELECT count(*) FROM audit_leaves), '', '', max(at) FROM audit_events
"""


def happened(chance: random.Random, at: datetime) -> AuditEvent:
    """An event at a time, about one of the challenges."""
    number = chance.randrange(len(CHALLENGES))
    return AuditEvent.create(
        event_id=new_id("evt"),
        kind=chance.choice(KINDS),
        at_ms=int(at.timestamp() * 1000),
        members={
            "client": CLIENTS[number % len(CLIENTS)],
            "psu": PAYERS[number % len(PAYERS)],
            "challenge": CHALLENGES[number],
        },
    )


def over(
    span: timedelta, chance: random.Random, commits: int = 80, at_once: int = 40
) -> list[list[AuditEvent]]:
    """Commits over some time; in each an event or two that are put on record hours late, or a minute early."""
    step = span / commits
    return [
        [
            happened(chance, MIDNIGHT + step * number + step * chance.random() - late)
            for late in (
                *([timedelta()] * (at_once - 2)),
                HOUR * chance.random() * chance.choice((0, 1, 30)),
                -timedelta(minutes=chance.random()),
            )
        ]
        for number in range(commits)
    ]


def with_an_outage(commits: list[list[AuditEvent]]) -> list[list[AuditEvent]]:
    """The same, but for four hours nothing is put on record, and little of it comes half a day later."""
    away = commits[30:37]
    commits[60] += [events[0] for events in away]
    return commits[:30] + commits[37:]


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to tables of their own."""
    async with own_schema(quiet_stores) as pool:
        yield pool


async def fill(pool: asyncpg.Pool, commits: list[list[AuditEvent]]) -> list[AuditEvent]:
    """Put events on record, with a checkpoint after each commit; all of them, in the order of the log."""
    async with pool.acquire() as connection:
        for events in commits:
            async with connection.transaction():
                await copy_events(connection, events)
            await connection.execute(_LEAVES)
            await connection.execute(_CHECKPOINT)
        await connection.execute("VACUUM ANALYZE audit_events")
    return [event for events in commits for event in events]


def fits(event: AuditEvent, wanted: EventFilter) -> bool:
    """Whether an event is wanted, as the contract has it."""
    head, at = event.head, datetime.fromtimestamp(event.head.at_ms / 1000, UTC)
    return (
        (wanted.payers is None or head.psu in wanted.payers)
        and wanted.challenge in (None, head.challenge)
        and wanted.kind in (None, head.type)
        and wanted.client in (None, head.client)
        and (wanted.since is None or at >= wanted.since)
        and (wanted.until is None or at < wanted.until)
    )


def wishes(chance: random.Random) -> list[EventFilter]:
    """What auditors ask for: each filter by itself and with times, on the hour, between, before and after all."""
    subjects = [
        EventFilter(),
        EventFilter(kind=KINDS[0]),
        EventFilter(client=CLIENTS[0]),
        EventFilter(kind=KINDS[1], client=CLIENTS[1]),
        EventFilter(challenge=CHALLENGES[3]),
        EventFilter(payers=[PAYERS[5], "somebody"]),
        EventFilter(kind="payer.erased"),
    ]
    begin, end = (MIDNIGHT + HOUR * (20 + 5 * chance.random() + more) for more in (0, 4 * chance.random()))
    times: list[tuple[datetime | None, datetime | None]] = [
        (None, None),
        (begin, None),
        (None, end),
        (begin, max(begin, end)),
        (begin, begin + timedelta(minutes=2)),
        (MIDNIGHT + 20 * HOUR, MIDNIGHT + 21 * HOUR),
        (MIDNIGHT - 99 * HOUR, MIDNIGHT + 999 * HOUR),
        (MIDNIGHT + 99 * HOUR, MIDNIGHT + 100 * HOUR),
        (end + HOUR, begin),
        (MIDNIGHT + 18.5 * HOUR, None),
        (MIDNIGHT + 30.5 * HOUR, None),
    ]
    return [replace(one, since=since, until=until) for one in subjects for since, until in times]


async def listed(
    lists: EventLists, wanted: EventFilter, *, at_once: int, newest_first: bool
) -> list[EventRow]:
    """Every page, one after the other."""
    found: list[EventRow] = []
    while page := await lists.page(wanted, most=at_once, newest_first=newest_first):
        found += page
        wanted = replace(wanted, after=page[-1].place)
    return found


async def test_what_fits_is_listed_in_the_order_of_the_log(pool: asyncpg.Pool) -> None:
    """Also what was put on record hours after it happened: page by page, from either end."""
    chance = random.Random(20)
    events = await fill(pool, with_an_outage(over(TWO_DAYS, chance)))
    lists = EventLists(pool)
    for wanted in wishes(chance):
        bodies = [event.body for event in events if fits(event, wanted)]
        forth = await listed(lists, wanted, at_once=400, newest_first=False)
        assert [row.body for row in forth] == bodies, wanted
        back = await lists.page(wanted, most=7, newest_first=True)
        assert [row.body for row in back] == bodies[::-1][:7], wanted
        if back:
            behind = await lists.page(replace(wanted, after=back[-1].place), most=7, newest_first=True)
            assert [row.body for row in behind] == bodies[::-1][7:14], wanted


async def test_every_question_is_read_from_an_index(pool: asyncpg.Pool) -> None:
    """By what it asks for, between the places that its times lead to; the places by the hours."""
    await fill(pool, over(2 * HOUR, random.Random(21)))
    since, until = MIDNIGHT + HOUR * 0.5, MIDNIGHT + HOUR * 1.5
    places = 'ROW(txid, "position") > ROW(\'', 'ROW(txid, "position") < ROW(\''
    async with pool.acquire() as connection:
        await connection.execute("SET enable_seqscan = off")

        async def plan(statement: str, *values: object) -> str:
            rows = await connection.fetch(f"EXPLAIN {statement}", *values)
            return "\n".join(row[0] for row in rows)

        for wanted, condition in (
            (EventFilter(challenge=CHALLENGES[3]), "(challenge_id = "),
            (EventFilter(payers=[PAYERS[5]]), "(psu = "),
            (EventFilter(kind="payer.erased"), "(type = "),
            (EventFilter(client="auditor"), "(client_id = "),
        ):
            for newest_first in (False, True):
                statement, values = list_statement(
                    wanted, first=None, last=None, most=50, newest_first=newest_first
                )
                told = await plan(statement, *values)
                assert f"Index Cond: {condition}" in told, told
                statement, values = list_statement(
                    replace(wanted, since=since, until=until),
                    first=(1, 1),
                    last=(2**40, 1),
                    most=50,
                    newest_first=newest_first,
                )
                assert "Index Cond: (" in await plan(statement, *values)
        # Few rows are found by their times as well (audit_events_at); many are not.
        await connection.execute("SET enable_bitmapscan = off")
        for newest_first in (False, True):
            wanted = EventFilter(since=since, until=until)
            statement, values = list_statement(
                wanted, first=(1, 1), last=(2**40, 1), most=50, newest_first=newest_first
            )
            told = await plan(statement, *values)
            assert "using audit_events_order" in told, told
            assert all(f"({place}" in told for place in places), told
        # Also where the index on places were cheaper to read: it would be read from an end of the log.
        await connection.execute("SET enable_indexonlyscan = off")
        for statement, way in ((FIRST_PLACE, ""), (LAST_PLACE, "Backward ")):
            told = await plan(statement, since, until)
            assert told.count(f"Index Scan {way}using audit_events_hour") == 3, told
            assert told.count("Index Cond: ((date_trunc(") + told.count("Index Cond: (((date_trunc(") == 3, (
                told
            )
