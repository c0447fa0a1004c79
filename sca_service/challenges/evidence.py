"""What proves a challenge: its leaves, their inclusion proofs, the checkpoint, and the values that the reader may see.

One JSON object, or a page that holds it. Whoever has it needs nothing else from us to check it, but the log's verifier
key from somewhere they trust (`sca audit check-evidence`).
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from sca_service.audit.postgres_store import StoryReader, StoryRow
from sca_service.audit.private.commitments import Disclosure
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import NotFound, StoreUnavailable

FORMAT = "sca-evidence/1"
AUDITOR_MAY_SEE = frozenset(
    {
        *("message_shown", "transaction", "reference", "phone_masked"),
        *("device_answer", "device_key", "passkey_answer", "passkey_key", "passkey_nonce"),
    }
)
"""What an auditor needs to judge an authentication; number, address and device stay closed (GDPR Art. 5(1)(c))."""
MOST_EVENTS = 2_000
_PATIENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.1


class DisclosureBody(msgspec.Struct, frozen=True):
    """A value with the salt (base64url) that opens its commitment in the leaf."""

    name: str
    value: str
    salt: str


class EvidenceEvent(msgspec.Struct, frozen=True):
    """One event: its index, the leaf as it stands in the log, the inclusion proof (base64), values opened."""

    index: int
    leaf: str
    proof: tuple[str, ...]
    disclosures: tuple[DisclosureBody, ...]


class Evidence(msgspec.Struct, frozen=True):
    """What proves a challenge. `checkpoint` is a signed note; `verifier_keys` are those it was signed with."""

    format: str
    challenge: str
    made_at: str
    checkpoint: str
    verifier_keys: tuple[str, ...]
    events: tuple[EvidenceEvent, ...]


class Unopened(StrEnum):
    """Why nothing opens the commitments of an event."""

    ERASED = "erased"
    """The payer's erasure is on record after it."""

    MISSING = "missing"
    """The values are gone, and no erasure on record says why."""

    ALTERED = "altered"
    """The values are there and do not open."""


@dataclass(frozen=True, slots=True)
class MadeEvidence:
    """Evidence, and what no leaf of it can prove: why the values of some events (by index) are not in it."""

    evidence: Evidence
    unopened: Mapping[int, Unopened]


class Checkpointed(Protocol):
    """A published checkpoint."""

    @property
    def size(self) -> int:
        """How many leaves it covers."""

    @property
    def note(self) -> str:
        """The signed note."""


class ProvingLog(Protocol):
    """The log, as far as evidence asks it."""

    async def checkpoint(self) -> Checkpointed | None:
        """The newest that is published."""

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the tree of this size."""


class Disclosing(Protocol):
    """Who opens personal values."""

    async def openings(self, event_ids: Sequence[str]) -> Mapping[str, tuple[Disclosure, ...] | None]:
        """The values of these events, None where they do not open; those that are not there are absent."""


class EvidenceMaker:
    """Collects what proves a challenge. A class because it holds where it is collected from."""

    def __init__(
        self,
        *,
        stories: StoryReader,
        log: ProvingLog,
        vault: Disclosing,
        verifier_keys: Sequence[str],
        clock: Clock,
    ) -> None:
        self._stories = stories
        self._log = log
        self._vault = vault
        self._verifier_keys = tuple(verifier_keys)
        self._clock = clock

    async def of_client(self, challenge_id: str, client: str) -> MadeEvidence:
        """For the client whose challenge it is, which sees every value it sent. Raises NotFound, StoreUnavailable."""
        return await self._make(challenge_id, client=client, names=None)

    async def for_auditor(self, challenge_id: str) -> MadeEvidence:
        """For an auditor: of any client, with the values of `AUDITOR_MAY_SEE`. Raises NotFound, StoreUnavailable."""
        return await self._make(challenge_id, client=None, names=AUDITOR_MAY_SEE)

    async def _make(
        self, challenge_id: str, *, client: str | None, names: frozenset[str] | None
    ) -> MadeEvidence:
        rows, checkpoint = await self._proven(challenge_id, client)
        opened, unopened = await open_values(rows, self._stories, self._vault)
        proofs = await asyncio.gather(
            *(self._log.inclusion(row.index, checkpoint.size) for row in rows if row.index is not None)
        )
        evidence = Evidence(
            format=FORMAT,
            challenge=challenge_id,
            made_at=timestamp(self._clock.now_ms()),
            checkpoint=checkpoint.note,
            verifier_keys=self._verifier_keys,
            events=tuple(
                EvidenceEvent(
                    index=row.index or 0,
                    leaf=row.body,
                    proof=tuple(base64.b64encode(one).decode() for one in proof),
                    disclosures=tuple(
                        _disclosed(one)
                        for one in opened.get(row.id, ())
                        if names is None or one.name in names
                    ),
                )
                for row, proof in zip(rows, proofs, strict=True)
            ),
        )
        return MadeEvidence(
            evidence, {row.index or 0: unopened[row.id] for row in rows if row.id in unopened}
        )

    async def _proven(self, challenge_id: str, client: str | None) -> tuple[list[StoryRow], Checkpointed]:
        """The challenge's events once a checkpoint covers them all: within a second or so of the newest."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            rows = await self._stories.story(challenge_id, client=client, most=MOST_EVENTS)
            if not rows:
                raise NotFound
            checkpoint = await self._log.checkpoint()
            size = checkpoint.size if checkpoint else 0
            if checkpoint and all(row.index is not None and row.index < size for row in rows):
                return rows, checkpoint
            if asyncio.get_running_loop().time() > deadline:
                raise StoreUnavailable("the newest events are not in a checkpoint yet")
            await asyncio.sleep(_PAUSE_SECONDS)


async def open_values(
    rows: Sequence[StoryRow], stories: StoryReader, vault: Disclosing
) -> tuple[dict[str, tuple[Disclosure, ...]], dict[str, Unopened]]:
    """The values of events by id, and of those whose commitments nothing opens the reason. Raises StoreUnavailable."""
    found = await vault.openings([row.id for row in rows])
    opened = {event: values for event, values in found.items() if values is not None}
    closed = [
        row.id for row in rows if row.id not in opened and msgspec.json.decode(row.body).get("commitments")
    ]
    erased = await stories.erased_since(closed) if closed else frozenset()
    reasons = {
        event: Unopened.ALTERED
        if event in found
        else Unopened.ERASED
        if event in erased
        else Unopened.MISSING
        for event in closed
    }
    return opened, reasons


def members_of(event: EvidenceEvent) -> dict[str, Any]:
    """What a leaf says."""
    members: dict[str, Any] = msgspec.json.decode(event.leaf)
    return members


def _disclosed(one: Disclosure) -> DisclosureBody:
    return DisclosureBody(one.name, one.value, base64.urlsafe_b64encode(one.salt).decode())
