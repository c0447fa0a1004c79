"""The score: pure arithmetic on what each signal says of some facts.

A signal that holds, or that cannot be told, adds its weight; one that speaks for the payer takes its weight off, and
only where it surely holds. So neither an error nor one more signal against the payer ever lowers the score.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from sca_service.policy.conditions import Condition
from sca_service.policy.risk import TRA_CONDITIONS, Decision, Factor, RiskPolicy, Signal
from sca_service.policy.verdicts import Verdict
from sca_service.risk.model import Assessment, FactorResult, FactorState, Facts, Reason

_HOLDS, _FAILS, _NOT_SUPPLIED, _ERROR = Verdict  # to look a member up takes as long as to compare it
_TRUST = Factor.TRUST
_SPEAKS = (_HOLDS, _ERROR)
_FACTORS = tuple(factor for factor in Factor if factor is not _TRUST)
"""What an assessment has a result for. Trust finds nothing, and its absence leaves nothing open."""
ASSESSMENTS_REMEMBERED: Final = 1024
"""Of each policy: some two kilobytes each."""
_SETS_REMEMBERED: Final = 256
"""Which facts are supplied together, of each policy."""


def assess(facts: Facts, policy: RiskPolicy) -> Assessment:
    """Weigh every signal. Never raises: what cannot be told counts as the risky answer."""
    return weigh(policy, judge(facts, policy))


def judge(facts: Facts, policy: RiskPolicy) -> list[Verdict]:
    """What the condition of each signal comes to, then of each rule, in the order of the file. Never raises."""
    bound = policy.language.bind(facts.supplied())
    return [condition.verdict(bound) for condition in _conditions(policy)]


def _conditions(policy: RiskPolicy) -> list[Condition]:
    return [
        *(signal.condition for signal in policy.signals),
        *(rule.condition for rule in policy.step_up),
    ]


def weigh(policy: RiskPolicy, verdicts: Sequence[Verdict]) -> Assessment:
    """What follows from the verdicts on a policy's signals and rules, given as `judge` gives them."""
    judged = list(zip(policy.signals, verdicts, strict=False))
    rules = [
        (rule, verdict)
        for rule, verdict in zip(policy.step_up, verdicts[len(policy.signals) :], strict=True)
        if verdict in _SPEAKS
    ]
    weighed = [(signal, verdict, contribution(signal, verdict)) for signal, verdict in judged]
    score = max(0, sum(weight for _, _, weight in weighed))
    factors = _factors(judged)
    return Assessment(
        decision=_decision(policy, score, factors, rules=len(rules)),
        score=score,
        reasons=_reasons(weighed),
        step_ups=tuple(Reason(rule.name, rule.reason, 0, verdict) for rule, verdict in rules),
        factors=factors,
        leave_out_channels=frozenset(channel for rule, _ in rules for channel in rule.leave_out_channels),
        leave_out_methods=frozenset(method for rule, _ in rules for method in rule.leave_out_methods),
        digest=policy.digest,
    )


class Scale:
    """Assesses by one policy. A class because it remembers what the same verdicts came to before.

    Facts differ from request to request, verdicts seldom: what follows from them is the same assessment. And of half of
    the conditions no fact was supplied at all, in request after request: those are not asked again.
    """

    def __init__(self, policy: RiskPolicy) -> None:
        self._policy = policy
        self._conditions = _conditions(policy)
        nothing = policy.language.bind({})
        self._of_nothing = [condition.verdict(nothing) for condition in self._conditions]
        self._looking_at = lru_cache(_SETS_REMEMBERED)(self._look_for)
        self._weighed = lru_cache(ASSESSMENTS_REMEMBERED)(self._weigh)

    def assess(self, facts: Facts) -> Assessment:
        """What `assess` gives. Never raises."""
        bound = self._policy.language.bind(facts.supplied())
        verdicts = self._of_nothing.copy()
        for at, condition in self._looking_at(tuple(bound.supplied)):
            verdicts[at] = condition.verdict(bound)
        return self._weighed(" ".join(verdicts))

    def _look_for(self, names: tuple[str, ...]) -> list[tuple[int, Condition]]:
        """The conditions that look at one of these facts at least, each with its place."""
        return [
            (at, condition)
            for at, condition in enumerate(self._conditions)
            if not condition.facts.isdisjoint(names)
        ]

    def _weigh(self, verdicts: str) -> Assessment:
        return weigh(self._policy, [Verdict(word) for word in verdicts.split()])


def contribution(signal: Signal, verdict: Verdict) -> int:
    """What a signal adds to the score; below zero for one that speaks for the payer."""
    if signal.factor is _TRUST:
        return -signal.weight if verdict is _HOLDS else 0
    if verdict in _SPEAKS:
        return signal.weight
    return signal.when_missing if verdict is _NOT_SUPPLIED else 0


def _decision(policy: RiskPolicy, score: int, factors: Iterable[FactorResult], *, rules: int) -> Decision:
    """By the score, but at least what a step-up rule or RTS Art. 18(2)(c) asks for."""
    wanted = [policy.thresholds.decision(score)]
    if rules:
        wanted.append(Decision.STEP_UP)
    if any(one.state is FactorState.FOUND and one.factor in TRA_CONDITIONS for one in factors):
        wanted.append(Decision.CHALLENGE)
    return max(wanted, key=lambda decision: decision.rank)


def _factors(judged: Sequence[tuple[Signal, Verdict]]) -> tuple[FactorResult, ...]:
    """Every factor, whether a signal looks at it or not."""
    found: dict[Factor, list[str]] = {}
    missing: dict[Factor, list[str]] = {}
    looked_at: set[Factor] = set()
    for signal, verdict in judged:
        if verdict is _NOT_SUPPLIED:
            missing.setdefault(signal.factor, []).append(signal.name)
        else:
            looked_at.add(signal.factor)
            if verdict is not _FAILS:
                found.setdefault(signal.factor, []).append(signal.name)
    return tuple(
        FactorResult(
            factor,
            _state(is_found=factor in found, is_looked_at=factor in looked_at),
            tuple(found.get(factor, ())),
            tuple(missing.get(factor, ())),
        )
        for factor in _FACTORS
    )


def _state(*, is_found: bool, is_looked_at: bool) -> FactorState:
    if is_found:
        return FactorState.FOUND
    return FactorState.CLEAR if is_looked_at else FactorState.NOT_SUPPLIED


def _reasons(weighed: Iterable[tuple[Signal, Verdict, int]]) -> tuple[Reason, ...]:
    """What changed the score, or holds with no weight; the heaviest first, in the order of the file where equal."""
    reasons = [
        Reason(signal.name, signal.reason, weight, verdict)
        for signal, verdict, weight in weighed
        if weight or (verdict in _SPEAKS and signal.factor is not _TRUST)
    ]
    reasons.sort(key=lambda reason: -abs(reason.weight))
    return tuple(reasons)
