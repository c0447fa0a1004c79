"""A payer's answer in the bank's app, signed by the device: yes or no to one challenge and one transaction.

The claims of a JWS of type `sca-approval+jwt`::

    {"challenge": "chl_…", "transaction": "sha256:…", "decision": "approve", "digits": "42", "iat": 1764331200}
    {"challenge": "chl_…", "transaction": "sha256:…", "decision": "decline", "reason": "not_me", "iat": 1764331200}

`transaction` is the digest of what the app showed, so that another amount or payee is another answer (RTS Art.
5(1)(c)); it is left out when there is no transaction. `digits` are what the bank's page shows and the payer repeats: an
approval that was only asked for, by whoever else logs in, has them wrong (number matching, NIST SP 800-63B-4).
"""

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.device_key.jws import read_claims, verify_compact
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.secret import Secret

APPROVAL_TYPE: Final = "sca-approval+jwt"

LEEWAY_SECONDS: Final = 30
"""How far a device's clock may be ahead of ours."""

LATEST_TIME: Final = 253_402_300_799
"""The end of the year 9999: RFC 3339 has no later one."""

Seconds = Annotated[int, msgspec.Meta(ge=0, le=LATEST_TIME)]
"""Whole seconds since 1970: the NumericDate of RFC 7519, without its fractions."""

_DIGITS_PURPOSE: Final = b"sca-service matching digits\0"


class Decision(StrEnum):
    """What the payer chose."""

    APPROVE = "approve"
    DECLINE = "decline"


class DeclineReason(StrEnum):
    """Why the payer says no, where the app asks."""

    NOT_ME = "not_me"
    """Somebody else started this: a sign of fraud."""
    MISTAKE = "mistake"
    OTHER = "other"


class Verdict(StrEnum):
    """What a signed answer comes to."""

    APPROVED = "approved"
    DECLINED = "declined"
    WRONG_DIGITS = "wrong_digits"
    OTHER_CHALLENGE = "other_challenge"
    CHANGED_TRANSACTION = "changed_transaction"
    LATE = "late"
    """Older than the window, or too far in the future."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A payer's answer as the device signed it; not yet held against the challenge."""

    challenge: str
    transaction: str
    """`sha256:` and 64 hexadecimal digits; empty without a transaction."""
    decision: Decision
    reason: DeclineReason | None
    digits: Secret[str] | None
    """Two ASCII digits in an approval, nothing in a refusal."""
    issued_at: int
    """Seconds since 1970, by the device's clock."""


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Patterns end in `\\Z`: `$` would let a line feed follow."""

    challenge: Annotated[str, msgspec.Meta(pattern=r"^chl_[0-9a-f]{38}\Z")]
    decision: Decision
    iat: Seconds
    transaction: Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")] = ""
    reason: DeclineReason | msgspec.UnsetType = msgspec.UNSET
    digits: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{2}\Z")] | msgspec.UnsetType = msgspec.UNSET


def parse_approval(text: str, key: DeviceKey) -> Approval:
    """Read an answer that this key signed. Raises BadSignature, or InvalidInput at a claim that it should not have."""
    claims = read_claims(verify_compact(text, key, typ=APPROVAL_TYPE), _Claims)
    is_approval = claims.decision is Decision.APPROVE
    if is_approval and claims.reason is not msgspec.UNSET:
        raise InvalidInput.at("/reason", "must be left out of an approval")
    if is_approval != (claims.digits is not msgspec.UNSET):
        raise InvalidInput.at("/digits", "must stand in an approval, and in nothing else")
    return Approval(
        challenge=claims.challenge,
        transaction=claims.transaction,
        decision=claims.decision,
        reason=None if claims.reason is msgspec.UNSET else claims.reason,
        digits=None if claims.digits is msgspec.UNSET else Secret(claims.digits),
        issued_at=claims.iat,
    )


def judge(
    approval: Approval, *, challenge: str, digest: str, digits: Secret[str], now_s: int, window_s: int
) -> Verdict:
    """Hold an answer against the challenge it must be for: its id, its transaction's digest (or empty) and its digits.

    `window_s` is how many seconds an answer may be old. A refusal is held against all but the digits: an old or
    foreign one must not end this challenge either.
    """
    if approval.challenge != challenge:
        return Verdict.OTHER_CHALLENGE
    if not now_s - window_s <= approval.issued_at <= now_s + LEEWAY_SECONDS:
        return Verdict.LATE
    if approval.transaction != digest:  # RTS Art. 5(1)(d): any change invalidates it
        return Verdict.CHANGED_TRANSACTION
    if approval.decision is Decision.DECLINE:
        return Verdict.DECLINED
    if approval.digits is None or not hmac.compare_digest(approval.digits.reveal(), digits.reveal()):
        return Verdict.WRONG_DIGITS
    return Verdict.APPROVED


def matching_digits(key: Secret[bytes], challenge: str) -> Secret[str]:
    """The two digits of a challenge: HMAC-SHA256 over its id, the first 64 bits modulo 100.

    2**64 is no multiple of 100, so the first 16 of the pairs come up more often than the others, by one in 10**17.
    """
    mac = hmac.digest(key.reveal(), _DIGITS_PURPOSE + challenge.encode(), "sha256")
    return Secret(f"{int.from_bytes(mac[:8], 'big') % 100:02d}")
