"""What the record comes to when it grows: `python -m loadtests.growth --minutes 8`.

Fills an embedded PostgreSQL for so many minutes (or up to so many events) as the service does: in commits of a thousand
events with what belongs to them, and the log role's rounds over them. Then measures bytes per event, auditors' queries,
exports, retention and vacuum, and the same events in tables with and without partitions. Prints TOML for
`loadtests/capacity.toml`. Loopback only; bounded; ends by itself.
"""

import platform
import random
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cyclopts import run

from loadtests.growth_partitions import compare
from loadtests.growth_rows import EVENTS, Payment, payment
from sca_service.audit.export.model import ExportFilter, Extent
from sca_service.audit.export.postgres_store import LeafStore, connect_reader
from sca_service.audit.log import postgres_store as log_store
from sca_service.audit.log.note import NoteSigner
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.postgres_store import StoryReader, copy_events
from sca_service.console.filters import Filters
from sca_service.console.postgres_store import DeskStore
from sca_service.kernel.postgres import connect_postgres
from sca_service.migrations import migrate
from sca_service.sandbox.servers import start_servers

_PAYMENTS_PER_COMMIT = 200
_PAYMENTS_OF_A_PAYER = 25
PAYMENTS_PER_SECOND = 4
"""By their dates: a million payments are some three days."""
BEGAN_MS = 1_763_812_800_000
_TRIES = 40
_EXPORTED = 200_000
_PRUNED_BUNDLES = 64
_SIGNER = NoteSigner("sca.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
_OF_AN_EVENT = ("audit_events", "audit_leaves", "log_tiles")
_OF_A_CHALLENGE = ("audit_private", "challenges", "acceptances", "analytics_deliveries", "analytics_stories")

_CHALLENGES = """
    INSERT INTO challenges (id, client_id, psu, purpose, status, created_at, expires_at, revision, state)
    SELECT id, 'bank', psu, 'payment', 'pending', at, at + interval '5 minutes', 1, state
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[]) AS new (id, psu, at, state)
"""
_CHANGED = """
    UPDATE challenges SET revision = $2, status = $3, state = new.state
    FROM unnest($1::text[], $4::bytea[]) AS new (id, state) WHERE challenges.id = new.id
"""
CHANGES = ((2, 1_713, "pending"), (3, 1_770, "pending"), (4, 1_781, "approved"))
"""What is stored of a challenge after its issue, as a running service had it: revision, bytes of the state, status."""
_UNDER_WAY = 2_000
"""So many challenges wait for each change: those of one page are changed at different times."""
_STORIES = """
    INSERT INTO analytics_stories
    SELECT id, at, repeat(md5(id), 20) FROM unnest($1::text[], $2::timestamptz[]) AS one (id, at)
"""
_DELIVERIES = """
    INSERT INTO analytics_deliveries
    SELECT 'dlv_' || substr(id, 5) || '01', 1, id, 1, at, 'delivered', '', true, at, at, true, at, false
    FROM unnest($1::text[], $2::timestamptz[]) AS one (id, at)
"""

UnderWay = tuple[list[str], ...]
"""Challenges that wait for each of `CHANGES`."""


def bench(*, minutes: float = 8, events: int = 10_000_000) -> None:
    """Fill for so many minutes, up to so many events, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        servers = start_servers(Path(folder))
        try:
            migrate(servers.postgres.url)
            uvloop.run(_bench(servers.postgres.url, minutes * 60, events))
        finally:
            servers.stop()


async def _bench(url: str, seconds: float, most: int) -> None:
    say("measured_on", datetime.now(UTC).date().isoformat())
    say("machine", f"{platform.machine()}, 2 shared cores, embedded PostgreSQL, 64 MB of shared buffers")
    pool = await connect_postgres(url, most_connections=3, statement_deadline_seconds=600)
    async with pool, pool.acquire() as connection:
        filled, sample = await _fill(connection, seconds, most)
        await _sequence(pool, connection)
        await connection.execute("VACUUM ANALYZE")
        await sizes(connection, filled)
        await queries(pool, sample)
        await _export(url)
        await compare(connection, say)
        await retention(connection)


def say(name: str, value: float | str) -> None:
    """Print one figure."""
    print(
        f"{name} = {value!r}".replace("'", '"') if isinstance(value, str) else f"{name} = {value:.6g}",
        flush=True,
    )


async def _fill(connection: Any, seconds: float, most: int) -> tuple[int, list[Payment]]:
    """Commit payments for so long. Returns how many events there are, and some of the payments."""
    number, sample, waited = 0, [], []
    under_way: UnderWay = tuple([] for _ in CHANGES)
    until = time.monotonic() + seconds
    while time.monotonic() < until and number * EVENTS < most:
        payments = [
            payment(
                (number + at) // _PAYMENTS_OF_A_PAYER,
                BEGAN_MS + (number + at) * 1000 // PAYMENTS_PER_SECOND,
            )
            for at in range(_PAYMENTS_PER_COMMIT)
        ]
        begun = time.perf_counter()
        await commit(connection, payments)
        await change(connection, under_way, [one.challenge for one in payments], most=_UNDER_WAY)
        waited.append(time.perf_counter() - begun)
        number += len(payments)
        sample += payments[:1]
    await change(connection, under_way, [], most=0)
    say("events", number * EVENTS)
    say("events_per_second", number * EVENTS / sum(waited))
    say("events_per_second_at_the_end", _PAYMENTS_PER_COMMIT * EVENTS / median(waited[-50:]))
    say("commit_ms", median(waited) * 1000)
    say(
        "wal_bytes_per_event",
        float(await connection.fetchval("SELECT wal_bytes FROM pg_stat_wal")) / number / EVENTS,
    )
    return number * EVENTS, sample


async def commit(connection: Any, payments: list[Payment]) -> None:
    """One commit of new payments, as the group commit has it."""
    ids, psus, at = zip(*((one.challenge, one.psu, one.at) for one in payments), strict=True)
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO payer_keys (psu, wrapped) SELECT DISTINCT one, repeat('k', 84) FROM unnest($1::text[]) AS one"
            " ON CONFLICT (psu) WHERE destroyed_at IS NULL DO NOTHING",
            psus,
        )
        await copy_events(connection, [event for one in payments for event in one.events])
        await connection.execute(
            "INSERT INTO audit_private (event_id, key_id, sealed) SELECT event_id, key.id, sealed"
            " FROM unnest($1::text[], $2::text[], $3::bytea[]) AS one (event_id, psu, sealed)"
            " JOIN payer_keys AS key ON key.psu = one.psu",
            [one.events[0].head.id for one in payments],
            psus,
            [one.sealed for one in payments],
        )
        await connection.execute(_CHALLENGES, ids, psus, at, [one.state for one in payments])
        await connection.execute(
            "INSERT INTO acceptances (challenge_id, event_id) SELECT * FROM unnest($1::text[], $2::text[])",
            ids,
            [one.events[-1].head.id for one in payments],
        )
        await connection.execute(_STORIES, ids, at)
        await connection.execute(_DELIVERIES, ids, at)


async def change(connection: Any, under_way: UnderWay, ids: list[str], *, most: int) -> None:
    """Add challenges to those under way; of these change as many as there are more than `most` for each change."""
    for waiting, (revision, length, status) in zip(under_way, CHANGES, strict=True):
        waiting.extend(ids)
        random.shuffle(waiting)
        ids = [waiting.pop() for _ in range(max(len(waiting) - most, 0))]
        if ids:
            states = [secrets.token_bytes(length) for _ in ids]
            await connection.execute(_CHANGED, ids, revision, status, states)


async def _sequence(pool: asyncpg.Pool, connection: Any) -> None:
    sequencer, begun, added = Sequencer(pool, [_SIGNER]), time.perf_counter(), 0
    await sequencer.open_log(connection)
    while more := await sequencer.sequence_once(connection):
        added += more
    say("sequenced_per_second", added / (time.perf_counter() - begun))


async def sizes(connection: Any, events: int) -> None:
    for table in (*_OF_AN_EVENT, *_OF_A_CHALLENGE):
        per = events if table in _OF_AN_EVENT else events / EVENTS
        row = await connection.fetchrow(
            "SELECT pg_table_size($1::regclass), pg_indexes_size($1::regclass)", table
        )
        say(f"bytes.{table}", row[0] / per)
        say(f"index_bytes.{table}", row[1] / per)


async def queries(pool: asyncpg.Pool, sample: list[Payment]) -> None:
    stories, desk = StoryReader(pool), DeskStore(pool)
    picked = sample[:: max(len(sample) // _TRIES, 1)][:_TRIES]
    hour = timedelta(hours=1)
    asked: dict[str, Callable[[Payment], Awaitable[object]]] = {
        "challenge": lambda one: stories.story(one.challenge, client=None, most=1000),
        "payer": lambda one: desk.newest(Filters(), [one.psu], most=50),
        "newest": lambda _: desk.newest(Filters(), None, most=50),
        "hour": lambda one: desk.newest(Filters(since=one.at, until=one.at + hour), None, most=50),
        "kind_in_hour": lambda one: desk.newest(
            Filters(kind="challenge.answered", since=one.at, until=one.at + hour), None, most=50
        ),
        "counts_of_an_hour": lambda one: desk.counts(one.at, one.at + hour),
        "types": lambda _: desk.types(),
    }
    for name, ask in asked.items():
        took = []
        for one in picked:
            begun = time.perf_counter()
            try:
                await ask(one)
            except Exception as error:  # told as the figure that it is
                say(f"query_failed.{name}", type(error).__name__)
                break
            took.append((time.perf_counter() - begun) * 1000)
        if took:
            say(f"query_ms.{name}", median(took))
            say(f"query_ms_worst.{name}", max(took))


async def _export(url: str) -> None:
    reader = await connect_reader(url, most_connections=1)
    async with reader:
        store, begun, at = LeafStore(reader), time.perf_counter(), 0
        while at < _EXPORTED:
            rows, at = await store.read(ExportFilter(), Extent(at, _EXPORTED))
            if not rows:
                break
        say("exported_per_second", at / (time.perf_counter() - begun))


async def retention(connection: Any) -> None:
    """What the log's leader does to a portion, and the vacuum that follows."""
    end = _PRUNED_BUNDLES * 256
    begun = time.perf_counter()
    async with connection.transaction():
        await log_store.prune(connection, end)
    say("pruned_per_second", end / (time.perf_counter() - begun))
    begun = time.perf_counter()
    await connection.execute("VACUUM audit_events")
    say("vacuum_seconds", time.perf_counter() - begun)


if __name__ == "__main__":
    run(bench)
