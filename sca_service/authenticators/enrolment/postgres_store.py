"""Authenticators in PostgreSQL, as their life goes: enrolled, activated, suspended, revoked; every change is on record.

A payer's lock makes look and change one step where a rule speaks of all that a payer has. A try is counted before it
is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import asyncpg

from sca_service.audit.postgres_store import Connection, insert_events
from sca_service.authenticators.enrolment.events import event_of
from sca_service.authenticators.enrolment.replaced import Replaced
from sca_service.authenticators.model import AuthenticatorState, AuthenticatorType, Authorisation
from sca_service.authenticators.postgres_store import AuthenticatorRow, row_of
from sca_service.kernel.errors import KeyAlreadyEnrolled
from sca_service.kernel.postgres import in_time

_LOCK_PAYER = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"

# What nobody activated in time makes room.
_FORGET = """
    DELETE FROM authenticators
    WHERE psu = $1 AND state = 'pending' AND created_at < now() - $2::int * interval '1 second'
"""

# RTS Art. 24: what joins active ones needs the word of one of them. An authorisation enrols once: it is unique. One
# that was given before a revocation may be the thief's for whom it was revoked.
_ENROL = """
    INSERT INTO authenticators (id, client_id, psu, type, sealed, authorised_by)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE ($6::text IS NOT NULL
           OR NOT EXISTS (SELECT FROM authenticators WHERE psu = $3 AND state IN ('active', 'suspended')))
      AND (SELECT count(*) FROM authenticators WHERE psu = $3 AND state <> 'revoked') < $7
      AND NOT EXISTS (
          SELECT FROM authenticators WHERE psu = $3 AND activated_at IS NOT NULL
          AND GREATEST(revoked_at, suspended_at) > to_timestamp($8)
      )
    ON CONFLICT DO NOTHING
    RETURNING *
"""
_HAS_ONE = "SELECT EXISTS (SELECT FROM authenticators WHERE psu = $1 AND state IN ('active', 'suspended'))"
_IS_VOID = """
    SELECT EXISTS (
        SELECT FROM authenticators WHERE authorised_by = $2
        OR (psu = $1 AND activated_at IS NOT NULL AND GREATEST(revoked_at, suspended_at) > to_timestamp($3))
    )
"""

# Counted before the code is looked at: whatever arrives in parallel, no more are looked at than are allowed.
_GIVE_BACK = "UPDATE authenticators SET tries = tries - 1 WHERE id = $1 AND state = 'pending' AND tries > 0"
_TRY = """
    UPDATE authenticators SET tries = tries + 1
    WHERE id = $1 AND psu = $2 AND state = 'pending' AND tries < $3
      AND created_at >= now() - $4::int * interval '1 second'
    RETURNING *
"""

# A first one that became active meanwhile makes every other a later one.
_ACTIVATE = """
    UPDATE authenticators SET state = 'active', activated_at = clock_timestamp(), last_step = $3, tries = 0,
        sealed = COALESCE($4, sealed), key_name = $5
    WHERE id = $1 AND psu = $2 AND state = 'pending'
      AND (authorised_by IS NOT NULL
           OR NOT EXISTS (SELECT FROM authenticators WHERE psu = $2 AND state IN ('active', 'suspended')))
    RETURNING *
"""

# The seed goes with the authenticator: what is revoked can never answer again.
_REVOKE = """
    UPDATE authenticators SET state = 'revoked', sealed = '', revoked_at = clock_timestamp()
    WHERE id = $1 AND psu = $2 AND state <> 'revoked'
    RETURNING *
"""

# What a pending one was enrolled with may have been the word of the one that is revoked now.
_REVOKE_PENDING = """
    UPDATE authenticators SET state = 'revoked', sealed = '', revoked_at = clock_timestamp()
    WHERE psu = $1 AND state = 'pending'
    RETURNING *
"""

# A payer knows one PIN, and is called on one line: the new one puts out the old. `held` is what was sealed of that.
_REPLACE_OTHERS = """
    WITH other AS MATERIALIZED (
        SELECT id, sealed AS held FROM authenticators
        WHERE psu = $1 AND type = $3 AND state IN ('active', 'suspended') AND id <> $2 FOR UPDATE
    )
    UPDATE authenticators AS one SET state = 'revoked', sealed = '', revoked_at = clock_timestamp()
    FROM other WHERE one.id = other.id
    RETURNING one.*, other.held
"""
_ONE_OF_A_KIND = (AuthenticatorType.PIN, AuthenticatorType.PHONE)

# It answers nothing until it is resumed. An approval from before may be the word of whoever it was suspended for.
_SUSPEND = """
    UPDATE authenticators SET state = 'suspended', suspended_at = clock_timestamp()
    WHERE id = $1 AND psu = $2 AND state = 'active'
    RETURNING *
"""

_RESUME = """
    UPDATE authenticators SET state = 'active' WHERE id = $1 AND psu = $2 AND state = 'suspended'
    RETURNING *
"""

# Unless a right code came in between, which sets the tries back.
_REVOKE_SPENT = """
    UPDATE authenticators SET state = 'revoked', sealed = '', revoked_at = clock_timestamp()
    WHERE id = $1 AND psu = $2 AND state = $3 AND tries >= $4
    RETURNING *
"""

# By two codes in a row, both used up by it.
_RESYNCHRONISE = """
    UPDATE authenticators SET last_step = $3, last_challenge = NULL, tries = 0
    WHERE id = $1 AND psu = $2 AND state = 'active' AND last_step < $3
    RETURNING *
"""

# Counted before the codes are looked at, as at the activation.
_TRY_ACTIVE = """
    UPDATE authenticators SET tries = tries + 1
    WHERE id = $1 AND psu = $2 AND state = 'active' AND type = $3 AND tries < $4
    RETURNING *
"""

_ONE = "SELECT * FROM authenticators WHERE id = $1 AND psu = $2"


@dataclass(frozen=True, slots=True)
class NewRow:
    """An authenticator to be stored; `sealed` is sealed for the record `id`."""

    id: str
    client: str
    psu: str
    type: AuthenticatorType
    sealed: str = field(repr=False)
    authorisation: Authorisation | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was stored: it needs an authorisation, the one given is used or revoked, or there are too many."""

    needs_authorisation: bool = False
    authorisation_is_void: bool = False


@dataclass(frozen=True, slots=True)
class Proven:
    """What a right proof tells: the step that it uses up, and of a key what is kept of it and what it is called.

    `sealed` is None where nothing changes; `key_name` names a key wherever it is enrolled, and is unique. `thumbprint`
    (RFC 7638) is what the log calls a device's key by, so that what it signs later can be held against it.
    """

    step: int = 0
    sealed: str | None = field(default=None, repr=False)
    key_name: str | None = None
    thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """When and by whom: what the events of a change say beside it."""

    at_ms: int
    origin: Mapping[str, object]


class EnrolmentStore:
    """The table `authenticators`, for what changes it. A class because it holds the pool."""

    def __init__(self, pool: asyncpg.Pool, notices: Replaced) -> None:
        """`notices` hears of replaced phone lines."""
        self._pool = pool
        self._notices = notices

    async def enrol(
        self, row: NewRow, *, most: int, pending_seconds: int, occurrence: Occurrence
    ) -> tuple[AuthenticatorRow, bool] | Refusal:
        """Store one as pending; also whether it is new: the same id again is the one from before.

        Raises StoreUnavailable.
        """
        return await in_time(self._enrol(row, most, pending_seconds, occurrence))

    async def try_to_activate(
        self, authenticator_id: str, psu: str, *, most_tries: int, pending_seconds: int
    ) -> AuthenticatorRow | None:
        """Spend a try of a pending one; None when it has none left, or is not pending. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_TRY, authenticator_id, psu, most_tries, pending_seconds))
        return row_of(found) if found else None

    async def give_back(self, row: AuthenticatorRow) -> None:
        """A try whose code was not looked at. Raises StoreUnavailable."""
        await in_time(self._pool.execute(_GIVE_BACK, row.id))

    async def activate(
        self, row: AuthenticatorRow, proven: Proven, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        """Make one active whose proof was right; None when another was quicker.

        Raises KeyAlreadyEnrolled for a key that is known, of whatever payer; StoreUnavailable.
        """
        try:
            return await in_time(self._activate(row, proven, occurrence))
        except asyncpg.UniqueViolationError:
            raise KeyAlreadyEnrolled from None

    async def try_to_resynchronise(
        self, authenticator_id: str, psu: str, kind: AuthenticatorType, *, most_tries: int
    ) -> AuthenticatorRow | None:
        """Spend a try of an active one of this type; None when it has none left. Raises StoreUnavailable."""
        found = await in_time(self._pool.fetchrow(_TRY_ACTIVE, authenticator_id, psu, kind, most_tries))
        return row_of(found) if found else None

    async def resynchronise(
        self, row: AuthenticatorRow, step: int, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        """Go on after a step; None when another was quicker. Raises StoreUnavailable."""
        return await in_time(self._resynchronise(row, step, occurrence))

    async def failed(
        self, row: AuthenticatorRow, *, most_tries: int, occurrence: Occurrence, reason: str = "incorrect"
    ) -> AuthenticatorRow:
        """Put a wrong code on record; as many as `most_tries` revoke. How it stands then. Raises StoreUnavailable."""
        return await in_time(self._failed(row, most_tries, occurrence, reason))

    async def revoke(
        self, authenticator_id: str, psu: str, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        """Revoke one, for good; one that was revoked before stays so. None when this payer has none with this id.

        What is pending goes with one that was active. Raises StoreUnavailable.
        """
        return await in_time(self._revoke(authenticator_id, psu, occurrence))

    async def suspend(
        self, authenticator_id: str, psu: str, occurrence: Occurrence, *, reason: str
    ) -> AuthenticatorRow | None:
        """Let one answer nothing until it is resumed; what is pending goes. How it stands then, None for none.

        Raises StoreUnavailable.
        """
        return await in_time(self._suspend(authenticator_id, psu, occurrence, reason))

    async def resume(
        self, authenticator_id: str, psu: str, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        """Let a suspended one answer again. How it stands then, None when there is none. Raises StoreUnavailable."""
        return await in_time(self._resume(authenticator_id, psu, occurrence))

    async def forget(self, authenticator_id: str, psu: str) -> None:
        """Forget a pending one, as when nobody activates it in time. Raises StoreUnavailable."""
        query = "DELETE FROM authenticators WHERE id = $1 AND psu = $2 AND state = 'pending'"
        await in_time(self._pool.execute(query, authenticator_id, psu))

    async def sent_for(self, row: AuthenticatorRow, challenge: str) -> None:
        """Note the challenge whose answer activates a pending phone line. Raises StoreUnavailable."""
        query = "UPDATE authenticators SET last_challenge = $2 WHERE id = $1 AND state = 'pending'"
        await in_time(self._pool.execute(query, row.id, challenge))

    async def _enrol(
        self, row: NewRow, most: int, pending_seconds: int, occurrence: Occurrence
    ) -> tuple[AuthenticatorRow, bool] | Refusal:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, row.psu)
            before = await connection.fetchrow(_ONE, row.id, row.psu)
            if before:
                return row_of(before), False
            await connection.execute(_FORGET, row.psu, pending_seconds)
            authorised_by, authorised_at = _parts(row.authorisation)
            added = await connection.fetchrow(
                _ENROL, row.id, row.client, row.psu, row.type, row.sealed, authorised_by, most, authorised_at
            )
            if added is None:
                return await self._why_not(connection, row)
            members = {"authorised_by": authorised_by} if authorised_by else {}
            await _tell(connection, "authenticator.enrolled", row_of(added), occurrence, **members)
            return row_of(added), True

    async def _why_not(self, connection: Connection, row: NewRow) -> Refusal:
        """Still under the payer's lock, so it is what the insertion met."""
        if row.authorisation is not None:
            is_void = await connection.fetchval(_IS_VOID, row.psu, *_parts(row.authorisation))
            return Refusal(authorisation_is_void=is_void)
        return Refusal(needs_authorisation=await connection.fetchval(_HAS_ONE, row.psu))

    async def _activate(
        self, row: AuthenticatorRow, proven: Proven, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, row.psu)
            found = await connection.fetchrow(
                _ACTIVATE, row.id, row.psu, proven.step, proven.sealed, proven.key_name
            )
            if found is None:
                return None
            key = {"key": proven.thumbprint} if proven.thumbprint else {}
            await _tell(connection, "authenticator.activated", row_of(found), occurrence, **key)
            if row.type in _ONE_OF_A_KIND:
                for other in await connection.fetch(_REPLACE_OTHERS, row.psu, row.id, row.type):
                    revoked = row_of(other)
                    await _tell(connection, "authenticator.revoked", revoked, occurrence, reason="replaced")
                    if row.type is AuthenticatorType.PHONE:
                        before = replace(revoked, sealed=other["held"])
                        await self._notices.replaced(connection, before, row_of(found), occurrence.origin)
            return row_of(found)

    async def _resynchronise(
        self, row: AuthenticatorRow, step: int, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            found = await connection.fetchrow(_RESYNCHRONISE, row.id, row.psu, step)
            if found is None:
                return None
            await _tell(connection, "authenticator.resynchronised", row_of(found), occurrence)
            return row_of(found)

    async def _failed(
        self, row: AuthenticatorRow, most_tries: int, occurrence: Occurrence, reason: str
    ) -> AuthenticatorRow:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, row.psu)
            kind = "not_activated" if row.state is AuthenticatorState.PENDING else "not_resynchronised"
            await _tell(connection, f"authenticator.{kind}", row, occurrence, reason=reason)
            spent = await connection.fetchrow(_REVOKE_SPENT, row.id, row.psu, row.state, most_tries)
            if spent is None:
                return row
            await _tell_revoked(connection, row_of(spent), occurrence, reason="tries_used_up")
            return row_of(spent)

    async def _revoke(
        self, authenticator_id: str, psu: str, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, psu)
            revoked = await connection.fetchrow(_REVOKE, authenticator_id, psu)
            if revoked is not None:
                await _tell_revoked(connection, row_of(revoked), occurrence)
                return row_of(revoked)
            before = await connection.fetchrow(_ONE, authenticator_id, psu)
            return row_of(before) if before else None

    async def _suspend(
        self, authenticator_id: str, psu: str, occurrence: Occurrence, reason: str
    ) -> AuthenticatorRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, psu)
            suspended = await connection.fetchrow(_SUSPEND, authenticator_id, psu)
            if suspended is None:
                before = await connection.fetchrow(_ONE, authenticator_id, psu)
                return row_of(before) if before else None
            await _tell(connection, "authenticator.suspended", row_of(suspended), occurrence, reason=reason)
            await _revoke_pending(connection, psu, occurrence)
            return row_of(suspended)

    async def _resume(
        self, authenticator_id: str, psu: str, occurrence: Occurrence
    ) -> AuthenticatorRow | None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK_PAYER, psu)
            resumed = await connection.fetchrow(_RESUME, authenticator_id, psu)
            if resumed is None:
                before = await connection.fetchrow(_ONE, authenticator_id, psu)
                return row_of(before) if before else None
            await _tell(connection, "authenticator.resumed", row_of(resumed), occurrence)
            return row_of(resumed)


async def _tell_revoked(
    connection: Connection, row: AuthenticatorRow, occurrence: Occurrence, **members: str
) -> None:
    """With one that was active goes what is pending."""
    await _tell(connection, "authenticator.revoked", row, occurrence, **members)
    if row.activated_at is not None:
        await _revoke_pending(connection, row.psu, occurrence)


async def _revoke_pending(connection: Connection, psu: str, occurrence: Occurrence) -> None:
    for pending in await connection.fetch(_REVOKE_PENDING, psu):
        await _tell(connection, "authenticator.revoked", row_of(pending), occurrence, reason="not_activated")


def _parts(authorisation: Authorisation | None) -> tuple[str | None, int | None]:
    return (authorisation.approval, authorisation.at_s) if authorisation else (None, None)


async def _tell(
    connection: Connection, kind: str, row: AuthenticatorRow, occurrence: Occurrence, **members: str
) -> None:
    at_ms, origin = occurrence.at_ms, occurrence.origin
    event = event_of(kind, row, at_ms=at_ms, origin=origin, members=members)
    await insert_events(connection, [event])
