"""Who calls: API keys, clients and their scopes.

A key is 256 random bits, shown once and stored as a keyed hash. Each api process keeps all valid hashes in memory and
reads them anew every second: a request costs no look-up, a key that is revoked stops working within that second, and
guessing keys never reaches the database.

Where OAuth is on, access is given for credentials as well (oauth/), and they are held in the same way.

A client may be bound to certificates (certificates/): then its keys are good only with one of them, and whoever has
stolen a key has nothing.
"""

import asyncio
import re
import secrets
from enum import StrEnum
from functools import lru_cache

import msgspec
import structlog

from sca_service.api.certificates.model import Authority, Binding, Certificate, UnreadableCertificate
from sca_service.api.certificates.postgres_store import BindingRow, BindingStore
from sca_service.api.oauth.model import Credential
from sca_service.api.oauth.postgres_store import CredentialStore
from sca_service.api.postgres_store import ClientRow, ClientStore
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import Forbidden, InvalidInput, NotFound, StoreUnavailable, Unauthorized
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret

_REFRESH_SECONDS = 1.0
_STALE_SECONDS = 10.0
_MOST_AUTHORITIES = 256
KEY_PREFIX = "sca_"
_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")

log = structlog.get_logger()


class Scope(StrEnum):
    """What a client may do."""

    CHALLENGES = "challenges"
    AUTHENTICATORS = "authenticators"
    EXEMPTIONS = "exemptions"
    ALERTS = "alerts"
    ANALYTICS = "analytics"
    AUDIT = "audit"
    ADMIN = "admin"
    ONE_TIME_PASSWORD_SMS = "one-time-password-sms:send-validate"  # noqa: S105 - CAMARA's word for what its facade does


class Client(msgspec.Struct, frozen=True):
    """A backend that calls us.

    `certificate` is the thumbprint of the one that it came with, empty without; `organisation` the PSD2 identifier in
    it, where the client is bound to it: anybody else's is a claim that nobody has looked at.
    """

    id: str
    scopes: frozenset[str]
    certificate: str = ""
    organisation: str = ""

    def needs(self, *scopes: Scope) -> None:
        """Raises Forbidden unless the client has one of these scopes."""
        if not self.scopes.intersection(scopes):
            raise Forbidden(f"needs the scope {' or '.join(scopes)}")

    @property
    def certificate_members(self) -> dict[str, str]:
        """What events say of the certificate that it came with; nothing without one."""
        said = {"certificate": self.certificate, "organisation": self.organisation}
        return {name: value for name, value in said.items() if value}


class ClientDirectory:
    """All clients by the hash of their keys, at most a second old. A class because it holds them."""

    def __init__(
        self,
        store: ClientStore,
        bindings: BindingStore,
        keyring: Keyring,
        clock: Clock,
        credentials: CredentialStore | None = None,
    ) -> None:
        """Without `credentials` there are API keys alone."""
        self._store = store
        self._bindings = bindings
        self._credential_store = credentials
        self._keyring = keyring
        self._clock = clock
        self._clients: dict[bytes, Client] = {}
        self._bound: dict[str, tuple[Binding, ...]] = {}
        self._credentials: dict[str, Credential] = {}
        self._authority = lru_cache(_MOST_AUTHORITIES)(Authority)  # kept, for what they remember
        self._read_at = float("-inf")

    def authenticate(self, authorization: str | None, certificate: Certificate | None = None) -> Client:
        """The client of an `Authorization` header, and of the certificate that the request came with.

        Raises Unauthorized, and StoreUnavailable when the directory could not be read for ten seconds.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.startswith(KEY_PREFIX):
            raise Unauthorized("the Authorization header has no API key of this service")
        return self.client_of(self._keyring.key_hash(key), certificate)

    def client_of(self, key_hash: bytes, certificate: Certificate | None = None) -> Client:
        """The client whose valid API key has this hash, with its certificate. Raises Unauthorized, StoreUnavailable."""
        self._check_fresh()
        client = self._clients.get(key_hash)
        if client is None:
            raise Unauthorized("the API key is not valid")
        return self._held(client, certificate)

    def client_by_credential(self, credential_id: str, certificate: Certificate | None) -> Client:
        """The client whose credential this is, while it holds. Raises Unauthorized, StoreUnavailable."""
        self._check_fresh()
        credential = self._credentials.get(credential_id)
        if credential is None:
            raise Unauthorized("what access was given for has ended")
        return self._held(Client(credential.client, credential.scopes), certificate)

    def credentials_of(self, client: str) -> list[Credential]:
        """What a client may prove itself by; nothing for an unknown one. Raises StoreUnavailable."""
        self._check_fresh()
        return [one for one in self._credentials.values() if one.client == client]

    def is_bound(self, client: str) -> bool:
        """Whether a client has to come with a certificate."""
        return client in self._bound

    def _check_fresh(self) -> None:
        if asyncio.get_running_loop().time() - self._read_at > _STALE_SECONDS:
            raise StoreUnavailable("the clients cannot be read")

    def _held(self, client: Client, certificate: Certificate | None) -> Client:
        """The client with its certificate. Raises Unauthorized when it lacks one that it is bound to."""
        bindings = self._bound.get(client.id)
        if bindings is None:
            if certificate is None:
                return client
            return msgspec.structs.replace(client, certificate=certificate.thumbprint)
        now_ms = self._clock.now_ms()
        if certificate is None or not any(one.admits(certificate, now_ms) for one in bindings):
            raise Unauthorized("the client is bound to a certificate, which the request did not come with")
        organisation = certificate.organisation.identifier if certificate.organisation else ""
        return msgspec.structs.replace(client, certificate=certificate.thumbprint, organisation=organisation)

    async def refresh(self) -> None:
        """Read all clients anew. Raises StoreUnavailable."""
        keys = await self._store.valid_keys()
        credentials = await self._credential_store.valid() if self._credential_store else []
        bindings: dict[str, list[Binding]] = {key.id: [] for key in keys if key.is_bound}
        bindings |= {row.credential.client: [] for row in credentials if row.is_bound}
        for row in await self._bindings.valid():
            if row.client in bindings and (binding := self._binding(row)):
                bindings[row.client].append(binding)
        self._bound = {client: tuple(held) for client, held in bindings.items()}
        self._credentials = {row.credential.id: row.credential for row in credentials}
        self._clients = {key.key_hash: Client(key.id, key.scopes) for key in keys}
        self._read_at = asyncio.get_running_loop().time()

    def _binding(self, row: BindingRow) -> Binding | None:
        """A binding as it is stored, None for one whose authority cannot be read: it lets nobody in."""
        try:
            authority = self._authority(row.authority) if row.authority else None
        except UnreadableCertificate:
            log.error("clients.authority_unreadable", client=row.client, binding=row.id)
            return None
        return Binding(row.id, row.thumbprint, row.subject, authority)

    async def keep_fresh(self, stop: asyncio.Event) -> None:
        """Read all clients every second until `stop` is set."""
        while not stop.is_set():
            try:
                await self.refresh()
            except StoreUnavailable as away:
                log.warning("clients.stale", reason=away.detail)
            try:
                await asyncio.wait_for(stop.wait(), _REFRESH_SECONDS)
            except TimeoutError:
                continue


class ClientRegistry:
    """Creates, rotates and revokes clients; every change is an audit event. A class because it holds the store."""

    def __init__(self, store: ClientStore, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def create(self, client_id: str, scopes: list[Scope]) -> Secret[str]:
        """A new client; its API key is returned once and never again. Raises InvalidInput."""
        if not _CLIENT_ID.fullmatch(client_id):
            raise InvalidInput.at("/id", "must be 2 to 40 of a-z, 0-9 and -")
        if not scopes:
            raise InvalidInput.at("/scopes", "needs at least one")
        key = _new_key()
        if not await self._store.create(client_id, [str(scope) for scope in scopes], self._hash(key)):
            raise InvalidInput.at("/id", "is taken")
        return key

    async def rotate(self, client_id: str, *, overlap_seconds: int) -> Secret[str]:
        """A new API key; older ones end after `overlap_seconds`. Raises NotFound for an unknown or revoked client."""
        key = _new_key()
        if not await self._store.rotate(client_id, self._hash(key), overlap_seconds):
            raise NotFound("there is no such client")
        return key

    async def revoke(self, client_id: str) -> None:
        """Every key of the client stops working within a second. Raises NotFound."""
        if not await self._store.revoke(client_id):
            raise NotFound("there is no such client")

    async def all(self) -> list[ClientRow]:
        """All clients, the oldest first."""
        return await self._store.all()

    def _hash(self, key: Secret[str]) -> bytes:
        return self._keyring.key_hash(key.reveal())


def _new_key() -> Secret[str]:
    return Secret(KEY_PREFIX + secrets.token_urlsafe(32))
