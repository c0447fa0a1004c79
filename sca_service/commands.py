"""The commands of `sca` other than `dev` and `demo`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sca_service.app import run_role
from sca_service.delivery.channels.kinds import check as check_supplier
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import write_keyring
from sca_service.migrations import migrate
from sca_service.policy.load import load, mistakes
from sca_service.policy.supply import SupplyPolicy
from sca_service.settings import read_settings, shipped_policies

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
