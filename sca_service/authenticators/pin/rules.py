"""Which PINs there are, and which of them anybody would guess first (RTS Art. 6(1)). Pure."""

import re
from typing import Final

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret

SHORTEST: Final = 4
"""ISO 9564-1: a PIN has at least 4 digits. A policy may ask for more."""

LONGEST: Final = 12
"""ISO 9564-1: a PIN has at most 12 digits."""

_RUN_UP: Final = "0123456789" * 3
"""Every run of up to 12 digits stands in it: behind a 9 it goes on with 0."""

_RUN_DOWN: Final = _RUN_UP[::-1]

_KEYPAD_LINES: Final = re.compile(
    "(?:123|456|789|147|258|369|159|357|2580|321|654|987|741|852|963|951|753|0852)+"
)
"""Rows, columns and diagonals of a keypad, each from either end; nothing but such lines."""

_YEAR: Final = re.compile("(?:19|20)[0-9]{2}")

_MOST_USED: Final = frozenset(
    {
        *("1234", "1111", "0000", "1212", "7777", "1004", "2000", "4444", "2222", "6969"),
        *("9999", "3333", "5555", "6666", "1122", "1313", "8888", "4321", "2001", "1010"),
        *("2580", "5683", "0852", "1998"),
        *("123456", "654321", "111111", "000000", "123123", "666666", "121212", "112233", "789456", "159753"),
    }
)
"""What studies of leaked PINs find most often, whole, so that it can be held against them.

First the twenty of N. Berry, "PIN analysis", DataGenetics 2012; then what the tens of Ph. Markert et al., "This PIN Can
Be Easily Guessed", IEEE Symposium on Security and Privacy 2020, add to it: four of four digits, ten of six. Most of
them fall under a rule as well.
"""


def parse_pin(text: str, *, shortest: int = SHORTEST, longest: int = LONGEST) -> Secret[str]:
    """A PIN of `shortest` to `longest` ASCII digits. Raises InvalidInput (pointer `""`), which never repeats it.

    Other digits that Unicode knows, spaces, line ends and separators are refused: one PIN has one spelling.
    """
    if not shortest <= len(text) <= longest or not text.isascii() or not text.isdigit():
        raise InvalidInput.at("", f"must be {shortest} to {longest} ASCII digits")
    return Secret(text)


def is_trivial(pin: Secret[str]) -> bool:
    """Whether a thief would try this PIN among the first (NIST SP 800-63B-4 section 3.1.1.2, blocklists).

    One digit or a shorter row over and over (7777, 1212, 123123), each digit twice (1122), a run up or down that may
    go on behind 9 or 0 (7890), a run and back (1221, 12321), lines of a keypad (2580, 789456), a year from 1900 to
    2099, and what is known to be used most.
    """
    digits = pin.reveal()
    return (
        digits in (digits + digits)[1:-1]  # true of a row over and over, and of nothing else
        or digits[::2] == digits[1::2]
        or _is_run(digits)
        or (digits == digits[::-1] and _is_run(digits[: (len(digits) + 1) // 2]))
        or _KEYPAD_LINES.fullmatch(digits) is not None
        or _YEAR.fullmatch(digits) is not None
        or digits in _MOST_USED
    )


def refuse_trivial(pin: Secret[str], pointer: str) -> None:
    """Raise InvalidInput at `pointer` (RFC 6901) for a trivial PIN; the text tells neither the PIN nor the rule."""
    if is_trivial(pin):
        raise InvalidInput.at(pointer, "must not be a PIN that is easily guessed")


def _is_run(digits: str) -> bool:
    return digits in _RUN_UP or digits in _RUN_DOWN
