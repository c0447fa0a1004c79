"""The log role: gives every committed event its index and its place in the tree, and signs what came of it.

Transactions commit in another order than they begin. An event may be sequenced once no transaction that began before
its own is still under way: PostgreSQL's snapshot horizon says so, and no clock is asked (decision 8). One leader at a
time, by an advisory lock; when it goes away another takes the lock and events have waited in order.

A round is one transaction that holds the log's state: leaves, tiles, the state and the signed checkpoint are there
together or not at all. Whoever signs a tree has extended the one that was signed before it.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from sca_service.audit.log import postgres_store as store
from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteSigner, add_signatures, sign
from sca_service.audit.log.tiles import RightEdge, edge_tiles
from sca_service.audit.merkle import leaf_hash
from sca_service.kernel.errors import ScaError
from sca_service.kernel.postgres import POSTGRES_AWAY
from sca_service.kernel.telemetry import (
    CHECKPOINT_AGE,
    EVENTS_SEQUENCED,
    LOG_WAITING,
    ROUND_SECONDS,
    SEQUENCER_LEADER,
    TREE_SIZE,
)

_TIDY_EVERY_SECONDS = 3600.0

log = structlog.get_logger()


class LogDamaged(ScaError):
    """The stored tree is not the one that was signed last: nothing more is signed before somebody has looked."""


class Housekeeper(Protocol):
    """What the leader does once an hour, between two rounds."""

    async def tidy(self, connection: store.Connection) -> bool:
        """Do a bounded part of what there is to do. Returns whether there is more."""


class Sequencer:
    """Runs as leader when it can, and waits for the leadership when it cannot.

    A checkpoint is published at once, or, when it `awaits_witnesses`, by whoever gathers their signatures
    (`postgres_store.unpublished` and `publish`).
    """

    def __init__(
        self,
        pool: store.Pool,
        signers: Sequence[NoteSigner],
        *,
        housekeeper: Housekeeper | None = None,
        awaits_witnesses: bool = False,
        pause_seconds: float = 0.1,
        most_per_round: int = 5000,
    ) -> None:
        """All of `signers` sign every checkpoint; their name is the log's origin. The pool's statements have time."""
        self._pool = pool
        self._signers = tuple(signers)
        self._housekeeper = housekeeper
        self._awaits_witnesses = awaits_witnesses
        self._pause_seconds = pause_seconds
        self._most_per_round = most_per_round

    async def run(self, stop: asyncio.Event) -> None:
        """Sequence until `stop` is set; a store that is away is waited for."""
        while not stop.is_set():
            try:
                async with self._pool.acquire() as connection:
                    await self._lead(connection, stop)
            except POSTGRES_AWAY as error:
                log.warning("sequencer.waiting", reason=type(error).__name__)
            except Exception as error:  # the log role's loop lives on (style, rule 10)
                log.error("sequencer.failed", exc=error)
            finally:
                SEQUENCER_LEADER.set(0)
            await _pause(stop, self._pause_seconds * 5)

    async def _lead(self, connection: store.Connection, stop: asyncio.Event) -> None:
        if not await store.try_lead(connection):
            return
        SEQUENCER_LEADER.set(1)
        log.info("sequencer.leading")
        try:
            await self.open_log(connection)
            await self._keep_sequencing(connection, stop)
        finally:
            if not connection.is_closed():
                await store.stop_leading(connection)

    async def _keep_sequencing(self, connection: store.Connection, stop: asyncio.Event) -> None:
        tidy_at = time.monotonic()
        while not stop.is_set():
            added = await self.sequence_once(connection)
            CHECKPOINT_AGE.set(await store.published_age_seconds(connection) or 0)
            LOG_WAITING.set(await self._waiting_seconds(connection))
            if self._housekeeper and time.monotonic() >= tidy_at:
                has_more = await self._housekeeper.tidy(connection)
                tidy_at = time.monotonic() + (0 if has_more else _TIDY_EVERY_SECONDS)
            if added < self._most_per_round:
                await _pause(stop, self._pause_seconds)

    async def _waiting_seconds(self, connection: store.Connection) -> float:
        return await store.waiting_seconds(connection, (await store.state(connection)).place)

    async def open_log(self, connection: store.Connection) -> None:
        """Put on record which keys sign, and sign the tree as it is, were it empty, unless that was done before.

        Raises LogDamaged, and asyncpg errors when the store is away.
        """
        async with connection.transaction():
            state = await store.lock_state(connection)
            if await store.is_ahead(connection):
                raise LogDamaged("PostgreSQL counts transactions anew, as after a restore by dump")
            edge = await self._edge(connection, state.size)
            await store.add_keys(connection, [signer.verifier_key for signer in self._signers], state.size)
            await self._sign(connection, edge)
            await self._sign_by_new_keys(connection, edge)
        TREE_SIZE.set(edge.size)

    async def sequence_once(self, connection: store.Connection) -> int:
        """One round; when nothing is there it writes nothing. Returns how many events have their index now.

        Raises LogDamaged, and asyncpg errors when the store is away.
        """
        seen = await store.state(connection)
        events = await store.next_events(connection, seen.place, most=self._most_per_round)
        if not events:
            return 0
        with ROUND_SECONDS.time():
            async with connection.transaction():
                state = await store.lock_state(connection)
                if state.place != seen.place:  # another leader was quicker; the events are its own now
                    return 0
                edge = await self._edge(connection, state.size)
                await store.add_leaves(connection, state.size, (event.id for event in events))
                await store.save_tiles(
                    connection, edge.append([leaf_hash(event.body.encode()) for event in events])
                )
                await store.save_state(connection, edge.size, events[-1].place)
                await self._sign(connection, edge)
        EVENTS_SEQUENCED.inc(len(events))
        TREE_SIZE.set(edge.size)
        return len(events)

    async def _edge(self, connection: store.Connection, size: int) -> RightEdge:
        """The tree as it is stored. Raises LogDamaged when it is not the one that was signed."""
        signed = await store.root_at(connection, size)
        try:
            edge = RightEdge.of(size, await store.tiles(connection, edge_tiles(size)))
        except LookupError as error:
            raise LogDamaged("a tile at the edge of the log is gone") from error
        if edge.root() != signed and (size or signed):
            raise LogDamaged("the log is not the one that was signed")
        return edge

    async def _sign(self, connection: store.Connection, edge: RightEdge) -> None:
        root = edge.root()
        note = sign(Checkpoint(self._signers[0].name, edge.size, root).text, self._signers)
        await store.add_checkpoint(connection, edge.size, root, note, publish=not self._awaits_witnesses)

    async def _sign_by_new_keys(self, connection: store.Connection, edge: RightEdge) -> None:
        """Put the lines of keys that came since under the newest checkpoint; what stands there stays.

        A log that goes on under another origin has its newest checkpoint signed anew: its text has changed.
        """
        text = Checkpoint(self._signers[0].name, edge.size, edge.root()).text
        note = await store.note_at(connection, edge.size)
        if note.startswith(text):
            signed = add_signatures(note, [signer.signature(text) for signer in self._signers])
        else:
            signed = sign(text, self._signers)
        if signed != note:
            await store.save_note(connection, edge.size, signed)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
