"""`sca dev` as a process: it starts on an empty folder, ends without a trace, and keeps what it was told."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sca_service.sandbox.server_process import launcher
from tests.faults.cuts import await_true, parents
from tests.harness import code_in, order, unique_psu
from tests.ports import free_port

pytestmark = pytest.mark.long

_ROOT = Path(__file__).parents[2]
_END_SECONDS = 60.0
_SERVER_NAME = re.compile(r"sca-[0-9a-f]{12}-server")


@dataclass(frozen=True, slots=True)
class Dev:
    """One `sca dev`, leading a process group of its own as under a terminal, and what it prints."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int
    output: Path

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    @property
    def clients(self) -> dict[str, Any]:
        """The clients in `sandbox.json`."""
        clients: dict[str, Any] = json.loads((self.folder / "sandbox.json").read_text())["clients"]
        return clients

    def bank(self) -> httpx.Client:
        """A bank's backend, with the key of `sandbox.json`."""
        sandbox = json.loads((self.folder / "sandbox.json").read_text())
        headers = {"Authorization": f"Bearer {sandbox['clients']['bank']['api_key']}"}
        return httpx.Client(base_url=sandbox["base_url"], headers=headers, trust_env=False, timeout=10)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(_END_SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is empty before the first start, and used by one start after the other."""
    return tmp_path_factory.mktemp("dev") / "data"


@contextmanager
def _started(folder: Path, *, port: int | None = None) -> Iterator[Dev]:
    port = port or free_port()
    output = folder.parent / f"dev-{port}.txt"
    command = [sys.executable, "-m", "sca_service", "dev", "--port", str(port), "--data-dir", str(folder)]
    with output.open("ab") as log:
        process = subprocess.Popen(
            [*launcher(death_signal="TERM"), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
    try:
        yield Dev(process, folder, port, output)
    finally:
        process.terminate()
        process.wait(_END_SECONDS)


@contextmanager
def _ready(folder: Path) -> Iterator[Dev]:
    with _started(folder) as dev:
        await_true(lambda: "Ctrl-C stops" in dev.said or dev.process.poll() is not None, "it is ready")
        assert dev.process.poll() is None, dev.said
        yield dev


def test_ctrl_c_leaves_no_process_and_the_next_start_keeps_everything(folder: Path) -> None:
    """Started on an empty folder, stopped by Ctrl-C, started again: the same keys work, the challenge is there."""
    with _ready(folder) as first:
        assert (folder / "sandbox.json").stat().st_mode & 0o777 == 0o600
        clients = first.clients
        assert sorted(clients) == ["auditor", "bank", "issuer", "operator"]
        assert all(client["api_key"] in first.said for client in clients.values())
        psu = unique_psu()
        with first.bank() as bank:
            challenge = bank.post("/v1/challenges", json=order(psu=psu)).json()["id"]
            code = _code(bank, psu["phone"])
        family = _family(first.process.pid)
        assert len(family) > 6  # itself, three roles, two servers and PostgreSQL's children
        os.killpg(first.process.pid, signal.SIGINT)
        assert first.wait() == 0
        assert _alive(family) == {}
        assert "Traceback" not in first.said
    with _ready(folder) as second:
        assert second.clients == clients
        with second.bank() as bank:
            assert bank.get(f"/v1/challenges/{challenge}").json()["status"] == "pending"
            body = {"code": code, "transaction": order()["transaction"]}
            verified = bank.post(f"/v1/challenges/{challenge}/verify", json=body)
            assert verified.json()["outcome"] == "approved", verified.text


def test_a_killed_dev_takes_everything_with_it(folder: Path) -> None:
    """`kill -9` of `sca dev` itself: roles and servers notice and end by themselves."""
    with _ready(folder) as dev:
        family = _family(dev.process.pid)
        dev.process.kill()
        dev.process.wait()
        await_true(lambda: _alive(family) == {}, "no process is left")


@pytest.mark.parametrize("role", ["worker"])
def test_a_role_that_dies_ends_all_with_a_message(folder: Path, role: str) -> None:
    """Half a service is none: when a role dies, `sca dev` says which, stops the rest and ends with status 1."""
    with _ready(folder) as dev:
        family = _family(dev.process.pid)
        (pid,) = [pid for pid, command in family.items() if f"sca_service {role} " in command]
        os.kill(pid, signal.SIGKILL)
        assert dev.wait() == 1
        assert f"the {role} role ended by itself; see {role}.log" in dev.said
        assert "Traceback" not in dev.said
        assert _alive(family) == {}


def test_a_taken_port_is_said_so_before_anything_starts(tmp_path: Path) -> None:
    """A port that another program listens on: one line that says so, status 1, and no server was started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with _started(tmp_path / "data", port=port) as dev:
            assert dev.wait() == 1
            assert dev.said == f"sca: port {port} is taken: name another with --port\n"
            assert not (tmp_path / "data" / "valkey").exists()


def test_a_folder_in_use_is_said_so(tmp_path: Path) -> None:
    """A data folder that another `sca dev` holds: one line that says so, status 1, and nothing is left running."""
    data = tmp_path / "data"
    (data / "valkey").mkdir(parents=True)
    held = os.open(data / "valkey", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with _started(data) as dev:
            assert dev.wait() == 1
            assert "is in use by another running `sca dev`" in dev.said
            assert "Traceback" not in dev.said
            assert [command for command in _commands().values() if str(data) in command] == []
    finally:
        os.close(held)


def _code(bank: httpx.Client, phone: str) -> str:
    texts: list[str] = []

    def arrived() -> bool:
        texts.extend(
            message["text"] for message in bank.get("/sandbox/messages", params={"to": phone}).json()["data"]
        )
        return bool(texts)

    await_true(arrived, "the message has arrived")
    return code_in(texts[0])


def _family(pid: int) -> dict[int, str]:
    """A process and all that descend from it, with their command lines."""
    found = {pid}
    tree = parents()
    while more := {child for child, parent in tree.items() if parent in found} - found:
        found |= more
    commands = _commands()
    return {one: commands.get(one, "") for one in found}


def _alive(family: dict[int, str]) -> dict[int, str]:
    """Those of the family that still run, and every process that shows the name of one of its servers."""
    names = set(_SERVER_NAME.findall(" ".join(family.values())))
    assert len(names) == 2
    return {
        pid: command
        for pid, command in _commands().items()
        if command and (family.get(pid) == command or names & set(_SERVER_NAME.findall(command)))
    }


def _commands() -> dict[int, str]:
    """The command line of every process; empty for one that has ended and waits to be looked at."""
    found = {}
    for pid in parents():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        found[pid] = raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return found
