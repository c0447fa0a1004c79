"""The keyring's file is changed whole or not at all, by one command at a time, and stays its owner's."""

import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sca_service.kernel.custody.keyring_file import change, read
from sca_service.kernel.custody.model import CustodySettings
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring, add_root, use_newest_root, write_keyring
from tests.peers import program

PLAIN = CustodySettings()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new keyring."""
    path = tmp_path / "keyring.json"
    write_keyring(path)
    return path


def versions(path: Path) -> tuple[int, ...]:
    """The roots in the file."""
    return Keyring.parse(read(path, PLAIN)).versions


_ADD = """
import pathlib, sys
from sca_service.kernel.custody.keyring_file import change
from sca_service.kernel.custody.model import CustodySettings
from sca_service.kernel.keyring import add_root
change(pathlib.Path(sys.argv[1]), add_root, CustodySettings())
"""


def add_in_a_process(
    path: Path, *, before: Sequence[str] = (), limit: int | None = None
) -> "subprocess.Popen[bytes]":
    """A process that adds a root, whose files may have `limit` bytes."""

    def bounded() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [*before, sys.executable, "-B", "-c", _ADD, str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=bounded)  # noqa: PLW1509


def test_a_change_is_written(path: Path) -> None:
    """Readable by the owner only, and nothing is left beside it."""
    change(path, add_root, PLAIN)
    assert versions(path) == (1, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["keyring.json"]


def test_a_change_that_is_refused_leaves_the_file(path: Path) -> None:
    """The edit's own refusal, and what would be no keyring any more."""
    before = path.read_bytes()
    for edit in (use_newest_root, lambda _: "no keyring"):
        with pytest.raises(ConfigurationError):
            change(path, edit, PLAIN)
    assert path.read_bytes() == before


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    """What it leads to is changed."""
    link = tmp_path / "link.json"
    link.symlink_to(path)
    change(link, add_root, PLAIN)
    assert link.is_symlink()
    assert versions(path) == (1, 2)


def test_the_owner_stays_the_owner(path: Path) -> None:
    """Root changes the file, the service's own account still reads it."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, 12345, 23456)
    change(path, add_root, PLAIN)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_one_command_at_a_time(path: Path) -> None:
    """The second is refused, rather than lose the root that the first one adds."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another command"):
            change(path, add_root, PLAIN)
    finally:
        os.close(folder)
    assert versions(path) == (1,)
    change(path, add_root, PLAIN)


def test_no_root_is_lost_among_many_commands(path: Path) -> None:
    """Of many at once those that are not refused have added a root each."""

    def add(_: int) -> bool:
        try:
            change(path, add_root, PLAIN)
        except ConfigurationError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(add, range(64)))
    assert any(done)
    assert len(versions(path)) == 1 + done.count(True)


@pytest.mark.parametrize("missing", ["nowhere/keyring.json", "folder"])
def test_what_is_no_file_is_said(tmp_path: Path, missing: str) -> None:
    """In one sentence."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        change(tmp_path / missing, add_root, PLAIN)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path / missing, PLAIN)


def test_a_full_disk_leaves_the_file(path: Path) -> None:
    """The old keyring is there to the last byte."""
    before = path.read_bytes()
    with add_in_a_process(path, limit=64) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert b"the file cannot be changed" in said
    assert path.read_bytes() == before
    change(path, add_root, PLAIN)
    assert versions(path) == (1, 2)


@pytest.mark.parametrize(
    ("at", "roots"),
    [("fsync:signal=KILL:when=1", 1), ("rename:signal=KILL", 1), ("fsync:signal=KILL:when=2", 2)],
)
def test_a_kill_leaves_one_whole_keyring(path: Path, at: str, roots: int) -> None:
    """Before and after the new file takes the old one's place; the next command goes on from there."""
    strace = [str(program("strace")), "-f", "-qq", "-o", "/dev/null", "-e", f"inject={at}"]
    with add_in_a_process(path, before=strace) as process:
        process.communicate()
    assert process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), "it was to be killed"
    assert len(versions(path)) == roots
    change(path, add_root, PLAIN)
    assert len(versions(path)) == roots + 1
    assert [one.name for one in path.parent.iterdir()] == ["keyring.json"]
