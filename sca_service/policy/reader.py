"""Reads one TOML table: hands out what it holds, checked, and notes every mistake, not only the first."""

import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from sca_service.policy.bounds import Bound, bound_for

MOST_BYTES = 1_048_576
_LONGEST_QUOTE = 40
_MISSING = object()

Choice = TypeVar("Choice", bound=StrEnum)


class Table:
    """One table while it is read.

    Every method returns something of the right type, even for a mistake: whoever reads goes on, so that all
    mistakes are found, and throws the result away when there are any. In a path, entries count from 1.
    """

    def __init__(
        self,
        content: Mapping[str, object],
        mistakes: list[str],
        *,
        file: str,
        path: str = "",
        pattern: str = "",
    ) -> None:
        """`path` is where the table stands, `pattern` the same as `bounds.py` spells it."""
        self._content = content
        self._mistakes = mistakes
        self._file = file
        self._path = path
        self._pattern = pattern
        self._asked: list[str] = []
        self._faulty: set[str] = set()

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key the table holds, in the order of the file."""
        return tuple(self._content)

    def note(self, key: str, what: str) -> None:
        """Note a mistake at a key, or with an empty key at the table itself."""
        self._faulty.add(key)
        place = f"{self._path}.{key}" if self._path and key else self._path or key
        self._mistakes.append(f"{self._file}:{place}: {what}" if place else f"{self._file}: {what}")

    def is_sound(self, *keys: str) -> bool:
        """Whether no mistake was noted at any of these keys."""
        return self._faulty.isdisjoint(keys)

    def integer(self, key: str, *, bound_key: str | None = None) -> int:
        """A whole number within its bound, which is the one at `bound_key` when the key is any name."""
        bound = self._bound(bound_key or key)
        return self._within(key, bound, self._take(key, f"a whole number {_range(bound)}"))

    def integers(self, key: str) -> tuple[int, ...]:
        """An array of whole numbers, each within its bound, as many as the bound for their count allows."""
        each = self._bound(f"{key}[]")
        values = self._array(key, f"an array of whole numbers {_range(each)}")
        return tuple(
            self._within(key, each, value, place=f"[{at}]") for at, value in enumerate(values, start=1)
        )

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self._take(key, "true or false")
        if isinstance(value, bool):
            return value
        self._wrong_type(key, value, "true or false")
        return False

    def text(self, key: str, expected: str = "a string") -> str:
        """A string, without control characters and bidirectional overrides."""
        value = self._take(key, expected)
        if not isinstance(value, str):
            self._wrong_type(key, value, expected)
            return ""
        if not all(character.isprintable() or character in "\n\u200c\u200d" for character in value):
            self.note(key, "holds an invisible character; allowed: what one can see, spaces and new lines")
        return value

    def bounded_text(self, key: str, bound_key: str) -> str:
        """A string of a length within the bound at `bound_key`."""
        bound = self._bound(f"{bound_key} characters")
        value = self.text(key, f"a string of {bound.least} to {bound.most} characters")
        if self.is_sound(key) and not bound.least <= len(value) <= bound.most:
            self.note(key, f"has {len(value)} characters; allowed: {_range(bound)}")
        return value

    def choice(
        self,
        key: str,
        choices: type[Choice],
        refused: Mapping[str, str] | None = None,
        *,
        among: Sequence[Choice] | None = None,
    ) -> Choice:
        """One of a closed set, or of those `among` it; `refused` says of other values why they are not allowed."""
        held = tuple(choices) if among is None else among
        allowed = ", ".join(held)
        value = self._take(key, f"one of {allowed}")
        if isinstance(value, str) and value in held:
            return choices(value)
        if isinstance(value, str):
            reason = (refused or {}).get(value.strip().lower())
            because = f" ({reason})" if reason else ""
            self.note(key, f"{_quoted(value)} is not allowed; allowed: {allowed}{because}")
        else:
            self._wrong_type(key, value, f"one of {allowed}")
        return held[0]

    def choices(self, key: str, choices: type[Choice]) -> tuple[Choice, ...]:
        """An array of members of a closed set, each at most once; it may be empty."""
        allowed = ", ".join(choices)
        found: list[Choice] = []
        for value in self._array(key, f"an array of {allowed}"):
            if not isinstance(value, str) or value not in set(choices):
                shown = _quoted(value) if isinstance(value, str) else _kind(value)
                self.note(key, f"{shown} is not allowed; allowed: {allowed}")
            elif choices(value) in found:
                self.note(key, f"{_quoted(value)} stands there twice; allowed: each once")
            else:
                found.append(choices(value))
        return tuple(found)

    def table(self, key: str, expected: str = "a table", *, pattern: str | None = None) -> "Table":
        """The table at a key; an empty one that notes nothing when there is none."""
        value = self._take(key, expected)
        below = self._pattern + (pattern or key) + "."
        if isinstance(value, dict):
            path = f"{self._path}.{key}" if self._path else key
            return Table(value, self._mistakes, file=self._file, path=path, pattern=below)
        self._wrong_type(key, value, expected)
        return Table({}, [], file=self._file, pattern=below)

    def tables(self, key: str, *, named_by: str | None = None) -> tuple["Table", ...]:
        """The tables of an array; a path shows their position, or what they hold at `named_by`."""
        found = []
        for at, value in enumerate(self._array(key, "an array of tables"), start=1):
            if not isinstance(value, dict):
                self.note(key, f"entry {at} is {_kind(value)}; allowed: a table")
                continue
            name = value.get(named_by) if named_by else None
            label = name if isinstance(name, str) and re.fullmatch(r"[\w-]{1,40}", name) else str(at)
            path = f"{self._path}.{key}[{label}]" if self._path else f"{key}[{label}]"
            found.append(
                Table(value, self._mistakes, file=self._file, path=path, pattern=f"{self._pattern}{key}[].")
            )
        return tuple(found)

    def holds(self, key: str) -> bool:
        """Whether the key is there at all."""
        return key in self._content

    def may_hold(self, key: str) -> bool:
        """Whether a key is there that may be left out."""
        if key not in self._content:
            self._asked.append(key)
        return key in self._content

    def texts(self, key: str, expected: str = "an array of strings") -> tuple[str, ...]:
        """An array of strings, without control characters; it may be empty."""
        found = []
        for at, value in enumerate(self._array(key, expected), start=1):
            if isinstance(value, str) and value.isprintable():
                found.append(value)
            else:
                what = "holds an invisible character" if isinstance(value, str) else f"is {_kind(value)}"
                self.note(f"{key}[{at}]", f"{what}; allowed: a string one can see")
                self._faulty.add(key)
        return tuple(found)

    def plain_values(self, key: str) -> Mapping[str, object]:
        """A table as it stands: strings, whole numbers, fractions, true or false, and arrays and tables of these."""
        value = self._take(key, "a table")
        if not isinstance(value, dict):
            self._wrong_type(key, value, "a table")
            return {}
        for path, inner in _leaves(value):
            if not isinstance(inner, str | int | float) or (
                isinstance(inner, float) and not math.isfinite(inner)
            ):
                self.note(f"{key}.{path}", f"is {_kind(inner)}; allowed: a string, a number or true or false")
                self._faulty.add(key)
        return value

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._content:
            if key not in self._asked:
                self.note(_name(key), f"unknown key; allowed: {', '.join(self._asked)}")

    def _take(self, key: str, expected: str) -> object:
        self._asked.append(key)
        value = self._content.get(key, _MISSING)
        if value is _MISSING:
            self.note(key, f"missing; allowed: {expected}")
        return value

    def _array(self, key: str, expected: str) -> Iterable[object]:
        value = self._take(key, expected)
        if not isinstance(value, list):
            self._wrong_type(key, value, expected)
            return ()
        bound = self._entries_bound(key)
        if bound and not bound.least <= len(value) <= bound.most:
            self.note(key, f"has {len(value)} entries; allowed: {_range(bound)}")
        return value

    def _within(self, key: str, bound: Bound, value: object, place: str = "") -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_type(key, value, f"a whole number {_range(bound)}", place)
            return bound.least
        if not bound.least <= value <= bound.most:
            self._faulty.add(key)
            side = "too little" if value < bound.least else "too much"
            self.note(key + place, f"{_quoted(value)} is {side}; allowed: {_range(bound)}")
        return value

    def _wrong_type(self, key: str, value: object, expected: str, place: str = "") -> None:
        if value is not _MISSING:
            self._faulty.add(key)
            self.note(key + place, f"is {_kind(value)}; allowed: {expected}")

    def _bound(self, key: str) -> Bound:
        return bound_for(self._file, self._pattern + key)

    def _entries_bound(self, key: str) -> Bound | None:
        try:
            return self._bound(f"{key} entries")
        except KeyError:
            return None


def read_file(path: Path, mistakes: list[str]) -> tuple[Table, dict[str, object]]:
    """A policy file as a table and as it was parsed; an empty one that notes nothing if it is unreadable."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        content = tomllib.loads(raw.decode()) if len(raw) <= MOST_BYTES else None
    except FileNotFoundError:
        mistakes.append(f"{path.name}: missing; every policy needs this file")
    except OSError as error:
        mistakes.append(f"{path.name}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        mistakes.append(f"{path.name}: is not UTF-8 (byte {error.start}); allowed: TOML 1.0 in UTF-8")
    except RecursionError:
        mistakes.append(f"{path.name}: is nested too deeply")
    except ValueError as error:
        mistakes.append(f"{path.name}: is not TOML 1.0: {error}")
    else:
        if content is not None:
            return Table(content, mistakes, file=path.name), content
        mistakes.append(f"{path.name}: is too large; allowed: {MOST_BYTES} bytes")
    return Table({}, [], file=path.name), {}


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value in tables and arrays, with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{_name(key)}" if path else _name(key))
    elif isinstance(value, list):
        for at, inner in enumerate(value, start=1):
            yield from _leaves(inner, f"{path}[{at}]")
    else:
        yield path, value


def _range(bound: Bound) -> str:
    return f"{bound.least} to {bound.most} ({bound.article})"


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a fraction",
        str: "a string",
        list: "an array",
    }
    return names.get(type(value), "a table" if isinstance(value, dict) else "a date or time")


def _quoted(value: str | int) -> str:
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_LONGEST_QUOTE else "a number of more than 40 digits"
    shown = value if len(value) <= _LONGEST_QUOTE else value[:_LONGEST_QUOTE] + "…"
    return f'"{_name(shown)}"'


def _name(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[: _LONGEST_QUOTE + 1])
