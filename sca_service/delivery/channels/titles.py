"""What a message may be called where others read along: a neutral title without amount, payee or code."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Titles:
    """One language's: `approval` asks the payer for something, `notice` tells something."""

    approval: str
    notice: str


TITLES: Mapping[str, Titles] = {
    "en": Titles("Confirmation needed", "Message from your bank"),
    "de": Titles("Bestätigung erforderlich", "Nachricht von Ihrer Bank"),
    "fr": Titles("Confirmation requise", "Message de votre banque"),
    "es": Titles("Confirmación necesaria", "Mensaje de su banco"),
    "it": Titles("Conferma richiesta", "Messaggio dalla tua banca"),
    "nl": Titles("Bevestiging nodig", "Bericht van uw bank"),
    "pl": Titles("Wymagane potwierdzenie", "Wiadomość od Twojego banku"),
    "pt": Titles("Confirmação necessária", "Mensagem do seu banco"),
    "hi": Titles("पुष्टि आवश्यक है", "आपके बैंक का संदेश"),
}
"""By language; a bank's own in a supplier's section stand before these."""


class OwnTitles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bank's own titles for one language, in a section such as `[fcm.options.titles.de]`."""

    approval: str
    notice: str


def titles_for(locale: str, own: Mapping[str, OwnTitles]) -> Titles:
    """The titles of a locale's language: the bank's own, ours, or the English ones."""
    language = locale.replace("_", "-").partition("-")[0].lower()
    if mine := own.get(language):
        return Titles(mine.approval, mine.notice)
    if language in TITLES:
        return TITLES[language]
    mine = own.get("en")
    return Titles(mine.approval, mine.notice) if mine else TITLES["en"]
