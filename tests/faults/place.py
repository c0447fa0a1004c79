"""The service as it is run: two of each role, each behind links of its own to both stores; and how blows are struck.

Roles that a blow ended, or that did not find their stores at a start, are started again, as an orchestrator does. One
that ends by itself while it works is a fault found.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.cuts import Tail, postgres_pids, start_broken_role
from tests.faults.links import Link
from tests.faults.schedule import LINKS, ROLES, Blow, Fault
from tests.harness import Deployment, Role, await_ready
from tests.ports import free_port

_FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"
_LOOK_SECONDS = 0.05
_DISK_BYTES = 256 * 2**20


@dataclass(slots=True, eq=False)
class Running:
    """One role: its process now, and how often it had begun to work when that was started."""

    role: Role
    environ: dict[str, str]
    begun_before: int = 0


@dataclass(slots=True, eq=False)
class Place:
    """Everything that runs, and what is done to it. A class because it holds it.

    `broken` names, for a kind of role, what is wrong with it (`tests/faults/broken.py`); `disks` the stores on a small
    disk of their own.
    """

    deployment: Deployment
    disks: tuple[str, ...] = ()
    running: dict[str, Running] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    has_lost_tail: bool = False
    broken: Mapping[str, str] = field(default_factory=dict)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def open(self) -> None:
        """Start it all and wait until it works. The stores run already."""
        servers = self.deployment.servers
        for name in LINKS:
            store = servers.valkey if name.endswith("valkey") else servers.postgres
            self.links[name] = Link(free_port(), store.socket)
            await self.links[name].open()
        ports = {number: free_port() for number in "12"}
        for name in ROLES:
            kind, number = name.split("-")
            role = Role(kind, ports[number], None)  # type: ignore[arg-type]
            self.running[name] = Running(role, self._environ(name))
            self.launch(name)
        for name in ROLES:
            await self.until_works(name)
        for name in ("api-1", "api-2"):
            await asyncio.to_thread(await_ready, self.running[name].role)

    def _environ(self, name: str) -> dict[str, str]:
        environ = {
            f"SCA_{variable}_URL": url.format(self.links[f"{name}/{store}"].port)
            for variable, store, url in (
                ("REDIS", "valkey", "redis://127.0.0.1:{}"),
                ("POSTGRES", "postgres", "postgresql://sca@127.0.0.1:{}/sca"),
            )
            if f"{name}/{store}" in self.links
        }
        if library := faketime():
            self.clock_file(name).write_text("+0\n")
            environ |= {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file(name)),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DISABLE_SHM": "1",
            }
        return environ

    def clock_file(self, name: str) -> Path:
        """What libfaketime reads a role's clock from, every second."""
        return self.deployment.folder / f"{name}.clock"

    def launch(self, name: str) -> None:
        """Start a role's process where it was."""
        running = self.running[name]
        running.begun_before = self._begun(name)
        role = running.role
        fault = self.broken.get(role.name)
        if fault:
            running.role.process = start_broken_role(self.deployment, fault, role, running.environ)
            return
        started = self.deployment.start(
            role.name,
            port=role.port,
            environ=running.environ,
            module=("tests.faults.counted", role.name),
            is_awaited=False,
        )
        self.deployment.forget(started)
        running.role.process = started.process

    def _begun(self, name: str) -> int:
        role = self.running[name].role
        log = self.deployment.folder / f"{role.name}-{role.port}.log"
        return log.read_text().count(".starting") if log.exists() else 0

    def works(self, name: str) -> bool:
        """Whether the role's process has its stores and has begun."""
        running = self.running[name]
        return running.role.process.poll() is None and self._begun(name) > running.begun_before

    async def until_works(self, name: str) -> None:
        """Wait for that; a process that did not find its stores is started again."""
        async with asyncio.timeout(180):
            while not self.works(name):
                await self._mend_stores()
                if self.running[name].role.process.poll() is not None:
                    self.launch(name)
                await asyncio.sleep(_LOOK_SECONDS)

    async def _mend_stores(self) -> None:
        """Start a store that a full disk has ended; nobody else does."""
        servers = self.deployment.servers
        for name, server in (("valkey", servers.valkey), ("postgres", servers.postgres)):
            if server.has_ended and not self._lock(name).locked():
                async with self._lock(name):
                    await asyncio.to_thread(server.start, self.deployment.folder / name)

    @property
    def apis(self) -> tuple[str, str]:
        """Where both apis are."""
        return self.running["api-1"].role.url, self.running["api-2"].role.url

    async def strike(self, blow: Blow) -> None:
        """Do one fault, and undo it; others on the same target wait for that."""
        await asyncio.sleep(blow.after_seconds)
        async with self._lock(blow.target):
            match blow.fault:
                case Fault.PAUSE:
                    await self._pause(blow)
                case Fault.KILL_ROLE:
                    self._kill(blow.target)
                    await asyncio.sleep(blow.for_seconds)
                    self.launch(blow.target)
                    await self.until_works(blow.target)
                case Fault.KILL_STORE:
                    await self._kill_store(blow)
                case Fault.LOSE_TAIL:
                    await self._lose_tail(blow)
                case Fault.FULL_DISK:
                    await self._fill(blow)
                case Fault.OUTAGE:
                    await self._be_away(blow)
                case Fault.STEP_CLOCK:
                    self.clock_file(blow.target).write_text(f"{blow.step_seconds:+d}\n")
                    await asyncio.sleep(blow.for_seconds)
                    self.clock_file(blow.target).write_text("+0\n")
                case _:
                    await self._disturb(blow)

    async def _disturb(self, blow: Blow) -> None:
        link = self.links[blow.target]
        match blow.fault:
            case Fault.CUT:
                link.cut()
            case Fault.HOLD:
                link.hold()
            case Fault.SLOW:
                link.delay_seconds = blow.for_seconds / 10
            case Fault.TEAR_REPLY:
                link.tear("reply")
            case Fault.TEAR_REQUEST:
                link.tear("request")
        await asyncio.sleep(blow.for_seconds)
        link.mend()

    async def _be_away(self, blow: Blow) -> None:
        """Cut one link, or all that lead to a store; who disturbs one of these has to wait."""
        names = [name for name in LINKS if name == blow.target or name.endswith(f"/{blow.target}")]
        async with AsyncExitStack() as held:
            for name in names:
                if name != blow.target:  # that one is held already
                    await held.enter_async_context(self._lock(name))
            for name in names:
                self.links[name].cut()
            await asyncio.sleep(blow.for_seconds)
            for name in names:
                self.links[name].mend()

    async def _pause(self, blow: Blow) -> None:
        match blow.target:
            case "valkey":
                pids = [self.deployment.servers.valkey.pid]
            case "postgres":
                pids = postgres_pids(self.deployment)
            case name:
                pids = [self.running[name].role.process.pid]
        _signal(pids, signal.SIGSTOP)
        await asyncio.sleep(blow.for_seconds)
        _signal(pids, signal.SIGCONT)

    def _kill(self, name: str) -> None:
        self._notice_end(name)
        process = self.running[name].role.process
        process.kill()
        process.wait()

    def _notice_end(self, name: str) -> bool:
        """Whether a role's process has ended, though nobody killed it; put down unless it was still starting."""
        running = self.running[name]
        status = running.role.process.poll()
        if status is not None and self._begun(name) > running.begun_before:
            self.found.append(f"{name} has ended by itself, with status {status}")
        return status is not None

    async def _kill_store(self, blow: Blow) -> None:
        servers = self.deployment.servers
        server = servers.valkey if blow.target == "valkey" else servers.postgres
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(blow.for_seconds)
        await asyncio.to_thread(server.start, self.deployment.folder / blow.target)

    async def _lose_tail(self, blow: Blow) -> None:
        self.has_lost_tail = True
        tail = await asyncio.to_thread(Tail, self.deployment)
        await asyncio.sleep(blow.for_seconds)
        await asyncio.to_thread(tail.lose)

    async def _fill(self, blow: Blow) -> None:
        ballast = self.deployment.folder / blow.target / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**20))
        await asyncio.sleep(blow.for_seconds)
        ballast.unlink()

    async def check_alive(self) -> None:
        """Every role works; one that has ended by itself is put down, and started again."""
        await self._mend_stores()
        for name in self.running:
            async with self._lock(name):
                if self._notice_end(name):
                    self.launch(name)
                await self.until_works(name)

    def _lock(self, target: str) -> asyncio.Lock:
        return self._busy.setdefault(target, asyncio.Lock())

    async def close(self) -> None:
        """End the roles and the links."""
        for running in self.running.values():
            running.role.process.kill()
            running.role.process.wait()
        for link in self.links.values():
            await link.close()


def faketime() -> str | None:
    """Where libfaketime is, None where it is not installed."""
    found = sorted(Path("/").glob(_FAKETIME[1:]))
    return str(found[0]) if found else None


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Place]:
    """The place, working, until the block ends."""
    try:
        await place.open()
        yield place
    finally:
        await place.close()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = _DISK_BYTES // 2**20) -> Iterator[bool]:
    """A disk of its own for a folder, which is soon full: a tmpfs, where we may mount one. Whether there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
