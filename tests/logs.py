"""Logs of their own for tests, and how what the log serves is taken apart."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteVerifier, open_note
from sca_service.audit.log.tiles import WIDTH, TileId, width_at
from sca_service.audit.merkle import leaf_hash, root_of
from sca_service.kernel.postgres import connect_postgres
from sca_service.migrations import migrate
from tests.harness import Deployment

PATIENT_SECONDS = 60.0
"""How long a statement of a test may take: longer on a busy machine than the service gives its own statements."""


@asynccontextmanager
async def own_schema(deployment: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections that see tables of their own, in which nothing has happened; they are dropped afterwards."""
    server, name = deployment.servers.postgres.url, f"own_{secrets.token_hex(6)}"
    await _tell(server, f"CREATE SCHEMA {name}")
    url = f"{server}&search_path={name}"
    await asyncio.to_thread(migrate, url)
    pool = await connect_postgres(url, most_connections=6, statement_deadline_seconds=PATIENT_SECONDS)
    try:
        yield pool
    finally:
        await pool.close()
        await _tell(server, f"DROP SCHEMA {name} CASCADE")


def entries_in(bundle: bytes) -> list[bytes]:
    """The entries of a bundle (C2SP tlog-tiles): each with its length in two bytes before it."""
    found = []
    while bundle:
        length = int.from_bytes(bundle[:2])
        assert len(bundle) >= 2 + length
        found.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    return found


async def assert_whole(pool: asyncpg.Pool, key: str) -> None:
    """The tree is the one over the events, in all its tiles, and every checkpoint is a beginning of it."""
    verifier = NoteVerifier.parse(key)
    rows = await pool.fetch(
        "SELECT event.body FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
        " ORDER BY leaf.index",
        timeout=PATIENT_SECONDS,
    )
    hashes = [leaf_hash(row["body"].encode()) for row in rows]
    assert await pool.fetchval("SELECT size FROM log_state") == len(hashes)
    tiles = await pool.fetch("SELECT level, index, hashes FROM log_tiles", timeout=PATIENT_SECONDS)
    for row in tiles:
        tile, span = TileId(row["level"], row["index"]), WIDTH ** row["level"]
        width = width_at(tile, len(hashes))
        first = tile.index * WIDTH * span
        assert row["hashes"] == b"".join(
            root_of(hashes[at : at + span]) for at in range(first, first + width * span, span)
        )
    assert len(tiles) == sum(-(-(len(hashes) // WIDTH**level) // WIDTH) for level in range(3))
    for row in await pool.fetch("SELECT size, root, note FROM log_checkpoints", timeout=PATIENT_SECONDS):
        assert row["root"] == root_of(hashes[: row["size"]])
        opened = open_note(row["note"], [verifier])
        assert Checkpoint.parse(opened.text) == Checkpoint(verifier.name, row["size"], row["root"])


async def _tell(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
