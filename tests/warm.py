"""Starts `python -m …` without its imports: one process per test process has done them, and forks for each start.

Half of the time of many a test would be imports otherwise. What is forked has its own arguments, environment, folder,
output and process group; it reads settings and draws its randomness after the fork, and it ends when we die. Where the
import itself, the command line or a signal during start-up is the matter, a test starts a process the plain way.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from sca_service.sandbox.server_process import launcher
from tests.forking import MOST_BYTES

_ROOT = Path(__file__).parents[1]
_READ_BY_PYTHON = ("PYTHON", "LD_", "MALLOC_", "LC_", "LANG", "TZ")
"""Environment variables that count when Python starts: who wants other ones is not forked."""
_POLL_SECONDS = 0.01


class Running(Protocol):
    """What tests do with a process that they have started; `subprocess.Popen` does it too."""

    pid: int
    returncode: Any

    def poll(self) -> int | None:
        """Its exit status, minus the signal if it was killed, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it is known to have ended."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Forked:
    """A process that was forked. Its number is taken by no other until its end was told here."""

    pid: int
    _told: socket.socket
    returncode: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        """Its exit status, minus the signal if it was killed, or None while it runs."""
        with self._lock:
            if self.returncode is None:
                with contextlib.suppress(BlockingIOError):
                    self.returncode = _status(self._told.recv(32, socket.MSG_DONTWAIT))
                    self._told.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"forked {self.pid}", timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        return status

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        with self._lock:
            if self.returncode is None:
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(
    module: str,
    *arguments: str,
    stdout: IO[bytes],
    stderr: IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    plainly: bool = False,
) -> Running:
    """Start `python -m module arguments`, with an empty input; it is killed when we die. `plainly`: without a fork."""
    environ = dict(os.environ if env is None else env)
    if plainly or any(
        name.startswith(_READ_BY_PYTHON) and os.environ.get(name) != environ[name] for name in environ
    ):
        command = [*launcher(death_signal="KILL"), sys.executable, "-m", module, *arguments]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environ, cwd=cwd
        )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked = json.dumps([module, arguments, environ, str(cwd or Path.cwd())]).encode()
    assert len(asked) < MOST_BYTES
    with theirs:
        socket.send_fds(_forker(), [asked], [theirs.fileno(), stdout.fileno(), stderr.fileno()])
    return Forked(_status(ours.recv(32)), ours)


def run(module: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Done:
    """Run `python -m module arguments` to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as told:
        status = start(module, *arguments, stdout=out, stderr=told, env=env, cwd=cwd).wait()
        out.seek(0)
        told.seek(0)
        return Done(status, out.read().decode(), told.read().decode())


def _status(told: bytes) -> int:
    assert told, "the process that forks has ended"
    return int(told)


@functools.cache
def _forker() -> socket.socket:
    """The connection to the process that forks for us; it ends when this is closed, at the latest with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=_ROOT,
            start_new_session=True,
        ).returncode = 0  # nobody waits for it
    atexit.register(ours.close)
    return ours
