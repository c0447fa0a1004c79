"""What a client proves itself by at `/oauth/token`, and every way in which that can fail (RFC 6749, section 5.2)."""

from dataclasses import dataclass, field
from enum import StrEnum

from sca_service.kernel.errors import ScaError


class CredentialKind(StrEnum):
    """How a client authenticates: RFC 6749 section 2.3.1, RFC 7523 with registered or published keys, RFC 8705."""

    SECRET = "secret"  # noqa: S105 - a kind
    KEYS = "keys"
    KEYS_URL = "keys_url"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential of a client that may call: an Argon2id hash, a JWK set, its URL, or nothing for a certificate."""

    id: str
    client: str
    scopes: frozenset[str]
    kind: CredentialKind
    content: str = field(repr=False)


class OAuthFault(ScaError):
    """A request for access that is refused; `error` is the word of RFC 6749, section 5.2."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error


def invalid_client() -> OAuthFault:
    """Whatever is wrong with a client or its proof, the answer is this one."""
    return OAuthFault("invalid_client", "the client is unknown, or has not proved that it is this client")
