"""Payers with authenticators, enrolled over the API: their devices sign, their generators show codes."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyotp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from loadtests import generator
from loadtests.generator import Request
from loadtests.place import Place

PIN = "493817"
PERIOD_SECONDS = 30
"""Of a generator (policies/authenticators.toml)."""
_AT_ONCE = 100
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SigningDevice:
    """A payer's device, as a bank's app has it: a key of its own (ES256), and the id that it goes by."""

    payer: int
    key: ec.EllipticCurvePrivateKey
    id: str
    url: str

    def answers(self, challenge: Mapping[str, Any]) -> Request:
        """The payer approves a challenge as it was issued: the signed answer, in a request that is signed too."""
        claims = {
            "challenge": challenge["id"],
            "transaction": challenge["transaction"]["digest"],
            "decision": "approve",
            "digits": challenge["matching_digits"],
            "iat": int(time.time()),
        }
        signed = self.sign({"alg": "ES256", "typ": "sca-approval+jwt"}, claims)
        return self.calls(f"/challenges/{challenge['id']}/answer", {"answer": signed}, {"kid": self.id})

    def calls(self, path: str, body: object, names: Mapping[str, object]) -> Request:
        """A request with the proof that this device made it; `names` tell which device it is."""
        encoded = generator.encode(body)
        claims = {
            "htm": "POST",
            "htu": self.url + path,
            "iat": int(time.time()),
            "jti": secrets.token_urlsafe(16),
            "bth": base64url(hashlib.sha256(encoded.encode()).digest()),
        }
        proof = self.sign({"alg": "ES256", "typ": "dpop+jwt", **names}, claims)
        return Request("/device/v1" + path, encoded, proof)

    def jwk(self) -> dict[str, str]:
        """The public key."""
        point = self.key.public_key().public_numbers()
        x, y = (base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A JWS in its compact form."""
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass(frozen=True, slots=True)
class PayersGenerator:
    """A payer's generator of codes, by time."""

    payer: int
    otp: pyotp.TOTP

    def answers(self, challenge: Mapping[str, Any]) -> Request:
        """The code of now, as the answer to a challenge."""
        return Request(f"/v1/challenges/{challenge['id']}/verify", generator.encode({"code": self.otp.now()}))


def devices(place: Place, payers: Iterator[int], count: int) -> list[SigningDevice]:
    """Enrol and activate a device for each of so many payers; fewer where the machine is busy."""
    made, activations = [], []
    enrolled = _enrol(
        place, payers, count, {"type": "device_key", "label": "Phone", "unlocked_by": "inherence"}
    )
    for payer, body in enrolled:
        key = ec.generate_private_key(ec.SECP256R1())
        device = SigningDevice(payer, key, body["authenticator"]["id"], body["device_url"])
        shown = {"authenticator": device.id, "activation_code": body["activation_code"]}
        activations.append(device.calls("/activate", shown, {"jwk": device.jwk()}))
        made.append(device)
    return _active(place, made, activations)


def generators(place: Place, payers: Iterator[int], count: int) -> list[PayersGenerator]:
    """Enrol and activate a TOTP generator, by the code of the period before, for each of so many payers."""
    made: list[PayersGenerator] = []
    for begin in range(0, count, _AT_ONCE):  # a code is made when it is sent, or it would be of too long ago
        enrolled = _enrol(place, payers, min(_AT_ONCE, count - begin), {"type": "totp", "label": "Anna"})
        generators = [PayersGenerator(payer, pyotp.TOTP(_seed(body))) for payer, body in enrolled]
        before = int(time.time()) - PERIOD_SECONDS
        activations = [
            _activation(one.payer, body, {"code": one.otp.at(before)})
            for one, (_, body) in zip(generators, enrolled, strict=True)
        ]
        made += _active(place, generators, activations)
    return made


def pins(place: Place, payers: Iterator[int], count: int) -> list[int]:
    """Enrol and activate the PIN of so many payers."""
    enrolled = _enrol(place, payers, count, {"type": "pin", "label": "Anna", "pin": PIN})
    activations = [_activation(payer, body, {"pin": PIN}) for payer, body in enrolled]
    return _active(place, [payer for payer, _ in enrolled], activations)


def base64url(raw: bytes) -> str:
    """RFC 7515: base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _seed(body: Any) -> str:
    parsed = pyotp.parse_uri(body["otpauth_uri"])
    return str(parsed.secret)


def _enrol(place: Place, payers: Iterator[int], count: int, body: object) -> list[tuple[int, Any]]:
    """Who was enrolled, and what the service told."""
    chosen, encoded = [next(payers) for _ in range(count)], generator.encode(body)
    told = place.exchange([Request(f"/v1/psus/cust_{payer}/authenticators", encoded) for payer in chosen])
    return [(payer, one) for payer, one in zip(chosen, told, strict=True) if one is not None]


def _activation(payer: int, enrolled: Any, proof: object) -> Request:
    path = f"/v1/psus/cust_{payer}/authenticators/{enrolled['authenticator']['id']}/activate"
    return Request(path, generator.encode(proof))


def _active(place: Place, made: Sequence[T], activations: Sequence[Request]) -> list[T]:
    """Those that became active; a code's period may end on its way. Raises RuntimeError for less than half."""
    told = place.exchange(activations)
    active = [one for one, body in zip(made, told, strict=True) if body and body["outcome"] == "activated"]
    if len(active) < len(made) / 2:
        raise RuntimeError(f"of {len(made)} authenticators {len(active)} were activated")
    return active
