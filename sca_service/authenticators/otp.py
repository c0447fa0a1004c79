"""Codes of generators: TOTP (RFC 6238) and HOTP (RFC 4226). Which step a code belongs to, and how a seed leaves once.

A step is a time step or a counter. Whoever asks here for the step of a code still has to claim it: a step is accepted
once, and none before it (RFC 6238, section 5.2; RFC 4226, section 7.2).
"""

import base64
import hmac
from collections.abc import Iterable
from urllib.parse import quote, urlencode

from sca_service.authenticators.model import OtpShape
from sca_service.kernel.hotp import hotp
from sca_service.kernel.secret import Secret

SEED_BYTES = 20
"""160 bits, as RFC 4226 (R6) recommends."""
MOST_RESYNCHRONISING = 100
"""How many counters ahead two codes in a row are looked for (RFC 4226, section 7.4)."""


def time_step(now_ms: int, period_seconds: int) -> int:
    """The time step of a moment (RFC 6238, section 4.2, with T0 = 0)."""
    return now_ms // (1000 * period_seconds)


def steps_to_try(shape: OtpShape, *, last_step: int, now_ms: int, look_back: int, look_ahead: int) -> range:
    """The steps whose codes would be accepted now, all after `last_step`.

    For TOTP the current time step and `look_back` before it; for HOTP the next counter and `look_ahead` after it.
    """
    if shape.period_seconds:
        current = time_step(now_ms, shape.period_seconds)
        return range(max(current - look_back, last_step + 1), current + 1)
    return range(last_step + 1, last_step + 2 + look_ahead)


def matching_step(
    shape: OtpShape, seed: Secret[bytes], presented: Secret[str], steps: Iterable[int]
) -> int | None:
    """The step whose code was presented, or None. Every step is tried, whichever matches."""
    code = presented.reveal().encode()
    found: int | None = None
    for step in steps:
        expected = hotp(seed.reveal(), step, digits=shape.digits, algorithm=shape.algorithm)
        if hmac.compare_digest(expected.encode(), code) and found is None:
            found = step
    return found


def matching_pair(
    shape: OtpShape, seed: Secret[bytes], presented: tuple[Secret[str], Secret[str]], last_step: int
) -> int | None:
    """The counter of the second of two codes in a row, or None (RFC 4226, section 7.4: resynchronisation)."""
    first, second = presented
    found: int | None = None
    for step in range(last_step + 1, last_step + 1 + MOST_RESYNCHRONISING):
        is_first = matching_step(shape, seed, first, (step,)) is not None
        is_second = matching_step(shape, seed, second, (step + 1,)) is not None
        if is_first and is_second and found is None:
            found = step + 1
    return found


def enrolment_uri(
    shape: OtpShape, seed: Secret[bytes], *, issuer: str, account: str, counter: int = 0
) -> Secret[str]:
    """The `otpauth` URI that a generator reads, as a QR code or typed (Key Uri Format). It holds the seed."""
    members: dict[str, str | int] = {
        "secret": base64.b32encode(seed.reveal()).decode().rstrip("="),
        "issuer": issuer,
        "algorithm": shape.algorithm,
        "digits": shape.digits,
    }
    if shape.period_seconds:
        members["period"] = shape.period_seconds
    else:
        members["counter"] = counter
    kind = "totp" if shape.period_seconds else "hotp"
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    return Secret(f"otpauth://{kind}/{label}?{urlencode(members, quote_via=quote)}")
