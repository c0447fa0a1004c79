"""Labelled requests from a file: a column for each fact, and `fraud`. CSV, or Parquet with the extra `parquet`."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sca_service.kernel.errors import InvalidInput
from sca_service.policy.risk import FACTS
from sca_service.policy.verdicts import FactKind
from sca_service.risk.model import Facts

LABEL: Final = "fraud"
_DEFAULTS: Final[Mapping[str, Any]] = {"purpose": "payment", "hour_utc": 12}
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_KINDS: Final = {
    FactKind.BOOL: "true or false",
    FactKind.INT: "a whole number",
    FactKind.DOUBLE: "a number",
    FactKind.STRING: "a text",
    FactKind.LIST: "words with ; between them",
}
_ROWS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """The facts of one request, and whether it turned out to be fraud."""

    facts: Facts
    is_fraud: bool


def read_labelled(path: Path) -> Iterator[Labelled]:
    """Every row; an empty cell, and a column that is not there, is a fact that was not supplied.

    Raises InvalidInput with the row and the column of the first cell that cannot be read, counted from 1.
    """
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)
    try:
        for number, row in enumerate(rows, start=1):
            yield _labelled(row, number)
    except OSError as error:
        raise InvalidInput.at("/file", f"cannot be read: {error.strerror}") from error


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            _check_columns(reader.fieldnames or ())
            yield from reader
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInput.at("/file", f"is no CSV in UTF-8 (line {reader.line_num})") from error


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow  # noqa: PLC0415 - an extra, and slow to load
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput.at("/file", "Parquet needs the extra `parquet` to be installed") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_columns(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise InvalidInput.at("/file", "is no Parquet") from error


def _check_columns(names: Iterable[str]) -> None:
    held = list(names)
    unknown = [name for name in held if name != LABEL and name not in FACTS]
    if LABEL not in held:
        raise InvalidInput.at("/file", f"has no column {LABEL}")
    if unknown:
        raise InvalidInput.at("/file", f"has columns that are no facts: {', '.join(unknown)[:200]}")
    if len(set(held)) < len(held):
        raise InvalidInput.at("/file", "names a column twice")


def _labelled(row: Mapping[str, Any], number: int) -> Labelled:
    values = dict(_DEFAULTS)
    for name, raw in row.items():
        if name is None:
            raise InvalidInput.at("/file", f"has more cells than columns in row {number}")
        if name == LABEL or raw is None or raw == "":
            continue
        values[name] = _value(FACTS[name].kind, raw, f"row {number}, column {name}")
    label = _value(FactKind.BOOL, "" if row[LABEL] is None else row[LABEL], f"row {number}, column {LABEL}")
    return Labelled(Facts(**values), label)


def _value(kind: FactKind, raw: Any, place: str) -> Any:
    """One cell as its fact has it. Raises InvalidInput, which does not quote it."""
    try:
        match kind:
            case FactKind.BOOL:
                return raw if isinstance(raw, bool) else _TRUTHS[str(raw).strip().lower()]
            case FactKind.INT:
                return _whole(raw)
            case FactKind.DOUBLE:
                return _finite(float(raw))
            case FactKind.STRING:
                return str(raw)
            case FactKind.LIST:
                words = raw if isinstance(raw, list) else str(raw).split(";")
                return tuple(word for each in words if (word := str(each).strip()))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise InvalidInput.at("/file", f"{place}: is not {_KINDS[kind]}") from None


def _whole(raw: Any) -> int:
    number = float(raw) if isinstance(raw, float) else int(raw)
    if number != int(number):
        raise ValueError("a fraction")
    return int(number)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("no number")
    return number
