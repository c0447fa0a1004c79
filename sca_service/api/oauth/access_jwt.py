"""The access JWT: five minutes of a client's rights, signed (RFC 9068), and bound to its certificate (RFC 8705).

Claims::

    {"iss": "https://sca.bank.example", "aud": "https://sca.bank.example", "sub": "my-bank", "client_id": "my-bank",
     "scope": "challenges", "iat": …, "exp": …, "jti": "acc_…", "credential": "crd_…", "cnf": {"x5t#S256": "…"}}

`credential` is ours: what the client proved itself by. When that ends, so does what was given for it.
"""

import base64
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sca_service.kernel.keyring import Keyring, key_id

LIFETIME_SECONDS = 300
_LEEWAY_SECONDS = 5
"""How far the clock of the api that signed may be ahead."""
_REMEMBERED = 4096
"""Access JWTs whose signature was right: a client has one at a time, or a few."""
MOST_CHARACTERS = 4096


class _Confirmation(msgspec.Struct, frozen=True):
    thumbprint: str = msgspec.field(name="x5t#S256")


class AccessJwt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims. Times are in seconds since 1970."""

    iss: str
    aud: str
    sub: str
    client_id: str
    scope: str
    iat: int
    exp: int
    jti: str
    credential: str
    cnf: _Confirmation | None = None

    @property
    def thumbprint(self) -> str:
        """The certificate that it is bound to, empty for none."""
        return self.cnf.thumbprint if self.cnf else ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What is given to a client: scopes, for a credential, and bound to its certificate if it came with one."""

    id: str
    client: str
    scopes: tuple[str, ...]
    credential: str
    thumbprint: str = ""


class AccessJwts:
    """Signs access JWTs with the keyring's first signing key, and reads those of all of them.

    A class because it remembers which signatures were right: a request costs a look-up, not a signature.
    """

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._issuer = issuer
        self._key = keyring.signing_keys[0]
        self._header = _header(self._key)
        self._keys: dict[bytes, Ed25519PublicKey] = {
            _header(key): key.public_key() for key in keyring.signing_keys
        }
        self._remembered: dict[str, AccessJwt] = {}

    def sign(self, grant: Grant, now_s: int) -> str:
        """The compact JWS of what is granted."""
        claims = AccessJwt(
            iss=self._issuer,
            aud=self._issuer,
            sub=grant.client,
            client_id=grant.client,
            scope=" ".join(grant.scopes),
            iat=now_s,
            exp=now_s + LIFETIME_SECONDS,
            jti=grant.id,
            credential=grant.credential,
            cnf=_Confirmation(grant.thumbprint) if grant.thumbprint else None,
        )
        signed = self._header + b"." + _base64url(msgspec.json.encode(claims))
        return (signed + b"." + _base64url(self._key.sign(signed))).decode()

    def read(self, text: str, now_s: int) -> AccessJwt | None:
        """The claims of one that this service signed and that is good now; else None.

        A header is compared as it is written here, byte for byte: there is no algorithm to choose, and nothing else
        that the same key signs has this one (`at+jwt`).
        """
        claims = self._remembered.get(text) or self._verified(text)
        if claims is None or not claims.iat - _LEEWAY_SECONDS <= now_s < claims.exp:
            return None
        return claims

    def _verified(self, text: str) -> AccessJwt | None:
        if len(text) > MOST_CHARACTERS:
            return None
        try:
            header, payload, signature = text.encode("ascii").split(b".")
            self._keys[header].verify(_from_base64url(signature), header + b"." + payload)
            claims = msgspec.json.decode(_from_base64url(payload), type=AccessJwt)
        except (ValueError, KeyError, InvalidSignature, msgspec.DecodeError):
            return None
        if (claims.iss, claims.aud, claims.sub) != (self._issuer, self._issuer, claims.client_id):
            return None
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[text] = claims
        return claims


def _header(key: Ed25519PrivateKey) -> bytes:
    kid = key_id(key.public_key().public_bytes_raw())
    return _base64url(msgspec.json.encode({"alg": "EdDSA", "kid": kid, "typ": "at+jwt"}))


def _from_base64url(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
