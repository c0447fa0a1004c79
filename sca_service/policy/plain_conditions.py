"""Plain conditions, judged without an evaluator: facts, held against words, numbers and each other, joined by && || !.

Nothing in them can go wrong at run time, so they come to one of three: a fact that is missing decides nothing where the
others do (Kleene's logic, which is CEL's for a missing value). Whatever else a condition holds, arithmetic, a call or a
choice, makes it none of these, and CEL judges it. The checker of CEL has seen each before: types and names are right.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sca_service.policy.verdicts import FactKind, Verdict

Supplied = Mapping[str, Any]
Judge = Callable[[Supplied], Verdict]
"""What a condition comes to over the facts that were supplied, each of the type that it has in the language."""
_Value = Callable[[Supplied], Any]
"""The value of an operand, None where it is missing."""

_HOLDS, _FAILS, _NOT_SUPPLIED = Verdict.HOLDS, Verdict.FAILS, Verdict.NOT_SUPPLIED
_SIGN: Final = re.compile(
    r"""\s*(?:(?P<text>"[ !#-\[\]-~]*"|'[ -&(-\[\]-~]*')|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<sign>\|\||&&|[<>=!]=|[<>!()\[\],]))""",
    re.ASCII,
)
_COMPARING: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ORDERED: Final = frozenset({FactKind.INT, FactKind.DOUBLE})
MOST_INTEGER: Final = 2**63 - 1
"""CEL's whole numbers have 64 bits."""


class _NotPlainError(Exception):
    """There is more in the condition than is judged here. Nobody sees it."""


def plain_judge(source: str, kinds: Mapping[str, FactKind]) -> Judge | None:
    """What judges a condition that CEL has checked over facts of these kinds; None when it is not plain."""
    try:
        reader = _Reader(_signs_of(source), kinds)
        judge = reader.any_of()
        reader.expect("")
    except _NotPlainError:
        return None
    return judge


def _signs_of(source: str) -> list[tuple[str, str]]:
    """The kinds and texts of what stands there, an empty one at the end."""
    found, at = [], 0
    rest = source.rstrip()
    while at < len(rest):
        sign = _SIGN.match(rest, at)
        if sign is None or sign.lastgroup is None:
            raise _NotPlainError
        found.append((sign.lastgroup, sign[sign.lastgroup]))
        at = sign.end()
    return [*found, ("sign", "")]


class _Reader:
    """Reads a condition from left to right. A class because it holds how far it has come."""

    def __init__(self, signs: list[tuple[str, str]], kinds: Mapping[str, FactKind]) -> None:
        self._signs = signs
        self._kinds = kinds
        self._at = 0

    def any_of(self) -> Judge:
        """Parts with `||` between them."""
        parts = [self._all_of()]
        while self._takes("||"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else _joined(parts, _HOLDS, _FAILS)

    def expect(self, sign: str) -> None:
        """Go past this sign, which must stand here."""
        if not self._takes(sign):
            raise _NotPlainError

    def _all_of(self) -> Judge:
        parts = [self._one()]
        while self._takes("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _joined(parts, _FAILS, _HOLDS)

    def _one(self) -> Judge:
        if self._takes("!"):
            return _opposite(self._bracketed() if self._takes("(") else self._fact())
        if self._takes("("):
            return self._bracketed()
        if self._signs[self._at + 1] in _ENDS:
            return self._fact()
        return self._comparison()

    def _bracketed(self) -> Judge:
        inner = self.any_of()
        self.expect(")")
        return inner

    def _fact(self) -> Judge:
        kind, name = self._next()
        if kind != "name" or self._kinds.get(name) is not FactKind.BOOL:
            raise _NotPlainError
        return lambda facts: _held(facts.get(name))

    def _comparison(self) -> Judge:
        value, kind = self._operand()
        group, sign = self._next()
        if (group, sign) == ("name", "in"):
            return _compared(lambda one, many: one in many, value, self._many(kind))
        if group != "sign" or sign not in _COMPARING:
            raise _NotPlainError
        constant = self._constant()
        other, other_kind = self._operand()
        if kind is not other_kind or kind is FactKind.LIST or not (kind in _ORDERED or sign in ("==", "!=")):
            raise _NotPlainError
        if constant is not None:
            return _held_against(_COMPARING[sign], value, constant)
        return _compared(_COMPARING[sign], value, other)

    def _many(self, kind: FactKind) -> _Value:
        """What a word may stand in: a fact that is a list, or words between brackets."""
        if kind is not FactKind.STRING:
            raise _NotPlainError
        if not self._takes("["):
            value, many = self._operand()
            if many is not FactKind.LIST:
                raise _NotPlainError
            return value
        words = [self._word()]
        while self._takes(","):
            words.append(self._word())
        self.expect("]")
        return lambda _: words

    def _word(self) -> str:
        group, text = self._next()
        if group != "text":
            raise _NotPlainError
        return text[1:-1]

    def _constant(self) -> str | int | float | None:
        """The text or number that stands here, None for anything else; it is not gone past."""
        group, text = self._signs[self._at]
        if group == "text":
            return text[1:-1]
        if group == "number":
            return float(text) if "." in text else int(text)
        return None

    def _operand(self) -> tuple[_Value, FactKind]:
        constant = self._constant()
        group, text = self._next()
        if constant is not None:
            kinds = {str: FactKind.STRING, float: FactKind.DOUBLE, int: FactKind.INT}
            return lambda _: constant, kinds[type(constant)]
        if group != "name":
            raise _NotPlainError
        if text == "size" and self._takes("("):
            return self._size(), FactKind.INT
        if text not in self._kinds:
            raise _NotPlainError
        return operator.methodcaller("get", text), self._kinds[text]

    def _size(self) -> _Value:
        value, kind = self._operand()
        self.expect(")")
        if kind is not FactKind.LIST:
            raise _NotPlainError
        return lambda facts: None if (many := value(facts)) is None else len(many)

    def _next(self) -> tuple[str, str]:
        self._at += 1
        if self._at > len(self._signs):
            raise _NotPlainError
        return self._signs[self._at - 1]

    def _takes(self, sign: str) -> bool:
        if self._at < len(self._signs) and self._signs[self._at] == ("sign", sign):
            self._at += 1
            return True
        return False


_ENDS: Final = tuple(("sign", sign) for sign in ("", "||", "&&", ")"))


def _held(value: Any) -> Verdict:
    return _NOT_SUPPLIED if value is None else _HOLDS if value else _FAILS


def _compared(compare: Callable[[Any, Any], bool], first: _Value, second: _Value) -> Judge:
    def judge(facts: Supplied) -> Verdict:
        one, other = first(facts), second(facts)
        if one is None or other is None:
            return _NOT_SUPPLIED
        return _HOLDS if compare(one, other) else _FAILS

    return judge


def _held_against(compare: Callable[[Any, Any], bool], first: _Value, constant: Any) -> Judge:
    """The same against a text or number: most conditions are nothing else, and it takes half the time."""

    def judge(facts: Supplied) -> Verdict:
        one = first(facts)
        if one is None:
            return _NOT_SUPPLIED
        return _HOLDS if compare(one, constant) else _FAILS

    return judge


def _opposite(part: Judge) -> Judge:
    def judge(facts: Supplied) -> Verdict:
        came_to = part(facts)
        if came_to is _NOT_SUPPLIED:
            return came_to
        return _FAILS if came_to is _HOLDS else _HOLDS

    return judge


def _joined(parts: list[Judge], decides: Verdict, otherwise: Verdict) -> Judge:
    """Parts of which one that comes to `decides` is enough."""

    def judge(facts: Supplied) -> Verdict:
        came_to = otherwise
        for part in parts:
            verdict = part(facts)
            if verdict is decides:
                return decides
            if verdict is _NOT_SUPPLIED:
                came_to = verdict
        return came_to

    return judge
