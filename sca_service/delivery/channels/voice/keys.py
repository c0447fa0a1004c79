"""The keys a payer may press in a call, and what a voice says of them.

The first word of a locale (`de` of `de-AT`) finds the sentence; a language that is not here is told in English.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Key(StrEnum):
    """What a key of the telephone means; every other key means nothing."""

    AGAIN = "1"  # say it (again)
    NOT_ME = "9"  # the payer did not ask for this: the challenge is declined


@dataclass(frozen=True, slots=True)
class _Sentences:
    after: str
    before: str


_SENTENCES: Final[Mapping[str, _Sentences]] = {
    "en": _Sentences(
        after="Press 1 to hear it again, or 9 if this was not you.",
        before="This is an automatic call from your bank. Press 1 to hear the message, or 9 if you did not ask for it.",
    ),
    "de": _Sentences(
        after="Drücken Sie die 1, um es noch einmal zu hören, oder die 9, wenn Sie das nicht waren.",
        before="Dies ist ein automatischer Anruf Ihrer Bank. Drücken Sie die 1, um die Nachricht zu hören, "
        "oder die 9, wenn Sie sie nicht angefordert haben.",
    ),
    "fr": _Sentences(
        after="Appuyez sur 1 pour réécouter, ou sur 9 si ce n'était pas vous.",
        before="Ceci est un appel automatique de votre banque. Appuyez sur 1 pour écouter le message, "
        "ou sur 9 si vous ne l'avez pas demandé.",
    ),
    "it": _Sentences(
        after="Prema 1 per riascoltare, oppure 9 se non è stato Lei.",
        before="Questa è una chiamata automatica della Sua banca. Prema 1 per ascoltare il messaggio, "
        "oppure 9 se non lo ha richiesto.",
    ),
    "es": _Sentences(
        after="Pulse 1 para escucharlo de nuevo, o 9 si no ha sido usted.",
        before="Esta es una llamada automática de su banco. Pulse 1 para escuchar el mensaje, "
        "o 9 si no lo ha solicitado.",
    ),
    "hi": _Sentences(
        after="फिर से सुनने के लिए 1 दबाएँ। यदि यह आपने नहीं किया है, तो 9 दबाएँ।",
        before="यह आपके बैंक की ओर से एक स्वचालित कॉल है। संदेश सुनने के लिए 1 दबाएँ। "
        "यदि आपने इसका अनुरोध नहीं किया है, तो 9 दबाएँ।",
    ),
}


def sentence(locale: str) -> str:
    """What is said after the message: "press 1 to hear it again, 9 if this was not you". Never raises."""
    return _for(locale).after


def greeting(locale: str) -> str:
    """What is said where nobody knows yet whether a person listens: it asks for a key and says no code."""
    return _for(locale).before


def _for(locale: str) -> _Sentences:
    language = locale.replace("_", "-").partition("-")[0].lower()
    return _SENTENCES.get(language, _SENTENCES["en"])
