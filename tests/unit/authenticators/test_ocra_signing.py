"""Generators that sign: the suites and keys that are taken, what is asked, and which step an answer uses up."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sca_service.authenticators.ocra.response import OcraInputs, question_of, respond
from sca_service.authenticators.ocra.signing import (
    LONGEST_STEP_SECONDS,
    answered_step,
    key_text,
    parse_key,
    parse_suite,
    question_for,
)
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret
from sca_service.policy.model import OcraPolicy

KEY = Secret(b"12345678901234567890123456789012")
DIGEST = "sha256:" + "ab" * 32
NOW_MS = 1_795_867_200_000
QUESTION = "12345678"


def step_of(
    suite: OcraSuite, presented: str, last_step: int = 10, *, ahead: int = 5, back: int = 1
) -> int | None:
    """The step that an answer to the question is right for, after step 10."""
    policy = OcraPolicy(look_ahead_counters=ahead, look_back_steps=back)
    return answered_step(
        suite, KEY, Secret(presented), QUESTION, last_step=last_step, now_ms=NOW_MS, policy=policy
    )


def answer(suite: OcraSuite, counter: int | None = None, time_step: int | None = None) -> str:
    """What a device answers (RFC 6287; held against its vectors elsewhere)."""
    return respond(suite, KEY, OcraInputs(QUESTION, counter, time_step=time_step)).reveal()


@pytest.mark.parametrize(
    "text",
    [
        "OCRA-1:HOTP-SHA256-8:C-QH40",
        "OCRA-1:HOTP-SHA1-6:C-QN08",
        "OCRA-1:HOTP-SHA512-10:QA06-T30S",
        "OCRA-1:HOTP-SHA512-8:QN08-T1M",
        "OCRA-1:HOTP-SHA256-6:C-QN64-T48H",  # its counter is what is accepted once
    ],
)
def test_a_suite_that_signs_is_taken(text: str) -> None:
    """It is kept as it was spelled: the text is part of what is computed."""
    assert parse_suite(text).text == text


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("OCRA-1:HOTP-SHA256-0:C-QH40", ["digits"]),
        ("OCRA-1:HOTP-SHA256-5:C-QH40", ["digits"]),
        ("OCRA-1:HOTP-SHA256-8:C-QN07", ["longer question"]),
        ("OCRA-1:HOTP-SHA256-8:C-QN08-PSHA1", ["PIN"]),
        ("OCRA-1:HOTP-SHA256-8:C-QN08-S064", ["session"]),
        ("OCRA-1:HOTP-SHA256-8:QN08", ["counter"]),
        ("OCRA-1:HOTP-SHA256-8:QN08-T2M", ["time step"]),
        ("OCRA-1:HOTP-SHA1-4:QH04-PSHA1-S064", ["digits", "longer question", "PIN", "session", "counter"]),
        ("OCRA-1:HOTP-SHA256-8:QN08-C", ["OCRA suite"]),
        ("", ["OCRA suite"]),
    ],
)
def test_an_unfit_suite_is_told_every_reason(text: str, reasons: list[str]) -> None:
    """Each by its name, so that a bank knows which other one to order."""
    with pytest.raises(InvalidInput) as refused:
        parse_suite(text)
    told = [mistake.detail for mistake in refused.value.mistakes]
    assert len(told) == len(reasons)
    for reason, detail in zip(reasons, told, strict=True):
        assert reason in detail


@given(
    function=st.sampled_from(["SHA1", "SHA256", "SHA512"]),
    digits=st.sampled_from([0, *range(4, 11)]),
    counter=st.sampled_from(["", "C-"]),
    written=st.sampled_from("ANH"),
    length=st.integers(4, 64),
    rest=st.sampled_from(["", "-PSHA1", "-S001", "-T1S", "-T1M", "-T61S", "-T48H", "-PSHA256-S512-T59M"]),
)
def test_every_suite_that_is_taken_signs_transactions(
    function: str, digits: int, counter: str, written: str, length: int, rest: str
) -> None:
    """Whatever its parts are: RTS Art. 5, and a step that passes by while a payer waits."""
    text = f"OCRA-1:HOTP-{function}-{digits}:{counter}Q{written}{length:02}{rest}"
    try:
        suite = parse_suite(text)
    except InvalidInput:
        return
    assert suite.signs_transactions
    assert suite.digits >= 6
    assert suite.pin_hash is None
    assert suite.has_counter or (suite.step_seconds or 0) <= LONGEST_STEP_SECONDS


@pytest.mark.parametrize("size", [16, 20, 32, 64])
def test_a_key_is_read_as_it_is_told(size: int) -> None:
    """Padded or not, it is the same key."""
    raw = bytes(range(1, size + 1))
    assert parse_key(key_text(raw).reveal()).reveal() == raw
    assert parse_key(base64.b32encode(raw).decode()).reveal() == raw


@pytest.mark.parametrize(
    "text",
    [
        "",
        base64.b32encode(bytes(15)).decode(),
        base64.b32encode(bytes(65)).decode(),
        base64.b32encode(b"z" * 20).decode().lower(),
        "A" * 25 + "B",  # a bit behind the last byte
        "A" * 26 + "=",  # neither padded nor not
        "A" * 30,
        "A" * 31 + "1",
        "A" * 31 + "Ａ",
        " " + "A" * 32,
        "A" * 32 + "\n",
    ],
)
def test_a_key_has_one_spelling(text: str) -> None:
    """What is not a key of 16 to 64 bytes is refused, and never repeated."""
    with pytest.raises(InvalidInput) as refused:
        parse_key(text)
    (mistake,) = refused.value.mistakes
    assert mistake.pointer == ""
    assert "16 to 64 bytes" in mistake.detail
    assert "AAAA" not in repr(refused.value)
    assert "AAAA" not in repr(refused.value.__cause__)


def test_a_question_is_of_one_challenge_and_its_transaction() -> None:
    """Another challenge, another transaction or none at all is another question."""
    suite = parse_suite("OCRA-1:HOTP-SHA256-8:C-QH40")
    asked = question_for(suite, "chl_1", DIGEST)
    assert asked == question_of(suite, challenge_id="chl_1", transaction_digest=DIGEST)
    others = {
        question_for(suite, "chl_2", DIGEST),
        question_for(suite, "chl_1", "sha256:" + "ac" * 32),
        question_for(suite, "chl_1"),
        question_for(suite, "chl_2"),
        question_for(suite, "aut_1"),
    }
    assert len(others - {asked}) == 5


def test_without_a_transaction_the_digest_is_of_the_id() -> None:
    """SHA-256 of `chl_1`, computed by sha256sum."""
    suite = parse_suite("OCRA-1:HOTP-SHA256-8:C-QH40")
    digest = "sha256:830cda816f4b914e65434997ff91584218229e42bda44f7d39b08e11cc75ea95"
    assert question_for(suite, "chl_1") == question_of(suite, challenge_id="chl_1", transaction_digest=digest)


def test_counters_are_taken_after_the_last_and_within_the_window() -> None:
    """The next and as many more as the policy lets be skipped; never the last again."""
    suite = parse_suite("OCRA-1:HOTP-SHA256-8:C-QN08")
    found = {counter: step_of(suite, answer(suite, counter), ahead=5) for counter in range(9, 19)}
    assert found == {counter: counter if 11 <= counter <= 16 else None for counter in found}
    assert step_of(suite, answer(suite, 12), ahead=0) is None


def test_time_steps_are_taken_up_to_now() -> None:
    """The current and as many before as the policy says; none to come."""
    suite = parse_suite("OCRA-1:HOTP-SHA256-8:QN08-T30S")
    now = NOW_MS // 30_000
    found = {step: step_of(suite, answer(suite, time_step=step), back=1) for step in range(now - 3, now + 3)}
    assert found == {step: step if now - 1 <= step <= now else None for step in found}
    assert step_of(suite, answer(suite, time_step=now - 1), back=0) is None


def test_of_counter_and_time_the_counter_is_used_up() -> None:
    """Two answers within one time step are two steps."""
    suite = parse_suite("OCRA-1:HOTP-SHA256-8:C-QN08-T1M")
    now = NOW_MS // 60_000
    assert [step_of(suite, answer(suite, counter, now)) for counter in (11, 12)] == [11, 12]
    assert step_of(suite, answer(suite, 11, now - 1)) == 11
    assert step_of(suite, answer(suite, 11, now - 2)) is None


@pytest.mark.parametrize("presented", ["1234567", "123456789", "1234567a", "abcdefgh", ""])
def test_what_is_no_answer_is_a_wrong_one(presented: str) -> None:
    """It raises nothing: a payer who mistypes hears what every wrong code hears."""
    assert step_of(parse_suite("OCRA-1:HOTP-SHA256-8:C-QN08"), presented) is None
