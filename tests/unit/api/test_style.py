"""The style sheet of the pages: self-contained, and readable in both colour schemes."""

import re
from pathlib import Path

import pytest

from sca_service import api

STYLE = (Path(api.__file__).parent / "static/style.css").read_text()


def test_the_style_sheet_loads_nothing() -> None:
    """The style sheet names no file, font or address; everything it needs stands in it."""
    assert not re.search(r"url\(|@import|@font-face|//", STYLE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back"),
    [
        ("ink", "paper"),
        ("ink", "wash"),
        ("ink", "accent-wash"),
        ("soft", "paper"),
        ("soft", "wash"),
        ("accent", "paper"),
        ("accent", "wash"),
        ("accent", "accent-wash"),
        ("paper", "accent"),
    ],
)
def test_text_is_readable_in_both_colour_schemes(scheme: str, front: str, back: str) -> None:
    """Every pair of colours that carries text has the contrast that WCAG 2.2 1.4.3 asks for at level AA, 4.5 to 1."""
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in STYLE.split("@media", 2)[:2]
    )
    colours = light if scheme == "light" else dark
    bright, dim = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
