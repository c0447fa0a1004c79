"""Challenges in PostgreSQL: what stays readable after Redis has forgotten it, and what lists are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import asyncpg
import msgspec
from msgspec.structs import replace

from sca_service.audit.model import Snapshot
from sca_service.challenges.model import ChallengeState, Status, decode_state
from sca_service.kernel.postgres import arrays, in_time
from sca_service.policy.model import Purpose

# A final status is never replaced by another one, an older revision never replaces a newer one of the same status. A
# final status replaces `pending` whatever the revisions: they fall back when Redis loses its tail, what is final stays.
# Nothing replaces what was erased: a state that was read before would bring back what was personal. And a state that
# holds another approval than the accepted one (Redis had lost its tail) is none: it would make a second authentication
# code.
_SAVE = """
    INSERT INTO challenges (id, client_id, psu, purpose, status, created_at, expires_at, revision, state)
    SELECT id, client_id, psu, purpose, status, created_at, expires_at, revision, state
    FROM unnest({parameters})
        AS new (id, client_id, psu, purpose, status, created_at, expires_at, revision, state, approval)
    WHERE new.status <> 'approved'
       OR NOT EXISTS (SELECT FROM acceptances WHERE challenge_id = new.id AND event_id <> new.approval)
    ON CONFLICT (id) DO UPDATE
        SET status = excluded.status, revision = excluded.revision, state = excluded.state
        WHERE NOT challenges.erased
          AND ((challenges.status = 'pending' AND excluded.status <> 'pending')
            OR (challenges.status = excluded.status AND challenges.revision < excluded.revision))
"""

_SAVED = ("text", "text", "text", "text", "text", "timestamptz", "timestamptz", "int", "bytea", "text")
"""The types of its parameters."""

_LIST = """
    SELECT id, state FROM challenges
    WHERE client_id = $1
      AND ($2::text IS NULL OR psu = $2)
      AND ($3::text IS NULL OR CASE WHEN status = 'pending' AND expires_at <= now() THEN 'expired' ELSE status END = $3)
      AND ($4::text IS NULL OR purpose = $4)
      AND ($5::timestamptz IS NULL OR created_at > $5)
      AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7))
    ORDER BY created_at DESC, id DESC
    LIMIT $8
"""


@dataclass(frozen=True, slots=True)
class ChallengeFilter:
    """Which challenges of a client are wanted; None leaves a member open. `after` is the last of the page before."""

    client: str
    payer: str | None = None
    status: Status | None = None
    purpose: Purpose | None = None
    created_after: datetime | None = None
    after: tuple[int, str] | None = None


class ChallengeArchive:
    """The `challenges` table. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def save(self, connection: asyncpg.pool.PoolConnectionProxy, snapshots: Sequence[Snapshot]) -> None:
        """Store the newest state of each challenge, within the transaction that commits its events."""
        await connection.execute(self.statement(1), *self.arguments(snapshots))

    @staticmethod
    @cache
    def statement(first: int) -> str:
        """What `save` executes, to be a part of another statement: its parameters are numbered from `first`."""
        return _SAVE.format(parameters=arrays(_SAVED, first))

    @staticmethod
    def arguments(snapshots: Sequence[Snapshot]) -> tuple[Sequence[Any], ...]:
        """The parameters of the statement: the newest state of each challenge."""
        newest: dict[str, ChallengeState] = {}
        for state in cast("Sequence[ChallengeState]", snapshots):
            if state.id not in newest or _rank(newest[state.id]) < _rank(state):
                newest[state.id] = state
        states = [
            newest[challenge] for challenge in sorted(newest)
        ]  # one order, so that commits never deadlock
        return (
            [state.id for state in states],
            [state.client for state in states],
            [state.payer for state in states],
            [state.purpose for state in states],
            [state.status for state in states],
            [_moment(state.created_at) for state in states],
            [_moment(state.expires_at) for state in states],
            [state.revision for state in states],
            [_packed(state) for state in states],
            [state.answer_event for state in states],
        )

    async def get(self, challenge_id: str, client: str) -> ChallengeState | None:
        """A client's challenge, or None for an unknown id and for another client's. Raises StoreUnavailable."""
        packed = await in_time(
            self._pool.fetchval(
                "SELECT state FROM challenges WHERE id = $1 AND client_id = $2", challenge_id, client
            )
        )
        return decode_state(packed) if packed else None

    async def page(self, wanted: ChallengeFilter, *, most: int) -> list[ChallengeState]:
        """The newest first, at most `most`. Raises StoreUnavailable."""
        at_ms, challenge_id = wanted.after or (None, None)
        rows = await in_time(
            self._pool.fetch(
                _LIST,
                wanted.client,
                wanted.payer,
                wanted.status,
                wanted.purpose,
                wanted.created_after,
                None if at_ms is None else _moment(at_ms),
                challenge_id,
                most,
            )
        )
        return [decode_state(row["state"]) for row in rows]


def _packed(state: ChallengeState) -> bytes:
    """What was signed is for the vault, where an erasure finds it."""
    return msgspec.msgpack.encode(replace(state, signed="") if state.signed else state)


def _rank(state: ChallengeState) -> tuple[bool, int]:
    """What is final stays, as in `_SAVE`; else the newer."""
    return state.status.is_final, state.revision


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
