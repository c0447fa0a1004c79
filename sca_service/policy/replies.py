"""What a payer may send back to a text message, and what each word means."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

LONGEST_REPLY: Final = 40
"""Characters of a reply that is looked at; a longer one is a sentence, and a sentence means nothing to us."""


class Meaning(StrEnum):
    """What a reply asks for."""

    DECLINE = "decline"  # this payment is not the payer's, or not what they want
    OPT_OUT = "opt_out"  # no more alerts to this number
    OPT_IN = "opt_in"  # alerts again


@dataclass(frozen=True, slots=True)
class Replies:
    """The words of all languages, as `bare_word` leaves them, each with its one meaning."""

    words: Mapping[str, Meaning] = field(default_factory=dict)

    def meaning(self, text: str) -> Meaning | None:
        """What a reply means, if it is one of the words and nothing else; case and punctuation do not matter.

        The words of every language count, whatever the payer's: people answer in the language of the other words on
        their screen.
        """
        return self.words.get(bare_word(text)) if len(text) <= LONGEST_REPLY else None


def bare_word(text: str) -> str:
    """A reply without spaces, punctuation, emoji and case, in one Unicode form: `Opt-out!` is `optout`.

    Letters, their marks and digits stay, so that a sentence is never taken for a word within it.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize(
        "NFC",
        "".join(one for one in folded if unicodedata.category(one)[0] in "LMN" and one not in _SELECTORS),
    )


_SELECTORS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""Marks by which an emoji asks for its colours; they show nothing themselves."""
