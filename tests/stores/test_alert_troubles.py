"""Alerts that meet trouble, on PostgreSQL: one never holds up others, and a warning outlasts what passes."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sca_service.alerts.book import AlertBook
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.content import Content, sealed
from sca_service.alerts.lane import LANE
from sca_service.alerts.model import Alert, AlertKind, AlertStatus, take_back
from sca_service.alerts.postgres_store import AlertStore
from sca_service.alerts.tries import MOST_TRIES
from sca_service.delivery.dispatch import Outbound
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.delivery.supplier import FailureReason
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.load import load
from sca_service.policy.model import Channel
from sca_service.routing.model import Route, RouteChoice, RouteReason
from sca_service.settings import shipped_policies
from tests.alerts import NothingIsPumped, alert_events, new_alert
from tests.erasure_office import Office
from tests.storeroom import CLIENT

BY = {"actor": "client:bank"}
POLICY = load(shipped_policies())
LIMITED = RouteChoice(None, (("", RouteReason.SEND_LIMIT),))
DOWN = FailureReason.SUPPLIER_DOWN


@pytest.fixture
async def alerts(pool: asyncpg.Pool) -> AsyncIterator[AlertStore]:
    """The alerts; none of another test is due, or will be."""
    await pool.execute("UPDATE alerts SET due_at = NULL")
    yield AlertStore(pool)
    await pool.execute("UPDATE alerts SET due_at = NULL")


@pytest.fixture
def book(pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring) -> AlertBook:
    """What a worker keeps alerts by, where it is never quiet."""
    return AlertBook(
        policy=POLICY,
        keyring=keyring,
        store=alerts,
        wishes=ConsentStore(pool),
        guard=NothingIsPumped(),
        actor="worker",
        quiet_hours=POLICY.alerts.notices.quiet_hours.where(sandbox=True),
    )


async def standing(alerts: AlertStore, alert: str) -> Alert:
    """How it stands."""
    found = await alerts.of_anybody(alert)
    assert found is not None
    return found


async def taken_up(
    pool: asyncpg.Pool, book: AlertBook, alert: str, choice: RouteChoice | None = None
) -> Outbound | None:
    """What a worker is given to send of an alert whose time has come, with this choice or over its channel's route."""
    await pool.execute("UPDATE alerts SET due_at = clock_timestamp() WHERE id = $1", alert)
    (due,) = [one for one in await book.claim(LANE, most=100) if one.alert.id == alert]
    plan = book.plan(due)
    if plan is None:
        return await book.advance(due, None, None)
    route = Route("a", plan.message.channel, "262-01", None, None, (RouteReason.ONLY_ROUTE,))
    return await book.advance(due, plan, choice or RouteChoice(route))


async def fails(pool: asyncpg.Pool, book: AlertBook, alert: str) -> None:
    """Its only supplier is given it, and is down."""
    outbound = await taken_up(pool, book, alert)
    assert outbound is not None
    down = Settlement(DeliveryStatus.FAILED, "a", reason=DOWN, transient=True, retry_ms=1_000)
    await book.settle(outbound.message.delivery_id, down)


async def test_what_cannot_be_read_holds_up_no_other(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """A zone that this machine does not know, and a number that no plan has any more, beside an alert that is fine."""
    elsewhere = await alerts.add(new_alert(keyring, time_zone="Mars/Base"), BY)
    nowhere, fine = await alerts.add(new_alert(keyring), BY), await alerts.add(new_alert(keyring), BY)
    content = Content("a_notice", "de-DE", number="+4900", texts={Channel.SMS: "A text."})
    await pool.execute(
        "UPDATE alerts SET sealed = $2 WHERE id = $1", nowhere.id, sealed(keyring, content, nowhere.id)
    )
    found = {one.alert.id: one for one in await book.claim(LANE, most=100)}
    assert found.keys() == {elsewhere.id, nowhere.id, fine.id}
    assert book.plan(found[elsewhere.id]) and book.plan(found[fine.id])


async def test_what_was_sent_to_a_payer_who_is_erased_is_over(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring, office: Office
) -> None:
    """A receipt that says it did not arrive finds nobody to call; it is not taken up again and again in vain."""
    psu_id = new_id("cust")
    psu = keyring.pseudonym("payer", CLIENT, psu_id)
    new = await alerts.add(new_alert(keyring, psu=psu, channels=(Channel.SMS, Channel.VOICE)), BY)
    outbound = await taken_up(pool, book, new.id)
    assert outbound is not None
    await book.settle(outbound.message.delivery_id, Settlement(DeliveryStatus.SENT, "a"))
    await office.erase(psu_id)
    await book.settle(outbound.message.delivery_id, Settlement(DeliveryStatus.UNDELIVERED, "a"))
    assert await taken_up(pool, book, new.id) is None
    after = await standing(alerts, new.id)
    assert (after.status, after.reason, after.due_at) == (AlertStatus.FAILED, "erased", None)


async def test_what_no_supplier_was_handed_is_taken_back(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """A step to the next channel, because nobody carries the first one, is no message; what was handed over stays."""
    new = await alerts.add(new_alert(keyring, channels=(Channel.SMS, Channel.VOICE)), BY)
    assert await taken_up(pool, book, new.id, LIMITED) is None
    stepped = await standing(alerts, new.id)
    assert stepped.deliveries and take_back(stepped).alert.status is AlertStatus.SUPPRESSED
    assert await taken_up(pool, book, new.id) is not None
    in_hand = await standing(alerts, new.id)
    assert take_back(in_hand).alert == in_hand


async def test_a_warning_outlasts_a_limit(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """Whoever took over a line could use up what may be sent to the old one; a notice fails, a warning goes later."""
    both = (Channel.SMS, Channel.VOICE)
    for kind, status in ((AlertKind.NOTICE, "failed"), (AlertKind.SECURITY, "queued")):
        new = await alerts.add(new_alert(keyring, kind=kind, channels=both), BY)
        for _ in both:
            assert await taken_up(pool, book, new.id, LIMITED) is None
        assert (await standing(alerts, new.id)).status == status
    outbound = await taken_up(pool, book, new.id)
    assert outbound is not None and outbound.message.channel is Channel.VOICE


async def test_a_warning_outlasts_a_supplier_that_is_away(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """A notice is given up after three tries; a warning waits longer each time, and goes out when they are back."""
    notice = await alerts.add(new_alert(keyring), BY)
    warning = await alerts.add(new_alert(keyring, kind=AlertKind.SECURITY, lifetime_ms=259_200_000), BY)
    waits = []
    for _ in range(MOST_TRIES + 5):
        await fails(pool, book, warning.id)
        waits.append(
            ((await standing(alerts, warning.id)).due_at or 0) - _last(await _told(pool, warning.id))
        )
    assert waits == sorted(waits) and waits[0] == 1_000 and waits[-1] > 60_000
    for _ in range(MOST_TRIES):
        await fails(pool, book, notice.id)
    assert (await standing(alerts, notice.id)).status is AlertStatus.FAILED
    outbound = await taken_up(pool, book, warning.id)
    assert outbound is not None
    await book.settle(outbound.message.delivery_id, Settlement(DeliveryStatus.SENT, "a"))
    assert (await standing(alerts, warning.id)).status is AlertStatus.SENT


async def test_a_warning_that_kills_its_workers_is_given_up(
    pool: asyncpg.Pool, alerts: AlertStore, book: AlertBook, keyring: Keyring
) -> None:
    """Whether those messages went out nobody knows: there are three of them at most."""
    warning = await alerts.add(new_alert(keyring, kind=AlertKind.SECURITY), BY)
    await fails(pool, book, warning.id)
    for _ in range(MOST_TRIES):
        assert await taken_up(pool, book, warning.id) is not None
    assert await taken_up(pool, book, warning.id) is None
    after = await standing(alerts, warning.id)
    assert (after.status, after.reason) == (AlertStatus.FAILED, FailureReason.WORKER_LOST)


async def _told(pool: asyncpg.Pool, alert: str) -> list[int]:
    return [event["at_ms"] for event in await alert_events(pool, alert)]


def _last(moments: list[int]) -> int:
    return max(moments)
