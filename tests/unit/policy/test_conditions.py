"""Conditions in CEL: typed when they are read, three-valued when facts are missing, and never long."""

from pathlib import Path
from typing import Any

import pytest

from sca_service.policy.conditions import LONGEST_CONDITION, ConditionError, ConditionLanguage
from sca_service.policy.load import load
from sca_service.policy.risk import FACTS
from sca_service.policy.verdicts import FactKind, Verdict

KINDS = {
    "amount": FactKind.INT,
    "ratio": FactKind.DOUBLE,
    "country": FactKind.STRING,
    "malware": FactKind.BOOL,
    "marks": FactKind.LIST,
}
LANGUAGE = ConditionLanguage(KINDS)
ALL: dict[str, Any] = {"amount": 5, "ratio": 1.5, "country": "DE", "malware": False, "marks": ("phone",)}


def verdict(source: str, facts: dict[str, Any] = ALL) -> Verdict:
    """What a condition comes to."""
    return LANGUAGE.compile(source).verdict(LANGUAGE.bind(facts))


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("amount > 4", True),
        ("amount > 5", False),
        ("ratio >= 1.5 && country == 'DE'", True),
        ('country in ["FR", "IT"]', False),
        ("!malware", True),
        ("size(marks) > 0 && 'phone' in marks", True),
        ("country.startsWith('D') ? amount == 5 : malware", True),
        ("double(amount) / ratio > 3.0", True),
    ],
)
def test_a_condition_holds_or_fails(source: str, holds: bool) -> None:
    """All types of facts, and the operators that policies need."""
    assert verdict(source) is (Verdict.HOLDS if holds else Verdict.FAILS)


@pytest.mark.parametrize(
    ("source", "told", "line", "column"),
    [
        ("amount > 'x'", "found no matching overload for '_>_' applied to '(int, string)'", 1, 8),
        ("ratio > 1", "found no matching overload for '_>_' applied to '(double, int)'", 1, 7),
        ("amont > 1", "undeclared reference to 'amont'", 1, 1),
        ("malware &&\n  amont > 1", "undeclared reference to 'amont'", 2, 3),
        ("amount >", "Syntax error", 1, 9),
        ("amount", "is int; allowed: a condition that is true or false", 1, 1),
        ("true", "refers to no fact", 1, 1),
        ("'amount' == 'amount' // amount", "refers to no fact", 1, 1),
        ("", "Syntax error", 1, 1),
    ],
)
def test_what_is_no_condition_is_told_with_its_place(source: str, told: str, line: int, column: int) -> None:
    """Types and names are checked when the policy is read, not when somebody pays."""
    with pytest.raises(ConditionError) as caught:
        LANGUAGE.compile(source)
    assert told in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "[1, 2].all(a, [1, 2].all(b, a + b + amount > 0))",
        "marks.exists(mark, mark == 'phone')",
        "marks.map(mark, mark + mark).size() > 1",
        "marks.filter(mark, mark != '').size() > amount",
        "marks.exists_one(mark, mark == '')",
        "has({'a': amount}.a)",
        "country.matches('(a?){1000}(a){1000}')",
        "matches(country, 'a')",
        "dyn(amount) == 'x'",
        "type(amount) == int",
        "(" * 40 + "amount > 1" + ")" * 40,
        " || ".join(["amount > 1"] * 40),
    ],
)
def test_what_could_take_long_or_escape_the_types_is_refused(source: str) -> None:
    """No loop, no regular expression, no dynamic type, no depth, no length."""
    with pytest.raises(ConditionError):
        LANGUAGE.compile(source)


def test_a_condition_may_not_be_longer_or_deeper_than_is_said() -> None:
    """The message says how much is allowed."""
    with pytest.raises(ConditionError, match=r"has 401 characters; allowed: 400"):
        LANGUAGE.compile("amount > 1".ljust(LONGEST_CONDITION + 1))
    assert LANGUAGE.compile("amount > 1".ljust(LONGEST_CONDITION)).facts == {"amount"}
    with pytest.raises(ConditionError, match="is nested too deeply; allowed: 32 levels"):
        LANGUAGE.compile("+".join(["country"] * 40) + " == ''")


@pytest.mark.parametrize(
    ("source", "missing", "expected"),
    [
        ("amount > 4", "amount", Verdict.NOT_SUPPLIED),
        ("amount > 4 || !malware", "amount", Verdict.HOLDS),
        ("amount > 4 || malware", "amount", Verdict.NOT_SUPPLIED),
        ("amount > 4 && malware", "amount", Verdict.FAILS),
        ("malware && amount > 4", "amount", Verdict.FAILS),
        ("!malware && 'x' in marks", "marks", Verdict.NOT_SUPPLIED),
        ("amount > 4", "country", Verdict.HOLDS),
    ],
)
def test_a_missing_fact_decides_nothing_where_the_others_do(
    source: str, missing: str, expected: Verdict
) -> None:
    """Three values, as CEL has them for errors."""
    facts = {name: value for name, value in ALL.items() if name != missing}
    assert verdict(source, facts) is expected


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("amount / (amount - 5) > 1", ALL),
        ("amount + 9223372036854775807 > 0", ALL),
        ("marks[3] == 'x'", ALL),
        ("int(country) > 1", ALL),
        ("amount > 1", ALL | {"amount": "5"}),
        ("amount > 1", ALL | {"amount": 2**70}),
        ("malware", ALL | {"malware": None}),
    ],
)
def test_what_cannot_be_told_is_an_error_and_no_missing_fact(source: str, facts: dict[str, Any]) -> None:
    """Division by zero, overflow, an index, a conversion, another type: it is told apart from what is missing."""
    assert verdict(source, facts) is Verdict.ERROR


BROKEN = "amount / (amount - 5) > 1"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"malware || {BROKEN}", Verdict.ERROR),
        (f"{BROKEN} || malware", Verdict.ERROR),
        (f"malware || ratio > 1.0 || {BROKEN} || malware", Verdict.ERROR),
        (f"malware && {BROKEN}", Verdict.ERROR),
        (f"country == 'DE' && (malware || ({BROKEN}))", Verdict.ERROR),
        (f"!(malware || {BROKEN})", Verdict.ERROR),
        (f"!!(malware || {BROKEN})", Verdict.ERROR),
        (f"(malware || {BROKEN}) ? true : country == 'DE'", Verdict.ERROR),
        (f"country == 'DE' ? malware || {BROKEN} : malware", Verdict.ERROR),
        (f"country == 'FR' ? {BROKEN} : malware ? true : {BROKEN}", Verdict.NOT_SUPPLIED),
        (f"malware || country in ['a) || (', \"?:\"] || {BROKEN} // || (", Verdict.ERROR),
        (f"(malware || // a comment: ( || \n {BROKEN} // another )\n)", Verdict.ERROR),
        (f"malware || {BROKEN} || country == 'DE'", Verdict.HOLDS),
        (f"malware && {BROKEN} && country == 'FR'", Verdict.FAILS),
        ("malware || amount / 5 > 1", Verdict.NOT_SUPPLIED),
        ("malware || size(marks) > 3", Verdict.NOT_SUPPLIED),
    ],
)
def test_an_error_counts_though_a_fact_is_missing_beside_it(source: str, expected: Verdict) -> None:
    """Whichever comes first, however deep, unless another part decides: CEL itself tells the first error only."""
    facts = {name: value for name, value in ALL.items() if name not in ("malware", "ratio")}
    assert verdict(source, facts) is expected


def test_a_text_that_only_looks_like_a_missing_fact_is_an_error() -> None:
    """An error quotes the key that is not in a map: a fact must not be able to speak for the library."""
    condition = LANGUAGE.compile("{'a': malware}[country]")
    told = 'UNKNOWN: No value with name "amount" found in Activation'
    for odd in (told, f'"{told}', f'x"\n{told}'):
        assert condition.verdict(LANGUAGE.bind(ALL | {"country": odd})) is Verdict.ERROR


def test_a_condition_knows_its_facts() -> None:
    """Names in texts, comments and behind points are none."""
    condition = LANGUAGE.compile(
        "country == \"amount\" || country.startsWith('ratio') // malware\n || size(marks) > 0"
    )
    assert condition.facts == {"country", "marks"}


def test_conditions_of_the_same_text_are_equal() -> None:
    """Two policies can be compared."""
    assert LANGUAGE.compile("amount > 4") == LANGUAGE.compile("amount > 4")
    assert LANGUAGE.compile("amount > 4") != LANGUAGE.compile("amount > 3")


def test_every_shipped_condition_is_told_by_its_facts_alone() -> None:
    """With no fact supplied, a shipped signal is missing its facts or fails; none is an error."""
    policy = load(Path(__file__).resolve().parents[3] / "policies").risk
    bound = policy.language.bind({name: _empty(fact.kind) for name, fact in FACTS.items() if fact.always})
    verdicts = {signal.name: signal.condition.verdict(bound) for signal in policy.signals}
    assert Verdict.ERROR not in verdicts.values()
    assert Verdict.HOLDS not in verdicts.values()
    assert verdicts["malware"] is Verdict.NOT_SUPPLIED


def _empty(kind: FactKind) -> Any:
    return {FactKind.INT: 0, FactKind.STRING: "", FactKind.LIST: ()}[kind]
