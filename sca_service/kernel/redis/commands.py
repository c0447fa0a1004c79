"""What is sent to Redis: a command or the call of a script, and the slot that its keys lie on."""

import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

SLOTS: Final = 16_384
"""Into how many slots a cluster divides keys (Redis Cluster specification)."""

_KEYLESS: Final = frozenset({"PING", "ECHO", "INFO", "TIME", "SCRIPT", "CONFIG", "SCAN", "DBSIZE"})
"""Commands without a key: any primary may be asked, unless `at` says which."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest by which Redis knows it."""

    name: str
    source: str
    sha: str

    @classmethod
    def read(cls, *paths: Path) -> "Script":
        """The script made of these files, one after the other; the last names it."""
        source = "\n".join(path.read_text("utf-8") for path in paths)
        return cls(paths[-1].stem, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


class Command(msgspec.Struct, frozen=True):
    """One Redis command, or one script call when `script` is set.

    `lasts` claims that what it decides must not be told before as many replicas have it as are configured. `at` is a
    key on whose server a command without a key runs.
    """

    arguments: tuple[Any, ...]
    script: Script | None = None
    lasts: bool = False
    at: str = ""

    @classmethod
    def of(
        cls,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        *,
        lasts: bool = False,
    ) -> "Command":
        """The call of a script."""
        return cls(("EVALSHA", script.sha, len(keys), *keys, *arguments), script, lasts)

    @property
    def slot(self) -> int | None:
        """The slot of its keys, which all lie on one; None when it has none."""
        if self.script:
            return slot_of(self.arguments[3])
        if self.at:
            return slot_of(self.at)
        if self.arguments[0] in _KEYLESS:
            return None
        return slot_of(self.arguments[1])


def slot_of(key: str | bytes) -> int:
    """The slot of a key: of what stands between its first braces, if anything does (Redis Cluster specification)."""
    name = key.encode() if isinstance(key, str) else key
    begin = name.find(b"{")
    if begin >= 0:
        end = name.find(b"}", begin + 1)
        if end > begin + 1:
            name = name[begin + 1 : end]
    return binascii.crc_hqx(name, 0) % SLOTS
