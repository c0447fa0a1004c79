"""Notices of texts.toml: the same in every language, with the same to fill in, and the warning without a number."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.delivery.gsm import segments
from sca_service.policy.load import load
from sca_service.policy.model import Channel
from sca_service.policy.notices import BANK, LINE_REPLACED, NoticeText, is_notice_name, mistakes_in_notice

Edit = Callable[[str, str, str], list[str]]


def test_every_shipped_language_warns_a_replaced_line(shipped: Path) -> None:
    """Over every channel, naming the bank, in two parts of an SMS at most, without anything to fill in."""
    policy = load(shipped)
    for language in policy.texts.languages:
        notice = language.notices[LINE_REPLACED]
        assert notice.variables == frozenset()
        texts = {one: notice.over(one).fill({BANK: "A bank"}) for one in Channel if one is not Channel.EMAIL}
        assert all("A bank" in text for text in texts.values())
        assert segments(texts[Channel.SMS]) <= 2
        assert texts[Channel.RCS] == texts[Channel.WHATSAPP] == texts[Channel.SMS]
        with pytest.raises(ValueError, match="e-mail"):
            notice.over(Channel.EMAIL)


def test_what_is_filled_in_is_never_looked_at_again() -> None:
    """A merchant called `{bank}` is a merchant called `{bank}`."""
    text = NoticeText.parse("{merchant}, {amount}: {bank}")
    assert text.variables == {"merchant", "amount"}
    assert text.fill({"merchant": "{bank}", "amount": "{x}", BANK: "B"}) == "{bank}, {x}: B"
    with pytest.raises(KeyError):
        text.fill({"merchant": "M", BANK: "B"})


@pytest.mark.parametrize(
    "text",
    [
        "Call 110.",
        "Call ١١٠.",
        "See bank.example.",
        "See https://bank",
        "See WWW.bank",
        "{code}",
        "{bank",
        "bank}",
        "{Bank}",
        "{}",
        "{a b}",
    ],
)
def test_a_warning_holds_words_and_the_bank_only(text: str) -> None:
    """Whoever is warned is not to learn to call a number or to follow a link of a message."""
    assert mistakes_in_notice(LINE_REPLACED, text) != []


@pytest.mark.parametrize("text", ["Your number was changed. Call {bank}.", "A - b, c: d; e! {bank}{bank}"])
def test_a_warning_of_words_is_none(text: str) -> None:
    """Full stops are no links."""
    assert mistakes_in_notice(LINE_REPLACED, text) == []


def test_other_notices_may_hold_numbers() -> None:
    """They are what a client sends."""
    assert mistakes_in_notice("opening", "Open from 9 to 17: bank.example {where}") == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [("a", True), ("upcoming_charge2", True), ("A", False), ("", False), ("2a", False), ("a-b", False)],
)
def test_a_name_is_of_small_letters(text: str, fits: bool) -> None:
    """At most 32 of them."""
    assert is_notice_name(text) is fits
    assert is_notice_name("a" * 32) and not is_notice_name("a" * 33)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[it.notices.upcoming_charge]", "[it.notices.charge]", "it.notices: lacks upcoming_charge"),
        (
            "[hi.notices.line_replaced]",
            "[hi.notices.other]",
            "hi.notices.line_replaced: missing; allowed: a table with sms, voice, push",
        ),
        (
            "[en.notices.upcoming_charge]\nsms",
            "[en.notices.upcoming_charge]\ntext",
            "en.notices.upcoming_charge.sms: missing",
        ),
        (
            "{merchant} wird am {date} {amount} abbuchen. Das Guthaben Ihrer Karte wird nicht reichen. Laden",
            "{merchant} wird bald {amount} abbuchen. Das Guthaben Ihrer Karte wird nicht reichen. Laden",
            "de.notices.upcoming_charge.",
        ),
        (
            'No more codes come to this number. If this was not you, call your bank at once."\nvoice',
            'If this was not you, call 110."\nvoice',
            "en.notices.line_replaced.sms: holds a number or a link",
        ),
    ],
)
def test_a_notice_that_does_not_fit_is_a_mistake(
    folder: Path, edit: Edit, old: str, new: str, expected: str
) -> None:
    """Told by language, notice and rendering."""
    path = folder / "texts.toml"
    content = path.read_text("utf-8")
    if content.count(old) > 1:  # the same words in another rendering
        first = content.index(old)
        path.write_text(content[:first] + new + content[first + len(old) :], "utf-8")
        found = edit("texts.toml", "[en.notices.line_replaced]", "[en.notices.line_replaced]")
    else:
        found = edit("texts.toml", old, new)
    assert any(one.startswith(f"texts.toml:{expected}") for one in found), found
