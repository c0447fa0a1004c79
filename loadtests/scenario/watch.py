"""What each process takes, second by second: CPU and memory, read from /proc."""

import os
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_RESIDENT = re.compile(r"^Rss(Anon|File|Shmem):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process and its children. `at` in seconds since the epoch, `cpu` in seconds so far.

    `mib` is resident memory; of what a process shares with its children, the largest share of one of them counts.
    """

    at: float
    cpu: float
    mib: float


@dataclass(slots=True)
class Watch:
    """Looks at processes until it is stopped. A class because it owns the thread."""

    processes: Mapping[str, int]
    every_seconds: float = 1.0
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(10)

    def _look_on(self) -> None:
        while True:
            for name, pid in self.processes.items():
                with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                    self.samples.setdefault(name, []).append(sample(pid))
            if self._stop.wait(self.every_seconds):
                return


def sample(pid: int) -> Sample:
    """A process and its children (PostgreSQL has one for each connection). Raises FileNotFoundError."""
    cpu, own, files, shared = 0.0, 0.0, 0.0, 0.0
    for member in (pid, *children(pid)):
        try:
            fields = Path(f"/proc/{member}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
            status = Path(f"/proc/{member}/status").read_text("utf-8")
        except (FileNotFoundError, ProcessLookupError):
            if member == pid:
                raise
            continue
        cpu += sum(int(one) for one in fields[11:15]) / _TICKS  # its own, and of children that have ended
        resident = {name: int(kib) / 1024 for name, kib in _RESIDENT.findall(status)}
        own += resident.get("Anon", 0.0)
        files, shared = max(files, resident.get("File", 0.0)), max(shared, resident.get("Shmem", 0.0))
    return Sample(time.time(), cpu, own + files + shared)


def children(pid: int) -> list[int]:
    """The processes that it has started and that run. Raises FileNotFoundError when it has ended."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [int(one) for one in listed]
