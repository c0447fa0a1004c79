"""The log as the desk needs it, and what its newest checkpoint says."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sca_service.audit.log.note import split_note

_COSIGNATURE_BYTES = 8 + 64
"""Time and Ed25519 signature of a witness (C2SP tlog-cosignature); a log's own line has no time."""


class Published(Protocol):
    """A checkpoint that is out: `note` is its whole text, with the lines of the log and of witnesses."""

    @property
    def size(self) -> int:
        """How many leaves it covers."""

    @property
    def root(self) -> bytes:
        """The hash over all of them."""

    @property
    def note(self) -> str:
        """Its text as it was signed."""

    @property
    def made_at(self) -> datetime:
        """When it was made."""


class Log(Protocol):
    """Where checkpoints and proofs come from."""

    async def checkpoint(self) -> Published | None:
        """The newest checkpoint that is out, or None before there is one. Raises StoreUnavailable."""

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the tree of `size`. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody else who signed the checkpoint, and when."""

    name: str
    signed_at: datetime


def origin_of(note: str) -> str:
    """Whose log a checkpoint is of: its first line."""
    return note.partition("\n")[0]


def witnesses_of(note: str) -> list[Witness]:
    """The witnesses of our own checkpoint, which the service believed when it took their lines."""
    return [
        Witness(one.name, datetime.fromtimestamp(min(int.from_bytes(one.value[:8]), 2**33), UTC))
        for one in split_note(note)[1]
        if len(one.value) == _COSIGNATURE_BYTES
    ]
