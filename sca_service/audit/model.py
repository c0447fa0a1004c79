"""What stands in the audit log: one event, and the record that is committed with it.

An event is JSON text, made where the decision was made and never rewritten. The members every event has::

    {"id": "evt_…", "type": "challenge.answered", "at_ms": 1763812800123, "client": "bank", "psu": "<pseudonym>",
     "challenge": "chl_…", "actor": "client:bank", "request": "req_…", "policy": "sha256:…", … its own members}

No event holds a code, a number, a payee or a name of the payer: those lie sealed beside the challenge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import msgspec


class EventHead(msgspec.Struct, frozen=True):
    """The members by which events are found."""

    id: str
    type: str
    at_ms: int
    client: str | None = None
    psu: str | None = None
    challenge: str | None = None


_decode_head = msgspec.json.Decoder(EventHead).decode


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event: its text as it stands in the log, and the members by which it is found."""

    head: EventHead
    body: str

    @classmethod
    def parse(cls, body: bytes | str) -> "AuditEvent":
        """Take an event from its JSON text. Raises msgspec.DecodeError when it is none."""
        text = body if isinstance(body, str) else body.decode()
        return cls(_decode_head(text), text)

    @classmethod
    def create(cls, *, event_id: str, kind: str, at_ms: int, members: Mapping[str, object]) -> "AuditEvent":
        """An event that no script made: `members` follow the members every event has."""
        return cls.parse(msgspec.json.encode({"id": event_id, "type": kind, "at_ms": at_ms, **members}))


class Snapshot(Protocol):
    """The state of the record an event is about, kept for as long as the log."""


class SnapshotStore(Protocol):
    """Where snapshots are kept; called inside the transaction that commits their events."""

    async def save(self, connection: asyncpg.pool.PoolConnectionProxy, snapshots: Sequence[Snapshot]) -> None:
        """Store the newest of each; an older one never replaces a newer."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The right answer to a challenge, accepted by the event that says so."""

    challenge_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is committed in one go: events, the acceptance they rest on, and the snapshots they lead to."""

    events: tuple[AuditEvent, ...]
    acceptance: Acceptance | None = None
    snapshots: tuple[Snapshot, ...] = ()
