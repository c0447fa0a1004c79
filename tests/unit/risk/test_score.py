"""The score: weights, thresholds, the floor of RTS Art. 18(2)(c), what is left out, and every factor's result."""

from typing import Any, get_type_hints

import msgspec
import pytest

from sca_service.challenges.model import Method, partition_of
from sca_service.policy.risk import FACTS, TRA_CONDITIONS, AnswerMethod, Decision, Factor
from sca_service.policy.verdicts import FactKind, Verdict
from sca_service.policy.words import Channel
from sca_service.risk.model import FACT_NAMES, FactorState, Facts, Reason
from sca_service.risk.redis_store import _payer_key
from sca_service.risk.score import Scale, assess
from tests.unit.risk.examples import SHIPPED, facts, harmless, policy, signal, step_up

RISKY: list[tuple[str, dict[str, Any], Factor]] = [
    ("element-listed", {"listed": ("device",)}, Factor.COMPROMISED_ELEMENTS),
    ("element-compromised", {"compromised": ("phone",)}, Factor.COMPROMISED_ELEMENTS),
    ("amount-high", {"amount_minor": 100_001}, Factor.AMOUNT),
    ("amount-very-high", {"amount_minor": 1_000_001}, Factor.AMOUNT),
    ("batch-of-many", {"payees": 51}, Factor.AMOUNT),
    ("scenario-named", {"scenarios": ("safe_account",)}, Factor.KNOWN_SCENARIO),
    ("payee-does-not-match", {"payee_check": "no_match"}, Factor.KNOWN_SCENARIO),
    ("payee-reported", {"payee_reports": 1}, Factor.KNOWN_SCENARIO),
    ("origin-reported", {"device_reports": 1}, Factor.KNOWN_SCENARIO),
    ("origin-reported", {"ip_reports": 3}, Factor.KNOWN_SCENARIO),
    ("payer-reported", {"payer_reports": 1}, Factor.KNOWN_SCENARIO),
    (
        "payee-collects",
        {"payee_new": True, "payee_payers": 21, "payee_requests_hour": 31},
        Factor.KNOWN_SCENARIO,
    ),
    ("malware", {"malware": True}, Factor.MALWARE),
    ("device-tampered", {"device_tampered": True}, Factor.DEVICE_USE),
    ("remote-access", {"remote_access": True}, Factor.DEVICE_USE),
    ("app-abnormal", {"app_abnormal": True}, Factor.DEVICE_USE),
    ("amount-unusual", {"amount_deviation": 3.1, "amount_ratio": 2.1}, Factor.SPENDING),
    ("first-payment-to-payee", {"payee_new": True, "amount_minor": 20_001}, Factor.SPENDING),
    ("many-requests", {"payer_requests_hour": 9}, Factor.SPENDING),
    ("amounts-add-up", {"payer_amount_day_minor": 500_001, "payer_requests_day": 6}, Factor.SPENDING),
    ("unusual-hour", {"hour_unusual": True}, Factor.SPENDING),
    ("wrong-answers", {"payer_failures": 3}, Factor.SPENDING),
    ("young-account", {"account_age_days": 13, "amount_minor": 50_001}, Factor.SPENDING),
    ("new-device", {"device_new": True}, Factor.DEVICE_ACCESS),
    ("device-of-many", {"device_payers": 5}, Factor.DEVICE_ACCESS),
    ("address-of-many", {"ip_payers": 31}, Factor.DEVICE_ACCESS),
    ("address-of-many", {"payer_ips": 11}, Factor.DEVICE_ACCESS),
    ("anonymous-address", {"ip_anonymous": True}, Factor.DEVICE_ACCESS),
    ("impossible-travel", {"speed_kmh": 1_001.0, "distance_km": 301.0}, Factor.PAYER_LOCATION),
    ("new-country", {"country_new": True}, Factor.PAYER_LOCATION),
    ("countries-differ", {"ip_country": "FR"}, Factor.PAYER_LOCATION),
    ("payee-in-high-risk-country", {"payee_country": "IR"}, Factor.PAYEE_LOCATION),
    (
        "payee-abroad",
        {"payee_foreign": True, "payee_new": True, "amount_minor": 50_001},
        Factor.PAYEE_LOCATION,
    ),
    ("sim-swapped", {"sim_swapped": True}, Factor.LINE),
    ("handset-swapped", {"device_swapped": True}, Factor.LINE),
    ("calls-forwarded", {"call_forwarded": True}, Factor.LINE),
    ("number-recycled", {"number_recycled": True}, Factor.LINE),
    ("operator-silent", {"sim_swap_answer": "no_answer", "sim_swapped": None}, Factor.LINE),
]
"""Each shipped signal, with facts on which it holds."""


@pytest.mark.parametrize(("name", "known", "factor"), RISKY)
def test_each_shipped_signal_speaks_where_it_should(name: str, known: dict[str, Any], factor: Factor) -> None:
    """And its factor is found; with the harmless facts it is silent."""
    assert name not in [reason.name for reason in assess(harmless(), SHIPPED.risk).reasons]
    assessment = assess(harmless(**known), SHIPPED.risk)
    assert name in [reason.name for reason in assessment.reasons]
    assert assessment.factor(factor).state is FactorState.FOUND
    assert name in assessment.factor(factor).found
    assert assessment.score > 0


def test_every_shipped_signal_is_tried() -> None:
    """None is left out of the list above, but the one that speaks for the payer."""
    against = {signal.name for signal in SHIPPED.risk.signals if signal.factor is not Factor.TRUST}
    assert {name for name, _, _ in RISKY} == against


def test_what_is_harmless_is_allowed_with_every_factor_excluded() -> None:
    """Everything was supplied, everything was looked at, nothing was found."""
    assessment = assess(harmless(), SHIPPED.risk)
    assert (assessment.decision, assessment.score, assessment.reasons) == (Decision.ALLOW, 0, ())
    assert assessment.words == ()
    assert all(result.is_excluded for result in assessment.factors)
    assert assessment.digest == SHIPPED.risk.digest


@pytest.mark.parametrize("factor", TRA_CONDITIONS)
def test_each_condition_of_18_2_c_alone_forces_a_challenge(factor: Factor) -> None:
    """However little it weighs (RTS Art. 18(2)(c))."""
    found = assess(facts(), policy(signal("payees == 1", 1, factor=factor)))
    assert (found.decision, found.score) == (Decision.CHALLENGE, 1)


def test_an_amount_alone_forces_nothing_below_the_threshold() -> None:
    """RTS Art. 2(2)(b) wants it looked at; it is none of the six conditions."""
    found = assess(facts(), policy(signal("payees == 1", 9, factor=Factor.AMOUNT)))
    assert found.decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("score", "decision"),
    [
        (0, Decision.ALLOW),
        (9, Decision.ALLOW),
        (10, Decision.CHALLENGE),
        (49, Decision.CHALLENGE),
        (50, Decision.STEP_UP),
        (99, Decision.STEP_UP),
        (100, Decision.REFUSE),
    ],
)
def test_a_score_at_a_threshold_has_reached_it(score: int, decision: Decision) -> None:
    """The threshold itself counts."""
    assert assess(facts(), policy(signal("payees == 1", score, factor=Factor.AMOUNT))).decision is decision


def test_the_factors_of_2_2_are_in_every_assessment() -> None:
    """With a result each, `not_supplied` where nothing could be looked at (RTS Art. 2(2))."""
    assessment = assess(facts(), SHIPPED.risk)
    states = {result.factor: result.state for result in assessment.factors}
    assert set(states) == set(Factor) - {Factor.TRUST}
    assert states[Factor.MALWARE] is states[Factor.DEVICE_USE] is FactorState.NOT_SUPPLIED
    assert states[Factor.COMPROMISED_ELEMENTS] is FactorState.CLEAR
    assert not assessment.factor(Factor.COMPROMISED_ELEMENTS).is_excluded
    assert assessment.factor(Factor.MALWARE).missing == ("malware",)


def test_what_was_looked_at_in_part_is_not_excluded() -> None:
    """RTS Art. 18(2)(c): a fact that is missing excludes nothing."""
    assessment = assess(harmless(ip_anonymous=None), SHIPPED.risk)
    result = assessment.factor(Factor.DEVICE_ACCESS)
    assert result.state is FactorState.CLEAR
    assert result.missing == ("anonymous-address",)
    assert not result.is_excluded


def test_what_cannot_be_told_weighs_as_if_it_held() -> None:
    """An error at run time is the risky answer, and says so."""
    broken = signal("amount_minor / (payees - 1) > 1", 60, name="broken")
    assessment = assess(facts(amount_minor=5), policy(broken))
    assert assessment.reasons == (Reason("broken", "broken", 60, Verdict.ERROR),)
    assert assessment.decision is Decision.STEP_UP


def test_what_is_missing_weighs_what_the_policy_says() -> None:
    """Nothing by default."""
    silent = signal("malware", 60)
    wary = signal("malware", 60, when_missing=12)
    assert assess(facts(), policy(silent)).score == 0
    assert assess(facts(), policy(wary)).score == 12
    assert assess(facts(malware=False), policy(wary)).score == 0


@pytest.mark.parametrize(
    ("condition", "score"),
    [("payees == 1", 12), ("payees == 2", 20), ("malware", 20), ("payees / (payees - 1) > 0", 20)],
)
def test_what_speaks_for_the_payer_counts_only_where_it_surely_holds(condition: str, score: int) -> None:
    """Neither an error nor a missing fact is trusted, and the score never falls below zero."""
    trust = signal(condition, 8, factor=Factor.TRUST, name="trust")
    assessment = assess(facts(), policy(signal("payees == 1", 20), trust))
    assert assessment.score == score
    assert "trust" not in assessment.words
    assert assess(facts(), policy(trust)).score == 0


def test_reasons_come_heaviest_first_and_each_word_once() -> None:
    """As a person would ask: what was it mostly?"""
    light, heavy = signal("payees == 1", 3, name="light"), signal("payees == 1", 30, name="heavy")
    assessment = assess(facts(), policy(light, heavy, rules=(step_up("payees == 1", Channel.SMS),)))
    assert [reason.name for reason in assessment.reasons] == ["heavy", "light"]
    assert assessment.words == ("heavy", "light", "rule_reason")


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        ("sim_swapped", True),
        ("sim_swapped || malware", True),
        ("malware", False),
        ("!sim_swapped", False),
        ("payees / (payees - 1) > 0", True),
    ],
)
def test_a_recent_sim_swap_leaves_out_what_goes_to_the_sim(condition: str, applies: bool) -> None:
    """The decision is a step-up at least; a rule that cannot be told applies, one that misses its fact does not."""
    rule = step_up(condition, Channel.SMS, Channel.VOICE, methods=(AnswerMethod.ONE_TIME_CODE,))
    assessment = assess(facts(sim_swapped=True), policy(rules=(rule,)))
    assert assessment.decision is (Decision.STEP_UP if applies else Decision.ALLOW)
    assert assessment.leave_out_channels == ({Channel.SMS, Channel.VOICE} if applies else set())
    assert assessment.leave_out_methods == ({AnswerMethod.ONE_TIME_CODE} if applies else set())


def test_a_refusal_stays_one_whatever_is_left_out() -> None:
    """The most of all that is asked for counts."""
    rules = (step_up("payees == 1", Channel.SMS),)
    assert assess(facts(), policy(signal("payees == 1", 100), rules=rules)).decision is Decision.REFUSE


def test_what_a_scale_remembers_is_of_its_own_policy() -> None:
    """Two policies to which the same verdicts mean something else are asked in turns, and again."""
    calm, strict = (Scale(policy(signal("payees == 1", weight))) for weight in (12, 100))
    for _ in range(2):
        assert calm.assess(facts()).score == 12
        assert strict.assess(facts()).score == 100


def test_the_facts_are_those_that_conditions_may_name() -> None:
    """Every fact of the policy is a field, of its type, None only where it may be missing."""
    kinds = {
        FactKind.BOOL: bool,
        FactKind.INT: int,
        FactKind.DOUBLE: float,
        FactKind.STRING: str,
        FactKind.LIST: tuple[str, ...],
    }
    hints = get_type_hints(Facts)
    assert set(FACT_NAMES) == set(FACTS)
    for field in msgspec.structs.fields(Facts):
        fact = FACTS[field.name]
        may_be_missing = field.default is None
        assert may_be_missing is not fact.always, field.name
        wanted = kinds[fact.kind]
        assert hints[field.name] == (wanted | None if may_be_missing else wanted), field.name
        assert not field.required or field.name in ("purpose", "hour_utc")


def test_a_step_up_can_leave_out_every_method_of_the_contract() -> None:
    """A method that is new there is missed here."""
    assert {method.value for method in Method} <= {method.value for method in AnswerMethod}


@pytest.mark.parametrize("payer", ["00", "3f", "40", "7f", "ff", "a1"])
def test_a_payers_keys_lie_in_the_payers_partition(payer: str) -> None:
    """The same hash tag as that of the payer's challenges."""
    pseudonym = payer + "0" * 30
    assert _payer_key(pseudonym) == f"{{p{partition_of(pseudonym):02d}}}:risk:{pseudonym}"
