"""What is exported: which leaves, up to which index, and in which format."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol


class ExportFormat(StrEnum):
    """The formats. JSON Lines holds the exact leaves; the others spread them over columns and hold them too."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """The format's media type."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    ExportFormat.JSONL: "application/jsonl",
    ExportFormat.CSV: "text/csv; header=present",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}

COLUMNS = (
    *("index", "id", "at", "type", "client", "psu", "challenge", "actor", "request", "policy"),
    *("outcome", "status", "reason", "leaf"),
)
"""The columns of CSV and Parquet. `leaf` is the whole canonical leaf, with every member that has no column."""


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """Which events are wanted; None leaves a member open. `payers` are pseudonyms; `since` counts, `until` does not."""

    payers: tuple[str, ...] | None = None
    challenge: str | None = None
    kind: str | None = None
    client: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def members(self) -> dict[str, object]:
        """The filters by the names that the contract gives them; times in RFC 3339."""
        named: dict[str, object | None] = {
            "psu": None if self.payers is None else list(self.payers),
            "challenge": self.challenge,
            "type": self.kind,
            "client": self.client,
            "from": None if self.since is None else _rfc3339(self.since),
            "to": None if self.until is None else _rfc3339(self.until),
        }
        return {name: value for name, value in named.items() if value is not None}


class Extent(NamedTuple):
    """The indexes that the log held when an export began: from `first` up to, and without, `size`."""

    first: int
    size: int


LeafRow = tuple[int, str]
"""One leaf: its index, and its canonical text."""


class LeafSource(Protocol):
    """Where leaves are read from, a few at a time."""

    async def extent(self) -> Extent:
        """What has an index now. Raises StoreUnavailable."""

    async def unknown(self, wanted: ExportFilter) -> list[str]:
        """The names of the filters that name something of which nothing is on record. Raises StoreUnavailable."""

    async def read(self, wanted: ExportFilter, extent: Extent) -> tuple[Sequence[LeafRow], int]:
        """The first of the wanted leaves in the extent, and the index from which to read on.

        Raises StoreUnavailable.
        """


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
