"""Amounts: which spellings are one amount, and which are none."""

import pytest

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import MINOR_DIGITS, Amount


def pointers_of(currency: str, amount: str) -> list[str]:
    """Where the mistakes of an amount are."""
    with pytest.raises(InvalidInput) as caught:
        Amount.parse(currency=currency, amount=amount)
    return [mistake.pointer for mistake in caught.value.mistakes]


@pytest.mark.parametrize("spelling", ["10", "10.0", "10.00", "010.00"])
def test_spellings_of_one_amount_are_equal(spelling: str) -> None:
    """Fewer minor digits than the currency has mean the same amount."""
    assert Amount.parse(currency="EUR", amount=spelling) == Amount("EUR", 1000)


@pytest.mark.parametrize(
    ("currency", "amount", "minor", "text"),
    [
        ("EUR", "49.99", 4999, "49.99"),
        ("EUR", "0.01", 1, "0.01"),
        ("EUR", "0.5", 50, "0.50"),
        ("JPY", "10", 10, "10"),
        ("KWD", "1.005", 1005, "1.005"),
        ("KWD", "0.001", 1, "0.001"),
        ("CLF", "1.0001", 10001, "1.0001"),
        ("EUR", "9" * 18 + ".99", 10**20 - 1, "9" * 18 + ".99"),
    ],
)
def test_text_carries_all_minor_digits(currency: str, amount: str, minor: int, text: str) -> None:
    """The canonical text has exactly the minor digits of its currency."""
    parsed = Amount.parse(currency=currency, amount=amount)
    assert (parsed.minor, parsed.text) == (minor, text)


@pytest.mark.parametrize(
    "amount",
    [
        *("", " ", "10 ", " 10", "+10", "-10", "1e3", "1E3", "10.", ".5", "10,00", "1_000", "1 000", "0x10"),
        *("1.0.0", "NaN", "Infinity", "10\n", "10\x00", "１０", "١٠", "1²", "ten"),
    ],
)
def test_what_is_no_decimal_number_is_refused(amount: str) -> None:
    """Signs, exponents, spaces, separators and digits outside ASCII are no amount."""
    assert pointers_of("EUR", amount) == ["/amount"]


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("EUR", "10.005"), ("EUR", "10.000"), ("JPY", "10.0"), ("KWD", "1.0000"), ("CLF", "1.00000")],
)
def test_more_minor_digits_than_the_currency_has_are_refused(currency: str, amount: str) -> None:
    """Over-precise amounts are refused, zeros too."""
    assert pointers_of(currency, amount) == ["/amount"]


@pytest.mark.parametrize("amount", ["0", "0.0", "0.00", "000"])
def test_zero_is_refused(amount: str) -> None:
    """A payment of nothing is no payment."""
    assert pointers_of("EUR", amount) == ["/amount"]


def test_more_than_18_integer_digits_are_refused() -> None:
    """A text of any length costs no big-number arithmetic."""
    assert pointers_of("EUR", "1" * 19) == ["/amount"]
    assert pointers_of("EUR", "1" * 100_000) == ["/amount"]


@pytest.mark.parametrize(
    "currency", ["", "eur", "EURO", "XXX", "XTS", "XAU", "XDR", "DEM", "HRK", "EUR ", "ＥＵＲ"]
)
def test_what_is_no_active_currency_is_refused(currency: str) -> None:
    """Withdrawn codes, metals, test codes and other spellings are no currency."""
    assert pointers_of(currency, "10") == ["/currency"]


def test_every_mistake_is_told_at_once() -> None:
    """A wrong currency does not hide a wrong amount."""
    assert pointers_of("XXX", "-1") == ["/currency", "/amount"]


def test_the_mistake_does_not_quote_the_input() -> None:
    """What was sent never gets into an error text."""
    with pytest.raises(InvalidInput) as caught:
        Amount.parse(currency="QQQ", amount="-77.31")
    assert "QQQ" not in str(caught.value)
    assert "77" not in str(caught.value)


def test_the_table_holds_what_iso_4217_says() -> None:
    """Spot checks of minor digits, one and two of each kind, and the shape of every code."""
    expected = {
        "EUR": 2,
        "USD": 2,
        "INR": 2,
        "IDR": 2,
        "JPY": 0,
        "KRW": 0,
        "ISK": 0,
        "BHD": 3,
        "TND": 3,
        "UYW": 4,
    }
    assert {code: MINOR_DIGITS[code] for code in expected} == expected
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in MINOR_DIGITS)
    assert len(MINOR_DIGITS) == 165
