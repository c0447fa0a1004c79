"""Texts that clients write themselves."""

import pytest

from sca_service.delivery.own_text import OwnText
from sca_service.delivery.render import own_message
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret


def test_the_code_takes_each_of_its_places() -> None:
    """And is shown in none of them where there is to be no code."""
    text = OwnText.parse("{{code}}, again {{code}}")

    assert own_message(text, Secret("123456")).reveal() == "123456, again 123456"
    assert text.shown == "…, again …"


def test_a_repr_shows_nothing() -> None:
    """A text may name a payer."""
    assert "Anna" not in repr(OwnText.parse("Anna: {{code}}"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{{code}}" + "x" * 152, 1),
        ("{{code}}" + "€" * 77, 1),
        ("{{code}}" + "€" * 78, 2),
        ("{{code}}" + "안" * 64, 1),
        ("{{code}}" + "안" * 65, 2),
        ("{{code}}" + "안" * 152, 3),
    ],
)
def test_parts_are_counted_with_the_code(text: str, parts: int) -> None:
    """In the GSM alphabet 160 septets in one part and 153 in each of more; in UCS-2 70 and 67 characters."""
    assert OwnText.parse(text).segments(6) == parts


@pytest.mark.parametrize(
    "text",
    ["", "{{code}", "no place", "x" * 153 + "{{code}}", "{{code}}\r", "{{code}}\u200b", "\u0301{{code}}"],
)
def test_what_is_no_such_text_is_refused(text: str) -> None:
    """Without a place for the code, over 160 characters, or with what a reader cannot see."""
    with pytest.raises(InvalidInput):
        OwnText.parse(text)
