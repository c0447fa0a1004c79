"""The commands that run the roles, and those that make what they need: the schema and the keyring."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sca_service.app import run_role
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import write_keyring
from sca_service.migrations import migrate
from sca_service.settings import read_settings

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
