"""What each process takes, second by second: CPU and memory, read from /proc."""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process and its children. `at` in seconds since the epoch, `cpu` in seconds so far.

    `mib` is resident memory, in which what several share counts once for each.
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
    family = [pid, *_children(pid)]
    cpu, mib = 0.0, 0.0
    for member in family:
        try:
            fields = Path(f"/proc/{member}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            if member == pid:
                raise
            continue
        own = sum(int(one) for one in fields[11:13])
        ended = sum(int(one) for one in fields[13:15])  # children that have ended
        cpu += (own + ended) / _TICKS
        mib += int(fields[21]) * _PAGE_MIB
    return Sample(time.time(), cpu, mib)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [int(one) for one in listed]
