"""Names and references: what a reader sees is what is there."""

import sys
import unicodedata

import pytest

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.text import clean_text


def clean(value: str, most: int = 70) -> str:
    """The value as a payee's name."""
    return clean_text(value, pointer="/name", most=most)


def assert_refused(value: str, most: int = 70) -> None:
    """The value is refused where it stands, and the error does not show it."""
    with pytest.raises(InvalidInput) as caught:
        clean(value, most)
    (mistake,) = caught.value.mistakes
    assert mistake.pointer == "/name"
    assert "ACME" not in mistake.detail


@pytest.mark.parametrize(
    "name",
    [
        *(
            "ACME GmbH",
            "{code}",
            "%s",
            "%(code)s",
            "{{7*7}}",
            "${7*7}",
            "<script>",
            "'; DROP TABLE x; --",
            "a\\nb",
        ),
        *(
            "Łódź Café №5",
            "株式会社 山田",
            "شركة النور",
            "חברה בע״מ",
            "ООО Ромашка",
            "☕ Kaffee",
            "𝕏 Corp",
            "O’Neill",
        ),
        *("आधार ट्रेडर्स", "ศูนย์การค้า"),
    ],
)
def test_names_pass_unchanged(name: str) -> None:
    """Every script passes, and so does text that means something to a machine."""
    assert clean(name) == name


def test_text_is_composed_and_stripped() -> None:
    """Two encodings of one visible text become one; spaces around it, wide ones too, go."""
    assert clean("Cafe\u0301") == "Café"
    assert clean(" \u00a0\u3000ACME GmbH \u2003") == "ACME GmbH"
    assert clean("ACME  GmbH") == "ACME  GmbH"


@pytest.mark.parametrize("value", ["", " ", "\u00a0\u3000", "\u2800", "\u3164"])
def test_what_shows_nothing_is_refused(value: str) -> None:
    """Spaces, a blank Braille cell and a Hangul filler are no name."""
    assert_refused(value)


@pytest.mark.parametrize(
    "character",
    [
        *(
            "\x00",
            "\x07",
            "\x1b",
            "\x1f",
            "\n",
            "\r",
            "\t",
            "\x0b",
            "\x0c",
            "\x1c",
            "\x7f",
            "\x80",
            "\x85",
            "\x9f",
        ),
        *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"),
        *(
            "\u200e",
            "\u200f",
            "\u061c",
            "\u200b",
            "\u2060",
            "\u2064",
            "\ufeff",
            "\u00ad",
            "\u180e",
            "\U000e0041",
        ),
        *("\u2028", "\u2029", "\ud800", "\udfff", "\ue000", "\U000f0000", "\ufdd0", "\uffff", "\u0378"),
        *("\u034f", "\u115f", "\u1160", "\u17b4", "\u180b", "\ufe0f", "\uffa0", "\U000e0100"),
    ],
)
def test_what_a_reader_cannot_see_is_refused(character: str) -> None:
    """Control, direction, invisible, separator, surrogate, private and unassigned characters, anywhere."""
    assert_refused(f"AC{character}ME")
    assert_refused(f"{character}ACME")
    assert_refused(f"ACME{character}")


def test_every_code_point_of_a_refused_category_is_refused() -> None:
    """No control, format, surrogate, private, unassigned or line-separating character slips through."""
    refused = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    samples = [
        chr(point)
        for point in [*range(0x0, 0xE000), *range(0xF900, 0x11000), *range(0xE0000, 0xE0200), sys.maxunicode]
        if unicodedata.category(chr(point)) in refused
    ]
    assert len(samples) > 4000
    passed = [sample for sample in samples if _passes(f"AC{sample}ME")]
    assert passed == []


def _passes(value: str) -> bool:
    try:
        clean(value)
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        "क्\u200dष ट्रेडर्स",
        "क्\u200cष",
        "ශ්\u200dරී ලංකා",
        "র\u200d্যাব",
        "അവന്\u200d ട്രേഡേഴ്സ്",
        "می\u200cخواهم",
    ],
)
def test_joiners_pass_where_the_script_needs_them(name: str) -> None:
    """Hindi, Sinhala, Bengali and Malayalam join at a virama, Persian parts letters."""
    assert clean(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "AC\u200dME",
            "AC\u200cME",
            "\u200dACME",
            "ACME\u200d",
            "क\u200dष",
            "क \u200dष",
            "\u200d\u094d",
            "\u094d\u200d",
        ),
        *(
            "क्\u200d\u200dष",
            "خ\u200dم",
            "خ\u200cA",
            "\u200cخ",
            "خ\u200c",
            "\U0001f468\u200d\U0001f469",
            "A \u094d\u200d",
        ),
    ],
)
def test_joiners_elsewhere_are_refused(value: str) -> None:
    """Between other letters a joiner is invisible: two names would look alike."""
    assert_refused(value)


@pytest.mark.parametrize("value", ["\u0338ACME", " \u0301ACME", "\u20ddACME", "\u0903ACME"])
def test_a_combining_mark_at_the_beginning_is_refused(value: str) -> None:
    """It would strike through or dress up what stands before the name in the message."""
    assert_refused(value)


def test_length_counts_code_points_of_the_clean_text() -> None:
    """Spaces around and decomposed letters do not count, anything above the limit is refused."""
    assert clean("x" * 70) == "x" * 70
    assert clean(f" {'x' * 70} ") == "x" * 70
    assert clean("e\u0301" * 70) == "é" * 70
    assert clean("𝕏" * 70) == "𝕏" * 70
    assert_refused("x" * 71)
    assert_refused("𝕏" * 71)
    assert_refused("x" + "\u0328\u0323" * 1_000_000)
