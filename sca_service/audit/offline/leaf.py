"""What is asked of each leaf: canonical JSON with an id nobody else has, a type and a time."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sca_service.audit.offline.canonical import read_canonical
from sca_service.audit.offline.findings import Refused

_SHARES = 256
_DIGEST_BYTES = 16
_RECORD_BYTES = _DIGEST_BYTES + 8
_HELD_RECORDS = 65_536


def read_leaf(leaf: bytes) -> dict[str, Any]:
    """The members of a leaf. Raises Refused when it is not what every leaf is."""
    members = read_canonical(leaf)
    if not isinstance(members, dict):
        raise Refused("is not a JSON object")
    if not (isinstance(members.get("id"), str) and members["id"]):
        raise Refused("has no id")
    if not (isinstance(members.get("type"), str) and members["type"]):
        raise Refused("has no type")
    at_ms = members.get("at_ms")
    if not isinstance(at_ms, int) or isinstance(at_ms, bool) or at_ms < 0:
        raise Refused("has no time")
    return members


class SeenIds:
    """Which ids have been seen, in little memory: their hashes go to a folder of 256 files, each looked at alone.

    A class because it holds the folder.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sca-audit-")
        self._held = [bytearray() for _ in range(_SHARES)]
        self._records = 0

    def __enter__(self) -> "SeenIds":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, leaf_id: str, index: int) -> None:
        """Note the id of the leaf at this index."""
        digest = hashlib.blake2b(leaf_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        self._held[digest[0]] += digest + index.to_bytes(8)
        self._records += 1
        if self._records >= _HELD_RECORDS:
            self._write()

    def doubled(self) -> Iterator[tuple[int, int]]:
        """Each leaf that has the id of an earlier one, and that one."""
        self._write()
        for share in range(_SHARES):
            path = self._path(share)
            content = path.read_bytes() if path.exists() else b""
            first: dict[bytes, int] = {}
            for at in range(0, len(content), _RECORD_BYTES):
                digest = content[at : at + _DIGEST_BYTES]
                index = int.from_bytes(content[at + _DIGEST_BYTES : at + _RECORD_BYTES])
                if first.setdefault(digest, index) != index:
                    yield index, first[digest]

    def _write(self) -> None:
        for share, records in enumerate(self._held):
            if records:
                with self._path(share).open("ab") as file:
                    file.write(records)
                records.clear()
        self._records = 0

    def _path(self, share: int) -> Path:
        return Path(self._folder.name) / f"{share:03d}"
