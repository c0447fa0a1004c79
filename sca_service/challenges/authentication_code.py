"""The authentication code: what a bank accepts once and keeps as proof (RTS Art. 4(1)).

A JWS (RFC 7515, EdDSA over Ed25519 as in RFC 8037) over who approved what, by which elements, and when::

    {"jti": "evt_…", "iss": "https://sca.bank.example", "aud": "bank", "sub": "cust_8841", "challenge": "chl_…",
     "purpose": "payment", "transaction": "sha256:…", "elements": ["knowledge", "possession"], "sca": true,
     "iat": …, "exp": …}
"""

import base64

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import Key, KeySet, OKPKey

from sca_service.authenticators.model import Authorisation
from sca_service.challenges.model import ChallengeState, Fixed, Private
from sca_service.kernel.keyring import Keyring, key_id
from sca_service.policy.model import Purpose

_LEEWAY_SECONDS = 5
"""How far the clock of Redis, which dates approvals, may be ahead of this machine's."""
LIFETIME_SECONDS = 300
"""RTS Art. 4(3)(d): at most five minutes until the code is used."""


class _Claims(msgspec.Struct, frozen=True, omit_defaults=True):
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
    sca: bool | None = None  # None in a code of before that was said

    @property
    def is_sca(self) -> bool:
        return len(set(self.elements)) >= 2 if self.sca is None else self.sca


class AuthenticationCodeSigner:
    """Signs with the keyring's first signing key. A class because the header is made once.

    joserfc makes the published keys; the compact form (RFC 7515, section 7.1) is put together here, since joserfc
    spends half as much again as the signature itself.
    """

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._issuer = issuer
        self._key: Ed25519PrivateKey = keyring.signing_keys[0]
        self._header = _header(self._key) + b"."

    def sign(self, state: ChallengeState, fixed: Fixed, private: Private) -> str:
        """The compact JWS of an approved challenge; the same challenge always gives the same one."""
        issued_at = state.settled_at // 1000
        claims = _Claims(
            jti=state.answer_event,
            iss=self._issuer,
            aud=state.client,
            sub=private.psu_id,
            challenge=state.id,
            purpose=fixed.purpose,
            elements=fixed.elements,
            iat=issued_at,
            exp=issued_at + LIFETIME_SECONDS,
            transaction=state.digest,
            sca=fixed.is_sca,
        )
        signed = self._header + _base64url(msgspec.json.encode(claims))
        return (signed + b"." + _base64url(self._key.sign(signed))).decode()


class AuthenticationCodeReader:
    """Reads the codes that this service has signed. A class because it holds the keys.

    A header is compared as it is written here, byte for byte, so there is no algorithm to choose.
    """

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._issuer = issuer
        self._keys = {_header(key): key.public_key() for key in keyring.signing_keys}

    def approval_of(
        self, text: str, *, client: str, psu_id: str, purpose: Purpose, now_s: int
    ) -> Authorisation | None:
        """The approval that a code states, or None.

        It has to be for this client, payer and purpose, not older than it lives, and to rest on strong customer
        authentication. It is up to the caller to accept an approval once.
        """
        claims = self._claims(text)
        if claims is None or (claims.iss, claims.aud, claims.sub) != (self._issuer, client, psu_id):
            return None
        if claims.purpose != purpose or not claims.iat - _LEEWAY_SECONDS <= now_s < claims.exp:
            return None
        return Authorisation(claims.jti, claims.iat) if claims.is_sca else None

    def _claims(self, text: str) -> _Claims | None:
        try:
            header, payload, signature = text.encode("ascii").split(b".")
            key = self._keys[header]
            key.verify(_from_base64url(signature), header + b"." + payload)
            return msgspec.json.decode(_from_base64url(payload), type=_Claims)
        except (ValueError, KeyError, InvalidSignature, msgspec.DecodeError):
            return None


def public_keys(keyring: Keyring) -> dict[str, object]:
    """The JWK set (RFC 7517) of every signing key, newest first; private parts left out."""
    keys: list[Key] = [
        OKPKey.import_key(key.public_key(), {"kid": _kid(key), "use": "sig", "alg": "EdDSA"})
        for key in keyring.signing_keys
    ]
    return dict(KeySet(keys).as_dict(private=False))


def _kid(key: Ed25519PrivateKey) -> str:
    return key_id(key.public_key().public_bytes_raw())


def _header(key: Ed25519PrivateKey) -> bytes:
    return _base64url(msgspec.json.encode({"alg": "EdDSA", "kid": _kid(key), "typ": "JWT"}))


def _from_base64url(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
