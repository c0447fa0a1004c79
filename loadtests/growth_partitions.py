"""The same events in one table and in sixty partitions by month: what writing, reading and taking away cost in each."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from sca_service.kernel.ids import new_id

_MONTHS = 60
_ROWS = 600_000
_COPIED = 100_000
_AT_ONCE = 1_000
_LOOKED_UP = 200
_COLUMNS = "id, txid, position, at, type, client_id, psu, challenge_id, body"
_INDEXES = ("(txid, position)", "(challenge_id)", "(psu)")

_FILL = """
    INSERT INTO {name} (id, txid, position, at, type, client_id, psu, challenge_id, body)
    SELECT id, txid, position,
           '2024-01-15'::timestamptz
               + make_interval(months => (row_number() OVER (ORDER BY txid, position) * {months} / {rows})::int),
           type, client_id, psu, challenge_id, body
    FROM audit_events ORDER BY txid, position LIMIT {rows}
"""
_LOOK_UPS = {
    "by_challenge": "SELECT body FROM {name} WHERE challenge_id = $1",
    "by_id": "SELECT body FROM {name} WHERE id = $1",
    "by_place": "SELECT id FROM {name} WHERE (txid, position) > ($1::text::xid8, $2::bigint)"
    " ORDER BY txid, position LIMIT 100",
}


async def compare(connection: Any, say: Callable[[str, float | str], None]) -> None:
    """Measure both and print each figure by its name."""
    await connection.execute(
        "CREATE TABLE one (LIKE audit_events INCLUDING DEFAULTS); ALTER TABLE one ADD PRIMARY KEY (id);"
        "CREATE TABLE parts (LIKE audit_events INCLUDING DEFAULTS) PARTITION BY RANGE (at);"
        "ALTER TABLE parts ADD PRIMARY KEY (id, at);"
    )
    for month in range(_MONTHS + 1):
        await connection.execute(await _partition(connection, month))
    for name in ("one", "parts"):
        for columns in _INDEXES:
            await connection.execute(f"CREATE INDEX ON {name} {columns}")
    newest = await connection.fetch(
        f"SELECT {_COLUMNS} FROM audit_events ORDER BY txid DESC, position DESC LIMIT $1",  # noqa: S608 - constants
        _COPIED,
    )
    for name in ("one", "parts"):
        await connection.execute(_FILL.format(name=name, months=_MONTHS, rows=_ROWS))
        await connection.execute(f"ANALYZE {name}")
    last = await connection.fetchval("SELECT max(at) FROM one")
    rates: dict[str, list[float]] = {"one": [], "parts": []}
    rows = [(new_id("evt"), *row[1:3], last, *row[4:]) for row in newest]
    for begin in range(0, len(rows), _AT_ONCE):
        for name, took in rates.items():  # in turn, so that what else the machine does hits both
            begun = time.perf_counter()
            await connection.copy_records_to_table(
                name, columns=_COLUMNS.split(", "), records=rows[begin : begin + _AT_ONCE]
            )
            took.append(time.perf_counter() - begun)
    for name, took in rates.items():
        say(f"copy_per_second.{name}", _AT_ONCE / median(took))
    known = await connection.fetch(
        f"SELECT {_COLUMNS} FROM one TABLESAMPLE SYSTEM (5) ORDER BY random() LIMIT $1",  # noqa: S608 - constants
        _LOOKED_UP,
    )
    for what, statement in _LOOK_UPS.items():
        for name in rates:
            asked = await connection.prepare(statement.format(name=name))
            took = []
            for row in known:
                key = {"by_challenge": (row["challenge_id"],), "by_id": (row["id"],)}.get(
                    what, (str(row["txid"]), row["position"])
                )
                begun = time.perf_counter()
                await asked.fetch(*key)
                took.append(time.perf_counter() - begun)
            say(f"look_up_ms.{name}.{what}", median(took) * 1000)
    await _take_away(connection, say)


async def _partition(connection: Any, month: int) -> str:
    row = await connection.fetchrow(
        "SELECT ('2024-01-01'::date + make_interval(months => $1))::date,"
        " ('2024-01-01'::date + make_interval(months => $1 + 1))::date",
        month,
    )
    return f"CREATE TABLE parts_{month} PARTITION OF parts FOR VALUES FROM ('{row[0]}') TO ('{row[1]}')"


async def _take_away(connection: Any, say: Callable[[str, float | str], None]) -> None:
    """A month of each: rows deleted and vacuumed away, or the partition dropped."""
    month = await connection.fetchval("SELECT count(*) FROM parts_1")
    before = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    begun = time.perf_counter()
    await connection.execute("DELETE FROM one USING parts_1 WHERE one.id = parts_1.id")
    await connection.execute("VACUUM one")
    say("take_away_us_per_event.delete", (time.perf_counter() - begun) / month * 1e6)
    say("take_away_wal_bytes_per_event.delete", float(await _wal_since(connection, before)) / month)
    before = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    begun = time.perf_counter()
    await connection.execute("DROP TABLE parts_1")
    say("take_away_us_per_event.drop", (time.perf_counter() - begun) / month * 1e6)
    say("take_away_wal_bytes_per_event.drop", float(await _wal_since(connection, before)) / month)


async def _wal_since(connection: Any, before: object) -> float:
    return float(await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)", before))
