"""What is compared, and what can be found to be off."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from sca_service.audit.private.commitments import Disclosure
from sca_service.challenges.model import ChallengeState


class Fault(StrEnum):
    """The ways in which the records can disagree."""

    MISSING = "missing"
    DOUBLED = "doubled"
    CONTRADICTED = "contradicted"
    UNSETTLED = "unsettled"
    ALTERED = "altered"


class Finding(NamedTuple):
    """One thing that is off: how, with what (an id or an index), and what it is. Nothing personal is in it."""

    fault: Fault
    subject: str
    detail: str


@dataclass(slots=True)
class Counts:
    """How much was compared. What is not `judged` was in motion, or has lost its beginning to retention."""

    challenges: int = 0
    judged: int = 0
    deliveries: int = 0
    acceptances: int = 0
    events: int = 0
    leaves: int = 0
    private_values: int = 0
    faults: dict[Fault, int] = field(default_factory=lambda: dict.fromkeys(Fault, 0))

    @property
    def is_whole(self) -> bool:
        """Whether nothing was off."""
        return not any(self.faults.values())


class Span(NamedTuple):
    """Which time is looked at; None leaves an end open. `since` counts, `until` does not."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether both ends are open: then the log as a whole can be looked at too."""
        return self == (None, None)


EVERYTHING = Span()


class ToldEvent(msgspec.Struct, frozen=True, rename={"attempt": "try"}):
    """The members of an event by which it is compared."""

    id: str
    type: str
    at_ms: int
    client: str | None = None
    psu: str | None = None
    challenge: str | None = None
    outcome: str = ""
    status: str = ""
    reason: str = ""
    delivery: str = ""
    attempt: int = 0
    attempts_left: int | None = None
    revived: bool = False
    commitments: dict[str, str] = {}


told_event = msgspec.json.Decoder(ToldEvent).decode
"""The event of a leaf. Raises msgspec.DecodeError when it is none."""


@dataclass(frozen=True, slots=True)
class Story:
    """A challenge with all that is on record about it: its events in their order, and what holds its acceptance."""

    state: ChallengeState
    events: Sequence[ToldEvent]
    copies: Sequence[ToldEvent] = ()
    accepted_by: str | None = None


@dataclass(frozen=True, slots=True)
class StoredChallenge:
    """A row of `challenges` as it is stored, and its events and acceptance as they are stored."""

    id: str
    client: str
    psu: str
    status: str
    packed: bytes
    leaves: Sequence[str]
    accepted_by: str | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of `audit_events`, what stands beside it in other tables, and its place in their order."""

    id: str
    at: datetime
    type: str
    client: str | None
    psu: str | None
    challenge: str | None
    body: str
    place: tuple[str, int]
    has_leaf: bool
    has_challenge: bool
    is_sealed: bool
    has_key: bool
    is_erased: bool

    @property
    def head(self) -> tuple[str, str, str | None, str | None, str | None, int]:
        """What the row says of its event beside the leaf."""
        at_ms = round(self.at.timestamp() * 1000)
        return self.id, self.type, self.client, self.psu, self.challenge, at_ms


class PrivateVault(Protocol):
    """Opens personal values; see audit/private/vault.py."""

    async def disclosures(self, event_ids: Sequence[str]) -> dict[str, tuple[Disclosure, ...]]:
        """The values of these events; those of erased payers are absent.

        Raises StoreUnavailable; SealBroken or CommitmentBroken when what is stored was altered.
        """
