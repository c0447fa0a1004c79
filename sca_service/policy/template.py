"""A message text with placeholders: taken apart once when it is loaded, filled in one pass ever after."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

_PIECES = re.compile(r"\{([^{}]*)\}")


class Placeholder(StrEnum):
    """What a text may leave open, written `{amount}`."""

    AMOUNT = "amount"  # of the payment; the highest for a preauthorisation, the total for a batch
    PAYEE = "payee"
    PAYEES = "payees"  # of a batch
    COUNT = "count"  # how many payees a batch has
    CODE = "code"
    LIFETIME = "lifetime"  # "5 minutes", in the text's language
    WARNING = "warning"  # the language's sentence against giving the code away
    NAME = "name"  # of one payee, only in `payee_spoken`
    TAIL = "tail"  # the last characters of one payee's account, only in `payee_spoken`


@dataclass(frozen=True, slots=True)
class Template:
    """Literal parts and placeholders in their order.

    What is filled in is never looked at again: a payee called `{code}` is a payee called `{code}`.
    """

    parts: tuple[str | Placeholder, ...]

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The placeholders in their order, repeated ones repeatedly."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    def fill(self, values: Mapping[Placeholder, str]) -> str:
        """The text with every placeholder replaced; a value that the text does not ask for is left out.

        Raises KeyError for a placeholder without a value.
        """
        return "".join([values[part] if isinstance(part, Placeholder) else part for part in self.parts])

    def with_literal(self, placeholder: Placeholder, text: str) -> "Template":
        """The same template with one placeholder settled for good."""
        return Template(tuple(text if part is placeholder else part for part in self.parts))


def parse(text: str) -> Template:
    """Take a text apart. Raises ValueError when `mistakes_in(text)` finds any."""
    if found := mistakes_in(text):
        raise ValueError("; ".join(found))
    pieces = _PIECES.split(text)
    parts = (Placeholder(piece) if index % 2 else piece for index, piece in enumerate(pieces))
    return Template(tuple(part for part in parts if part))


def mistakes_in(text: str) -> list[str]:
    """Every placeholder that does not exist, and every brace that stands alone."""
    pieces = _PIECES.split(text)
    known = {placeholder.value for placeholder in Placeholder}
    found = [f"there is no placeholder {{{name}}}" for name in pieces[1::2] if name not in known]
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        found.append("a brace stands alone; braces are for placeholders only")
    return found
