"""`sca audit export`, `reconcile`: the log as a file, and whether it is complete."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter

from sca_service.api.audit_export import AuditExports, ExportOrder, export_order
from sca_service.api.requests import moment_of
from sca_service.audit.export.exporter import ExportedBy, Exporter
from sca_service.audit.export.model import ExportFormat
from sca_service.audit.export.postgres_store import LeafStore, connect_reader
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.reconcile.model import Counts, Span
from sca_service.challenges.reconcile.postgres_store import ReconcileStore
from sca_service.challenges.reconcile.reconcile import GRACE_SECONDS, Reconciler
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import ConfigurationError, InvalidInput
from sca_service.kernel.postgres import connect_postgres
from sca_service.settings import Settings, read_settings

_BY_OPERATOR = ExportedBy("operator")

Config = Annotated[Path, Parameter(help="The configuration file (see sca_service/settings.py).")]
ExportFormatOption = Annotated[ExportFormat, Parameter(name="--format")]
Since = Annotated[str | None, Parameter(name="--from", help="RFC 3339, inclusive.")]
Until = Annotated[str | None, Parameter(name="--to", help="RFC 3339, exclusive.")]
Kind = Annotated[str | None, Parameter(name="--type", help="Such as challenge.answered.")]


def export(  # noqa: PLR0913 - one option for each filter of the contract
    *,
    export_format: ExportFormatOption,
    config: Config,
    since: Since = None,
    until: Until = None,
    psu: str | None = None,
    challenge: str | None = None,
    kind: Kind = None,
    client: str | None = None,
    output: Path | None = None,
) -> None:
    """Write the audit log to a file or to standard output. The export is on record before its first byte.

    Parameters
    ----------
    export_format
        jsonl has each canonical leaf to the byte; csv and parquet have columns.
    psu
        A payer's pseudonym, or a client's own reference of the payer.
    challenge
        One challenge only.
    client
        One client's events only.
    output
        A new file that only its owner can read; standard output when left out.
    """
    settings = read_settings(config)
    order = export_order(psu=psu, challenge=challenge, kind=kind, client=client, since=since, until=until)
    if output is None:
        asyncio.run(_export(settings, export_format, order, sys.stdout.buffer))
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be made: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            asyncio.run(_export(settings, export_format, order, file))
    except BaseException:
        output.unlink(missing_ok=True)  # half an export looks like a whole one
        raise


def reconcile(
    *, config: Config, since: Since = None, until: Until = None, grace: int = GRACE_SECONDS
) -> None:
    """Compare challenges, deliveries, answers and personal values with the log, both ways. Exit status 1 if one is off.

    Parameters
    ----------
    grace
        What was touched less than so many seconds ago is not judged: it may be on its way to the record.
    """
    settings = read_settings(config)
    if grace < 0:
        raise InvalidInput.at("/grace", "must not be negative")
    span = Span(
        None if since is None else moment_of(since, "/from"),
        None if until is None else moment_of(until, "/to"),
    )
    counts = asyncio.run(_reconcile(settings, span, grace))
    print(summary(counts))
    if not counts.is_whole:
        sys.exit(1)


def summary(counts: Counts) -> str:
    """How much was compared, and what came of it."""
    compared = (
        f"Compared {counts.challenges} challenges ({counts.challenges - counts.judged} of them not judged: "
        f"in motion, or their beginning is pruned), {counts.deliveries} deliveries, {counts.acceptances} acceptances, "
        f"{counts.events} events, {counts.leaves} leaves, personal values of {counts.private_values} events."
    )
    off = [f"{times} {fault}" for fault, times in counts.faults.items() if times]
    return f"{compared}\n" + (f"Off: {', '.join(off)}." if off else "Nothing is missing, nothing is doubled.")


async def _export(
    settings: Settings, export_format: ExportFormat, order: ExportOrder, file: BinaryIO
) -> None:
    async with AsyncExitStack() as stack:
        postgres = await connect_postgres(settings.postgres_url, most_connections=1)
        stack.push_async_callback(postgres.close)
        reader = await connect_reader(settings.postgres_url, most_connections=1)
        stack.push_async_callback(reader.close)
        vault = Vault(postgres, settings.keyring)
        writer = AuditWriter(postgres, ChallengeArchive(postgres), vault)
        store = LeafStore(reader)
        exports = AuditExports(Exporter(store, writer, SystemClock()), store, settings.keyring)
        opened = await exports.open(export_format, order, _BY_OPERATOR)
        await _write(exports.exporter.chunks(opened), file)


async def _write(chunks: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for chunk in chunks:
        await asyncio.to_thread(file.write, chunk)
    await asyncio.to_thread(file.flush)


async def _reconcile(settings: Settings, span: Span, grace: int) -> Counts:
    async with AsyncExitStack() as stack:
        reader = await connect_reader(settings.postgres_url, most_connections=2)
        stack.push_async_callback(reader.close)
        reconciler = Reconciler(
            ReconcileStore(reader),
            Vault(reader, settings.keyring),
            SystemClock(),
            span=span,
            grace_seconds=grace,
        )
        async for finding in reconciler.findings():
            print(f"{finding.fault:12}  {finding.subject}  {finding.detail}", flush=True)
        return reconciler.counts
