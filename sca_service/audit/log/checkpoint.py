"""Checkpoints (C2SP tlog-checkpoint): the text in which a log says how large it is, and what its root is. Pure.

::

    sca.bank.example/log
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

They travel as signed notes (`note.py`); lines beyond the third are another log's own business and are kept.
"""

import re
from dataclasses import dataclass

from sca_service.audit.log.note import NoteInvalid, decode, encode
from sca_service.audit.merkle import HASH_BYTES

MAX_SIZE = 2**63 - 1
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointInvalid(NoteInvalid):
    """The text of a note is no checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's tree head: whose log it is, how many leaves it has, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text, each line with its newline."""
        return "".join(
            f"{line}\n" for line in (self.origin, str(self.size), encode(self.root), *self.extensions)
        )

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a note's text. Raises CheckpointInvalid."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise CheckpointInvalid("a checkpoint needs three lines or more, none of them empty")
        origin, size, root, *extensions = lines
        if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
            raise CheckpointInvalid("a checkpoint's size is no number without leading zeroes")
        try:
            raw = decode(root)
        except NoteInvalid as error:
            raise CheckpointInvalid("a checkpoint's root is not base 64") from error
        if len(raw) != HASH_BYTES:
            raise CheckpointInvalid("a checkpoint's root is no SHA-256 hash")
        return cls(origin, int(size), raw, tuple(extensions))


def origin_of(issuer: str) -> str:
    """The name of the log that an issuer (a URL) keeps: the URL without its scheme, and `/log`."""
    return issuer.split("://", 1)[-1].rstrip("/") + "/log"
