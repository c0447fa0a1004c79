"""Which language a voice speaks for a locale: those that every voice supplier has, with the region that each needs."""

from collections.abc import Mapping
from typing import Final

_SPOKEN: Final[Mapping[str, str]] = {
    "de": "de-DE",
    "en": "en-GB",
    "en-us": "en-US",
    "es": "es-ES",
    "es-mx": "es-MX",
    "fr": "fr-FR",
    "fr-ca": "fr-CA",
    "hi": "hi-IN",
    "it": "it-IT",
}


def spoken_language(locale: str) -> str:
    """The language tag for a voice (`de-DE` for `de-AT`, `de_CH` and `de`); British English for what is not here."""
    return by_locale(_SPOKEN, locale, _SPOKEN["en"])


def by_locale(table: Mapping[str, str], locale: str, default: str) -> str:
    """What a table has for a locale in lower case, else for fewer and fewer of its parts, else the default."""
    tag = locale.replace("_", "-").lower()
    while tag:
        if tag in table:
            return table[tag]
        tag = tag.rpartition("-")[0]
    return default
