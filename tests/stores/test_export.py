"""Exports over the real tables: snapshots, chunks, indexes that retention took, and a bound on how many run at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from sca_service.audit.export.exporter import Export, ExportedBy, Exporter
from sca_service.audit.export.model import ExportFilter, ExportFormat, Extent, LeafRow
from sca_service.audit.export.postgres_store import LeafStore, connect_reader
from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import InvalidInput, StoreUnavailable, TooEarly
from tests.harness import Deployment
from tests.storeroom import an_event, new_payer

BY = ExportedBy("client:auditor", "auditor", "req_storeroom")


class Recorded:
    """Keeps what was put on record; or is away."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.is_away = False

    async def commit(self, record: Record) -> bool:
        """Take it."""
        if self.is_away:
            raise StoreUnavailable
        self.events += record.events
        return True


class Numbered:
    """A source of many leaves that counts how often it is asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reads = 0

    async def extent(self) -> Extent:
        """All of them."""
        return Extent(0, self.size)

    async def unknown(self, _wanted: ExportFilter) -> list[str]:
        """None."""
        return []

    async def read(self, _wanted: ExportFilter, extent: Extent) -> tuple[Sequence[LeafRow], int]:
        """Ten at once."""
        self.reads += 1
        end = min(extent.first + 10, extent.size)
        return [(index, '{"id":"evt_0"}') for index in range(extent.first, end)], end


@pytest.fixture(autouse=True)
async def no_leaf_by_hand_is_left(pool: asyncpg.Pool) -> AsyncIterator[None]:
    """The log of these stores knows nothing of what `sequenced` puts there: a sequencer would trip over it."""
    yield
    await pool.execute("DELETE FROM audit_leaves WHERE index >= (SELECT size FROM log_state)")


@pytest.fixture
async def reader(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """A pool that cannot write."""
    async with await connect_reader(quiet_stores.servers.postgres.url, most_connections=2) as pool:
        yield pool


@pytest.fixture
def store(reader: asyncpg.Pool) -> LeafStore:
    """The tables, three leaves at once."""
    return LeafStore(reader, leaves_at_once=3)


@pytest.fixture
def record() -> Recorded:
    """Where it is put that somebody exports."""
    return Recorded()


@pytest.fixture
def exporter(store: LeafStore, record: Recorded) -> Exporter:
    """Exports of the tables."""
    return Exporter(store, record, SystemClock())


async def sequenced(pool: asyncpg.Pool, *events: AuditEvent) -> list[int]:
    """Put events on record, each with the next index; returns the indexes."""
    async with pool.acquire() as connection, connection.transaction():
        await insert_events(connection, events)
        return [
            await connection.fetchval(
                "INSERT INTO audit_leaves (index, event_id)"
                " SELECT COALESCE(max(index) + 1, 0), $1 FROM audit_leaves RETURNING index",
                event.head.id,
            )
            for event in events
        ]


async def lines(
    exporter: Exporter, wanted: ExportFilter, export_format: ExportFormat = ExportFormat.JSONL
) -> list[dict[str, Any]]:
    """The lines of an export."""
    parts = [part async for part in exporter.stream(export_format, wanted, BY)]
    return [json.loads(line) for line in b"".join(parts).splitlines()]


async def test_chunks_follow_each_other(pool: asyncpg.Pool, exporter: Exporter) -> None:
    """Whatever fits into a chunk, no leaf is left out and none comes twice, by index and by subject."""
    payer = new_payer()
    events = [an_event(client="bank", psu=payer, challenge=f"chl_{payer}", number=at) for at in range(10)]
    others = [an_event(client="bank", psu=new_payer()) for _ in range(10)]
    mixed = [one for pair in zip(events, others, strict=True) for one in pair]
    indexes = await sequenced(pool, *mixed)
    for wanted in (ExportFilter(payers=(payer,)), ExportFilter(challenge=f"chl_{payer}")):
        found = await lines(exporter, wanted)
        assert [line["index"] for line in found] == indexes[::2]
        assert [line["leaf"]["number"] for line in found] == list(range(10))
    everything = await lines(exporter, ExportFilter())
    assert [line["index"] for line in everything] == sorted({line["index"] for line in everything})
    assert [line["index"] for line in everything if line["index"] >= indexes[0]] == indexes
    both = ExportFilter(payers=(payer, others[0].head.psu or ""))
    assert [line["index"] for line in await lines(exporter, both)] == sorted({*indexes[::2], indexes[1]})


async def test_the_leaf_is_exported_as_it_is_stored(pool: asyncpg.Pool, exporter: Exporter) -> None:
    """Not one byte of it is written anew."""
    payer = new_payer()
    event = an_event(psu=payer, note="“ü” \\ / \u2028 \t", z=1, a={"b": [1, 2]})
    (index,) = await sequenced(pool, event)
    parts = [part async for part in exporter.stream(ExportFormat.JSONL, ExportFilter(payers=(payer,)), BY)]
    assert b"".join(parts) == f'{{"index":{index},"leaf":{event.body}}}\n'.encode()


async def test_what_comes_later_is_not_in_it(pool: asyncpg.Pool, exporter: Exporter) -> None:
    """An export is bounded by the index that the log had when it was asked for; events without an index wait."""
    payer = new_payer()
    await sequenced(pool, an_event(psu=payer))
    async with pool.acquire() as connection:
        await insert_events(connection, [an_event(psu=payer)])
    export = await exporter.open(ExportFormat.JSONL, ExportFilter(), BY)
    later = await sequenced(pool, *(an_event(psu=payer) for _ in range(5)))
    parts = [part async for part in exporter.chunks(export)]
    indexes = [json.loads(line)["index"] for line in b"".join(parts).splitlines()]
    assert indexes[-1] == later[0] - 1 == export.extent.size - 1
    assert export.file_name == f"audit-log-{later[0]}.jsonl"


async def test_times_types_and_clients_narrow(pool: asyncpg.Pool, exporter: Exporter) -> None:
    """Each filter on its own, over windows in which few leaves or none fit."""
    await sequenced(pool, *(an_event() for _ in range(7)))
    kind = f"test.{new_payer()[:8]}"
    event = an_event(kind, client="bank")
    (index,) = await sequenced(pool, event)
    await sequenced(pool, *(an_event() for _ in range(7)))
    at = datetime.fromtimestamp(event.head.at_ms / 1000, UTC)
    for wanted, is_in in (
        (ExportFilter(kind=kind), True),
        (ExportFilter(kind=kind, client="bank"), True),
        (ExportFilter(kind=kind, client="other-bank"), False),
        (ExportFilter(kind=kind, since=at), True),
        (ExportFilter(kind=kind, until=at), False),
        (ExportFilter(kind=kind, since=at + timedelta(milliseconds=1)), False),
        (ExportFilter(kind=kind, since=at, until=at + timedelta(milliseconds=1)), True),
    ):
        assert [line["index"] for line in await lines(exporter, wanted)] == [index] * is_in


@pytest.mark.parametrize(
    ("wanted", "pointers"),
    [
        (ExportFilter(kind="no.such"), ["/type"]),
        (ExportFilter(client="nobody", challenge="chl_none"), ["/challenge", "/client"]),
        (ExportFilter(payers=()), ["/psu"]),
    ],
)
async def test_what_is_not_on_record_is_refused(
    exporter: Exporter, record: Recorded, wanted: ExportFilter, pointers: list[str]
) -> None:
    """Every filter that names nothing is named, and no export is on record."""
    with pytest.raises(InvalidInput) as refused:
        await exporter.open(ExportFormat.CSV, wanted, BY)
    assert [one.pointer for one in refused.value.mistakes] == pointers
    assert record.events == []


async def test_payers_are_those_that_events_name(pool: asyncpg.Pool, store: LeafStore) -> None:
    """A pseudonym under which nothing is on record does not go on record by being asked for."""
    payer = new_payer()
    await sequenced(pool, an_event(psu=payer))
    assert await store.payers_on_record(["cust_1", payer, new_payer()]) == (payer,)


async def test_the_record_comes_first(record: Recorded) -> None:
    """When the export cannot be put on record not one byte leaves, and its place is free again."""
    exporter = Exporter(Numbered(5), record, SystemClock(), most_running=1)
    record.is_away = True
    with pytest.raises(StoreUnavailable):
        await anext(exporter.stream(ExportFormat.JSONL, ExportFilter(), BY))
    record.is_away = False
    assert await lines(exporter, ExportFilter(kind="a.b"))
    (event,) = record.events
    assert (event.head.type, event.head.client) == ("audit.exported", "auditor")
    assert json.loads(event.body)["filters"] == {"type": "a.b"}


async def test_only_so_many_run_at_once(record: Recorded) -> None:
    """One more than that is told to come later; when one has ended there is room."""
    exporter = Exporter(Numbered(50), record, SystemClock(), most_running=2)
    running = [exporter.stream(ExportFormat.JSONL, ExportFilter(), BY) for _ in range(2)]
    for one in running:
        await anext(one)
    with pytest.raises(TooEarly) as refused:
        await exporter.open(ExportFormat.JSONL, ExportFilter(), BY)
    assert refused.value.retry_after_seconds > 0
    async for _ in running[0]:
        pass
    await exporter.open(ExportFormat.JSONL, ExportFilter(), BY)


async def test_a_reader_that_stopped_gives_its_place_up(
    record: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another gets in; should the silent one go on after all, its file ends early and says so."""
    exporter = Exporter(Numbered(50), record, SystemClock(), most_running=1)
    silent = exporter.stream(ExportFormat.JSONL, ExportFilter(), BY)
    await anext(silent)
    monkeypatch.setattr("sca_service.audit.export.exporter._IDLE_SECONDS", 0.01)
    await asyncio.sleep(0.02)
    assert isinstance(await exporter.open(ExportFormat.JSONL, ExportFilter(), BY), Export)
    with pytest.raises(StoreUnavailable):
        await anext(silent)


async def test_nothing_is_read_that_nobody_takes(record: Recorded) -> None:
    """A reader that takes one part makes the store be asked for one part."""
    source = Numbered(1000)
    export = Exporter(source, record, SystemClock()).stream(ExportFormat.JSONL, ExportFilter(), BY)
    await anext(export)
    await anext(export)
    await asyncio.sleep(0.05)
    assert source.reads == 1


async def test_the_reader_cannot_write(reader: asyncpg.Pool) -> None:
    """Whatever an export does, it changes nothing."""
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reader.execute("DELETE FROM audit_leaves")


async def test_a_store_that_is_away_is_said_to_be() -> None:
    """A server that nobody is at is StoreUnavailable, not a surprise."""
    pool = await connect_reader("postgresql://nobody@127.0.0.1:1/none", most_connections=1)
    with pytest.raises(StoreUnavailable):
        await LeafStore(pool).extent()
    await pool.close()
