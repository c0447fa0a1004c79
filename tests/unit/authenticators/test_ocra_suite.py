"""OCRA suites: what RFC 6287 section 6 lets be written, and which of them may sign."""

import pytest

from sca_service.authenticators.ocra.suite import OcraHash, OcraSuite, QuestionFormat
from sca_service.kernel.errors import InvalidInput


def test_a_suite_is_taken_apart() -> None:
    """Every part that there can be, in one."""
    text = "OCRA-1:HOTP-SHA512-10:C-QH64-PSHA256-S512-T59M"
    assert OcraSuite.parse(text) == OcraSuite(
        text=text,
        hash=OcraHash.SHA512,
        digits=10,
        has_counter=True,
        question_format=QuestionFormat.HEXADECIMAL,
        question_length=64,
        pin_hash=OcraHash.SHA256,
        session_bytes=512,
        step_seconds=3_540,
    )


def test_a_suite_may_be_a_question_alone() -> None:
    """All else is optional."""
    text = "OCRA-1:HOTP-SHA1-0:QA04"
    assert OcraSuite.parse(text) == OcraSuite(
        text=text,
        hash=OcraHash.SHA1,
        digits=0,
        has_counter=False,
        question_format=QuestionFormat.ALPHANUMERIC,
        question_length=4,
        pin_hash=None,
        session_bytes=None,
        step_seconds=None,
    )


@pytest.mark.parametrize("digits", range(100))
def test_a_response_has_4_to_10_digits_or_is_whole(digits: int) -> None:
    """RFC 6287 section 5.2, table 1."""
    text = f"OCRA-1:HOTP-SHA1-{digits}:QN08"
    if digits in {0, 4, 5, 6, 7, 8, 9, 10}:
        assert OcraSuite.parse(text).digits == digits
    else:
        with pytest.raises(InvalidInput, match="0 \\(no truncation\\) or 4 to 10 digits"):
            OcraSuite.parse(text)


@pytest.mark.parametrize("length", range(100))
def test_a_question_has_4_to_64_characters(length: int) -> None:
    """RFC 6287 section 6.3, table 2."""
    text = f"OCRA-1:HOTP-SHA1-6:QN{length:02d}"
    if 4 <= length <= 64:
        assert OcraSuite.parse(text).question_length == length
    else:
        with pytest.raises(InvalidInput, match="questions of 04 to 64"):
            OcraSuite.parse(text)


@pytest.mark.parametrize("size", [1, 64, 128, 511, 512])
def test_a_session_has_1_to_512_bytes(size: int) -> None:
    """RFC 6287 section 5.1: up to 512."""
    assert OcraSuite.parse(f"OCRA-1:HOTP-SHA1-6:QN08-S{size:03d}").session_bytes == size


@pytest.mark.parametrize("size", [0, 513, 999])
def test_a_session_has_no_other_size(size: int) -> None:
    """Nor none at all."""
    with pytest.raises(InvalidInput, match="session of 001 to 512"):
        OcraSuite.parse(f"OCRA-1:HOTP-SHA1-6:QN08-S{size:03d}")


@pytest.mark.parametrize(
    ("step", "seconds"),
    [("1S", 1), ("20S", 20), ("59S", 59), ("1M", 60), ("59M", 3_540), ("1H", 3_600), ("48H", 172_800)],
)
def test_a_time_step_has_seconds_minutes_or_hours(step: str, seconds: int) -> None:
    """RFC 6287 section 6.3, table 3."""
    suite = OcraSuite.parse(f"OCRA-1:HOTP-SHA1-6:QN08-T{step}")
    assert suite.step_seconds == seconds
    assert [suite.time_step_at(now) for now in (0, seconds - 1, seconds, 7 * seconds)] == [0, 0, 1, 7]


@pytest.mark.parametrize("step", ["60S", "99S", "60M", "49H", "59H"])
def test_a_time_step_has_its_most(step: str) -> None:
    """59 seconds, 59 minutes, 48 hours."""
    with pytest.raises(InvalidInput, match="1 to 59 seconds or minutes, or of 1 to 48 hours"):
        OcraSuite.parse(f"OCRA-1:HOTP-SHA1-6:QN08-T{step}")


def test_a_suite_without_time_has_no_time_step() -> None:
    """Asked for one all the same, it says so."""
    with pytest.raises(ValueError, match="no time step"):
        OcraSuite.parse("OCRA-1:HOTP-SHA1-6:C-QN08").time_step_at(60)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OCRA-1",
        "OCRA-2:HOTP-SHA1-6:QN08",
        "OCRA-1:TOTP-SHA1-6:QN08",
        "OCRA-1:HOTP-SHA1:QN08",
        "OCRA-1:HOTP-SHA1-06:QN08",
        "OCRA-1:HOTP-SHA1-100:QN08",
        "OCRA-1:HOTP-SHA384-6:QN08",
        "OCRA-1:HOTP-MD5-6:QN08",
        "ocra-1:hotp-sha1-6:qn08",
        "OCRA-1:HOTP-SHA1-6:qn08",
        "OCRA-1:HOTP-SHA1-6:QN08-t1m",
        "OCRA-1:HOTP-SHA1-6:",
        "OCRA-1:HOTP-SHA1-6:C",
        "OCRA-1:HOTP-SHA1-6:C-",
        "OCRA-1:HOTP-SHA1-6:Q",
        "OCRA-1:HOTP-SHA1-6:QN8",
        "OCRA-1:HOTP-SHA1-6:QN008",
        "OCRA-1:HOTP-SHA1-6:QX08",
        "OCRA-1:HOTP-SHA1-6:QN0８",  # a full-width digit
        "OCRA-1:HOTP-SHA1-6:QN٠٨",
        "OCRA-1:HOTP-SHA1-6:C-C-QN08",
        "OCRA-1:HOTP-SHA1-6:QN08-QN08",
        "OCRA-1:HOTP-SHA1-6:QN08-C",
        "OCRA-1:HOTP-SHA1-6:QN08-P",
        "OCRA-1:HOTP-SHA1-6:QN08-PSHA2",
        "OCRA-1:HOTP-SHA1-6:QN08-PSHA1-PSHA1",
        "OCRA-1:HOTP-SHA1-6:QN08-S64",
        "OCRA-1:HOTP-SHA1-6:QN08-S",
        "OCRA-1:HOTP-SHA1-6:QN08-S0064",
        "OCRA-1:HOTP-SHA1-6:QN08-S064-PSHA1",
        "OCRA-1:HOTP-SHA1-6:QN08-T1M-S064",
        "OCRA-1:HOTP-SHA1-6:QN08-T1M-PSHA1",
        "OCRA-1:HOTP-SHA1-6:QN08-T",
        "OCRA-1:HOTP-SHA1-6:QN08-T1",
        "OCRA-1:HOTP-SHA1-6:QN08-T1D",
        "OCRA-1:HOTP-SHA1-6:QN08-T01M",
        "OCRA-1:HOTP-SHA1-6:QN08-T0S",
        "OCRA-1:HOTP-SHA1-6:QN08-T0M",
        "OCRA-1:HOTP-SHA1-6:QN08-T0H",  # the RFC's table has it; its verified erratum 3729 does not
        "OCRA-1:HOTP-SHA1-6:QN08-T120S",
        "OCRA-1:HOTP-SHA1-6:QN08-T1M-T1M",
        "OCRA-1:HOTP-SHA1-6:QN08-",
        " OCRA-1:HOTP-SHA1-6:QN08",
        "OCRA-1:HOTP-SHA1-6:QN08 ",
        "OCRA-1:HOTP-SHA1-6:QN08\n",
        "OCRA-1:HOTP-SHA1-6:QN08\0",
        "OCRA-1:HOTP-SHA1-6:QN08" + "-PSHA1" * 100_000,
    ],
)
def test_other_spellings_are_no_suite(text: str) -> None:
    """Parts that are unknown, lower case, doubled, out of order or without their length."""
    with pytest.raises(InvalidInput) as refused:
        OcraSuite.parse(text)
    assert refused.value.mistakes[0].pointer == ""
    assert "must be an OCRA suite" in refused.value.mistakes[0].detail


@pytest.mark.parametrize(
    ("question", "bits", "is_enough"),
    [
        ("QN04", 13, False),
        ("QN07", 23, False),
        ("QN08", 26, True),
        ("QN09", 29, True),
        ("QN64", 212, True),
        ("QA04", 20, False),
        ("QA05", 25, False),
        ("QA06", 30, True),
        ("QA64", 256, True),
        ("QH06", 24, False),
        ("QH07", 28, True),
        ("QH64", 256, True),
    ],
)
def test_a_question_has_to_keep_26_bits_of_the_digest(question: str, bits: int, is_enough: bool) -> None:
    """8 decimal digits do, 7 do not, whatever else the suite has."""
    suite = OcraSuite.parse(f"OCRA-1:HOTP-SHA256-8:C-{question}-T1M")
    assert suite.question_bits == bits
    assert suite.signs_transactions is is_enough


@pytest.mark.parametrize(
    ("inputs", "signs"),
    [
        ("QN08", False),
        ("QN08-PSHA1", False),
        ("C-QN08", True),
        ("QN08-T1M", True),
        ("C-QN08-PSHA256-T1H", True),
        ("C-QN08-S064", False),  # RFC 6287 section 6.3: no session in a signature
        ("QN08-S064-T1M", False),
    ],
)
def test_a_suite_that_signs_has_a_counter_or_the_time(inputs: str, signs: bool) -> None:
    """Otherwise the same question would have the same response for ever."""
    assert OcraSuite.parse(f"OCRA-1:HOTP-SHA256-8:{inputs}").signs_transactions is signs


@pytest.mark.parametrize(
    ("function", "length"), [("SHA1-4", 4), ("SHA1-0", 40), ("SHA256-0", 64), ("SHA512-0", 128)]
)
def test_a_response_has_a_length(function: str, length: int) -> None:
    """Its digits, or the whole MAC in hexadecimal ones."""
    assert OcraSuite.parse(f"OCRA-1:HOTP-{function}:QN08").response_length == length
