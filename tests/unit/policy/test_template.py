"""Templates: taken apart at load, filled in one pass."""

import pytest

from sca_service.policy.template import Placeholder, Template, mistakes_in, parse


def test_a_text_falls_into_literals_and_placeholders() -> None:
    """The parts keep their order, and nothing empty is kept."""
    assert parse("{amount} to {payee}").parts == (Placeholder.AMOUNT, " to ", Placeholder.PAYEE)
    assert parse("no placeholder").parts == ("no placeholder",)
    assert parse("").parts == ()


def test_placeholders_are_told_in_their_order_and_as_often_as_they_stand() -> None:
    """The rules about what comes first and what is said twice rely on it."""
    held = parse("{amount}: {code}, again {code}").placeholders
    assert held == (Placeholder.AMOUNT, Placeholder.CODE, Placeholder.CODE)


@pytest.mark.parametrize("name", ["{code}", "%s", "{{7*7}}", "%(code)s", "{0}", "$code", "\\1", "{", "}"])
def test_what_is_filled_in_is_not_looked_at_again(name: str) -> None:
    """A payee whose name looks like a placeholder is shown by that name."""
    filled = parse("{payee}: {code}").fill({Placeholder.PAYEE: name, Placeholder.CODE: "693554"})
    assert filled == f"{name}: 693554"


def test_a_placeholder_without_a_value_is_an_error() -> None:
    """No message leaves with a hole in it."""
    with pytest.raises(KeyError):
        parse("{amount}").fill({})


def test_a_settled_placeholder_is_literal() -> None:
    """The warning of a language becomes part of the text."""
    settled = parse("{code}. {warning}").with_literal(Placeholder.WARNING, "Never share {code}.")
    assert settled.placeholders == (Placeholder.CODE,)
    assert settled.fill({Placeholder.CODE: "693554"}) == "693554. Never share {code}."


def test_every_mistake_of_a_text_is_found() -> None:
    """Two unknown placeholders and a lonely brace are three mistakes."""
    found = mistakes_in("{ammount} {} } {code}")
    assert found == [
        "there is no placeholder {ammount}",
        "there is no placeholder {}",
        "a brace stands alone; braces are for placeholders only",
    ]


@pytest.mark.parametrize("text", ["{amount", "amount}", "{{amount}}", "{Amount}", "{amount }", "{amount!r}"])
def test_what_is_not_exactly_a_placeholder_is_refused(text: str) -> None:
    """No text is half understood."""
    with pytest.raises(ValueError, match="placeholder"):
        parse(text)


def test_equal_texts_are_equal_templates() -> None:
    """Texts that read alike are found by comparing templates."""
    assert parse("Code {code}") == parse("Code {code}") == Template(("Code ", Placeholder.CODE))
