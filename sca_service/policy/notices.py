"""Notices: texts without a code, by the names that a bank gives them; what they leave open, a client fills in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sca_service.policy.words import Channel

LINE_REPLACED = "line_replaced"
"""What a replaced phone line is told. Only the service sends it, so every language has it."""

BANK = "bank"
"""Stands for the bank's name (`issuer_name` of authenticators.toml) in every notice; no client fills it in."""

LINK = "link"
"""Stands for the short link to where the order says; the service makes it. A call has none: nobody follows it there."""

UPCOMING_CHARGE = "upcoming_charge"
"""Tells that a card's balance will not be enough for a charge to come."""
LOW_BALANCE = "low_balance"
"""Tells that a card's balance has fallen below its threshold."""
CARD_NOTICES = {
    UPCOMING_CHARGE: frozenset({"merchant", "amount", "date"}),
    LOW_BALANCE: frozenset({"balance", "threshold"}),
}
"""What the service sends about cards, and fills in: every language has these. Clients may send them too."""

NOTICE_RENDERINGS = ("sms", "voice", "push")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_PIECES = re.compile(r"\{([^{}]*)\}")
_NUMBER_OR_LINK = re.compile(r"\d|://|www\.|[^\W\d_]\.[^\W\d_]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NoticeText:
    """Literal pieces and names of variables in turn, a literal first and last."""

    pieces: tuple[str, ...] = ("",)

    @classmethod
    def parse(cls, text: str) -> "NoticeText":
        """Take a text apart in which `mistakes_in_notice` finds nothing."""
        return cls(tuple(_PIECES.split(text)))

    @property
    def variables(self) -> frozenset[str]:
        """What a client fills in."""
        return frozenset(self.pieces[1::2]) - {BANK, LINK}

    @property
    def has_link(self) -> bool:
        """Whether a link stands in it."""
        return LINK in self.pieces[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text in one pass: what is filled in is never looked at again. Raises KeyError for a missing value."""
        return "".join(values[piece] if at % 2 else piece for at, piece in enumerate(self.pieces))


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice in one language: a text per way of reading it."""

    sms: NoticeText
    voice: NoticeText
    push: NoticeText

    @property
    def variables(self) -> frozenset[str]:
        """What a client fills in, the same in every text and every language."""
        return self.sms.variables

    @property
    def has_link(self) -> bool:
        """Whether an order has to say where its link leads."""
        return self.sms.has_link or self.push.has_link

    def over(self, channel: Channel) -> NoticeText:
        """The text for a channel: RCS and WhatsApp read like an SMS. Raises ValueError for e-mail."""
        match channel:
            case Channel.VOICE:
                return self.voice
            case Channel.PUSH:
                return self.push
            case Channel.EMAIL:
                raise ValueError("a notice has no text for e-mail")
            case _:
                return self.sms


def is_notice_name(text: str) -> bool:
    """Whether a notice or a variable may be called this: a small letter, then small letters, digits and `_`."""
    return _NAME.fullmatch(text) is not None


def mistakes_in_notice(name: str, text: str, *, is_spoken: bool = False) -> list[str]:
    """Everything wrong with one text by itself.

    The one about a replaced line holds neither a number nor a link: whoever is warned calls the bank on a number that
    they know, and learns to expect no other from such a message.
    """
    pieces = _PIECES.split(text)
    found = [
        f"{{{variable}}} is no name for a variable; allowed: small letters, digits and _, at most 32"
        for variable in pieces[1::2]
        if not is_notice_name(variable)
    ]
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        found.append("a brace stands alone; allowed: braces around the name of a variable")
    if is_spoken and LINK in pieces[1::2]:
        found.append(f"holds {{{LINK}}}; allowed: words that can be heard")
    if name == LINE_REPLACED:
        found += [
            f"must not hold {{{variable}}}; allowed: {{{BANK}}}"
            for variable in pieces[1::2]
            if variable != BANK
        ]
        if any(_NUMBER_OR_LINK.search(literal) for literal in pieces[::2]):
            found.append("holds a number or a link; allowed: words, so that nobody learns to follow either")
    return found
