"""What a supplier charges, as suppliers write it: a decimal text, with a minus at some, and a currency."""

from decimal import Decimal
from typing import Final

from sca_service.kernel.money import MICROS, MINOR_DIGITS, Price

_LONGEST: Final = 24
_MOST_MICROS: Final = 10**12


def price(amount: str, currency: str) -> Price | None:
    """`-0.00750` of `USD` are 7,500 micros. None for anything that is no price, or none of a message."""
    if currency not in MINOR_DIGITS or not 0 < len(amount) <= _LONGEST:
        return None
    try:
        micros = abs(Decimal(amount) * MICROS)
    except ArithmeticError:  # no number, or one beyond all bounds
        return None
    if not micros.is_finite() or micros >= _MOST_MICROS:
        return None
    return Price(currency, int(micros.to_integral_value()))
