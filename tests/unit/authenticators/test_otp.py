"""Codes of generators: the vectors of RFC 4226 and RFC 6238, the windows, and what a generator reads."""

import pyotp
import pytest

from sca_service.authenticators.model import OtpShape
from sca_service.authenticators.otp import (
    SEED_BYTES,
    enrolment_uri,
    matching_pair,
    matching_step,
    steps_to_try,
    time_step,
)
from sca_service.kernel.hotp import OtpAlgorithm, hotp
from sca_service.kernel.secret import Secret
from tests.rfc4226 import RFC_4226_KEY, RFC_4226_VALUES

COUNTED = OtpShape(digits=6, period_seconds=0)
TIMED = OtpShape(digits=6, period_seconds=30)
SEED = Secret(RFC_4226_KEY)
RFC_6238 = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize(("counter", "code"), list(enumerate(RFC_4226_VALUES)))
def test_the_codes_of_rfc_4226(counter: int, code: str) -> None:
    """Appendix D: the first ten codes of the secret 12345678901234567890."""
    assert hotp(RFC_4226_KEY, counter, digits=6) == code


@pytest.mark.parametrize("algorithm", list(OtpAlgorithm))
@pytest.mark.parametrize(("at", "sha1", "sha256", "sha512"), RFC_6238)
def test_the_codes_of_rfc_6238(at: int, sha1: str, sha256: str, sha512: str, algorithm: OtpAlgorithm) -> None:
    """Appendix B: eight digits for each hash, whose secrets are 20, 32 and 64 bytes."""
    length, code = {
        OtpAlgorithm.SHA1: (20, sha1),
        OtpAlgorithm.SHA256: (32, sha256),
        OtpAlgorithm.SHA512: (64, sha512),
    }[algorithm]
    key = (RFC_4226_KEY * 4)[:length]
    assert hotp(key, time_step(at * 1000, 30), digits=8, algorithm=algorithm) == code


@pytest.mark.parametrize(
    ("last_step", "look_back", "wanted"),
    [(-1, 1, [99, 100]), (-1, 0, [100]), (98, 1, [99, 100]), (99, 1, [100]), (100, 1, []), (150, 1, [])],
)
def test_the_steps_of_time_end_now_and_begin_after_the_last(
    last_step: int, look_back: int, wanted: list[int]
) -> None:
    """The current one and those before it, none that is used or older than a used one."""
    steps = steps_to_try(
        TIMED, last_step=last_step, now_ms=100 * 30_000 + 29_999, look_back=look_back, look_ahead=5
    )
    assert list(steps) == wanted


@pytest.mark.parametrize(
    ("last_step", "look_ahead", "wanted"), [(-1, 0, [0]), (-1, 2, [0, 1, 2]), (7, 1, [8, 9])]
)
def test_the_steps_of_a_counter_begin_with_the_next(
    last_step: int, look_ahead: int, wanted: list[int]
) -> None:
    """The next counter and as many after it as may have been skipped; time does not matter."""
    assert (
        list(steps_to_try(COUNTED, last_step=last_step, now_ms=0, look_back=9, look_ahead=look_ahead))
        == wanted
    )


def test_a_code_tells_its_step_or_none() -> None:
    """The step it belongs to within those asked for; a code of another step is none."""
    assert matching_step(COUNTED, SEED, Secret(RFC_4226_VALUES[3]), range(10)) == 3
    assert matching_step(COUNTED, SEED, Secret(RFC_4226_VALUES[3]), range(4, 10)) is None
    assert matching_step(COUNTED, SEED, Secret(RFC_4226_VALUES[3][:5]), range(10)) is None
    assert matching_step(COUNTED, SEED, Secret("abcdef"), range(10)) is None
    assert matching_step(COUNTED, SEED, Secret(RFC_4226_VALUES[0]), range(0)) is None


def test_two_codes_in_a_row_find_a_counter_far_ahead() -> None:
    """RFC 4226 section 7.4: the second one's counter, so that neither is ever taken again; not in the wrong order."""

    def pair(first: int, second: int) -> tuple[Secret[str], Secret[str]]:
        return Secret(hotp(RFC_4226_KEY, first, digits=6)), Secret(hotp(RFC_4226_KEY, second, digits=6))

    assert matching_pair(COUNTED, SEED, pair(60, 61), 5) == 61
    assert matching_pair(COUNTED, SEED, pair(61, 60), 5) is None
    assert matching_pair(COUNTED, SEED, pair(60, 62), 5) is None
    assert matching_pair(COUNTED, SEED, pair(5, 6), 5) is None
    assert matching_pair(COUNTED, SEED, pair(105, 106), 5) == 106
    assert matching_pair(COUNTED, SEED, pair(106, 107), 5) is None


@pytest.mark.parametrize("shape", [TIMED, COUNTED, OtpShape(8, 60, OtpAlgorithm.SHA256)])
def test_a_generator_reads_the_uri(shape: OtpShape) -> None:
    """An independent reader finds the seed, the digits, the period or the counter, and both names."""
    uri = enrolment_uri(shape, SEED, issuer="Bank & Söhne: Berlin", account="Anna/1", counter=0)
    read = pyotp.parse_uri(uri.reveal())
    assert read.byte_secret() == RFC_4226_KEY
    assert read.digits == shape.digits
    assert (read.issuer, read.name) == ("Bank & Söhne: Berlin", "Anna/1")
    if shape.period_seconds:
        assert isinstance(read, pyotp.TOTP)
        assert read.interval == shape.period_seconds
    assert "12345678901234567890" not in repr(uri)


def test_a_seed_has_160_bits() -> None:
    """RFC 4226 R6: at least 128 bits, 160 recommended."""
    assert SEED_BYTES * 8 == 160
