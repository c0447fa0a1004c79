"""The group commit: what waits to be on record is committed together, before anybody is answered.

One commit serves all requests that wait for it: some 10 µs each instead of a disk flush each.
"""

from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import msgspec

from sca_service.audit import postgres_store
from sca_service.audit.model import Acceptance, AuditEvent, PrivateStore, Record, SnapshotStore
from sca_service.kernel.batching import Batcher, at_once
from sca_service.kernel.errors import ScaError, StoreUnavailable
from sca_service.kernel.postgres import in_time
from sca_service.kernel.telemetry import COMMIT_RECORDS, COMMIT_SECONDS

InsertEvents = Callable[[postgres_store.Connection, Sequence[AuditEvent]], Awaitable[None]]


class AuditWriter:
    """Commits records to PostgreSQL. A class because it holds the pool and what waits for the next commit."""

    def __init__(self, pool: asyncpg.Pool, snapshots: SnapshotStore, private: PrivateStore) -> None:
        self._pool = pool
        self._private = private
        self._snapshots = snapshots
        self._batcher: Batcher[Record, bool] = Batcher(
            at_once(self._commit), most_in_flight=2, most_in_batch=1000, most_waiting=20_000
        )

    async def commit(self, record: Record) -> bool:
        """Put a record on the log; returns when it is durable.

        False when its acceptance is taken by another event: this challenge was approved before, and what the event
        claims was put on record as `already_used` instead. Raises StoreUnavailable; the outbox still holds the events.
        """
        return await self._batcher.submit(record)

    async def accepted_by(self, challenge_id: str) -> str | None:
        """The event on record that approved a challenge, or None while there is none. Raises StoreUnavailable."""
        return await in_time(postgres_store.accepted_by(self._pool, challenge_id))

    async def has_event(self, challenge_id: str, kinds: Sequence[str]) -> bool:
        """Whether an event of one of these types about a challenge is on record. Raises StoreUnavailable."""
        return await in_time(postgres_store.has_event(self._pool, challenge_id, kinds))

    async def close(self) -> None:
        """Finish the commits under way."""
        await self._batcher.drain()

    async def _commit(self, records: Sequence[Record]) -> Sequence[bool | ScaError]:
        COMMIT_RECORDS.observe(len(records))
        try:
            with COMMIT_SECONDS.time():
                return await in_time(self._commit_either_way(records))
        except asyncpg.DataError:
            return [await self._commit_alone(record) for record in records]
        except asyncpg.PostgresError as error:
            raise StoreUnavailable("PostgreSQL refused the commit") from error

    async def _commit_alone(self, record: Record) -> bool | ScaError:
        """One record of a batch in which some record cannot be stored: it fails alone, not those beside it."""
        try:
            return (await in_time(self._commit_either_way([record])))[0]
        except StoreUnavailable as away:
            return away
        except asyncpg.PostgresError as error:
            fault = ScaError("a record cannot be stored")
            fault.__cause__ = error
            return fault

    async def _commit_either_way(self, records: Sequence[Record]) -> Sequence[bool]:
        try:
            if _is_new_and_public(records) and await self._commit_new(records):
                return [True] * len(records)
            return await self._transact(records)
        except asyncpg.UniqueViolationError:
            return await self._transact(records, repeated=True)

    async def _commit_new(self, records: Sequence[Record]) -> bool:
        """As nearly all answers are: events with nothing personal, and every acceptance is to be had. Else False."""
        async with self._pool.acquire() as connection:
            return await postgres_store.commit_new(
                connection,
                [record.acceptance for record in records if record.acceptance],
                [event for record in records for event in record.events],
                self._snapshots,
                [snapshot for record in records for snapshot in record.snapshots],
            )

    async def _transact(self, records: Sequence[Record], *, repeated: bool = False) -> Sequence[bool]:
        """One transaction; `repeated` when some of the events were committed before, by whoever was quicker."""
        insert = postgres_store.insert_events if repeated else postgres_store.copy_events
        async with self._pool.acquire() as connection, connection.transaction():
            results = await self._write(connection, records, insert)
            if repeated or not all(record.events for record in records):
                await postgres_store.await_standby(connection)
            return results

    async def _write(
        self, connection: postgres_store.Connection, records: Sequence[Record], insert: InsertEvents
    ) -> Sequence[bool]:
        claims = [record.acceptance for record in records if record.acceptance]
        held: set[Acceptance] = (
            await postgres_store.claim_acceptances(connection, claims) if claims else set()
        )
        results = [record.acceptance is None or record.acceptance in held for record in records]
        if not all(results):
            records = [
                record if accepted else _contradicted(record)
                for record, accepted in zip(records, results, strict=True)
            ]
        events = [event for record in records for event in record.events]
        if events:
            await insert(connection, events)
        private = [one for record in records for one in record.private]
        if private:
            await self._private.save(connection, private)
        snapshots = [snapshot for record in records for snapshot in record.snapshots]
        if snapshots:
            await self._snapshots.save(connection, snapshots)
        return results


def _is_new_and_public(records: Sequence[Record]) -> bool:
    """Whether each has an event, so that its commit waits for the standby, and none has what goes to the vault."""
    return all(record.events and not record.private for record in records)


def _contradicted(record: Record) -> Record:
    """The record of an approval whose challenge had been approved before: a store had lost its tail (decision 6)."""
    events = tuple(_as_already_used(event) for event in record.events)
    return msgspec.structs.replace(record, events=events, acceptance=None, snapshots=())


def _as_already_used(event: AuditEvent) -> AuditEvent:
    members = msgspec.json.decode(event.body)
    if members.get("outcome") != "approved":
        return event
    return AuditEvent.of(members | {"outcome": "already_used", "revived": True})
