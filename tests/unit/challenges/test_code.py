"""The one-time code: RFC 4226 over a key of its own, and what may be presented as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.challenges import code
from sca_service.challenges.model import ChallengeId
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Purpose
from tests.rfc4226 import RFC_4226_KEY, RFC_4226_VALUES, hotp

KEYRING = Keyring(
    current=1,
    roots={1: bytes(range(32)), 2: bytes(range(32, 64))},
    index=bytes(range(64, 96)),
    signing=[bytes(range(96, 128))],
)
DIGEST = "sha256:" + "ab" * 32


def challenge_id(*, digits: int = 6, version: int = 1, tail: str = "0" * 32) -> ChallengeId:
    """An id that is always the same."""
    return ChallengeId.new(
        partition=7, purpose=Purpose.PAYMENT, key_version=version, digits=digits, unique=tail
    )


def test_the_reference_used_here_is_rfc_4226() -> None:
    """The values of its appendix D."""
    assert [hotp(RFC_4226_KEY, counter, 6) for counter in range(10)] == RFC_4226_VALUES


@pytest.mark.parametrize("digits", [6, 7, 8, 9, 10])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("digest", ["", DIGEST])
def test_a_code_is_rfc_4226_over_a_key_of_its_own(digits: int, version: int, digest: str) -> None:
    """The key is the MAC over id, purpose and digest: a change here would make every pending code wrong."""
    challenge = challenge_id(digits=digits, version=version)
    record = f"{challenge.text}\0payment\0{digest}".encode()
    expected = hotp(KEYRING.code_key(version, record), 0, digits)
    assert code.derive(KEYRING, challenge, digest).reveal() == expected


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(6, 10))
def test_a_code_has_its_digits_always(tail: str, digits: int) -> None:
    """Leading zeros are digits too."""
    derived = code.derive(KEYRING, challenge_id(digits=digits, tail=tail), DIGEST).reveal()
    assert len(derived) == digits
    assert derived.isascii()
    assert derived.isdigit()


def test_the_right_code_matches_and_its_like_do_not() -> None:
    """Not a part of it, not with something around it, not one of another length."""
    challenge = challenge_id()
    right = code.derive(KEYRING, challenge, DIGEST).reveal()
    assert code.matches(KEYRING, challenge, DIGEST, Secret(right))
    for presented in (right[:5], right + "0", "0" + right, right[::-1] + "1", "abcdef", "ABCDEF012345"):
        assert not code.matches(KEYRING, challenge, DIGEST, Secret(presented))


def test_a_code_whose_root_is_lost_is_an_error() -> None:
    """The payer must not be blocked for a key that we have lost."""
    with pytest.raises(SealBroken):
        code.matches(KEYRING, challenge_id(version=3), DIGEST, Secret("000000"))


@pytest.mark.parametrize("text", ["0000", "693554", "123456789012", "abcd", "AbC123", "0007"])
def test_four_to_twelve_ascii_letters_or_digits_are_a_code(text: str) -> None:
    """Whatever a client takes for one; it is compared, not judged."""
    assert code.parse_code(text).reveal() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123",
        "1234567890123",
        " 693554",
        "693554 ",
        "693 554",
        "693-554",
        "693554\n",
        "693554\x00",
        "６９３５５４",  # full-width digits, which pyotp takes for the same code
        "٦٩٣٥٥٤",
        "६९३५५४",
        "69355４",
        "²²²²²²",
        "ⅥⅨⅢⅤ",
        "äöüß",
        "+69355",
        "6.9e54",
        "{code}",
    ],
)
def test_anything_else_is_refused_and_costs_no_attempt(text: str) -> None:
    """Full-width and other digits of Unicode would be the same code spelled twice."""
    with pytest.raises(InvalidInput) as refused:
        code.parse_code(text)
    assert not text.strip() or text not in str(refused.value)


@given(st.text(min_size=1, max_size=20))
def test_what_is_taken_for_a_code_is_what_was_presented(text: str) -> None:
    """Nothing is trimmed, folded or normalised on the way: one spelling, one code."""
    try:
        parsed = code.parse_code(text).reveal()
    except InvalidInput:
        return
    assert parsed == text
    assert 4 <= len(text) <= 12
    assert set(text) <= set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
