"""Texts: each of them is told by language, occasion and rendering when it would mislead a payer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import mistakes

Edit = Callable[[str, str, str], list[str]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'shown = "{amount} to {payee}"',
            'shown = "{amount} to {paye}"',
            "en.payment.shown: there is no placeholder {paye}; allowed: {amount}, {payee}",
        ),
        ('shown = "{amount} to {payee}"', 'shown = "{amount"', "en.payment.shown: a brace stands alone"),
        ('shown = "{amount} to {payee}"', "", "en.payment.shown: missing; allowed: a string of 1 to 480"),
        (
            'shown = "{amount} to {payee}"',
            'shown = ""',
            "en.payment.shown: has 0 characters; allowed: 1 to 480",
        ),
        (
            'shown = "{amount} to {payee}"',
            "shown = 1",
            "en.payment.shown: is a whole number; allowed: a string",
        ),
        (
            'shown = "{amount} to {payee}"',
            'shown = "{amount} an \\u202e{payee}"',
            "en.payment.shown: holds an invisible character",
        ),
        (
            'shown = "up to {amount} to {payee}"',
            'shown = "{amount} to {payee}"',
            "en.preauthorisation.shown: reads the same as payment.shown; allowed: a text that tells the two",
        ),
        (
            'shown = "Login to your bank. This is not a payment."',
            'shown = "Login. {amount}"',
            "en.login.shown: must not hold {amount} (OWASP Transaction Authorization Cheat Sheet 1.4",
        ),
        (
            'warning = "Never share this code with anyone, not even bank staff."',
            'warning = "Never share {code}."',
            "en.warning: holds a brace; allowed: a sentence without placeholders",
        ),
        (
            'payee_spoken = "{name}, account ending in {tail}"',
            'payee_spoken = "{name}"',
            "en.payee_spoken: needs {tail} (RTS Art. 5(1)(a)",
        ),
    ],
)
def test_a_text_that_misleads_is_a_mistake(edit: Edit, old: str, new: str, expected: str) -> None:
    """Each text is told by language, occasion and rendering."""
    found = edit("texts.toml", old, new)
    assert len(found) == 1
    assert found[0].startswith(f"texts.toml:{expected}")


def test_a_language_without_an_occasion_is_a_mistake(edit: Edit) -> None:
    """A payer of that language could not be told what the code is for."""
    found = edit("texts.toml", "[it.batch]", "[it.bach]")
    assert found == [
        "texts.toml:it.batch: missing; allowed: a table with shown, sms, voice, push",
        "texts.toml:it.bach: unknown key; allowed: warning, payee_spoken, login, account_access, payment, "
        "preauthorisation, batch, enrolment, other",
    ]


def test_a_language_in_two_spellings_is_a_mistake(folder: Path) -> None:
    """Which of the two a payer got would depend on their order."""
    path = folder / "texts.toml"
    content = path.read_text(encoding="utf-8").replace("[it", "[de-AT").replace("[hi", "[de-at")
    path.write_text(content, encoding="utf-8")
    assert mistakes(folder) == [
        "texts.toml:de-at: is a language of this file already, in another spelling; "
        "allowed: every language once"
    ]


def test_texts_without_any_language_are_a_mistake(folder: Path) -> None:
    """There is no default without a language to be it."""
    (folder / "texts.toml").write_text('default_language = "en"\n', encoding="utf-8")
    assert mistakes(folder) == [
        "texts.toml:default_language: is none of the languages in this file; "
        "allowed: a language that has texts in this file"
    ]
