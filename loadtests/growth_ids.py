"""What ids that begin with their time give: `python -m loadtests.growth_ids --sizes 1000000 5000000 10000000`.

The same payments in three schemas, in turns: with ids by chance, with ids in the order of their time, and with the
latter in sixty partitions by month. At each size: what commits cost (the service's statements), what is written ahead,
how large the indexes are, look-ups, and what it takes to take a month away. Prints TOML. Loopback only; ends by itself.

Up to the first size every row is inserted into tables with their indexes. From there on the rows are filled in without
indexes, which are then built anew, and have short bodies: only what is measured behind them has whole rows.
"""

import asyncio
import os
import secrets
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop
from cyclopts import run

from loadtests.growth import CHANGES, UnderWay, change, commit, say
from loadtests.growth_rows import EVENTS, payment
from sca_service.migrations import migrate
from sca_service.sandbox.postgres_files import prepare_cluster, program
from sca_service.sandbox.servers import start_servers

_SCHEMAS = ("chance", "ordered", "parts")
_MONTHS = 60
BEGAN_MS = 1_767_225_600_000
"""2026-01-01."""
_MONTH_MS = 2_629_800_000
_PER_COMMIT = 200
_COMMITS = 100
_ROUNDS = 2
_LOOKED_UP = 100
_LONGEST_SECONDS = 10
_TICK = os.sysconf("SC_CLK_TCK")

_HEX = "lpad(to_hex({at}), 12, '0') || substr(md5(random()::text), 1, 20)"
_CHANCE = "md5(random()::text || {at})"

# Payments from $1 on, $2 of them; each of five events. Ids are made once, so that all tables tell of the same ones.
_PAYMENTS = """
    CREATE UNLOGGED TABLE payments AS
    SELECT number, at, 'chl_' || lpad(to_hex(hashint8(number / 25) & 63), 2, '0') || '2016' || {challenge} AS challenge,
           md5('payer' || number / 25) AS psu
    FROM (
        SELECT number, $1::bigint + number * $2::bigint / 1000 AS at
        FROM generate_series($3::bigint, $4::bigint) AS number
    ) AS one
"""
_EVENTS = """
    CREATE UNLOGGED TABLE events AS
    SELECT 'evt_' || {event} AS id, to_timestamp(at / 1000.0) AS at, type, psu, challenge, nth,
           row_number() OVER (ORDER BY number, nth) AS place
    FROM (
        SELECT number, payments.at + 800 * nth AS at, psu, challenge, nth,
               (ARRAY['challenge.issued', 'delivery.attempted', 'delivery.settled', 'delivery.settled',
                      'challenge.answered'])[nth + 1] AS type
        FROM payments, generate_series(0, 4) AS nth OFFSET 0
    ) AS one
"""
_FILL = (
    "INSERT INTO audit_events (id, at, type, client_id, psu, challenge_id, body)"
    " SELECT id, at, type, 'bank', psu, challenge, repeat('b', {body}) FROM events ORDER BY place",
    "INSERT INTO audit_leaves SELECT place - 1 + (SELECT count(*) FROM audit_leaves), id FROM events ORDER BY place",
    "INSERT INTO audit_private SELECT id, 1, repeat('s', {sealed})::bytea FROM events WHERE nth = 0 ORDER BY place",
    "INSERT INTO acceptances SELECT challenge, id, at FROM events WHERE nth = 4 ORDER BY place",
    "INSERT INTO challenges SELECT challenge, 'bank', psu, 'payment', 'approved', at, at, 4,"
    " repeat('s', {state})::bytea FROM events WHERE nth = 0 ORDER BY place",
)
_TABLES = ("audit_events", "audit_leaves", "audit_private", "acceptances", "challenges")
_LOOK_UPS = {
    "id": "SELECT body FROM audit_events WHERE id = $1",
    "challenge": "SELECT event.body, leaf.index FROM audit_events AS event"
    " LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id WHERE event.challenge_id = $1"
    " ORDER BY event.txid, event.position",
    "acceptance": "SELECT event_id FROM acceptances WHERE challenge_id = $1",
    "place": "SELECT id FROM audit_events WHERE (txid, position) > ($1::text::xid8, $2::bigint)"
    " ORDER BY txid, position LIMIT 100",
    "payer": "SELECT body FROM audit_events WHERE psu = ANY(ARRAY[$1]) ORDER BY txid DESC, position DESC LIMIT 50",
    "leaves": "SELECT event.body FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
    " WHERE leaf.index >= $1 AND leaf.index < $1 + 256 ORDER BY leaf.index",
    "newest": "SELECT body FROM audit_events ORDER BY txid DESC, position DESC LIMIT 50",
    "newest_of_type": "SELECT body FROM audit_events WHERE type = 'challenge.answered'"
    " ORDER BY txid DESC, position DESC LIMIT 50",
}


def bench(*, sizes: list[int], folder: Path | None = None) -> None:
    """Fill up to each size (events) in turn and measure."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        _let_checkpoint(Path(place) / "postgres")
        servers = start_servers(Path(place))
        try:
            for schema in _SCHEMAS:
                asyncio.run(_make(servers.postgres.url, schema))
                migrate(f"{servers.postgres.url}&search_path={schema}")
            uvloop.run(_bench(servers.postgres.url, sizes))
        finally:
            servers.stop()


def _let_checkpoint(folder: Path) -> None:
    folder.mkdir(parents=True)
    cluster = prepare_cluster(folder)
    subprocess.run(
        [*cluster.launcher, program("postgres"), "--single", "-D", str(cluster.folder), "postgres"],
        input=b"GRANT pg_checkpoint TO sca;\n",
        check=True,
        capture_output=True,
    )


async def _make(url: str, schema: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.close()


async def _bench(url: str, sizes: list[int]) -> None:
    connections = {
        schema: await asyncpg.connect(url, server_settings={"search_path": schema}) for schema in _SCHEMAS
    }
    for schema, connection in connections.items():
        await connection.execute("SET maintenance_work_mem = '400MB'; SET work_mem = '200MB'")
        if schema == "parts":
            await _cut(connection)
    filled = 0
    for size in sizes:
        for schema, connection in connections.items():
            begun = time.monotonic()
            await _fill(connection, schema, filled, size, sizes[-1])
            print(f"# {schema} filled to {size} in {time.monotonic() - begun:.0f} s", flush=True)
        filled = size
        await _measure(connections, size, sizes[-1])
    await _take_away(connections)


async def _cut(connection: Any) -> None:
    """Cut events and what is sealed for them by month; keys are the ids."""
    for table, key in (("audit_events", "id"), ("audit_private", "event_id")):
        indexes = await connection.fetch(
            "SELECT indexdef FROM pg_indexes"
            " WHERE schemaname = 'parts' AND tablename = $1 AND indexname <> $1 || '_pkey'",
            table,
        )
        await connection.execute(
            f"ALTER TABLE {table} RENAME TO whole;"
            f" CREATE TABLE {table} (LIKE whole INCLUDING DEFAULTS INCLUDING IDENTITY)"
            f" PARTITION BY RANGE ({key}); DROP TABLE whole; ALTER TABLE {table} ADD PRIMARY KEY ({key})"
        )
        for month in range(_MONTHS + 1):
            bounds = [f"evt_{BEGAN_MS + _MONTH_MS * at:012x}" for at in (month, month + 1)]
            await connection.execute(
                f"CREATE TABLE {table}_{month} PARTITION OF {table} FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
            )
        await connection.execute(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT")
        for row in indexes:
            await connection.execute(row["indexdef"])


async def _fill(connection: Any, schema: str, start: int, end: int, most: int) -> None:
    kind = _CHANCE if schema == "chance" else _HEX
    step = _MONTH_MS * _MONTHS * 1000 // (most // EVENTS)
    rebuilt = await strip(connection, schema) if start else []
    for begin in range(start, end, 1_000_000):
        first, last = begin // EVENTS, min(begin + 1_000_000, end) // EVENTS - 1
        await connection.execute("DROP TABLE IF EXISTS payments, events")
        await connection.execute(
            _PAYMENTS.format(challenge=kind.format(at="at"))
            .replace("$1", str(BEGAN_MS))
            .replace("$2", str(step))
            .replace("$3", str(first))
            .replace("$4", str(last))
        )
        await connection.execute(_EVENTS.format(event=kind.format(at="at")))
        lengths = {"body": 120, "sealed": 60, "state": 120}
        for statement in _FILL:
            await connection.execute(statement.format(**lengths))
    await connection.execute("DROP TABLE payments, events")
    for statement in rebuilt:
        await connection.execute(statement)
    for table in _TABLES:
        await connection.execute(f"VACUUM ANALYZE {table}")


async def strip(connection: Any, schema: str) -> list[str]:
    """Drop the indexes. Returns what makes them again."""
    rows = await connection.fetch(
        """
        SELECT pg_index.indexrelid::regclass::text AS name, indrelid::regclass::text AS of,
               pg_get_indexdef(indexrelid) AS def, conname, pg_get_constraintdef(pg_constraint.oid) AS condef
        FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u')
        JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = ANY($1::regclass[]) AND relnamespace = $2::regnamespace
        """,
        list(_TABLES),
        schema,
    )
    again = []
    for row in rows:
        if row["conname"]:
            await connection.execute(f"ALTER TABLE {row['of']} DROP CONSTRAINT {row['conname']}")
            again.append(f"ALTER TABLE {row['of']} ADD CONSTRAINT {row['conname']} {row['condef']}")
        else:
            await connection.execute(f"DROP INDEX {row['name']}")
            again.append(row["def"].replace(" ON ONLY ", " ON "))
    return again


async def _measure(connections: dict[str, Any], size: int, most: int) -> None:
    for schema, connection in connections.items():
        for table in _TABLES:
            bytes_ = await connection.fetchval(
                "SELECT sum(pg_indexes_size(relid)) FROM pg_partition_tree($1::regclass) WHERE isleaf"
                if await connection.fetchval(
                    "SELECT relkind = 'p' FROM pg_class WHERE oid = $1::regclass", table
                )
                else "SELECT pg_indexes_size($1::regclass)",
                table,
            )
            say(f"{size}.index_bytes.{schema}.{table}", float(bytes_) / size)
    spent: dict[str, list[float]] = defaultdict(list)
    wal: dict[str, list[float]] = defaultdict(list)
    took: dict[str, list[float]] = defaultdict(list)
    under_way: dict[str, UnderWay] = {schema: tuple([] for _ in CHANGES) for schema in connections}
    step = _MONTH_MS * _MONTHS // (most // EVENTS)
    number = size // EVENTS
    for _ in range(_ROUNDS):
        for schema, connection in connections.items():
            await connection.execute("CHECKPOINT")
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            lsn = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
            before, begun = _cpu(pid), time.perf_counter()
            for at in range(_COMMITS):
                payments = [
                    payment(
                        secrets.randbelow(max(number // 25, 1)),
                        BEGAN_MS + (number + at * _PER_COMMIT + one) * step,
                        ordered=schema != "chance",
                    )
                    for one in range(_PER_COMMIT)
                ]
                await commit(connection, payments)
                await change(connection, under_way[schema], [one.challenge for one in payments], most=2_000)
            events = _COMMITS * _PER_COMMIT * EVENTS
            spent[schema].append((_cpu(pid) - before) / events * 1e6)
            took[schema].append((time.perf_counter() - begun) / events * 1e6)
            wal[schema].append(
                float(
                    await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", lsn)
                )
                / events
            )
        number += _COMMITS * _PER_COMMIT
    for schema in connections:
        say(f"{size}.commit_cpu_us_per_event.{schema}", median(spent[schema]))
        say(f"{size}.commit_us_per_event.{schema}", median(took[schema]))
        say(f"{size}.wal_bytes_per_event.{schema}", median(wal[schema]))
    await _look_up(connections, size)


async def _look_up(connections: dict[str, Any], size: int) -> None:
    for connection in connections.values():
        await connection.execute(
            "ANALYZE audit_events; ANALYZE audit_leaves"
        )  # as the server does within a minute
    for what, statement in _LOOK_UPS.items():
        for schema, connection in connections.items():
            sample = await connection.fetch(
                "SELECT id, challenge_id, psu, txid::text AS txid, position FROM audit_events"
                " TABLESAMPLE SYSTEM (0.2) ORDER BY random() LIMIT $1",
                _LOOKED_UP,
            )
            asked = await connection.prepare(statement)
            took = []
            for row in sample:
                key: tuple[object, ...] = {
                    "id": (row["id"],),
                    "challenge": (row["challenge_id"],),
                    "acceptance": (row["challenge_id"],),
                    "place": (row["txid"], row["position"]),
                    "payer": (row["psu"],),
                    "leaves": (secrets.randbelow(size - 256),),
                }.get(what, ())
                begun = time.perf_counter()
                await asked.fetch(*key)
                took.append(time.perf_counter() - begun)
                if sum(took) > _LONGEST_SECONDS:
                    break
            say(f"{size}.look_up_ms.{schema}.{what}", median(took[len(took) // 5 :]) * 1000)


async def _take_away(connections: dict[str, Any]) -> None:
    """The second month: deleted and vacuumed away, or its partition dropped."""
    bounds = [f"evt_{BEGAN_MS + _MONTH_MS * at:012x}" for at in (1, 2)]
    at = [(BEGAN_MS + _MONTH_MS * one) / 1000 for one in (1, 2)]
    for schema, connection in connections.items():
        rows = await connection.fetchval(
            "SELECT count(*) FROM audit_events WHERE at >= to_timestamp($1) AND at < to_timestamp($2)", *at
        )
        lsn = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
        begun = time.perf_counter()
        if schema == "parts":
            await connection.execute("DROP TABLE audit_events_1")
        elif schema == "ordered":
            await connection.execute("DELETE FROM audit_events WHERE id >= $1 AND id < $2", *bounds)
        else:
            await connection.execute(
                "DELETE FROM audit_events WHERE at >= to_timestamp($1) AND at < to_timestamp($2)", *at
            )
        say(f"take_away_us_per_event.{schema}", (time.perf_counter() - begun) / rows * 1e6)
        if schema != "parts":
            await connection.execute("VACUUM audit_events")
        say(f"take_away_with_vacuum_us_per_event.{schema}", (time.perf_counter() - begun) / rows * 1e6)
        say(
            f"take_away_wal_bytes_per_event.{schema}",
            float(await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", lsn))
            / rows,
        )


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


if __name__ == "__main__":
    run(bench)
