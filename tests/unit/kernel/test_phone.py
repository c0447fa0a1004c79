"""Phone numbers: one number whatever its spelling, and no service number."""

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.phone import MOST_CHARACTERS, NumberKind, PhoneNumber

MOBILE = "+4915112345678"


def assert_refused(text: str, because: str = "must be") -> None:
    """The text is no phone number, and the error says why without showing it."""
    with pytest.raises(InvalidInput, match=because) as caught:
        PhoneNumber.parse(text)
    assert [mistake.pointer for mistake in caught.value.mistakes] == [""]
    if len(text) > 3:
        assert text not in str(caught.value)


def test_the_contracts_example_is_a_german_mobile_number() -> None:
    """The number that api.md shows is valid and can receive a text."""
    number = PhoneNumber.parse(MOBILE)
    assert (number.e164, number.country, number.kind) == (MOBILE, "DE", NumberKind.MOBILE)
    assert number.can_receive_text


@pytest.mark.parametrize(
    "spelling",
    [
        *(
            "+49 151 12345678",
            "+49-151-1234-5678",
            "+49 (151) 12345678",
            "+49 (0)151 12345678",
            "+49 0151 12345678",
        ),
        *(
            "004915112345678",
            "00 49 151 12345678",
            "(+49) 151 12345678",
            "+49.151.12345678",
            "  +4915112345678 ",
        ),
        *("tel:+4915112345678", "TEL:+49-151-12345678", "tel:004915112345678"),
        *("＋４９１５１１２３４５６７８", "+49\u00a0151\u202f12345678", "+49\u2011151\u201112345678"),
    ],
)
def test_spellings_become_one_number(spelling: str) -> None:
    """Spaces, dashes, brackets, `00`, `tel:` and full-width characters make no other number."""
    assert PhoneNumber.parse(spelling) == PhoneNumber.parse(MOBILE)


@pytest.mark.parametrize(
    "spelling",
    [
        *("", " ", "+", "00", "tel:", "015112345678", "4915112345678", "0114915112345678", "++4915112345678"),
        *(
            "+004915112345678",
            "+49+15112345678",
            "+4915112345678+",
            "49+15112345678",
            "tel:tel:+4915112345678",
        ),
        *(
            "+4915112345678x3",
            "+4915112345678 ext. 3",
            "+4915112345678;ext=3",
            "+4915112345678,,3",
            "+1800FLOWERS",
        ),
        *("+4915112345678;phone-context=+49", "tel:+4915112345678;isub=1", "sip:+4915112345678@example.org"),
        *("+49151/12345678", "+4915112345678#", "*+4915112345678", "+4915112345678 ~ 3", "+49151123456O8"),
        *(
            "+4915112345678\x00",
            "+49151\x0012345678",
            "+49151\n12345678",
            "\t+4915112345678",
            "+49151\u200b12345678",
        ),
        *(
            "\u202a+4915112345678\u202c",
            "+٤٩١٥١١٢٣٤٥٦٧٨",
            "+४९१५११२३४५६७८",
            "+49¹5112345678",
            "+①4915112345678",
        ),
        *("+49151\ud80012345678", "+4915112345678" * 2),
    ],
)
def test_other_spellings_are_refused(spelling: str) -> None:
    """What is not clearly one international number is none."""
    assert_refused(spelling)


def test_a_long_text_is_refused_before_it_is_parsed() -> None:
    """The cap counts characters as sent, separators too."""
    assert_refused(MOBILE + " " * (MOST_CHARACTERS + 1 - len(MOBILE)), because="too long")
    assert_refused("+" + "4" * 100_000, because="too long")
    assert PhoneNumber.parse(MOBILE + " " * (MOST_CHARACTERS - len(MOBILE))).e164 == MOBILE


@pytest.mark.parametrize(
    "kind",
    [
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PAGER,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
    ],
)
def test_service_numbers_are_refused(kind: int) -> None:
    """In every country whose plan has such a range, its example number is refused."""
    refused = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is not None and phonenumbers.number_type(example) == kind:
            number = phonenumbers.format_number(example, PhoneNumberFormat.E164)
            assert_refused(number, because="not a service number|no extension")
            refused += 1
    assert refused >= 5


@pytest.mark.parametrize(
    "number",
    ["+49110", "+49112", "+1911", "+4915", "+49151", "+9999999999", "+39612345678", "+5215512345678"],
)
def test_short_and_invalid_numbers_are_refused(number: str) -> None:
    """Emergency numbers, unknown country codes and numbers outside every range are refused."""
    assert_refused(number, because="must be a valid phone number|must be an international number")


@pytest.mark.parametrize(
    "number", ["+870301234567", "+881612345678", "+8823421234", "+80012345678", "+979123456789"]
)
def test_numbers_of_no_country_are_refused(number: str) -> None:
    """Satellite and other global networks are no country's and cost too much to text."""
    assert_refused(number)


@pytest.mark.parametrize(
    ("number", "country", "kind", "textable"),
    [
        ("+4930123456", "DE", NumberKind.LANDLINE, False),
        ("+390612345678", "IT", NumberKind.LANDLINE, False),
        ("+12025550123", "US", NumberKind.MOBILE_OR_LANDLINE, True),
        ("+919812345678", "IN", NumberKind.MOBILE, True),
        ("+445612345678", "GB", NumberKind.OTHER, False),
        ("+447012345678", "GB", NumberKind.OTHER, False),
    ],
)
def test_kind_tells_whether_a_text_can_arrive(
    number: str, country: str, kind: NumberKind, textable: bool
) -> None:
    """A landline or an Internet number is a valid number, but no place to send a text to."""
    parsed = PhoneNumber.parse(number)
    assert (parsed.e164, parsed.country, parsed.kind, parsed.can_receive_text) == (
        number,
        country,
        kind,
        textable,
    )


def test_no_form_for_people_shows_the_number() -> None:
    """`repr`, `str` and formatting leave the number out; `masked` shows country code and last four digits."""
    number = PhoneNumber.parse(MOBILE)
    for shown in (repr(number), str(number), f"{number}", f"{[number]!r}"):
        assert "5112345" not in shown
        assert "5678" not in shown
    assert number.masked == "+49…5678"


def test_masking_a_short_number_hides_at_least_four_digits() -> None:
    """A small country's six-digit number shows its last two digits only."""
    assert PhoneNumber.parse("+376312345").masked == "+376…45"
