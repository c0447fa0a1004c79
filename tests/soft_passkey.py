"""An authenticator and a browser in software, that can also do what neither ever should."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
RP_ID, ORIGIN = "bank.example", "https://pay.bank.example"
CREDENTIAL_ID = bytes(range(32))
CHALLENGE = bytes(range(100, 132))

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def base64url(value: bytes) -> str:
    """Without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def cose_key(key: Key) -> dict[int, Any]:
    """The public key as COSE_Key (RFC 9053 section 7), its members in canonical order."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {1: 1, 3: -8, -1: 6, -2: key.public_key().public_bytes_raw()}
    point = key.public_key().public_numbers()
    return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}


def client_json(kind: str, **changed: Any) -> bytes:
    """What a browser says (WebAuthn section 5.8.1); a member that is None is left out."""
    members = {
        "type": kind,
        "challenge": base64url(CHALLENGE),
        "origin": ORIGIN,
        "crossOrigin": False,
    } | changed
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def response(parts: dict[str, Any], *, identifier: bytes = CREDENTIAL_ID, **changed: Any) -> bytes:
    """The JSON of a credential around the parts of its response."""
    shown = {name: base64url(part) if isinstance(part, bytes) else part for name, part in parts.items()}
    name = base64url(identifier)
    return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": shown} | changed).encode()


@dataclass
class SoftPasskey:
    """A key, its name, a counter, and the flags that it says; ES256 unless another key is given."""

    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    sign_count: int = 0
    rp_id: str = RP_ID
    identifier: bytes = CREDENTIAL_ID

    def sign(self, message: bytes) -> bytes:
        """As the key's kind signs."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(message)
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))

    def authenticator(self, flags: int = UP | UV, rest: bytes = b"") -> bytes:
        """Hash of the domain, flags, counter (WebAuthn section 6.1)."""
        head = hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags])
        return head + self.sign_count.to_bytes(4, "big") + rest

    def attested(
        self,
        flags: int = UP | UV | AT,
        *,
        cose: Any = None,
        identifier: bytes | None = None,
        rest: bytes = b"",
    ) -> bytes:
        """The same with the new key (WebAuthn section 6.5.1)."""
        key = cbor2.dumps(cose_key(self.key) if cose is None else cose)
        name = self.identifier if identifier is None else identifier
        return self.authenticator(flags, bytes(16) + len(name).to_bytes(2, "big") + name + key + rest)

    def registered(self, attested: bytes | None = None, client: bytes | None = None, **changed: Any) -> bytes:
        """An answer to creation options without attestation."""
        attested = self.attested() if attested is None else attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": attested})
        parts = {
            "clientDataJSON": client or client_json("webauthn.create"),
            "attestationObject": statement,
        }
        return response(parts | changed, identifier=self.identifier)

    def signed(
        self, authenticator: bytes | None = None, client: bytes | None = None, **changed: Any
    ) -> bytes:
        """An answer to request options."""
        client = client_json("webauthn.get") if client is None else client
        authenticator = self.authenticator() if authenticator is None else authenticator
        parts = {
            "clientDataJSON": client,
            "authenticatorData": authenticator,
            "signature": self.sign(authenticator + hashlib.sha256(client).digest()),
        }
        return response(parts, **({"identifier": self.identifier} | changed))
