"""What a condition is joined of: `a || b && !(c)` as a tree, down to the parts that CEL tells one answer of.

Of several errors CEL tells the first, and a missing fact is one to it. So `missing || broken` would read as missing
only, though an error stands beside it. Taken apart, each part is asked by itself.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_PIECE: Final = re.compile(
    r"""(?P<skipped>r?\"\"\".*?\"\"\"|r?'''.*?'''|r?"(?:\\.|[^"\\])*"|r?'(?:\\.|[^'\\])*'|//[^\n]*)"""
    r"""|(?P<sign>\|\||&&|!=|[?:!()\[\]{}])""",
    re.DOTALL,
)
_OPENING: Final = "([{"
_CLOSING: Final = ")]}"
_MAY_BREAK: Final = re.compile(r"[-+*/%\[{]|\w\s*\(")
"""What a part needs for an error of its own: arithmetic, an index, a call. A comparison of facts alone has none."""


class Junction(StrEnum):
    """How parts are joined."""

    ANY = "||"
    ALL = "&&"
    NOT = "!"
    CHOICE = "?:"


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts, and how they are joined: one for `!`, three for a choice, else two or more."""

    junction: Junction
    parts: tuple["Joined | str", ...]


def operands_of(condition: str) -> Joined | None:
    """The tree of a condition that compiles; None where taking it apart can tell no more than CEL does."""
    tree = _tree(condition)
    return tree if isinstance(tree, Joined) and any(map(_MAY_BREAK.search, leaves_of(tree))) else None


def leaves_of(tree: Joined | str) -> Iterator[str]:
    """The texts of its parts, in their order."""
    if isinstance(tree, str):
        yield tree
        return
    for part in tree.parts:
        yield from leaves_of(part)


def _tree(text: str) -> Joined | str:
    """By how weakly each binds: a choice, `||`, `&&`, `!`, brackets."""
    signs = list(_outer_signs(text))
    choice = _choice(text, signs)
    if choice is not None:
        return Joined(Junction.CHOICE, tuple(map(_tree, choice)))
    for junction in (Junction.ANY, Junction.ALL):
        found = [at for sign, at in signs if sign == junction]
        if found:
            starts, ends = [0, *(at + 2 for at in found)], [*found, len(text)]
            parts = (_tree(text[start:end]) for start, end in zip(starts, ends, strict=True))
            return Joined(junction, tuple(parts))
    bare = _without_comments(text)
    inner = bare.lstrip("! \t\r\n\f")
    is_bracketed = inner.startswith("(") and inner.endswith(")")
    if is_bracketed and [sign for sign, _ in _outer_signs(inner)] == ["(", ")"]:
        return Joined(Junction.NOT, (_tree(bare[1:]),)) if bare.startswith("!") else _tree(inner[1:-1])
    return text


def _outer_signs(text: str) -> Iterator[tuple[str, int]]:
    """Signs that stand in no brackets, and where; of brackets the outermost."""
    depth = 0
    for found in _PIECE.finditer(text):
        sign = found["sign"]
        if sign is None:
            continue
        if sign in _CLOSING:
            depth -= 1
        if depth == 0:
            yield sign, found.start()
        if sign in _OPENING:
            depth += 1


def _choice(text: str, signs: list[tuple[str, int]]) -> tuple[str, str, str] | None:
    """The three parts of `a ? b : c` (its third may be a choice again), None for anything else."""
    asked, open_choices = None, 0
    for sign, at in signs:
        if sign == "?":
            asked, open_choices = (at if asked is None else asked), open_choices + 1
        elif sign == ":":
            open_choices -= 1
            if open_choices == 0 and asked is not None:
                return text[:asked], text[asked + 1 : at], text[at + 1 :]
    return None


def _without_comments(text: str) -> str:
    """The text without its comments and the space around it; what is quoted stays."""
    return _PIECE.sub(lambda found: " " if found[0].startswith("//") else found[0], text).strip()
