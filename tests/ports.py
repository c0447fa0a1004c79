"""Ports of this machine that are given to nobody else between the choice and the bind."""

import itertools
import os
import secrets
import socket
from collections.abc import Iterator, Mapping


def _own_ports(environ: Mapping[str, str]) -> Iterator[int]:
    """This test process's share of the ports below those that the system gives away, round and round.

    A port that the system gave may be given again before it is listened on, to another process or to any connection
    that goes out; `ip_local_port_range` begins at 32768.
    """
    processes = int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    at = int(environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (_PORTS.stop - _PORTS.start) // processes
    own = range(_PORTS.start + at * share, _PORTS.start + (at + 1) * share)
    start = secrets.randbelow(share)  # another run on this machine begins elsewhere
    return itertools.cycle([*own[start:], *own[:start]])


_PORTS = range(12_000, 32_000)
_OWN_PORTS = _own_ports(os.environ)


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that this run of the tests gives to nobody else."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many ports in a row, even; as `free_port`, for TCP and UDP."""
    row: list[int] = []
    for port in _OWN_PORTS:
        begins = port == row[-1] + 1 if row else port % 2 == 0
        row = [*row, port] if begins and is_free(port) else []
        if len(row) == count:
            return row[0]
    raise AssertionError("there are ports without end")


def is_free(port: int, *kinds: socket.SocketKind) -> bool:
    """Whether no process holds the port, for TCP and UDP or for what is named."""
    for kind in kinds or (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
