"""`sca reports quarterly`: from the tables, from the log, and from an export that lies on a disk."""

import asyncio
import csv
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from sca_service.exemptions.reports.fraud import FraudKind
from sca_service.exemptions.reports.quarter import Quarter, day_of
from sca_service.kernel.errors import ConfigurationError, InvalidInput
from sca_service.kernel.postgres import connect_postgres
from sca_service.reports_command import quarterly
from tests.exemption_office import ORIGIN, ExemptionOffice
from tests.harness import Deployment
from tests.ports import free_port


@pytest.fixture
def run(quiet_stores: Deployment) -> Callable[[Callable[[asyncpg.Pool], Awaitable[None]]], None]:
    """Run something on the stores before a command, which has an event loop of its own."""

    async def on_pool(act: Callable[[asyncpg.Pool], Awaitable[None]]) -> None:
        pool = await connect_postgres(quiet_stores.servers.postgres.url, most_connections=2)
        try:
            await act(pool)
        finally:
            await pool.close()

    return lambda act: asyncio.run(on_pool(act))


@pytest.fixture
def config(quiet_stores: Deployment) -> Path:
    """The configuration of a role on these stores."""
    return quiet_stores.config(free_port())


def test_all_ways_give_the_same_figures(
    quiet_stores: Deployment,
    run: Callable[[Callable[[asyncpg.Pool], Awaitable[None]]], None],
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kept, recomputed, and of an export; a tampered table ends with a fault."""
    told: dict[str, str] = {}
    export = tmp_path / "log.jsonl"

    async def pay(pool: asyncpg.Pool) -> None:
        office = ExemptionOffice(pool, quiet_stores.keyring)
        row = await office.paid("12.34")
        await office.paid("450.00")
        await office.figures.report(office.client, row.id, FraudKind.UNAUTHORISED, ORIGIN)
        told["client"] = office.client
        told["quarter"] = Quarter.of(day_of(office.clock.now_ms())).text
        export.write_text("\n".join(event.body for event in await office.events()) + "\n", "utf-8")

    async def tamper(pool: asyncpg.Pool) -> None:
        statement = "UPDATE payment_totals SET cents = cents - 1 WHERE client_id = $1 AND basis = '16'"
        await pool.execute(statement, told["client"])

    run(pay)
    report = partial(quarterly, client=told["client"], quarter=told["quarter"])
    texts = []
    for call in (
        partial(report, config=config),
        partial(report, config=config, from_log=True),
        partial(report, export=export),
    ):
        call()
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]
    rows = list(csv.DictReader(texts[0].splitlines()))
    assert [(row["basis"], row["value_eur"], row["fraud_value_eur"]) for row in rows[:3]] == [
        ("16", "12.34", "12.34"),
        ("none", "450.00", "0.00"),
        ("all", "462.34", "12.34"),
    ]
    page, table = tmp_path / "report.html", tmp_path / "report.csv"
    report(export=export, output=page)
    report(export=export, output=table)
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert table.read_text("utf-8").splitlines() == texts[0].splitlines()
    run(tamper)
    with pytest.raises(SystemExit, match="differs"):
        report(config=config, from_log=True)


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    """With a sentence, not a trace."""
    wrong = tmp_path / "wrong.jsonl"
    for text in ("not json\n", '{"no": "type"}\n', "[1]\n", '{"type":"payment.executed","client":"bank"}\n'):
        wrong.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match="is no export"):
            quarterly(quarter="2026Q4", client="bank", export=wrong)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        quarterly(quarter="2026Q4", client="bank", export=tmp_path / "missing.jsonl")


def test_neither_configuration_nor_export_is_a_mistake() -> None:
    """And so is what is no quarter."""
    with pytest.raises(InvalidInput):
        quarterly(quarter="2026Q4", client="bank")
    with pytest.raises(InvalidInput):
        quarterly(quarter="2026Q9", client="bank")
