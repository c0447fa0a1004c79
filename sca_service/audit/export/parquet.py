"""Parquet: the columns in row groups that leave as they are made. Needs pyarrow, the extra `parquet`."""

from collections.abc import Sequence
from typing import Any

from sca_service.audit.export.model import COLUMNS, LeafRow
from sca_service.audit.export.writers import columns_of
from sca_service.kernel.errors import InvalidInput

_ROWS_PER_GROUP = 20_000
_WORDS = frozenset({"type", "client", "actor", "policy", "outcome", "status", "reason"})
"""Columns with few different values: Parquet keeps each value once for a row group."""


class Parquet:
    """Collects a row group, then lets it go. A class because it holds what was not written yet."""

    def __init__(self) -> None:
        """Raises InvalidInput when pyarrow is not installed."""
        self._arrow, parquet = _libraries()
        self._sink = _Sink()
        self._schema = _schema(self._arrow)
        self._writer = parquet.ParquetWriter(
            self._arrow.PythonFile(self._sink, mode="w"),
            self._schema,
            compression="zstd",
            use_dictionary=sorted(_WORDS),
            write_statistics=["index", "at", "type", "client", "psu", "challenge"],
        )
        self._waiting: list[LeafRow] = []

    def begin(self) -> bytes:
        """The magic number."""
        return self._sink.take()

    def rows(self, leaves: Sequence[LeafRow]) -> bytes:
        """A row group whenever there are enough rows for one."""
        self._waiting.extend(leaves)
        if len(self._waiting) >= _ROWS_PER_GROUP:
            self._write_group()
        return self._sink.take()

    def end(self) -> bytes:
        """The last row group, and the list of all of them."""
        if self._waiting:
            self._write_group()
        self._writer.close()
        return self._sink.take()

    def _write_group(self) -> None:
        leaves, self._waiting = self._waiting, []
        decoded = [columns_of(leaf) for _, leaf in leaves]
        columns: dict[str, list[Any]] = {
            "index": [index for index, _ in leaves],
            "at": [one.at_ms for one in decoded],
            "leaf": [leaf for _, leaf in leaves],
        }
        columns |= {name: [getattr(one, name) for one in decoded] for name in COLUMNS if name not in columns}
        self._writer.write_table(self._arrow.table(columns, schema=self._schema), row_group_size=len(leaves))


class _Sink:
    """What the writer believes to be a file. A class because it holds what was written and not yet taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, part: bytes) -> int:
        """Keep a part."""
        self._parts.append(bytes(part))
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        """How much was written."""
        return self._written

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Whoever takes the parts decides when the file ends."""

    def take(self) -> bytes:
        """What was written since."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415 - an extra, and slow to load
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput.at("/format", "parquet needs the extra `parquet` to be installed") from error
    return pyarrow, pyarrow.parquet


def _schema(arrow: Any) -> Any:
    types = {"index": arrow.int64(), "at": arrow.timestamp("ms", tz="UTC")}
    required = {"index", "id", "at", "type", "leaf"}
    return arrow.schema(
        [
            arrow.field(name, types.get(name, arrow.string()), nullable=name not in required)
            for name in COLUMNS
        ]
    )
