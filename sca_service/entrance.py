"""How clients come in, put together: the directory, the door, and where the configuration has it on, OAuth2."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sca_service.api.certificates.header import CertificateHeaders
from sca_service.api.certificates.postgres_store import BindingStore
from sca_service.api.client_door import ClientDoor
from sca_service.api.clients import ClientDirectory
from sca_service.api.oauth.access_jwt import AccessJwts
from sca_service.api.oauth.grants import Grants
from sca_service.api.oauth.key_sets import KeySets
from sca_service.api.oauth.postgres_store import CredentialStore
from sca_service.api.oauth.redis_store import AssertionStore
from sca_service.api.oauth.registry import secret_hasher
from sca_service.api.oauth.routes import PATH, OAuthOperations
from sca_service.api.postgres_store import ClientStore
from sca_service.core import Core
from sca_service.kernel.addresses import Proxies
from sca_service.limits.redis_store import LimitStore


@dataclass(frozen=True, slots=True)
class ClientEntrance:
    """The door, and what gives access; None where OAuth is off."""

    door: ClientDoor
    oauth: OAuthOperations | None


@asynccontextmanager
async def open_entrance(core: Core) -> AsyncIterator[ClientEntrance]:
    """The door of an api, with its clients read. Raises StoreUnavailable."""
    settings, is_on = core.settings, core.settings.entrance.oauth
    directory = ClientDirectory(
        ClientStore(core.postgres),
        BindingStore(core.postgres),
        settings.keyring,
        core.clock,
        CredentialStore(core.postgres) if is_on else None,
    )
    await directory.refresh()
    certificates = CertificateHeaders(settings.entrance.certificate_proxies)
    jwts = AccessJwts(settings.keyring, settings.issuer) if is_on else None
    door = ClientDoor(directory, certificates, core.clock, jwts)
    async with AsyncExitStack() as stack:
        oauth = await _oauth(core, door, jwts, stack) if jwts else None
        yield ClientEntrance(door, oauth)


async def _oauth(core: Core, door: ClientDoor, jwts: AccessJwts, stack: AsyncExitStack) -> OAuthOperations:
    settings = core.settings
    hasher = secret_hasher(settings.keyring)
    stack.push_async_callback(hasher.close)
    key_sets = KeySets(sandbox=settings.sandbox_folder is not None)
    stack.push_async_callback(key_sets.close)
    grants = Grants(
        directory=door.directory,
        jwts=jwts,
        hasher=hasher,
        key_sets=key_sets,
        assertions=AssertionStore(core.redis),
        limits=LimitStore(core.redis),
        writer=core.writer,
        keyring=settings.keyring,
        clock=core.clock,
        audiences=(settings.issuer, f"{settings.receipts_url}{PATH}"),
    )
    proxies = Proxies(settings.trusted_proxies)
    return OAuthOperations(
        grants, door.certificates, proxies, issuer=settings.issuer, public_url=settings.receipts_url
    )
