"""Audit events and acceptances in PostgreSQL: the statements, and nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from sca_service.audit.model import Acceptance, AuditEvent

Connection = asyncpg.pool.PoolConnectionProxy

_INSERT_EVENTS = """
    INSERT INTO audit_events (id, at, type, client_id, psu, challenge_id, body)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    ON CONFLICT (id) DO NOTHING
"""

_INSERT_ACCEPTANCES = """
    INSERT INTO acceptances (challenge_id, event_id)
    SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (challenge_id) DO NOTHING
    RETURNING challenge_id
"""

_SELECT_ACCEPTANCES = "SELECT challenge_id, event_id FROM acceptances WHERE challenge_id = ANY($1::text[])"


async def insert_events(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Append events; one that is there already is left as it is, so a repeated commit changes nothing."""
    heads = [event.head for event in events]
    await connection.execute(
        _INSERT_EVENTS,
        [head.id for head in heads],
        [datetime.fromtimestamp(head.at_ms / 1000, UTC) for head in heads],
        [head.type for head in heads],
        [head.client for head in heads],
        [head.psu for head in heads],
        [head.challenge for head in heads],
        [event.body for event in events],
    )


async def claim_acceptances(connection: Connection, acceptances: Sequence[Acceptance]) -> set[Acceptance]:
    """Take each challenge's one acceptance. Returns those that hold it: new, or taken by the same event before."""
    taken = await connection.fetch(
        _INSERT_ACCEPTANCES,
        [acceptance.challenge_id for acceptance in acceptances],
        [acceptance.event_id for acceptance in acceptances],
    )
    new = {row[0] for row in taken}
    if len(new) == len(acceptances):
        return set(acceptances)
    rows = await connection.fetch(
        _SELECT_ACCEPTANCES, [one.challenge_id for one in acceptances if one.challenge_id not in new]
    )
    before = {(row[0], row[1]) for row in rows}
    return {
        one for one in acceptances if one.challenge_id in new or (one.challenge_id, one.event_id) in before
    }
