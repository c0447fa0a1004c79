"""`sca reports quarterly`: the figures of RTS Art. 21, as they were kept or as the audit log alone gives them."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from sca_service.exemptions.reports.figures import QuarterlyReport, Recomputation, report_of
from sca_service.exemptions.reports.fraud import FraudFigures
from sca_service.exemptions.reports.postgres_store import FraudStore
from sca_service.exemptions.reports.quarter import Quarter
from sca_service.exemptions.reports.written import csv_text, page
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import ConfigurationError, InvalidInput
from sca_service.kernel.postgres import connect_postgres
from sca_service.policy.load import load
from sca_service.settings import Settings, read_settings

_STATEMENT_DEADLINE_SECONDS = 30.0

Config = Annotated[Path | None, Parameter(help="The configuration file (see sca_service/settings.py).")]


def quarterly(
    *,
    quarter: str,
    client: str,
    config: Config = None,
    from_log: bool = False,
    export: Path | None = None,
    output: Path | None = None,
) -> None:
    """Write a client's figures of a quarter: payments and fraud by authentication and by each exemption (RTS Art. 21).

    Parameters
    ----------
    quarter
        Such as 2026Q4; in UTC.
    client
        Whose payments: the client's id.
    from_log
        Recompute them from the audit log alone, and compare: exit status 1 when what was kept says otherwise.
    export
        Recompute them from a file that `sca audit export --format jsonl` wrote; needs no configuration.
    output
        The file: a page to print when it ends with .html, else CSV. CSV on standard output when left out.
    """
    wanted = Quarter.parse(quarter)
    if export is not None:
        report, kept = _of_export(export, client, wanted), None
    elif config is None:
        raise InvalidInput.at("/config", "is needed, or an export")
    else:
        report, kept = asyncio.run(_of_store(read_settings(config), client, wanted, from_log=from_log))
    text = page(report) if output is not None and output.suffix == ".html" else csv_text(report)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, "utf-8")
        print(output)
    if kept is not None and kept != report:
        sys.exit("sca: what was kept differs from what the audit log says")


async def _of_store(
    settings: Settings, client: str, quarter: Quarter, *, from_log: bool
) -> tuple[QuarterlyReport, QuarterlyReport | None]:
    """The report; recomputed from the log, also the one that was kept."""
    postgres = await connect_postgres(
        settings.postgres_url,
        most_connections=1,
        statement_deadline_seconds=_STATEMENT_DEADLINE_SECONDS,
    )
    try:
        figures = FraudFigures(
            policy=load(settings.policies).exemptions, store=FraudStore(postgres), clock=SystemClock()
        )
        kept = await figures.quarterly(client, quarter)
        if not from_log:
            return kept, None
        return await figures.quarterly_from_log(client, quarter), kept
    finally:
        await postgres.close()


def _of_export(export: Path, client: str, quarter: Quarter) -> QuarterlyReport:
    made = Recomputation(client, quarter.first, quarter.last)
    try:
        for leaf in _leaves(export):
            made.add(leaf)
    except OSError as error:
        raise ConfigurationError(f"{export} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{export} is no export of the audit log in JSON Lines") from error
    return report_of(client, quarter, made.sums)


def _leaves(export: Path) -> Iterator[dict[str, Any]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with export.open("rb") as file:
        for line in file:
            if line.strip():
                yield decode(line)
