"""The decision on a card: states, what is predicted, whom to warn, and what to take back."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from sca_service.alerts.cards.model import (
    Balance,
    Card,
    CardState,
    ChargeSource,
    Decision,
    Upcoming,
    decide,
    drop,
    expect,
    forecast,
    put_balance,
)
from sca_service.alerts.model import AlertKind
from sca_service.kernel.errors import InvalidInput
from tests.cards import NOON, POLICY

RULES = POLICY.alerts.cards
TODAY = NOON.date()


def a_card(minor: int = 5_000, threshold: int | None = 2_000, **members: object) -> Card:
    """A card in euro."""
    return replace(Card("EUR", minor, NOON, threshold), **members)  # type: ignore[arg-type]


def charge(
    minor: int,
    days: int = 1,
    *,
    name: str = "a",
    confidence: int = 100,
    source: ChargeSource = ChargeSource.ISSUER,
    currency: str = "EUR",
) -> Upcoming:
    """A charge in so many days."""
    day = TODAY + timedelta(days=days)
    return Upcoming(f"chg_{name}", name, name, currency, minor, day, confidence, source)


def done(decision: Decision, *, sent: bool = True) -> Card:
    """The card once its alerts are queued, and what lost its reason is taken back, unless it was `sent`."""
    queued = {warn.about: f"alt_{warn.key}" for warn in decision.warn}
    return decision.carried_out(queued=queued, taken_back=() if sent else decision.take_back.values())


def at_balance(card: Card, minor: int) -> Card:
    """The card with another balance, a second later."""
    as_of = card.as_of + timedelta(seconds=1)
    return put_balance(card, Balance(card.currency, minor, as_of, card.threshold_minor)).card


@pytest.mark.parametrize(
    ("balances", "states", "alerts"),
    [
        ([5_000], ["sufficient"], 0),
        ([2_000], ["approaching"], 0),  # at the threshold is not below it
        ([1_999], ["below"], 1),
        ([2_199, 2_200, 2_399, 2_400], ["approaching"] * 3 + ["sufficient"], 0),
        ([1_999, 2_001, 1_999, 2_399], ["below"] * 4, 1),
        ([1_999, 2_400, 2_300], ["below", "recovered", "recovered"], 1),
        ([1_999, 2_400, 2_100, 1_999], ["below", "recovered", "approaching", "below"], 2),
        ([-500, 0, -1], ["below"] * 3, 1),
    ],
)
def test_a_balance_that_wobbles_is_one_episode(balances: list[int], states: list[str], alerts: int) -> None:
    """It ends at the mark of recovered, and nowhere before."""
    card, told = a_card(), 0
    for minor, state in zip(balances, states, strict=True):
        decision = decide(at_balance(card, minor), NOON, RULES)
        card = done(decision)
        told += len(decision.warn)
        assert card.state is CardState(state)
    assert told == alerts == card.episode


def test_without_a_threshold_a_balance_is_never_too_low() -> None:
    """Also where it had one before: what is not sent is taken back."""
    below = done(decide(a_card(1_000), NOON, RULES))
    decision = decide(replace(below, threshold_minor=None), NOON, RULES)
    assert decision.card.state is CardState.SUFFICIENT
    assert set(decision.take_back) == {""}
    assert decide(a_card(-1, None), NOON, RULES).warn == ()


def test_each_charge_is_predicted_with_what_is_left_by_those_before_it() -> None:
    """By their days, whatever the order in which they were told; the one that does not fit is short."""
    card = a_card(3_000, charges=(charge(2_000, 3, name="b"), charge(1_500, 1), charge(1_400, 2, name="c")))
    assert [(one.charge.name, one.balance_minor, one.is_short) for one in forecast(card, RULES)] == [
        ("a", 3_000, False),
        ("c", 1_500, False),
        ("b", 100, True),
    ]


def test_what_does_not_count_lowers_nothing() -> None:
    """What is unlikely, of another currency, or recognised where somebody has said that it will come."""
    card = a_card(
        1_000,
        None,
        charges=(
            charge(900, 1, name="a", confidence=RULES.least_confidence_percent - 1),
            charge(900, 1, name="b", currency="USD"),
            charge(900, 2, name="c"),
            replace(charge(900, 2, name="d", source=ChargeSource.RECOGNISED), merchant="c"),
            charge(100, 2, name="e", confidence=RULES.least_confidence_percent),
        ),
    )
    assert [one.charge.name for one in forecast(card, RULES)] == ["c", "e"]
    assert decide(card, NOON, RULES).warn == ()


def test_a_charge_is_warned_of_in_its_days_and_not_before() -> None:
    """From the hour of the policy on, until its day is over; the decision says when to look again."""
    card = a_card(100, None, charges=(charge(200, 10),))
    opens = datetime(2030, 5, 17, 8, tzinfo=UTC)
    early = decide(card, NOON, RULES)
    assert (early.warn, early.next_check_at) == ((), opens)
    assert decide(card, opens - timedelta(seconds=1), RULES).warn == ()
    in_time = decide(card, opens, RULES)
    (warn,) = in_time.warn
    assert (warn.kind, warn.expires_at) == (AlertKind.UPCOMING_CHARGE, datetime(2030, 5, 21, tzinfo=UTC))
    assert in_time.next_check_at == warn.expires_at
    over = decide(card, warn.expires_at, RULES)
    assert (over.warn, over.card.charges, over.next_check_at) == ((), (), None)


def test_exactly_enough_is_enough() -> None:
    """A charge of all that is left is paid."""
    assert decide(a_card(200, None, charges=(charge(200),)), NOON, RULES).warn == ()
    assert len(decide(a_card(199, None, charges=(charge(200),)), NOON, RULES).warn) == 1


def test_a_charge_that_was_warned_of_is_not_again() -> None:
    """Not after it was sent, however the balance moves."""
    card = done(decide(a_card(100, None, charges=(charge(200),)), NOON, RULES))
    for minor in (100, 500, 100, 150, 500, 100):
        decision = decide(at_balance(card, minor), NOON, RULES)
        assert decision.warn == ()
        card = done(decision)


def test_a_warning_that_was_taken_back_unsent_may_come_again_under_another_key() -> None:
    """Or nobody would ever hear of it."""
    first = decide(a_card(100, None, charges=(charge(200),)), NOON, RULES)
    covered = decide(at_balance(done(first), 500), NOON, RULES)
    assert set(covered.take_back) == {"chg_a"}
    again = decide(at_balance(done(covered, sent=False), 100), NOON, RULES)
    assert len(again.warn) == 1
    assert again.warn[0].key != first.warn[0].key


def test_one_charge_that_passes_covers_another() -> None:
    """By the time alone: what was expected did not come, and the warning of the next one has no reason left."""
    card = a_card(300, None, charges=(charge(200, 1), charge(200, 2, name="b")))
    first = decide(card, NOON, RULES)
    assert [warn.about for warn in first.warn] == ["chg_b"]
    later = decide(done(first), NOON + timedelta(days=1, hours=12), RULES)
    assert dict(later.take_back) == {"chg_b": f"alt_{first.warn[0].key}"}


@pytest.mark.parametrize("seconds", [-1, 0])
def test_a_balance_that_is_not_newer_changes_nothing(seconds: int) -> None:
    """Neither an older one nor another one of the same moment."""
    card = a_card()
    late = Balance("EUR", 1, card.as_of + timedelta(seconds=seconds), 2_000)
    applied = put_balance(card, late, is_new_holder=True)
    assert (applied.card, applied.is_news) == (card, False)


def test_another_holder_begins_anew() -> None:
    """Charges and states are the former holder's, and so are the alerts, which are taken back; episodes count on."""
    card = done(decide(a_card(100, charges=(charge(200),)), NOON, RULES))
    applied = put_balance(card, Balance("EUR", 90, NOON + timedelta(1), 2_000), is_new_holder=True)
    assert set(applied.lost) == {card.alert, card.charges[0].alert}
    assert applied.card.charges == ()
    decision = decide(applied.card, NOON + timedelta(1), RULES)
    assert [warn.key for warn in decision.warn] == ["balance 2"]


def test_another_currency_compares_with_nothing_of_before() -> None:
    """The alert of the other threshold is taken back, and charges in the other currency count no more."""
    card = done(decide(a_card(100, charges=(charge(200),)), NOON, RULES))
    applied = put_balance(card, Balance("USD", 90_000, NOON + timedelta(1), 2_000))
    assert applied.lost == (card.alert,)
    decision = decide(applied.card, NOON, RULES)
    assert (decision.card.state, set(decision.take_back)) == (CardState.SUFFICIENT, {"chg_a"})


def test_the_same_charge_once_more_takes_its_place() -> None:
    """With its alert; on another day it is another one."""
    card = done(decide(a_card(100, None, charges=(charge(200),)), NOON, RULES))
    same = expect(card, replace(charge(300), id="chg_new"), RULES).card
    assert [(one.id, one.amount_minor, one.is_warned) for one in same.charges] == [("chg_a", 300, True)]
    other = replace(charge(300, 2), id="chg_new")
    assert len(expect(card, other, RULES).card.charges) == 2


def test_a_charge_is_refused_in_another_currency_and_beyond_the_most() -> None:
    """Each with where the mistake is."""
    full = a_card(charges=tuple(charge(1, 1, name=str(at)) for at in range(RULES.most_upcoming)))
    for card, new, pointer in (
        (a_card(), charge(1, currency="USD"), "/amount/currency"),
        (full, charge(1, name="x"), ""),
    ):
        with pytest.raises(InvalidInput) as refused:
            expect(card, new, RULES)
        assert [mistake.pointer for mistake in refused.value.mistakes] == [pointer]


def test_a_charge_that_is_dropped_loses_its_alert() -> None:
    """And one that is unknown changes nothing."""
    card = done(decide(a_card(100, None, charges=(charge(200),)), NOON, RULES))
    applied = drop(card, {"chg_a"})
    assert (applied.card.charges, applied.lost) == ((), (card.charges[0].alert,))
    assert not drop(card, {"chg_b"}).is_news


def test_a_day_is_over_at_midnight_utc() -> None:
    """The charge of today still counts in its last second."""
    assert charge(1, 0).ends_at == datetime.combine(TODAY + timedelta(days=1), datetime.min.time(), UTC)
    assert date(2030, 5, 10) == TODAY
