"""Runs of the tests side by side: no two choose the same port, and what a run has started ends with it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cuts import await_true
from tests.ports import free_node_port, free_port, free_ports, is_free

_ROOT = Path(__file__).parents[2]
_MANY = 600
_CHOOSES = f"""
import sys
from tests.ports import free_node_port, free_port
print([free_port() for _ in range({_MANY})] + [free_node_port() for _ in range({_MANY})], flush=True)
sys.stdin.read()
"""
_STARTS_A_PEER = """
import subprocess, time
from tests.peers import command_of
print(subprocess.Popen([*command_of("sleep"), "600"]).pid, flush=True)
time.sleep(600)
"""


@contextmanager
def another_run(program: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process beside this one, and the first line that it says."""
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
        cwd=_ROOT,
    ) as run:
        assert run.stdout
        try:
            yield run, run.stdout.readline()
        finally:
            run.kill()


def test_no_two_processes_are_given_the_same_port() -> None:
    """However many ports each takes, beside each other; buses of nodes included."""
    ours = {free_port() for _ in range(_MANY)} | {free_node_port() for _ in range(_MANY)}
    with another_run(_CHOOSES) as (_, first), another_run(_CHOOSES) as (_, second):
        all_of_them = [
            ours,
            *({int(one) for one in said.strip("[]\n").split(", ")} for said in (first, second)),
        ]
    for one in all_of_them:
        assert len(one) > _MANY / 2
    assert len(set.union(*all_of_them)) == sum(map(len, all_of_them))


def test_a_port_that_somebody_holds_is_passed_over() -> None:
    """Such as a peer that a killed run has left: also in the middle of a row, for TCP as for UDP."""
    first = free_ports(4)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as holder:
            holder.bind(("127.0.0.1", first + 2))
            assert not is_free(first + 2)
            rows = {free_ports(4) for _ in range(_MANY // 2)}
            assert not rows & {first, first + 2}
        assert first + 2 in {free_port() for _ in range(_MANY)}


def test_a_peer_ends_with_the_run_that_started_it() -> None:
    """Killed without a word; nothing of it holds a port afterwards."""
    with another_run(_STARTS_A_PEER) as (run, said):
        peer = Path("/proc") / said.strip()
        await_true(lambda: (peer / "comm").read_text("utf-8") == "sleep\n", "the peer runs")
        run.kill()
        await_true(lambda: not peer.exists(), "the peer has ended too")
