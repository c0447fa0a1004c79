"""Proofs that stand by themselves (C2SP tlog-proof): an entry's index, its inclusion proof and the checkpoint. Pure.

::

    c2sp.org/tlog-proof@v1
    index 1
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=

    sca.bank.example/log
    2
    sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

    — sca.bank.example/log Az3grl…
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sca_service.audit.log.note import NoteInvalid, decode, encode
from sca_service.audit.merkle import HASH_BYTES, ProofInvalid

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_EXTRA = re.compile(r"extra (.+)")
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """What a tlog-proof holds. `note` is the checkpoint as it was signed; neither it nor `extra` is believed yet."""

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes = b""

    @property
    def text(self) -> str:
        """The file, as others read it (`.tlog-proof`)."""
        return encode_proof(self.index, self.hashes, self.note, self.extra)

    @classmethod
    def parse(cls, text: str) -> "TlogProof":
        """Read such a file. Raises ProofInvalid."""
        head, gap, note = text.partition("\n\n")
        lines = head.split("\n")
        if not gap or not note or lines.pop(0) != _HEADER:
            raise ProofInvalid("a proof has not the form of a tlog-proof")
        try:
            extra = _EXTRA.fullmatch(lines[0]) if lines else None
            extra_bytes = decode(extra[1]) if extra else b""
            named = _INDEX.fullmatch(lines[1 if extra else 0])
            hashes = tuple(decode(line) for line in lines[2 if extra else 1 :])
        except (NoteInvalid, IndexError) as error:
            raise ProofInvalid("a proof has a line that is no base 64, or no index") from error
        if not named or len(hashes) > _MAX_HASHES or any(len(one) != HASH_BYTES for one in hashes):
            raise ProofInvalid("a proof has no index, or a hash that is none")
        return cls(int(named[1]), hashes, note, extra_bytes)


def encode_proof(index: int, hashes: Sequence[bytes], note: str, extra: bytes = b"") -> str:
    """The text of a proof: `hashes` is the inclusion proof of `index` in the tree of the checkpoint `note`."""
    first = [_HEADER, *([f"extra {encode(extra)}"] if extra else []), f"index {index}"]
    return "\n".join((*first, *(encode(one) for one in hashes), "", note))
