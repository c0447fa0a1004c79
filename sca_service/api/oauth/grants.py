"""Gives access: looks at what a client proves itself by, and signs for five minutes what it may do."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sca_service.api.certificates.model import Certificate
from sca_service.api.clients import Client, ClientDirectory
from sca_service.api.oauth.access_jwt import LIFETIME_SECONDS, AccessJwts, Grant
from sca_service.api.oauth.assertion import key_named_in, read_keys, verify_assertion
from sca_service.api.oauth.key_sets import KeySets
from sca_service.api.oauth.model import Credential, CredentialKind, OAuthFault, invalid_client
from sca_service.api.oauth.redis_store import AssertionStore
from sca_service.api.oauth.registry import SECRET
from sca_service.api.oauth.request import AccessRequest
from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.writer import AuditWriter
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.kernel.addresses import site_of
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore

_WAIT_MS = 3_000
_BURST = 20
_BURST_OF_ADDRESS = 100
"""Failures: of one client from one address 20 at once, then one in three seconds; from one address for whomever 100."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Given:
    """An access JWT, and the scopes in it."""

    access_jwt: Secret[str]
    scopes: tuple[str, ...]
    seconds: int = LIFETIME_SECONDS


@dataclass(frozen=True, slots=True)
class Grants:
    """What giving access needs. `audiences` are the names that assertions may be for: the issuer's, and the URL's."""

    directory: ClientDirectory
    jwts: AccessJwts
    hasher: PinHasher
    key_sets: KeySets
    assertions: AssertionStore
    limits: LimitStore
    writer: AuditWriter
    keyring: Keyring
    clock: Clock
    audiences: Sequence[str]

    async def give(
        self, request: AccessRequest, certificate: Certificate | None, *, address: str, request_id: str
    ) -> Given:
        """Give a client what it asks for, and put that on record first.

        Raises OAuthFault, TooEarly after too many failures, Overloaded, StoreUnavailable. Every request is counted
        before it is looked at, and a right one is given back: parallel guesses are counted too.
        """
        spent = (await self.limits.spend(self._limits(request.client, address))).limits
        credential, client = await self._authenticated(request, certificate)
        self.limits.give_back(spent)
        granted = _granted(request.scopes, client)
        grant = Grant(new_id("acc"), client.id, granted, credential.id, client.certificate)
        now_ms = self.clock.now_ms()
        event = AuditEvent.create(
            event_id=new_id("evt"),
            kind="client.access_granted",
            at_ms=now_ms,
            members={
                "client": client.id,
                "actor": f"client:{client.id}",
                "request": request_id,
                "access": grant.id,
                "credential": credential.id,
                "kind": credential.kind,
                "scopes": list(granted),
                **client.certificate_members,
            },
        )
        await self.writer.commit(Record((event,)))
        return Given(Secret(self.jwts.sign(grant, now_ms // 1000)), granted)

    async def _authenticated(
        self, request: AccessRequest, certificate: Certificate | None
    ) -> tuple[Credential, Client]:
        """The credential that the request proves, and its client. Raises OAuthFault, Overloaded, StoreUnavailable."""
        held = self.directory.credentials_of(request.client)
        if request.secret is not None:
            credential = await self._by_secret(request.client, request.secret, held)
        elif request.assertion is not None:
            credential = await self._by_assertion(request.client, request.assertion, held)
        else:
            credential = next((one for one in held if one.kind is CredentialKind.CERTIFICATE), None)
            if certificate is None or not self.directory.is_bound(request.client):
                credential = None
        if credential is None:
            raise invalid_client()
        try:  # a client that is bound has to come with its certificate, whatever else it proves
            return credential, self.directory.client_by_credential(credential.id, certificate)
        except Unauthorized as error:
            raise invalid_client() from error

    async def _by_secret(
        self, client: str, secret: Secret[str], held: Sequence[Credential]
    ) -> Credential | None:
        """Whose secret it is. Of an unknown client, or one without a secret, as long is spent as on a wrong one."""
        if not SECRET.fullmatch(secret.reveal()):
            return None
        known = [one for one in held if one.kind is CredentialKind.SECRET]
        for one in known:
            if (await self.hasher.verify(one.content, secret, one.id, client=client)).matches:
                return one
        if not known:
            await self.hasher.verify(None, secret, "")  # unknown names share one part of the places
        return None

    async def _by_assertion(
        self, client: str, assertion: str, held: Sequence[Credential]
    ) -> Credential | None:
        for one in held:
            if one.kind is CredentialKind.KEYS:
                keys = read_keys(one.content)
            elif one.kind is CredentialKind.KEYS_URL:
                fetched = await self.key_sets.keys_at(one.content, wanted=key_named_in(assertion))
                if fetched is None:
                    log.warning("oauth.keys_unavailable", client=client, credential=one.id)
                    continue
                keys = fetched
            else:
                continue
            now_s = self.clock.now_ms() // 1000
            found = await asyncio.to_thread(
                verify_assertion, assertion, keys, client=client, audiences=self.audiences, now_s=now_s
            )
            if found:
                name = self.keyring.pseudonym("oauth assertion", client, found.jti)
                is_new = await self.assertions.is_new(name, seconds=max(found.ends_at_s - now_s, 1))
                return one if is_new else None
        return None

    def _limits(self, client: str, address: str) -> list[Limit]:
        site = site_of(address) or ""
        both = self.keyring.pseudonym("oauth client address", client, site)
        alone = self.keyring.pseudonym("oauth address", site)
        return [
            Limit("oauth_client", both, _WAIT_MS, _BURST),
            Limit("oauth_address", alone, _WAIT_MS, _BURST_OF_ADDRESS),
        ]


def _granted(asked: Sequence[str] | None, client: Client) -> tuple[str, ...]:
    """The scopes that are given: those asked for, if the client has all of them. Raises OAuthFault."""
    if asked is None:
        return tuple(sorted(client.scopes))
    if not asked or not client.scopes.issuperset(asked):
        raise OAuthFault("invalid_scope", "the client has not all of these scopes")
    return tuple(sorted(asked))
