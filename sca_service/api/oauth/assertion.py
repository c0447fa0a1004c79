"""What a client signs in place of a secret: `private_key_jwt` (RFC 7523, section 3), by keys of its own.

Algorithms are those that FAPI 2.0 allows. `exp` is at most five minutes off, and each `jti` counts once, for as long as
the assertion could come again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

ALGORITHMS = ("ES256", "PS256", "EdDSA", "Ed25519")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MOST_CHARACTERS = 4096
LEEWAY_SECONDS = 5
_MOST_SECONDS = 300
_MOST_KEYS = 16
_LEAST_RSA_BITS = 2048
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS))


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str = ""
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | list[str]
    exp: int | float
    jti: Annotated[str, msgspec.Meta(min_length=8, max_length=256)]
    iat: int | float | None = None
    nbf: int | float | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion that is right. The caller accepts its `jti` once, until `ends_at_s`."""

    jti: str
    ends_at_s: int


class UnusableKeys(Exception):
    """A JWK set in which there is no key that an assertion could be signed with, or one that must not be there."""


def read_keys(text: str | bytes) -> KeySet:
    """A client's public keys (RFC 7517, section 5). Raises UnusableKeys.

    A set with a private or a symmetric key is refused: whoever sent it has shown it to us. Other kinds are left out.
    """
    try:
        content = msgspec.json.decode(text, type=dict[str, list[dict[str, object]]])["keys"]
        if not content or len(content) > _MOST_KEYS:
            raise UnusableKeys
        if any(one.keys() & {"d", "k", "p", "q"} for one in content):
            raise UnusableKeys
        known = [
            one
            for one in content
            if one.get("kty") in ("EC", "RSA", "OKP") and one.get("use", "sig") == "sig"
        ]
        keys = [key for key in KeySet.import_key_set({"keys": known}).keys if _is_strong(key)]  # type: ignore[typeddict-item]
    except (msgspec.DecodeError, KeyError, ValueError, TypeError, JoseError) as error:
        raise UnusableKeys from error
    if not keys:
        raise UnusableKeys
    return KeySet(keys)


def client_named_in(text: str) -> str:
    """Whom an assertion claims to be from, nothing of it believed yet; empty where it cannot be read."""
    try:
        return msgspec.json.decode(jws.extract_compact(text.encode("ascii")).payload, type=_Claims).iss
    except (ValueError, JoseError, msgspec.DecodeError):
        return ""


def key_named_in(text: str) -> str:
    """Which key an assertion claims to be signed with, empty where it says nothing."""
    try:
        return _header_of(text).kid
    except (ValueError, JoseError, msgspec.DecodeError):
        return ""


def verify_assertion(
    text: str, keys: KeySet, *, client: str, audiences: Iterable[str], now_s: int
) -> Assertion | None:
    """The assertion that one of these keys signed for us, now; else None, without saying what is wrong."""
    if len(text) > MOST_CHARACTERS:
        return None
    try:
        header = _header_of(text)
        payload = _payload(text, header, keys)
        claims = msgspec.json.decode(payload, type=_Claims) if payload is not None else None
    except (ValueError, JoseError, msgspec.DecodeError):
        return None
    if claims is None or (claims.iss, claims.sub) != (client, client):
        return None
    named = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if not set(named) & set(audiences):
        return None
    if not now_s - LEEWAY_SECONDS < claims.exp <= now_s + _MOST_SECONDS + LEEWAY_SECONDS:
        return None
    if any(moment is not None and moment > now_s + LEEWAY_SECONDS for moment in (claims.iat, claims.nbf)):
        return None
    return Assertion(claims.jti, int(claims.exp) + LEEWAY_SECONDS + 1)


def _payload(text: str, header: _Header, keys: KeySet) -> bytes | None:
    """What was signed, by whichever key fits the header; the algorithm is one of ours and of that key's kind."""
    if header.alg not in ALGORITHMS or header.crit is not msgspec.UNSET:
        return None
    for key in keys.keys:
        if not _fits(key, header):
            continue
        try:
            if isinstance(key, OKPKey):
                return _payload_by_ed25519(text, key)
            return jws.deserialize_compact(text, key, registry=_REGISTRY).payload
        except (JoseError, InvalidSignature):
            continue
    return None


def _payload_by_ed25519(text: str, key: OKPKey) -> bytes:
    """The same for both names of the algorithm (RFC 8037, RFC 9864); joserfc warns of the older one each time.

    Raises InvalidSignature, ValueError.
    """
    signed, _, signature = text.encode("ascii").rpartition(b".")
    public = key.public_key
    if not isinstance(public, Ed25519PublicKey):
        raise InvalidSignature
    public.verify(urlsafe_b64decode(signature), signed)
    return jws.extract_compact(text.encode("ascii")).payload


def _header_of(text: str) -> _Header:
    return msgspec.convert(jws.extract_compact(text.encode("ascii")).headers(), _Header)


def _fits(key: Key, header: _Header) -> bool:
    if header.kid and key.get("kid") and key.get("kid") != header.kid:
        return False
    if key.get("alg") and key.get("alg") != header.alg:
        return False
    match key:
        case ECKey():
            return header.alg == "ES256"
        case RSAKey():
            return header.alg == "PS256"
        case OKPKey():
            return header.alg in ("EdDSA", "Ed25519")
    return False


def _is_strong(key: Key) -> bool:
    match key:
        case ECKey():
            return key.get("crv") == "P-256"
        case RSAKey():
            return key.public_key.key_size >= _LEAST_RSA_BITS
        case OKPKey():
            return key.get("crv") == "Ed25519"
    return False
