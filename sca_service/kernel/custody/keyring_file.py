"""The keyring's file: changed whole or not at all, by one command at a time, readable by its owner only."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sca_service.kernel.custody.envelope import parse, unwrap, wrap, wrap_as
from sca_service.kernel.custody.model import CustodySettings, Keeper
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring


def read(path: Path, settings: CustodySettings) -> str:
    """The keyring's JSON, out of its envelope. Raises ConfigurationError."""
    try:
        return unwrap(path.read_text("utf-8"), settings)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"keyring: the file cannot be read: {_reason(error)}") from error


def change(path: Path, edit: Callable[[str], str], settings: CustodySettings) -> None:
    """Replace the keyring's JSON by what `edit` makes of it; an envelope stays one, of the same keeper and key.

    Raises ConfigurationError, and whatever `edit` raises; then the file is as it was.
    """

    def changed(before: str) -> str:
        plain = edit(unwrap(before, settings))
        Keyring.parse(plain)
        return wrap_as(before, plain, settings)

    _rewrite(path, changed)


def put_into_envelope(path: Path, keeper: Keeper, key: str, settings: CustodySettings) -> None:
    """Put the keyring into an envelope; one that is in another already changes it. Raises ConfigurationError."""

    def enveloped(before: str) -> str:
        plain = unwrap(before, settings)
        Keyring.parse(plain)
        return wrap(plain, keeper, key, settings)

    _rewrite(path, enveloped)


def take_out_of_envelope(path: Path, settings: CustodySettings) -> None:
    """Leave the keyring bare. Raises ConfigurationError, also when it is in no envelope."""

    def bare(before: str) -> str:
        if parse(before) is None:
            raise ConfigurationError("keyring: it is in no envelope")
        plain = unwrap(before, settings)
        Keyring.parse(plain)
        return plain

    _rewrite(path, bare)


def _rewrite(path: Path, made_of: Callable[[str], str]) -> None:
    """Write beside, to the disk, then put in its place: whatever is cut off, there is the old file or the new one."""
    place = path.resolve()  # a link stays one
    try:
        with _alone_in(place.parent) as folder:
            before = place.stat()
            text = made_of(place.read_text("utf-8"))
            beside = place.with_name(f".{place.name}.new")
            beside.unlink(missing_ok=True)  # left by a command that was cut off
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, before.st_uid, before.st_gid)  # the service's own account keeps it
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            beside.replace(place)
            os.fsync(folder)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"keyring: the file cannot be changed: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is no text"


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """Hold the folder's lock: two commands at once would each lose what the other added."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"keyring: another command works in {folder}; try again") from error
        yield descriptor
    finally:
        os.close(descriptor)
