"""A payer authenticates with a passkey: the challenge that is signed, and whether it was (WebAuthn section 7.2).

The signature is verified from the library's parts and not by its `verify_authentication_response()`: that knows
`webauthn.get` only, looks at no frame, and tells a counter that went back from nothing else. So a payment that SPC
shows and a plain authentication are verified by the same lines.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import webauthn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import options_to_json_dict, parse_authenticator_data
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import UserVerificationRequirement

from sca_service.authenticators.passkey.registration import (
    ANSWER_WITHIN_MS,
    FEWEST_CHALLENGE_BYTES,
    MOST_PASSKEYS,
    Passkey,
    descriptor,
    signing_key,
)
from sca_service.authenticators.passkey.response import (
    Client,
    Credential,
    Signed,
    raw,
    read_assertion,
    read_client,
)

FEWEST_NONCE_BYTES: Final = 16
"""A challenge must be new each time (WebAuthn section 13.4.3)."""

_DOMAIN: Final = b"sca-service/passkey/challenge/1"


class BadAssertion(ValueError):
    """An assertion that does not authenticate the payer for this challenge; never says what is wrong with it."""

    def __init__(self) -> None:
        super().__init__("the assertion does not authenticate the payer for this challenge")


class ClonedPasskey(BadAssertion):
    """Signed by the right key, but the counter did not grow: two authenticators may hold it (section 6.1.1)."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a verified assertion says of the passkey now; `sign_count` and `backed_up` are to be kept with it."""

    sign_count: int
    payer_verified: bool
    """Always true: by biometrics or the device's PIN, which makes two elements of one signature (RTS Art. 9)."""
    backed_up: bool


def challenge_for(transaction_digest: str, challenge_id: str, nonce: bytes) -> bytes:
    """The 32 bytes that a passkey signs: they are others for another transaction (RTS Art. 5(1)(b)).

    SHA-256 over a domain of its own and each part with its length before it, so no two triples read alike.
    `nonce` has at least 16 random bytes (ValueError for fewer); the digest is empty where nothing is paid.
    """
    if len(nonce) < FEWEST_NONCE_BYTES:
        raise ValueError(f"a nonce has at least {FEWEST_NONCE_BYTES} bytes")
    parts = (_DOMAIN, transaction_digest.encode(), challenge_id.encode(), nonce)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def request_options(*, rp_id: str, challenge: bytes, passkeys: Sequence[Passkey]) -> bytes:
    """JSON for `PublicKeyCredential.parseRequestOptionsFromJSON()`: one of these passkeys, the payer verified.

    Raises ValueError for no passkey at all (any would do then), more than 20, or a challenge under 16 bytes.
    """
    if not 1 <= len(passkeys) <= MOST_PASSKEYS or len(challenge) < FEWEST_CHALLENGE_BYTES:
        raise ValueError("the challenge or the number of passkeys is out of bounds")
    options = webauthn.generate_authentication_options(
        rp_id=rp_id,
        challenge=challenge,
        timeout=ANSWER_WITHIN_MS,
        allow_credentials=[descriptor(passkey) for passkey in passkeys],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return msgspec.json.encode(options_to_json_dict(options))


def verify_assertion(
    response_json: bytes,
    *,
    passkey: Passkey,
    challenge: bytes,
    rp_id: str,
    origins: Sequence[str],
    top_origins: Sequence[str] = (),
) -> Assertion:
    """That the payer was verified, and agreed with this passkey to this challenge on a page of one of `origins`.

    A page in a frame below another origin is refused unless `top_origins` has that origin; a browser that does not
    tell it is refused too. Raises InvalidInput when `response_json` is no assertion at all, ClonedPasskey when only
    the counter is wrong, and BadAssertion for all else: another passkey, domain, origin, kind, challenge or
    signature, the payer absent or not verified.
    """
    answer = read_assertion(response_json)
    client = read_client(raw(answer.response.client))
    if not client.answers(kind="webauthn.get", challenge=challenge, origins=origins):
        raise BadAssertion
    if _is_framed(client) and client.top_origin not in top_origins:
        raise BadAssertion
    return signed_by(passkey, answer, rp_id=rp_id)


def signed_by(passkey: Passkey, answer: Credential[Signed], *, rp_id: str) -> Assertion:
    """What the passkey signed, whatever the browser said happened: the caller has to have looked at that.

    Raises BadAssertion, and ClonedPasskey when only the counter is wrong (both zero: it does not count).
    """
    authenticator = raw(answer.response.authenticator)
    try:
        said = parse_authenticator_data(authenticator)
    except WebAuthnException:
        raise BadAssertion from None
    flags = said.flags
    if (
        not hmac.compare_digest(raw(answer.raw_id), passkey.credential_id)
        or not hmac.compare_digest(said.rp_id_hash, hashlib.sha256(rp_id.encode()).digest())
        or not (flags.up and flags.uv)
        or flags.be != passkey.backup_eligible  # never changes (section 7.2)
        or (flags.bs and not flags.be)
        or flags.at  # a new key has no place here (section 6.1)
    ):
        raise BadAssertion
    _check_signature(passkey, answer.response, authenticator)
    if (said.sign_count or passkey.sign_count) and said.sign_count <= passkey.sign_count:
        raise ClonedPasskey
    return Assertion(said.sign_count, payer_verified=flags.uv, backed_up=flags.bs)


def _is_framed(client: Client) -> bool:
    return client.cross_origin or client.top_origin is not None


def _check_signature(passkey: Passkey, signed: Signed, authenticator: bytes) -> None:
    """Raises BadAssertion unless the passkey signed both halves."""
    message = authenticator + hashlib.sha256(raw(signed.client)).digest()
    key = signing_key(passkey.public_key)
    try:
        if isinstance(key, EllipticCurvePublicKey):
            key.verify(raw(signed.signature), message, ECDSA(SHA256()))
        else:
            key.verify(raw(signed.signature), message)
    except InvalidSignature:
        raise BadAssertion from None
