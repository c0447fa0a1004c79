"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.compat.twilio.money import amount_of, written
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import MINOR_DIGITS, Amount


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("€39.99", "EUR", 3999),
        ("€ 39,99", "EUR", 3999),
        ("39,99 €", "EUR", 3999),
        ("39.99 EUR", "EUR", 3999),
        ("GBP 5", "GBP", 500),
        ("£1,234.50", "GBP", 123450),
        ("1.234,50 €", "EUR", 123450),
        ("1\u202f234,50\u00a0€", "EUR", 123450),
        ("CHF 1'234'567.05", "CHF", 123456705),
        ("1,234,567 USD", "USD", 123456700),
        ("¥1000", "JPY", 1000),
        ("19,90 zł", "PLN", 1990),
        ("KWD 1234.567", "KWD", 1234567),
    ],
)
def test_an_amount_is_read(text: str, currency: str, minor: int) -> None:
    """Code or symbol, before or behind, with groups and either decimal mark."""
    assert amount_of(text) == Amount(currency, minor)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "39.99",
        "€",
        "€39.99 EUR",
        "€1.234",
        "1,234 KWD",
        "€39.999",
        "€1,23,456.00",
        "€1,234,56",
        "€-1",
        "€0.00",
        "kr 5",
        "€1e3",
        "€٣٩",
        "€39..99",
        "XXX 5",
        "€" + "9" * 80,
        "€1.234.567.89",
    ],
)
def test_what_could_be_read_otherwise_is_refused(text: str) -> None:
    """No currency, two of them, thousands that may be decimals, and what no amount is."""
    with pytest.raises(InvalidInput):
        amount_of(text)


@given(st.sampled_from(sorted(MINOR_DIGITS)), st.integers(1, 10**15))
def test_what_is_told_is_read_again(currency: str, minor: int) -> None:
    """An application may send back what it was told, unless a currency of three decimals makes it ambiguous."""
    amount = Amount(currency, minor)
    if MINOR_DIGITS[currency] == 3 and len(amount.text) <= 7:
        return
    assert amount_of(written(amount)) == amount
