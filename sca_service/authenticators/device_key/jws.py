"""What a device signed: a JWS in its compact form (RFC 7515, section 7.1), `<header>.<payload>.<signature>`.

Checked here and not by a library, because this decides: the algorithm is the enrolled key's and never the header's
choice (RFC 8725, section 3.1), and the kind of content is told by `typ` (section 3.11), so that nothing signed for one
use counts for another.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from sca_service.authenticators.device_key.jwk import LONGEST_KID, DeviceKey, from_base64url, json_object
from sca_service.kernel.errors import InvalidInput, ScaError

T = TypeVar("T")

MOST_CHARACTERS: Final = 8 * 1024
"""What is signed are a few claims and at most one key, 1 or 2 KiB; all of it is read before it is believed."""

SIGNATURE_BYTES: Final = 64
"""Of both algorithms: r and s (RFC 7518, section 3.4), or R and S (RFC 8032, section 5.1.6), 32 bytes each."""

_HALF: Final = SIGNATURE_BYTES // 2
_AT_CLAIM: Final = re.compile(r" - at `\$\.(\w+)[^`]*`\Z|missing required field `(\w+)`\Z")


class BadSignature(ScaError):
    """Not signed by this key, or not for this use; it never says which. Callers turn it into an outcome."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header may hold. RFC 7515 would read over unknown parameters that `crit` does not name.

    A closed list needs no list of the dangerous ones: crit, b64, jku, x5u, x5c.
    """

    alg: str
    typ: str
    kid: Annotated[str, msgspec.Meta(max_length=LONGEST_KID)] = ""
    jwk: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class _Parts:
    """A compact JWS taken apart, nothing of it believed yet; `signed` is what the signature is over."""

    header: _Header
    payload: bytes
    signature: bytes
    signed: bytes


def verify_compact(text: str, key: DeviceKey, *, typ: str) -> bytes:
    """The payload that this key signed as a `typ`. Raises BadSignature.

    A header that carries a key of its own is refused: that is for `verify_carried`.
    """
    parts = _parts(text)
    if parts.header.jwk is not msgspec.UNSET:
        raise _bad()
    return _payload(parts, key, typ)


def verify_carried(text: str, *, typ: str) -> tuple[DeviceKey, bytes]:
    """The key that the header carries as `jwk`, and the payload that it signed as a `typ`. Raises BadSignature.

    It proves that the sender holds the private part, and nothing about who the sender is: for enrolment only.
    """
    parts = _parts(text)
    if parts.header.jwk is msgspec.UNSET:
        raise _bad()
    try:
        key = DeviceKey.parse(parts.header.jwk)
    except InvalidInput:
        raise _bad() from None
    return key, _payload(parts, key, typ)


def named_key(text: str) -> str:
    """The `kid` that a JWS names, not believed yet; empty when it names none. Raises BadSignature when it is no JWS."""
    return _parts(text).header.kid


def is_signature(signature: bytes, signed: bytes, key: DeviceKey) -> bool:
    """Whether these bytes are the key's signature over `signed`: 64 bytes in all, never DER.

    OpenSSL refuses r and s that are not in 1…n-1, an S that is not below the group's order, and an R that is not
    spelled canonically. Of ECDSA it accepts s and n-s alike, as RFC 7518 has it and as the devices' secure hardware
    signs: either is the key's own word on the same bytes, and nothing here takes a signature for an identifier.
    """
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        if isinstance(key.public, Ed25519PublicKey):
            key.public.verify(signature, signed)
        else:
            r, s = (int.from_bytes(half, "big") for half in (signature[:_HALF], signature[_HALF:]))
            key.public.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def read_claims(payload: bytes, shape: type[T]) -> T:
    """A signed payload as one of our shapes. Raises InvalidInput at the claim, without quoting what was sent."""
    try:
        return msgspec.convert(json_object(payload), shape)
    except msgspec.ValidationError as error:
        place = _AT_CLAIM.search(str(error))
        if place is None:
            raise InvalidInput.at("", "must not hold claims that are unknown here") from None
        raise InvalidInput.at(
            f"/{place[1] or place[2]}", "is missing or not what this claim must be"
        ) from None
    except ValueError:
        raise InvalidInput.at("", "must be one JSON object in UTF-8 without duplicate member names") from None


def _parts(text: str) -> _Parts:
    if len(text) > MOST_CHARACTERS:
        raise _bad()
    try:
        header, payload, signature = text.split(".")
        return _Parts(
            header=msgspec.convert(json_object(from_base64url(header)), _Header),
            payload=from_base64url(payload),
            signature=from_base64url(signature),
            signed=f"{header}.{payload}".encode("ascii"),
        )
    except ValueError:  # msgspec's errors are such, too
        raise _bad() from None


def _payload(parts: _Parts, key: DeviceKey, typ: str) -> bytes:
    """The payload, once everything around it is right."""
    header = parts.header
    is_for_this = header.alg == key.algorithm and header.typ == typ
    if not is_for_this or not is_signature(parts.signature, parts.signed, key):
        raise _bad()
    return parts.payload


def _bad() -> BadSignature:
    return BadSignature("not signed by this device for this use")
