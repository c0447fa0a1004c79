"""The OCRA suite: which inputs a response is computed over, and how (RFC 6287 section 6)."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sca_service.kernel.errors import InvalidInput

FEWEST_QUESTION_BITS: Final = 26
"""A question that signs keeps at least so many bits of the transaction digest: 8 decimal digits do."""

MOST_QUESTION_BITS: Final = 256
"""A transaction digest is a SHA-256 and has no more to keep."""

_SHORTEST_QUESTION, _LONGEST_QUESTION = 4, 64
_SHORTEST_SESSION, _LONGEST_SESSION = 1, 512
_TRUNCATIONS: Final = frozenset({0, *range(4, 11)})
_SHAPE: Final = re.compile(
    r"OCRA-1:HOTP-(?P<hash>SHA1|SHA256|SHA512)-(?P<digits>0|[1-9][0-9]?):"
    r"(?P<counter>C-)?Q(?P<format>[ANH])(?P<question>[0-9]{2})"
    r"(?:-P(?P<pin>SHA1|SHA256|SHA512))?(?:-S(?P<session>[0-9]{3}))?"
    r"(?:-T(?P<step>[1-9][0-9]?)(?P<unit>[SMH]))?"
)
"""Has no unbounded repetition, so text of any length is judged by its first 50 characters."""

_UNITS: Final = {"S": (1, 59), "M": (60, 59), "H": (3_600, 48)}
"""Seconds of a unit, and the most of it that a time step may have (RFC 6287 section 6.3, table 3)."""


class OcraHash(StrEnum):
    """A hash function of RFC 6287, spelled as in a suite."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"

    @property
    def size_bytes(self) -> int:
        """How long its digest is."""
        return {OcraHash.SHA1: 20, OcraHash.SHA256: 32, OcraHash.SHA512: 64}[self]


class QuestionFormat(StrEnum):
    """What a question is written in (RFC 6287 section 6.3, table 2), spelled as in a suite."""

    ALPHANUMERIC = "A"
    NUMERIC = "N"
    HEXADECIMAL = "H"


@dataclass(frozen=True, slots=True)
class OcraSuite:
    """A suite taken apart. Built by `parse`; `text` is part of what every response is computed over."""

    text: str
    hash: OcraHash
    digits: int
    """Decimal digits of a response, 4 to 10; 0 when it is the whole MAC in hexadecimal digits."""
    has_counter: bool
    question_format: QuestionFormat
    question_length: int
    """The most characters of one question, 4 to 64."""
    pin_hash: OcraHash | None
    """What the payer's PIN is hashed with before it goes into the MAC; None when the suite knows no PIN."""
    session_bytes: int | None
    step_seconds: int | None
    """How long a time step is; None when time does not go into the MAC."""

    @classmethod
    def parse(cls, text: str) -> "OcraSuite":
        """Read `OCRA-1:HOTP-SHAn-t:[C-]Qfxx[-PSHAn][-Snnn][-TG]`, each part spelled out and in this order.

        Raises InvalidInput (pointer `""`) for any other spelling and for lengths out of the RFC's bounds. A step of
        0 hours is refused, as the RFC's verified erratum 3729 says; 10 digits are not (erratum 3730 asks for it, but
        was never verified). Defaults that the RFC names are not filled in: the text is part of the MAC.
        """
        match = _SHAPE.fullmatch(text)
        if match is None:
            raise InvalidInput.at("", "must be an OCRA suite such as OCRA-1:HOTP-SHA256-8:C-QN08 (RFC 6287)")
        digits, question = int(match["digits"]), int(match["question"])
        session = int(match["session"]) if match["session"] else None
        if digits not in _TRUNCATIONS:
            raise InvalidInput.at("", "must have responses of 0 (no truncation) or 4 to 10 digits")
        if not _SHORTEST_QUESTION <= question <= _LONGEST_QUESTION:
            raise InvalidInput.at("", "must have questions of 04 to 64 characters")
        if session is not None and not _SHORTEST_SESSION <= session <= _LONGEST_SESSION:
            raise InvalidInput.at("", "must have a session of 001 to 512 bytes")
        return cls(
            text=text,
            hash=OcraHash(match["hash"]),
            digits=digits,
            has_counter=match["counter"] is not None,
            question_format=QuestionFormat(match["format"]),
            question_length=question,
            pin_hash=OcraHash(match["pin"]) if match["pin"] else None,
            session_bytes=session,
            step_seconds=_step_seconds(match),
        )

    @property
    def response_length(self) -> int:
        """How many characters a response has: its digits, or two for each byte of a MAC that is not truncated."""
        return self.digits or 2 * self.hash.size_bytes

    @property
    def questions(self) -> int:
        """How many different questions a transaction can be given: see `response.question_of`.

        Letters are 32 of the 36, and a decimal question never begins with a zero.
        """
        first, other = {
            QuestionFormat.ALPHANUMERIC: (32, 32),
            QuestionFormat.NUMERIC: (9, 10),
            QuestionFormat.HEXADECIMAL: (16, 16),
        }[self.question_format]
        return first * int(other ** (self.question_length - 1))

    @property
    def question_bits(self) -> int:
        """How many whole bits of a transaction digest a question keeps, at most 256."""
        return min(self.questions.bit_length() - 1, MOST_QUESTION_BITS)

    @property
    def signs_transactions(self) -> bool:
        """Whether a response may stand for a payer's consent to one transaction (RTS Art. 5).

        The question has to keep enough of the digest; a counter or the time has to make each response another one,
        so that none is of use twice; and RFC 6287 section 6.3 knows no session in a signature.
        """
        is_fresh = self.has_counter or self.step_seconds is not None
        return is_fresh and self.session_bytes is None and self.question_bits >= FEWEST_QUESTION_BITS

    def time_step_at(self, now_seconds: int) -> int:
        """The time step of a moment in Unix seconds. Raises ValueError when the suite has no time."""
        if self.step_seconds is None:
            raise ValueError("the suite has no time step")
        return now_seconds // self.step_seconds


def _step_seconds(match: re.Match[str]) -> int | None:
    if match["step"] is None:
        return None
    seconds, most = _UNITS[match["unit"]]
    if int(match["step"]) > most:
        raise InvalidInput.at("", "must have a time step of 1 to 59 seconds or minutes, or of 1 to 48 hours")
    return int(match["step"]) * seconds
