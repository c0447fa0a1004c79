"""One server as a child of ours: alone on its folder, told of our death, and gone when it is stopped.

It runs in a session of its own: a Ctrl-C in the terminal reaches us alone, and we stop things in order.
`setpriv` (util-linux) asks the kernel to end it when we die without a word.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from sca_service.kernel.errors import ConfigurationError

START_DEADLINE_SECONDS = 60.0
"""How long a server may take to be ready: after a crash it first reads back what it had written."""
STOP_DEADLINE_SECONDS = 20.0
"""How long a server may take to stop by itself before it is killed."""

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""The environment of the servers. Not ours: that may hold secrets."""

_POLL_SECONDS = 0.005
_LEFTOVER_SECONDS = 3.0
_LAST_BREATH_SECONDS = 0.5
_PROGRAMS = ("valkey-server", "postgres")
_LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")  # unix(7): sun_path holds 107 bytes and a NUL
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # needs no quoting in a URL or in a list of folders
_COMPLAINT = re.compile(r"setpriv: |error:|FATAL|PANIC")


def launcher(*options: str, death_signal: str) -> list[str]:
    """The first words of a command that gets `death_signal` when we die; `options` are more of setpriv's."""
    found = shutil.which("setpriv")
    if found is None:
        raise ConfigurationError("the embedded servers need `setpriv` (Linux package util-linux)")
    return [found, "--no-new-privs", "--pdeathsig", death_signal, *options, "--"]


def package_folder(package: str) -> Path:
    """Where an installed package lies, without the 0.1 s that its import takes. Raises ConfigurationError."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ConfigurationError(f"the package {package} is not installed: run `make install`")
    return Path(found.origin).parent


def complaint(said: str) -> str:
    """The last line that tells what went wrong, or else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return (complaints or lines or ["it said nothing"])[-1]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: its folder, in full, and the name that all of its processes show."""

    folder: Path
    name: str


@dataclass(slots=True)
class ServerProcess:
    """One server, started any number of times, on one folder at a time (which `flock` keeps for us)."""

    title: str
    socket_folder: Path = field(init=False)
    _child: "_Child" = field(init=False)
    _place: Place = field(init=False)
    _log: Path = field(init=False)
    _log_starts_at: int = field(init=False)
    _lock: int | None = None

    @property
    def pid(self) -> int:
        """The process id of the server that was started last."""
        return self._child.pid

    @property
    def has_ended(self) -> bool:
        """Whether the server that was started last runs no more."""
        return self._child.ended.is_set()

    @contextlib.contextmanager
    def starting(self, folder: Path) -> Iterator[Place]:
        """Take the folder, end what a crash of ours has left on it, and clean up if the start fails.

        Raises ConfigurationError, for every OSError too.
        """
        if self._lock is not None and not self._child.ended.wait(_LAST_BREATH_SECONDS):
            raise ConfigurationError(f"{self.title} is already running")
        self._release()
        folder = folder.resolve()
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        self._place = Place(folder, f"sca-{digest}-server")
        self.socket_folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(folder)
            self.socket_folder = _socket_folder(folder, f"sca-{digest}")
            _end_all(self._place.name, patience_seconds=_LEFTOVER_SECONDS)
            yield self._place
        except BaseException as error:
            self.kill()
            if isinstance(error, OSError):
                where, why = error.filename or folder, error.strerror or type(error).__name__
                raise ConfigurationError(f"{self.title} cannot use {where}: {why}") from error
            raise

    def launch(self, command: Sequence[str], log: Path) -> None:
        """Start the server's process; what it says is added to `log`."""
        self._log = log
        self._log_starts_at = log.stat().st_size if log.exists() else 0
        self._child = _Child(command, log)

    def await_ready(self, is_ready: Callable[[], bool]) -> None:
        """Wait until the server is ready. Raises ConfigurationError with the reason that it gave."""
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while not is_ready():
            if self._child.ended.wait(_POLL_SECONDS):
                said = self._log.read_bytes()[self._log_starts_at :].decode("utf-8", errors="replace")
                raise ConfigurationError(f"{self.title} did not start: {complaint(said)} ({self._log})")
            if time.monotonic() > deadline:
                raise ConfigurationError(f"{self.title} was not ready in time; its log is {self._log}")

    def stop(self, how: signal.Signals) -> None:
        """Ask the server to end with a signal, wait for it, and make sure of it."""
        if self._lock is None:
            return
        if not self._child.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, how)
            self._child.ended.wait(STOP_DEADLINE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End all processes of the server at once and let go of the folder."""
        if self._lock is None:
            return
        _end_all(self._place.name, patience_seconds=0.0)
        if self.socket_folder != self._place.folder:
            shutil.rmtree(self.socket_folder, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Child:
    """A process that a thread of its own starts and waits for.

    The kernel sends the signal of a parent's death when the *thread* that started the child ends (prctl(2)).
    This thread lives exactly as long as the child, whichever thread calls.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.ended = threading.Event()
        started: Future[int] = Future()
        threading.Thread(target=self._live, args=(command, log, started), daemon=True).start()
        self.pid = started.result()

    def _live(self, command: Sequence[str], log: Path, started: "Future[int]") -> None:
        try:
            with open(log, "ab", opener=_private) as output:
                running = subprocess.Popen(  # noqa: S603  our own arguments, no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=ENVIRONMENT,
                    start_new_session=True,
                    umask=0o077,
                )
        except OSError as error:
            self.ended.set()
            started.set_exception(error)
            return
        started.set_result(running.pid)
        running.wait()
        self.ended.set()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _locked(folder: Path) -> int:
    """An open lock on the folder, which ends with us at the latest. Raises ConfigurationError when taken."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigurationError(f"{folder} is in use by another running `sca dev`") from error
    return lock


def _socket_folder(folder: Path, name: str) -> Path:
    """Where the socket goes: the folder itself or, when its path does not fit, a private temporary one."""
    if _fits_a_socket(folder):
        return folder
    short = Path(tempfile.gettempdir()).resolve() / name
    if not _fits_a_socket(short):
        raise ConfigurationError(
            f"the path {folder} is too long for a socket, and so is the temporary folder's"
        )
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigurationError(f"{short} is not a private folder of this account: remove it")
    return short


def _fits_a_socket(folder: Path) -> bool:
    path = os.fsencode(folder)
    return len(path) <= _LONGEST_SOCKET_FOLDER and _PLAIN_PATH.fullmatch(str(folder)) is not None


def _end_all(name: str, *, patience_seconds: float) -> None:
    """Give the server's processes a little time to end by themselves, then kill them until none is left.

    PostgreSQL's children lead sessions of their own and outlive a killed postmaster for a moment. So neither
    a process group nor a parent finds them: the name that they show does.
    """
    deadline = time.monotonic() + patience_seconds
    while pids := _pids(name):
        if time.monotonic() >= deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _pids(name: str) -> list[int]:
    """The servers' processes that show this name in their command line or title."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended while we looked
                program = (folder / "comm").read_text("utf-8", errors="replace").strip()
                if program in _PROGRAMS and name.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return found
