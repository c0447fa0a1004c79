"""Alerts: whatever workers and suppliers do in whatever order, nothing is sent once too often, and nothing is stuck.

Steps of time, leases that end, routes that are there or not, words of suppliers early, late, twice and contradicting
each other; and orders with keys that repeat, at once, on the real PostgreSQL.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sca_service.alerts.model import (
    Alert,
    AlertKind,
    AlertStatus,
    Attempt,
    Change,
    advance,
    alert_of,
    delivery_id,
    settle,
)
from sca_service.alerts.postgres_store import AlertStore
from sca_service.alerts.tries import MOST_TRIES
from sca_service.challenges.model import ChallengeId
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.delivery.model import delivery_id as delivery_of_challenge
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import connect_postgres
from sca_service.policy.model import Channel, Purpose
from tests.alerts import new_alert
from tests.harness import Deployment

CHANNELS = (Channel.PUSH, Channel.SMS, Channel.VOICE)
LIFETIME_MS = 600_000
WORDS = st.one_of(
    st.builds(
        Settlement,
        status=st.sampled_from(
            [one for one in DeliveryStatus if one not in ("queued", "skipped", "expired")]
        ),
        supplier=st.sampled_from(["a", "b"]),
        reason=st.sampled_from(["rejected", "timeout", "worker_lost"]),
    ),
    st.builds(
        Settlement,
        status=st.just(DeliveryStatus.FAILED),
        supplier=st.sampled_from(["a", "b"]),
        reason=st.just("supplier_down"),
        transient=st.just(True),
        attempt=st.integers(0, MOST_TRIES),
    ),
)


@dataclass(frozen=True, slots=True)
class TakeUp:
    """A worker takes up what is due; its route is one of these suppliers, none, or none yet."""

    supplier: str


@dataclass(frozen=True, slots=True)
class Tell:
    """A supplier, or the worker itself, tells of delivery number 1, 2 or 3."""

    number: int
    word: Settlement


@dataclass(frozen=True, slots=True)
class Wait:
    """Time goes by."""

    milliseconds: int


Move = TakeUp | Tell | Wait
TELLS = st.builds(Tell, st.integers(1, 3), WORDS)
MOVES: st.SearchStrategy[list[Move]] = st.lists(
    st.one_of(
        st.builds(TakeUp, st.sampled_from(["a", "b", "", "later"])),
        TELLS,
        st.builds(Wait, st.integers(0, 60_000)),
    ),
    max_size=40,
)
RANK = {AlertStatus.QUEUED: 0, AlertStatus.SENT: 1, AlertStatus.SUPPRESSED: 2, AlertStatus.FAILED: 2}
RANK[AlertStatus.DELIVERED] = 3


def queued(channels: Sequence[Channel]) -> Alert:
    """An alert nobody has taken up."""
    return Alert(
        id=new_id("alt"),
        client="bank",
        psu="payer",
        kind=AlertKind.NOTICE,
        channels=tuple(channels),
        status=AlertStatus.QUEUED,
        created_at=0,
        expires_at=LIFETIME_MS,
        due_at=0,
    )


def taken_up(alert: Alert, supplier: str, now_ms: int) -> Change:
    """What a worker makes of an alert that it has leased, once its time has come."""
    channel = alert.channel_due(now_ms)
    if channel is None:
        return advance(alert, None, now_ms)
    is_there = supplier in ("a", "b")
    attempt = Attempt(
        channel,
        supplier if is_there else "",
        reason="" if is_there else "supplier_down",
        may_pass=supplier == "later",
    )
    return advance(alert, attempt, now_ms)


@given(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True), MOVES)
@settings(max_examples=300, deadline=None)
def test_no_order_of_events_sends_too_often_or_gets_stuck(channels: list[Channel], moves: list[Move]) -> None:
    """At most so many tries over each channel, in their order; no state goes back; what is not over can be taken up."""
    alert, now_ms, sends = queued(channels), 0, Counter[str]()
    for move in moves:
        before, change = alert, None
        match move:
            case Wait(milliseconds):
                now_ms += milliseconds
            case TakeUp(supplier) if alert.due_at is not None and alert.due_at <= now_ms:
                change = taken_up(alert, supplier, now_ms)
            case Tell(number, word):
                change = settle(alert, delivery_id(alert.id, number), word, now_ms)
                assert (change is None) == (number > len(alert.deliveries))
        if change is None:
            continue
        alert = change.alert
        if change.sends:
            assert now_ms < alert.expires_at and not before.status.is_final
            sends[alert.deliveries[-1].id] += 1
        assert RANK[alert.status] >= RANK[before.status]
        assert (alert.due_at is None) == (alert.status.is_final or _waits_for_receipt(alert))
        assert change.events or _as_before(alert, before)
    assert all(count <= MOST_TRIES for count in sends.values())
    told = [one.channel for one in alert.deliveries]
    assert told == channels[: len(told)]


def _waits_for_receipt(alert: Alert) -> bool:
    return alert.current is not None and alert.current.status is DeliveryStatus.SENT


def _as_before(alert: Alert, before: Alert) -> bool:
    """Nothing but when it is taken up again may change unsaid."""
    return replace(alert, due_at=None) == replace(before, due_at=None)


@given(MOVES, TELLS)
@settings(max_examples=200, deadline=None)
def test_a_word_that_is_told_twice_is_news_once(moves: list[Move], told: Tell) -> None:
    """A supplier repeats its receipts, and a worker what it could not put down at first."""
    alert, now_ms = queued(CHANNELS), 0
    for move in moves:
        match move:
            case Wait(milliseconds):
                now_ms += milliseconds
            case TakeUp(supplier) if alert.due_at is not None:
                now_ms = max(now_ms, alert.due_at)
                alert = taken_up(alert, supplier, now_ms).alert
            case Tell(number, word):
                change = settle(alert, delivery_id(alert.id, number), word, now_ms)
                alert = change.alert if change else alert
    delivery = delivery_id(alert.id, told.number)
    first = settle(alert, delivery, told.word, now_ms)
    if first is not None:
        again = settle(first.alert, delivery, told.word, now_ms)
        assert again is not None and again.alert == first.alert and again.events == ()


@given(st.integers(1, 255))
def test_a_delivery_is_of_one_alert_and_of_no_challenge(number: int) -> None:
    """By its id alone; a challenge's delivery is no alert's."""
    alert = new_id("alt")
    assert alert_of(delivery_id(alert, number)) == alert
    challenge = ChallengeId.new(partition=1, purpose=Purpose.LOGIN, key_version=1, digits=6)
    assert alert_of(delivery_of_challenge(challenge.text, number)) is None


@pytest.fixture(scope="module")
def line(quiet_stores: Deployment) -> Iterator[tuple[asyncio.Runner, asyncpg.Pool]]:
    """A loop, and connections to stores that no role works on."""
    with asyncio.Runner() as runner:
        pool = runner.run(connect_postgres(quiet_stores.servers.postgres.url, most_connections=4))
        yield runner, pool
        runner.run(pool.close())


@given(orders=st.lists(st.integers(0, 3), min_size=2, max_size=12))
@settings(max_examples=25, deadline=None)
@pytest.mark.race
def test_one_alert_of_each_key_is_queued_whatever_is_ordered_at_once(
    line: tuple[asyncio.Runner, asyncpg.Pool], quiet_stores: Deployment, orders: list[int]
) -> None:
    """The others are suppressed as duplicates, and every order has its alert."""
    runner, pool = line
    store, keyring, keys = AlertStore(pool), quiet_stores.keyring, [new_id("key") for _ in range(4)]
    wanted = [new_alert(keyring, dedupe=keys[order]) for order in orders]

    async def add() -> list[Alert]:
        return await asyncio.gather(*(store.add(one, {"actor": "client:bank"}) for one in wanted))

    made = runner.run(add())
    assert [one.id for one in made] == [one.id for one in wanted]
    queued_of = Counter(
        new.dedupe for new, one in zip(wanted, made, strict=True) if one.status is AlertStatus.QUEUED
    )
    assert queued_of == Counter({keys[order]: 1 for order in orders})
    assert {one.reason for one in made if one.status is not AlertStatus.QUEUED} <= {"duplicate"}
