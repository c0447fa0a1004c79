"""A passkey is made: what the browser is asked for, and what is kept of its answer (WebAuthn section 7.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec
import webauthn
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from webauthn.helpers import decode_credential_public_key, encode_cbor, options_to_json_dict, parse_cbor
from webauthn.helpers.cose import COSECRV, COSEAlgorithmIdentifier
from webauthn.helpers.decode_credential_public_key import DecodedEC2PublicKey, DecodedOKPPublicKey
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorAttachment,
    AuthenticatorAttestationResponse,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from sca_service.authenticators.device_key.jwk import DeviceKey, base64url
from sca_service.authenticators.passkey.response import (
    NOT_AN_ANSWER,
    Attestation,
    raw,
    read_attestation,
    read_client,
)
from sca_service.authenticators.passkey.response import Credential as Answer
from sca_service.kernel.errors import InvalidInput

HANDLE_BYTES: Final = 32
"""WebAuthn section 5.4.3 allows 64; 32 random ones do not collide."""

FEWEST_CHALLENGE_BYTES: Final = 16
"""WebAuthn section 13.4.3: no less can be sure to be new."""

MOST_NAME_BYTES: Final = 64
"""What an authenticator keeps of a name without cutting it (WebAuthn section 6.4.1)."""

MOST_PASSKEYS: Final = 20
"""The most passkeys of one payer that a ceremony names: their ids travel to the browser."""

ANSWER_WITHIN_MS: Final = 300_000
"""How long the browser waits for the payer: what section 15.1 recommends."""

_ALGORITHMS: Final = [COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA]
"""Every phone and security key has one of them. RS256 is left out: old TPMs only, and the weakest of the three."""

_COORDINATE_BYTES: Final = 32

_STATEMENTS: Final = {"none": set(), "packed": {"alg", "sig"}}
"""What a browser may return that was asked for no attestation: nothing, or the passkey's own signature
(WebAuthn section 5.1.3). So no certificate of anybody is ever parsed here."""

_UNREADABLE: Final = (WebAuthnException, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the library raises on CBOR that holds something else than it expects, or holds it too deep."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who asks: the domain that passkeys are bound to, and the name that the payer is shown."""

    id: str
    name: str


class Transport(StrEnum):
    """How a browser reaches an authenticator (WebAuthn section 5.8.4)."""

    USB = "usb"
    NFC = "nfc"
    BLE = "ble"
    SMART_CARD = "smart-card"
    HYBRID = "hybrid"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Passkey:
    """What is kept of a passkey (WebAuthn section 4, credential record). None of it is secret."""

    credential_id: bytes = field(repr=False)
    """1 to 1,023 bytes."""
    public_key: bytes = field(repr=False)
    """A COSE key (RFC 9052): ES256 on P-256, or EdDSA on Ed25519."""
    sign_count: int
    """What the authenticator counted last; 0 always if it does not count."""
    backed_up: bool
    backup_eligible: bool
    """Whether it may be copied to other devices: then it is no proof of one device."""
    transports: tuple[Transport, ...]
    aaguid: str
    """The authenticator's model as it says itself; zeros if it does not say."""


def creation_options(
    relying_party: RelyingParty,
    *,
    handle: bytes,
    account_name: str,
    challenge: bytes,
    known: Sequence[Passkey] = (),
    for_payments: bool = False,
) -> bytes:
    """JSON for `PublicKeyCredential.parseCreationOptionsFromJSON()`.

    `handle` is 32 random bytes that stand for the payer and say nothing of them; `account_name` is what the payer
    is shown among their passkeys; `known` are the passkeys that the payer has, which are not made twice. With
    `for_payments` the passkey can confirm payments (SPC), and lives in the device itself, as SPC wants it.
    Raises InvalidInput at `/account_name`; ValueError for a handle, a challenge or a count that is out of bounds.
    """
    if len(handle) != HANDLE_BYTES or len(challenge) < FEWEST_CHALLENGE_BYTES or len(known) > MOST_PASSKEYS:
        raise ValueError("the handle, the challenge or the number of passkeys is out of bounds")
    if not 1 <= len(account_name.encode()) <= MOST_NAME_BYTES:
        raise InvalidInput.at("/account_name", f"must have 1 to {MOST_NAME_BYTES} bytes in UTF-8")
    options = webauthn.generate_registration_options(
        rp_id=relying_party.id,
        rp_name=relying_party.name,
        user_id=handle,
        user_name=account_name,
        challenge=challenge,
        timeout=ANSWER_WITHIN_MS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            authenticator_attachment=AuthenticatorAttachment.PLATFORM if for_payments else None,
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[descriptor(passkey) for passkey in known],
        supported_pub_key_algs=_ALGORITHMS,
    )
    extensions = {"extensions": {"payment": {"isPayment": True}}} if for_payments else {}
    return msgspec.json.encode(options_to_json_dict(options) | extensions)


def verify_registration(
    response_json: bytes, *, challenge: bytes, rp_id: str, origins: Sequence[str]
) -> Passkey:
    """The passkey that the browser made for the creation options with this challenge.

    The payer was present and verified (WebAuthn section 6.1: UP and UV), on a page of one of `origins` that stood
    in no frame of another origin. Raises InvalidInput, always with the same text, for anything else.
    """
    answer = read_attestation(response_json)
    try:
        return _verified(answer, challenge=challenge, rp_id=rp_id, origins=origins)
    except _UNREADABLE:
        raise InvalidInput.at("", NOT_AN_ANSWER) from None


def descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    """How options name a passkey (WebAuthn section 5.8.3)."""
    transports = [AuthenticatorTransport(transport.value) for transport in passkey.transports]
    return PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=transports)


def signing_key(public_key: bytes) -> EllipticCurvePublicKey | Ed25519PublicKey:
    """The key in a COSE key, if it is one of the two kinds that we let be made.

    Raises ValueError for other algorithms and curves, coordinates of another length, a point that is not on the
    curve, and what is no COSE key. The library alone would take P-521, and judges the point at the first use only.
    """
    try:
        key = decode_credential_public_key(public_key)
    except _UNREADABLE:
        raise ValueError("not a COSE key") from None
    match key:
        case DecodedEC2PublicKey(
            alg=COSEAlgorithmIdentifier.ECDSA_SHA_256, crv=COSECRV.P256, x=bytes(x), y=bytes(y)
        ) if len(x) == len(y) == _COORDINATE_BYTES:
            return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + x + y)
        case DecodedOKPPublicKey(alg=COSEAlgorithmIdentifier.EDDSA, crv=COSECRV.ED25519, x=bytes(x)):
            return Ed25519PublicKey.from_public_bytes(x)
    raise ValueError("not a key of an algorithm that we ask for")


def public_key_of(passkey: Passkey) -> DeviceKey:
    """The key as a JWK (RFC 7517), which more verifiers read than COSE. Raises ValueError as `signing_key` does."""
    public = signing_key(passkey.public_key)
    if isinstance(public, Ed25519PublicKey):
        return DeviceKey.parse({"kty": "OKP", "crv": "Ed25519", "x": base64url(public.public_bytes_raw())})
    point = public.public_numbers()
    x, y = (base64url(one.to_bytes(_COORDINATE_BYTES, "big")) for one in (point.x, point.y))
    return DeviceKey.parse({"kty": "EC", "crv": "P-256", "x": x, "y": y})


def _verified(
    answer: Answer[Attestation], *, challenge: bytes, rp_id: str, origins: Sequence[str]
) -> Passkey:
    """What section 7.1 asks for: by the library, and around it what the library leaves open."""
    client_json, attestation = raw(answer.response.client), raw(answer.response.attestation)
    client = read_client(client_json)
    if client.cross_origin or client.top_origin is not None:
        raise ValueError("made in a frame of another origin")
    statement = parse_cbor(attestation)
    if encode_cbor(statement) != attestation:  # the library passes over bytes that follow
        raise ValueError("not in the canonical form that section 6.5 asks for")
    if set(statement["attStmt"]) != _STATEMENTS[statement["fmt"]]:
        raise ValueError("an attestation that was not asked for")
    made = webauthn.verify_registration_response(
        credential=RegistrationCredential(
            id=answer.id,
            raw_id=raw(answer.raw_id),
            response=AuthenticatorAttestationResponse(client_json, attestation),
        ),
        expected_challenge=challenge,
        expected_rp_id=rp_id,
        expected_origin=list(origins),
        require_user_verification=True,
        supported_pub_key_algs=_ALGORITHMS,
    )
    if made.credential_id != raw(answer.raw_id):
        raise ValueError("another passkey than the browser names")
    signing_key(made.credential_public_key)
    return Passkey(
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        backed_up=made.credential_backed_up,
        backup_eligible=made.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        transports=tuple(one for one in Transport if one in answer.response.transports),
        aaguid=made.aaguid,
    )
