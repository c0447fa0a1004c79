"""What stands in the audit log: one event, and the record that is committed with it.

An event is JSON text, made where the decision was made. On record it is canonical (RFC 8785): one text for what it
says, whose bytes are a leaf of the log. The members every event has::

    {"id": "evt_…", "type": "challenge.answered", "at_ms": 1763812800123, "client": "bank", "psu": "<pseudonym>",
     "challenge": "chl_…", "actor": "client:bank", "request": "req_…", "policy": "sha256:…", … its own members}

No event holds a code, a number, a payee or a name of the payer. Where one speaks of them it holds commitments; the
values lie beside it, sealed under the payer's key (audit/private).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import asyncpg
import msgspec

from sca_service.audit.private.commitments import PrivateValues


class EventHead(msgspec.Struct, frozen=True):
    """The members by which events are found."""

    id: str
    type: str
    at_ms: int
    client: str | None = None
    psu: str | None = None
    challenge: str | None = None


MOST_LEAF_BYTES = 65_535
"""A leaf is not longer: its length stands in front of it in two bytes (C2SP tlog-tiles)."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(order="sorted").encode


class AuditEvent(msgspec.Struct, frozen=True):
    """One event: its text as it stands in the log, and the members by which it is found."""

    head: EventHead
    body: str

    @classmethod
    def parse(cls, body: bytes | str) -> "AuditEvent":
        """Take an event from its JSON text. Raises msgspec.DecodeError when it is none."""
        return cls.of(_decode(body))

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> "AuditEvent":
        """The event that has these members.

        Numbers are whole and names are ASCII, so that sorting the members is all that RFC 8785 asks beside what the
        encoder does anyway. Raises msgspec.ValidationError when a member is missing that every event has, and for
        more than a leaf can hold: signed once, it would make the log unreadable for good.
        """
        body = _encode(members)
        if len(body) > MOST_LEAF_BYTES:
            raise msgspec.ValidationError("an event is longer than a leaf")
        return cls(msgspec.convert(members, EventHead), body.decode())

    @classmethod
    def create(cls, *, event_id: str, kind: str, at_ms: int, members: Mapping[str, object]) -> "AuditEvent":
        """An event that no script made: `members` follow the members every event has."""
        return cls.of(msgspec.to_builtins({"id": event_id, "type": kind, "at_ms": at_ms, **members}))


class Snapshot(Protocol):
    """The state of the record an event is about, kept for as long as the log."""


class SnapshotStore(Protocol):
    """Where snapshots are kept; called inside the transaction that commits their events."""

    async def save(self, connection: asyncpg.pool.PoolConnectionProxy, snapshots: Sequence[Snapshot]) -> None:
        """Store the newest of each; an older one never replaces a newer."""

    def statement(self, first: int) -> str:
        """What `save` executes, to be a part of another statement: its parameters are numbered from `first`."""

    def arguments(self, snapshots: Sequence[Snapshot]) -> tuple[Sequence[Any], ...]:
        """The parameters of the statement: an array each, all empty where there are no snapshots."""


class PrivateStore(Protocol):
    """Where personal values are kept; called inside the transaction that commits their events."""

    async def save(
        self, connection: asyncpg.pool.PoolConnectionProxy, private: Sequence[PrivateValues]
    ) -> None:
        """Store the values of each event; what is there already stays as it is."""


class Acceptance(msgspec.Struct, frozen=True):
    """The right answer to a challenge, accepted by the event that says so."""

    challenge_id: str
    event_id: str


class Record(msgspec.Struct, frozen=True):
    """What is committed in one go: events, the acceptance they rest on, the snapshots they lead to, personal values."""

    events: tuple[AuditEvent, ...]
    acceptance: Acceptance | None = None
    snapshots: tuple[Snapshot, ...] = ()
    private: tuple[PrivateValues, ...] = ()
