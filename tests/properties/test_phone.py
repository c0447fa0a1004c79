"""Phone numbers of every country, in every spelling."""

import re
from collections.abc import Callable

import phonenumbers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.numbering import place_of
from sca_service.kernel.phone import MOST_CHARACTERS, PhoneNumber, read_by_library

LINES = (
    PhoneNumberType.MOBILE,
    PhoneNumberType.FIXED_LINE,
    PhoneNumberType.VOIP,
    PhoneNumberType.PERSONAL_NUMBER,
)
EXAMPLES = sorted(
    {
        phonenumbers.format_number(found, PhoneNumberFormat.E164)
        for region in phonenumbers.SUPPORTED_REGIONS
        for line in LINES
        if (found := phonenumbers.example_number_for_type(region, line)) is not None
    }
)
NUMBERS = st.sampled_from(EXAMPLES)
CODES = sorted(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
"""None is the beginning of another."""
SEPARATORS = st.sampled_from(["", "", "", " ", "-", ".", "(", ")", "\u00a0", "\u2011", "\u3000"])
DIGITS = "0123456789０１２３４５６７８９"
SPACES = " \u00a0\u2007\u2009\u202f\u3000"
PUNCTUATION = "-.()\u2010\u2011\u2012\u2013\u2212\uff0d\uff08\uff09\uff0e"
FULL_WIDTH = str.maketrans("+0123456789", "＋０１２３４５６７８９")


def read(text: str) -> PhoneNumber | None:
    """The number, or None when it is refused."""
    try:
        return PhoneNumber.parse(text)
    except InvalidInput as refusal:
        assert [mistake.pointer for mistake in refusal.mistakes] == [""]
        return None


@given(NUMBERS)
def test_a_number_in_e164_is_itself(number: str) -> None:
    """E.164 is the canonical spelling, in every country."""
    assert PhoneNumber.parse(number).e164 == number


@given(NUMBERS, st.sampled_from(["+", "00"]), st.sampled_from(["", "tel:", "TEL:"]), st.booleans(), st.data())
def test_spellings_are_one_number(
    number: str, prefix: str, scheme: str, full_width: bool, draws: st.DataObject
) -> None:
    """Separators, prefix, scheme and full-width characters never make another number."""
    digits = "".join(digit + draws.draw(SEPARATORS) for digit in prefix + number[1:])
    spelling = scheme + (digits.translate(FULL_WIDTH) if full_width else digits)
    if len(spelling) <= MOST_CHARACTERS:
        assert PhoneNumber.parse(spelling) == PhoneNumber.parse(number)


@given(
    NUMBERS,
    st.sampled_from(["", "0", "1", "8", "06", "15", "015"]),
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 9)), max_size=5),
)
def test_what_is_accepted_is_its_own_canonical_spelling(
    number: str, trunk_prefix: str, changes: list[tuple[int, int]]
) -> None:
    """Numbers near a valid one, with trunk prefixes, are refused or settle in one reading."""
    calling_code = PhoneNumber.parse(number).calling_code
    national = list(number[1 + len(calling_code) :])
    for place, digit in changes:
        national[place % len(national)] = str(digit)
    accepted = read(f"+{calling_code}{trunk_prefix}{''.join(national)}")
    if accepted is not None:
        assert PhoneNumber.parse(accepted.e164) == accepted


def outcome(reading: Callable[[str], PhoneNumber], text: str) -> PhoneNumber | str:
    """The number, or which refusal it met."""
    try:
        return reading(text)
    except InvalidInput as refusal:
        return f"{type(refusal).__name__}: {refusal.mistakes[0].detail}"


@settings(max_examples=1000)
@given(
    NUMBERS | st.sampled_from([f"+{code}" for code in CODES]),
    st.sampled_from(["", "", "", "0", "1", "8", "06", "15"]),
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 9)), max_size=5),
    st.text("0123456789", max_size=11),
    st.integers(0, 3),
)
def test_the_plans_say_what_the_library_says(
    number: str, trunk_prefix: str, changes: list[tuple[int, int]], more: str, fewer: int
) -> None:
    """Of numbers near a valid one, longer and shorter ones, and any that begin with a country code."""
    code = next(code for code in CODES if number.startswith(f"+{code}"))
    national = list(number[1 + len(code) :])[fewer:] if number[1:] != code else list(more)
    for place, digit in changes if national else ():
        national[place % len(national)] = str(digit)
    digits = f"{code}{trunk_prefix}{''.join(national)}{more[:2] if fewer == 1 else ''}"[:16]
    if len(digits) > 5:
        assert outcome(PhoneNumber.parse, f"+{digits}") == outcome(read_by_library, digits)


def test_the_plans_know_every_range_that_the_library_has_an_example_of() -> None:
    """All but what begins as with a trunk prefix: Italian landlines do, and a few others."""
    long_way = [number for number in EXAMPLES if place_of(number[1:]) is None]
    assert len(long_way) < len(EXAMPLES) / 20
    assert not [number for number in long_way if number.startswith(("+49", "+33", "+44", "+1", "+34", "+31"))]


@given(NUMBERS, st.characters(), st.integers(0, 16))
@example("+4915112345678", "\x00", 5)
@example("+4915112345678", "\u200b", 5)
@example("+4915112345678", "٥", 5)
@example("+4915112345678", ";", 14)
def test_one_foreign_character_refuses_the_number(number: str, character: str, place: int) -> None:
    """Any character that is neither digit nor separator spoils the spelling, wherever it stands."""
    if read(number[:place] + character + number[place:]) is not None:
        assert character in DIGITS + SPACES + PUNCTUATION


@given(st.text(max_size=50) | st.text("+0123456789 -()tel:;x#*", max_size=50))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    """Nothing but the contract's error comes out of bad input; what passes is E.164."""
    accepted = read(text)
    assert accepted is None or re.fullmatch(r"\+[1-9][0-9]{5,14}", accepted.e164)


@given(NUMBERS)
def test_what_may_be_seen_hides_at_least_four_digits(number: str) -> None:
    """The masked form shows the country code and at most four digits; `repr` shows none."""
    parsed = PhoneNumber.parse(number)
    national = number[1 + len(parsed.calling_code) :]
    code, _, tail = parsed.masked.partition("…")
    assert code == f"+{parsed.calling_code}"
    assert len(tail) <= 4
    assert national.endswith(tail)
    assert len(national) - len(tail) >= min(4, len(national))
    assert national not in repr(parsed)
