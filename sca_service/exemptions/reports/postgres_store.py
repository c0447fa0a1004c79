"""Fraud reports and the totals of payments in PostgreSQL, and the leaves that tell the same."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec

from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.exemptions.events import (
    EXECUTED,
    FRAUD_REPORTED,
    FRAUD_WITHDRAWN,
    fraud_event,
    withdrawn_event,
)
from sca_service.exemptions.model import Context, PaymentType
from sca_service.exemptions.postgres_store import SLOTS, locked_assessment
from sca_service.exemptions.reports.figures import Key, Sums, is_remote
from sca_service.exemptions.reports.fraud_rate import FraudRate
from sca_service.exemptions.rows import AssessmentRow, AssessmentState, Occurrence
from sca_service.kernel.postgres import in_time
from sca_service.risk.model import MarkedKind, Standing
from sca_service.risk.postgres_store import put_reports

_ADD = """
    INSERT INTO fraud_reports (id, client_id, assessment, kind) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING id
"""
# Under this id, or the one that counts.
_KEPT = """
    SELECT * FROM fraud_reports WHERE assessment = $1 AND (id = $2 OR withdrawn_at IS NULL)
    ORDER BY id = $2 DESC LIMIT 1
"""
_ONE = "SELECT * FROM fraud_reports WHERE id = $1 AND client_id = $2"
_WITHDRAW = """
    UPDATE fraud_reports SET withdrawn_at = clock_timestamp(), withdrawn_for = $2
    WHERE id = $1 AND withdrawn_at IS NULL RETURNING *
"""

# Behind the payer's lock: two who report one payee at once count each other.
_LOCK_PAYEE = "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))"

# Of a payer each report counts, of a payee each payer who lost money to it.
_ON_PAYER = """
    SELECT count(*) AS reports, max(report.reported_at) + $2::int * interval '1 day' AS until
    FROM fraud_reports AS report JOIN exemption_assessments AS payment ON payment.id = report.assessment
    WHERE payment.psu = $1 AND report.withdrawn_at IS NULL
      AND report.reported_at > clock_timestamp() - $2::int * interval '1 day'
"""
_ON_PAYEE = """
    SELECT count(DISTINCT payment.psu) AS reports, max(report.reported_at) + $2::int * interval '1 day' AS until
    FROM fraud_reports AS report JOIN exemption_assessments AS payment ON payment.id = report.assessment
    WHERE payment.payee_subject = $1 AND report.withdrawn_at IS NULL
      AND report.reported_at > clock_timestamp() - $2::int * interval '1 day'
"""

# On the day on which the payment was executed: its value is in the total of that day.
_ADD_TO_TOTAL = """
    INSERT INTO payment_totals AS total
        (client_id, payment_type, context, day, basis, slot, fraud_payments, fraud_cents)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (client_id, payment_type, context, day, basis, slot)
    DO UPDATE SET fraud_payments = total.fraud_payments + EXCLUDED.fraud_payments,
        fraud_cents = total.fraud_cents + EXCLUDED.fraud_cents
"""

_FIRST_DAY = """
    SELECT min(day) FROM payment_totals
    WHERE client_id = $1 AND payment_type = $2 AND context = 'remote' AND basis <> 'none' AND payments > 0
"""
# Out of those that were authenticated or exempt (RTS Art. 19(1)): one that was neither must not make the rate look
# lower. Its fraud counts all the same.
_ROLLING = """
    SELECT COALESCE(sum(fraud_cents), 0) AS fraud,
           COALESCE(sum(cents) FILTER (WHERE basis <> 'none'), 0) AS total
    FROM payment_totals
    WHERE client_id = $1 AND payment_type = $2 AND context = 'remote' AND day BETWEEN $3 AND $4
"""
_QUARTERS = """
    SELECT date_trunc('quarter', day)::date AS quarter, sum(fraud_cents) AS fraud,
           COALESCE(sum(cents) FILTER (WHERE basis <> 'none'), 0) AS total
    FROM payment_totals
    WHERE client_id = $1 AND payment_type = $2 AND context = 'remote' AND day < $3
    GROUP BY 1 ORDER BY 1
"""
_SUMS = """
    SELECT payment_type, context, basis, sum(payments)::bigint AS payments, sum(cents) AS cents,
           sum(fraud_payments)::bigint AS fraud_payments, sum(fraud_cents) AS fraud_cents
    FROM payment_totals WHERE client_id = $1 AND day BETWEEN $2 AND $3
    GROUP BY payment_type, context, basis
"""

# One type after the other, each in the order of the log, a portion at a time.
_LEAVES = """
    SELECT body, txid::text AS txid, position FROM audit_events
    WHERE type = $1 AND client_id = $2 AND (txid, position) > ($3::text::xid8, $4)
    ORDER BY txid, position LIMIT $5
"""
_LEAVES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class NewReport:
    """A payment that turned out to be fraudulent; it speaks against payer and payee for so many days."""

    id: str
    client: str
    assessment: str
    kind: str
    days: int


@dataclass(frozen=True, slots=True)
class FraudReportRow:
    """A report as it is stored: its id, the payment's assessment, what it was, and why it counts no more.

    `standings` is how payer and payee stand now, where this changed it.
    """

    id: str
    assessment: str
    kind: str
    reported_at: datetime
    withdrawn_for: str | None = None
    standings: tuple[Standing, ...] = field(default=(), compare=False)


class FraudStore:
    """The tables `fraud_reports` and `payment_totals`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def report(self, new: NewReport, occurrence: Occurrence) -> FraudReportRow | None:
        """Count an executed payment as fraudulent, once; again is as once. None for one that was not executed.

        Raises StoreUnavailable.
        """
        return await in_time(self._report(new, occurrence))

    async def withdraw(
        self, report: str, client: str, reason: str, days: int, occurrence: Occurrence
    ) -> FraudReportRow | None:
        """Let a report count no more; again is as once. None when the client has none. Raises StoreUnavailable."""
        return await in_time(self._withdraw(report, client, reason, days, occurrence))

    async def get(self, report: str, client: str) -> FraudReportRow | None:
        """A report of this client's, or None. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, report, client))
        return _row(found) if found else None

    async def first_day(self, client: str, kind: PaymentType) -> date | None:
        """The first day with remote payments of a type on record, or None. Raises StoreUnavailable."""
        first: date | None = await in_time(self._pool.fetchval(_FIRST_DAY, client, kind))
        return first

    async def rate(self, client: str, kind: PaymentType, first: date, last: date) -> FraudRate:
        """The rate of remote payments of a type from one day to another, both counting. Raises StoreUnavailable."""
        (found,) = await in_time(self._pool.fetch(_ROLLING, client, kind, first, last))
        return FraudRate(int(found["fraud"]), int(found["total"]))

    async def quarterly_rates(self, client: str, kind: PaymentType, before: date) -> Sequence[FraudRate]:
        """The rates of all quarters that have ended before a day, in their order. Raises StoreUnavailable."""
        rows = await in_time(self._pool.fetch(_QUARTERS, client, kind, before))
        return [FraudRate(int(row["fraud"]), int(row["total"])) for row in rows]

    async def sums(self, client: str, first: date, last: date) -> dict[Key, Sums]:
        """What was executed from one day to another, both counting. Raises StoreUnavailable."""
        sums: dict[Key, Sums] = {}
        for row in await in_time(self._pool.fetch(_SUMS, client, first, last)):
            key = Key(PaymentType(row["payment_type"]), is_remote(Context(row["context"])), row["basis"])
            sums[key] = sums.get(key, Sums()).plus(
                Sums(row["payments"], int(row["cents"]), row["fraud_payments"], int(row["fraud_cents"]))
            )
        return sums

    async def leaves(self, client: str) -> AsyncIterator[dict[str, Any]]:
        """The events that figures are made of, as the log has them. Raises StoreUnavailable."""
        for kind in (EXECUTED, FRAUD_REPORTED, FRAUD_WITHDRAWN):
            txid, position = "0", 0
            while True:
                rows = await in_time(self._pool.fetch(_LEAVES, kind, client, txid, position, _LEAVES_AT_ONCE))
                for row in rows:
                    yield msgspec.json.decode(row["body"])
                if len(rows) < _LEAVES_AT_ONCE:
                    break
                txid, position = rows[-1]["txid"], rows[-1]["position"]

    async def _report(self, new: NewReport, occurrence: Occurrence) -> FraudReportRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            row = await locked_assessment(connection, new.assessment, new.client)
            if row is None or row.state is not AssessmentState.EXECUTED or not row.is_payment:
                return None
            added = await connection.fetchval(_ADD, new.id, new.client, new.assessment, new.kind)
            standings: tuple[Standing, ...] = ()
            if added is not None:
                await connection.execute(_ADD_TO_TOTAL, *_columns(row))
                await insert_events(connection, [fraud_event(row, new.id, new.kind, occurrence)])
                standings = await _standings(connection, row, new.days)
            (kept,) = await connection.fetch(_KEPT, new.assessment, new.id)
            return _row(kept, standings)

    async def _withdraw(
        self, report: str, client: str, reason: str, days: int, occurrence: Occurrence
    ) -> FraudReportRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_ONE, report, client)
            payment = await locked_assessment(connection, found["assessment"], client) if found else None
            if payment is None:
                return None
            withdrawn = await connection.fetchrow(_WITHDRAW, report, reason)
            if withdrawn is None:
                (kept,) = await connection.fetch(_ONE, report, client)
                return _row(kept)
            await connection.execute(_ADD_TO_TOTAL, *_columns(payment, sign=-1))
            await insert_events(
                connection, [withdrawn_event(payment, report, withdrawn["kind"], reason, occurrence)]
            )
            return _row(withdrawn, await _standings(connection, payment, days))


async def _standings(connection: Connection, payment: AssessmentRow, days: int) -> tuple[Standing, ...]:
    """How the payer and the payee of a payment stand after a change, put down. The payer's lock is held."""
    wanted = [(MarkedKind.PAYER, payment.psu, _ON_PAYER)]
    if payment.payee_subject is not None:
        await connection.execute(_LOCK_PAYEE, payment.payee_subject)
        wanted.append((MarkedKind.PAYEE, payment.payee_subject, _ON_PAYEE))
    standings = []
    for kind, subject, statement in wanted:
        (counted,) = await connection.fetch(statement, subject, days)
        standings.append(
            await put_reports(
                connection,
                payment.client,
                kind,
                subject,
                reports=counted["reports"],
                until=counted["until"],
            )
        )
    return tuple(standings)


def _row(found: asyncpg.Record, standings: tuple[Standing, ...] = ()) -> FraudReportRow:
    return FraudReportRow(
        found["id"],
        found["assessment"],
        found["kind"],
        found["reported_at"],
        found["withdrawn_for"],
        standings,
    )


def _columns(row: AssessmentRow, *, sign: int = 1) -> tuple[object, ...]:
    slot = int(row.psu[:2], 16) % SLOTS
    cents = sign * Decimal(row.cents or 0)
    day = row.executed_on
    return (row.client, row.payment_type, row.context, day, row.basis, slot, sign * row.payments, cents)
