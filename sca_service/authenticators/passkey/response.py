"""What a browser returns of a ceremony: one JSON object (WebAuthn section 5.1), and in it what it had signed."""

import hmac
from collections.abc import Sequence
from typing import Final, Generic, Literal, TypeVar

import msgspec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from sca_service.kernel.errors import InvalidInput

MOST_RESPONSE_BYTES: Final = 16 * 1024
"""A credential id of 1,023 bytes stands in a response three times at most; the rest of it needs under 4 KiB."""

MOST_CREDENTIAL_ID_BYTES: Final = 1023
"""WebAuthn section 4, credential id."""

MOST_TRANSPORTS: Final = 16
"""More than there are ways to reach an authenticator (WebAuthn section 5.8.4)."""

NOT_AN_ANSWER: Final = "must be what the browser returned for these very options, with the payer verified"
"""The only text there is: which check failed would help nobody but an attacker."""

R = TypeVar("R")


class Attestation(msgspec.Struct, frozen=True):
    """What `navigator.credentials.create()` returned (AuthenticatorAttestationResponseJSON)."""

    client: str = msgspec.field(name="clientDataJSON")
    attestation: str = msgspec.field(name="attestationObject")
    transports: tuple[str, ...] = ()


class Signed(msgspec.Struct, frozen=True):
    """What `navigator.credentials.get()` or a confirmed payment returned (AuthenticatorAssertionResponseJSON)."""

    client: str = msgspec.field(name="clientDataJSON")
    authenticator: str = msgspec.field(name="authenticatorData")
    signature: str


class Credential(msgspec.Struct, Generic[R], frozen=True):
    """The object around either; members that we do not need are not looked at."""

    id: str
    raw_id: str = msgspec.field(name="rawId")
    type: Literal["public-key"]
    response: R


class Client(msgspec.Struct, frozen=True, rename="camel"):
    """What the browser says happened (WebAuthn section 5.8.1), which the authenticator signs the hash of."""

    type: str
    challenge: str
    origin: str
    cross_origin: bool = False
    """Whether it was asked for in a frame below a page of another origin."""
    top_origin: str | None = None
    """The origin of that page; browsers older than Level 3 do not tell."""
    payment: msgspec.Raw = msgspec.Raw(b"null")
    """What SPC adds, read by those who expect it."""

    def answers(self, *, kind: str, challenge: bytes, origins: Sequence[str]) -> bool:
        """Whether it is of this kind, for this challenge, and from one of these origins, compared as text."""
        same = hmac.compare_digest(self.challenge.encode(), bytes_to_base64url(challenge).encode())
        return same and self.type == kind and self.origin in origins


_attestations: Final = msgspec.json.Decoder(Credential[Attestation])
_assertions: Final = msgspec.json.Decoder(Credential[Signed])
_clients: Final = msgspec.json.Decoder(Client)


def read_attestation(response_json: bytes) -> Credential[Attestation]:
    """The answer to creation options. Raises InvalidInput when it is none."""
    credential = _read(response_json, _attestations)
    if len(credential.response.transports) > MOST_TRANSPORTS:
        raise InvalidInput.at("", NOT_AN_ANSWER)
    return credential


def read_assertion(response_json: bytes) -> Credential[Signed]:
    """The answer to request options. Raises InvalidInput when it is none."""
    return _read(response_json, _assertions)


def read_client(client_json: bytes) -> Client:
    """What the browser says happened. Raises InvalidInput when it is not in the shape of section 5.8.1."""
    try:
        return _clients.decode(client_json)
    except (ValueError, RecursionError):  # no JSON of that shape, no UTF-8, or nested by the thousand
        raise InvalidInput.at("", NOT_AN_ANSWER) from None


def raw(text: str) -> bytes:
    """Base64url without padding, in its one right spelling (RFC 4648 section 5). Raises InvalidInput."""
    try:
        value = base64url_to_bytes(text)
    except ValueError:
        raise InvalidInput.at("", NOT_AN_ANSWER) from None
    if bytes_to_base64url(value) != text:  # Python passes over padding and foreign characters
        raise InvalidInput.at("", NOT_AN_ANSWER)
    return value


def _read(response_json: bytes, decoder: msgspec.json.Decoder[Credential[R]]) -> Credential[R]:
    if len(response_json) > MOST_RESPONSE_BYTES:
        raise InvalidInput.at("", NOT_AN_ANSWER)
    try:
        credential = decoder.decode(response_json)
    except (ValueError, RecursionError):
        raise InvalidInput.at("", NOT_AN_ANSWER) from None
    credential_id = raw(credential.raw_id)
    if credential.id != credential.raw_id or not 1 <= len(credential_id) <= MOST_CREDENTIAL_ID_BYTES:
        raise InvalidInput.at("", NOT_AN_ANSWER)
    return credential
