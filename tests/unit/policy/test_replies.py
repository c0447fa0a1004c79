"""Replies: one word, in any writing, and never a word within a sentence."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.policy.load import load
from sca_service.policy.replies import Meaning, Replies, bare_word

Edit = Callable[[str, str, str], list[str]]


@pytest.fixture(scope="module")
def replies(shipped: Path) -> Replies:
    """The words that the service is shipped with."""
    return load(shipped).texts.replies


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("NO", Meaning.DECLINE),
        ("no", Meaning.DECLINE),
        ("No.", Meaning.DECLINE),
        ("  NO!!! ", Meaning.DECLINE),
        ("\u201eNein\u201c", Meaning.DECLINE),
        ("ＮＯ", Meaning.DECLINE),
        ("N\u200bO", Meaning.DECLINE),
        ("NON", Meaning.DECLINE),
        ("No \U0001f621\ufe0f", Meaning.DECLINE),
        ("NÖ", Meaning.DECLINE),
        ("NO\u0308", Meaning.DECLINE),
        ("नहीं", Meaning.DECLINE),
        ("नहीं।", Meaning.DECLINE),
        ("STOP", Meaning.OPT_OUT),
        ("stopp", Meaning.OPT_OUT),
        ("STOPALL", Meaning.OPT_OUT),
        ("Stop all.", Meaning.OPT_OUT),
        ("opt-out", Meaning.OPT_OUT),
        ("ARRÊT", Meaning.OPT_OUT),
        ("Arret", Meaning.OPT_OUT),
        ("UNSUBSCRIBE", Meaning.OPT_OUT),
        ("END", Meaning.OPT_OUT),
        ("QUIT", Meaning.OPT_OUT),
        ("Abmelden", Meaning.OPT_OUT),
        ("बंद करें", Meaning.OPT_OUT),
        ("START", Meaning.OPT_IN),
        ("unstop", Meaning.OPT_IN),
        ("शुरू", Meaning.OPT_IN),
    ],
)
def test_a_word_means_what_the_policy_says(replies: Replies, text: str, meaning: Meaning) -> None:
    """In any case, width and punctuation, and whatever a keyboard adds."""
    assert replies.meaning(text) is meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!?",
        "HELP",
        "INFO",
        "YES",
        "693554",
        "N",
        "no way",
        "Nobody",
        "I did not say no",
        "Please do not stop",
        "nonstop",
        "no\nstop",
        "NO" + " " * 200,
        "न",
        "\ud800",
        "\x00",
    ],
)
def test_anything_else_means_nothing(replies: Replies, text: str) -> None:
    """A sentence is for people, and nobody reads it here."""
    assert replies.meaning(text) is None


@pytest.mark.parametrize("language", ["en", "de", "it", "hi"])
def test_every_language_has_words_for_everything(shipped: Path, replies: Replies, language: str) -> None:
    """Each as the file spells it; nobody has to know another language."""
    content = (shipped / "texts.toml").read_text(encoding="utf-8")
    section = content.split(f"[{language}.replies]\n")[1].split("\n\n")[0]
    for meaning in Meaning:
        (line,) = [line for line in section.splitlines() if line.startswith(f"{meaning} = ")]
        words = line.split('"')[1::2]
        assert words
        assert {replies.meaning(word) for word in words} == {meaning}


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_unicode_form_is_one_word(form: str) -> None:
    """Handsets differ in how they write a letter with a mark."""
    for word in ("NÖ", "ARRÊT", "नहीं", "बंद करें"):
        assert bare_word(unicodedata.normalize(form, word)) == bare_word(word)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            '"NICHT ICH"',
            '"stop"',
            'de.replies.decline: "stop" is opt_out already; allowed: one meaning for a word in all languages',
        ),
        (
            'decline = ["NEIN", "NÖ", "NICHT ICH", "ABLEHNEN"]',
            "decline = []",
            "de.replies.decline: has 0 entries; allowed: 1 to 50",
        ),
        (
            '"NICHT ICH"',
            '"N"',
            "de.replies.decline: holds a word of 1; allowed: 2 to 24 letters or digits",
        ),
        (
            '"NICHT ICH"',
            f'"{"N" * 25}"',
            "de.replies.decline: holds a word of 25; allowed: 2 to 24 letters or digits",
        ),
        ('"NICHT ICH"', "1", "de.replies.decline[3]: is a whole number"),
        ("[de.replies]\n", '[de.replies]\nhelp = ["HILFE"]\n', "de.replies.help: unknown key"),
        (
            "[de.replies]\n",
            "[de.answers]\n",
            "de.replies: missing; allowed: a table with decline, opt_out, opt_in",
        ),
    ],
)
def test_words_that_are_none_are_a_mistake(edit: Edit, old: str, new: str, expected: str) -> None:
    """Each is told by its language and meaning."""
    found = edit("texts.toml", old, new)
    assert found[0].startswith(f"texts.toml:{expected}")
