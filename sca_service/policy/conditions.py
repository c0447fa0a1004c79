"""Conditions in CEL, the Common Expression Language: typed, checked at load, and never able to run for long.

The language (cel-spec, as cel-cpp runs it) has no loops and no side effects. Left out of it are what could still take
long or escape the types: every macro (`all`, `exists`, `map`, `filter`, `has`, …), `matches` (a regular expression can
be made to take 40 ms), and `dyn` and `type`. What is left takes time in the length of the condition and of its facts,
and both are bounded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cel_expr_python import cel

from sca_service.kernel.errors import ScaError
from sca_service.policy.operands import Joined, Junction, leaves_of, operands_of

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
_ABSENT: Final = re.compile(r'UNKNOWN: No value with name "\w+" found in Activation')
"""How cel-cpp tells of a fact that was not supplied; all of its text, since an error may quote a fact."""
_MESSAGE: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


class FactKind(StrEnum):
    """The type of a fact, as CEL calls it."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    LIST = "list(string)"


class Verdict(StrEnum):
    """What a condition comes to."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_SUPPLIED = "not_supplied"  # a fact that decides it was not supplied
    ERROR = "error"  # it cannot be told; whoever asks takes this for the risky answer


class ConditionError(ScaError):
    """The text is no condition. The message says why; `line` and `column` count from 1 within the text."""

    def __init__(self, why: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


_OPPOSITE: Final = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}


@dataclass(frozen=True, slots=True)
class Condition:
    """One compiled condition; `facts` are the names that it refers to. Two of the same text are equal."""

    source: str
    facts: frozenset[str]
    _expression: Any = field(repr=False, compare=False)
    _operands: Joined | None = field(default=None, repr=False, compare=False)
    _parts: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def verdict(self, facts: "BoundFacts") -> Verdict:
        """What it comes to over these facts. Never raises.

        A fact that was not supplied decides nothing where the others do: `a || b` holds when `a` does. An error counts
        as one though a fact is missing beside it. An error that is not a missing fact's is told apart from it by its
        text alone, and a text that is not known counts as an error.
        """
        told = self._told(self._expression, facts)
        if told is not Verdict.NOT_SUPPLIED or self._operands is None:
            return told
        return self._joined(self._operands, facts)  # CEL tells the first of several errors only

    def _joined(self, tree: Joined | str, facts: "BoundFacts") -> Verdict:
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
    def _told(expression: Any, facts: "BoundFacts") -> Verdict:
        """What CEL tells of one expression."""
        try:
            came_to = expression.eval(facts.activation).value()
        except RuntimeError:  # a budget of the evaluator
            return Verdict.ERROR
        if came_to is True:
            return Verdict.HOLDS
        if came_to is False:
            return Verdict.FAILS
        is_absent = isinstance(came_to, str) and _ABSENT.fullmatch(came_to)
        return Verdict.NOT_SUPPLIED if is_absent else Verdict.ERROR


@dataclass(frozen=True, slots=True)
class BoundFacts:
    """Facts as every condition of one language takes them; made once for all of them."""

    activation: Any = field(repr=False)


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
        self._names = frozenset(kinds)
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
        facts = frozenset(_names_in(source)) & self._names
        if not facts:
            raise ConditionError("refers to no fact, so that it would hold always or never")
        operands = operands_of(source)
        leaves = leaves_of(operands) if operands else ()
        parts = {leaf: self._environment.compile(leaf) for leaf in leaves}
        return Condition(source, facts, expression, operands, parts)

    def bind(self, facts: Mapping[str, bool | int | float | str | list[str]]) -> BoundFacts:
        """Facts that were supplied, by name; one of another type is an error of the conditions that look at it."""
        return BoundFacts(self._environment.Activation(facts))


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
