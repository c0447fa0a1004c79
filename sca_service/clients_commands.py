"""`sca clients …`: who may call the service, with which keys, and bound to which certificates."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import asyncpg
from cyclopts import Parameter

from sca_service.api.certificates.postgres_store import BindingRow, BindingStore
from sca_service.api.certificates.registry import BindingRegistry
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.oauth.model import CredentialKind
from sca_service.api.oauth.postgres_store import CredentialRow, CredentialStore
from sca_service.api.oauth.registry import CredentialRegistry, secret_hasher
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import ConfigurationError, InvalidInput, StoreUnavailable
from sca_service.kernel.postgres import connect_postgres
from sca_service.settings import read_settings

Result = TypeVar("Result")
Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]


@dataclass(frozen=True, slots=True)
class _Registries:
    clients: ClientRegistry
    bindings: BindingRegistry
    credentials: CredentialRegistry


def create(
    client: str,
    *,
    scopes: Annotated[list[Scope], Parameter(consume_multiple=True, negative=())],
    config: Config,
) -> None:
    """Create a client. Its API key is shown once and never again.

    Parameters
    ----------
    client
        The client's name: 2 to 40 of a-z, 0-9 and -. It is the `aud` of its authentication codes.
    scopes
        What it may do.
    """
    key = _with(config, lambda held: held.clients.create(client, scopes))
    print(key.reveal())


def show(*, config: Config) -> None:
    """List the clients, and below each what it is bound to and which credentials it has."""

    async def everything(held: _Registries) -> None:
        bindings, credentials = await held.bindings.all(), await held.credentials.all()
        for row in await held.clients.all():
            state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else "active"
            bound = "\tbound" if row.is_bound else ""
            print(f"{row.id}\t{state}\t{' '.join(sorted(row.scopes))}{bound}")
            for binding in bindings:
                if binding.client == row.id:
                    print(f"    {_told(binding)}")
            for given in credentials:
                if given.credential.client == row.id:
                    print(f"    {_told_of(given)}")

    _with(config, everything)


def rotate(client: str, *, overlap: int = 3600, config: Config) -> None:
    """Give a client a new API key, shown once.

    Parameters
    ----------
    overlap
        For how many seconds the older keys still work.
    """
    key = _with(config, lambda held: held.clients.rotate(client, overlap_seconds=overlap))
    print(key.reveal())


def revoke(client: str, *, config: Config) -> None:
    """Revoke a client: all its keys stop working within a second."""
    _with(config, lambda held: held.clients.revoke(client))
    print(f"{client} is revoked.")


def bind(
    client: str,
    certificate: Path,
    *,
    issued_by: Path | None = None,
    overlap: int | None = None,
    config: Config,
) -> None:
    """Bind a client to a certificate: within a second its keys are good with it only.

    Parameters
    ----------
    certificate
        The certificate, in PEM; those between it and the authority may follow it.
    issued_by
        The authority's certificate, in PEM: then any of its certificates for the same subject will do.
    overlap
        For how many seconds what the client was bound to before still holds; for good when left out.
    """
    shown, authority = _read(certificate), _read(issued_by) if issued_by else None
    made = _with(
        config,
        lambda held: held.bindings.bind(client, shown, authority=authority, overlap_seconds=overlap),
    )
    print(f"{client} is bound: {made}")


def unbind(
    client: str,
    binding: str | None = None,
    *,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    config: Config,
) -> None:
    """End one binding of a client, or all of them.

    Parameters
    ----------
    binding
        Its id, as `sca clients list` shows it. The client needs a certificate still, even when none is left.
    every
        End all of them: the client's keys are good without a certificate from then on.
    """
    if every is (binding is not None):
        raise InvalidInput.at("/binding", "name one, or --all")
    if binding is not None:
        _with(config, lambda held: held.bindings.unbind(client, binding))
        print(f"{binding} is ended.")
    else:
        _with(config, lambda held: held.bindings.release(client))
        print(f"{client} is not bound to a certificate any more.")


def add_credential(
    client: str,
    *,
    secret: Annotated[bool, Parameter(negative=())] = False,
    jwks: Path | None = None,
    jwks_url: str | None = None,
    certificate: Annotated[bool, Parameter(negative=())] = False,
    overlap: int = 3600,
    config: Config,
) -> None:
    """Give a client what it proves itself by at /oauth/token: one of the four.

    Parameters
    ----------
    secret
        A new secret, shown once and never again.
    jwks
        A file with the client's public keys, a JWK set.
    jwks_url
        Where the client publishes its public keys.
    certificate
        The certificates that it is bound to are enough.
    overlap
        For how many seconds its older credentials still hold.
    """
    if sum((secret, jwks is not None, jwks_url is not None, certificate)) != 1:
        raise InvalidInput.at("/credential", "is one of --secret, --jwks, --jwks-url and --certificate")

    async def add(held: _Registries) -> str:
        registry = held.credentials
        if secret:
            return (await registry.give_secret(client, overlap_seconds=overlap)).reveal()
        if jwks is not None:
            return await registry.take_keys(client, _read(jwks), overlap_seconds=overlap)
        if jwks_url is not None:
            return await registry.take_keys_url(client, jwks_url, overlap_seconds=overlap)
        return await registry.take_certificate(client, overlap_seconds=overlap)

    print(_with(config, add))


def end_credential(client: str, credential: str, *, config: Config) -> None:
    """End a credential of a client, and within a second all access that was given for it.

    Parameters
    ----------
    credential
        Its id, as `sca clients list` shows it.
    """
    _with(config, lambda held: held.credentials.end(client, credential))
    print(f"{credential} is ended.")


def _told_of(given: CredentialRow) -> str:
    one = given.credential
    shown = one.content if one.kind is CredentialKind.KEYS_URL else ""
    ends = f"ends {given.ends_at:%Y-%m-%dT%H:%MZ}" if given.ends_at else ""
    return "\t".join(part for part in (one.id, one.kind.value, shown, ends) if part)


def _told(binding: BindingRow) -> str:
    kind = "subject" if binding.authority else "certificate"
    ends = f"ends {binding.ends_at:%Y-%m-%dT%H:%MZ}" if binding.ends_at else ""
    expires = "" if binding.authority else f"expires {binding.expires_at:%Y-%m-%d}"
    roles = " ".join((binding.organisation, *binding.roles))
    said = (
        binding.id,
        kind,
        "" if binding.authority else binding.thumbprint,
        binding.subject,
        roles,
        expires,
        ends,
    )
    return "\t".join(part for part in said if part)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _with(config: Path, act: Callable[[_Registries], Awaitable[Result]]) -> Result:
    settings = read_settings(config)

    async def run() -> Result:
        try:
            async with await connect_postgres(settings.postgres_url, most_connections=1) as pool:
                hasher = secret_hasher(settings.keyring)
                try:
                    return await act(
                        _Registries(
                            ClientRegistry(ClientStore(pool), settings.keyring),
                            BindingRegistry(BindingStore(pool), SystemClock()),
                            CredentialRegistry(CredentialStore(pool), hasher),
                        )
                    )
                finally:
                    await hasher.close()
        except (OSError, asyncpg.PostgresError, StoreUnavailable) as error:
            raise ConfigurationError(f"the database cannot be used: {type(error).__name__}") from error

    return asyncio.run(run())
