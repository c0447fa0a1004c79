"""What the roles hold while nothing happens: memory, files, sockets, tasks, and connections to both stores.

After the faults it is what it was before them. A role that was killed meanwhile has begun anew: the others tell.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.faults.cuts import until
from tests.faults.place import Place

_GROWTH = 1.25
"""By how much memory may have grown since the warm-up: by a quarter."""
_MORE = {"memory (KiB)": 0, "files": 3, "sockets": 24, "tasks": 6}
"""How many more of each: pools grow until they are full, and connections that are kept alive come and go."""
_MORE_AT_STORES = 24


@dataclass(frozen=True, slots=True)
class Levels:
    """What each role holds, by the names of what is counted; and how many connections each store has."""

    roles: Mapping[str, Mapping[str, int]]
    stores: Mapping[str, int]


async def levels_of(place: Place, redis: Any, postgres: asyncpg.Connection) -> Levels:
    """How it is now."""
    backends = await postgres.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    roles = {
        name: await _held_by(running.role.process.pid, place.deployment.folder)
        for name, running in place.running.items()
    }
    return Levels(roles, {"PostgreSQL": int(backends), "Redis": len(await redis.client_list())})


def grown(before: Levels, after: Levels) -> list[str]:
    """What is more than it may be, in words."""
    wrong = [
        f"{role} has {held} {what} instead of {before.roles[role][what]}"
        for role, level in after.roles.items()
        for what, held in level.items()
        if held > _allowed(what, before.roles[role][what])
    ]
    return wrong + [
        f"{store} has {held} connections instead of {before.stores[store]}"
        for store, held in after.stores.items()
        if held > before.stores[store] + _MORE_AT_STORES
    ]


def _allowed(what: str, before: int) -> float:
    return before * _GROWTH if _MORE[what] == 0 else before + _MORE[what]


async def _held_by(pid: int, folder: Path) -> dict[str, int]:
    told = folder / f"{pid}.tasks"
    told.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)

    async def is_told() -> bool:
        return os.access(told, os.R_OK)

    await until(is_told, "the role tells its tasks")
    return _read(Path("/proc") / str(pid), int(told.read_text()))


def _read(process: Path, tasks: int) -> dict[str, int]:
    held = [str(one.readlink()) for one in (process / "fd").iterdir()]
    sockets = sum(one.startswith("socket:") for one in held)
    status = (process / "status").read_text("utf-8")
    memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return {
        "memory (KiB)": int(memory),
        "files": len(held) - sockets,
        "sockets": sockets,
        "tasks": tasks,
    }
