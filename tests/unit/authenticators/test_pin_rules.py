"""Which PINs there are, and which are refused because anybody would guess them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.authenticators.pin.rules import is_trivial, parse_pin, refuse_trivial
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.secret import Secret

DIGITS = "0123456789"


def all_pins(length: int) -> list[str]:
    """Every PIN of so many digits."""
    return [f"{number:0{length}d}" for number in range(10**length)]


@given(st.text(DIGITS, min_size=4, max_size=12))
def test_four_to_twelve_digits_are_a_pin(text: str) -> None:
    """What is parsed is what was typed, leading zeros included."""
    assert parse_pin(text).reveal() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "739",
        "7392846150738",
        "7" * 100_000,
        "73 92",
        " 7392",
        "7392 ",
        "7392\n",
        "7392\0",
        "73-92",
        "+7392",
        "7_392",
        "73.92",
        "0x7392",
        "739a",
        "７３９２",  # full width
        "٧٣٩٢",  # Arabic-Indic
        "७३९२",  # Devanagari
        "739²",  # a digit to str.isdigit
        "739½",
        "739\u200b2",
        "\ufeff7392",
        "𝟕𝟑𝟗𝟐",  # mathematical bold
    ],
)
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    """One PIN has one spelling: ASCII digits, four to twelve; the error says what a PIN is and nothing of the text."""
    with pytest.raises(InvalidInput) as refused:
        parse_pin(text)
    assert refused.value.mistakes == (Mistake("", "must be 4 to 12 ASCII digits"),)


@given(st.text(max_size=14))
def test_whatever_text_is_a_pin_or_refused(text: str) -> None:
    """No text makes it fail in another way, and no other alphabet gets through."""
    is_pin = 4 <= len(text) <= 12 and set(text) <= set(DIGITS)
    try:
        assert parse_pin(text).reveal() == text
        assert is_pin
    except InvalidInput:
        assert not is_pin


def test_a_policy_may_ask_for_more_digits() -> None:
    """Both lengths can be set, and the error says those that were."""
    assert parse_pin("739284", shortest=6, longest=8).reveal() == "739284"
    for text in ("73928", "739284615"):
        with pytest.raises(InvalidInput) as refused:
            parse_pin(text, shortest=6, longest=8)
        assert refused.value.mistakes == (Mistake("", "must be 6 to 8 ASCII digits"),)


@pytest.mark.parametrize(
    "pin",
    [
        *("7777", "77777", "777777777777"),  # one digit
        *("1212", "9494", "123123", "482482", "121212", "48274827", "483483483"),  # a row over and over
        *("1122", "7799", "448811"),  # each digit twice
        *("1234", "4567", "7890", "8901", "9012", "123456789012", "901234567890"),  # up
        *("4321", "7654", "2109", "1098", "3210", "098765", "210987654321", "109876543210"),  # down
        *("1221", "9009", "123321", "56765", "1234321"),  # up and back
        *("2112", "0990", "321123", "76567"),  # down and back
        *("2580", "0852", "147258", "258369", "963852", "2580147"),  # a keypad's columns
        *("789456", "321654", "456123789"),  # its rows
        *("159753", "357159", "951357"),  # its diagonals
        *("1900", "1972", "1998", "2000", "2026", "2099"),  # years
        *("1004", "5683"),  # most used, and under no rule
    ],
)
def test_what_is_guessed_first_is_trivial(pin: str) -> None:
    """Each rule, at its edges too."""
    assert is_trivial(Secret(pin))


@pytest.mark.parametrize(
    "pin",
    [
        *("7392", "4827", "9038", "70518", "508213", "83920571", "739284615073"),
        *("1235", "1243", "0124", "7891", "123450", "987650"),  # no run to the end
        *("1213", "123124", "12123"),  # not the same row again
        *("1899", "2100", "19850", "197201", "3019"),  # no years from 1900 to 2099, or not alone
        *("1331", "2442", "13531"),  # there and back, but by no run
        *("2581", "147259", "14725"),  # not lines alone
        "1129",  # not each digit twice
    ],
)
def test_what_is_only_near_a_rule_may_be_chosen(pin: str) -> None:
    """A rule ends where it says."""
    assert not is_trivial(Secret(pin))


@pytest.mark.parametrize("length", range(4, 13))
def test_every_run_of_every_length_is_trivial(length: int) -> None:
    """From each digit, up and down, also beyond 9 and 0; and it is none with one digit changed."""
    for start in range(10):
        for step in (1, -1):
            run = [(start + step * place) % 10 for place in range(length)]
            changed = [*run[:-1], (run[-1] + 4 * step) % 10]
            assert is_trivial(Secret("".join(map(str, run))))
            assert not is_trivial(Secret("".join(map(str, changed)))) or length == 4


def test_the_most_used_pins_are_trivial() -> None:
    """The published lists, as published: DataGenetics 2012, Markert et al. 2020 for four and for six digits."""
    published = (
        "1234 1111 0000 1212 7777 1004 2000 4444 2222 6969 9999 3333 5555 6666 1122 1313 8888 4321 2001 1010 "
        "0852 1998 2580 5683 "
        "123456 654321 111111 000000 123123 666666 121212 112233 789456 159753"
    )
    assert [pin for pin in published.split() if not is_trivial(Secret(pin))] == []


@pytest.mark.parametrize(("length", "refused"), [(4, 432), (5, 50), (6, 2350)])
def test_so_many_pins_are_refused(length: int, refused: int) -> None:
    """4.3 % of four digits, 0.2 % of six: a thief gains little by leaving them out, and no rule grows unseen."""
    assert sum(is_trivial(Secret(pin)) for pin in all_pins(length)) == refused


def test_a_trivial_pin_is_refused_where_it_stood() -> None:
    """The mistake has the pointer of the member, and a text without the PIN or the rule it broke."""
    with pytest.raises(InvalidInput) as refused:
        refuse_trivial(Secret("2580"), "/authenticator/pin")
    assert refused.value.mistakes == (
        Mistake("/authenticator/pin", "must not be a PIN that is easily guessed"),
    )
    assert "2580" not in repr(refused.value)


def test_another_pin_is_not_refused() -> None:
    """Nothing is raised."""
    refuse_trivial(Secret("7392"), "/authenticator/pin")
