"""What payers want of alerts, on PostgreSQL: STOP and START by topic, consent, links, and what an erasure leaves."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from sca_service.alerts.book import AlertBook
from sca_service.alerts.consent.consents import Consents
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.lane import LANE
from sca_service.alerts.links.model import link_id
from sca_service.alerts.links.postgres_store import MOST_CLICKS, LinkStore
from sca_service.alerts.model import Alert
from sca_service.alerts.postgres_store import AlertStore
from sca_service.delivery.postgres_store import OptOutStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import InvalidInput, StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.policy.load import load
from sca_service.policy.notice_rules import QuietHours
from sca_service.settings import shipped_policies
from tests.alerts import NothingIsPumped, alert_events, new_alert
from tests.erasure_office import Office
from tests.storeroom import CLIENT, an_event, new_payer

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


def a_number() -> str:
    """One that no other test has."""
    return f"+4915{secrets.randbelow(10**8) + 10**8}"


@pytest.mark.parametrize(
    ("topic", "stopped", "said", "is_sent"),
    [
        ("charge", None, None, True),
        ("charge", "charge", None, False),
        ("charge", "balance", None, True),
        ("charge", "", None, False),
        ("charge", None, False, False),
        ("charge", "charge", True, False),
        ("offer", None, None, False),
        ("offer", None, True, True),
        ("offer", "", True, False),
        ("offer", "offer", True, False),
        ("", None, None, True),
        ("", "charge", None, True),
        ("", "", None, False),
    ],
)
async def test_what_a_payer_does_not_want_is_not_sent(
    pool: asyncpg.Pool,
    alerts: AlertStore,
    keyring: Keyring,
    topic: str,
    stopped: str | None,
    said: bool | None,
    is_sent: bool,
) -> None:
    """A STOP of all or of the topic, or no consent where it takes one; a STOP outweighs what the client says."""
    number, psu = a_number(), new_payer()
    new = new_alert(keyring, number=number, psu=psu, topic=topic)
    if stopped is not None:
        phone = keyring.pseudonym("phone", number)
        await OptOutStore(pool).opt_out(phone, CLIENT, an_event("opt_out.received"), stopped)
    if said is not None:
        await ConsentStore(pool).say(
            CLIENT, psu, {topic: said}, an_event("alert_consent.changed"), datetime.now(UTC)
        )
    await alerts.add(new, BY)
    assert await taken_up(a_book(pool, keyring)) == ([new.id] if is_sent else [])
    after = await standing(alerts, new.id)
    assert (after.reason == "opted_out") is not is_sent


async def test_of_a_batch_only_the_unwanted_are_held_back(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """One question for all of them, each with its own answer."""
    numbers = [a_number() for _ in range(9)]
    news = [new_alert(keyring, number=number) for number in numbers]
    for number in numbers[::3]:
        await OptOutStore(pool).opt_out(
            keyring.pseudonym("phone", number), CLIENT, an_event("opt_out.received")
        )
    await alerts.add_all(news, BY)
    sent = await taken_up(a_book(pool, keyring))
    assert set(sent) == {new.id for at, new in enumerate(news) if at % 3}


async def test_start_brings_back_what_stop_ended(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """START of everything ends every STOP; START of one topic leaves the STOP of everything."""
    store, phone = OptOutStore(pool), keyring.pseudonym("phone", a_number())
    for topic in ("", "charge"):
        await store.opt_out(phone, CLIENT, an_event("opt_out.received"), topic)
    assert await store.opt_in(phone, CLIENT, an_event("opt_out.lifted"), "charge")
    assert await store.is_opted_out(phone, CLIENT, "charge"), "everything is still stopped"
    await store.opt_out(phone, CLIENT, an_event("opt_out.received"), "charge")
    assert await store.opt_in(phone, CLIENT, an_event("opt_out.lifted"))
    assert not await store.is_opted_out(phone, CLIENT, "charge")


async def test_a_consent_is_put_down_once_with_its_event(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """What is no news is none on record; an unknown topic is refused."""
    consents = Consents(
        rules=POLICY.alerts.notices, keyring=keyring, store=ConsentStore(pool), clock=SystemClock()
    )
    psu_id = new_id("cust")
    for wanted in (True, True, False):
        told = await consents.put(CLIENT, psu_id, {"offer": wanted}, BY)
    assert {one.topic: one.granted for one in told} == {"charge": True, "balance": True, "offer": False}
    assert told == await consents.of(CLIENT, psu_id)
    count = await pool.fetchval(
        "SELECT count(*) FROM audit_events WHERE psu = $1 AND type = 'alert_consent.changed'",
        keyring.pseudonym("payer", CLIENT, psu_id),
    )
    assert count == 2
    with pytest.raises(InvalidInput):
        await consents.put(CLIENT, psu_id, {"unheard_of": True}, BY)


async def test_clicks_are_counted_and_told_once(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """Twenty taps at once: twenty counted, one event; a look counts nothing; what is over leads nowhere."""
    new = new_alert(keyring, url="https://bank.example/top-up")
    await alerts.add(new, BY)
    links, link = LinkStore(pool), link_id(keyring, new.id)
    assert await links.follow(link, counts=False) is not None
    led = await asyncio.gather(*(links.follow(link, counts=True) for _ in range(20)))
    assert {keyring.open(one.url, link) for one in led if one} == {b"https://bank.example/top-up"}
    assert (await links.clicks([new.id]))[new.id].count == 20
    events = [event["type"] for event in await alert_events(pool, new.id)]
    assert events.count("alert.clicked") == 1
    await pool.execute("UPDATE alert_links SET expires_at = clock_timestamp() WHERE id = $1", link)
    assert await links.follow(link, counts=True) is await links.follow(link, counts=False) is None


async def test_whoever_hammers_one_link_leaves_connections_to_others(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring
) -> None:
    """Taps on one link wait for each other at its row; as many as there are connections would keep codes waiting."""
    links, new = LinkStore(pool), new_alert(keyring, url="https://bank.example/top-up")
    await alerts.add(new, BY)
    assert new.link is not None
    waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    async with pool.acquire() as first, first.transaction():
        await first.execute("SELECT FROM alert_links WHERE id = $1 FOR UPDATE", new.link.id)
        taps = [asyncio.create_task(links.follow(new.link.id, counts=True)) for _ in range(20)]
        most = 0
        while not all(tap.done() for tap in taps):
            most = max(most, await first.fetchval(waiting))
            await asyncio.sleep(0.01)
    assert 1 <= most <= MOST_CLICKS
    ended = await asyncio.gather(*taps, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in ended)


async def test_an_erased_payer_leaves_neither_link_nor_consent(
    pool: asyncpg.Pool, alerts: AlertStore, keyring: Keyring, office: Office
) -> None:
    """Where a link led may say who somebody is; that there was an alert stays."""
    psu_id = new_id("cust")
    psu = keyring.pseudonym("payer", CLIENT, psu_id)
    new = new_alert(keyring, psu=psu, url="https://bank.example/top-up", time_zone="Asia/Tokyo")
    await alerts.add(new, BY)
    await ConsentStore(pool).say(
        CLIENT, psu, {"offer": True}, an_event("alert_consent.changed"), datetime.now(UTC)
    )
    await office.erase(psu_id)
    assert await LinkStore(pool).follow(link_id(keyring, new.id), counts=True) is None
    assert await ConsentStore(pool).said(CLIENT, psu) == {}
    assert (await standing(alerts, new.id)).time_zone == ""
