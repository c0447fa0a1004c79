"""The public key of a device as a JWK (RFC 7517), of exactly two kinds::

    {"kty": "EC", "crv": "P-256", "x": "<32 bytes>", "y": "<32 bytes>"}      signs ES256  (RFC 7518, sections 6.2, 3.4)
    {"kty": "OKP", "crv": "Ed25519", "x": "<32 bytes>"}                      signs EdDSA  (RFC 8037, section 2)

These are what the key stores of Android and iOS hold without letting them out (RTS Art. 7).
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sca_service.kernel.errors import InvalidInput

MOST_JWK_BYTES: Final = 1024
"""A key with every member that may stand in it takes some 400 bytes."""

LONGEST_KID: Final = 128
"""A `kid` is read over, as the caller knows which key it asks for; a hash or a UUID is shorter than this."""

_COORDINATE_BYTES: Final = 32
_READ_OVER: Final = frozenset({"alg", "use", "key_ops", "kid", "ext"})
"""What may stand in a key and is not kept; `ext` is written by Web Cryptography, section 30.1."""


class Algorithm(StrEnum):
    """How a device signs; as a JWS header spells it (RFC 7518, section 3.1; RFC 8037, section 3.1)."""

    ES256 = "ES256"
    EDDSA = "EdDSA"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the two keys there are: its `kty` and `crv`, how it signs, and the members that hold its point."""

    kty: str
    crv: str
    algorithm: Algorithm
    coordinates: tuple[str, ...]


_KINDS: Final = {
    "EC": _Kind("EC", "P-256", Algorithm.ES256, ("x", "y")),
    "OKP": _Kind("OKP", "Ed25519", Algorithm.EDDSA, ("x",)),
}

_FIELD: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _FIELD) % _FIELD
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})
"""The y of all eight points of Ed25519 whose order divides 8: under such a key one signature fits many messages."""


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A public key that is valid: its point is on the curve and, of Ed25519, of no small order.

    A class because two spellings of one key must have one thumbprint, and so be one authenticator.
    """

    algorithm: Algorithm
    canonical: bytes
    """The one spelling of this key: required members only, sorted, no spaces (RFC 7638, section 3)."""
    public: EllipticCurvePublicKey | Ed25519PublicKey = field(repr=False, compare=False)

    @classmethod
    def parse(cls, jwk: bytes | Mapping[str, object]) -> "DeviceKey":
        """Read a JWK, as JSON in UTF-8 or parsed already.

        Raises InvalidInput, with the pointer of the member, for every other kind of key, for a private or symmetric
        one, for a point that is not the curve's (or spelled in more than one way), for an `alg`, `use` or `key_ops`
        that is not for verifying with this key, and for unknown and duplicate members. RFC 7517 would read over
        unknown members; here, a key whose holder means more by it than we understand is none.
        """
        members = _members(jwk)
        kind = _kind(members)
        _refuse_other_purposes(members, kind)
        points = {name: _coordinate(members, name) for name in kind.coordinates}
        is_ec = kind.algorithm is Algorithm.ES256
        public = _p256(points["x"], points["y"]) if is_ec else _ed25519(points["x"])
        required = {"crv": kind.crv, "kty": kind.kty}
        required |= {name: base64url(point) for name, point in points.items()}
        return cls(kind.algorithm, msgspec.json.encode(required, order="sorted"), public)

    def to_json(self) -> bytes:
        """The canonical public JWK, for storage; `parse` reads it."""
        return self.canonical

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the canonical spelling, in base64url: the key's name (RFC 7638)."""
        return base64url(hashlib.sha256(self.canonical).digest())


def base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """What `base64url` made, and that only: another spelling of the same bytes raises ValueError."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(raw) != text:  # the library reads over foreign characters and trailing bits
        raise ValueError("not canonical base64url")
    return raw


def json_object(raw: bytes) -> dict[str, Any]:
    """One JSON object in UTF-8, no member twice at any depth: two parsers would disagree on which counts.

    Raises ValueError for anything else, also for one that is nested too deeply.
    """
    try:
        parsed = _DECODER.decode(raw.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError("not an object")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name twice")
    return members


def _no_constant(_: str) -> None:
    """`NaN` and `Infinity` are Python's, not JSON's."""
    raise ValueError("not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _members(jwk: bytes | Mapping[str, object]) -> dict[str, Any]:
    try:
        raw = jwk if isinstance(jwk, bytes) else msgspec.json.encode(jwk)
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput.at("", "must be a JSON Web Key") from None
    if len(raw) > MOST_JWK_BYTES:
        raise InvalidInput.at("", f"must be a JSON Web Key of at most {MOST_JWK_BYTES} bytes")
    try:
        return json_object(raw)
    except ValueError:
        raise InvalidInput.at("", "must be one JSON object in UTF-8 without duplicate member names") from None


def _kind(members: Mapping[str, Any]) -> _Kind:
    """Which of the two it is; members that neither has are refused here, the private part first of all."""
    if "d" in members:
        raise InvalidInput.at("/d", "must not be sent: it is the private part of the key")
    kty = members.get("kty")
    kind = _KINDS.get(kty) if isinstance(kty, str) else None
    if kind is None:
        raise InvalidInput.at("/kty", "must be EC or OKP")
    if members.get("crv") != kind.crv:
        raise InvalidInput.at("/crv", f"must be {kind.crv} in a key of this kind")
    for name in members:
        if name not in {"kty", "crv", *kind.coordinates} | _READ_OVER:
            raise InvalidInput.at(f"/{_escaped(name)}", "is not a member of a public key of this kind")
    return kind


def _escaped(name: str) -> str:
    """A foreign member's name as part of a JSON pointer (RFC 6901): 64 ASCII characters of it at most."""
    shown = name[:64].encode("ascii", "replace").decode()
    return shown.replace("~", "~0").replace("/", "~1")


def _refuse_other_purposes(members: Mapping[str, Any], kind: _Kind) -> None:
    """RFC 7517, sections 4.2 to 4.5: what is said of the key must let it verify."""
    if members.get("alg", kind.algorithm) != kind.algorithm:
        raise InvalidInput.at("/alg", f"must be {kind.algorithm} or left out")
    if members.get("use", "sig") != "sig":
        raise InvalidInput.at("/use", "must be sig or left out")
    if members.get("key_ops", ["verify"]) != ["verify"]:
        raise InvalidInput.at("/key_ops", "must be verify alone, or left out")
    kid = members.get("kid", "")
    if not isinstance(kid, str) or len(kid) > LONGEST_KID:
        raise InvalidInput.at("/kid", f"must be a text of at most {LONGEST_KID} characters")
    if not isinstance(members.get("ext", True), bool):
        raise InvalidInput.at("/ext", "must be true, false or left out")


def _coordinate(members: Mapping[str, Any], name: str) -> bytes:
    text = members.get(name)
    try:
        raw = from_base64url(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != _COORDINATE_BYTES:
        raise InvalidInput.at(f"/{name}", f"must be {_COORDINATE_BYTES} bytes in base64url without padding")
    return raw


def _p256(x: bytes, y: bytes) -> EllipticCurvePublicKey:
    """OpenSSL refuses coordinates that are not below the field's prime, and a point off the curve.

    The point at infinity has no coordinates; (0, 0), which some write for it, is off the curve.
    """
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + x + y)
    except ValueError:
        raise InvalidInput.at("/x", "must be, with y, a point of P-256") from None


def _ed25519(encoded: bytes) -> Ed25519PublicKey:
    """RFC 8032, section 5.1.3, which OpenSSL postpones to the first signature, and the points it would let pass."""
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1  # the top bit is the sign of x
    if y >= _FIELD:
        raise InvalidInput.at("/x", "must be a point of Ed25519 in its canonical spelling")
    if y in _SMALL_ORDER_Y:
        raise InvalidInput.at("/x", "must not be a point of small order")
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _FIELD)
    if pow(x_squared, (_FIELD - 1) // 2, _FIELD) != 1:  # Euler's criterion: no x belongs to this y
        raise InvalidInput.at("/x", "must be a point of Ed25519")
    return Ed25519PublicKey.from_public_bytes(encoded)
