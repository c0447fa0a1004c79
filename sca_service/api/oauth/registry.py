"""Gives clients their OAuth credentials, and ends them; every change is an audit event."""

import re
import secrets
from urllib.parse import urlsplit

import msgspec

from sca_service.api.oauth.assertion import UnusableKeys, read_keys
from sca_service.api.oauth.model import CredentialKind
from sca_service.api.oauth.postgres_store import CredentialRow, CredentialStore
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.webhooks.caller import url_mistake

SECRET = re.compile(r"scs_[A-Za-z0-9_-]{43}")


class CredentialRegistry:
    """Changes what clients authenticate by. A class because it holds the store."""

    def __init__(self, store: CredentialStore, hasher: PinHasher) -> None:
        self._store = store
        self._hasher = hasher

    async def give_secret(self, client: str, *, overlap_seconds: int) -> Secret[str]:
        """A new secret of 256 random bits, told once and kept as an Argon2id hash. Raises NotFound."""
        secret, credential_id = Secret(f"scs_{secrets.token_urlsafe(32)}"), new_id("crd")
        hashed = await self._hasher.hash(secret, credential_id)
        await self._add(credential_id, client, CredentialKind.SECRET, hashed, overlap_seconds)
        return secret

    async def take_keys(self, client: str, text: bytes, *, overlap_seconds: int) -> str:
        """Register a client's public keys (a JWK set). Returns the credential's id. Raises InvalidInput, NotFound."""
        try:
            keys = read_keys(text)
        except UnusableKeys as error:
            raise InvalidInput.at(
                "/jwks", "must be a JWK set of public keys: EC P-256, RSA of 2048 bits or more, or Ed25519"
            ) from error
        content = msgspec.json.encode(keys.as_dict(private=False)).decode()
        return await self._add(new_id("crd"), client, CredentialKind.KEYS, content, overlap_seconds)

    async def take_keys_url(self, client: str, url: str, *, overlap_seconds: int) -> str:
        """Register where a client publishes its keys. Returns the credential's id. Raises InvalidInput, NotFound."""
        if url_mistake(url, sandbox=False) or urlsplit(url).scheme != "https":
            raise InvalidInput.at("/jwks_url", "must be an https:// URL of a public host")
        return await self._add(new_id("crd"), client, CredentialKind.KEYS_URL, url, overlap_seconds)

    async def take_certificate(self, client: str, *, overlap_seconds: int) -> str:
        """Let a client authenticate by the certificates that it is bound to, alone. Raises NotFound."""
        return await self._add(new_id("crd"), client, CredentialKind.CERTIFICATE, "", overlap_seconds)

    async def end(self, client: str, credential_id: str) -> None:
        """End a credential: what was given for it ends within a second. Raises NotFound."""
        if not await self._store.end(client, credential_id):
            raise NotFound("the client has no such credential")

    async def all(self) -> list[CredentialRow]:
        """Every credential that holds. Raises StoreUnavailable."""
        return await self._store.valid()

    async def _add(
        self, credential_id: str, client: str, kind: CredentialKind, content: str, overlap_seconds: int
    ) -> str:
        if not await self._store.add(credential_id, client, kind, content, overlap_seconds=overlap_seconds):
            raise NotFound("there is no such client")
        return credential_id


def secret_hasher(keyring: Keyring) -> PinHasher:
    """Hashes and checks secrets as PINs are, with a pepper and threads of its own."""
    return PinHasher(Secret(keyring.channel_key("oauth client secret")))
