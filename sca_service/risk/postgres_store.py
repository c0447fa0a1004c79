"""Lists and reports that last, in PostgreSQL: the table `risk_marks`, of which Redis holds a copy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.kernel.ids import new_id
from sca_service.kernel.postgres import in_time
from sca_service.risk.model import MarkedKind, Standing

LISTED = "risk.listed"
UNLISTED = "risk.unlisted"

_PUT = """
    INSERT INTO risk_marks AS mark (id, client_id, kind, subject, sealed, reason, listed_at, listed_until)
    VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp() + $7::int * interval '1 day')
    ON CONFLICT (id) DO UPDATE SET
        sealed = EXCLUDED.sealed, reason = EXCLUDED.reason, listed_until = EXCLUDED.listed_until,
        listed_at = CASE WHEN mark.listed_until > clock_timestamp() THEN mark.listed_at ELSE EXCLUDED.listed_at END,
        version = nextval('risk_mark_versions'), changed_at = clock_timestamp()
    RETURNING *
"""
_ONE = "SELECT * FROM risk_marks WHERE id = $1 AND client_id = $2 FOR UPDATE"
_REMOVE = """
    UPDATE risk_marks SET sealed = '', reason = NULL, listed_at = NULL, listed_until = NULL,
        version = nextval('risk_mark_versions'), changed_at = clock_timestamp()
    WHERE id = $1 RETURNING *
"""
_PAGE = """
    SELECT * FROM risk_marks
    WHERE client_id = $1 AND id > $2 AND listed_until > clock_timestamp() AND ($3::text IS NULL OR kind = $3)
    ORDER BY id LIMIT $4
"""
# What counts still, and what has lately ended: a copy that was lost may say otherwise.
_STANDINGS = """
    SELECT * FROM risk_marks
    WHERE id > $1 AND GREATEST(listed_until, reports_until, changed_at) > clock_timestamp() - interval '1 day'
    ORDER BY id LIMIT $2
"""
_PUT_REPORTS = """
    INSERT INTO risk_marks (id, client_id, kind, subject, reports, reports_until) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (id) DO UPDATE SET
        reports = EXCLUDED.reports, reports_until = EXCLUDED.reports_until,
        version = nextval('risk_mark_versions'), changed_at = clock_timestamp()
    RETURNING *
"""

# A month after it counted last: whoever asks why something was decided finds it till then.
_PRUNE = """
    DELETE FROM risk_marks WHERE id IN (
        SELECT id FROM risk_marks
        WHERE GREATEST(listed_until, reports_until, changed_at) < clock_timestamp() - interval '30 days'
        LIMIT 1000
    )
"""


@dataclass(frozen=True, slots=True)
class NewListing:
    """What is to stand on a list: `sealed` is sealed for the record `id`, `days` is for how long."""

    id: str
    client: str
    kind: MarkedKind
    subject: str = field(repr=False)
    sealed: str = field(repr=False)
    reason: str
    days: int


@dataclass(frozen=True, slots=True)
class MarkRow:
    """A row of the table; `listed_until` is None for what was never on a list, or was taken off."""

    id: str
    client: str
    sealed: str = field(repr=False)
    reason: str | None
    listed_at: datetime | None
    listed_until: datetime | None
    standing: Standing


def listing_id(subject: str) -> str:
    """The id of whatever stands of a subject, a pseudonym."""
    return f"lst_{subject}"


class MarkStore:
    """The table `risk_marks`. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, new: NewListing, at_ms: int, origin: Mapping[str, object]) -> MarkRow:
        """Put one on the list, or give one that is there another reason and end. Raises StoreUnavailable."""
        return await in_time(self._put(new, at_ms, origin))

    async def remove(
        self, listing: str, client: str, reason: str, at_ms: int, origin: Mapping[str, object]
    ) -> MarkRow | None:
        """Take one off the list; again is as once. None when the client never had it. Raises StoreUnavailable."""
        return await in_time(self._remove(listing, client, reason, at_ms, origin))

    async def page(self, client: str, kind: MarkedKind | None, *, after: str, most: int) -> list[MarkRow]:
        """What is on a client's list now, behind an id, in the order of the ids. Raises StoreUnavailable."""
        return list(map(_row, await in_time(self._pool.fetch(_PAGE, client, after, kind, most))))

    async def standings(self, *, after: str, most: int) -> list[MarkRow]:
        """What may count, of every client, behind an id, in the order of the ids. Raises StoreUnavailable."""
        return list(map(_row, await in_time(self._pool.fetch(_STANDINGS, after, most))))

    async def _put(self, new: NewListing, at_ms: int, origin: Mapping[str, object]) -> MarkRow:
        columns = (new.id, new.client, new.kind, new.subject, new.sealed, new.reason, new.days)
        async with self._pool.acquire() as connection, connection.transaction():
            (found,) = await connection.fetch(_PUT, *columns)
            row = _row(found)
            until = row.listed_until.isoformat(timespec="seconds") if row.listed_until else ""
            told = {"reason": new.reason, "until": until.replace("+00:00", "Z")}
            await insert_events(connection, [_event(LISTED, row, at_ms, {**origin, **told})])
            return row

    async def _remove(
        self, listing: str, client: str, reason: str, at_ms: int, origin: Mapping[str, object]
    ) -> MarkRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            before = await connection.fetchrow(_ONE, listing, client)
            if before is None or before["listed_until"] is None:
                return _row(before) if before else None
            (found,) = await connection.fetch(_REMOVE, listing)
            row = _row(found)
            await insert_events(connection, [_event(UNLISTED, row, at_ms, {**origin, "reason": reason})])
            return row


class MarkRetention:
    """Deletes what has long ended. A class because housekeepers are."""

    async def tidy(self, connection: Connection) -> bool:
        """Delete one portion. Returns whether there may be more. Raises what PostgreSQL raises."""
        return str(await connection.execute(_PRUNE)) != "DELETE 0"


async def put_reports(
    connection: Connection,
    client: str,
    kind: MarkedKind,
    subject: str,
    *,
    reports: int,
    until: datetime | None,
) -> Standing:
    """Put down how many reports on payments count, within the transaction that counted them under a lock."""
    columns = (listing_id(subject), client, kind, subject, reports, until)
    (found,) = await connection.fetch(_PUT_REPORTS, *columns)
    return _row(found).standing


def _event(kind: str, row: MarkRow, at_ms: int, members: Mapping[str, object]) -> AuditEvent:
    standing = row.standing
    told = {"client": row.client, "listing": row.id, "kind": standing.kind, **members}
    if standing.kind is MarkedKind.PAYER:
        told["psu"] = standing.subject
    return AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=at_ms, members=told)


def _row(found: asyncpg.Record) -> MarkRow:
    return MarkRow(
        id=found["id"],
        client=found["client_id"],
        sealed=found["sealed"],
        reason=found["reason"],
        listed_at=found["listed_at"],
        listed_until=found["listed_until"],
        standing=Standing(
            kind=MarkedKind(found["kind"]),
            subject=found["subject"],
            version=found["version"],
            listed_until=_seconds(found["listed_until"]),
            reports=found["reports"],
            reports_until=_seconds(found["reports_until"]),
        ),
    )


def _seconds(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0
