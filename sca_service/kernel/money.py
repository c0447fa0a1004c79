"""Money as an integer of minor units, and which currencies there are (ISO 4217)."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from sca_service.kernel.errors import InvalidInput, Mistake

_CURRENCIES_BY_MINOR_DIGITS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL "
        "MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR "
        "PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
        "TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

MINOR_DIGITS: Final[Mapping[str, int]] = MappingProxyType(
    {code: digits for digits, codes in _CURRENCIES_BY_MINOR_DIGITS.items() for code in codes.split()}
)
"""Digits after the decimal point of every active currency (ISO 4217 list one, as of 2026-01-01).

Metals, test codes and units of account without a minor unit (XAU, XTS, XXX, XDR, …) are no money to pay with.
"""

MOST_INTEGER_DIGITS: Final = 18
"""The most digits before the decimal point (ISO 20022 amounts have at most 18)."""

_DECIMAL: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


class Amount(msgspec.Struct, frozen=True):
    """An amount greater than zero: `minor` counts minor units of `currency` (cents of EUR, yen of JPY).

    `minor` can exceed 64 bits: a store keeps it as text.
    """

    currency: str
    minor: int

    @classmethod
    def parse(cls, *, currency: str, amount: str) -> "Amount":
        """Read the contract's amount: `10`, `10.0` and `10.00` EUR are the same.

        Raises `InvalidInput` with pointers `/currency` and `/amount`, both when both are wrong.
        """
        digits = MINOR_DIGITS.get(currency)
        mistakes = []
        if digits is None:
            mistakes.append(Mistake("/currency", "is not an active ISO 4217 currency"))
        fault = _fault(amount, digits)
        if fault:
            mistakes.append(Mistake("/amount", fault))
        if digits is None or mistakes:
            raise InvalidInput(*mistakes)
        whole, _, fraction = amount.partition(".")
        return cls(currency, int(whole + fraction.ljust(digits, "0")))

    @property
    def text(self) -> str:
        """The canonical decimal text with all minor digits: `10.00` EUR, `10` JPY, `10.000` KWD."""
        digits = MINOR_DIGITS[self.currency]
        if not digits:
            return str(self.minor)
        padded = str(self.minor).zfill(digits + 1)
        return f"{padded[:-digits]}.{padded[-digits:]}"


MICROS: Final = 1_000_000
"""Prices are counted in millionths of the currency's unit: suppliers quote fractions of a cent."""


class Price(msgspec.Struct, frozen=True):
    """What something costs: `micros` are millionths of `currency` (6,300 micros of EUR are 0.0063 EUR); may be zero."""

    currency: str
    micros: int

    @property
    def text(self) -> str:
        """The decimal text, with at least two and at most six digits after the point: `0.07`, `0.0063`."""
        whole, fraction = divmod(self.micros, MICROS)
        return f"{whole}.{f'{fraction:06d}'.rstrip('0').ljust(2, '0')}"

    def times(self, count: int) -> "Price":
        """The price of so many."""
        return Price(self.currency, self.micros * count)

    @classmethod
    def of(cls, amount: Amount) -> "Price":
        """An amount as a price."""
        return cls(amount.currency, amount.minor * MICROS // 10 ** MINOR_DIGITS[amount.currency])


def _fault(amount: str, minor_digits: int | None) -> str | None:
    """What is wrong with the decimal text, if anything; precision is judged only in a known currency."""
    match = _DECIMAL.fullmatch(amount)
    if match is None:
        return "must be a decimal number: ASCII digits, at most one point between them, no sign, no exponent"
    whole, fraction = match[1], match[2] or ""
    if len(whole) > MOST_INTEGER_DIGITS:
        return f"must have at most {MOST_INTEGER_DIGITS} digits before the decimal point"
    if minor_digits is not None and len(fraction) > minor_digits:
        return f"must have at most {minor_digits} digits after the decimal point in this currency"
    if not (whole + fraction).strip("0"):
        return "must be greater than zero"
    return None
