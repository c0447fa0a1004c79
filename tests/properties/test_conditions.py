"""Conditions taken apart: the parts together say what CEL says of the whole, and an error is never lost among them."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sca_service.policy.conditions import ConditionLanguage
from sca_service.policy.verdicts import FactKind, Verdict

LANGUAGE = ConditionLanguage({"here": FactKind.BOOL, "away": FactKind.BOOL, "count": FactKind.INT})
FACTS: dict[str, bool | int | float | str | tuple[str, ...]] = {"here": True, "count": 0}


@dataclass(frozen=True, slots=True)
class Case:
    """A condition, and what it has to come to: what decides, else an error, else what is missing."""

    text: str
    expected: Verdict


LEAVES = st.sampled_from(
    [
        Case("here", Verdict.HOLDS),
        Case("count > 1", Verdict.FAILS),
        Case("here == (count == 0)", Verdict.HOLDS),
        Case("away", Verdict.NOT_SUPPLIED),
        Case("1 / count > 0 // || (\n", Verdict.ERROR),
        Case("'a ? (b' in ['c) || !']", Verdict.FAILS),
    ]
)


def _any(parts: list[Case]) -> Case:
    return Case(" || ".join(f"({one.text})" for one in parts), _first(parts, Verdict.HOLDS, Verdict.FAILS))


def _all(parts: list[Case]) -> Case:
    return Case(" && ".join(f"({one.text})" for one in parts), _first(parts, Verdict.FAILS, Verdict.HOLDS))


def _not(part: Case) -> Case:
    opposite = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}
    return Case(f"!({part.text})", opposite.get(part.expected, part.expected))


def _choice(asked: Case, then: Case, other: Case) -> Case:
    chosen = {Verdict.HOLDS: then.expected, Verdict.FAILS: other.expected}
    text = f"({asked.text}) ? ({then.text}) : ({other.text})"
    return Case(text, chosen.get(asked.expected, asked.expected))


def _first(parts: list[Case], decides: Verdict, otherwise: Verdict) -> Verdict:
    found = {one.expected for one in parts}
    return next(one for one in (decides, Verdict.ERROR, Verdict.NOT_SUPPLIED, otherwise) if one in found)


CASES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(_any),
        st.lists(inner, min_size=2, max_size=3).map(_all),
        inner.map(_not),
        st.builds(_choice, inner, inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(CASES.filter(lambda case: len(case.text) <= 400))
def test_the_parts_of_a_condition_come_to_what_the_whole_does(case: Case) -> None:
    """Junctions of any depth, with brackets and signs in texts and comments."""
    text = f"({case.text}) && (here || away || count > 0)"  # a condition without any fact is none
    assert LANGUAGE.compile(text).verdict(LANGUAGE.bind(FACTS)) is case.expected
