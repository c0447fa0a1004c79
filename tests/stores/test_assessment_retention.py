"""Assessments go when the policy's days are over: never one that counts, and never under somebody's hands."""

import asyncio

import asyncpg
import pytest

from sca_service.audit.log.housekeeping import Household
from sca_service.exemptions.reports.fraud import FraudKind
from sca_service.exemptions.reports.quarter import Quarter, day_of
from sca_service.exemptions.retention.postgres_store import AssessmentRetention
from sca_service.exemptions.rows import AssessmentRow
from sca_service.kernel.keyring import Keyring
from tests.exemption_office import ORIGIN, POLICY, ExemptionOffice

UNEXECUTED, EXECUTED = POLICY.exemptions.unexecuted_days, POLICY.exemptions.executed_days


@pytest.fixture
def office(pool: asyncpg.Pool, keyring: Keyring) -> ExemptionOffice:
    """A client and a payer nobody else has."""
    return ExemptionOffice(pool, keyring)


async def age(office: ExemptionOffice, row: AssessmentRow, days: int) -> None:
    """Let everything about an assessment be so many days older."""
    statement = """
        UPDATE exemption_assessments SET created_at = created_at - $2::int * interval '1 day',
            expires_at = expires_at - $2::int * interval '1 day', executed_at = executed_at - $2::int * interval '1 day'
        WHERE id = $1
    """
    await office.pool.execute(statement, row.id, days)


async def tidy(office: ExemptionOffice) -> None:
    """Keep house until there is nothing to do."""
    async with office.pool.acquire() as connection:
        while await Household(AssessmentRetention(POLICY.exemptions)).tidy(connection):
            pass


async def left(office: ExemptionOffice) -> set[str]:
    """The payer's assessments."""
    rows = await office.pool.fetch("SELECT id FROM exemption_assessments WHERE psu = $1", office.psu)
    return {row["id"] for row in rows}


async def test_what_was_never_executed_goes_first(office: ExemptionOffice) -> None:
    """A day before its time it stays; its place in the counter goes with it."""
    rows = [await office.assess("25.00") for _ in range(4)]
    await age(office, rows[0], UNEXECUTED - 1)
    await age(office, rows[1], UNEXECUTED + 1)
    await office.cancel(rows[2])
    await age(office, rows[2], UNEXECUTED + 1)
    await tidy(office)
    assert await left(office) == {rows[0].id, rows[3].id}


async def test_what_was_executed_stays_longer_and_takes_its_report_with_it(office: ExemptionOffice) -> None:
    """The figures of its quarter stay, and those of the log are the same."""
    rows = [await office.sca("70.00") for _ in range(3)]
    report = await office.figures.report(office.client, rows[1].id, FraudKind.UNAUTHORISED, ORIGIN)
    quarter = Quarter.of(day_of(office.clock.now_ms()))
    before = await office.figures.quarterly(office.client, quarter)
    await age(office, rows[0], EXECUTED - 1)
    await age(office, rows[1], EXECUTED + 1)
    await tidy(office)
    assert await left(office) == {rows[0].id, rows[2].id}
    assert await office.pool.fetchval("SELECT count(*) FROM fraud_reports WHERE id = $1", report.id) == 0
    assert await office.figures.quarterly(office.client, quarter) == before
    assert await office.figures.quarterly_from_log(office.client, quarter) == before


async def test_what_counts_is_never_too_old(office: ExemptionOffice) -> None:
    """RTS Art. 16: since the last authentication, however long ago that was."""
    rows = [await office.paid("25.00") for _ in range(4)]
    for row in rows:
        await age(office, row, 10 * EXECUTED)
    await tidy(office)
    assert await left(office) == {row.id for row in rows}
    assert not (await office.assess("25.00")).assessment.exempt
    await office.sca("40.00")
    await tidy(office)
    assert not await left(office) & {row.id for row in rows}


async def test_nothing_goes_under_the_hands_of_who_reports_it(office: ExemptionOffice) -> None:
    """An old one is executed while house is kept: it is executed or gone, and never half."""
    for _ in range(5):
        row = await office.assess("1.00")
        await age(office, row, UNEXECUTED + 1)
        told, _ = await asyncio.gather(office.executed(row), tidy(office), return_exceptions=True)
        if isinstance(told, BaseException):
            assert type(told).__name__ == "NotFound"
            assert row.id not in await left(office)
        else:
            assert row.id in await left(office)
