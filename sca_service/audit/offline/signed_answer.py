"""What a payer's device or passkey signed, verified by the key beside it: nobody's word is needed that it was signed.

Personal values of the event that says what the answer came to. Of a device::

    device_answer   a JWS (RFC 7515) with the claims challenge, transaction, decision, iat and, to approve, digits
    device_key      the JWK (RFC 7517) that verifies it

and of a passkey::

    passkey_answer  what the browser returned (WebAuthn section 5.1, AuthenticationResponseJSON)
    passkey_key     the JWK that verifies it
    passkey_nonce   random bytes (base64) which, with challenge and transaction, make the bytes that were signed

The thumbprint (RFC 7638) of a key is the `key` of the event `authenticator.activated`, which shows whose it is.
"""

import base64
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk, jws
from joserfc.errors import JoseError, SecurityWarning

from sca_service.audit.offline.findings import Refused

_TYPE = "sca-approval+jwt"
_ALGORITHMS = {"EC": "ES256", "OKP": "EdDSA"}
_DECISIONS = {"challenge.answered": "approve", "challenge.declined": "decline"}
_BY_PASSKEY = "approve"
_PASSKEY_DOMAIN = b"sca-service/passkey/challenge/1"
_KINDS = ("webauthn.get", "payment.get")
_MOST_CHARACTERS = 8 * 1024
_FLAGS_AT = 32
_PRESENT_AND_VERIFIED = 0x05


class _Signed(msgspec.Struct, frozen=True):
    client: str = msgspec.field(name="clientDataJSON")
    authenticator: str = msgspec.field(name="authenticatorData")
    signature: str


class _Response(msgspec.Struct, frozen=True):
    response: _Signed


class _Client(msgspec.Struct, frozen=True):
    type: str
    challenge: str


# As the service reads them when it decides: what stands beside is passed over there, so it must not spoil a proof here.
_responses = msgspec.json.Decoder(_Response)
_clients = msgspec.json.Decoder(_Client)


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """An answer that a key signed: whether that of a `device` or `passkey`, yes or no, the key's thumbprint.

    `is_bound` claims that it was seen to be over the transaction of the challenge. A device's is at least over the
    challenge; of a passkey's nothing is known without the transaction.
    """

    by: str
    decision: str
    thumbprint: str
    is_bound: bool = True


def check_signed_answer(
    members: Mapping[str, Any], disclosed: Mapping[str, str], digest: str | None
) -> SignedAnswer | None:
    """Check the signed answer of an event; None where the event opens none.

    `digest` is that of the transaction as the evidence opens it, "" when there is none, None when it is not shown.
    Raises Refused when the key did not sign this answer, to this challenge, over this transaction.
    """
    decision = _DECISIONS.get(members["type"], "")
    if "device_answer" in disclosed and "device_key" in disclosed:
        key = _key(disclosed["device_key"])
        _check_device(disclosed["device_answer"], key, members.get("challenge"), decision, digest)
        return SignedAnswer("device", decision, key.thumbprint(), is_bound=digest is not None)
    if {"passkey_answer", "passkey_key", "passkey_nonce"} <= disclosed.keys():
        key = _key(disclosed["passkey_key"])
        if decision != _BY_PASSKEY:
            raise Refused("a passkey signs no other answer than an approval")
        signed = _signed_by_passkey(disclosed["passkey_answer"], key)
        nonce = disclosed["passkey_nonce"]
        if digest is not None and signed != _passkey_challenge(str(members.get("challenge")), digest, nonce):
            raise Refused("what the passkey signed is about another challenge or transaction")
        return SignedAnswer("passkey", decision, key.thumbprint(), is_bound=digest is not None)
    return None


def _key(text: str) -> jwk.Key:
    try:
        key = jwk.import_key(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError, JoseError):
        raise Refused("the key of what was signed cannot be read") from None
    if key.is_private or key.key_type not in _ALGORITHMS:
        raise Refused("the key of what was signed is none that signs answers")
    return key


def _check_device(text: str, key: jwk.Key, challenge: Any, decision: str, digest: str | None) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", SecurityWarning
            )  # EdDSA is the name of RFC 8037, which devices write
            signed = jws.deserialize_compact(text.encode(), key, registry=_registry(key))
        claims = json.loads(signed.payload)
    except (ValueError, RecursionError, JoseError):
        raise Refused("the device's signature does not hold") from None
    if signed.protected.get("typ") != _TYPE or not isinstance(claims, dict):
        raise Refused("what the device signed is no answer to a challenge")
    if claims.get("challenge") != challenge:
        raise Refused("what the device signed is about another challenge")
    if claims.get("decision") != decision:
        raise Refused("the device did not sign what the event says")
    if digest is not None and claims.get("transaction", "") != digest:
        raise Refused("what the device signed is about another transaction")


def _registry(key: jwk.Key) -> jws.JWSRegistry:
    """The one algorithm of a key, and room for any header that the service takes: the library's own bound is lower."""
    registry = jws.JWSRegistry(algorithms=[_ALGORITHMS[key.key_type]])
    registry.max_header_length = registry.max_payload_length = _MOST_CHARACTERS
    return registry


def _signed_by_passkey(text: str, key: jwk.Key) -> bytes:
    """The challenge (WebAuthn section 5.8.1) that the passkey signed, with the payer present and verified."""
    try:
        signed = _responses.decode(text).response
        client, authenticator = _base64url(signed.client), _base64url(signed.authenticator)
        signature = _base64url(signed.signature)
        said = _clients.decode(client)
        challenge = _base64url(said.challenge)
        flags = authenticator[_FLAGS_AT]
        _verify(key, signature, authenticator + hashlib.sha256(client).digest())
    except (ValueError, LookupError, RecursionError, InvalidSignature):
        raise Refused("the passkey's signature does not hold") from None
    if said.type not in _KINDS or flags & _PRESENT_AND_VERIFIED != _PRESENT_AND_VERIFIED:
        raise Refused("what the passkey signed is no answer of a payer who was verified")
    return challenge


def _verify(key: jwk.Key, signature: bytes, message: bytes) -> None:
    public = key.public_key
    if isinstance(public, EllipticCurvePublicKey):
        public.verify(signature, message, ECDSA(SHA256()))
    elif isinstance(public, Ed25519PublicKey):
        public.verify(signature, message)
    else:
        raise Refused("the key of what was signed is none that signs answers")


def _passkey_challenge(challenge: str, digest: str, nonce: str) -> bytes:
    """SHA-256 over a domain of its own, digest, challenge and nonce, each with its length before it."""
    try:
        parts = (_PASSKEY_DOMAIN, digest.encode(), challenge.encode(), base64.b64decode(nonce, validate=True))
    except ValueError:
        raise Refused("the random part of what the passkey signed cannot be read") from None
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
