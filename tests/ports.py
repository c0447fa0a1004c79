"""Ports of this machine that are given to nobody else between the choice and the bind.

Each test process takes a share of its own, and holds it by a name that the kernel knows: neither the other processes
of a run nor those of another run on this machine choose from it. What a killed run has left behind is passed over.
"""

import functools
import itertools
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

_FIRST, _SHARE = 12_000, 250
_OFFSET = 10_000
"""How far above its own port the bus of a Valkey in a cluster listens. All are below the ports that the system gives to
any connection that goes out (`ip_local_port_range` begins at 32768)."""
_SHARES = _OFFSET // _SHARE


@dataclass(frozen=True, slots=True)
class _Share:
    """So many ports in `low`, and as many more 10,000 above in `both`; nobody else's while `name` is open."""

    low: Iterator[int]
    both: Iterator[int]
    name: socket.socket | None


def _share(number: int, name: socket.socket | None) -> _Share:
    first = _FIRST + number * _SHARE
    low = range(first, first + _SHARE)
    high = range(first + _OFFSET, first + _OFFSET + _SHARE)
    return _Share(itertools.cycle(low), itertools.cycle((*low, *high)), name)


@functools.cache
def _own() -> _Share:
    """This process's share: the first that nobody holds; any, where there are more of us than shares."""
    for number in range(_SHARES):
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0sca-test-ports-{number}")  # an abstract name: it ends with its process (unix(7))
        except OSError:
            name.close()
        else:
            return _share(number, name)
    return _share(secrets.randbelow(_SHARES), None)


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that no test process gives to anybody else."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many ports in a row, even; as `free_port`, for TCP and UDP."""
    row: list[int] = []
    for port in _own().both:
        begins = port == row[-1] + 1 if row else port % 2 == 0
        row = [*row, port] if begins and is_free(port) else []
        if len(row) == count:
            return row[0]
    raise AssertionError("there are ports without end")


def free_node_port() -> int:
    """A port for a Valkey in a cluster: that of its bus is free too."""
    return next(port for port in _own().low if is_free(port) and is_free(port + _OFFSET))


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
