"""How long roles and commands take to start: a part of `make bench`, and `make bench ARGS=start`.

From the call of the process until `/readyz` answers 200 (api), until it says that it starts its loops (worker, log), or
until it has ended (commands). CPU time counts user and system, of the process alone. Loopback only; it ends by itself.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.table import Table

from loadtests.place import API_CORE, config_file, cpu_seconds, rss_mib
from sca_service.kernel.keyring import write_keyring
from sca_service.migrations import migrate
from sca_service.sandbox.server_process import launcher
from sca_service.sandbox.servers import start_servers
from tests.ports import free_port

GOAL_MS = 1_500
"""From the call of `sca api` until it is ready."""
_DEADLINE_SECONDS = 60
_POLL_SECONDS = 0.005
_STARTED = {"worker": b"worker.starting", "log": b"log.starting"}
TITLES = ("ms to ready", "CPU ms", "least", "MiB")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--version",),
    ("clients", "list", "--config", "{config}"),
    ("policy", "check"),
    ("audit", "keys", "--config", "{config}"),
)


@dataclass(slots=True)
class Starts:
    """What one role or command took, start by start. A class because starts add to it."""

    took_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    """Of roles when they are ready; nothing of commands."""

    def add(self, took_seconds: float, cpu_seconds: float, rss_mib: float | None) -> None:
        """Note one start."""
        self.took_ms.append(took_seconds * 1000)
        self.cpu_ms.append(cpu_seconds * 1000)
        if rss_mib is not None:
            self.rss_mib.append(rss_mib)

    def told(self) -> tuple[str, str, str, str]:
        """Medians and least as cells of a table: ms, CPU ms, the least CPU ms, MiB."""
        return (
            f"{statistics.median(self.took_ms):,.0f}",
            f"{statistics.median(self.cpu_ms):,.0f}",
            f"{min(self.cpu_ms):,.0f}",
            f"{statistics.median(self.rss_mib):.0f}" if self.rss_mib else "",
        )


def measure(rounds: int) -> dict[str, Starts]:
    """Start every role and command so many times, in turns, on stores of their own. Raises RuntimeError."""
    found: dict[str, Starts] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = start_servers(folder)
        try:
            migrate(servers.postgres.url)
            write_keyring(folder / "keyring.json")
            port = free_port()
            config = config_file(folder, servers, port, log_level="INFO")
            for _ in range(rounds + 1):
                took = {"sca api": _role("api", config, lambda _: _is_ready(port))}
                for role, said in _STARTED.items():
                    took[f"sca {role}"] = _role(role, config, partial(_has_said, said))
                for words in COMMANDS:
                    took[f"sca {' '.join(words[:2]).removesuffix(' --config')}"] = _command(words, config)
                for what, (seconds, cpu, rss) in took.items():
                    found.setdefault(what, Starts()).add(seconds, cpu, rss)
        finally:
            servers.stop()
    for starts in found.values():  # the first start reads from the disk what the others find in memory
        for figures in (starts.took_ms, starts.cpu_ms, starts.rss_mib):
            del figures[:1]
    return found


def _role(role: str, config: Path, is_ready: Callable[[bytes], bool]) -> tuple[float, float, float | None]:
    """Seconds and CPU seconds until a role is ready, and its memory then."""
    with (config.parent / f"{role}.log").open("w+b") as log:
        began = time.perf_counter()
        process = _called((role, "--config", str(config)), log)
        try:
            while not is_ready(Path(log.name).read_bytes()):
                if process.poll() is not None or time.perf_counter() - began > _DEADLINE_SECONDS:
                    raise RuntimeError(f"sca {role} did not start")
                time.sleep(_POLL_SECONDS)
            return time.perf_counter() - began, cpu_seconds(process.pid), rss_mib(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _command(words: Sequence[str], config: Path) -> tuple[float, float, float | None]:
    """Seconds and CPU seconds of a command. Raises RuntimeError when it fails."""
    began = time.perf_counter()
    process = _called([word.format(config=config) for word in words], subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"sca {' '.join(words)} failed")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, None


def _called(words: Sequence[str], said: "IO[bytes] | int") -> "subprocess.Popen[bytes]":
    """Call `sca` on the api's core. Python keeps what it compiles, as in the image, whatever it is told here."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    core = ["taskset", "-c", str(API_CORE), *launcher(death_signal="TERM")]
    return subprocess.Popen(
        [*core, sys.executable, "-m", "sca_service", *words], stdout=said, stderr=said, env=environment
    )


def _has_said(event: bytes, log: bytes) -> bool:
    return event in log


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def report(console: Console, found: dict[str, Starts]) -> bool:
    """Print what starts take. Returns whether the goal is met."""
    table = Table(title="Starts", title_justify="left", box=None, padding=(0, 2))
    for title in ("", *TITLES):
        table.add_column(title, justify="right" if title else "left")
    for what, starts in found.items():
        table.add_row(what, *starts.told())
    console.print(table)
    took = statistics.median(found["sca api"].took_ms)
    console.print(f"  sca api: ready after {took:,.0f} ms (goal: {GOAL_MS:,})")
    return took < GOAL_MS


def start(*, rounds: int = 5) -> None:
    """Measure how long roles and commands take to start."""
    console = Console(highlight=False)
    met = report(console, measure(rounds))
    console.print("  [green]the goal is met[/]" if met else "  [red]the goal is missed[/]")
