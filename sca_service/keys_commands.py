"""`sca keys add-root`, `rotate`, `status`, `retire`, `wrap` and `unwrap`: the keyring's roots, and its envelope."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sca_service.core import open_core
from sca_service.custody.census import Census
from sca_service.custody.model import UNREADABLE, Place, Uses, under
from sca_service.custody.postgres_store import SealedStore
from sca_service.custody.redis_store import HotStore
from sca_service.kernel.custody.keyring_file import change, put_into_envelope, read, take_out_of_envelope
from sca_service.kernel.custody.model import Keeper
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring, add_root, remove_root, use_newest_root
from sca_service.settings import Settings, read_custody, read_settings

Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]
Custody = Annotated[
    Path | None, Parameter(help="The configuration file; needed for a keyring that is in an envelope.")
]


def add(path: Path, *, config: Custody = None) -> None:
    """Add a root that nothing uses yet. Restart every role with it before `sca keys rotate`.

    Parameters
    ----------
    path
        The keyring's file.
    """
    custody = read_custody(config)
    change(path, add_root, custody)
    newest = Keyring.parse(read(path, custody)).versions[-1]
    print(f"{path} has root {newest}, not in use yet. Restart every role, then run `sca keys rotate`.")


def rotate(path: Path, *, config: Custody = None) -> None:
    """Make the newest root the current one. Every replica has to have it already: see `sca keys add-root`.

    Parameters
    ----------
    path
        The keyring's file.
    """
    custody = read_custody(config)
    change(path, use_newest_root, custody)
    current = Keyring.parse(read(path, custody)).current
    print(
        f"Root {current} is current. Restart every role; the worker seals anew what lies under older roots."
    )


def status(*, config: Config) -> None:
    """Count what lies under each root, table by table; reads every sealed record."""
    settings = read_settings(config)
    for line in report(_census(settings), settings.keyring):
        print(line)


def retire(version: int, path: Path, *, config: Config) -> None:
    """Take out an older root under which nothing lies any more. Every role has to run with a newer current one.

    Parameters
    ----------
    version
        The root, by its number.
    path
        The keyring's file.
    """
    settings, custody = read_settings(config), read_custody(config)
    remove_root(read(path, custody), version)  # what cannot go needs no count
    if version not in settings.keyring.older_versions:
        raise ConfigurationError(f"keyring: the configuration's own has no older root {version}")
    left = under(_census(settings), version)
    if left:
        told = ", ".join(f"{records} {place}" for place, records in left.items())
        raise ConfigurationError(f"keyring: root {version} is still needed: {told}")
    change(path, lambda text: remove_root(text, version), custody)
    print(f"Root {version} is out of {path}. Restart every role, then destroy the copies that still have it.")


def put_into(path: Path, *, by: Keeper, key: str, config: Config) -> None:
    """Put the keyring into an envelope that only an HSM or a key service opens, or into another one.

    Parameters
    ----------
    path
        The keyring's file.
    by
        Who opens it.
    key
        The key that it is closed under: its label in the HSM; its ARN, id or alias in AWS KMS.
    """
    put_into_envelope(path, by, key, read_custody(config))
    print(f"{path} is in an envelope of {by}. Destroy the copies that are in none.")


def take_out(path: Path, *, config: Config) -> None:
    """Take the keyring out of its envelope, to change a key by hand or to put it into another deployment's.

    Parameters
    ----------
    path
        The keyring's file.
    """
    take_out_of_envelope(path, read_custody(config))
    print(f"{path} is bare: whoever reads it has every key. Put it into an envelope again.")


def report(uses: Uses, keyring: Keyring) -> list[str]:
    """What `sca keys status` prints: place, version, records and what the version is, by tabulators."""
    lines = []
    for place in Place:
        for version, records in sorted(uses[place].items()):
            lines.append(f"{place}\t{version or '-'}\t{records}\t{_standing(version, keyring)}")
    return lines or ["Nothing is sealed yet."]


def _standing(version: int, keyring: Keyring) -> str:
    if version == UNREADABLE:
        return "cannot be read"
    if version not in keyring.versions:
        return "MISSING in the keyring"
    if version == keyring.current:
        return "current"
    return "older" if version < keyring.current else "newer"


def _census(settings: Settings) -> Uses:
    async def take() -> Uses:
        async with open_core(settings) as core:
            return await Census(SealedStore(core.postgres), HotStore(core.redis)).take()

    return asyncio.run(take())
