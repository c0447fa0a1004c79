"""Cards in PostgreSQL: one commit or nothing, nobody decides on what is old, and what falls due is looked at once."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from sca_service.alerts.book import AlertBook
from sca_service.alerts.cards import postgres_store
from sca_service.alerts.cards.desk import CardDesk
from sca_service.alerts.cards.model import CardState
from sca_service.alerts.cards.orders import BalanceOrder, SeenCard
from sca_service.alerts.cards.postgres_store import CardStore
from sca_service.alerts.cards.writer import CardWriter
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.postgres_store import AlertStore, queue
from sca_service.kernel.errors import InvalidInput, NotFound, StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from tests.alerts import NothingIsPumped, alert_events
from tests.cards import BY, CLIENT, NOON, POLICY, SetClock, a_card, balance, card_desk, past, upcoming
from tests.erasure_office import Office
from tests.storeroom import CLIENT as OFFICE

TODAY = NOON.date()
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> SetClock:
    """A clock that the test sets."""
    return SetClock()


@pytest.fixture
def desk(pool: asyncpg.Pool, keyring: Keyring, clock: SetClock) -> CardDesk:
    """A desk over the store."""
    return card_desk(pool, keyring, clock)


async def alerts_of(pool: asyncpg.Pool, ref: str, keyring: Keyring) -> list[dict[str, Any]]:
    """The alerts about a card, the oldest first, as their events tell."""
    key = keyring.pseudonym("card", CLIENT, ref)
    rows = await pool.fetch(
        "SELECT alert.* FROM alerts AS alert WHERE alert.id IN (SELECT body::jsonb ->> 'alert' FROM audit_events"
        " WHERE body::jsonb ->> 'card' = $1) ORDER BY created_at, id",
        key,
    )
    return [dict(row) for row in rows]


async def test_a_balance_its_state_and_its_alert_are_stored(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring
) -> None:
    """As they were decided; read again they are the same, and nothing personal stands there in clear."""
    ref = a_card()
    put = await desk.put_balance(CLIENT, ref, balance(1_900, threshold=2_000, psu="kundin-7"), BY)
    charge, seen = await desk.expect(CLIENT, ref, upcoming(2_500, TODAY + timedelta(2)), BY)
    assert put.held.card.state is CardState.BELOW and len(put.queued) == 1
    assert seen.queued == (charge.charge.alert,)
    again = await desk.get(CLIENT, ref)
    assert again.held == seen.held and again.psu_id == "kundin-7"
    for table in ("cards", "upcoming_charges", "alerts"):
        texts = str(await pool.fetch(f"SELECT * FROM {table}"))  # noqa: S608 - named above
        assert not any(word in texts for word in ("kundin-7", "4915112345678", "Streaming", ref))


async def test_what_recovers_before_it_is_sent_is_not_sent(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring
) -> None:
    """In the same commit, on record; the number and the text are gone, and the next fall is another alert."""
    ref = a_card()
    (first,) = (await desk.put_balance(CLIENT, ref, balance(1_000, threshold=2_000), BY)).queued
    up = await desk.put_balance(CLIENT, ref, balance(2_400, at=NOON + SECOND, threshold=2_000), BY)
    assert up.taken_back == (first,)
    events = await alert_events(pool, first)
    assert [(one["type"], one.get("reason")) for one in events] == [
        ("alert.queued", None),
        ("alert.suppressed", "recovered"),
    ]
    (row,) = await pool.fetch("SELECT * FROM alerts WHERE id = $1", first)
    assert (row["status"], row["reason"], row["due_at"]) == ("suppressed", "recovered", None)
    assert b"+4915112345678" not in keyring.open(row["sealed"], first)
    down = await desk.put_balance(CLIENT, ref, balance(1_000, at=NOON + 2 * SECOND, threshold=2_000), BY)
    assert len(down.queued) == 1


async def test_what_is_no_news_for_a_threshold_may_be_for_a_charge(desk: CardDesk) -> None:
    """A balance that leaves its state as it is warns of what it is not enough for, and takes back what it covers."""
    ref = a_card()
    await desk.put_balance(CLIENT, ref, balance(9_000, threshold=1_000), BY)
    await desk.expect(CLIENT, ref, upcoming(5_000, TODAY + timedelta(1)), BY)
    down = await desk.put_balance(CLIENT, ref, balance(4_000, at=NOON + SECOND, threshold=1_000), BY)
    up = await desk.put_balance(CLIENT, ref, balance(5_000, at=NOON + 2 * SECOND, threshold=1_000), BY)
    assert len(down.queued) == 1
    assert up.taken_back == down.queued
    assert up.held.card.state is CardState.SUFFICIENT


async def test_what_is_being_sent_is_not_taken_back(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring
) -> None:
    """A worker that has put down an attempt was first; a charge that was told of so is not told of again."""
    ref = a_card()
    await desk.put_balance(CLIENT, ref, balance(100), BY)
    charge, _ = await desk.expect(CLIENT, ref, upcoming(200, TODAY + timedelta(1)), BY)
    await pool.execute(
        """UPDATE alerts SET deliveries = '[{"id":"dlv_1","channel":"sms","status":"queued","queued_at":1,"tries":1}]'
        WHERE id = $1""",
        charge.charge.alert,
    )
    up = await desk.put_balance(CLIENT, ref, balance(500, at=NOON + SECOND), BY)
    down = await desk.put_balance(CLIENT, ref, balance(100, at=NOON + 2 * SECOND), BY)
    assert (up.taken_back, down.queued) == ((), ())
    (row,) = await pool.fetch("SELECT * FROM alerts WHERE id = $1", charge.charge.alert)
    assert row["status"] == "queued"


async def test_a_worker_that_leased_it_sends_nothing_once_it_is_taken_back(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring
) -> None:
    """The lease is over when the alert is."""
    book = AlertBook(
        policy=POLICY,
        keyring=keyring,
        store=AlertStore(pool),
        wishes=ConsentStore(pool),
        guard=NothingIsPumped(),
        actor="worker",
    )
    ref = a_card()
    (queued,) = (await desk.put_balance(CLIENT, ref, balance(1_000, threshold=2_000), BY)).queued
    await pool.execute("UPDATE alerts SET due_at = NULL WHERE id <> $1", queued)
    (due,) = await book.claim(0, most=5)
    assert due.alert.id == queued
    await desk.put_balance(CLIENT, ref, balance(2_400, at=NOON + SECOND, threshold=2_000), BY)
    assert await book.advance(due, book.plan(due), None) is None
    assert [one["type"] for one in await alert_events(pool, queued)] == ["alert.queued", "alert.suppressed"]


_MOST_TRIES = 100


async def insisted(desk: CardDesk, ref: str, order: BalanceOrder) -> SeenCard:
    """A balance that was taken in, on a machine that is busy too."""
    for _ in range(_MOST_TRIES):
        try:
            return await desk.put_balance(CLIENT, ref, order, BY)
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    raise StoreUnavailable("no balance was taken in")


async def wobbled(
    pool: asyncpg.Pool, keyring: Keyring, desk: CardDesk, ref: str, at_once: int
) -> tuple[int, int]:
    """How many alerts came of so many wobbles at once, and the balance that stands."""
    await asyncio.gather(
        *(
            insisted(desk, ref, balance(1_800 + at % 3, at=NOON + at * SECOND / 100, threshold=2_000))
            for at in reversed(range(at_once))  # the newest comes first: no other may overtake it
        )
    )
    held = (await desk.get(CLIENT, ref)).held
    return len(await alerts_of(pool, ref, keyring)), held.card.balance_minor


@pytest.mark.parametrize("is_known", [True, False])
async def test_balances_at_once_are_one_episode(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring, is_known: bool
) -> None:
    """Thirty at once, of a card that is known or not: one alert, and the newest stands."""
    ref = a_card()
    if is_known:
        await desk.put_balance(CLIENT, ref, balance(9_000, at=NOON - SECOND, threshold=2_000), BY)
    assert await wobbled(pool, keyring, desk, ref, 30) == (1, 1_800 + 29 % 3)


class Stumbles(CardWriter):
    """Cut off at the end of its work, as by a kill."""

    def bare(self, alert: Any) -> str:
        """The connection is gone."""
        raise ConnectionResetError


async def test_a_cut_leaves_all_or_nothing(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring, clock: SetClock
) -> None:
    """Between what was stored and its commit: neither the balance, nor a charge, nor an alert, nor an event."""
    ref = a_card()
    await desk.put_balance(CLIENT, ref, balance(1_000, threshold=2_000), BY)
    before = (await desk.get(CLIENT, ref)).held, await alerts_of(pool, ref, keyring)
    store = CardStore(pool, POLICY.alerts, Stumbles(POLICY, keyring))
    cut = CardDesk(policy=POLICY, keyring=keyring, store=store, clock=clock)
    with pytest.raises(Exception):  # noqa: B017 - whatever the cut is taken for
        await cut.put_balance(CLIENT, ref, balance(5_000, at=NOON + SECOND, threshold=2_000), BY)
    assert ((await desk.get(CLIENT, ref)).held, await alerts_of(pool, ref, keyring)) == before
    done = await desk.put_balance(CLIENT, ref, balance(5_000, at=NOON + SECOND, threshold=2_000), BY)
    assert len(done.taken_back) == 1


async def test_a_killed_session_leaves_nothing(
    pool: asyncpg.Pool,
    desk: CardDesk,
    keyring: Keyring,
    clock: SetClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL ends the session once the alert is queued: the card is as it was, and due; the next look does it."""
    ref = a_card()
    await desk.put_balance(CLIENT, ref, balance(100), BY)
    await desk.expect(CLIENT, ref, upcoming(200, TODAY + timedelta(9)), BY)
    clock.at = NOON + timedelta(days=7)
    before = (await desk.get(CLIENT, ref)).held
    await only_due(pool, keyring, ref, before.next_check_at)

    async def killed(connection: Any, *told: Any) -> Any:
        done = await queue(connection, *told)
        await pool.execute(
            "SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()")
        )
        return done

    with monkeypatch.context() as patch:
        patch.setattr(postgres_store, "queue", killed)
        with pytest.raises(StoreUnavailable):
            await desk.look()
    assert (await desk.get(CLIENT, ref)).held == before
    assert await alerts_of(pool, ref, keyring) == []
    assert await desk.look()
    assert len(await alerts_of(pool, ref, keyring)) == 1


async def only_due(pool: asyncpg.Pool, keyring: Keyring, ref: str, at: datetime | None) -> None:
    """Let nothing but this card be due."""
    await pool.execute("UPDATE cards SET next_check_at = NULL")
    key = keyring.pseudonym("card", CLIENT, ref)
    await pool.execute("UPDATE cards SET next_check_at = $2 WHERE card = $1", key, at)


async def test_what_falls_due_is_looked_at_once(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring, clock: SetClock
) -> None:
    """Twenty cards, five who look at the same time: each card is taken by one of them, and told of once."""
    refs = [a_card() for _ in range(20)]
    await pool.execute("UPDATE cards SET next_check_at = NULL")
    for ref in refs:
        await desk.put_balance(CLIENT, ref, balance(100), BY)
        await desk.expect(CLIENT, ref, upcoming(200, TODAY + timedelta(9)), BY)
    assert not await desk.look()  # nothing is due yet
    clock.at = NOON + timedelta(days=6)

    async def all_due() -> int:
        looked = 0
        while await desk.look():
            looked += 1
        return looked

    assert sum(await asyncio.gather(*(all_due() for _ in range(5)))) == len(refs)
    for ref in refs:
        (alert,) = await alerts_of(pool, ref, keyring)
        assert alert["kind"] == "upcoming_charge"


async def test_a_card_that_cannot_be_read_holds_up_no_other(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring, clock: SetClock
) -> None:
    """What is sealed was altered: it is looked at again an hour later."""
    broken, whole = a_card(), a_card()
    await pool.execute("UPDATE cards SET next_check_at = NULL")
    for ref in (broken, whole):
        await desk.put_balance(CLIENT, ref, balance(100), BY)
        await desk.expect(CLIENT, ref, upcoming(200, TODAY + timedelta(9)), BY)
    key = keyring.pseudonym("card", CLIENT, broken)
    await pool.execute("UPDATE cards SET sealed = 'AQAA' WHERE card = $1", key)
    clock.at = NOON + timedelta(days=6)
    assert [await desk.look() for _ in range(3)] == [True, True, False]
    assert len(await alerts_of(pool, whole, keyring)) == 1
    again = await pool.fetchval("SELECT next_check_at FROM cards WHERE card = $1", key)
    assert again == clock.at + timedelta(hours=1)


async def test_another_holder_takes_nothing_over(
    pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring
) -> None:
    """Neither charges that were made or are to come, nor an alert that is not sent."""
    ref = a_card()
    first = await desk.put_balance(CLIENT, ref, balance(1_000, threshold=2_000), BY)
    await desk.record(CLIENT, ref, [past(999, TODAY - timedelta(days)) for days in (1, 31, 61)], BY)
    other = balance(1_000, at=NOON + SECOND, threshold=2_000, psu="cust_2")
    second = await desk.put_balance(CLIENT, ref, other, BY)
    assert second.taken_back == first.queued
    assert second.held.psu == keyring.pseudonym("payer", CLIENT, "cust_2")
    (row,) = await pool.fetch("SELECT psu FROM alerts WHERE id = $1", *second.queued)
    assert row["psu"] == second.held.psu
    assert second.held.card.charges == ()
    held_of_card = "SELECT count(*) FROM card_charges WHERE card_id = $1"
    assert await pool.fetchval(held_of_card, second.held.id) == 0


async def test_an_erasure_takes_the_cards_with_it(
    pool: asyncpg.Pool, keyring: Keyring, clock: SetClock, office: Office
) -> None:
    """With their charges; what waits is not sent, and a card that comes back is told of anew."""
    psu, ref = new_id("cust"), a_card()
    desk = card_desk(pool, keyring, clock)
    order = balance(1_000, threshold=2_000, psu=psu)
    (queued,) = (await desk.put_balance(OFFICE, ref, order, BY)).queued
    _, seen = await desk.expect(OFFICE, ref, upcoming(9, TODAY), BY)
    await desk.record(OFFICE, ref, [past(999, TODAY)], BY)
    await office.erase(psu)
    with pytest.raises(NotFound):
        await desk.get(OFFICE, ref)
    for table in ("upcoming_charges", "card_charges"):
        left = f"SELECT count(*) FROM {table} WHERE card_id = $1"  # noqa: S608 - named above
        assert await pool.fetchval(left, seen.held.id) == 0
    assert await pool.fetchval("SELECT reason FROM alerts WHERE id = $1", queued) == "erased"
    again = await desk.put_balance(OFFICE, ref, order, BY)
    assert len(again.queued) == 1


async def test_only_the_newest_charges_are_kept(pool: asyncpg.Pool, desk: CardDesk, keyring: Keyring) -> None:
    """As many and as old as the policy has it."""
    ref = a_card()
    held = (await desk.put_balance(CLIENT, ref, balance(1_000), BY)).held
    rules = POLICY.alerts.recognition
    made = [past(100 + at, TODAY - timedelta(days=at % 300), merchant=f"m{at % 7}") for at in range(600)]
    too_old = past(1, TODAY - timedelta(days=rules.history_days + 1))
    for start in range(0, 600, 200):
        await desk.record(CLIENT, ref, [*made[start : start + 200], too_old], BY)
    rows = await pool.fetch("SELECT made_on FROM card_charges WHERE card_id = $1", held.id)
    assert len(rows) == rules.most_charges
    assert min(row["made_on"] for row in rows) > TODAY - timedelta(days=300)


async def test_a_charge_is_told_of_where_it_is_told_wrongly(desk: CardDesk) -> None:
    """Of a card that nobody has told a balance of, in another currency, or in the past."""
    ref = a_card()
    with pytest.raises(NotFound):
        await desk.expect(CLIENT, ref, upcoming(1, TODAY), BY)
    await desk.put_balance(CLIENT, ref, balance(1_000), BY)
    for order in (upcoming(1, TODAY, currency="USD"), upcoming(1, TODAY - timedelta(1))):
        with pytest.raises(InvalidInput):
            await desk.expect(CLIENT, ref, order, BY)
    with pytest.raises(InvalidInput):
        await desk.record(CLIENT, ref, [past(1, TODAY + timedelta(2))], BY)


async def test_charges_that_are_too_old_are_not_kept_and_not_new(desk: CardDesk) -> None:
    """However often they are told: what the policy keeps counts once, what it does not counts never."""
    ref = a_card()
    await desk.put_balance(CLIENT, ref, balance(9_000), BY)
    old = TODAY - timedelta(POLICY.alerts.recognition.history_days + 1)
    orders = [past(500, old), past(500, TODAY)]
    assert [(await desk.record(CLIENT, ref, orders, BY)).new for _ in range(2)] == [1, 0]
