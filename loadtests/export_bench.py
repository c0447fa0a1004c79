"""Events per second of an export, and its memory: `python -m loadtests.export_bench`.

Fills an embedded PostgreSQL with events like the service's, then streams them in every format as the api does, and
tells how much memory the process has at a tenth of the export and at its end. Bounded: it ends by itself.
"""

import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import uvloop
from cyclopts import run

from sca_service.audit.export.exporter import ExportedBy, Exporter
from sca_service.audit.export.model import ExportFilter, ExportFormat
from sca_service.audit.export.postgres_store import LeafStore, connect_reader
from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.postgres_store import copy_events
from sca_service.kernel.clock import SystemClock
from sca_service.migrations import migrate
from sca_service.sandbox.servers import start_servers

_AT_ONCE = 10_000
_AT_MS = 1_763_812_800_000
_PERSONAL = ("message_shown", "phone", "psu_id", "transaction")
_LEAVES = """
    INSERT INTO audit_leaves (index, event_id)
    SELECT row_number() OVER (ORDER BY txid, position) - 1, id FROM audit_events
"""
_NARROW = {"everything": ExportFilter(), "one type": ExportFilter(kind="challenge.issued")}


class Unrecorded:
    """The bench's own exports are on no record."""

    async def commit(self, _record: Record) -> bool:
        """Nothing."""
        return True


def bench(*, events: int = 300_000) -> None:
    """Fill a log with this many events and export it in each format."""
    with tempfile.TemporaryDirectory() as folder:
        servers = start_servers(Path(folder))
        try:
            migrate(servers.postgres.url)
            uvloop.run(_bench(servers.postgres.url, events))
        finally:
            servers.stop()


async def _bench(url: str, events: int) -> None:
    connection = await asyncpg.create_pool(url, min_size=1, max_size=1, command_timeout=600)
    async with connection, connection.acquire() as one:
        for begin in range(0, events, _AT_ONCE):
            async with one.transaction():
                await copy_events(one, list(_events(begin, min(begin + _AT_ONCE, events))))
        await one.execute(_LEAVES)
    pool = await connect_reader(url, most_connections=2)
    async with pool:
        exporter = Exporter(LeafStore(pool), Unrecorded(), SystemClock())
        for export_format in ExportFormat:
            for what, wanted in _NARROW.items():
                await _export(exporter, export_format, what, wanted, events)


async def _export(
    exporter: Exporter, export_format: ExportFormat, what: str, wanted: ExportFilter, events: int
) -> None:
    gc.collect()
    begun, written, resident = time.perf_counter(), 0, []
    async for chunk in exporter.stream(export_format, wanted, ExportedBy("operator")):
        written += len(chunk)
        resident.append(_resident_mib())
    seconds = time.perf_counter() - begun
    early = max(resident[: max(len(resident) // 10, 1)])
    print(
        f"{export_format:8} {what:11} {events / seconds:9.0f} events/s read  {written / seconds / 2**20:6.1f} MiB/s"
        f"  memory {early:.0f} MiB after a tenth, {max(resident):.0f} MiB at most"
    )


def _events(begin: int, end: int) -> Iterator[AuditEvent]:
    for number in range(begin, end):
        challenge = f"chl_{number // 5 * 2654435761 % 2**152:038x}"
        yield AuditEvent.create(
            event_id=f"evt_{number * 2654435761 % 2**128:032x}",
            kind=("challenge.issued", "delivery.attempted", "delivery.settled", "delivery.settled")[
                number % 4
            ],
            at_ms=_AT_MS + number,
            members={
                "client": "bank",
                "psu": f"{number // 50 * 2654435761 % 2**128:032x}",
                "challenge": challenge,
                "actor": "worker",
                "policy": "sha256:" + "0" * 64,
                "delivery": f"dlv_{challenge[4:]}01",
                "channel": "sms",
                "status": "delivered",
                "commitments": dict.fromkeys(
                    ("message_shown", "phone", "psu_id", "transaction"), "sha256:" + f"{number:064x}"
                ),
            },
        )


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    run(bench)
