"""Export formats: JSON Lines keep each leaf to the byte, CSV runs no formula, Parquet has the same rows as both."""

import csv
import hashlib
import io
import json
import sys
from typing import Any

import pyarrow.parquet
import pytest

from sca_service.audit.export.model import COLUMNS, ExportFormat, LeafRow
from sca_service.audit.export.parquet import Parquet
from sca_service.audit.export.writers import CommaSeparated, JsonLines, LeafWriter, cell
from sca_service.audit.model import AuditEvent
from sca_service.kernel.errors import InvalidInput

AT_MS = 1_763_812_800_123


def a_leaf(number: int, **members: object) -> LeafRow:
    """A leaf with an index."""
    event = AuditEvent.create(
        event_id=f"evt_{number:032x}",
        kind="challenge.answered",
        at_ms=AT_MS + number,
        members={"client": "bank", "actor": "client:bank", **members},
    )
    return number, event.body


def written(writer: LeafWriter, *parts: list[LeafRow]) -> bytes:
    """The whole file."""
    return b"".join([writer.begin(), *(writer.rows(part) for part in parts), writer.end()])


def parsed(file: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(file.decode(), newline=""), strict=True))


def test_json_lines_hold_the_very_leaves() -> None:
    """The bytes between `"leaf":` and the end of the line hash to the leaf that the log has."""
    leaves = [a_leaf(7, note="naïve “quotes” \\ and \n lines"), a_leaf(8)]
    lines = written(JsonLines(), leaves[:1], leaves[1:]).splitlines(keepends=True)
    assert len(lines) == 2
    for line, (index, leaf) in zip(lines, leaves, strict=True):
        assert json.loads(line)["index"] == index
        begun, inner = line.split(b'"leaf":', 1)
        assert begun == b'{"index":%d,' % index
        assert inner.endswith(b"}\n")
        assert hashlib.sha256(inner[:-2]).digest() == hashlib.sha256(leaf.encode()).digest()


def test_csv_has_a_column_for_what_is_asked_most_and_the_whole_leaf() -> None:
    """Every row has every column, and the last of them is the leaf itself."""
    leaf = a_leaf(3, psu="ab" * 16, outcome="approved", request="req_1", policy="sha256:00", attempts_left=4)
    (row,) = parsed(written(CommaSeparated(), [leaf]))
    assert tuple(row) == COLUMNS
    assert row["index"] == "3"
    assert row["at"] == "2025-11-22T12:00:00.126Z"
    assert (row["psu"], row["outcome"], row["request"]) == ("ab" * 16, "approved", "req_1")
    assert (row["challenge"], row["reason"], row["status"]) == ("", "", "")
    assert row["leaf"] == leaf[1]


def test_csv_is_rfc_4180() -> None:
    """Lines end in CRLF, and a quote in a cell is doubled within quotes."""
    file = written(CommaSeparated(), [a_leaf(0)])
    assert file.count(b"\r\n") == 2
    assert file.endswith(b'"\r\n')
    assert b'"{""actor"":""client:bank"",' in file


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_is_never_a_formula(start: str) -> None:
    """What a caller chose, such as the request's id, begins with an apostrophe where a spreadsheet would run it."""
    formula = f'{start}HYPERLINK("x",1)'
    leaf = a_leaf(0, request=formula, reason=f"{start}1", actor=f"a{formula}")
    (row,) = parsed(written(CommaSeparated(), [leaf]))
    assert (row["request"], row["reason"]) == (f"'{formula}", f"'{start}1")
    assert row["actor"] == f"a{formula}"
    assert json.loads(row["leaf"])["request"] == formula


def test_an_empty_cell_stays_empty() -> None:
    """Nothing is put in front of nothing."""
    assert (cell(None), cell(""), cell("a")) == ("", "", "a")


def test_parquet_has_the_columns_and_the_leaf() -> None:
    """Another program reads what was written, over several row groups, with times as times."""
    leaves = [a_leaf(number, outcome="approved" if number % 2 else "incorrect") for number in range(45_000)]
    file = written(Parquet(), leaves[:30_000], leaves[30_000:31_000], leaves[31_000:])
    table = pyarrow.parquet.read_table(io.BytesIO(file))
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == len(leaves)
    rows: list[dict[str, Any]] = table.slice(44_998).to_pylist()
    assert [(row["index"], row["leaf"]) for row in rows] == leaves[44_998:]
    assert rows[0]["at"].isoformat() == "2025-11-22T12:00:45.121000+00:00"
    assert (rows[0]["outcome"], rows[0]["psu"]) == ("incorrect", None)
    assert pyarrow.parquet.ParquetFile(io.BytesIO(file)).metadata.num_row_groups == 2


def test_parquet_leaves_as_it_is_made() -> None:
    """A row group is let go when it is full, not at the end of the file."""
    writer = Parquet()
    writer.begin()
    assert writer.rows([a_leaf(number) for number in range(19_999)]) == b""
    assert len(writer.rows([a_leaf(19_999)])) > 100_000


def test_without_pyarrow_parquet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without the extra says which one is missing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput) as refused:
        Parquet()
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/format"]
    assert "`parquet`" in refused.value.mistakes[0].detail


@pytest.mark.parametrize("writer", [JsonLines, CommaSeparated, Parquet])
def test_an_export_of_nothing_is_a_file_of_its_format(writer: type[LeafWriter]) -> None:
    """No rows, and still what a reader of the format takes."""
    file = written(writer())
    if writer is JsonLines:
        assert file == b""
    elif writer is CommaSeparated:
        assert parsed(file) == []
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(file)).num_rows == 0


def test_every_format_has_its_media_type() -> None:
    """They are all different."""
    assert len({each.media_type for each in ExportFormat}) == len(ExportFormat)
