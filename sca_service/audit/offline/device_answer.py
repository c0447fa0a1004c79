"""What a payer's device signed, verified by the key that stands beside it: nobody's word is needed that it was signed.

Both are personal values of the event that says what the answer came to::

    device_answer   a JWS (RFC 7515) with the claims challenge, transaction, decision, iat and, to approve, digits
    device_key      the JWK (RFC 7517) that verifies it; its thumbprint (RFC 7638) is the `key` of the event
                    `authenticator.activated`, which shows whose device it is
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwk, jws
from joserfc.errors import JoseError, SecurityWarning

from sca_service.audit.offline.findings import Refused

ANSWER, KEY = "device_answer", "device_key"
_TYPE = "sca-approval+jwt"
_ALGORITHMS = {"EC": "ES256", "OKP": "EdDSA"}
_DECISIONS = {"challenge.answered": "approve", "challenge.declined": "decline"}


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """An answer that the key signed: yes or no, and the key's thumbprint (RFC 7638)."""

    decision: str
    thumbprint: str


def check_device_answer(
    members: Mapping[str, Any], disclosed: Mapping[str, str], transaction: str | None
) -> DeviceAnswer | None:
    """Check the signed answer of an event; None where the event opens none.

    `transaction` is the canonical text of what was to be approved, where the evidence opens it. Raises Refused when
    the key did not sign this answer, to this challenge, over this transaction.
    """
    if ANSWER not in disclosed or KEY not in disclosed:
        return None
    key, thumbprint = _key(disclosed[KEY])
    claims = _claims(disclosed[ANSWER], key)
    if claims.get("challenge") != members.get("challenge"):
        raise Refused("what the device signed is about another challenge")
    if claims.get("decision") != _DECISIONS.get(members["type"]):
        raise Refused("the device did not sign what the event says")
    if transaction is not None:
        digest = f"sha256:{hashlib.sha256(transaction.encode('utf-8', 'surrogatepass')).hexdigest()}"
        if claims.get("transaction") != digest:
            raise Refused("what the device signed is about another transaction")
    return DeviceAnswer(str(claims["decision"]), thumbprint)


def _key(text: str) -> tuple[jwk.Key, str]:
    try:
        parsed = json.loads(text)
        key = jwk.import_key(parsed)
        if key.is_private or parsed.get("kty") not in _ALGORITHMS:
            raise Refused("the device's key is none that a device signs with")
        return key, key.thumbprint()
    except (ValueError, TypeError, AttributeError, JoseError):
        raise Refused("the device's key cannot be read") from None


def _claims(text: str, key: jwk.Key) -> dict[str, Any]:
    """The claims, once the signature holds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", SecurityWarning
            )  # EdDSA is what RFC 8037 calls it, and what devices write
            signed = jws.deserialize_compact(text.encode(), key, algorithms=[_ALGORITHMS[key.key_type]])
        claims = json.loads(signed.payload)
    except (ValueError, KeyError, JoseError):
        raise Refused("the device's signature does not hold") from None
    if signed.protected.get("typ") != _TYPE or not isinstance(claims, dict):
        raise Refused("what the device signed is no answer to a challenge")
    return claims
