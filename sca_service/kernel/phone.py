"""Phone numbers: every spelling of one number becomes the same E.164 number, or is refused."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.numbering import place_of

MOST_CHARACTERS: Final = 40
"""The longest spelling that is looked at: 15 digits (E.164), a separator after each, and `tel:`."""

NUMBERS_REMEMBERED: Final = 4096
"""Bounds what is remembered: callers choose the spellings, and payers' numbers must not pile up here."""

_SPACES: Final = " \u00a0\u2007\u2009\u202f\u3000"
_DASHES: Final = "-\u2010\u2011\u2012\u2013\u2212\uff0d"
_BRACKETS_AND_DOTS: Final = "().\uff08\uff09\uff0e"
_FULL_WIDTH: Final = "＋０１２３４５６７８９"
_SPELLING: Final = str.maketrans(_FULL_WIDTH, "+0123456789", _SPACES + _DASHES + _BRACKETS_AND_DOTS)
_INTERNATIONAL: Final = re.compile(r"(?:\+|00)([1-9][0-9]{5,15})")
"""E.164 has at most 15 digits; one more because of a trunk 0, as in `+49 (0)151…`."""

_NO_COUNTRY: Final = "001"


class NumberKind(StrEnum):
    """What answers a number, as far as its range tells."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    MOBILE_OR_LANDLINE = "mobile_or_landline"
    """The numbering plan does not tell them apart, as in North America."""
    OTHER = "other"
    """Internet telephony and personal numbers: a call may reach the payer, a text does not surely."""


_KINDS: Final = {
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.FIXED_LINE: NumberKind.LANDLINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.MOBILE_OR_LANDLINE,
    PhoneNumberType.VOIP: NumberKind.OTHER,
    PhoneNumberType.PERSONAL_NUMBER: NumberKind.OTHER,
}
"""Kinds not listed are no payer's line: premium, shared cost, toll free, pager, UAN, voicemail, unknown."""


class ServiceNumber(InvalidInput):
    """A number of a country's plan that is no payer's line: premium, shared cost, toll free, pager, UAN, voicemail."""


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A valid number of a country's numbering plan. Its `repr` does not show it; `masked` may be seen.

    A class because two spellings of one number must never count as two numbers for a limit or a lockout.
    """

    e164: str = field(repr=False)
    """`+`, country code and national number, ASCII digits only."""
    country: str
    """ISO 3166 region that the number's range belongs to."""
    kind: NumberKind
    calling_code: str
    """The country code as digits, `49` for Germany."""

    @property
    def can_receive_text(self) -> bool:
        """Whether a text message can be expected to arrive."""
        return self.kind in {NumberKind.MOBILE, NumberKind.MOBILE_OR_LANDLINE}

    @property
    def masked(self) -> str:
        """Country code and the last four digits, `+49…5678`; fewer where less than four would stay hidden."""
        national = self.e164[1 + len(self.calling_code) :]
        shown = max(0, min(4, len(national) - 4))
        return f"+{self.calling_code}…{national[len(national) - shown :]}"

    @classmethod
    def parse(cls, text: str) -> "PhoneNumber":
        """Read an international number: `+` or `00`, with `tel:`, separators and full-width digits allowed.

        Raises `InvalidInput` (pointer `""`) for anything else: national spellings, letters, extensions,
        parameters, control and invisible characters; and for numbers that are invalid, short, no payer's line
        (premium, shared cost, toll free, pager, UAN, voicemail) or of no country (satellite networks).
        """
        if len(text) > MOST_CHARACTERS:
            raise InvalidInput.at("", "is too long for a phone number")
        return _parse(text)


@lru_cache(maxsize=NUMBERS_REMEMBERED)
def _parse(text: str) -> PhoneNumber:
    """Remembered because each step of a challenge parses its number."""
    spelling = text[4:] if text[:4].lower() == "tel:" else text
    match = _INTERNATIONAL.fullmatch(spelling.translate(_SPELLING))
    if match is None:
        raise InvalidInput.at("", "must be an international number: +, country code, number, no extension")
    place = place_of(match[1])
    if place is None:
        return read_by_library(match[1])
    kind = _kind_of(place.number_type)
    return PhoneNumber(e164="+" + match[1], country=place.country, kind=kind, calling_code=place.calling_code)


def read_by_library(digits: str) -> PhoneNumber:
    """The number that its digits, with the country code, are to `phonenumbers`. Raises InvalidInput."""
    try:
        number = phonenumbers.parse("+" + digits)  # without a trunk prefix: `+49 (0)151…`
    except phonenumbers.NumberParseException:
        raise InvalidInput.at("", "must be a valid phone number of a country") from None
    country = phonenumbers.region_code_for_number(number)
    number_type = phonenumbers.number_type(number)  # unknown for a number that its plan does not have
    if country is None or country == _NO_COUNTRY or number_type == PhoneNumberType.UNKNOWN:
        raise InvalidInput.at("", "must be a valid phone number of a country")
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return PhoneNumber(
        e164=e164, country=country, kind=_kind_of(number_type), calling_code=str(number.country_code)
    )


def _kind_of(number_type: int) -> NumberKind:
    kind = _KINDS.get(number_type)
    if kind is None:
        raise ServiceNumber(Mistake("", "must be a mobile or landline number, not a service number"))
    return kind
