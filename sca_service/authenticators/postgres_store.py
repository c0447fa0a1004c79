"""Authenticators in PostgreSQL, as answers need them: read, and used up by one statement each.

Which code, key or counter answers which challenge is claimed by whoever comes first; only what is active can be.
"""

from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType
from sca_service.kernel.connections import in_time

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
_ANYBODYS = "SELECT * FROM authenticators WHERE id = $1"
_OF = "SELECT * FROM authenticators WHERE psu = $1 AND state <> 'revoked' ORDER BY created_at, id"
_ACTIVE = (
    "SELECT * FROM authenticators WHERE psu = $1 AND type = $2 AND state = 'active' ORDER BY created_at, id"
)


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


class AuthenticatorStore:
    """The table `authenticators`, for what answers challenges. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def get(self, authenticator_id: str, psu: str) -> AuthenticatorRow | None:
        """One of a payer's, also a revoked one. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_ONE, authenticator_id, psu))
        return row_of(found) if found else None

    async def of_anybody(self, authenticator_id: str) -> AuthenticatorRow | None:
        """One by its id alone, also a revoked one: for a device, which does not say whose it is.

        Raises StoreUnavailable.
        """
        found = await in_time(self._pool.fetchrow(_ANYBODYS, authenticator_id))
        return row_of(found) if found else None

    async def of(self, psu: str) -> list[AuthenticatorRow]:
        """All that a payer has, the oldest first, without the revoked. Raises StoreUnavailable."""
        return [row_of(found) for found in await in_time(self._pool.fetch(_OF, psu))]

    async def active(self, psu: str, kind: AuthenticatorType) -> list[AuthenticatorRow]:
        """A payer's active ones of one type, the oldest first. Raises StoreUnavailable."""
        return [row_of(found) for found in await in_time(self._pool.fetch(_ACTIVE, psu, kind))]

    async def claim(self, row: AuthenticatorRow, step: int, challenge: str) -> bool:
        """Use up a step for a challenge: True once, and again for that same challenge. Raises StoreUnavailable."""
        claimed = await in_time(self._pool.fetchval(_CLAIM, row.id, row.psu, step, challenge))
        return claimed is not None

    async def claim_key(self, row: AuthenticatorRow, challenge: str) -> bool:
        """Whether a device that signed for a challenge is active still. Raises StoreUnavailable."""
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
    )
