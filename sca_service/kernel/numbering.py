"""Countries' numbering plans, each as one expression: what a number is, in a quarter of the time of `phonenumbers`.

The library holds the plans (Google's libphonenumber) and asks up to ten expressions of each number, one after the
other, each through several calls. Here the same expressions stand in one, in the same order. What is not a number of a
plan, or is written with a trunk prefix, is left to the library, which reads it or says what is wrong with it.
`tests/properties` holds the two against each other.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberType

_CODES: Final = {str(code): code for code in COUNTRY_CODE_TO_REGION_CODE}
_LONGEST_CODE: Final = 3
_NO_COUNTRY: Final = "001"
_BEFORE_LINES: Final = (
    (PhoneNumberType.PREMIUM_RATE, "premium_rate"),
    (PhoneNumberType.TOLL_FREE, "toll_free"),
    (PhoneNumberType.SHARED_COST, "shared_cost"),
    (PhoneNumberType.VOIP, "voip"),
    (PhoneNumberType.PERSONAL_NUMBER, "personal_number"),
    (PhoneNumberType.PAGER, "pager"),
    (PhoneNumberType.UAN, "uan"),
    (PhoneNumberType.VOICEMAIL, "voicemail"),
)
"""What the library looks for before it looks for lines, in its order."""


class Place(NamedTuple):
    """Where a number is in its country's plan; `number_type` is one of `phonenumbers.PhoneNumberType`."""

    country: str
    calling_code: str
    number_type: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """One country's: how its numbers begin, where that alone tells it from its neighbours; and its ranges.

    `mobile` are the mobile ranges again, for what may be a fixed line as well.
    """

    country: str
    begins: re.Pattern[str] | None
    ranges: re.Pattern[str]
    mobile: re.Pattern[str] | None

    def type_of(self, national: str) -> int | None:
        """The type of a national number, None when the plan does not have it."""
        found = self.ranges.fullmatch(national)
        if found is None or found.lastgroup is None:
            return None
        number_type = int(found.lastgroup[1:])
        if number_type == PhoneNumberType.FIXED_LINE and self.mobile and self.mobile.fullmatch(national):
            return PhoneNumberType.FIXED_LINE_OR_MOBILE
        return number_type


def place_of(digits: str) -> Place | None:
    """Where an international number (without its `+`) is; None for what has to be left to the library."""
    for length in range(1, _LONGEST_CODE + 1):
        calling_code = digits[:length]
        if calling_code in _CODES:
            return _place_in(calling_code, digits[length:])
    return None


def _place_in(calling_code: str, national: str) -> Place | None:
    trunk_prefix, plans = _plans_of(calling_code)
    if national.startswith("0") or (trunk_prefix and trunk_prefix.match(national)):
        return None
    for plan in plans:
        number_type = plan.type_of(national)
        is_here = plan.begins.match(national) if plan.begins else number_type is not None
        if is_here or len(plans) == 1:
            return None if number_type is None else Place(plan.country, calling_code, number_type)
    return None


@cache  # some two hundred
def _plans_of(calling_code: str) -> tuple[re.Pattern[str] | None, tuple[_Plan, ...]]:
    """How a number begins that is written with a trunk prefix, and the plans of the countries that share the code."""
    countries = COUNTRY_CODE_TO_REGION_CODE[_CODES[calling_code]]
    if countries == (_NO_COUNTRY,):
        return None, ()
    held = [PhoneMetadata.metadata_for_region(country, None) for country in countries]
    prefix = held[0].national_prefix_for_parsing if held[0] else None
    plans = tuple(_plan(country, one) for country, one in zip(countries, held, strict=True) if one)
    return re.compile(prefix) if prefix else None, plans


def _plan(country: str, held: Any) -> _Plan:
    """What the library holds of a country, as one expression with a group for each type."""
    is_same = held.same_mobile_and_fixed_line_pattern
    lines = PhoneNumberType.FIXED_LINE_OR_MOBILE if is_same else PhoneNumberType.FIXED_LINE
    wanted = [(number_type, getattr(held, name)) for number_type, name in _BEFORE_LINES]
    wanted.append((lines, held.fixed_line))
    if not is_same:
        wanted.append((PhoneNumberType.MOBILE, held.mobile))
    parts = [f"(?P<t{number_type}>{text})" for number_type, one in wanted if (text := _expression(one))]
    mobile = None if is_same else _expression(held.mobile)
    general = _expression(held.general_desc) or "(?!)"
    return _Plan(
        country,
        re.compile(held.leading_digits) if held.leading_digits else None,
        re.compile(rf"(?=(?:{general})\Z)(?:{'|'.join(parts) or '(?!)'})"),
        re.compile(mobile) if mobile else None,
    )


def _expression(held: Any) -> str:
    """What numbers of one type look like, their lengths looked at first; empty where the plan has none."""
    if held is None or not held.national_number_pattern:
        return ""
    if not held.possible_length:
        return f"(?:{held.national_number_pattern})"
    lengths = "|".join(f"[0-9]{{{length}}}" for length in held.possible_length if length > 0)
    return rf"(?=(?:{lengths})\Z)(?:{held.national_number_pattern})" if lengths else ""
