"""Reads texts.toml: every language, every occasion, every rendering, each against the rules for it."""

import re
from types import MappingProxyType

from sca_service.policy.bounds import RENDERINGS, bound_for, payee_spoken_mistakes, text_mistakes
from sca_service.policy.model import Autofill, Channel, LanguageTexts, Occasion, OccasionTexts, Texts
from sca_service.policy.notices import (
    CARD_NOTICES,
    LINE_REPLACED,
    NOTICE_RENDERINGS,
    Notice,
    NoticeText,
    is_notice_name,
    mistakes_in_notice,
)
from sca_service.policy.reader import Table
from sca_service.policy.replies import Meaning, Replies, bare_word
from sca_service.policy.template import Placeholder, Template, mistakes_in, parse

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_HOST_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?", re.ASCII)
_ANDROID_HASH = re.compile(r"[A-Za-z0-9+/]{11}", re.ASCII)
_EMPTY = Template(())

Variables = dict[str, frozenset[str]]
"""What each notice leaves open, by its name: the same in every text and every language."""


def read_texts(table: Table) -> Texts:
    """Every text of the file; notes at the table what is wrong with them."""
    default = table.text("default_language", "one of the languages in this file")
    most_sms_segments = table.integer("most_sms_segments")
    autofill = _autofill(table.table("autofill")) if table.may_hold("autofill") else Autofill()
    tags = [key for key in table.keys if _LANGUAGE.fullmatch(key)]
    words: dict[str, Meaning] = {}
    variables: Variables = dict(CARD_NOTICES)
    tables = [table.table(tag, "the texts of a language", pattern="*") for tag in tags]
    languages = tuple(_language(held, tag, words, variables) for held, tag in zip(tables, tags, strict=True))
    for held, language in zip(tables, languages, strict=True):
        if missing := sorted(variables.keys() - language.notices.keys()):
            held.note("notices", f"lacks {', '.join(missing)}; allowed: the same notices in every language")
    table.close()
    if table.is_sound("default_language") and default not in tags:
        allowed = ", ".join(tags) or "a language that has texts in this file"
        table.note("default_language", f"is none of the languages in this file; allowed: {allowed}")
    _note_spelled_twice(table, tags)
    return Texts(default, languages, most_sms_segments, autofill, Replies(MappingProxyType(words)))


def _note_spelled_twice(table: Table, tags: list[str]) -> None:
    for at, tag in enumerate(tags):
        if tag.lower() in (earlier.lower() for earlier in tags[:at]):
            table.note(
                tag, "is a language of this file already, in another spelling; allowed: every language once"
            )


def _autofill(table: Table) -> Autofill:
    domain = table.bounded_text("domain", "domain") if table.may_hold("domain") else ""
    if domain and table.is_sound("domain") and not _HOST.fullmatch(domain):
        allowed = "a host name in lower case such as bank.example, without https:// and without a path"
        table.note("domain", f"is no host name; allowed: {allowed}")
    android_hash = (
        table.bounded_text("android_hash", "android_hash") if table.may_hold("android_hash") else ""
    )
    if android_hash and table.is_sound("android_hash") and not _ANDROID_HASH.fullmatch(android_hash):
        table.note("android_hash", "is no such hash; allowed: 11 characters of Base64 (SMS Retriever)")
    android_prefix = table.may_hold("android_prefix") and table.flag("android_prefix")
    table.close()
    if android_prefix and not table.holds("android_hash"):
        table.note("android_prefix", "stands without an app to find; allowed: with android_hash only")
    if not table.keys:
        table.note("", "fills in nothing; allowed: domain, android_hash or both, or no such table")
    return Autofill(domain, android_hash, android_prefix)


def _replies(table: Table, words: dict[str, Meaning]) -> None:
    """Add a language's words to those of the languages before; a word has one meaning in all of them."""
    bound = bound_for("texts.toml", "*.replies.*[] characters")
    for meaning in Meaning:
        entries = bound_for("texts.toml", "*.replies.* entries")
        found = table.texts(meaning, "an array of words")
        if table.is_sound(meaning) and not entries.least <= len(found) <= entries.most:
            table.note(
                meaning,
                f"has {len(found)} entries; allowed: {entries.least} to {entries.most} ({entries.article})",
            )
        for text in found:
            word = bare_word(text)
            if not bound.least <= len(word) <= bound.most:
                allowed = f"{bound.least} to {bound.most} letters or digits ({bound.article})"
                table.note(meaning, f"holds a word of {len(word)}; allowed: {allowed}")
            elif words.setdefault(word, meaning) is not meaning:
                table.note(
                    meaning,
                    f'"{text}" is {words[word]} already; allowed: one meaning for a word in all languages',
                )
    table.close()


def _notices(table: Table, variables: Variables) -> dict[str, Notice]:
    """A language's notices. Each leaves open what it did in the language that had it first."""
    read = {}
    for name in dict.fromkeys((LINE_REPLACED, *table.keys)):
        section = table.table(name, f"a table with {', '.join(NOTICE_RENDERINGS)}", pattern="*")
        if not is_notice_name(name):
            table.note(name, "is no name for a notice; allowed: small letters, digits and _, at most 32")
        texts = {rendering: _notice_text(section, name, rendering) for rendering in NOTICE_RENDERINGS}
        section.close()
        for rendering, text in texts.items():
            if section.is_sound(rendering) and text.variables != variables.setdefault(name, text.variables):
                wanted = ", ".join(f"{{{one}}}" for one in sorted(variables[name])) or "no variable"
                section.note(rendering, f"leaves open something else than the others; allowed: {wanted}")
        read[name] = Notice(**texts)
    table.close()
    return read


def _notice_text(table: Table, name: str, rendering: str) -> NoticeText:
    text = table.bounded_text(rendering, "*")
    if not table.is_sound(rendering):
        return NoticeText()
    for mistake in (found := mistakes_in_notice(name, text, is_spoken=rendering == Channel.VOICE)):
        table.note(rendering, mistake)
    return NoticeText() if found else NoticeText.parse(text)


def _language(table: Table, tag: str, words: dict[str, Meaning], variables: Variables) -> LanguageTexts:
    warning = table.bounded_text("warning", "warning")
    if table.is_sound("warning") and ("{" in warning or "}" in warning):
        table.note("warning", "holds a brace; allowed: a sentence without placeholders")
    spoken = _template(table, "payee_spoken", "payee_spoken")
    if table.is_sound("payee_spoken"):
        for mistake in payee_spoken_mistakes(spoken):
            table.note("payee_spoken", mistake)
    _replies(table.table("replies", f"a table with {', '.join(Meaning)}"), words)
    sections = {
        occasion: table.table(occasion, f"a table with {', '.join(RENDERINGS)}", pattern="*")
        for occasion in Occasion
    }
    texts = {occasion: _occasion(section, occasion) for occasion, section in sections.items()}
    notices = _notices(table.table("notices", "a table of notices by their names"), variables)
    table.close()
    for occasion, section in sections.items():
        _note_read_alike(section, occasion, texts)
    warned = {
        occasion: OccasionTexts(
            **{name: text.with_literal(Placeholder.WARNING, warning) for name, text in held.items()}
        )
        for occasion, held in texts.items()
    }
    return LanguageTexts(tag, spoken, MappingProxyType(warned), MappingProxyType(notices))


def _occasion(table: Table, occasion: Occasion) -> dict[str, Template]:
    read = {}
    for rendering in RENDERINGS:
        template = read[rendering] = _template(table, rendering, "*")
        if table.is_sound(rendering):
            for mistake in text_mistakes(occasion, rendering, template):
                table.note(rendering, mistake)
    table.close()
    return read


def _template(table: Table, key: str, bound_key: str) -> Template:
    text = table.bounded_text(key, bound_key)
    if not table.is_sound(key):
        return _EMPTY
    if found := mistakes_in(text):
        allowed = ", ".join(f"{{{placeholder}}}" for placeholder in Placeholder)
        for mistake in found:
            table.note(key, f"{mistake}; allowed: {allowed}")
        return _EMPTY
    return parse(text)


def _note_read_alike(table: Table, occasion: Occasion, texts: dict[Occasion, dict[str, Template]]) -> None:
    earlier = list(Occasion)[: list(Occasion).index(occasion)]
    for rendering, text in texts[occasion].items():
        for other in earlier:
            if table.is_sound(rendering) and text == texts[other][rendering] != _EMPTY:
                table.note(
                    rendering,
                    f"reads the same as {other}.{rendering}; allowed: a text that tells the two apart "
                    "(OWASP Transaction Authorization Cheat Sheet 1.4)",
                )
