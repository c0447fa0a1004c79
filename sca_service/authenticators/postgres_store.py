"""Authenticators in PostgreSQL, as answers need them: read, and used up by one statement each.

Which code, key or counter answers which challenge is claimed by whoever comes first; only what is active can be.

What concurrent answers read or claim leaves in one statement and one commit. A statement for many waits for no lock: a
row that somebody else holds is left out, and claimed by a statement of its own, so that one payer's lock holds up
nobody else's answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import asyncpg

from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType
from sca_service.kernel.batching import Batcher, at_once
from sca_service.kernel.postgres import in_time

# Once for a step, and none before it. The same challenge may claim its step again: a client that heard nothing asks
# again, and the challenge is accepted once by itself.
_CLAIM = """
    UPDATE authenticators SET last_step = $3, last_challenge = $4
    WHERE id = $1 AND psu = $2 AND state = 'active'
      AND (last_step < $3 OR (last_step = $3 AND last_challenge = $4))
    RETURNING id
"""

# What a device signed is for one challenge alone; it counts as long as the device is active.
_CLAIM_KEY = """
    UPDATE authenticators SET last_challenge = $2, used_at = clock_timestamp()
    WHERE id = $1 AND state = 'active'
    RETURNING id
"""

# The same two for many rows, without those that somebody else holds.
_CLAIM_MANY = """
    WITH free AS MATERIALIZED (
        SELECT id FROM authenticators WHERE id = ANY($1::text[]) AND state = 'active'
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE authenticators AS one SET last_step = asked.step, last_challenge = asked.challenge
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS asked(id, psu, step, challenge)
    JOIN free ON free.id = asked.id
    WHERE one.id = asked.id AND one.psu = asked.psu AND one.state = 'active'
      AND (one.last_step < asked.step OR (one.last_step = asked.step AND one.last_challenge = asked.challenge))
    RETURNING one.id
"""
_CLAIM_MANY_KEYS = """
    WITH free AS MATERIALIZED (
        SELECT id FROM authenticators WHERE id = ANY($1::text[]) AND state = 'active'
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE authenticators AS one SET last_challenge = asked.challenge, used_at = clock_timestamp()
    FROM unnest($1::text[], $2::text[]) AS asked(id, challenge)
    JOIN free ON free.id = asked.id
    WHERE one.id = asked.id AND one.state = 'active'
    RETURNING one.id
"""

# A passkey's counter grows (WebAuthn section 6.1.1), or stays 0 where there is none.
_CLAIM_COUNT = """
    UPDATE authenticators SET last_step = $2, last_challenge = $3
    WHERE id = $1 AND state = 'active'
      AND (last_step < $2 OR ($2 = 0 AND last_step <= 0) OR (last_step = $2 AND last_challenge = $3))
    RETURNING id
"""

# Only over what was read: what was changed meanwhile stays changed.
_RESEAL = "UPDATE authenticators SET sealed = $3 WHERE id = $1 AND sealed = $2 AND state = 'active'"

_USED = """
    UPDATE authenticators SET used_at = clock_timestamp()
    WHERE psu = $1 AND state = 'active' AND (last_challenge = $2 OR ($3 AND type = 'pin'))
"""

_ONE = "SELECT * FROM authenticators WHERE id = $1 AND psu = $2"
_ANYBODYS = "SELECT * FROM authenticators WHERE id = ANY($1::text[])"
_OF = "SELECT * FROM authenticators WHERE psu = $1 AND state <> 'revoked' ORDER BY created_at, id"
_ACTIVE = """
    SELECT one.* FROM unnest($1::text[], $2::text[]) AS asked(psu, type)
    JOIN authenticators AS one ON one.psu = asked.psu AND one.type = asked.type
    WHERE one.state = 'active'
    ORDER BY one.created_at, one.id
"""

_MOST_IN_FLIGHT = 2
"""Of the pool's connections, for each kind of statement."""
_MOST_IN_BATCH = 64
_MOST_WAITING = 10_000


class _Claim(NamedTuple):
    """What one answer claims; `step` and `psu` are not asked of a device."""

    id: str
    challenge: str
    psu: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True)
class AuthenticatorRow:
    """An authenticator as it is stored."""

    id: str
    client: str
    psu: str
    type: AuthenticatorType
    state: AuthenticatorState
    sealed: str = field(repr=False)
    tries: int
    last_step: int
    last_challenge: str | None
    created_at: datetime
    activated_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None = None


class AuthenticatorStore:
    """The table `authenticators`, for what answers challenges. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        bounds = {
            "most_in_flight": _MOST_IN_FLIGHT,
            "most_in_batch": _MOST_IN_BATCH,
            "most_waiting": _MOST_WAITING,
        }
        self._anybodys: Batcher[str, AuthenticatorRow | None] = Batcher(
            at_once(self._read_anybodys), **bounds
        )
        self._actives: Batcher[tuple[str, AuthenticatorType], list[AuthenticatorRow]] = Batcher(
            at_once(self._read_active), **bounds
        )
        self._claims: Batcher[_Claim, bool] = Batcher(at_once(self._claim_many), **bounds)
        self._key_claims: Batcher[_Claim, bool] = Batcher(at_once(self._claim_many_keys), **bounds)

    async def get(self, authenticator_id: str, psu: str) -> AuthenticatorRow | None:
        """One of a payer's, also a revoked one. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, authenticator_id, psu))
        return row_of(found) if found else None

    async def of_anybody(self, authenticator_id: str) -> AuthenticatorRow | None:
        """One by its id alone, also a revoked one: for a device, which does not say whose it is.

        Raises StoreUnavailable.
        """
        if not (authenticator_id.isascii() and authenticator_id.isprintable()):
            return None  # PostgreSQL would refuse it, and with it what others ask for
        return await self._anybodys.submit(authenticator_id)

    async def of(self, psu: str) -> list[AuthenticatorRow]:
        """All that a payer has, the oldest first, without the revoked. Raises StoreUnavailable."""
        return [row_of(found) for found in await in_time(self._pool.fetch(_OF, psu))]

    async def active(self, psu: str, kind: AuthenticatorType) -> list[AuthenticatorRow]:
        """A payer's active ones of one type, the oldest first. Raises StoreUnavailable."""
        return await self._actives.submit((psu, kind))

    async def claim(self, row: AuthenticatorRow, step: int, challenge: str) -> bool:
        """Use up a step for a challenge: True once, and again for that same challenge. Raises StoreUnavailable."""
        if await self._claims.submit(_Claim(row.id, challenge, row.psu, step)):
            return True
        claimed = await in_time(self._pool.fetchval(_CLAIM, row.id, row.psu, step, challenge))
        return claimed is not None

    async def claim_key(self, row: AuthenticatorRow, challenge: str) -> bool:
        """Whether a device that signed for a challenge is active still. Raises StoreUnavailable."""
        if await self._key_claims.submit(_Claim(row.id, challenge)):
            return True
        return await in_time(self._pool.fetchval(_CLAIM_KEY, row.id, challenge)) is not None

    async def claim_count(self, row: AuthenticatorRow, count: int, challenge: str) -> bool:
        """Keep a passkey's counter: False when another answer was as far, or it is not active any more.

        Raises StoreUnavailable.
        """
        return await in_time(self._pool.fetchval(_CLAIM_COUNT, row.id, count, challenge)) is not None

    async def reseal(self, row: AuthenticatorRow, sealed: str) -> None:
        """Keep other sealed content instead, unless it changed since it was read. Raises StoreUnavailable."""
        await in_time(self._pool.execute(_RESEAL, row.id, row.sealed, sealed))

    async def used(self, psu: str, challenge: str, *, pin: bool) -> None:
        """Note that what answered a challenge was used now, and with it the PIN if that was asked.

        Raises StoreUnavailable.
        """
        await in_time(self._pool.execute(_USED, psu, challenge, pin))

    async def _read_anybodys(self, ids: Sequence[str]) -> list[AuthenticatorRow | None]:
        found = await in_time(self._pool.fetch(_ANYBODYS, list(set(ids))))
        rows = {row["id"]: row_of(row) for row in found}
        return [rows.get(one) for one in ids]

    async def _read_active(
        self, asked: Sequence[tuple[str, AuthenticatorType]]
    ) -> list[list[AuthenticatorRow]]:
        wanted = {one: list[AuthenticatorRow]() for one in asked}
        payers, kinds = [psu for psu, _ in wanted], [kind.value for _, kind in wanted]
        for found in await in_time(self._pool.fetch(_ACTIVE, payers, kinds)):
            row = row_of(found)
            wanted[row.psu, row.type].append(row)
        return [wanted[one] for one in asked]

    async def _claim_many(self, claims: Sequence[_Claim]) -> list[bool]:
        """Which claims hold. The first of each row is tried: another of the same row has a statement of its own."""
        first = {one.id: one for one in reversed(claims)}
        columns = (
            [getattr(one, name) for one in first.values()] for name in ("id", "psu", "step", "challenge")
        )
        return _held(claims, first, await in_time(self._pool.fetch(_CLAIM_MANY, *columns)))

    async def _claim_many_keys(self, claims: Sequence[_Claim]) -> list[bool]:
        first = {one.id: one for one in reversed(claims)}
        columns = ([getattr(one, name) for one in first.values()] for name in ("id", "challenge"))
        return _held(claims, first, await in_time(self._pool.fetch(_CLAIM_MANY_KEYS, *columns)))


def _held(claims: Sequence[_Claim], tried: dict[str, _Claim], found: Sequence[asyncpg.Record]) -> list[bool]:
    held = {row["id"] for row in found}
    return [one.id in held and tried[one.id] is one for one in claims]


def row_of(found: asyncpg.Record) -> AuthenticatorRow:
    """A row of the table."""
    return AuthenticatorRow(
        id=found["id"],
        client=found["client_id"],
        psu=found["psu"],
        type=AuthenticatorType(found["type"]),
        state=AuthenticatorState(found["state"]),
        sealed=found["sealed"],
        tries=found["tries"],
        last_step=found["last_step"],
        last_challenge=found["last_challenge"],
        created_at=found["created_at"],
        activated_at=found["activated_at"],
        used_at=found["used_at"],
        revoked_at=found["revoked_at"],
    )
