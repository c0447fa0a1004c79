"""Accounts: IBANs by structure and check digits, and national numbers."""

import pytest

from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput

PUBLISHED_IBANS = [
    "AD1200012030200359100100",
    "BE68539007547034",
    "BR1800360305000010009795493C1",
    "CH9300762011623852957",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "IT60X0542811101000000123456",
    "LC55HEMM000100010012001200023015",
    "MT84MALT011000012345MTLCAST001S",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "SC18SSCB11010000000000001497USD",
]
"""The examples of the IBAN registry."""


def refused_at(*, iban: str | None = None, bban: str | None = None) -> str:
    """Where the mistake is; the error does not show what was sent."""
    with pytest.raises(InvalidInput) as caught:
        Account.parse(iban=iban, bban=bban)
    for sent in (iban, bban):
        assert not sent or len(sent) < 5 or sent not in str(caught.value)
    (mistake,) = caught.value.mistakes
    return mistake.pointer


@pytest.mark.parametrize("iban", PUBLISHED_IBANS)
def test_published_ibans_are_read(iban: str) -> None:
    """Each example of the registry is an account as it stands."""
    assert Account.parse(iban=iban) == Account(iban=iban)


@pytest.mark.parametrize("iban", PUBLISHED_IBANS)
def test_spaces_and_lower_case_make_no_other_account(iban: str) -> None:
    """The printed form, in groups of four, and lower case are the same IBAN."""
    printed = " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))
    assert Account.parse(iban=printed.lower()) == Account(iban=iban)


@pytest.mark.parametrize("iban", PUBLISHED_IBANS)
def test_every_single_wrong_digit_is_refused(iban: str) -> None:
    """ISO 7064 mod 97 finds each digit that is off by one."""
    for place, character in enumerate(iban):
        if character.isdigit():
            changed = iban[:place] + str((int(character) + 1) % 10) + iban[place + 1 :]
            assert refused_at(iban=changed) == "/iban"


@pytest.mark.parametrize(
    "iban",
    [
        *(
            "",
            " ",
            "DE",
            "DE89",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "D389370400440532013000",
        ),
        *("XX89370400440532013000", "US89370400440532013000", "DE89-3704-0044-0532-0130-00"),
        *("DE89370400440532013000\n", "DE89\x00370400440532013000", "IBAN DE89370400440532013000"),
        *(
            "ＤＥ89370400440532013000",
            "DE8937040044053201300٠",
            "SC18ſSCB11010000000000001497USD",
            " " * 50 + "DE89370400440532013000",
        ),
        *("DE8937040044053201300A", "GB291WBK60161331926819", "FR1420041010050500013M0260Z"),
    ],
)
def test_what_is_no_iban_is_refused(iban: str) -> None:
    """Unknown countries, wrong lengths, letters for digits and foreign characters are refused."""
    assert refused_at(iban=iban) == "/iban"


def test_check_digits_that_spell_an_account_twice_are_refused() -> None:
    """98 and 01 leave the same remainder, but only 02 to 98 are check digits (ISO 13616)."""
    body = next(body for body in range(10**17, 10**17 + 200) if _check_digits(f"{body:018d}") == 98)
    assert Account.parse(iban=f"DE98{body:018d}").tail == f"{body:018d}"[-4:]
    assert refused_at(iban=f"DE01{body:018d}") == "/iban"


def _check_digits(german_account: str) -> int:
    """ISO 7064 check digits of a German account part; D is 13 and E is 14."""
    return 98 - int(german_account + "131400") % 97


@pytest.mark.parametrize("bban", ["1", "0532013000", "NWBK60161331926819", "abcXYZ", "9" * 30])
def test_a_national_number_is_taken_as_it_is(bban: str) -> None:
    """1 to 30 ASCII letters and digits, case kept."""
    assert Account.parse(bban=bban) == Account(bban=bban)


@pytest.mark.parametrize("bban", ["", "9" * 31, "12 34", "12-34", "١٢٣٤", "1234\n", "12\x0034", "é"])
def test_what_is_no_national_number_is_refused(bban: str) -> None:
    """Separators, other scripts, control characters and over 30 characters are refused."""
    assert refused_at(bban=bban) == "/bban"


def test_exactly_one_of_the_two_is_an_account() -> None:
    """None and both are refused at the account itself."""
    assert refused_at() == ""
    assert refused_at(iban=PUBLISHED_IBANS[0], bban="1") == ""


def test_tail_is_what_the_payer_compares() -> None:
    """The last four characters, of a short number all of it."""
    assert Account(iban="DE89370400440532013000").tail == "3000"
    assert Account(bban="77ab12").tail == "ab12"
    assert Account(bban="12").tail == "12"


def test_no_form_for_people_shows_the_account() -> None:
    """`repr` and formatting leave the number out."""
    assert repr(Account(iban="DE89370400440532013000")) == "Account()"
    assert f"{Account(bban='77ab12')}" == "Account()"
