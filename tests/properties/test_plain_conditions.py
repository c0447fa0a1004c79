"""Plain conditions, which are judged without CEL, against CEL."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sca_service.policy.conditions import Condition, ConditionError, ConditionLanguage
from sca_service.policy.load import load
from sca_service.policy.verdicts import FactKind

LANGUAGE = ConditionLanguage(
    {
        **dict.fromkeys(("count", "most"), FactKind.INT),
        **dict.fromkeys(("ratio", "share"), FactKind.DOUBLE),
        **dict.fromkeys(("country", "purpose"), FactKind.STRING),
        **dict.fromkeys(("malware", "known"), FactKind.BOOL),
        **dict.fromkeys(("marks", "listed"), FactKind.LIST),
    }
)
WORDS = ("DE", "1", "", "it's", "a b", "[x]")
NUMBERS = st.integers(-2, 3) | st.sampled_from([2**63 - 1, -(2**63), 2**70]) | st.integers()
FRACTIONS = st.sampled_from([0.0, -0.0, 1.0, 2.5, float("nan"), float("inf")]) | st.floats()
TEXTS = st.sampled_from(WORDS) | st.text(max_size=3)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("count", "most"), NUMBERS),
        **dict.fromkeys(("ratio", "share"), FRACTIONS),
        **dict.fromkeys(("country", "purpose"), TEXTS),
        **dict.fromkeys(("malware", "known"), st.booleans()),
        **dict.fromkeys(("marks", "listed"), LISTS),
    },
)
ODD = st.none() | st.sampled_from([True, 0, 1, 0.0, 1.0, "1", "\ud800", ("1",), (1,), ["1"]])
AN_ODD_ONE: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
    st.sampled_from(["count", "ratio", "country", "malware", "marks"]), ODD, max_size=1
)


def quoted(word: str) -> str:
    """A word as a condition has it."""
    return f'"{word}"' if "'" in word else f"'{word}'"


def compared(operands: st.SearchStrategy[str], signs: str) -> st.SearchStrategy[str]:
    """Two operands with a sign between them."""
    space = st.sampled_from(["", " ", "\n "])
    parts = st.tuples(operands, space, st.sampled_from(signs.split()), space, operands)
    return parts.map("".join)


ORDER = "< <= > >= == !="
WHOLE = st.sampled_from(
    ["count", "most", "size(marks)", "size( listed )", "0", "1", "-2", "9223372036854775807"]
)
PARTS = st.sampled_from(["ratio", "share", "0.0", "-0.0", "1.0", "2.50"])
TEXT = st.sampled_from(["country", "purpose", *map(quoted, WORDS)])
MANY = st.sampled_from(["marks", "listed", "[\"DE\", '1']", "['']"])
ATOMS = (
    st.sampled_from(["malware", "known", "!malware", "malware == known", "malware!=known"])
    | compared(WHOLE, ORDER)
    | compared(PARTS, ORDER)
    | compared(TEXT, "== !=")
    | st.tuples(TEXT, MANY).map(" in ".join)
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda parts: (
        st.lists(parts, min_size=2, max_size=3).map(" && ".join)
        | st.lists(parts, min_size=2, max_size=3).map("||".join)
        | parts.map("({})".format)
        | parts.map("!({})".format)
    ),
    max_leaves=6,
)
SHIPPED = load(Path(__file__).resolve().parents[2] / "policies").risk


def compiled(source: str) -> Condition:
    """A condition that CEL takes."""
    try:
        return LANGUAGE.compile(source)
    except ConditionError:  # no fact, or too long
        assume(False)
        raise


@settings(max_examples=400, deadline=None)
@given(CONDITIONS, st.lists(st.tuples(FACTS, AN_ODD_ONE), min_size=1, max_size=6))
def test_a_plain_condition_comes_to_what_cel_says(
    source: str, known: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    """Over any facts: supplied or not, of any size, and one of another type among them."""
    condition = compiled(source)
    assert condition._plain is not None, "it is meant to be plain"
    for facts, odd in known:
        supplied = facts | odd
        assert condition.verdict(LANGUAGE.bind(supplied)) is condition._judged(supplied)


@pytest.mark.parametrize(
    ("source", "supplied"),
    [
        ("count > 1", {"count": 2**63}),
        ("count > 1", {"count": -(2**63) - 1}),
        ("count > 1", {"count": 1.5}),
        ("ratio > 1.0", {"ratio": "2"}),
        ("country != 'DE'", {"country": "\ud800"}),
        ("'DE' in marks", {"marks": ("\ud800",)}),
        ("'DE' in marks", {"marks": (1,)}),
        ("country == 'DE'", {"country": "DE\0"}),
        ("'' in marks", {"marks": ("\0",)}),
        ("malware", {"malware": "yes"}),
        ("malware", {"malware": None}),
        ("count > 1 || malware", {"count": None, "malware": False}),
    ],
)
def test_what_python_and_cel_take_differently_is_left_to_cel(source: str, supplied: dict[str, Any]) -> None:
    """Each of these is an error there, or none at all here."""
    condition = LANGUAGE.compile(source)
    assert condition.verdict(LANGUAGE.bind(supplied)) is condition._judged(supplied)
    assert condition._plain is not None
    with suppress(TypeError):
        assert condition._plain(supplied) is not condition._judged(supplied)


@pytest.mark.parametrize(
    "source",
    [
        "count + 1 > 2",
        "count > 1 ? malware : known",
        "count > 1 == malware",
        "!malware == known",
        "marks[0] == country",
        "country.startsWith('D')",
        "country < purpose",
        "size(country) > 1",
        "size('DE') > count",
        "country == 'D\\x45'",
        "country == r'DE'",
        "country in ['DE', purpose]",
        "count in [1, 2]",
        "count > 0x1",
        "ratio > 1e3",
        "ratio > .5",
        "malware == true",
        "marks == ['x']",
        "!!malware",
        "(count) > 1",
        "malware // known",
        "{'a': malware}['a']",
        "-count > 1",
    ],
)
def test_what_holds_more_is_left_to_cel(source: str) -> None:
    """Whatever is not read here must not be read wrongly."""
    assert LANGUAGE.compile(source)._plain is None


def test_every_shipped_condition_is_plain() -> None:
    """So that the default policy is as fast as docs/decisions/0018 says."""
    judged = [signal.condition for signal in SHIPPED.signals] + [rule.condition for rule in SHIPPED.step_up]
    assert [condition.source for condition in judged if condition._plain is None] == []
