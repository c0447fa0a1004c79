"""The commands of `sca` other than `dev` and `demo`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import asyncpg
from cyclopts import Parameter

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.pages import errors_markdown
from sca_service.api.postgres_store import ClientStore
from sca_service.api.problems import problem_pages
from sca_service.app import run_role
from sca_service.delivery.channels.kinds import check as check_supplier
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import write_keyring
from sca_service.migrations import migrate
from sca_service.policy.load import load, mistakes
from sca_service.policy.supply import SupplyPolicy
from sca_service.settings import read_settings, shipped_policies

Result = TypeVar("Result")
Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]


def api(*, config: Config) -> None:
    """Run the api role: HTTP."""
    run_role("api", read_settings(config))


def worker(*, config: Config) -> None:
    """Run the worker role: deliveries, timers, and what a killed api left behind."""
    run_role("worker", read_settings(config))


def log(*, config: Config) -> None:
    """Run the log role: the order of the audit log."""
    run_role("log", read_settings(config))


def migrate_database(*, config: Config) -> None:
    """Bring the database to the newest schema."""
    migrate(read_settings(config).postgres_url)
    print("The database is up to date.")


def clients_create(
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
    key = _with_registry(config, lambda registry: registry.create(client, scopes))
    print(key.reveal())


def clients_list(*, config: Config) -> None:
    """List the clients."""
    for row in _with_registry(config, lambda registry: registry.all()):
        state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else "active"
        print(f"{row.id}\t{state}\t{' '.join(sorted(row.scopes))}")


def clients_rotate(client: str, *, overlap: int = 3600, config: Config) -> None:
    """Give a client a new API key, shown once.

    Parameters
    ----------
    overlap
        For how many seconds the older keys still work.
    """
    key = _with_registry(config, lambda registry: registry.rotate(client, overlap_seconds=overlap))
    print(key.reveal())


def clients_revoke(client: str, *, config: Config) -> None:
    """Revoke a client: all its keys stop working within a second."""
    _with_registry(config, lambda registry: registry.revoke(client))
    print(f"{client} is revoked.")


def check_policy(folder: Path | None = None) -> None:
    """Check a folder of policies and list every mistake; exit status 1 when there is one.

    Parameters
    ----------
    folder
        The policies; those that come with the service when left out.
    """
    folder = folder or shipped_policies()
    found = mistakes(folder) or adapter_mistakes(load(folder).supply)
    for mistake in found:
        print(mistake)
    if found:
        sys.exit(1)
    print(f"The policies hold. {load(folder).digest}")


def adapter_mistakes(supply: SupplyPolicy) -> list[str]:
    """What the adapters do not understand in their sections of suppliers.toml, one line each."""
    found = []
    for rule in supply.suppliers:
        try:
            check_supplier(rule)
        except ConfigurationError as error:
            found.append(error.detail)
    return found


def create_keys(path: Path) -> None:
    """Write a new keyring to a file that only its owner can read; an existing file is never replaced."""
    try:
        write_keyring(path)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists: its keys open what is at rest, so it is not replaced"
        ) from error
    print(
        f"{path} holds a new keyring. Keep a copy in a safe place: without it nothing at rest can be opened."
    )


def write_docs(folder: Path = Path("docs")) -> None:
    """Write the pages under docs/ that come from the code."""
    path = folder / "errors.md"
    path.write_text(errors_markdown(problem_pages()), "utf-8")
    print(path)


def _with_registry(config: Path, act: Callable[[ClientRegistry], Awaitable[Result]]) -> Result:
    settings = read_settings(config)

    async def run() -> Result:
        try:
            async with asyncpg.create_pool(settings.postgres_url, min_size=1, max_size=1) as pool:
                return await act(ClientRegistry(ClientStore(pool), settings.keyring))
        except (OSError, asyncpg.PostgresError) as error:
            raise ConfigurationError(f"the database cannot be used: {type(error).__name__}") from error

    return asyncio.run(run())
