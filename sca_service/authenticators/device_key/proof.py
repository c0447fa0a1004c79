"""A request that a device signed: a DPoP proof (RFC 9449, section 4.2) with a hash of the body.

A JWS of type `dpop+jwt` with the claims::

    {"htm": "POST", "htu": "https://sca.bank.example/device/v1/challenges", "iat": 1764331200,
     "jti": "-BwC3ESc6acc2lTc", "bth": "<SHA-256 of the body, base64url>"}

`bth` is ours: a proof of RFC 9449 does not cover the body. An enrolled device leaves `jwk` out of the header, since
its key is known; at enrolment `jwk` is the key that is enrolled. `ath` and `nonce` are refused: we issue no access
keys and no nonces, so a proof that has one was made for somebody else.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from sca_service.authenticators.device_key.approval import LEEWAY_SECONDS, Seconds
from sca_service.authenticators.device_key.jwk import DeviceKey, base64url
from sca_service.authenticators.device_key.jws import (
    BadSignature,
    read_claims,
    verify_carried,
    verify_compact,
)
from sca_service.kernel.errors import InvalidInput

PROOF_TYPE: Final = "dpop+jwt"

WINDOW_SECONDS: Final = 60
"""How old a proof may be: a request under way takes seconds, and a clock is behind by a few."""

REMEMBERED_SECONDS: Final = WINDOW_SECONDS + LEEWAY_SECONDS + 1
"""How long a `jti` must be remembered from its first use: a proof of the future is good until its window ends."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that is right for its request. The caller accepts each `jti` of a key once in REMEMBERED_SECONDS."""

    jti: str
    iat: int
    """Seconds since 1970, by the device's clock."""


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    htm: Annotated[str, msgspec.Meta(max_length=16)]  # longer than every registered method
    htu: Annotated[str, msgspec.Meta(max_length=2048)]  # the longest URL that is surely carried
    iat: Seconds
    jti: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{16,64}\Z")]  # 96 random bits in base64url or more
    bth: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")] | msgspec.UnsetType = msgspec.UNSET


def verify_proof(text: str, key: DeviceKey, *, method: str, url: str, body: bytes, now_s: int) -> Proof:
    """The proof that this key signed for this request, now. Raises BadSignature, without saying what is wrong.

    `url` is the absolute URL as the app is told it. It is compared byte by byte, without normalising; its query is
    left out (RFC 9449, section 4.2), so nothing that matters may stand in a query.
    """
    return _proof(verify_compact(text, key, typ=PROOF_TYPE), method, url, body, now_s)


def verify_enrolment(text: str, *, method: str, url: str, body: bytes, now_s: int) -> tuple[DeviceKey, Proof]:
    """The key that the header carries, and the proof that it signed for this request. Raises BadSignature.

    Whose device it is must be told by something else.
    """
    key, payload = verify_carried(text, typ=PROOF_TYPE)
    return key, _proof(payload, method, url, body, now_s)


def _proof(payload: bytes, method: str, url: str, body: bytes, now_s: int) -> Proof:
    try:
        claims = read_claims(payload, _Claims)
    except InvalidInput:
        raise _bad() from None
    if claims.htm != method or claims.htu != url.partition("#")[0].partition("?")[0]:
        raise _bad()
    if not now_s - WINDOW_SECONDS <= claims.iat <= now_s + LEEWAY_SECONDS:
        raise _bad()
    if not _covers(claims.bth, body):
        raise _bad()
    return Proof(claims.jti, claims.iat)


def _covers(bth: str | msgspec.UnsetType, body: bytes) -> bool:
    """A request without a body needs no hash of it; if there is one, it is that of nothing."""
    if bth is msgspec.UNSET:
        return not body
    return hmac.compare_digest(bth, base64url(hashlib.sha256(body).digest()))


def _bad() -> BadSignature:
    return BadSignature("not signed by this device for this request")
