"""Issue and verify against a bare echo, interleaved in one run: ratios mean something where rates are noisy."""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import asyncpg
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from loadtests import generator
from loadtests.generator import Load, Result
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.challenges import code
from sca_service.challenges.model import ChallengeId
from sca_service.kernel.account import Account
from sca_service.kernel.keyring import Keyring, write_keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.migrations import migrate
from sca_service.sandbox.server_process import launcher
from sca_service.sandbox.servers import Servers, start_servers
from sca_service.settings import shipped_policies

API_CORE, OTHER_CORE = 0, 1
API_PORT, ECHO_PORT = 18_080, 18_081
GOALS = {"verify": 0.70, "issue": 0.55}
P99_GOAL_MS, RSS_GOAL_MIB = 50, 150
_TRANSACTION = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    "reference": "pay_2026_001",
}


@dataclass(slots=True)
class Bench:
    """What runs, and what was measured. A class because rounds build on each other."""

    servers: Servers
    keyring: Keyring
    api_key: str
    api: "subprocess.Popen[bytes]"
    echo: "subprocess.Popen[bytes]"
    console: Console
    results: dict[str, list[Result]] = field(default_factory=lambda: {"echo": [], "issue": [], "verify": []})
    payers: Iterator[int] = field(default_factory=lambda: iter(range(10_000_000, 99_999_999)))
    used: set[str] = field(default_factory=set)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    def round(self, number: int, seconds: int) -> None:
        """One round of all three; verify answers, each once and rightly, what the issue before it issued."""
        echo = Load(f"http://127.0.0.1:{ECHO_PORT}", "-", [("/echo", _answer("693554"))], each_once=False)
        self._measure("echo", self.echo.pid, lambda: generator.run(echo, seconds=seconds, core=OTHER_CORE))
        orders = [("/v1/challenges", _order(next(self.payers))) for _ in range(seconds * 15_000)]
        self._measure("issue", self.api.pid, lambda: self._put(orders, 2 * seconds))
        answers = asyncio.run(self._answers())
        before = asyncio.run(self._acceptances())
        verified = self._measure("verify", self.api.pid, lambda: self._put(answers, seconds))
        accepted = asyncio.run(self._acceptances()) - before
        if accepted < verified.requests - generator.CONNECTIONS:
            raise RuntimeError(f"{verified.requests} right answers, {accepted} accepted")
        self.console.print(
            f"  round {number}: "
            + "  ".join(f"{name} {results[-1].per_second:,.0f}/s" for name, results in self.results.items())
        )

    def _measure(self, name: str, pid: int, put: Callable[[], Result]) -> Result:
        """Put a load on and note what came of it, and the CPU time that each request took of the process."""
        before = cpu_seconds(pid)
        result = put()
        self.results[name].append(result)
        self.cpu_us.setdefault(name, []).append((cpu_seconds(pid) - before) / result.requests * 1e6)
        return result

    def _put(self, requests: list[tuple[str, str]], seconds: int) -> Result:
        load = Load(f"http://127.0.0.1:{API_PORT}", self.api_key, requests, each_once=True)
        result = generator.run(load, seconds=seconds, core=OTHER_CORE)
        if result.failed:
            raise RuntimeError(f"{result.failed} requests failed")
        return result

    async def _answers(self) -> list[tuple[str, str]]:
        """A right answer to every challenge that waits for one."""
        connection = await asyncpg.connect(self.servers.postgres.url)
        rows = await connection.fetch("SELECT id FROM challenges WHERE status = 'pending'")
        await connection.close()
        digest = _transaction().digest()
        fresh = [row["id"] for row in rows if row["id"] not in self.used]
        self.used.update(fresh)
        return [
            (f"/v1/challenges/{challenge}/verify", _answer(self._code(challenge, digest)))
            for challenge in fresh
        ]

    def _code(self, challenge: str, digest: str) -> str:
        parsed = ChallengeId.parse(challenge)
        assert parsed is not None  # noqa: S101 - the service made it
        return code.derive(self.keyring, parsed, digest).reveal()

    async def _acceptances(self) -> int:
        connection = await asyncpg.connect(self.servers.postgres.url)
        count = int(await connection.fetchval("SELECT count(*) FROM acceptances"))
        await connection.close()
        return count

    def report(self) -> bool:
        """Print medians, ratios and goals. Returns whether every goal is met."""
        echo = _median(self.results["echo"])
        table = Table(title="Medians", title_justify="left", box=None, padding=(0, 2))
        for title in ("", "requests/s", "of the echo", "goal", "p50 ms", "p99 ms", "CPU µs"):
            table.add_column(title, justify="right" if title else "left")
        met = True
        for name, results in self.results.items():
            ratios = [
                one.per_second / base.per_second
                for one, base in zip(results, self.results["echo"], strict=True)
            ]
            ratio = statistics.median(ratios)
            p99 = statistics.median(one.p99_ms for one in results)
            goal = GOALS.get(name)
            met = met and (goal is None or (ratio >= goal and p99 < P99_GOAL_MS))
            table.add_row(
                name,
                f"{_median(results):,.0f}",
                f"{ratio:.2f}",
                f"{goal:.2f}" if goal else "",
                f"{statistics.median(one.p50_ms for one in results):.1f}",
                f"{p99:.1f}",
                f"{statistics.median(self.cpu_us[name]):.0f}",
            )
        rss = rss_mib(self.api.pid)
        self.console.print(table)
        self.console.print(f"  api process: {rss:.0f} MiB (goal: under {RSS_GOAL_MIB}); echo {echo:,.0f}/s")
        return met and rss < RSS_GOAL_MIB

    def profile(self, seconds: int) -> None:
        """Print where the api's time goes while it verifies, by py-spy."""
        orders = [("/v1/challenges", _order(next(self.payers))) for _ in range(seconds * 20_000)]
        self._put(orders, seconds * 3)
        answers = asyncio.run(self._answers())
        with tempfile.NamedTemporaryFile(suffix=".txt") as stacks:
            spy = subprocess.Popen(
                [
                    "py-spy",
                    "record",
                    "-p",
                    str(self.api.pid),
                    "-d",
                    str(seconds),
                    "-r",
                    "500",
                    "-f",
                    "raw",
                    "-o",
                    stacks.name,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._put(answers, seconds + 1)
            if spy.wait(30):
                self.console.print("  py-spy could not look into the process (it needs ptrace)")
                return
            _print_profile(self.console, Path(stacks.name).read_text("utf-8"))


def bench(
    *, rounds: Annotated[int, Parameter(help="How many.")] = 5, seconds: int = 4, profile: bool = True
) -> None:
    """Measure issue and verify of one api process against a bare echo."""
    console = Console(highlight=False)
    console.print(
        f"» {rounds} rounds; api and echo on core {API_CORE}, load ({generator.name()}) and stores on core {OTHER_CORE}"
    )
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder), console) as running:
        for number in range(1, rounds + 1):
            running.round(number, seconds)
        met = running.report()
        if profile:
            running.profile(seconds)
    console.print("  [green]every goal is met[/]" if met else "  [red]a goal is missed[/]")


@contextmanager
def _running(folder: Path, console: Console) -> Iterator[Bench]:
    os.sched_setaffinity(0, {OTHER_CORE} if (os.cpu_count() or 1) > 1 else {0})
    servers = start_servers(folder)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        migrate(servers.postgres.url)
        write_keyring(folder / "keyring.json")
        keyring = Keyring.parse((folder / "keyring.json").read_text("utf-8"))
        key = asyncio.run(_create_client(servers.postgres.url, keyring))
        config = folder / "sca.toml"
        config.write_text(
            f'environment = "sandbox"\nissuer = "https://sca.example"\npolicies = "{shipped_policies()}"\n'
            f'keyring = "keyring.json"\nredis.url = "{servers.valkey.url}"\npostgres.url = "{servers.postgres.url}"\n'
            f'api.port = {API_PORT}\nsandbox.folder = "."\nlog_level = "WARNING"\n',
            "utf-8",
        )
        api = _start(["-m", "sca_service", "api", "--config", str(config)])
        processes.append(api)
        echo = _start(
            [
                "-m",
                "uvicorn",
                "loadtests.echo:app",
                "--port",
                str(ECHO_PORT),
                "--loop",
                "uvloop",
                "--http",
                "httptools",
                "--no-access-log",
                "--no-server-header",
                "--log-level",
                "warning",
            ]
        )
        processes.append(echo)
        for port, path in ((API_PORT, "/readyz"), (ECHO_PORT, "/echo")):
            asyncio.run(_await_port(port, path))
        yield Bench(servers, keyring, key, api, echo, console)
    finally:
        for process in processes:
            process.terminate()
            process.wait(15)
        servers.stop()


def _start(arguments: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["taskset", "-c", str(API_CORE), *launcher(death_signal="TERM"), sys.executable, *arguments]
    )


async def _await_port(port: int, path: str) -> None:
    for _ in range(200):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()
        return
    raise RuntimeError(f"nothing listens on port {port}")


async def _create_client(url: str, keyring: Keyring) -> str:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        registry = ClientRegistry(ClientStore(pool), keyring)
        return (await registry.create("bank", [Scope.CHALLENGES])).reveal()


def _transaction() -> Transaction:
    payee = Payee("ACME GmbH", Account.parse(iban="DE89370400440532013000"))
    return Transaction.payment(
        amount=Amount.parse(currency="EUR", amount="49.99"), payee=payee, reference="pay_2026_001"
    )


def _order(payer: int) -> str:
    return generator.encode(
        {
            "psu": {"id": f"cust_{payer}", "phone": f"+49151{payer}", "locale": "de-DE"},
            "purpose": "payment",
            "transaction": _TRANSACTION,
            "elements_presented": ["knowledge"],
            "signals": {"ip": "203.0.113.7", "device_id": "d-77", "session_id": f"s-{payer}"},
        }
    )


def _answer(one_time_code: str) -> str:
    return generator.encode({"code": one_time_code, "transaction": _TRANSACTION})


def _median(results: list[Result]) -> float:
    return statistics.median(result.per_second for result in results)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _print_profile(console: Console, stacks: str) -> None:
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame.split(" (")[0] + " (" + _file(frame) + ")" for frame in frames.split(";")]
        own[names[-1]] += int(count)
        for name in set(names):
            whole[name] += int(count)
    total = sum(own.values()) or 1
    for title, counts in (("with what it calls", whole), ("by itself", own)):
        console.print(f"\n  Where the api's time goes while it verifies ({title}; py-spy)")
        for name, samples in counts.most_common(30):
            console.print(f"    {samples / total:6.1%}  {name}", soft_wrap=True)


def _file(frame: str) -> str:
    return frame.rsplit(" (", maxsplit=1)[-1].rsplit(":", 1)[0].rstrip(")")
