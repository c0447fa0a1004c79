"""Amounts, for all currencies and sizes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import MINOR_DIGITS, MOST_INTEGER_DIGITS, Amount

CURRENCIES = st.sampled_from(sorted(MINOR_DIGITS))
AMOUNTS = CURRENCIES.flatmap(
    lambda currency: st.builds(
        Amount,
        currency=st.just(currency),
        minor=st.integers(1, 10 ** (MOST_INTEGER_DIGITS + MINOR_DIGITS[currency]) - 1),
    )
)


@given(AMOUNTS)
def test_the_canonical_text_reads_back_as_the_same_amount(amount: Amount) -> None:
    """Writing and reading lose nothing at any size, in any currency."""
    assert Amount.parse(currency=amount.currency, amount=amount.text) == amount


@given(AMOUNTS)
def test_leaving_trailing_zeros_out_is_the_same_amount(amount: Amount) -> None:
    """Every shorter spelling of the fraction means the same."""
    whole, _, fraction = amount.text.partition(".")
    while fraction.endswith("0"):
        fraction = fraction[:-1]
        shorter = f"{whole}.{fraction}" if fraction else whole
        assert Amount.parse(currency=amount.currency, amount=shorter) == amount


@given(AMOUNTS, AMOUNTS)
def test_two_amounts_have_two_texts(one: Amount, other: Amount) -> None:
    """The text tells amounts of a currency apart."""
    same_text = (one.currency, one.text) == (other.currency, other.text)
    assert same_text == (one == other)


@given(CURRENCIES | st.text(max_size=4), st.text(max_size=24) | st.text("0123456789.-+eE,_ ", max_size=24))
def test_any_text_is_an_amount_or_refused(currency: str, amount: str) -> None:
    """Nothing but the error of the contract comes out of bad input; what passes is positive and canonical."""
    try:
        parsed = Amount.parse(currency=currency, amount=amount)
    except InvalidInput as refusal:
        assert {mistake.pointer for mistake in refusal.mistakes} <= {"/currency", "/amount"}
        return
    assert parsed.minor > 0
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount)
    assert Amount.parse(currency=currency, amount=parsed.text) == parsed
