"""Exports the log as it stood at one moment, chunk after chunk, as fast as the reader takes it and no faster.

Who exports what is on record before the first byte leaves.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sca_service.audit.export.model import ExportFilter, ExportFormat, Extent, LeafSource
from sca_service.audit.export.parquet import Parquet
from sca_service.audit.export.writers import CommaSeparated, JsonLines, LeafWriter
from sca_service.audit.model import AuditEvent, Record
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput, Mistake, StoreUnavailable, TooEarly
from sca_service.kernel.ids import new_id

_MOST_RUNNING = 4
_IDLE_SECONDS = 60.0
_RETRY_SECONDS = 10

_WRITERS: Mapping[ExportFormat, Callable[[], LeafWriter]] = {
    ExportFormat.JSONL: JsonLines,
    ExportFormat.CSV: CommaSeparated,
    ExportFormat.PARQUET: Parquet,
}


class EventRecord(Protocol):
    """Where it is put on record that somebody exports."""

    async def commit(self, record: Record) -> bool:
        """Durable when this returns. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class ExportedBy:
    """Who exports: the actor as events name it, and by API the client, its request and its certificate's members."""

    actor: str
    client: str | None = None
    request: str | None = None
    certificate: Mapping[str, str] = field(default_factory=dict)

    def event(self, export: "Export", at_ms: int) -> AuditEvent:
        """The event that says so. It names payers by pseudonym; a single one is found by it."""
        payers = export.wanted.payers
        named = {
            "client": self.client,
            "psu": payers[0] if payers and len(payers) == 1 else None,
            "request": self.request,
        }
        members = {
            **{name: value for name, value in named.items() if value is not None},
            "actor": self.actor,
            **self.certificate,
            "format": export.format,
            "filters": export.wanted.members,
            "size": export.extent.size,
        }
        return AuditEvent.create(event_id=new_id("evt"), kind="audit.exported", at_ms=at_ms, members=members)


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One export that may begin: its format, what is wanted, and what the log held when it was asked for."""

    format: ExportFormat
    wanted: ExportFilter
    extent: Extent
    writer: LeafWriter

    @property
    def file_name(self) -> str:
        """Tells how many leaves the log had: the size of the tree that it can be checked against."""
        return f"audit-log-{self.extent.size}.{self.format}"


class Exporter:
    """Opens exports and streams them. A class because it holds the source and which exports are running."""

    def __init__(
        self, source: LeafSource, record: EventRecord, clock: Clock, *, most_running: int = _MOST_RUNNING
    ) -> None:
        self._source = source
        self._record = record
        self._clock = clock
        self._most_running = most_running
        self._heard_at: dict[Export, float] = {}

    async def open(self, export_format: ExportFormat, wanted: ExportFilter, by: ExportedBy) -> Export:
        """Check what is wanted, fix the snapshot, and put on record who asked.

        Raises InvalidInput for a format that is not installed and for a filter that names what is not on record,
        TooEarly when enough exports are running, StoreUnavailable.
        """
        self._refuse_too_many()
        writer = _WRITERS[export_format]()
        if wanted.since and wanted.until and wanted.until <= wanted.since:
            raise InvalidInput.at("/to", "must be later than `from`")
        unknown = await self._source.unknown(wanted)
        if unknown:
            raise InvalidInput(*(Mistake(f"/{name}", "is not on record") for name in sorted(unknown)))
        export = Export(export_format, wanted, await self._source.extent(), writer)
        self._refuse_too_many()
        self._hear(export)
        try:
            await self._record.commit(Record((by.event(export, self._clock.now_ms()),)))
        except BaseException:
            del self._heard_at[export]
            raise
        return export

    async def chunks(self, export: Export) -> AsyncIterator[bytes]:
        """The bytes of the file. Encoding goes on in a thread, so that a process that serves others goes on with that.

        Raises StoreUnavailable when a store goes away, or when the reader was silent for a minute and another needed
        its place: the file then ends early, which its reader is told by HTTP.
        """
        extent = export.extent
        try:
            self._check_kept(export)
            yield export.writer.begin()
            while extent.first < extent.size:
                self._check_kept(export)
                leaves, next_index = await self._source.read(export.wanted, extent)
                if leaves:
                    part = await asyncio.to_thread(export.writer.rows, leaves)
                    if part:
                        yield part
                extent = extent._replace(first=next_index)
            yield await asyncio.to_thread(export.writer.end)
        finally:
            self._heard_at.pop(export, None)

    async def stream(
        self, export_format: ExportFormat, wanted: ExportFilter, by: ExportedBy
    ) -> AsyncIterator[bytes]:
        """Open an export and stream it. Raises what `open` and `chunks` do."""
        async for chunk in self.chunks(await self.open(export_format, wanted, by)):
            yield chunk

    def _refuse_too_many(self) -> None:
        oldest = asyncio.get_running_loop().time() - _IDLE_SECONDS
        for export in [one for one, heard_at in self._heard_at.items() if heard_at < oldest]:
            del self._heard_at[export]
        if len(self._heard_at) >= self._most_running:
            raise TooEarly(f"{self._most_running} exports are running", _RETRY_SECONDS)

    def _check_kept(self, export: Export) -> None:
        if export not in self._heard_at:
            raise StoreUnavailable("the export was given up: its reader had stopped")
        self._hear(export)

    def _hear(self, export: Export) -> None:
        self._heard_at[export] = asyncio.get_running_loop().time()
