"""Texts: each of them is told by language, occasion and rendering when it would mislead a payer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import load, mistakes

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
        "texts.toml:it.bach: unknown key; allowed: warning, payee_spoken, replies, login, account_access, payment, "
        "preauthorisation, batch, enrolment, other, notices",
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
    (folder / "texts.toml").write_text('default_language = "en"\nmost_sms_segments = 3\n', encoding="utf-8")
    assert mistakes(folder) == [
        "texts.toml:default_language: is none of the languages in this file; "
        "allowed: a language that has texts in this file"
    ]


@pytest.mark.parametrize(
    ("autofill", "expected"),
    [
        (
            "[autofill]\n",
            "autofill: fills in nothing; allowed: domain, android_hash or both, or no such table",
        ),
        ('autofill = "bank.example"\n', "autofill: is a string; allowed: a table"),
        ('[autofill]\ndomain = "https://bank.example"\n', "autofill.domain: is no host name"),
        ('[autofill]\ndomain = "bank.example #1"\n', "autofill.domain: is no host name"),
        ('[autofill]\ndomain = "Bank.example"\n', "autofill.domain: is no host name"),
        ('[autofill]\ndomain = "bank"\n', "autofill.domain: is no host name"),
        ('[autofill]\ndomain = "-bank.example"\n', "autofill.domain: is no host name"),
        ('[autofill]\ndomain = "bank.example\\n"\n', "autofill.domain: is no host name"),
        ('[autofill]\ndomain = ""\n', "autofill.domain: has 0 characters; allowed: 4 to 64"),
        (f'[autofill]\ndomain = "{"a" * 61}.bank"\n', "autofill.domain: has 66 characters; allowed: 4 to 64"),
        ('[autofill]\nandroid_hash = "FA+9qCX9VS"\n', "autofill.android_hash: has 10 characters"),
        ('[autofill]\nandroid_hash = "FA+9qCX9VS="\n', "autofill.android_hash: is no such hash"),
        ('[autofill]\nandroid_hash = "FA+9 qCX9VS"\n', "autofill.android_hash: is no such hash"),
        (
            '[autofill]\ndomain = "bank.example"\nandroid_prefix = true\n',
            "autofill.android_prefix: stands without an app to find; allowed: with android_hash only",
        ),
        (
            '[autofill]\nandroid_hash = "FA+9qCX9VSu"\nandroid_prefix = "<#>"\n',
            "autofill.android_prefix: is a string; allowed: true or false",
        ),
        (
            '[autofill]\nios_domain = "bank.example"\n',
            "autofill.ios_domain: unknown key; allowed: domain, android",
        ),
    ],
)
def test_autofill_that_fills_in_nothing_is_a_mistake(edit: Edit, autofill: str, expected: str) -> None:
    """A last line that no handset understands would cost septets for nothing."""
    found = edit("texts.toml", "\nmost_sms_segments = 3\n", f"\nmost_sms_segments = 3\n{autofill}")
    assert len(found) == 1
    assert found[0].startswith(f"texts.toml:{expected}")


@pytest.mark.parametrize(
    "autofill",
    [
        'domain = "bank.example"',
        'domain = "login.xn--bnk-ula.example"',
        'android_hash = "FA+9qCX9VSu"',
        'domain = "bank.example"\nandroid_hash = "FA+9qCX9VSu"\nandroid_prefix = true',
    ],
)
def test_autofill_is_read(edit: Edit, folder: Path, autofill: str) -> None:
    """Either, or both: the hash then stands behind the code on the last line."""
    assert not edit(
        "texts.toml", "\nmost_sms_segments = 3\n", f"\nmost_sms_segments = 3\n[autofill]\n{autofill}\n"
    )
    held = load(folder).texts.autofill
    assert held.domain in autofill
    assert held.android_hash in autofill
    assert held.android_prefix is ("android_prefix" in autofill)
