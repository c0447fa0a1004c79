"""What auditors' questions and retention take in a log of many events: `python -m loadtests.growth_questions`.

Rows are made by PostgreSQL itself, without the indexes, which are built behind them: ten million are there within
minutes. They have the lengths that a running service wrote, and texts that tell what the desk counts. Then the
service's own statements are measured. Prints TOML. Loopback only; ends by itself.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from cyclopts import run

from loadtests.growth import BEGAN_MS, PAYMENTS_PER_SECOND, queries, retention, say
from loadtests.growth_ids import strip
from loadtests.growth_rows import EVENTS, Payment
from sca_service.kernel.postgres import connect_postgres
from sca_service.migrations import migrate
from sca_service.sandbox.servers import start_servers

_AT_ONCE = 1_000_000
_PAYMENTS_OF_A_PAYER = 25
_SAMPLE = 40

_EVENTS = """
    CREATE UNLOGGED TABLE events AS
    SELECT 'evt_' || lpad(to_hex(at), 12, '0') || substr(md5(random()::text), 1, 20) AS id,
           at, type, psu, challenge, nth, row_number() OVER (ORDER BY number, nth) - 1 AS place
    FROM (
        SELECT number, made + 800 * nth AS at, nth,
               (ARRAY['challenge.issued', 'delivery.attempted', 'delivery.settled', 'delivery.settled',
                      'challenge.answered'])[nth + 1] AS type,
               md5('payer' || number / {of_a_payer}) AS psu,
               'chl_' || lpad(to_hex(hashint8(number / {of_a_payer}) & 63), 2, '0') || '2016'
                   || lpad(to_hex(made), 12, '0') || substr(md5(number::text), 1, 20) AS challenge
        FROM (
            SELECT number, {began_ms}::bigint + number * 1000 / {per_second} AS made
            FROM generate_series({first}::bigint, {last}::bigint) AS number
        ) AS payment, generate_series(0, 4) AS nth OFFSET 0
    ) AS one
"""
_FILL = (
    "INSERT INTO audit_events (id, at, type, client_id, psu, challenge_id, body)"
    " SELECT id, to_timestamp(at / 1000.0), type, 'bank', psu, challenge,"
    ' format(\'{{"at_ms":%s,"challenge":"%s","channel":"sms","id":"%s","outcome":"approved","padding":"%s",'
    '"psu":"%s","sca":true,"status":"delivered","type":"%s"}}\','
    " at, challenge, id, repeat('b', 430), psu, type)"
    " FROM events ORDER BY place",
    "INSERT INTO audit_leaves SELECT place + {before}, id FROM events ORDER BY place",
    "INSERT INTO audit_private SELECT id, 1, decode(repeat('5c', 414), 'hex') FROM events WHERE nth = 0 ORDER BY place",
    "INSERT INTO acceptances SELECT challenge, id, to_timestamp(at / 1000.0) FROM events WHERE nth = 4 ORDER BY place",
    "INSERT INTO challenges SELECT challenge, 'bank', psu, 'payment', 'approved', to_timestamp(at / 1000.0),"
    " to_timestamp(at / 1000.0), 4, decode(repeat('5c', 1781), 'hex') FROM events WHERE nth = 0 ORDER BY place",
    "INSERT INTO log_checkpoints (size, root, note, made_at, published_at)"
    " SELECT max(place) + {before}, '', '', to_timestamp(max(at) / 1000.0), now() FROM events GROUP BY at / 3600000"
    " ON CONFLICT DO NOTHING",
)
_SAMPLED = (
    "SELECT challenge_id, psu, at FROM audit_events TABLESAMPLE SYSTEM (0.05) ORDER BY random() LIMIT $1"
)


def bench(*, events: int = 10_000_000, folder: Path | None = None) -> None:
    """Fill so many events and measure."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        servers = start_servers(Path(place))
        try:
            migrate(servers.postgres.url)
            asyncio.run(_fill(servers.postgres.url, events))
            uvloop.run(_bench(servers.postgres.url, events))
        finally:
            servers.stop()


async def _fill(url: str, events: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("SET maintenance_work_mem = '400MB'; SET work_mem = '200MB'")
    begun = time.monotonic()
    rebuilt = await strip(connection, "public")
    for before in range(0, events, _AT_ONCE):
        end = min(before + _AT_ONCE, events)
        await connection.execute(
            "DROP TABLE IF EXISTS events;"
            + _EVENTS.format(
                of_a_payer=_PAYMENTS_OF_A_PAYER,
                began_ms=BEGAN_MS,
                per_second=PAYMENTS_PER_SECOND,
                first=before // EVENTS,
                last=end // EVENTS - 1,
            )
        )
        for statement in _FILL:
            await connection.execute(statement.format(before=before))
        print(f"# {end} events after {time.monotonic() - begun:.0f} s", flush=True)
    await connection.execute(
        "DROP TABLE events; UPDATE log_state SET size = (SELECT count(*) FROM audit_leaves)"
    )
    for statement in rebuilt:
        await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE")
    print(f"# filled in {time.monotonic() - begun:.0f} s", flush=True)
    await connection.close()


async def _bench(url: str, events: int) -> None:
    say("asked_among", events)
    pool = await connect_postgres(url, most_connections=3, statement_deadline_seconds=600)
    async with pool, pool.acquire() as connection:
        sample = [_payment(row) for row in await connection.fetch(_SAMPLED, _SAMPLE)]
        await queries(pool, sample)
        await retention(connection)


def _payment(row: Any) -> Payment:
    return Payment((), row["challenge_id"], row["psu"], b"", b"", row["at"])


if __name__ == "__main__":
    run(bench)
