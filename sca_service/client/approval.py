"""Believes an authentication code: what a bank accepts once, before it executes a payment (RTS Art. 4(1), 5(1)(c))."""

import base64
import binascii
import time
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_LEEWAY_SECONDS = 5


class ApprovalRefused(Exception):
    """The code does not prove what is about to be done."""


class Approval(msgspec.Struct, frozen=True):
    """What an authentication code states (RFC 7519). `jti` is unique: accept each code once."""

    jti: str
    iss: str
    aud: str
    sub: str
    challenge: str
    purpose: str
    elements: tuple[str, ...]
    iat: int
    exp: int
    transaction: str = ""
    sca: bool = False


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str


class Approvals:
    """Reads authentication codes by the service's published keys. A class because it holds them.

    `keys` is what `/.well-known/jwks.json` answers (`audit.keys()`); ask again when `knows` says no: a key was rotated.
    """

    def __init__(self, keys: dict[str, Any], *, issuer: str, client: str) -> None:
        self._issuer = issuer
        self._client = client
        self._keys = {
            key["kid"]: Ed25519PublicKey.from_public_bytes(_from_base64url(key["x"]))
            for key in keys["keys"]
            if key.get("kty") == "OKP" and key.get("crv") == "Ed25519"
        }

    def knows(self, code: str) -> bool:
        """Whether the key that a code names is among those held."""
        try:
            return _header(code).kid in self._keys
        except (ValueError, msgspec.DecodeError):
            return False

    def read(
        self, code: str, *, challenge: str, transaction: str | None = None, now_seconds: float | None = None
    ) -> Approval:
        """What a code states, once it is known to be for this challenge and transaction, for you, and still good.

        `transaction` is `challenge.transaction.digest` as it was told at issue; None for a challenge without one.
        Raises ApprovalRefused.
        """
        approval = self._signed(code)
        now = time.time() if now_seconds is None else now_seconds
        if (approval.iss, approval.aud) != (self._issuer, self._client):
            raise ApprovalRefused("of another service, or for another client")
        if approval.challenge != challenge or approval.transaction != (transaction or ""):
            raise ApprovalRefused("of another challenge or transaction (RTS Art. 5(1))")
        if not approval.iat - _LEEWAY_SECONDS <= now < approval.exp:
            raise ApprovalRefused("not good at this time (RTS Art. 4(3)(d))")
        return approval

    def _signed(self, code: str) -> Approval:
        try:
            header = _header(code)
            if header.alg != "EdDSA":
                raise ApprovalRefused("signed by another algorithm than EdDSA")
            signed, _, signature = code.rpartition(".")
            self._keys[header.kid].verify(_from_base64url(signature), signed.encode("ascii"))
            return msgspec.json.decode(_from_base64url(signed.partition(".")[2]), type=Approval)
        except (KeyError, InvalidSignature):
            raise ApprovalRefused("not signed by a key of the service") from None
        except (ValueError, msgspec.DecodeError):
            raise ApprovalRefused("not an authentication code") from None


def _header(code: str) -> _Header:
    return msgspec.json.decode(_from_base64url(code.partition(".")[0]), type=_Header)


def _from_base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
