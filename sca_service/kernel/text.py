"""Text that a person will read: names and references, cleaned of everything that shows other than it is."""

import re
import unicodedata
from typing import Final

from sca_service.kernel.errors import InvalidInput

_REFUSED_CATEGORIES: Final = {
    "Cc": "must not hold control characters or line breaks",
    "Cf": "must not hold invisible or text-direction characters",
    "Cs": "must not hold unpaired surrogates",
    "Co": "must not hold private-use characters",
    "Cn": "must not hold unassigned characters",
    "Zl": "must not hold line or paragraph separators",
    "Zp": "must not hold line or paragraph separators",
}

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing (Unicode Default_Ignorable_Code_Point, and the blank Braille cell)."""

_NON_JOINER: Final = "\u200c"
_JOINER: Final = "\u200d"
_VIRAMA_CLASS: Final = 9
_ARABIC_LETTERS: Final = re.compile("[\u0620-\u063f\u0641-\u064a\u066e-\u066f\u0671-\u06d3\u06fa-\u06fc]")

_MOST_RAW_PER_CLEAN: Final = 4
"""NFC shortens text (a Hangul syllable from 3 to 1), so raw text may be longer, but not without bound."""


def clean_text(value: str, *, pointer: str, most: int) -> str:
    """`value` in NFC without spaces around it: what is compared, signed and shown.

    Raises `InvalidInput` at `pointer` for text that is empty, has over `most` code points, begins with a
    combining mark (which would change the text before it), or holds what a reader cannot see for what it is:
    control and format characters, line breaks, text direction, invisible letters, unpaired surrogates,
    private-use and unassigned code points.

    One exception: the joiners U+200C and U+200D where writing needs them, that is directly after a letter and
    its virama, or between a letter and a virama (Indic scripts; RFC 5892 A.1 and A.2), and U+200C between two
    Arabic letters (Persian).
    """
    is_plain = value.isascii() and value.isprintable() and value == value.strip()
    if is_plain and 0 < len(value) <= most:  # as nearly all text is: each rule below lets it through as it is
        return value
    if len(value) > _MOST_RAW_PER_CLEAN * most:
        raise InvalidInput.at(pointer, f"must have at most {most} characters")
    text = unicodedata.normalize("NFC", value)
    fault = _fault(text)
    if fault:
        raise InvalidInput.at(pointer, fault)
    text = text.strip()
    if not text:
        raise InvalidInput.at(pointer, "must not be empty")
    if unicodedata.category(text[0]).startswith("M"):
        raise InvalidInput.at(pointer, "must not begin with a combining mark")
    if len(text) > most:
        raise InvalidInput.at(pointer, f"must have at most {most} characters")
    return text


def _fault(text: str) -> str | None:
    """What a reader could not see, if anything."""
    if not text.isprintable():
        for place, character in enumerate(text):
            refusal = _REFUSED_CATEGORIES.get(unicodedata.category(character))
            if refusal and not _is_needed_joiner(text, place):
                return refusal
    if _INVISIBLE.search(text):
        return _REFUSED_CATEGORIES["Cf"]
    return None


def _is_needed_joiner(text: str, place: int) -> bool:
    """Whether the character at `place` is a joiner where the script needs one."""
    character, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if character not in {_JOINER, _NON_JOINER} or not before:
        return False
    if unicodedata.combining(before) == _VIRAMA_CLASS:
        return place > 1 and text[place - 2].isalpha()
    if not after or not before.isalpha():
        return False
    if unicodedata.combining(after) == _VIRAMA_CLASS:
        return True
    return character == _NON_JOINER and all(_ARABIC_LETTERS.fullmatch(letter) for letter in (before, after))
