"""Reads texts.toml: every language, every occasion, every rendering, each against the rules for it."""

import re
from types import MappingProxyType

from sca_service.policy.bounds import RENDERINGS, payee_spoken_mistakes, text_mistakes
from sca_service.policy.model import LanguageTexts, Occasion, OccasionTexts, Texts
from sca_service.policy.reader import Table
from sca_service.policy.template import Placeholder, Template, mistakes_in, parse

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
_EMPTY = Template(())


def read_texts(table: Table) -> Texts:
    """Every text of the file; notes at the table what is wrong with them."""
    default = table.text("default_language", "one of the languages in this file")
    tags = [key for key in table.keys if _LANGUAGE.fullmatch(key)]
    languages = tuple(
        _language(table.table(tag, "the texts of a language", pattern="*"), tag) for tag in tags
    )
    table.close()
    if table.is_sound("default_language") and default not in tags:
        allowed = ", ".join(tags) or "a language that has texts in this file"
        table.note("default_language", f"is none of the languages in this file; allowed: {allowed}")
    _note_spelled_twice(table, tags)
    return Texts(default, languages)


def _note_spelled_twice(table: Table, tags: list[str]) -> None:
    for at, tag in enumerate(tags):
        if tag.lower() in (earlier.lower() for earlier in tags[:at]):
            table.note(
                tag, "is a language of this file already, in another spelling; allowed: every language once"
            )


def _language(table: Table, tag: str) -> LanguageTexts:
    warning = table.bounded_text("warning", "warning")
    if table.is_sound("warning") and ("{" in warning or "}" in warning):
        table.note("warning", "holds a brace; allowed: a sentence without placeholders")
    spoken = _template(table, "payee_spoken", "payee_spoken")
    if table.is_sound("payee_spoken"):
        for mistake in payee_spoken_mistakes(spoken):
            table.note("payee_spoken", mistake)
    sections = {
        occasion: table.table(occasion, f"a table with {', '.join(RENDERINGS)}", pattern="*")
        for occasion in Occasion
    }
    texts = {occasion: _occasion(section, occasion) for occasion, section in sections.items()}
    table.close()
    for occasion, section in sections.items():
        _note_read_alike(section, occasion, texts)
    warned = {
        occasion: OccasionTexts(
            **{name: text.with_literal(Placeholder.WARNING, warning) for name, text in held.items()}
        )
        for occasion, held in texts.items()
    }
    return LanguageTexts(tag, spoken, MappingProxyType(warned))


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
