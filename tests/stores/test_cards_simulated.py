"""What `sca alerts simulate` says is what the store does: the same stories, played in memory and in PostgreSQL."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import asyncpg
import msgspec
import pytest

from sca_service.alerts.cards.desk import CardDesk
from sca_service.alerts.cards.model import Balance, ChargeSource
from sca_service.alerts.cards.orders import BalanceOrder, PastOrder, UpcomingOrder
from sca_service.alerts.cards.recurring import PastCharge
from sca_service.alerts.cards.simulation import Expected, Happening, Simulation, Told
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from tests.cards import BY, CLIENT, NOON, POLICY, SetClock, a_card, card_desk

TODAY = NOON.date()
SEEDS = (0, 1, 2, 5)
PHONE = PhoneNumber.parse("+4915112345678")
SENT = """UPDATE alerts SET deliveries = '[{"id":"dlv_1","channel":"sms","status":"queued","queued_at":1,"tries":1}]'"""


def story(seed: int, ref: str) -> list[Told]:
    """Balances around a threshold, charges to come and charges that were made, over three weeks."""
    chance = random.Random(seed)
    told = [Told(NOON, ref, Balance("EUR", 4_000, NOON, 2_000))]
    at = NOON
    for _ in range(14):
        at += timedelta(minutes=chance.randrange(1, 3_000))
        match chance.choice("bbbbuuucr"):
            case "b":
                as_of = at - timedelta(minutes=chance.choice((0, 0, 5_000)))
                minor = chance.choice((-100, 500, 1_900, 1_999, 2_050, 2_399, 2_400, 6_000))
                told.append(Told(at, ref, Balance("EUR", minor, as_of, chance.choice((2_000, 2_000, None)))))
            case "u":
                day = at.date() + timedelta(days=chance.randrange(10))
                name, confidence = chance.choice("abc"), chance.choice((100, 60, 50))
                told.append(
                    Told(at, ref, Expected(name, name, "EUR", chance.randrange(1, 3_000), day, confidence))
                )
            case "c":
                day = at.date() - timedelta(days=chance.randrange(3))
                told.append(Told(at, ref, PastCharge(chance.choice("abc"), "EUR", 1_000, day)))
            case _:
                for back in (60, 30, 0):
                    day = TODAY - timedelta(days=back + 25)
                    told.append(Told(at, ref, PastCharge("r", "EUR", 2_100, day)))
    return told


async def tell(desk: CardDesk, told: Told) -> None:
    """The same to the desk."""
    match told.what:
        case Balance():
            await desk.put_balance(CLIENT, told.card, BalanceOrder("cust_1", PHONE, "de-DE", told.what), BY)
        case Expected() as one:
            order = UpcomingOrder(
                one.merchant,
                Amount(one.currency, one.amount_minor),
                one.expected_on,
                one.confidence_percent,
                ChargeSource.ISSUER,
            )
            await desk.expect(CLIENT, told.card, order, BY)
        case PastCharge() as one:
            await desk.record(
                CLIENT,
                told.card,
                [PastOrder(one.merchant, Amount(one.currency, one.amount_minor), one.made_on)],
                BY,
            )


def in_words(happenings: list[Happening]) -> list[str]:
    """What happened: warned or suppressed, of what, in no order within one moment."""
    words = []
    for one in happenings:
        warn = one.warn or one.taken_back
        if warn:
            about = (
                f"{warn.charge.expected_on} {warn.charge.confidence_percent}"
                if warn.charge
                else warn.key.split()[1]
            )
            words.append(f"{'queued' if one.warn else 'suppressed'} {warn.kind} {about}")
    return sorted(words)


async def on_record(pool: asyncpg.Pool, card: str) -> list[str]:
    """The same as the log has it, of all events about a card."""
    rows = await pool.fetch(
        "SELECT body FROM audit_events WHERE body::jsonb ->> 'card' = $1 ORDER BY txid, position", card
    )
    abouts: dict[str, str] = {}
    words = []
    for event in (msgspec.json.decode(row["body"]) for row in rows):
        if event["type"] == "alert.queued":
            about = (
                f"{event['expected_on']} {event['confidence']}"
                if "charge" in event
                else str(event["episode"])
            )
            abouts[event["alert"]] = f"{event['kind']} {about}"
        words.append(f"{event['type'].removeprefix('alert.')} {abouts[event['alert']]}")
    return words


def moments(
    simulation: Simulation, told: list[Told]
) -> Iterator[tuple[datetime, Told | None, list[Happening]]]:
    """Each moment of a story: a call, or one that falls due by itself, with what happens then."""
    for one in (*told, None):
        while (due := simulation.next_due()) is not None and (one is None or due <= one.at):
            yield due, None, list(simulation.look(due))
        if one is not None:
            yield one.at, one, list(simulation.tell(one))


@pytest.mark.parametrize("is_sent", [False, True], ids=["unsent", "sent"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_simulation_is_what_the_store_does(
    pool: asyncpg.Pool, keyring: Keyring, seed: int, is_sent: bool
) -> None:
    """At each moment of a story the same alerts are queued and suppressed, whether they leave at once or never."""
    clock, ref = SetClock(), a_card()
    desk = card_desk(pool, keyring, clock)
    key = keyring.pseudonym("card", CLIENT, ref)
    await pool.execute("UPDATE cards SET next_check_at = NULL")
    simulation = Simulation(POLICY.alerts, sent_after=timedelta(0) if is_sent else timedelta(days=365))
    known = 0
    for at, told, happenings in moments(simulation, story(seed, ref)):
        clock.at = at
        if told is not None:
            await tell(desk, told)
        else:
            assert await desk.look()
        events = await on_record(pool, key)
        assert sorted(events[known:]) == in_words(happenings), (seed, at, told)
        known = len(events)
        if is_sent:
            await pool.execute(f"{SENT} WHERE status = 'queued' AND deliveries = '[]'")
    assert not await desk.look()
    assert known


def test_the_stories_have_everything_in_them() -> None:
    """Alerts of both kinds, and some that are suppressed: the stories would show a difference."""
    words = []
    for seed in SEEDS:
        simulation = Simulation(POLICY.alerts, sent_after=timedelta(days=365))
        words += in_words(list(simulation.play(story(seed, "card"))))
    starts = {" ".join(one.split()[:2]) for one in words}
    assert starts == {
        f"{what} {kind}" for what in ("queued", "suppressed") for kind in ("low_balance", "upcoming_charge")
    }
