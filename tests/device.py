"""A payer's phone with the bank's app, which knows nothing but what it is told; and how one is enrolled.

It signs what the contract says (RFC 7515, RFC 9449) with its own key, and shares no code with the service.
"""

import base64
import hashlib
import json
import secrets
import ssl
import time
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.generator import path
from tests.harness import PATIENCE_SECONDS, Bank

_TLS = ssl.create_default_context()
"""Not needed on loopback, but httpx would make one for each client, and that takes 60 ms."""


class Device:
    """What the payer holds. A class because it holds the key, and what it was told when it was enrolled."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.key = generate_private_key(SECP256R1()) if algorithm == "ES256" else Ed25519PrivateKey.generate()
        self.id = ""
        self.url = ""

    @property
    def jwk(self) -> dict[str, str]:
        """The public key (RFC 7517)."""
        if isinstance(self.key, Ed25519PrivateKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": base64url(self.key.public_key().public_bytes_raw())}
        point = self.key.public_key().public_numbers()
        x, y = (base64url(one.to_bytes(32, "big")) for one in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A compact JWS; `alg` is this key's unless the header says otherwise."""
        signed = f"{_json(signed_header(self.algorithm, header))}.{_json(claims)}"
        return f"{signed}.{base64url(self._signature(signed.encode()))}"

    def proof(
        self, method: str, url: str, body: bytes = b"", *, shows_key: bool = False, **changes: Any
    ) -> str:
        """The proof of a request (RFC 9449, section 4.2), with changed claims; None leaves one out."""
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
            "jti": secrets.token_urlsafe(16),
            "bth": base64url(hashlib.sha256(body).digest()) if body else None,
        }
        named: dict[str, Any] = {"jwk": self.jwk} if shows_key else {"kid": self.id}
        return self.sign({"typ": "dpop+jwt", **named}, _without_none(claims | changes))

    def approval(self, challenge: dict[str, Any], digits: str, /, **changes: Any) -> str:
        """The payer says yes to what the app shows, and has typed these digits."""
        return self._answer(challenge, {"decision": "approve", "digits": digits} | changes)

    def refusal(self, challenge: dict[str, Any], reason: str | None = None, **changes: Any) -> str:
        """The payer says no."""
        return self._answer(challenge, {"decision": "decline", "reason": reason} | changes)

    async def call(
        self,
        method: str,
        place: str,
        body: dict[str, Any] | None = None,
        *,
        proof: str | None = None,
        url: str | None = None,
        shows_key: bool = False,
    ) -> httpx.Response:
        """Call the service as the app does: signed, without an API key; at another replica's `url` if told so."""
        raw = b"" if body is None else json.dumps(body).encode()
        base = url or self.url
        signed = proof or self.proof(method, base + place, raw, shows_key=shows_key)
        return await send(method, base + place, raw, [("DPoP", signed)])

    async def activate(self, code: str) -> httpx.Response:
        """Show the key, with the code that the bank handed over; whatever comes of it."""
        body = {"authenticator": self.id, "activation_code": code}
        return await self.call("POST", "/activate", body, shows_key=True)

    async def asked(self) -> list[dict[str, Any]]:
        """What it is asked now."""
        response = await self.call("GET", "/challenges")
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["data"]
        return found

    async def answer(self, challenge: str, signed: str, *, url: str | None = None) -> httpx.Response:
        """Send a signed answer, whatever comes of it."""
        return await self.call("POST", f"/challenges/{challenge}/answer", {"answer": signed}, url=url)

    async def answered(self, challenge: str, signed: str, *, url: str | None = None) -> tuple[str, int]:
        """What a signed answer comes to: the outcome, and how many attempts are left."""
        response = await self.answer(challenge, signed, url=url)
        assert response.status_code == 200, response.text
        told = response.json()
        return told["outcome"], told["attempts_left"]

    async def approve(self, issued: dict[str, Any]) -> str:
        """Fetch a challenge, show it, and approve it with the digits of the bank's page; the outcome."""
        (shown,) = [one for one in await self.asked() if one["id"] == issued["id"]]
        outcome, _ = await self.answered(issued["id"], self.approval(shown, issued["matching_digits"]))
        return outcome

    def _answer(self, challenge: dict[str, Any], changes: dict[str, Any]) -> str:
        transaction = challenge["transaction"]
        claims = {
            "challenge": challenge["id"],
            "transaction": transaction["digest"] if transaction else None,
            "iat": int(time.time()),
        }
        return self.sign({"typ": "sca-approval+jwt"}, _without_none(claims | changes))

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(signed)
        r, s = decode_dss_signature(self.key.sign(signed, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def base64url(raw: bytes) -> str:
    """RFC 7515, section 2."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(signed: str) -> dict[str, Any]:
    """What a JWS says, whoever signed it."""
    payload = signed.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return said


def signed_header(algorithm: str, header: dict[str, Any]) -> dict[str, Any]:
    """A header with this algorithm, unless it names one."""
    return {"alg": algorithm} | header


async def send(method: str, url: str, body: bytes, headers: list[tuple[str, str]]) -> httpx.Response:
    """A request with these headers and no API key."""
    kind = [("Content-Type", "application/json")] if body else []
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, verify=_TLS) as http:
        return await http.request(method, url, content=body, headers=[*kind, *headers])


async def enrol(bank: Bank, psu: dict[str, str], **members: Any) -> tuple[Device, str]:
    """A pending device of a payer, and the code that activates it."""
    algorithm = members.pop("algorithm", "ES256")
    wanted = {"type": "device_key", "label": "Anna's phone", "unlocked_by": "inherence"} | members
    response = await bank.http.post(path(psu), json=wanted)
    assert response.status_code == 201, response.text
    body = response.json()
    device = Device(algorithm)
    device.id, device.url = body["authenticator"]["id"], body["device_url"]
    return device, body["activation_code"]


async def enrolled(bank: Bank, psu: dict[str, str], **members: Any) -> Device:
    """An active device of a payer."""
    device, code = await enrol(bank, psu, **members)
    activated = await device.activate(code)
    assert activated.json()["outcome"] == "activated", activated.text
    return device


async def one_more(bank: Bank, psu: dict[str, str], by: Device, **members: Any) -> Device:
    """A further device of a payer, which an active one gives its word for (RTS Art. 24)."""
    return await enrolled(bank, psu, authorisation=await authorisation(bank, psu, by), **members)


async def authorisation(bank: Bank, psu: dict[str, str], by: Device) -> str:
    """The word of an active device for one more authenticator."""
    issued = await asked(bank, psu, purpose="enrolment", transaction=None)
    assert await by.approve(issued) == "approved"
    word: str = (await bank.get(issued["id"]))["authentication_code"]
    return word


async def asked(bank: Bank, psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """A challenge that the payer's devices are asked: a payment unless told otherwise."""
    return await bank.issue(psu=psu, **({"method": "device_signature", "channels": None} | members))


def _without_none(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}


def _json(members: dict[str, Any]) -> str:
    return base64url(json.dumps(members).encode())
