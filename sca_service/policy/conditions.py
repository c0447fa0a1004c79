"""Conditions in CEL, the Common Expression Language: typed, checked at load, and never able to run for long.

The language (cel-spec, as cel-cpp runs it) has no loops and no side effects. Left out of it are what could still take
long or escape the types: every macro (`all`, `exists`, `map`, `filter`, `has`, …), `matches` (a regular expression can
be made to take 40 ms), and `dyn` and `type`. What is left takes time in the length of the condition and of its facts,
and both are bounded.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from cel_expr_python import cel

from sca_service.kernel.errors import ScaError
from sca_service.policy.operands import Joined, Junction, leaves_of, operands_of
from sca_service.policy.plain_conditions import MOST_INTEGER, Judge, plain_judge
from sca_service.policy.verdicts import FactKind, Verdict

LONGEST_CONDITION: Final = 400
"""Characters of one condition."""

_LANGUAGE: Final = """
stdlib:
  disable_macros: true
  exclude_functions:
    - name: "matches"
    - name: "dyn"
    - name: "type"
"""
_WORD: Final = re.compile(
    r"""(?P<skipped>r?\"\"\".*?\"\"\"|r?'''.*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|//[^\n]*|\.\s*[A-Za-z_]\w*)"""
    r"""|(?P<name>[A-Za-z_]\w*)""",
    re.DOTALL,
)
"""A name, or what may hold words that are no names: texts, comments, and what follows a point."""
_NOTHING: Final = object()
_ABSENT: Final = re.compile(r'UNKNOWN: No value with name "\w+" found in Activation')
"""How cel-cpp tells of a fact that was not supplied; all of its text, since an error may quote a fact."""
_MESSAGE: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


_TYPES: Final = {
    FactKind.BOOL: bool,
    FactKind.INT: int,
    FactKind.DOUBLE: float,
    FactKind.STRING: str,
    FactKind.LIST: tuple,
}


class ConditionError(ScaError):
    """The text is no condition. The message says why; `line` and `column` count from 1 within the text."""

    def __init__(self, why: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


FactValue = bool | int | float | str | tuple[str, ...]
"""A fact as it is known here; what a list holds is a tuple."""
_OPPOSITE: Final = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}


@dataclass(frozen=True, slots=True)
class Condition:
    """One compiled condition; `facts` are the names that it refers to. Two of the same text are equal.

    A plain one is judged without CEL, and comes to the same (plain_conditions.py).
    """

    source: str
    facts: frozenset[str]
    _expression: Any = field(repr=False, compare=False)
    _activate: Callable[[Mapping[str, Any]], Any] = field(repr=False, compare=False)
    _plain: Judge | None = field(repr=False, compare=False)
    _operands: Joined | None = field(default=None, repr=False, compare=False)
    _parts: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def verdict(self, facts: "BoundFacts") -> Verdict:
        """What it comes to over these facts. Never raises.

        A fact that was not supplied decides nothing where the others do: `a || b` holds when `a` does. An error counts
        as one though a fact is missing beside it. An error that is not a missing fact's is told apart from it by its
        text alone, and a text that is not known counts as an error.
        """
        if self._plain is not None and facts.are_typed:
            return self._plain(facts.supplied)
        return self._judged(facts.supplied)

    def _judged(self, supplied: Mapping[str, Any]) -> Verdict:
        """What CEL tells; of all facts it is given those that it looks at."""
        looked_at = self._activate(
            {
                name: list(value) if isinstance(value, tuple) else value
                for name in self.facts
                if (value := supplied.get(name, _NOTHING)) is not _NOTHING
            }
        )
        told = self._told(self._expression, looked_at)
        if told is not Verdict.NOT_SUPPLIED or self._operands is None:
            return told
        return self._joined(self._operands, looked_at)  # CEL tells the first of several errors only

    def _joined(self, tree: Joined | str, facts: Any) -> Verdict:
        """What the parts come to together: what decides, else an error, else what is missing."""
        if isinstance(tree, str):
            return self._told(self._parts[tree], facts)
        first, *others = tree.parts
        match tree.junction:
            case Junction.NOT:
                held = self._joined(first, facts)
                return _OPPOSITE.get(held, held)
            case Junction.CHOICE:
                asked = self._joined(first, facts)
                if asked in _OPPOSITE:
                    return self._joined(others[asked is Verdict.FAILS], facts)
                return asked
            case Junction.ANY | Junction.ALL:
                verdicts = {self._joined(part, facts) for part in tree.parts}
                decides = Verdict.HOLDS if tree.junction is Junction.ANY else Verdict.FAILS
                ranked = (decides, Verdict.ERROR, Verdict.NOT_SUPPLIED, _OPPOSITE[decides])
                return next(verdict for verdict in ranked if verdict in verdicts)

    @staticmethod
    def _told(expression: Any, facts: Any) -> Verdict:
        """What CEL tells of one expression over facts that are activated."""
        try:
            came_to = expression.eval(facts).value()
        except RuntimeError:  # a budget of the evaluator
            return Verdict.ERROR
        if came_to is True:
            return Verdict.HOLDS
        if came_to is False:
            return Verdict.FAILS
        is_absent = isinstance(came_to, str) and _ABSENT.fullmatch(came_to)
        return Verdict.NOT_SUPPLIED if is_absent else Verdict.ERROR


class BoundFacts(msgspec.Struct, frozen=True):
    """Facts as every condition of one language takes them; made once for all of them.

    `are_typed` claims that each has the type that the language gives it, that whole numbers have 64 bits and that texts
    are ASCII without NUL, at which cel-cpp is given no more of them: then a comparison in Python is one in CEL.
    """

    supplied: Mapping[str, Any]
    are_typed: bool

    def __repr__(self) -> str:
        return f"BoundFacts(are_typed={self.are_typed})"


class ConditionLanguage:
    """Compiles conditions over one set of typed facts. A class because it holds the checker."""

    def __init__(self, kinds: Mapping[str, FactKind]) -> None:
        types = {
            FactKind.BOOL: cel.Type.BOOL,
            FactKind.INT: cel.Type.INT,
            FactKind.DOUBLE: cel.Type.DOUBLE,
            FactKind.STRING: cel.Type.STRING,
            FactKind.LIST: cel.Type.List(cel.Type.STRING),
        }
        self._kinds = dict(kinds)
        self._types = {name: _TYPES[kind] for name, kind in kinds.items()}
        self._environment = cel.NewEnv(
            config=cel.NewEnvConfigFromYaml(_LANGUAGE),
            variables={name: types[kind] for name, kind in kinds.items()},
        )

    def compile(self, source: str) -> Condition:
        """Check a condition and make it ready. Raises ConditionError: not CEL, a wrong type, no fact, or too long."""
        if len(source) > LONGEST_CONDITION:
            raise ConditionError(f"has {len(source)} characters; allowed: {LONGEST_CONDITION}")
        try:
            expression = self._environment.compile(source)
        except RuntimeError as error:
            raise _condition_error(str(error)) from None
        if expression.return_type() != cel.Type.BOOL:
            raise ConditionError(
                f"is {expression.return_type().name().lower()}; allowed: a condition that is true or false"
            )
        facts = frozenset(_names_in(source)) & self._kinds.keys()
        if not facts:
            raise ConditionError("refers to no fact, so that it would hold always or never")
        operands = operands_of(source)
        leaves = leaves_of(operands) if operands else ()
        parts = {leaf: self._environment.compile(leaf) for leaf in leaves}
        plain = plain_judge(source, self._kinds)
        return Condition(source, facts, expression, self._environment.Activation, plain, operands, parts)

    def bind(self, facts: Mapping[str, FactValue]) -> BoundFacts:
        """Facts that were supplied, by name; one of another type is an error of the conditions that look at it."""
        return BoundFacts(facts, self._are_typed(facts))

    def _are_typed(self, facts: Mapping[str, FactValue]) -> bool:
        """Whether each has its type, and is in CEL what it is in Python; of each request some thirty are looked at."""
        types = self._types
        for name, value in facts.items():
            kind = type(value)
            if kind is not types.get(name):
                return False
            if kind is int:
                if not -MOST_INTEGER <= value <= MOST_INTEGER:  # type: ignore[operator]
                    return False
            elif kind is str:
                if not _is_sound(value):  # type: ignore[arg-type]
                    return False
            elif kind is tuple and not all(type(word) is str and _is_sound(word) for word in value):  # type: ignore[union-attr]
                return False
        return True


def _is_sound(text: str) -> bool:
    """Whether a text is in CEL what it is in Python."""
    return text.isascii() and "\0" not in text


def _condition_error(told: str) -> ConditionError:
    """The first mistake that the checker tells, in one line."""
    if "recursion" in told:
        return ConditionError("is nested too deeply; allowed: 32 levels")
    found = _MESSAGE.search(told)
    if found is None:
        return ConditionError("is not CEL")
    return ConditionError(found[3].strip(), line=int(found[1]), column=int(found[2]))


def _names_in(source: str) -> list[str]:
    return [found["name"] for found in _WORD.finditer(source) if found["name"]]
