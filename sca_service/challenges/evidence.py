"""What proves a challenge: its leaves, their inclusion proofs, the checkpoint, and the values that the reader may see.

One JSON object, or a page that holds it. Whoever has it needs nothing else from us to check it, but the log's verifier
key from somewhere they trust (`sca audit check-evidence`).
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from sca_service.audit.postgres_store import StoryReader, StoryRow
from sca_service.audit.private.commitments import Disclosure
from sca_service.kernel.clock import Clock, timestamp
from sca_service.kernel.errors import NotFound, StoreUnavailable

FORMAT = "sca-evidence/1"
AUDITOR_MAY_SEE = frozenset({"message_shown", "transaction", "reference", "phone_masked"})
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

    async def disclosures(self, event_ids: Sequence[str]) -> Mapping[str, tuple[Disclosure, ...]]:
        """The values of these events; those of erased payers are absent."""


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

    async def of_client(self, challenge_id: str, client: str) -> Evidence:
        """For the client whose challenge it is, which sees every value it sent. Raises NotFound, StoreUnavailable."""
        return await self._make(challenge_id, client=client, names=None)

    async def for_auditor(self, challenge_id: str) -> Evidence:
        """For an auditor: of any client, with the values of `AUDITOR_MAY_SEE`. Raises NotFound, StoreUnavailable."""
        return await self._make(challenge_id, client=None, names=AUDITOR_MAY_SEE)

    async def _make(self, challenge_id: str, *, client: str | None, names: frozenset[str] | None) -> Evidence:
        rows, checkpoint = await self._proven(challenge_id, client)
        opened = await self._vault.disclosures([row.id for row in rows])
        proofs = await asyncio.gather(
            *(self._log.inclusion(row.index, checkpoint.size) for row in rows if row.index is not None)
        )
        return Evidence(
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


def members_of(event: EvidenceEvent) -> dict[str, Any]:
    """What a leaf says."""
    members: dict[str, Any] = msgspec.json.decode(event.leaf)
    return members


def _disclosed(one: Disclosure) -> DisclosureBody:
    return DisclosureBody(one.name, one.value, base64.urlsafe_b64encode(one.salt).decode())
