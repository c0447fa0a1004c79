"""The OCRA response: the question a transaction becomes, what a device answers, and whether an answer is right. Pure.

RFC 6287 sections 5 to 7; where its text leaves an encoding open, its reference implementation (appendix A) decides.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sca_service.authenticators.ocra.suite import OcraSuite, QuestionFormat
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret

SHORTEST_KEY_BYTES: Final = 16
"""RFC 4226 section 4, R6: a shared secret has at least 128 bits."""

LONGEST_KEY_BYTES: Final = 128
"""The block of SHA-512: HMAC would shorten anything longer."""

MOST_CANDIDATES: Final = 32
"""Each further candidate is a further code that would be taken: 32 of 10^6 leave a guess one chance in 31 250."""

MOST_CHALLENGE_ID_CHARACTERS: Final = 128
"""More than any id of a challenge has."""

LARGEST_STEP: Final = 2**64 - 1
"""Counters and time steps go into the MAC as 8 bytes (RFC 6287 section 5.1)."""

_QUESTION_BYTES: Final = 128
_MUTUAL: Final = 2
"""In mutual authentication both sides' questions are one after the other (RFC 6287 section 7.2)."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Digits and letters without I, L, O and U: nothing is mistaken for something else when it is typed."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SPELLINGS: Final = {
    QuestionFormat.ALPHANUMERIC: (re.compile(r"[0-9A-Za-z]+"), "ASCII letters or digits"),
    QuestionFormat.NUMERIC: (re.compile(r"[0-9]+"), "decimal digits"),
    QuestionFormat.HEXADECIMAL: (re.compile(r"[0-9A-Fa-f]+"), "hexadecimal digits"),
}
_CODE: Final = re.compile(r"[0-9]+")
_WHOLE_MAC: Final = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class OcraInputs:
    """What goes into the MAC beside the suite; a suite says which of them it takes, and takes no other."""

    question: str
    counter: int | None = None
    pin_hash: Secret[bytes] | None = None
    """The payer's PIN, hashed already with what the suite says."""
    session: bytes | None = None
    time_step: int | None = None
    """Time steps since 1970, see `OcraSuite.time_step_at`."""


@dataclass(frozen=True, slots=True)
class OcraMatch:
    """An answer that is right, and what it was right for: the next one has to have a higher counter or time step."""

    counter: int | None
    time_step: int | None


def question_of(suite: OcraSuite, *, challenge_id: str, transaction_digest: str) -> str:
    """The question that a challenge puts for a transaction, always as long as the suite lets it be.

    SHA-512 over a label, challenge id and digest (`sha256:` and 64 hexadecimal digits), as a number, modulo
    `suite.questions`, is written in the suite's format: H in upper-case hexadecimal digits (4 bits each), A in an
    alphabet of 32 (5 bits each), N in decimal digits of which the first is never 0 (3.3 bits each, 26 of 8). The
    zero is left out because RFC 6287 pads on the right what it has made hexadecimal: 1 and 16 would be one question.
    `suite.question_bits` says how much of the digest is kept. A question shows neither amount nor payee: the payer
    has to see them beside it (RTS Art. 5(1)(a)).

    Raises ValueError for a digest or id that is none, and for a suite that does not sign transactions.
    """
    if not suite.signs_transactions:
        raise ValueError("the suite does not sign transactions")
    if not _DIGEST.fullmatch(transaction_digest):
        raise ValueError("must be a transaction digest: sha256: and 64 hexadecimal digits")
    if not 0 < len(challenge_id) <= MOST_CHALLENGE_ID_CHARACTERS:
        raise ValueError("must be the id of a challenge")
    record = "\0".join(("ocra-question", challenge_id, transaction_digest)).encode()
    number = int.from_bytes(hashlib.sha512(record).digest(), "big") % suite.questions
    match suite.question_format:
        case QuestionFormat.NUMERIC:
            return str(10 ** (suite.question_length - 1) + number)
        case QuestionFormat.HEXADECIMAL:
            return f"{number:0{suite.question_length}X}"
        case QuestionFormat.ALPHANUMERIC:
            return "".join(
                _ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(suite.question_length))
            )


def respond(suite: OcraSuite, key: Secret[bytes], inputs: OcraInputs) -> Secret[str]:
    """What a device that holds the key answers: decimal digits, or the whole MAC in lower-case hexadecimal ones.

    Raises ValueError when inputs are missing that the suite takes, or given that it does not, and for a key of less
    than 16 or more than 128 bytes; InvalidInput at the input that is out of bounds.
    """
    if not SHORTEST_KEY_BYTES <= len(key.reveal()) <= LONGEST_KEY_BYTES:
        raise ValueError(f"a key has {SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES} bytes")
    mac = hmac.digest(key.reveal(), _message(suite, inputs), suite.hash.lower())
    if suite.digits == 0:
        return Secret(mac.hex())
    start = mac[-1] & 0xF  # RFC 4226 section 5.3
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFF_FFFF
    return Secret(f"{number % 10**suite.digits:0{suite.digits}d}")


def matches(
    suite: OcraSuite,
    key: Secret[bytes],
    presented: Secret[str],
    inputs: OcraInputs,
    *,
    look_ahead: int = 0,
    look_back: int = 0,
) -> OcraMatch | None:
    """Which counter or time step the presented answer is right for; None when it is wrong.

    `inputs` have the next counter and the present time step. Taken are that counter and `look_ahead` more, which the
    device may have used up meanwhile, and that time step and `look_back` before it, since typing takes time. Each
    candidate is computed and compared, so the time tells nothing; of two that match, the lowest counter and the
    latest step count. The caller keeps what matched and never goes back behind it.

    Raises InvalidInput (pointer `""`) when what is presented cannot be an answer: other than ASCII digits, or of
    another length; ValueError for a window the suite has no use for or of more than 32 candidates; and what
    `respond` raises.
    """
    shape = _CODE if suite.digits else _WHOLE_MAC
    if len(presented.reveal()) != suite.response_length or not shape.fullmatch(presented.reveal()):
        kind = "decimal" if suite.digits else "lower-case hexadecimal"
        raise InvalidInput.at("", f"must be {suite.response_length} {kind} digits")
    _message(suite, inputs)  # raises for inputs that no candidate may be made of
    _check_windows(suite, look_ahead=look_ahead, look_back=look_back)
    found: OcraMatch | None = None
    for candidate in _candidates(inputs, look_ahead=look_ahead, look_back=look_back):
        expected = respond(suite, key, candidate)
        if hmac.compare_digest(expected.reveal(), presented.reveal()):
            found = OcraMatch(candidate.counter, candidate.time_step)
    return found


def _check_windows(suite: OcraSuite, *, look_ahead: int, look_back: int) -> None:
    if look_ahead < 0 or look_back < 0 or (1 + look_ahead) * (1 + look_back) > MOST_CANDIDATES:
        raise ValueError(f"the windows must hold 1 to {MOST_CANDIDATES} candidates")
    if (look_ahead and not suite.has_counter) or (look_back and suite.step_seconds is None):
        raise ValueError("the suite has no counter to look ahead, or no time to look back")


def _candidates(inputs: OcraInputs, *, look_ahead: int, look_back: int) -> Iterator[OcraInputs]:
    """Those that count most come last, so that they stay."""
    counters: list[int | None] = [inputs.counter]
    if inputs.counter is not None:
        counters = [*reversed(range(inputs.counter, min(inputs.counter + look_ahead, LARGEST_STEP) + 1))]
    steps: list[int | None] = [inputs.time_step]
    if inputs.time_step is not None:
        steps = [*range(max(inputs.time_step - look_back, 0), inputs.time_step + 1)]
    for counter in counters:
        for step in steps:
            yield replace(inputs, counter=counter, time_step=step)


def _check_presence(suite: OcraSuite, inputs: OcraInputs) -> None:
    for name, given, is_taken in (
        ("counter", inputs.counter, suite.has_counter),
        ("pin_hash", inputs.pin_hash, suite.pin_hash is not None),
        ("session", inputs.session, suite.session_bytes is not None),
        ("time_step", inputs.time_step, suite.step_seconds is not None),
    ):
        if (given is not None) != is_taken:
            raise ValueError(f"the suite takes {'a' if is_taken else 'no'} {name}")


def _message(suite: OcraSuite, inputs: OcraInputs) -> bytes:
    """Suite, a zero byte, counter, question, PIN, session, time step (RFC 6287 section 5.1)."""
    _check_presence(suite, inputs)
    parts = [suite.text.encode(), b"\0"]
    if inputs.counter is not None:
        parts.append(_eight_bytes(inputs.counter, "/counter"))
    parts.append(_question_bytes(suite, inputs.question))
    if inputs.pin_hash is not None and suite.pin_hash is not None:
        if len(inputs.pin_hash.reveal()) != suite.pin_hash.size_bytes:
            raise InvalidInput.at("/pin_hash", f"must have the {suite.pin_hash.size_bytes} bytes of its hash")
        parts.append(inputs.pin_hash.reveal())
    if inputs.session is not None and suite.session_bytes is not None:
        if not 0 < len(inputs.session) <= suite.session_bytes:
            raise InvalidInput.at("/session", f"must have 1 to {suite.session_bytes} bytes")
        parts.append(inputs.session.rjust(suite.session_bytes, b"\0"))  # appendix A pads it on the left
    if inputs.time_step is not None:
        parts.append(_eight_bytes(inputs.time_step, "/time_step"))
    return b"".join(parts)


def _eight_bytes(step: int, pointer: str) -> bytes:
    if not 0 <= step <= LARGEST_STEP:
        raise InvalidInput.at(pointer, "must fit into 8 bytes without a sign")
    return step.to_bytes(8, "big")


def _question_bytes(suite: OcraSuite, question: str) -> bytes:
    """Padded on the right to 128 bytes, half bytes too: what is left of a decimal question's number comes first."""
    spelling, characters = _SPELLINGS[suite.question_format]
    most = _MUTUAL * suite.question_length
    if len(question) > most or not spelling.fullmatch(question):
        raise InvalidInput.at("/question", f"must have 1 to {most} {characters}")
    match suite.question_format:
        case QuestionFormat.ALPHANUMERIC:
            return question.encode().ljust(_QUESTION_BYTES, b"\0")
        case QuestionFormat.NUMERIC:
            return bytes.fromhex(f"{int(question):X}".ljust(2 * _QUESTION_BYTES, "0"))
        case QuestionFormat.HEXADECIMAL:
            return bytes.fromhex(question.ljust(2 * _QUESTION_BYTES, "0"))
