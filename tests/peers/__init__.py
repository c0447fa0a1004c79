"""Peers that others wrote: where they are, or a skipped test that says what is missing. `install` puts them there."""

import shutil
from pathlib import Path

import pytest

from sca_service.sandbox.server_process import launcher

PEERS = Path(__file__).parent
"""Where scripts that start a peer stand; Node finds the peers' packages from here."""


def program(name: str) -> Path:
    """A program on the path, such as `sipp`, `baresip`, `espeak-ng` or `node`; skips the test without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: tests/peers/install")
    return Path(found)


def command_of(name: str) -> list[str]:
    """The first words of a command that starts such a program; it is killed when we die, and then holds no port."""
    return [*launcher(death_signal="KILL"), str(program(name))]


def node_module(name: str) -> Path:
    """The folder of a package from npm, such as `smpp`; skips the test without it or without Node."""
    program("node")
    folder = PEERS / "node_modules" / name
    if not (folder / "package.json").is_file():
        pytest.skip(f"the npm package {name} is not installed: tests/peers/install")
    return folder
