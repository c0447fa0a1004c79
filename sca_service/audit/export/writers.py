"""The formats that are text: JSON Lines, and CSV (RFC 4180) that a spreadsheet opens without running anything. Pure."""

import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from sca_service.audit.export.model import COLUMNS, LeafRow
from sca_service.kernel.clock import timestamp

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV injection)."""

_is_plain = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/ -]*").fullmatch
_needs_quotes = re.compile(r"[\",\r\n]").search


class LeafWriter(Protocol):
    """Turns leaves into the bytes of a file, some leaves at a time."""

    def begin(self) -> bytes:
        """What the file begins with."""

    def rows(self, leaves: Sequence[LeafRow]) -> bytes:
        """The next leaves; what is returned may lag behind."""

    def end(self) -> bytes:
        """What was left, and what the file ends with."""


class LeafColumns(msgspec.Struct, frozen=True):
    """The members of a leaf that have a column of their own."""

    id: str
    at_ms: int
    type: str
    client: str | None = None
    psu: str | None = None
    challenge: str | None = None
    actor: str | None = None
    request: str | None = None
    policy: str | None = None
    outcome: str | None = None
    status: str | None = None
    reason: str | None = None


columns_of = msgspec.json.Decoder(LeafColumns).decode
"""The columns of a leaf. Raises msgspec.DecodeError when it is no event."""


class JsonLines:
    """`{"index":12,"leaf":{…}}` on each line; the leaf is the very text that was hashed, byte for byte."""

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def rows(self, leaves: Sequence[LeafRow]) -> bytes:
        """One line each."""
        return "".join([f'{{"index":{index},"leaf":{leaf}}}\n' for index, leaf in leaves]).encode()

    def end(self) -> bytes:
        """Nothing."""
        return b""


class CommaSeparated:
    """A line with the names of the columns, then one line each."""

    def begin(self) -> bytes:
        """The names of the columns."""
        return (",".join(COLUMNS) + "\r\n").encode()

    def rows(self, leaves: Sequence[LeafRow]) -> bytes:
        """One line each; the file is left open to be continued."""
        return "".join([_row(index, leaf) for index, leaf in leaves]).encode()

    def end(self) -> bytes:
        """Nothing."""
        return b""


def cell(text: str | None) -> str:
    """A cell of RFC 4180; with an apostrophe in front where a spreadsheet would take it for a formula."""
    if not text or _is_plain(text):
        return text or ""
    if text.startswith(FORMULA_STARTS):
        text = f"'{text}"
    return _quoted(text) if _needs_quotes(text) else text


def _row(index: int, leaf: str) -> str:
    one = columns_of(leaf)
    return (
        f"{index},{cell(one.id)},{timestamp(one.at_ms)},{cell(one.type)},{cell(one.client)},{cell(one.psu)},"
        f"{cell(one.challenge)},{cell(one.actor)},{cell(one.request)},{cell(one.policy)},{cell(one.outcome)},"
        f"{cell(one.status)},{cell(one.reason)},{_quoted(leaf)}\r\n"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
