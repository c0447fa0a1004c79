"""Generators that sign: which suites and keys are taken, what they are asked, which step an answer uses up. Pure.

A step is a counter, or a time step where the suite has no counter. Whoever asks here for the step of an answer still
has to claim it: a step is accepted once, and none before it.
"""

import base64
import hashlib
from typing import Final

from sca_service.authenticators.ocra.response import SHORTEST_KEY_BYTES, OcraInputs, matches, question_of
from sca_service.authenticators.ocra.suite import FEWEST_QUESTION_BITS, OcraSuite
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.secret import Secret
from sca_service.policy.model import OcraPolicy

FEWEST_DIGITS: Final = 6
"""RFC 4226 section 4, R4: a code has at least 6 digits."""

LONGEST_KEY_BYTES: Final = 64
"""The longest digest of a suite, SHA-512's: RFC 6287 has keys as long as their hash."""

LONGEST_STEP_SECONDS: Final = 60
"""Of time alone: each step is accepted once, so a payer waits as long between two answers. 1 minute is usual."""


def parse_suite(text: str) -> OcraSuite:
    """A suite whose answers can stand for a payer's consent. Raises InvalidInput (pointer `""`) with every reason.

    Those of `OcraSuite.signs_transactions`, at least 6 digits, no PIN in the MAC since none is kept in that form, and
    steps that are not too long where nothing but time changes.
    """
    suite = OcraSuite.parse(text)
    is_timed = suite.step_seconds is not None
    bits = suite.question_bits
    reasons = (
        (suite.digits < FEWEST_DIGITS, f"must have {FEWEST_DIGITS} to 10 digits"),
        (
            bits < FEWEST_QUESTION_BITS,
            f"must have a longer question: it keeps {bits} bits of a transaction, {FEWEST_QUESTION_BITS} are needed",
        ),
        (suite.pin_hash is not None, "must take no PIN (-P…): a PIN is asked beside the code"),
        (
            suite.session_bytes is not None,
            "must take no session (-S…): a signature has none (RFC 6287 section 6.3)",
        ),
        (
            not suite.has_counter and not is_timed,
            "must take a counter (C-) or the time (-T…): no answer is accepted twice",
        ),
        (
            not suite.has_counter and (suite.step_seconds or 0) > LONGEST_STEP_SECONDS,
            f"must have a time step of at most {LONGEST_STEP_SECONDS} seconds, or a counter: each is accepted once",
        ),
    )
    unmet = [Mistake("", reason) for is_unmet, reason in reasons if is_unmet]
    if unmet:
        raise InvalidInput(*unmet)
    return suite


def parse_key(text: str) -> Secret[bytes]:
    """A key in base32 (RFC 4648 section 6), padded or not. Raises InvalidInput (pointer `""`), never repeating it."""
    unreadable = InvalidInput.at(
        "", f"must be {SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES} bytes in base32: A to Z and 2 to 7"
    )
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError as error:
        raise unreadable from error
    padded = base64.b32encode(key).decode()
    if not SHORTEST_KEY_BYTES <= len(key) <= LONGEST_KEY_BYTES or text not in (padded, padded.rstrip("=")):
        raise unreadable  # also for bits behind the last byte: one key has one spelling
    return Secret(key)


def key_text(key: bytes) -> Secret[str]:
    """The key in base32 without padding, for the one answer that it leaves by."""
    return Secret(base64.b32encode(key).decode().rstrip("="))


def question_for(suite: OcraSuite, asked_by: str, transaction_digest: str = "") -> str:
    """The question of a challenge for its transaction, or of an enrolment; `asked_by` is the id of either.

    Where there is no transaction, the digest is the SHA-256 of that id alone, so the question is still nobody else's.
    Raises what `response.question_of` raises.
    """
    digest = transaction_digest or f"sha256:{hashlib.sha256(asked_by.encode()).hexdigest()}"
    return question_of(suite, challenge_id=asked_by, transaction_digest=digest)


def answered_step(
    suite: OcraSuite,
    key: Secret[bytes],
    presented: Secret[str],
    question: str,
    *,
    last_step: int,
    now_ms: int,
    policy: OcraPolicy,
) -> int | None:
    """The step that an answer to our own question is right for; None when it is wrong, also for no code at all.

    Counters are looked for after `last_step`, time steps up to now, as far as the policy goes. Of both in one suite
    the counter is the step: a time step alone would let two answers share it.
    """
    inputs = OcraInputs(
        question,
        counter=last_step + 1 if suite.has_counter else None,
        time_step=None if suite.step_seconds is None else suite.time_step_at(now_ms // 1000),
    )
    try:
        match = matches(
            suite,
            key,
            presented,
            inputs,
            look_ahead=policy.look_ahead_counters if suite.has_counter else 0,
            look_back=0 if suite.step_seconds is None else policy.look_back_steps,
        )
    except InvalidInput:  # other characters or another length: as wrong as any other code
        return None
    if match is None:
        return None
    return match.counter if suite.has_counter else match.time_step
