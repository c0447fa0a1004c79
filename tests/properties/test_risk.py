"""Properties of the risk score, of the figures of a backtest, and of what is learned, against models of them."""

import secrets
import statistics
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sca_service.policy.risk import FACTS, Factor, MemoryRule, RiskPolicy, Signal
from sca_service.policy.verdicts import FactKind, Verdict
from sca_service.risk.backtest import Tally, caught_at, curve_of
from sca_service.risk.memory import DEVICES, MOST_REMEMBERED
from sca_service.risk.model import Facts
from sca_service.risk.redis_store import RiskStore, SubjectKind, Subjects, short
from sca_service.risk.score import Scale, assess
from tests.properties.line import Line
from tests.unit.risk.examples import LANGUAGE, SHIPPED, policy, signal, step_up

FEW = settings(max_examples=60, deadline=None)
VALUES: dict[FactKind, st.SearchStrategy[Any]] = {
    FactKind.BOOL: st.booleans(),
    FactKind.INT: st.integers(-10, 2_000_000) | st.just(2**70),
    FactKind.DOUBLE: st.floats(allow_nan=True, allow_infinity=True),
    FactKind.STRING: st.text(max_size=40) | st.sampled_from(["DE", "IR", "no_match", "no_answer", "payment"]),
    FactKind.LIST: st.lists(st.sampled_from(["phone", "device", "x"]), max_size=3).map(tuple),
}
CONDITIONS = (
    "payees > 1",
    "payees == 1",
    "malware",
    "amount_minor > 100000",
    "amount_minor / payees > 10",
    "device_new || payee_new",
    "!device_new && ip_anonymous",
    "payee_country in ['IR', 'KP']",
    "size(scenarios) > 1",
    "amount_deviation > 3.0",
)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Any facts, each of them supplied or not where it need not be."""
    known: dict[str, Any] = {}
    for name, fact in FACTS.items():
        value = VALUES[fact.kind]
        known[name] = draw(value if fact.always else st.none() | value)
    return Facts(**known)


@st.composite
def signals(draw: st.DrawFn, *, trust: bool = True) -> Signal:
    """Any signal."""
    factors = [factor for factor in Factor if trust or factor is not Factor.TRUST]
    factor = draw(st.sampled_from(factors))
    weight = draw(st.integers(0, 100))
    missing = draw(st.integers(0, 0 if factor is Factor.TRUST else weight))
    return signal(draw(st.sampled_from(CONDITIONS)), weight, factor=factor, when_missing=missing)


policies = st.lists(signals(), max_size=6).map(lambda found: policy(*found, rules=(step_up("sim_swapped"),)))


def with_more(held: RiskPolicy, more: Signal) -> RiskPolicy:
    """The same policy with one signal more."""
    return replace(held, signals=(*held.signals, more))


@FEW
@given(facts(), policies, signals(trust=False))
def test_one_more_signal_against_the_payer_never_lowers_score_or_decision(
    known: Facts, held: RiskPolicy, more: Signal
) -> None:
    """Whether it holds, fails, misses its facts or cannot be told."""
    before, after = assess(known, held), assess(known, with_more(held, more))
    assert after.score >= before.score
    assert after.decision.rank >= before.decision.rank


@FEW
@given(facts(), policies, st.integers(0, 100), st.sampled_from(list(Factor)))
def test_an_error_never_lowers_score_or_decision(
    known: Facts, held: RiskPolicy, weight: int, factor: Factor
) -> None:
    """A signal of any kind that cannot be told; it weighs as if it held, or not at all when it would speak for one."""
    broken = signal("hour_utc / (hour_utc - hour_utc) > 0", weight, factor=factor)
    assert broken.condition.verdict(LANGUAGE.bind(known.supplied())) is Verdict.ERROR
    before, after = assess(known, held), assess(known, with_more(held, broken))
    assert after.score == before.score + (0 if factor is Factor.TRUST else weight) or before.score == 0
    assert after.score >= before.score
    assert after.decision.rank >= before.decision.rank


@FEW
@given(facts())
def test_the_shipped_policy_judges_any_facts(known: Facts) -> None:
    """It never raises, has a result for every factor, and the score is the sum of its reasons."""
    assessment = assess(known, SHIPPED.risk)
    assert {result.factor for result in assessment.factors} == set(Factor) - {Factor.TRUST}
    assert assessment.score == max(0, sum(reason.weight for reason in assessment.reasons))


@FEW
@given(st.lists(facts(), min_size=1, max_size=4), policies)
def test_a_scale_assesses_as_if_it_remembered_nothing(known: list[Facts], held: RiskPolicy) -> None:
    """Whatever was assessed before, the same facts again too; some conditions are not plain."""
    scales = Scale(held), Scale(SHIPPED.risk)
    for one in (*known, *known):
        assert [scale.assess(one) for scale in scales] == [assess(one, held), assess(one, SHIPPED.risk)]


@FEW
@given(facts(), policies)
def test_what_is_withheld_never_speaks_for_the_payer(known: Facts, held: RiskPolicy) -> None:
    """With no fact but those that are always there, trust counts for nothing that it would not have without."""
    bare = Facts(**{name: getattr(known, name) for name, fact in FACTS.items() if fact.always})
    trusting = [one for one in held.signals if one.factor is Factor.TRUST]
    bound = LANGUAGE.bind(bare.supplied())
    for one in trusting:
        if not all(FACTS[name].always for name in one.condition.facts):
            assert one.condition.verdict(bound) is not Verdict.HOLDS


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Counts by score, with both kinds among them."""
    sides = [
        draw(st.dictionaries(st.integers(0, 30), st.integers(1, 5), min_size=1, max_size=8)) for _ in range(2)
    ]
    return Tally(sides[0], sides[1])


@FEW
@given(tallies())
def test_the_figures_are_those_of_their_definitions(tally: Tally) -> None:
    """The area by comparing every fraud with every honest request; the average precision by the definition's sum."""
    honest = [score for score, count in tally.honest.items() for _ in range(count)]
    fraud = [score for score, count in tally.fraud.items() for _ in range(count)]
    wins = sum((bad > good) + (bad == good) / 2 for bad in fraud for good in honest)
    curve = curve_of(tally)
    assert curve.area == pytest.approx(wins / (len(honest) * len(fraud)))
    expected = before = 0.0
    for score in sorted({*honest, *fraud}, reverse=True):
        caught = sum(bad >= score for bad in fraud) / len(fraud)
        among = sum(bad >= score for bad in fraud) + sum(good >= score for good in honest)
        expected += (caught - before) * (caught * len(fraud) / among)
        before = caught
    assert curve.average_precision == pytest.approx(expected)
    assert curve.roc[0] == (0, 0)
    assert curve.roc[-1] == (1, 1)
    assert list(curve.roc) == sorted(curve.roc)


@FEW
@given(tallies(), st.floats(0.001, 1), st.floats(0.001, 1))
def test_who_challenges_more_catches_more(tally: Tally, one: float, other: float) -> None:
    """And all of them catch all of it."""
    less, more = sorted((one, other))
    assert caught_at(tally, less).caught <= caught_at(tally, more).caught + 1e-12
    assert caught_at(tally, 1).caught == pytest.approx(1)
    assert caught_at(tally, 1).precision == pytest.approx(
        sum(tally.fraud.values()) / (sum(tally.fraud.values()) + sum(tally.honest.values()))
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 11)), min_size=1, max_size=15),
)
def test_what_the_scripts_learn_is_what_a_model_learns(line: Line, learned: list[tuple[int, int]]) -> None:
    """Counts and sums exactly, mean and deviation as statistics has them, and the newest devices."""
    store = RiskStore(line.redis, MemoryRule(90, 30, 180))
    payer = secrets.token_hex(16)
    devices = [f"{number:032x}"[::-1] for number in range(12)]
    for amount, device in learned:
        one = Subjects(payer, {SubjectKind.DEVICE: devices[device]})
        line.run(store.meet(one, amount_minor=amount))
        line.heard(partial(store.approved, one, amount_minor=amount, location=None))
    found = line.run(store.recall(Subjects(payer, {}))).payer
    amounts = [amount for amount, _ in learned]
    assert (found.requests_day, found.amount_day_minor) == (len(amounts), sum(amounts))
    assert found.mean_minor == pytest.approx(statistics.fmean(amounts))
    deviation = statistics.stdev(amounts) if len(amounts) > 1 else 0.0
    assert found.deviation_minor == pytest.approx(deviation, rel=1e-6, abs=1e-3)
    seen = {short(devices[device]) for _, device in learned}
    assert found.seen[DEVICES] <= seen
    assert len(found.seen[DEVICES]) == min(len(seen), MOST_REMEMBERED[DEVICES])
    assert short(devices[learned[-1][1]]) in found.seen[DEVICES]
