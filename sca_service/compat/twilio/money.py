"""An amount as people write it (`€39.99`, `39,99 EUR`), which is all that Twilio asks for. Pure."""

import re

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Amount

_SYMBOLS = {"€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "₺": "TRY"}
_WRITTEN = re.compile(
    r"(?P<before>[A-Z]{3}|[€£$¥₺]|)[ \u00a0\u202f]?(?P<number>[0-9][0-9.,' \u00a0\u202f]*?)[ \u00a0\u202f]?"
    r"(?P<after>[A-Z]{3}|[€£$¥₺]|zł|Kč|Ft|)"
)
_GROUPED = re.compile(
    r"[0-9]{1,3}(?P<group>[.,' \u00a0\u202f])[0-9]{3}(?:(?P=group)[0-9]{3})*(?:(?!(?P=group))[.,][0-9]+)?"
)
_PLAIN = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
_AMBIGUOUS = re.compile(r"[0-9]{1,3}[.,][0-9]{3}")
"""Thousands for one reader, three decimals for another: nobody may be charged by a guess."""
_MOST_CHARACTERS = 64


def amount_of(text: str) -> Amount:
    """The amount in a text that names its currency, by its code or by a symbol before or behind the number.

    `$` is USD and `¥` JPY. Raises InvalidInput (pointer `""`) for what names no currency, or may be read in two ways.
    """
    found = _WRITTEN.fullmatch(text.strip()) if len(text) <= _MOST_CHARACTERS else None
    if found is None or bool(found["before"]) is bool(found["after"]):
        raise InvalidInput.at("", "must be a number with its currency, such as €39.99 or 39.99 EUR")
    named = found["before"] or found["after"]
    number = found["number"]
    if _AMBIGUOUS.fullmatch(number):
        raise InvalidInput.at("", "may be read as thousands or as three decimals")
    grouped = _GROUPED.fullmatch(number)
    if grouped:
        number = number.replace(grouped["group"], "")
    elif not _PLAIN.fullmatch(number):
        raise InvalidInput.at("", "must be a number with its currency, such as €39.99 or 39.99 EUR")
    try:
        return Amount.parse(currency=_SYMBOLS.get(named, named), amount=number.replace(",", "."))
    except InvalidInput as error:
        raise InvalidInput.at("", error.mistakes[0].detail) from None


def written(amount: Amount) -> str:
    """The amount as this reads it again: `39.99 EUR`."""
    return f"{amount.text} {amount.currency}"
