"""What clients are bound to, in PostgreSQL: a binding that ended leaves its client bound."""

import asyncpg
import pytest

from sca_service.api.certificates.model import Certificate
from sca_service.api.certificates.postgres_store import BindingStore
from sca_service.api.certificates.registry import BindingRegistry
from sca_service.api.clients import ClientDirectory, ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.audit.private.postgres_store import ErasureStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import InvalidInput, NotFound, Unauthorized
from sca_service.kernel.ids import new_id
from tests.certificates import TestAuthority
from tests.harness import Deployment

AUTHORITY = TestAuthority.make()
ISSUED = AUTHORITY.issue()


@pytest.fixture
def bindings(pool: asyncpg.Pool) -> BindingRegistry:
    """What the command line works with."""
    return BindingRegistry(BindingStore(pool), SystemClock())


@pytest.fixture
def clients(pool: asyncpg.Pool, quiet_stores: Deployment) -> ClientRegistry:
    """What makes clients."""
    return ClientRegistry(ClientStore(pool), quiet_stores.keyring)


@pytest.fixture
def directory(pool: asyncpg.Pool, quiet_stores: Deployment) -> ClientDirectory:
    """What an api knows of its clients."""
    return ClientDirectory(ClientStore(pool), BindingStore(pool), quiet_stores.keyring, SystemClock())


async def made(clients: ClientRegistry) -> tuple[str, str]:
    """A new client and its `Authorization`."""
    name = new_id("client").replace("_", "-")
    return name, f"Bearer {(await clients.create(name, [Scope.AUDIT])).reveal()}"


async def admits(directory: ClientDirectory, authorization: str, certificate: Certificate | None) -> bool:
    """Whether an api lets it in, reading its clients anew."""
    await directory.refresh()
    try:
        directory.authenticate(authorization, certificate)
    except Unauthorized:
        return False
    return True


async def test_a_client_whose_bindings_have_all_ended_is_bound_still(
    clients: ClientRegistry, bindings: BindingRegistry, directory: ClientDirectory, pool: asyncpg.Pool
) -> None:
    """What ends by itself, in the night, must not open a door that asks for less."""
    name, authorization = await made(clients)
    await bindings.bind(name, ISSUED.pem, authority=None, overlap_seconds=None)
    shown = Certificate.parse(ISSUED.der)
    assert await admits(directory, authorization, shown)
    await pool.execute("UPDATE client_certificates SET ends_at = now() WHERE client_id = $1", name)
    assert not await admits(directory, authorization, shown)
    assert not await admits(directory, authorization, None)
    await bindings.release(name)
    assert await admits(directory, authorization, None)


async def test_a_later_renewal_never_lengthens_a_binding(
    clients: ClientRegistry, bindings: BindingRegistry, directory: ClientDirectory
) -> None:
    """One that ends soon ends then, however long the next overlap is."""
    name, authorization = await made(clients)
    for overlap in (None, 0, 86_400):
        await bindings.bind(name, AUTHORITY.issue().pem, authority=None, overlap_seconds=overlap)
    assert len([one for one in await bindings.all() if one.client == name]) == 2
    await bindings.bind(name, ISSUED.pem, authority=None, overlap_seconds=0)
    assert await admits(directory, authorization, Certificate.parse(ISSUED.der))
    assert len([one for one in await bindings.all() if one.client == name]) == 1


async def test_an_authority_that_was_altered_lets_nobody_in(
    clients: ClientRegistry, bindings: BindingRegistry, directory: ClientDirectory, pool: asyncpg.Pool
) -> None:
    """And stops no api: the other clients go on."""
    name, authorization = await made(clients)
    _, allowed = await made(clients)
    await bindings.bind(name, ISSUED.pem, authority=AUTHORITY.issued.pem, overlap_seconds=None)
    assert await admits(directory, authorization, Certificate.parse(ISSUED.der))
    await pool.execute("UPDATE client_certificates SET authority = 'x' WHERE client_id = $1", name)
    assert not await admits(directory, authorization, Certificate.parse(ISSUED.der))
    assert await admits(directory, allowed, None)


async def test_a_bound_key_confirms_no_erasure(
    clients: ClientRegistry, bindings: BindingRegistry, pool: asyncpg.Pool, quiet_stores: Deployment
) -> None:
    """A command has no proxy that sees a certificate, so whoever stole the key could use it there."""
    name, authorization = await made(clients)
    key_hash = quiet_stores.keyring.key_hash(authorization.removeprefix("Bearer "))
    erasures = ErasureStore(pool)
    assert await erasures.client_of(key_hash, Scope.AUDIT) == name
    await bindings.bind(name, ISSUED.pem, authority=None, overlap_seconds=None)
    assert await erasures.client_of(key_hash, Scope.AUDIT) is None


@pytest.mark.parametrize(
    ("certificate", "authority", "pointer"),
    [
        (b"rubbish", None, "/certificate"),
        (b"", None, "/certificate"),
        (AUTHORITY.issue(days=(-3, -1)).pem, None, "/certificate"),
        (ISSUED.pem, b"rubbish", "/issued_by"),
        (ISSUED.pem, TestAuthority.make().issued.pem, "/issued_by"),
    ],
)
async def test_what_does_not_fit_binds_nobody(
    clients: ClientRegistry,
    bindings: BindingRegistry,
    directory: ClientDirectory,
    certificate: bytes,
    authority: bytes | None,
    pointer: str,
) -> None:
    """A binding that nothing could ever meet would lock the client out."""
    name, authorization = await made(clients)
    with pytest.raises(InvalidInput) as refused:
        await bindings.bind(name, certificate, authority=authority, overlap_seconds=None)
    assert [mistake.pointer for mistake in refused.value.mistakes] == [pointer]
    assert await admits(directory, authorization, None)


async def test_what_is_not_there_is_said_so(clients: ClientRegistry, bindings: BindingRegistry) -> None:
    """An unknown client, a revoked one, another's binding, and a client that is not bound."""
    name, _ = await made(clients)
    other, _ = await made(clients)
    of_other = await bindings.bind(other, ISSUED.pem, authority=None, overlap_seconds=None)
    with pytest.raises(NotFound):
        await bindings.bind("nobody-at-all", ISSUED.pem, authority=None, overlap_seconds=None)
    with pytest.raises(NotFound):
        await bindings.unbind(name, of_other)
    with pytest.raises(NotFound):
        await bindings.release(name)
    await clients.revoke(name)
    with pytest.raises(NotFound):
        await bindings.bind(name, ISSUED.pem, authority=None, overlap_seconds=None)
