"""What a span of a challenge's trace is, and where it belongs: pure, and computed from the challenge's id alone.

Every process finds the same trace and the same first span for a challenge, so nothing has to travel between them
(docs/decisions/0023). Attributes are words of closed sets, ids of challenges and deliveries, and countries: never a
number, a name, an account, an amount, a code or a payer's reference.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

Attribute = str | int | bool
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_WHOLE = 1 << 64


class SpanName(StrEnum):
    """What took time."""

    ISSUE = "challenge.issue"
    RISK = "risk.assess"
    ATTEMPT = "delivery.attempt"
    RECEIPT = "delivery.receipt"
    VERIFY = "challenge.verify"


@dataclass(frozen=True, slots=True)
class SpanPlace:
    """A span's trace and its name in it: 128 and 64 bits, neither of them 0 (W3C Trace Context)."""

    trace: int
    span: int


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time, and is over. Times are nanoseconds since the epoch.

    `parent` is None for the first span of a trace; `cause` is the span of the caller's own trace that asked for it.
    """

    name: SpanName
    place: SpanPlace
    parent: SpanPlace | None
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Attribute]
    cause: SpanPlace | None = None
    has_failed: bool = False


def first_span(challenge: str) -> SpanPlace:
    """Where the issue of a challenge (its id) stands: the first 16 bytes of the id's SHA-256, and the next 8."""
    digest = sha256(challenge.encode()).digest()
    return SpanPlace(int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1)


def is_sampled(place: SpanPlace, ratio: float) -> bool:
    """Whether a trace is among the share `ratio` (0 to 1) that is kept: the same answer in every process."""
    return place.trace % _WHOLE < int(ratio * _WHOLE)


def read_traceparent(text: str) -> SpanPlace | None:
    """The caller's span, from the header `traceparent` (W3C Trace Context section 3.2); None for anything else."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or text.startswith("ff") or (text.startswith("00") and found[3]):
        return None
    place = SpanPlace(int(found[1], 16), int(found[2], 16))
    return place if place.trace and place.span else None
