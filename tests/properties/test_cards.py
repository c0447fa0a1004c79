"""Cards as Hypothesis plays them: one alert for an episode, one for a charge and its day, and no look too few."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sca_service.alerts.cards.model import Balance, CardState
from sca_service.alerts.cards.recurring import PastCharge
from sca_service.alerts.cards.simulation import Expected, Happening, Simulation, Told
from sca_service.alerts.model import AlertKind
from tests.cards import NOON, POLICY

THRESHOLD = 2_000
RECOVERED = THRESHOLD * POLICY.alerts.cards.recovered_percent // 100
TODAY = NOON.date()

minutes = st.integers(0, 20 * 24 * 60)
days = st.integers(0, 20)
amounts = st.one_of(
    st.integers(1, 5_000), st.sampled_from((THRESHOLD - 1, THRESHOLD, RECOVERED - 1, RECOVERED))
)
NEAR = st.sampled_from(
    (
        -500,
        0,
        THRESHOLD - 1,
        THRESHOLD - 2,
        THRESHOLD,
        THRESHOLD + 50,
        THRESHOLD + 100,
        RECOVERED - 1,
        RECOVERED,
    )
)
balances = st.builds(
    lambda at, minor, late, limit: Told(
        NOON + timedelta(minutes=at),
        "card",
        Balance("EUR", minor, NOON + timedelta(minutes=at - late), limit),
    ),
    minutes,
    st.one_of(amounts, NEAR, NEAR),
    st.sampled_from((0, 0, 0, 1, 2_000)),
    st.sampled_from((THRESHOLD, THRESHOLD, THRESHOLD, None, 3_000)),
)
expected = st.builds(
    lambda at, minor, day, name, confidence: Told(
        NOON + timedelta(minutes=at),
        "card",
        Expected(name, name, "EUR", minor, TODAY + timedelta(days=day), confidence),
    ),
    minutes,
    amounts,
    days,
    st.sampled_from("abc"),
    st.sampled_from((100, 60, 59)),
)
past = st.builds(
    lambda at, minor, back: Told(
        NOON + timedelta(minutes=at), "card", PastCharge("a", "EUR", minor, TODAY - timedelta(days=back))
    ),
    minutes,
    st.sampled_from((900, 1_000)),
    st.integers(0, 90),
)
FIRST = Told(NOON - timedelta(hours=1), "card", Balance("EUR", 4_000, NOON - timedelta(days=2), THRESHOLD))
wobbles = st.lists(balances, min_size=6, max_size=20).map(lambda told: [FIRST, *told])
stories = st.lists(st.one_of(balances, balances, expected, past), min_size=5, max_size=25).map(
    lambda told: [FIRST, *told]
)
waits = st.sampled_from((timedelta(0), timedelta(hours=6), timedelta(days=30)))


def played(story: Sequence[Told], sent_after: timedelta) -> list[Happening]:
    """What happens."""
    return list(Simulation(POLICY.alerts, sent_after=sent_after).play(story))


def taken_back(happenings: Sequence[Happening]) -> set[str]:
    """The keys of the alerts that were never sent."""
    return {one.taken_back.key for one in happenings if one.taken_back}


@given(story=st.one_of(wobbles, stories), sent_after=waits)
def test_no_episode_has_two_alerts(story: Sequence[Told], sent_after: timedelta) -> None:
    """No sequence of balances in any order, and no wobble: an episode ends where the balance has recovered."""
    happenings = played(story, sent_after)
    warns = [one.warn for one in happenings if one.warn]
    assert max(Counter(warn.key for warn in warns).values(), default=0) <= 1
    applied = [told for told in sorted(story, key=lambda one: one.at) if isinstance(told.what, Balance)]
    episodes = sum(1 for warn in warns if warn.kind is AlertKind.LOW_BALANCE)
    assert episodes == falls(applied)


def falls(told: Sequence[Told]) -> int:
    """How often a balance fell below its threshold since it had last recovered, told in a plainer way."""
    newest, is_below, found = None, False, 0
    for one in told:
        balance = one.what
        assert isinstance(balance, Balance)
        if newest is not None and balance.as_of <= newest:
            continue
        newest, threshold = balance.as_of, balance.threshold_minor
        if threshold is None or balance.minor * 100 >= threshold * POLICY.alerts.cards.recovered_percent:
            is_below = False
        elif balance.minor < threshold and not is_below:
            is_below, found = True, found + 1
    return found


@given(story=stories, sent_after=waits)
def test_a_charge_is_sent_once_for_its_day(story: Sequence[Told], sent_after: timedelta) -> None:
    """Of all alerts about a charge and its day at most one was not taken back before it was sent."""
    happenings = played(story, sent_after)
    unsent = taken_back(happenings)
    sent = Counter(
        (one.warn.charge.merchant, one.warn.charge.id, one.warn.charge.expected_on)
        for one in happenings
        if one.warn and one.warn.charge and one.warn.key not in unsent
    )
    assert max(sent.values(), default=0) <= 1


@given(story=stories, sent_after=waits)
def test_nobody_is_warned_without_a_reason(story: Sequence[Told], sent_after: timedelta) -> None:
    """A charge is likely enough, in its days, and more than what is left before it."""
    for one in played(story, sent_after):
        if one.warn and one.warn.charge and one.card:
            charge = one.warn.charge
            assert charge.amount_minor > one.left_minor
            assert charge.confidence_percent >= POLICY.alerts.cards.least_confidence_percent
            assert charge.opens_at(POLICY.alerts.cards) <= one.at < charge.ends_at
        elif one.warn and one.card:
            assert one.card.state is CardState.BELOW


def looked_at_often(story: Sequence[Told], sent_after: timedelta) -> Iterator[Happening]:
    """What happens where somebody looks each full hour, due or not."""
    simulation = Simulation(POLICY.alerts, sent_after=sent_after)
    hour = NOON - timedelta(hours=2)
    for told in sorted(story, key=lambda each: each.at):
        while hour <= told.at:
            yield from simulation.look_at_all(hour)
            hour += timedelta(hours=1)
        yield from simulation.tell(told)
    for _ in range(24 * 60):
        yield from simulation.look_at_all(hour)
        hour += timedelta(hours=1)


@settings(max_examples=25)
@given(
    story=st.lists(st.one_of(balances, expected, expected), min_size=3, max_size=8).map(
        lambda told: [FIRST, *told]
    )
)
def test_what_falls_due_is_not_missed(story: Sequence[Told]) -> None:
    """Who looks only when a card says that it is due sees all that one sees who looks each hour."""
    often = list(looked_at_often(story, timedelta(days=30)))
    assert summary(often) == summary(played(story, timedelta(days=30)))


def summary(happenings: Sequence[Happening]) -> list[tuple[datetime, str | None, str | None, date | None]]:
    """What was queued and taken back, and when."""
    return [
        (
            one.at,
            one.warn.key if one.warn else None,
            one.taken_back.key if one.taken_back else None,
            one.warn.charge.expected_on if one.warn and one.warn.charge else None,
        )
        for one in happenings
        if not one.refused
    ]
