"""Trusted beneficiaries in PostgreSQL: a list changes with an approval, and each approval changes it once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.exemptions.rows import Occurrence
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time

# The lock that assessments, authenticators and erasures take too.
_LOCK_PAYER = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"

_USE = """
    INSERT INTO beneficiary_authorisations (approval, psu) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING approval
"""
_ADD = """
    INSERT INTO trusted_beneficiaries (id, client_id, psu, payee, sealed)
    SELECT $1, $2, $3, $4, $5
    WHERE (SELECT count(*) FROM trusted_beneficiaries WHERE psu = $3 AND removed_at IS NULL) < $6
    ON CONFLICT DO NOTHING
    RETURNING *
"""
_REMOVE = """
    UPDATE trusted_beneficiaries SET removed_at = clock_timestamp(), sealed = ''
    WHERE id = $1 AND psu = $2 AND removed_at IS NULL
    RETURNING *
"""
_ONE = "SELECT * FROM trusted_beneficiaries WHERE id = $1 AND psu = $2"
_SAME = "SELECT * FROM trusted_beneficiaries WHERE psu = $1 AND payee = $2 AND removed_at IS NULL"
_OF = "SELECT * FROM trusted_beneficiaries WHERE psu = $1 AND removed_at IS NULL ORDER BY added_at, id"


@dataclass(frozen=True, slots=True)
class BeneficiaryRow:
    """A beneficiary as it is stored: `payee` is a pseudonym; `sealed` is sealed for the record `id`."""

    id: str
    client: str
    psu: str
    payee: str
    sealed: str = field(repr=False)
    added_at: datetime | None = None
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a list was not changed: the approval was used before, or the list is full."""

    authorisation_is_used: bool


class BeneficiaryStore:
    """The table `trusted_beneficiaries`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(
        self, row: BeneficiaryRow, approval: str, *, most: int, occurrence: Occurrence
    ) -> BeneficiaryRow | Refused:
        """Put a payee on the list; who is there already stays, and so does the same id. Raises StoreUnavailable."""
        return await in_time(self._add(row, approval, most, occurrence))

    async def remove(
        self, beneficiary_id: str, psu: str, approval: str, occurrence: Occurrence
    ) -> BeneficiaryRow | Refused | None:
        """Take a payee off the list; again is as once. None when the payer never had it. Raises StoreUnavailable."""
        return await in_time(self._remove(beneficiary_id, psu, approval, occurrence))

    async def get(self, beneficiary_id: str, psu: str) -> BeneficiaryRow | None:
        """One of a payer's, also a removed one. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, beneficiary_id, psu))
        return _row(found) if found else None

    async def of(self, psu: str) -> list[BeneficiaryRow]:
        """The list of a payer, the oldest first. Raises StoreUnavailable."""
        return [_row(found) for found in await in_time(self._pool.fetch(_OF, psu))]

    async def _add(
        self, row: BeneficiaryRow, approval: str, most: int, occurrence: Occurrence
    ) -> BeneficiaryRow | Refused:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, row.psu)
            before = await connection.fetchrow(_ONE, row.id, row.psu)
            same = before or await connection.fetchrow(_SAME, row.psu, row.payee)
            if same:
                return _row(same)
            if await connection.fetchval(_USE, approval, row.psu) is None:
                return Refused(authorisation_is_used=True)
            columns = (row.id, row.client, row.psu, row.payee, row.sealed)
            added = await connection.fetchrow(_ADD, *columns, most)
            if added is None:
                await connection.execute(
                    "DELETE FROM beneficiary_authorisations WHERE approval = $1", approval
                )
                return Refused(authorisation_is_used=False)
            await _tell(connection, "trusted_beneficiary.added", _row(added), approval, occurrence)
            return _row(added)

    async def _remove(
        self, beneficiary_id: str, psu: str, approval: str, occurrence: Occurrence
    ) -> BeneficiaryRow | Refused | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, psu)
            before = await connection.fetchrow(_ONE, beneficiary_id, psu)
            if before is None or before["removed_at"] is not None:
                return _row(before) if before else None
            if await connection.fetchval(_USE, approval, psu) is None:
                return Refused(authorisation_is_used=True)
            (removed,) = await connection.fetch(_REMOVE, beneficiary_id, psu)
            await _tell(connection, "trusted_beneficiary.removed", _row(removed), approval, occurrence)
            return _row(removed)


async def _tell(
    connection: Connection, kind: str, row: BeneficiaryRow, approval: str, occurrence: Occurrence
) -> None:
    members: Mapping[str, object] = {
        "client": row.client,
        "psu": row.psu,
        **occurrence.origin,
        "beneficiary": row.id,
        "authorised_by": approval,
    }
    event = AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=occurrence.at_ms, members=members)
    await insert_events(connection, [event])


def _row(found: asyncpg.Record) -> BeneficiaryRow:
    return BeneficiaryRow(
        id=found["id"],
        client=found["client_id"],
        psu=found["psu"],
        payee=found["payee"],
        sealed=found["sealed"],
        added_at=found["added_at"],
        is_removed=found["removed_at"] is not None,
    )
