"""What a follower of the log reads: one event with its index. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sca_service.audit.model import EventHead
from sca_service.kernel.errors import ScaError

_decode_head = msgspec.json.Decoder(EventHead).decode
_decode_members = msgspec.json.Decoder(dict[str, Any]).decode


class LogUnreadable(ScaError):
    """The log has no entry at the index that a follower has to read next: it was pruned, or restored to before it."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event on the log: its index, the members by which events are found, and all of its members.

    `members` holds those of the head too, as `audit.model` describes them: no code, number, payee or name is there.
    """

    index: int
    head: EventHead
    members: Mapping[str, Any]

    @classmethod
    def read(cls, index: int, body: str) -> "LoggedEvent":
        """The event that a leaf is the text of. Raises msgspec.DecodeError when it is none."""
        return cls(index, _decode_head(body), _decode_members(body))
