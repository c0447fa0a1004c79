"""The process that has imported the service and forks for each start: `python -m tests.forking <socket>`.

`tests/warm.py` asks it. A request is one packet: a module, its arguments, environment and folder as JSON, with three
files: where to tell the number of the process and later its end, its output and its errors.
"""

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_BYTES = 128 * 1024
"""How long a request may be."""
_IMPORTED = (
    *("cli", "commands", "audit_commands", "clients_commands", "compliance_command", "evidence_command"),
    *("keys_commands", "offline_commands", "policy_command", "reports_command", "erasure_command"),
    *("api_role", "worker_role", "log_role"),
)
"""What starts import of the service."""
_ALSO_IMPORTED = ("uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl")
"""What roles import while they run."""
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # prctl(2)


@dataclass(slots=True)
class Forker:
    """Forks for each request, and tells the ends."""

    asked: socket.socket
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    running: dict[int, socket.socket] = field(default_factory=dict)
    ended: dict[int, socket.socket] = field(default_factory=dict)

    def serve(self) -> tuple[str, list[str]]:
        """Fork until the connection ends; returns in what was forked: a module, and its arguments."""
        ends, woken = socket.socketpair()
        ends.setblocking(False)
        woken.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        self.selector.register(self.asked, selectors.EVENT_READ)
        self.selector.register(ends, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is ends:
                    ends.recv(4096)
                    self._tell_ends()
                elif key.fileobj is self.asked:
                    request, files, _, _ = socket.recv_fds(self.asked, MOST_BYTES, 3)
                    if not request:
                        os._exit(0)  # what runs is killed by the kernel
                    if self._fork(files):
                        for connection in (ends, woken):
                            connection.close()
                        return _become(request, files[1:])
                else:  # the other side knows that it has ended
                    self._forget(key.data)

    def _fork(self, files: list[int]) -> bool:
        """Fork, and say whether this is what was forked: there, nothing of ours is open any more."""
        assert len(os.listdir("/proc/self/task")) == 1, "a fork would lose the threads"  # noqa: PTH208
        told, ours = socket.socket(fileno=files[0]), os.getpid()
        pid = os.fork()
        if pid == 0:
            _die_with(ours)
            self.selector.close()
            for connection in (self.asked, told, *self.running.values(), *self.ended.values()):
                connection.close()
            return True
        for file in files[1:]:
            os.close(file)
        self.running[pid] = told
        told.send(b"%d" % pid)
        return False

    def _tell_ends(self) -> None:
        """Tell which processes have ended. They stay zombies, so that nobody else gets their numbers."""
        for pid, told in list(self.running.items()):
            how = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if how is not None:
                status = how.si_status if how.si_code == os.CLD_EXITED else -how.si_status
                with contextlib.suppress(OSError):  # nobody wants to know
                    told.send(b"%d" % status)
                self.ended[pid] = self.running.pop(pid)
                self.selector.register(told, selectors.EVENT_READ, pid)

    def _forget(self, pid: int) -> None:
        told = self.ended.pop(pid)
        self.selector.unregister(told)
        told.close()
        os.waitpid(pid, 0)


def _die_with(parent: int) -> None:
    """Be killed when the parent ends, and never gain privileges: what `setpriv` does for what is started plainly."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _become(request: bytes, files: Sequence[int]) -> tuple[str, list[str]]:
    """Make of a fork what `exec` would have made: its environment, folder, files and signals."""
    module, arguments, environ, cwd = json.loads(request)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # also where a shell ignores it in its background
    os.setpgid(0, 0)
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    return module, arguments


if __name__ == "__main__":
    for name in (*(f"sca_service.{one}" for one in _IMPORTED), *_ALSO_IMPORTED):
        importlib.import_module(name)
    what, words = Forker(socket.socket(fileno=int(sys.argv[1]))).serve()
    sys.argv[1:] = words
    runpy.run_module(what, run_name="__main__", alter_sys=True)
