"""Alerts by the hundred on PostgreSQL: one of a key, what fails alone, what waits, what is not wanted, what is clicked.

What is asserted of parallel batches is asserted of a broken store as well, and fails there.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from sca_service.alerts.book import AlertBook
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.desk import AlertDesk
from sca_service.alerts.intake import postgres_store as intake
from sca_service.alerts.lane import LANE
from sca_service.alerts.links.postgres_store import LinkStore
from sca_service.alerts.model import Alert, AlertKind, AlertStatus, Change, NewAlert, TakenIn, suppress
from sca_service.alerts.model import Suppression as Why
from sca_service.alerts.orders import AlertOrder, OrderBook
from sca_service.alerts.postgres_store import AlertFilter, AlertStore
from sca_service.alerts.pruning.postgres_store import AlertPruning
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import InvalidInput, ScaError
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.turns import Turns
from sca_service.policy.load import load
from sca_service.policy.notice_rules import QuietHours
from sca_service.settings import shipped_policies
from tests.alerts import NothingIsPumped, alert_events, new_alert
from tests.storeroom import new_payer

BY = {"actor": "client:bank"}
POLICY = load(shipped_policies())
NEVER = POLICY.alerts.notices.quiet_hours.where(sandbox=True)


@pytest.fixture
async def alerts(pool: asyncpg.Pool) -> AsyncIterator[AlertStore]:
    """The alerts; none of another test is due."""
    await pool.execute("UPDATE alerts SET due_at = NULL")
    yield AlertStore(pool)


def a_book(pool: asyncpg.Pool, keyring: Keyring, quiet_hours: QuietHours = NEVER) -> AlertBook:
    """What a worker keeps alerts by."""
    return AlertBook(
        policy=POLICY,
        keyring=keyring,
        store=AlertStore(pool),
        wishes=ConsentStore(pool),
        guard=NothingIsPumped(),
        actor="worker",
        quiet_hours=quiet_hours,
    )


def a_desk(pool: asyncpg.Pool, keyring: Keyring, turns: Turns) -> AlertDesk:
    """What takes batches in."""
    return AlertDesk(
        orders=OrderBook(POLICY, keyring, "https://sca.bank.example/l/"),
        keyring=keyring,
        store=AlertStore(pool),
        links=LinkStore(pool),
        turns=turns,
        clock=SystemClock(),
    )


async def standing(alerts: AlertStore, alert: str) -> Alert:
    """How it stands."""
    found = await alerts.of_anybody(alert)
    assert found is not None
    return found


async def taken_up(book: AlertBook) -> list[str]:
    """What a worker would send of what is due; what is held back is put down."""
    sent = []
    for due in await book.claim(LANE, most=100):
        if book.plan(due) is None:
            assert await book.advance(due, None, None) is None
        else:
            sent.append(due.alert.id)
    return sent


def batch(keyring: Keyring, keys: list[str]) -> list[NewAlert]:
    """An alert for each key."""
    return [new_alert(keyring, dedupe=key) for key in keys]


async def test_a_batch_is_queued_whole_in_its_order(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """More than fit one commit: each is there once with its event, and of one key in it the first."""
    news = batch(keyring, [secrets.token_hex(16) for _ in range(intake.AT_ONCE + 20)])
    news += [replace(new_alert(keyring), dedupe=news[at].dedupe) for at in (0, 1, 1)]
    taken = await alerts.add_all(news, BY)
    assert [one.id for one in taken] == [new.id for new in news]
    assert {one.status for one in taken[:-3]} == {AlertStatus.QUEUED}
    assert [(one.status, one.reason) for one in taken[-3:]] == [(AlertStatus.SUPPRESSED, "duplicate")] * 3
    told = await pool.fetch(
        "SELECT type, count(*) FROM audit_events WHERE body::jsonb ->> 'alert' = ANY($1::text[]) GROUP BY 1",
        [new.id for new in news],
    )
    assert {row[0]: row[1] for row in told} == {"alert.queued": len(news) - 3, "alert.suppressed": 3}
    bare = await pool.fetchval("SELECT sealed FROM alerts WHERE id = $1", news[-1].id)
    assert b"+4915112345678" not in keyring.open(bare, news[-1].id)


async def test_within_one_commit_the_first_of_a_key_is_queued(alerts: AlertStore, keyring: Keyring) -> None:
    """Also where the others stand right beside it."""
    key = secrets.token_hex(16)
    taken = await alerts.add_all(batch(keyring, [key, secrets.token_hex(16), key, key]), BY)
    assert [one.reason for one in taken] == ["", "", "duplicate", "duplicate"]


async def added_at_once(pool: asyncpg.Pool, keyring: Keyring) -> int:
    """How many are queued of batches that have the same sixty keys, each in an order of its own, at once."""
    keys = [secrets.token_hex(16) for _ in range(60)]
    shuffled = [sorted(keys, key=lambda _: secrets.randbits(32)) for _ in range(4)]
    stores = [AlertStore(pool) for _ in shuffled]
    told = await asyncio.gather(
        *(store.add_all(batch(keyring, order), BY) for store, order in zip(stores, shuffled, strict=True)),
        return_exceptions=True,
    )
    faults = [one for one in told if isinstance(one, BaseException)]
    if faults:
        raise faults[0]
    return sum(one.status is AlertStatus.QUEUED for taken in told if isinstance(taken, list) for one in taken)


async def test_batches_at_once_with_the_same_keys_queue_each_once(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever order each has them, and without waiting for each other; unordered, they would stand still."""
    assert await added_at_once(pool, keyring) == 60
    unordered = intake._ADD.replace("ORDER BY client, dedupe, at", "WHERE pg_sleep(0.004)::text = ''")
    monkeypatch.setattr(intake, "_ADD", unordered)
    with pytest.raises((ScaError, asyncpg.DeadlockDetectedError)):
        for _ in range(5):
            await added_at_once(pool, keyring)


async def test_the_same_batch_again_finds_what_it_queued(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """After a 503 in the middle of it: nothing is queued twice, nothing is told twice."""
    key = secrets.token_hex(16)
    news = batch(keyring, [key, key, secrets.token_hex(16)])
    first = await alerts.add_all(news[:2], BY)
    again = await alerts.add_all(news, BY)
    assert again[:2] == first and again[2].status is AlertStatus.QUEUED
    assert [event["type"] for event in await alert_events(pool, news[0].id)] == ["alert.queued"]
    assert [event["type"] for event in await alert_events(pool, news[1].id)] == ["alert.suppressed"]


async def test_a_batch_that_cannot_be_put_on_record_is_not_there(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """One event too long for the log: none of its commit is queued."""
    news = batch(keyring, [secrets.token_hex(16) for _ in range(3)])
    with pytest.raises(ValueError, match="longer than a leaf"):
        await alerts.add_all(news, {"actor": "x" * 70_000})
    assert (
        await pool.fetchval("SELECT count(*) FROM alerts WHERE id = ANY($1)", [one.id for one in news]) == 0
    )


async def test_changes_of_one_commit_fail_alone(alerts: AlertStore, keyring: Keyring) -> None:
    """One decision raises, one has an event too long for the log, one is of nobody: the others are done."""
    news = [await alerts.add(new_alert(keyring), BY) for _ in range(4)]

    def ends(alert: Alert, _: int) -> Change:
        return suppress(alert, Why.EXPIRED)

    def fails(_: Alert, __: int) -> Change:
        raise InvalidInput.at("", "cannot be")

    def too_long(alert: Alert, _: int) -> Change:
        return Change(replace(alert, reason="x"), (("alert.sent", {"why": "x" * 70_000}),))

    told = await asyncio.gather(
        alerts.change(news[0].id, ends, BY),
        alerts.change(news[1].id, fails, BY),
        alerts.change(news[2].id, too_long, BY),
        alerts.change(new_id("alt"), ends, BY),
        alerts.change(news[3].id, ends, BY),
        alerts.change(news[3].id, ends, BY),
        return_exceptions=True,
    )
    assert isinstance(told[1], InvalidInput) and isinstance(told[2], ValueError) and told[3] is None
    assert [one[1] for one in (told[0], told[4], told[5]) if isinstance(one, tuple)] == [True, True, False]
    stands = [(await standing(alerts, one.id)).status for one in news]
    assert stands == [AlertStatus.SUPPRESSED, AlertStatus.QUEUED, AlertStatus.QUEUED, AlertStatus.SUPPRESSED]


async def test_what_is_ordered_for_later_waits_in_the_database(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """Whoever looks, nobody is given it before; a time that is over is now; it may wait from its time on."""
    now_ms = round(time.time() * 1000)
    later = await alerts.add(new_alert(keyring, send_at=now_ms + 3_600_000), BY)
    past = await alerts.add(new_alert(keyring, send_at=now_ms - 3_600_000), BY)
    assert later.expires_at == now_ms + 3_600_000 + 60_000
    assert past.expires_at == past.created_at + 60_000
    assert await taken_up(a_book(pool, keyring)) == [past.id]
    await pool.execute(
        "UPDATE alerts SET due_at = clock_timestamp(), send_at = clock_timestamp() WHERE id = $1", later.id
    )
    assert await taken_up(a_book(pool, keyring)) == [later.id]


def quiet_now(keyring: Keyring, minutes: int, **members: object) -> tuple[QuietHours, NewAlert]:
    """Quiet hours in UTC that began a while ago and end in so many minutes, and an alert whose payer is there."""
    now = datetime.now(UTC)
    begins, ends = now - timedelta(hours=1), now + timedelta(minutes=minutes)
    new = new_alert(keyring, time_zone="UTC", lifetime_ms=3_600_000, **members)  # type: ignore[arg-type]
    return QuietHours(begins.time(), ends.time().replace(second=0, microsecond=0)), new


async def test_what_falls_into_quiet_hours_waits_until_they_end(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """On record, with the moment; then it goes."""
    hours, new = quiet_now(keyring, 30)
    await alerts.add(new, BY)
    assert await taken_up(a_book(pool, keyring, hours)) == []
    after = await standing(alerts, new.id)
    assert after.status is AlertStatus.QUEUED and after.due_at is not None
    assert 28 * 60_000 < after.due_at - time.time() * 1000 <= 30 * 60_000
    deferred = (await alert_events(pool, new.id))[-1]
    assert (deferred["type"], deferred["reason"], deferred["until_ms"]) == (
        "alert.deferred",
        "quiet_hours",
        after.due_at,
    )
    await pool.execute("UPDATE alerts SET due_at = clock_timestamp() WHERE id = $1", new.id)
    assert await taken_up(a_book(pool, keyring)) == [new.id]


async def test_what_would_expire_before_they_end_is_suppressed(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """It is of no use then, and says why."""
    hours, new = quiet_now(keyring, 90)
    await alerts.add(new, BY)
    assert await taken_up(a_book(pool, keyring, hours)) == []
    after = await standing(alerts, new.id)
    assert (after.status, after.reason, after.due_at) == (AlertStatus.SUPPRESSED, "quiet_hours", None)
    assert b"+4915112345678" not in keyring.open(after.sealed, new.id)


async def test_warnings_and_payers_elsewhere_do_not_wait(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """A notice to a replaced line goes at any hour, and where the payer is it may be day."""
    hours, warning = quiet_now(keyring, 30, kind=AlertKind.SECURITY)
    elsewhere = replace(new_alert(keyring), time_zone="Pacific/Auckland")
    await alerts.add_all([warning, elsewhere], BY)
    assert set(await taken_up(a_book(pool, keyring, hours))) == {warning.id, elsewhere.id}


async def test_alerts_are_listed_page_by_page(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """The newest first, of one client, also where many have one time; filtered by payer and status."""
    client, psu = new_id("bank"), new_payer()
    news = [new_alert(keyring, client=client, psu=psu if at < 3 else None) for at in range(7)]
    await alerts.add_all(news, BY)
    found: list[str] = []
    after = None
    while page := await alerts.page(client, AlertFilter(after=after), most=2):
        found += [one.id for one in page]
        after = (page[-1].created_at, page[-1].id)
    assert sorted(found) == sorted(new.id for new in news) and len(set(found)) == 7
    assert len(await alerts.page(client, AlertFilter(psu=psu), most=10)) == 3
    assert await alerts.page(client, AlertFilter(status=AlertStatus.FAILED), most=10) == []
    assert await alerts.page(new_id("bank"), AlertFilter(), most=10) == []


async def test_what_is_old_and_over_is_pruned(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """With its link, and an event says so; what still waits stays, and what is young. The key is free then."""
    client = new_id("bank")
    await pool.execute("INSERT INTO clients (id, scopes) VALUES ($1, '{}')", client)
    news = [new_alert(keyring, client=client, url="https://bank.example/") for _ in range(3)]
    old, waiting, young = news
    await alerts.add_all(news, BY)
    await pool.execute("UPDATE alerts SET due_at = NULL WHERE id = ANY($1)", [old.id, young.id])
    await pool.execute(
        "UPDATE alerts SET created_at = created_at - interval '31 days' WHERE id = ANY($1)",
        [old.id, waiting.id],
    )
    async with pool.acquire() as connection:
        assert not await AlertPruning(30, SystemClock()).tidy(connection)
    assert await alerts.of_anybody(old.id) is None
    assert set(await LinkStore(pool).clicks([one.id for one in news])) == {waiting.id, young.id}
    assert await pool.fetchval("SELECT count(*) FROM audit_events WHERE type = 'alert.pruned'") >= 1
    assert (await alerts.add(new_alert(keyring, client=client, dedupe=old.dedupe), BY)).reason == ""


async def test_a_batch_is_told_in_its_order_over_several_commits(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """With what is wrong in its place; the same again finds the same, and each is there once."""
    desk, unique = a_desk(pool, keyring, Turns()), secrets.token_hex(16)

    def read(item: int) -> AlertOrder:
        if item % 3 == 0:
            raise InvalidInput.at(f"/{item}", "is wrong")
        number = PhoneNumber.parse(f"+4915112{item:06d}")
        said = {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."}
        return AlertOrder(new_payer(), "upcoming_charge", 3_600, number, variables=said)

    items = range(2 * intake.AT_ONCE + 5)
    first = await desk.queue_all("bank", items, read, BY, unique=unique)
    again = await desk.queue_all("bank", items, read, BY, unique=unique)
    for item, one, other in zip(items, first, again, strict=True):
        if isinstance(one, InvalidInput) and isinstance(other, InvalidInput):
            assert item % 3 == 0 and one.mistakes == other.mistakes
            assert one.__traceback__ is None  # it would keep the batch in a cycle
        else:
            assert (
                isinstance(one, TakenIn)
                and item % 3
                and one == other
                and one.id == f"alt_{unique[:28]}{item:04x}"
            )
    stored = await pool.fetchval("SELECT count(*) FROM alerts WHERE id LIKE $1", f"alt_{unique[:28]}%")
    assert stored == sum(item % 3 != 0 for item in items)


async def test_nothing_of_a_batch_is_made_while_a_code_is_verified(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """It begins when that is answered."""
    turns, looked_at = Turns(patience_seconds=3_600.0), list[int]()

    def read(item: int) -> AlertOrder:
        looked_at.append(item)
        raise InvalidInput.at("", "is wrong")

    with turns.promptly():
        told = asyncio.create_task(a_desk(pool, keyring, turns).queue_all("bank", [1, 2], read, BY))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not looked_at
    async with asyncio.timeout(60):
        assert len(await told) == len(looked_at) == 2
