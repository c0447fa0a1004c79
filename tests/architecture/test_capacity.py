"""The page on capacity says what its figures come to."""

import tomllib

from loadtests.capacity import FIGURES, PAGE, page


def test_the_page_is_what_the_figures_come_to() -> None:
    """Nobody edits it by hand, and no figure changes without it."""
    assert PAGE.read_text("utf-8") == page(tomllib.loads(FIGURES.read_text("utf-8")))


def test_more_asked_for_takes_more() -> None:
    """The page is computed: twice the peak asks for other machines."""
    figures = tomllib.loads(FIGURES.read_text("utf-8"))
    asked = figures["load"] | {"peak_per_second": figures["load"]["peak_per_second"] * 2}
    assert page(figures | {"load": asked}) != page(figures)
