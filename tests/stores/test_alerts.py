"""Alerts on PostgreSQL: one for each key, leased to one worker, on record before it goes, whatever is cut off where.

What is asserted of parallel orders and of parallel workers is asserted of a broken store as well, and fails there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from sca_service.alerts import postgres_store
from sca_service.alerts.book import AlertBook, Due, Guard
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.lane import LANE
from sca_service.alerts.model import (
    Alert,
    AlertKind,
    AlertStatus,
    Attempt,
    Change,
    NewAlert,
    advance,
)
from sca_service.alerts.postgres_store import AlertStore, DueAlert, Origin, queue
from sca_service.alerts.replaced_lines import ReplacedLines
from sca_service.alerts.tries import MOST_TRIES
from sca_service.authenticators.enrolment.postgres_store import EnrolmentStore, Occurrence, Proven
from sca_service.authenticators.model import AuthenticatorType
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.authenticators.sealed import PhoneSealed, sealed
from sca_service.delivery.dispatch import Outbound
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.delivery.postgres_store import OptOutStore
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.limits.pumping.standing import StandingBlocks
from sca_service.policy.load import load
from sca_service.policy.model import Channel
from sca_service.policy.pumping import AtBlock
from sca_service.routing.model import Route, RouteChoice, RouteReason
from sca_service.settings import shipped_policies
from tests.alerts import NothingIsPumped, alert_events, new_alert
from tests.erasure_office import Office
from tests.storeroom import CLIENT, an_event, new_payer

AT_ONCE = 20
BY = {"actor": "client:bank"}
NO_ROUTE = RouteChoice(None, (("a", RouteReason.NO_PRICE),))
LEFT_ALONE = RouteChoice(None, (("a", RouteReason.BREAKER_OPEN),))


@pytest.fixture
async def alerts(pool: asyncpg.Pool) -> AsyncIterator[AlertStore]:
    """The alerts; none of another test is due."""
    await pool.execute("UPDATE alerts SET due_at = NULL")
    yield AlertStore(pool)


@pytest.fixture
def book(pool: asyncpg.Pool, redis: RedisConnection, alerts: AlertStore, keyring: Keyring) -> AlertBook:
    """What a worker keeps alerts by."""
    policy = load(shipped_policies())
    guard = StandingBlocks(
        policy=policy.pumping,
        at_block=AtBlock.REFUSE,
        keyring=keyring,
        store=PumpingStore(redis, policy.pumping),
    )
    return a_book(pool, alerts, keyring, guard)


def a_book(pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring, guard: Guard) -> AlertBook:
    """What one worker keeps alerts by, where it is never quiet."""
    policy = load(shipped_policies())
    return AlertBook(
        policy=policy,
        keyring=keyring,
        store=alerts,
        wishes=ConsentStore(pool),
        guard=guard,
        actor="worker",
        quiet_hours=policy.alerts.notices.quiet_hours.where(sandbox=True),
    )


def over(supplier: str, channel: Channel = Channel.SMS) -> RouteChoice:
    """A choice of this supplier."""
    return RouteChoice(Route(supplier, channel, "262-01", None, None, (RouteReason.ONLY_ROUTE,)))


async def leased(book: AlertBook, alert: str) -> Due:
    """The alert as a worker leases it now."""
    return next(due for due in await book.claim(LANE, most=100) if due.alert.id == alert)


async def taken_up(book: AlertBook, alert: str, choice: RouteChoice) -> Outbound | None:
    """What a worker is given to send that takes the alert up with this choice."""
    due = await leased(book, alert)
    plan = book.plan(due)
    return await book.advance(due, plan, choice if plan else None)


async def sent(book: AlertBook, alert: str, supplier: str = "a", channel: Channel = Channel.SMS) -> str:
    """The delivery that a worker was given."""
    outbound = await taken_up(book, alert, over(supplier, channel))
    assert outbound is not None
    return outbound.message.delivery_id


async def make_due(pool: asyncpg.Pool, alert: str) -> None:
    """The lease of a worker that was killed is over."""
    await pool.execute("UPDATE alerts SET due_at = clock_timestamp() WHERE id = $1", alert)


async def standing(alerts: AlertStore, alert: str) -> Alert:
    """How it stands."""
    found = await alerts.of_anybody(alert)
    assert found is not None
    return found


async def kinds(pool: asyncpg.Pool, alert: str) -> list[str]:
    """The types of its events."""
    return [event["type"] for event in await alert_events(pool, alert)]


class LooksFirst(AlertStore):
    """Broken on purpose: looks whether the key is taken, and then stores; no index holds it to that."""

    async def add(self, new: NewAlert, origin: Origin) -> Alert:
        """Read, decide, write."""
        taken = await self._pool.fetchval(
            "SELECT dedupe FROM alerts WHERE starts_with(dedupe, $1) AND status = 'queued'", new.dedupe
        )
        return await super().add(replace(new, dedupe=taken or f"{new.dedupe} {new.id}"), origin)


async def queued_of(alerts: AlertStore, keyring: Keyring, key: str) -> int:
    """How many of those ordered at once with one key are queued."""
    orders = [new_alert(keyring, dedupe=key) for _ in range(AT_ONCE)]
    made = await asyncio.gather(*(alerts.add(one, BY) for one in orders))
    return sum(one.status is AlertStatus.QUEUED for one in made)


async def test_one_of_a_key_is_queued(pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring) -> None:
    """Of twenty at once; a store that looks first queues more, though not when they come one by one."""
    assert await queued_of(alerts, keyring, new_id("key")) == 1
    assert await queued_of(LooksFirst(pool), keyring, new_id("key")) > 1
    key = new_id("key")
    one_by_one = [await LooksFirst(pool).add(new_alert(keyring, dedupe=key), BY) for _ in range(3)]
    assert [one.reason for one in one_by_one] == ["", "duplicate", "duplicate"]


async def test_a_key_is_its_clients(alerts: AlertStore, keyring: Keyring) -> None:
    """Another client's alert with the same key is another alert."""
    made = [
        await alerts.add(new_alert(keyring, dedupe="same " + CLIENT, client=client), BY)
        for client in (new_id("a"), new_id("b"))
    ]
    assert [one.status for one in made] == [AlertStatus.QUEUED] * 2


async def test_the_same_id_again_is_the_one_from_before(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """A repeated request, at once or later, also where it was a duplicate: nothing new is on record."""
    new = new_alert(keyring)
    made = await asyncio.gather(*(alerts.add(new, BY) for _ in range(AT_ONCE)))
    duplicate = new_alert(keyring, dedupe=new.dedupe)
    again = [await alerts.add(duplicate, BY) for _ in range(2)]
    assert {one.status for one in made} == {AlertStatus.QUEUED}
    assert {(one.id, one.reason) for one in again} == {(duplicate.id, "duplicate")}
    assert await kinds(pool, new.id) == ["alert.queued"]
    assert await kinds(pool, duplicate.id) == ["alert.suppressed"]


async def test_a_duplicate_is_never_due(pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring) -> None:
    """And holds no number."""
    first = await alerts.add(new_alert(keyring), BY)
    dedupe = await pool.fetchval("SELECT dedupe FROM alerts WHERE id = $1", first.id)
    duplicate = await alerts.add(new_alert(keyring, dedupe=dedupe), BY)
    assert duplicate.due_at is None
    assert b"+4915112345678" not in keyring.open(duplicate.sealed, duplicate.id)
    assert [due.alert.id for due in await alerts.claim(most=100)] == [first.id]


class ClaimsTwice(AlertStore):
    """Broken on purpose: looks what is due, and leases it afterwards."""

    async def claim(self, *, most: int) -> list[DueAlert]:
        """Read, decide, write."""
        rows = await self._pool.fetch(
            "SELECT id FROM alerts WHERE due_at <= clock_timestamp() LIMIT $1", most
        )
        await asyncio.sleep(0.02)
        await super().claim(most=most)
        return [DueAlert(await standing(self, row["id"]), 0) for row in rows]


async def claimed_at_once(alerts: AlertStore, keyring: Keyring) -> list[str]:
    """What eight workers lease at once, of thirty alerts."""
    for _ in range(30):
        await alerts.add(new_alert(keyring), BY)
    claims = await asyncio.gather(*(alerts.claim(most=10) for _ in range(8)))
    return [due.alert.id for claim in claims for due in claim]


async def test_what_is_due_is_leased_to_one_worker(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """All of it, each once; a store that looks first leases some twice."""
    found = await claimed_at_once(alerts, keyring)
    assert len(found) == len(set(found)) == 30
    broken = await claimed_at_once(ClaimsTwice(pool), keyring)
    assert len(broken) > len(set(broken))


async def test_a_worker_whose_lease_is_over_sends_nothing(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """Another has taken it up meanwhile; a book without the fence would send it twice."""
    new = await alerts.add(new_alert(keyring), BY)
    late = await leased(book, new.id)
    await make_due(pool, new.id)
    assert await sent(book, new.id)
    plan = book.plan(late)
    assert plan is not None
    assert await book.advance(late, plan, over("a")) is None
    assert (await standing(alerts, new.id)).deliveries[0].tries == 1
    unfenced = await alerts.change(
        new.id, lambda alert, now_ms: advance(alert, Attempt(Channel.SMS, "a"), now_ms), BY
    )
    assert unfenced is not None and unfenced[0].sends, "without the lease's end it goes again"


async def test_the_attempt_is_on_record_before_it_goes(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """Under the reference that a later try repeats."""
    new = await alerts.add(new_alert(keyring), BY)
    first = await sent(book, new.id)
    assert await kinds(pool, new.id) == ["alert.queued", "alert.attempted"]
    await make_due(pool, new.id)
    outbound = await taken_up(book, new.id, over("a"))
    assert outbound is not None
    assert (outbound.message.delivery_id, outbound.message.attempt) == (first, 2)
    assert [event.get("try") for event in (await alert_events(pool, new.id))[1:]] == [1, 2]


async def test_workers_that_die_each_time_end_the_delivery(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """After so many tries the next channel follows, and then nothing: it has failed, and nothing is due."""
    new = await alerts.add(new_alert(keyring, channels=(Channel.SMS, Channel.VOICE)), BY)
    for channel in (Channel.SMS, Channel.VOICE):
        for _ in range(MOST_TRIES):
            assert await sent(book, new.id, channel=channel)
            await make_due(pool, new.id)
    assert await taken_up(book, new.id, over("a")) is None
    after = await standing(alerts, new.id)
    assert (after.status, after.reason, after.due_at) == (AlertStatus.FAILED, "worker_lost", None)
    assert [one.tries for one in after.deliveries] == [MOST_TRIES] * 2


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
async def test_a_receipt_before_the_answer_is_not_undone(
    alerts: AlertStore, book: AlertBook, keyring: Keyring, channel: Channel
) -> None:
    """The supplier's receipt overtakes its answer to the submit; told again it is no news."""
    new = await alerts.add(new_alert(keyring, channels=(channel,)), BY)
    delivery = await sent(book, new.id, channel=channel)
    arrived = DeliveryStatus.ANSWERED if channel is Channel.VOICE else DeliveryStatus.DELIVERED
    told = [
        await book.settle(delivery, Settlement(status, "a"))
        for status in (arrived, DeliveryStatus.SENT, arrived, DeliveryStatus.FAILED)
    ]
    assert [one.is_news for one in told if one] == [True, False, False, False]
    assert (await standing(alerts, new.id)).status is AlertStatus.DELIVERED


def counted(status: str) -> float:
    """How many text messages are counted as having come to this."""
    labels = {"channel": "sms", "status": status}
    return REGISTRY.get_sample_value("sca_deliveries_settled_total", labels) or 0.0


async def test_deliveries_are_counted_when_they_are_settled(
    alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """As those of challenges: when sent and when delivered, once each, and when nobody carries it."""
    before = [counted(status) for status in ("sent", "delivered", "failed")]
    delivery = await sent(book, (await alerts.add(new_alert(keyring), BY)).id)
    for status in (DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.DELIVERED):
        await book.settle(delivery, Settlement(status, "a"))
    await taken_up(book, (await alerts.add(new_alert(keyring), BY)).id, NO_ROUTE)
    after = [counted(status) for status in ("sent", "delivered", "failed")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]


@pytest.mark.race
async def test_receipts_at_once_are_news_once(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """Twenty of them: one event; where nobody waits for the row, more."""
    await asyncio.gather(
        *(pool.fetch("SELECT pg_sleep(0.02)") for _ in range(6))
    )  # all connections are there
    workers = [a_book(pool, AlertStore(pool), keyring, NothingIsPumped()) for _ in range(AT_ONCE)]
    events = []
    for lock in ("FOR UPDATE", ""):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres_store, "_LOCK", postgres_store._LOCK.replace("FOR UPDATE", lock))
            new = await alerts.add(new_alert(keyring), BY)
            delivery = await sent(book, new.id)
            receipt = Settlement(DeliveryStatus.DELIVERED, "a")
            told = await asyncio.gather(*(one.settle(delivery, receipt) for one in workers))
        events.append((await kinds(pool, new.id)).count("alert.delivered"))
        assert sum(one.is_news for one in told if one) == events[-1]
    assert events[0] == 1
    assert events[1] > 1


async def test_a_failure_that_passes_is_tried_over_another_supplier(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """And the book says which has been tried."""
    new = await alerts.add(new_alert(keyring), BY)
    delivery = await sent(book, new.id)
    again = Settlement(DeliveryStatus.FAILED, "a", reason="supplier_down", transient=True, attempt=1)
    for _ in range(2):
        await book.settle(delivery, again)
    plan = book.plan(await leased(book, new.id))
    assert plan is not None and (plan.tried, plan.began_with) == (("a",), "")
    assert (await kinds(pool, new.id)).count("alert.retried") == 1


async def test_where_nobody_carries_it_the_next_channel_follows(
    alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """The last one waits where its suppliers are only being left alone, and fails where none is left."""
    new = await alerts.add(new_alert(keyring, channels=(Channel.SMS, Channel.VOICE)), BY)
    assert await taken_up(book, new.id, NO_ROUTE) is None
    due = await leased(book, new.id)
    plan = book.plan(due)
    assert plan is not None and plan.message.channel is Channel.VOICE
    assert await book.advance(due, plan, LEFT_ALONE) is None
    waiting = await standing(alerts, new.id)
    assert waiting.status is AlertStatus.QUEUED and waiting.due_at is not None
    assert waiting.due_at != due.alert.due_at


async def test_what_expires_is_never_sent(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """Suppressed when nothing was handed over, failed when something was."""
    untried, tried = await alerts.add(new_alert(keyring), BY), await alerts.add(new_alert(keyring), BY)
    for one in (untried.id, tried.id):
        await pool.execute(
            "UPDATE alerts SET due_at = NULL WHERE id = ANY($1::text[])", [untried.id, tried.id]
        )
        await make_due(pool, one)
        if one == tried.id:
            await sent(book, one)
        await pool.execute("UPDATE alerts SET expires_at = clock_timestamp() WHERE id = $1", one)
        await make_due(pool, one)
        assert await taken_up(book, one, over("a")) is None
    stands = [await standing(alerts, one.id) for one in (untried, tried)]
    assert [(one.status, one.reason) for one in stands] == [
        (AlertStatus.SUPPRESSED, "expired"),
        (AlertStatus.FAILED, "expired"),
    ]


@pytest.mark.parametrize("kind", AlertKind)
async def test_an_opt_out_suppresses_notices_and_no_warning(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring, kind: AlertKind
) -> None:
    """Of that client, whenever it came before the message goes."""
    number = f"+4915{int(new_id('n')[-7:], 16) % 10**8 + 10**8:09}"[:14]
    new = await alerts.add(new_alert(keyring, kind=kind, number=number), BY)
    await OptOutStore(pool).opt_out(keyring.pseudonym("phone", number), CLIENT, an_event("opt_out.received"))
    outbound = await taken_up(book, new.id, over("a"))
    after = await standing(alerts, new.id)
    if kind is AlertKind.SECURITY:
        assert outbound is not None
    else:
        assert outbound is None
        assert (after.status, after.reason) == (AlertStatus.SUPPRESSED, "opted_out")


async def test_the_answer_to_again_is_the_message_while_it_is_not_over(
    alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """A payer who presses 1 hears it once more; of an alert that is over nothing is known but its state."""
    new = await alerts.add(new_alert(keyring, channels=(Channel.VOICE,)), BY)
    delivery = await sent(book, new.id, channel=Channel.VOICE)
    message = await book.message_of(delivery)
    assert message is not None and message.text.reveal() == "A text."
    await book.settle(delivery, Settlement(DeliveryStatus.ANSWERED, "a"))
    assert await book.message_of(delivery) is None
    assert await book.message_of(f"dlv_alt{'0' * 34}") is None


async def test_an_unknown_delivery_is_nobodys(book: AlertBook, alerts: AlertStore, keyring: Keyring) -> None:
    """Neither settled nor declined; nor is a delivery that the alert never had."""
    new = await alerts.add(new_alert(keyring), BY)
    for delivery in (f"dlv_alt{'0' * 34}", f"dlv_alt{new.id[4:]}01", "dlv_1", ""):
        assert await book.settle(delivery, Settlement(DeliveryStatus.DELIVERED, "a")) is None
    assert not await book.decline(f"dlv_alt{'0' * 34}")


async def test_an_erased_payer_is_sent_nothing(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring, office: Office
) -> None:
    """Also where a worker has leased the alert already; its key sends no second one, and nothing personal is left."""
    psu_id = new_id("cust")
    new = new_alert(keyring, psu=keyring.pseudonym("payer", CLIENT, psu_id))
    await alerts.add(new, BY)
    due = await leased(book, new.id)
    await office.erase(psu_id)
    assert await book.advance(due, book.plan(due), over("a")) is None
    after = await standing(alerts, new.id)
    assert (after.status, after.reason, after.sealed) == (AlertStatus.SUPPRESSED, "erased", "")
    again = await alerts.add(new_alert(keyring, dedupe=new.dedupe), BY)
    assert again.reason == "duplicate"


async def test_a_message_that_was_in_hand_when_its_payer_was_erased(
    alerts: AlertStore, book: AlertBook, keyring: Keyring, office: Office
) -> None:
    """What the supplier says afterwards is put down without a number, and nothing further is sent."""
    psu_id = new_id("cust")
    psu = keyring.pseudonym("payer", CLIENT, psu_id)
    new = await alerts.add(new_alert(keyring, psu=psu, channels=(Channel.SMS, Channel.VOICE)), BY)
    delivery = await sent(book, new.id)
    await office.erase(psu_id)
    await book.settle(delivery, Settlement(DeliveryStatus.FAILED, "a", reason="rejected"))
    assert (await standing(alerts, new.id)).due_at is None
    await book.settle(delivery, Settlement(DeliveryStatus.DELIVERED, "a"))
    after = await standing(alerts, new.id)
    assert (after.status, after.sealed, after.due_at) == (AlertStatus.DELIVERED, "", None)


async def a_line(
    pool: asyncpg.Pool, keyring: Keyring, psu: str, number: str, *, state: str
) -> AuthenticatorRow:
    """A payer's phone line."""
    line = new_id("aut")
    held = sealed(keyring, PhoneSealed(number, "de-DE", "Mine"), line)
    await pool.execute(
        "INSERT INTO authenticators (id, client_id, psu, type, state, sealed, authorised_by)"
        " VALUES ($1, 'bank', $2, 'phone', $3, $4, $1)",
        line,
        psu,
        state,
        held,
    )
    row = await AuthenticatorStore(pool).get(line, psu)
    assert row is not None
    return row


Replacing = Callable[..., Awaitable[None]]


class Stumbles(ReplacedLines):
    """Cut off at the end of its work, as by a kill."""

    async def replaced(self, *told: Any) -> None:
        """All of it, and then the connection is gone."""
        await super().replaced(*told)
        raise ConnectionResetError


async def test_a_line_is_replaced_and_told_or_neither(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """A cut between the two leaves the old line as it was; the next try does both, and another one nothing more."""
    psu, policy, by = new_payer(), load(shipped_policies()), Occurrence(1, BY)
    before = await a_line(pool, keyring, psu, "+4915112345678", state="active")
    after = await a_line(pool, keyring, psu, "+4915187654321", state="pending")
    with pytest.raises(Exception):  # noqa: B017 - whatever the cut is taken for
        await EnrolmentStore(pool, Stumbles(policy, keyring)).activate(after, Proven(), by)
    (held,) = await AuthenticatorStore(pool).active(psu, AuthenticatorType.PHONE)
    assert held.id == before.id
    assert await pool.fetchval("SELECT count(*) FROM alerts WHERE psu = $1", psu) == 0
    store = EnrolmentStore(pool, ReplacedLines(policy, keyring))
    tried = await asyncio.gather(*(store.activate(after, Proven(), by) for _ in range(5)))
    assert sum(one is not None for one in tried) == 1
    rows = await pool.fetch("SELECT id, kind, sealed FROM alerts WHERE psu = $1", psu)
    assert [row["kind"] for row in rows] == ["security"]
    plain = keyring.open(rows[0]["sealed"], rows[0]["id"])
    assert b"+4915112345678" in plain and b"+4915187654321" not in plain


async def test_a_queued_alert_and_its_event_are_there_or_neither(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """A transaction that ends before its commit leaves nothing of either."""
    new = new_alert(keyring)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await queue(connection, new, BY) is not None
        await transaction.rollback()
    assert await AlertStore(pool).of_anybody(new.id) is None
    assert await kinds(pool, new.id) == []


async def test_a_change_that_cannot_be_put_on_record_is_none(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """The event is too long for a leaf: the alert stands as before, and is not given out."""
    new = await alerts.add(new_alert(keyring), BY)

    def too_much(alert: Alert, _: int) -> Change:
        return Change(replace(alert, status=AlertStatus.SENT), (("alert.sent", {"why": "x" * 70_000}),), True)

    with pytest.raises(ValueError, match="longer than a leaf"):
        await alerts.change(new.id, too_much, BY)
    assert await standing(alerts, new.id) == new
