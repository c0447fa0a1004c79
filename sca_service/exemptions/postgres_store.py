"""Assessments and counters in PostgreSQL: everything about one payer happens under the payer's lock, one after another.

A counter is no number of its own but the sum of the rows that are `counted`: a place that is reserved, and the payment
that was executed, are the same row before and after, so nothing is counted twice and nothing is lost in between. A
place is given up by a change of state under the lock, never by a clock that two might read differently.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg

from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.exemptions.events import assessed_event, cancelled_event, executed_event
from sca_service.exemptions.model import (
    Article,
    Assessment,
    Context,
    Counter,
    History,
    PaymentFacts,
    PaymentType,
    Risk,
    Series,
)
from sca_service.exemptions.reports.quarter import day_of
from sca_service.exemptions.rows import (
    LOW_VALUE_COUNTER,
    SCA,
    AssessmentRow,
    AssessmentState,
    Named,
    NewAssessment,
    Occurrence,
    basis_of,
    contactless_counter,
    counter_of,
)
from sca_service.exemptions.told import Told, pack, unpack
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Amount
from sca_service.kernel.postgres import in_time

# The lock that authenticators and erasures take too (authenticators/postgres_store.py).
_LOCK_PAYER = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"

_ONE = "SELECT * FROM exemption_assessments WHERE id = $1 AND client_id = $2"

# What was not executed in time gives up its place.
_LAPSE = """
    UPDATE exemption_assessments SET state = 'lapsed', counted = false
    WHERE psu = $1 AND counted AND state = 'open' AND expires_at <= clock_timestamp()
"""
_LAPSE_ONE = """
    UPDATE exemption_assessments SET state = 'lapsed'
    WHERE id = $1 AND state = 'open' AND expires_at <= clock_timestamp()
"""
_COUNTER = """
    SELECT COALESCE(sum(cents), 0) AS cents, count(*) AS count FROM exemption_assessments
    WHERE psu = $1 AND counter = $2 AND counted
"""
_TRUSTED = "SELECT payee FROM trusted_beneficiaries WHERE psu = $1 AND removed_at IS NULL AND payee = ANY($2::text[])"
_SERIES = "SELECT currency, minor, payee FROM exemption_series WHERE psu = $1 AND series = $2"
_ACCESSED = "SELECT authenticated_at FROM exemption_accesses WHERE psu = $1 AND aisp = $2"

_ADD = """
    INSERT INTO exemption_assessments (
        id, client_id, psu, exempt, article, told, payment_type, context, currency, minor, cents, payee, instrument,
        series, payee_subject, transaction, aisp, counter, counted, expires_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            clock_timestamp() + $20::int * interval '1 second')
    RETURNING *
"""
_EXECUTE = """
    UPDATE exemption_assessments
    SET state = 'executed', basis = $2, counted = $3, authenticated_by = $4, executed_on = $5,
        executed_at = clock_timestamp()
    WHERE id = $1 AND state <> 'executed'
    RETURNING *
"""
_CANCEL = """
    UPDATE exemption_assessments SET state = 'cancelled', counted = false
    WHERE id = $1 AND state IN ('open', 'lapsed')
    RETURNING *
"""

# Two elements, for this client's payer and for this purpose; not one of long ago. And when it was accepted.
_AUTHENTICATED = """
    SELECT acceptance.at FROM acceptances AS acceptance
    JOIN audit_events AS issued ON issued.challenge_id = acceptance.challenge_id AND issued.type = 'challenge.issued'
    WHERE acceptance.challenge_id = $1 AND issued.client_id = $2 AND issued.psu = $3
      AND issued.body::jsonb->'sca' = 'true' AND issued.body::jsonb->>'purpose' = ANY($4::text[])
      AND acceptance.at >= $5
"""

# What was executed before the authentication counts no more; what is reserved still does.
_RESET = """
    UPDATE exemption_assessments SET counted = false
    WHERE psu = $1 AND counter = ANY($2::text[]) AND counted AND state = 'executed' AND executed_at <= $3
"""
_SET_SERIES = """
    INSERT INTO exemption_series (psu, series, currency, minor, payee) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (psu, series) DO UPDATE SET currency = $3, minor = $4, payee = $5
"""
_SET_ACCESS = """
    INSERT INTO exemption_accesses AS known (psu, aisp, authenticated_at) VALUES ($1, $2, $3)
    ON CONFLICT (psu, aisp) DO UPDATE SET authenticated_at = GREATEST(known.authenticated_at, $3)
"""
_ADD_TO_TOTAL = """
    INSERT INTO payment_totals AS total (client_id, payment_type, context, day, basis, slot, payments, cents)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (client_id, payment_type, context, day, basis, slot)
    DO UPDATE SET payments = total.payments + EXCLUDED.payments, cents = total.cents + EXCLUDED.cents
"""

SLOTS = 16
_FRESH = timedelta(minutes=5)
"""RTS Art. 4(3)(d): so long after an authentication it may still be used."""
_PAYMENT = ["payment"]
_ACCESS = ["login", "account_access"]

Decide = Callable[[History], Assessment]
HasRoom = Callable[[AssessmentRow, Counter], bool]


class AssessmentStore:
    """The assessments, and what hangs on them. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def assess(self, new: NewAssessment, decide: Decide, occurrence: Occurrence) -> AssessmentRow:
        """Assess a case and reserve what it needs; the same id again is the assessment from before.

        Raises StoreUnavailable.
        """
        return await in_time(self._assess(new, decide, occurrence))

    async def executed(
        self,
        assessment_id: str,
        client: str,
        named: Named | None,
        has_room: HasRoom,
        occurrence: Occurrence,
    ) -> AssessmentRow | None:
        """Count what was executed, once; again is as once. None when the client has no such assessment.

        `named` is the authentication that it rests on. Raises InvalidInput at `/challenge` when that is none for this
        payer, purpose and transaction, or was named for another; StoreUnavailable.
        """
        try:
            return await in_time(self._executed(assessment_id, client, named, has_room, occurrence))
        except asyncpg.UniqueViolationError as error:
            raise InvalidInput.at("/challenge", "was named for another assessment") from error

    async def cancel(self, assessment_id: str, client: str, occurrence: Occurrence) -> AssessmentRow | None:
        """Give up what an assessment has reserved; one that was executed stays so. None when there is none.

        Raises StoreUnavailable.
        """
        return await in_time(self._cancel(assessment_id, client, occurrence))

    async def get(self, assessment_id: str, client: str) -> AssessmentRow | None:
        """An assessment of this client's, or None. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, assessment_id, client))
        return _row(found) if found else None

    async def _assess(self, new: NewAssessment, decide: Decide, occurrence: Occurrence) -> AssessmentRow:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, new.psu)
            before = await connection.fetchrow(_ONE, new.id, new.client)
            if before:
                return _row(before)
            await connection.execute(_LAPSE, new.psu)
            assessment = decide(await _history(connection, new))
            added = await _written(connection, _ADD, *_columns(new, assessment))
            await insert_events(connection, [assessed_event(added, new.facts, occurrence)])
            return added

    async def _executed(
        self,
        assessment_id: str,
        client: str,
        named: Named | None,
        has_room: HasRoom,
        occurrence: Occurrence,
    ) -> AssessmentRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            row = await locked_assessment(connection, assessment_id, client)
            if row is None or row.state is AssessmentState.EXECUTED:
                return row
            if row.assessment.article is Article.RISK_ANALYSIS:
                await connection.execute(_LAPSE_ONE, row.id)
                row = await _written(connection, _ONE, assessment_id, client)
            authenticated_at = await _authenticated_at(connection, row, named)
            counter = await _counter(connection, row.psu, row.counter) if row.counter else Counter()
            basis = basis_of(
                row, is_authenticated=authenticated_at is not None, has_room=has_room(row, counter)
            )
            counted = row.counter is not None and basis != SCA
            day = day_of(occurrence.at_ms)
            authenticated_by = named.challenge if named else None
            row = await _written(connection, _EXECUTE, row.id, basis, counted, authenticated_by, day)
            if authenticated_at is not None:
                await _authenticated(connection, row, authenticated_at)
            await insert_events(connection, [executed_event(row, occurrence)])
            if row.is_payment:
                slot = int(row.psu[:2], 16) % SLOTS
                await connection.execute(
                    _ADD_TO_TOTAL,
                    *(row.client, row.payment_type, row.context, day, basis, slot, row.payments),
                    Decimal(row.cents or 0),
                )
            return row

    async def _cancel(self, assessment_id: str, client: str, occurrence: Occurrence) -> AssessmentRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            row = await locked_assessment(connection, assessment_id, client)
            if row is None:
                return None
            cancelled = await connection.fetchrow(_CANCEL, row.id)
            if cancelled is None:
                return row
            await insert_events(connection, [cancelled_event(row, occurrence)])
            return _row(cancelled)


async def locked_assessment(connection: Connection, assessment_id: str, client: str) -> AssessmentRow | None:
    """An assessment, read after the lock of its payer was taken; by then it may be too old, and gone."""
    found = await connection.fetchrow(_ONE, assessment_id, client)
    if found is None:
        return None
    await connection.execute(_LOCK_PAYER, found["psu"])
    locked = await connection.fetchrow(_ONE, assessment_id, client)
    return _row(locked) if locked else None


async def _written(connection: Connection, statement: str, *arguments: object) -> AssessmentRow:
    """The one row that a statement gives."""
    (found,) = await connection.fetch(statement, *arguments)
    return _row(found)


async def _history(connection: Connection, new: NewAssessment) -> History:
    facts = new.facts
    if facts.access is not None:
        accessed = await connection.fetchval(_ACCESSED, new.psu, facts.access.aisp or "")
        return History(authenticated_at_ms=_ms(accessed) if accessed else None)
    payment = facts.payment
    if payment is None:
        return History()
    trusted = await connection.fetch(_TRUSTED, new.psu, [payee for payee in payment.payees if payee])
    instrument = payment.instrument
    return History(
        contactless=await _counter(connection, new.psu, contactless_counter(instrument))
        if instrument
        else Counter(),
        low_value=await _counter(connection, new.psu, LOW_VALUE_COUNTER),
        trusted=frozenset(row["payee"] for row in trusted),
        series=await _series(connection, new.psu, payment.series) if payment.series else None,
    )


async def _counter(connection: Connection, psu: str, name: str) -> Counter:
    found = await connection.fetchrow(_COUNTER, psu, name)
    return Counter(int(found["cents"]), found["count"]) if found else Counter()


async def _series(connection: Connection, psu: str, series: str) -> Series | None:
    found = await connection.fetchrow(_SERIES, psu, series)
    return Series(Amount(found["currency"], int(found["minor"])), found["payee"]) if found else None


async def _authenticated_at(
    connection: Connection, row: AssessmentRow, named: Named | None
) -> datetime | None:
    """When the challenge was approved.

    Raises InvalidInput when it is none of this payer's with two elements, or was approved for another transaction: to
    that one the payer has agreed, not to this (RTS Art. 5(1)).
    """
    if named is None:
        return None
    if row.transaction is not None and row.transaction != named.transaction:
        raise InvalidInput.at(
            "/challenge",
            "must be a challenge for this transaction, as it was assessed: to the letter, its reference too",
        )
    purposes = _PAYMENT if row.is_payment else _ACCESS
    at: datetime | None = await connection.fetchval(
        _AUTHENTICATED, named.challenge, row.client, row.psu, purposes, row.created_at - _FRESH
    )
    if at is None:
        raise InvalidInput.at(
            "/challenge",
            f"must be a challenge of this payer for {' or '.join(purposes)}, approved with two elements, at the "
            "earliest five minutes before the assessment",
        )
    return at


async def _authenticated(connection: Connection, row: AssessmentRow, at: datetime) -> None:
    """What an authentication sets back, and what it stands for from then on."""
    if not row.is_payment:
        await connection.execute(_SET_ACCESS, row.psu, row.aisp or "", at)
        return
    counters = [LOW_VALUE_COUNTER, *([contactless_counter(row.instrument)] if row.instrument else [])]
    await connection.execute(_RESET, row.psu, counters, at)
    if row.series and row.payee and row.amount:
        minor = Decimal(row.amount.minor)
        await connection.execute(_SET_SERIES, row.psu, row.series, row.amount.currency, minor, row.payee)


def _columns(new: NewAssessment, assessment: Assessment) -> tuple[object, ...]:
    payment, access = new.facts.payment, new.facts.access
    counter = counter_of(assessment.article, payment)
    aisp = (access.aisp or "") if access else None
    risk, payments = (payment.risk, len(payment.payees)) if payment else (Risk(), 1)
    told = pack(Told(assessment, risk, new.policy, payments))
    return (
        *(new.id, new.client, new.psu, assessment.exempt, assessment.article, told),
        *(_payment_columns(payment) if payment else (None,) * 9),
        *(new.transaction, aisp, counter, counter is not None, new.open_seconds),
    )


def _payment_columns(payment: PaymentFacts) -> tuple[object, ...]:
    amount = payment.amount
    payee = payment.payees[0] if len(payment.payees) == 1 else None
    return (
        *(payment.type, payment.context, amount.currency, Decimal(amount.minor), Decimal(payment.cents)),
        *(payee, payment.instrument, payment.series, payment.payee_subject),
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _row(found: asyncpg.Record) -> AssessmentRow:
    told = unpack(found["told"], exempt=found["exempt"], article=found["article"])
    kind, context, minor, cents = (found[name] for name in ("payment_type", "context", "minor", "cents"))
    return AssessmentRow(
        id=found["id"],
        client=found["client_id"],
        psu=found["psu"],
        state=AssessmentState(found["state"]),
        assessment=told.assessment,
        risk=told.risk,
        policy=told.policy,
        payment_type=PaymentType(kind) if kind else None,
        context=Context(context) if context else None,
        amount=None if minor is None else Amount(found["currency"], int(minor)),
        cents=None if cents is None else int(cents),
        payee=found["payee"],
        instrument=found["instrument"],
        series=found["series"],
        aisp=found["aisp"],
        counter=found["counter"],
        counted=found["counted"],
        basis=found["basis"],
        authenticated_by=found["authenticated_by"],
        created_at=found["created_at"],
        expires_at=found["expires_at"],
        executed_on=found["executed_on"],
        payments=told.payments,
        transaction=found["transaction"],
        payee_subject=found["payee_subject"],
    )
