"""Erase a payer: four eyes, then the key is destroyed that everything personal about the payer is sealed under.

The log keeps every leaf and every proof: a leaf holds commitments, and their salts go with the values. What Redis still
holds of the payer goes too. An answer stored under an Idempotency-Key is sealed and forgotten within a day.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.audit.private.postgres_store import Destroyed, ErasureRow, ErasureStore
from sca_service.challenges.model import (
    ChallengeId,
    ChallengeState,
    Fixed,
    Private,
    Status,
    decode_state,
)
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import NotFound, ScaError, StoreUnavailable, Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.limits.pumping.model import line_name

_SCOPE = "admin"
_UNDER_WAY = (
    "the payer has a challenge that is open, or whose end is not on record yet: cancel it, or wait until a worker has"
    " put its end on record, then confirm again"
)


class ErasureRefused(ScaError):
    """The wish cannot be carried out, for the reason that its detail says."""


class Memory(Protocol):
    """What was learned of payers."""

    async def forget(self, payer: str) -> None:
        """Forget a payer, a pseudonym. Raises StoreUnavailable."""


class Lines(Protocol):
    """Which phone lines have approved something; `PumpingStore` knows."""

    async def forget_line(self, line: str) -> None:
        """Forget a line, a pseudonym. Raises StoreUnavailable."""


class Eraser:
    """Takes wishes to erase and carries them out. A class because it holds the stores."""

    def __init__(
        self,
        *,
        erasures: ErasureStore,
        challenges: ChallengeStore,
        memory: Memory,
        lines: Lines,
        keyring: Keyring,
        clock: Clock,
    ) -> None:
        self._lines = lines
        self._memory = memory
        self._erasures = erasures
        self._challenges = challenges
        self._keyring = keyring
        self._clock = clock

    async def request(self, operator: Secret[str], *, client: str, psu_id: str, reason: str) -> str:
        """Ask that a client's payer be erased. Returns the wish's id, which another operator confirms.

        Raises Unauthorized unless `operator` is a valid API key with the scope `admin`; ErasureRefused when nothing is
        on record of such a payer: the reference is another one, or another client's.
        """
        psu = self._keyring.pseudonym("payer", client, psu_id)
        return await self.repeat(operator, client=client, psu=psu, reason=reason)

    async def repeat(self, operator: Secret[str], *, client: str, psu: str, reason: str) -> str:
        """As `request`, for a payer by the pseudonym that `payer.erased` names: a restore has undone the erasure."""
        requested_by = await self._operator(operator)
        if not await self._erasures.knows(psu):
            raise ErasureRefused("nothing is on record of this payer: look at the reference and the client")
        row = ErasureRow(new_id("ers"), client, psu, reason, requested_by)
        members = {"actor": f"client:{requested_by}", "reason": reason}
        await self._erasures.request(row, self._event("erasure.requested", row, members))
        return row.id

    async def pending(self) -> list[ErasureRow]:
        """The wishes that nobody has confirmed, the oldest first."""
        return await self._erasures.pending()

    async def confirm(self, operator: Secret[str], erasure_id: str) -> Destroyed:
        """Erase: the payer's key, the values under it, the payer's devices, and what Redis holds. Returns how much.

        Raises Unauthorized, NotFound for an unknown wish, StoreUnavailable; ErasureRefused when the one who asked
        confirms, when it was confirmed before, or while a challenge of the payer has no end on record.
        """
        confirmed_by = await self._operator(operator)
        wish = await self._erasures.get(erasure_id)
        if wish is None:
            raise NotFound("there is no such erasure")
        if wish.requested_by == confirmed_by:
            raise ErasureRefused("needs four eyes: another operator than the one who asked has to confirm")
        states = {
            challenge: decode_state(packed)
            for challenge, packed in (await self._erasures.challenges_of(wish.psu)).items()
        }
        await self._forget(wish.psu, states)
        await self._memory.forget(wish.psu)
        for line in self._lines_of(states.values()):
            await self._lines.forget_line(line)
        members = {
            "actor": f"client:{confirmed_by}",
            "requested_by": f"client:{wish.requested_by}",
            "reason": wish.reason,
            "challenges": len(states),
        }
        destroyed = await self._erasures.confirm(
            erasure_id,
            confirmed_by,
            event=self._event("payer.erased", wish, members),
            bare=lambda stored: self._all_bared(stored, states.keys()),
        )
        if destroyed is None:
            raise ErasureRefused("the erasure was confirmed before")
        with suppress(StoreUnavailable):  # a worker may have copied what was on record until now
            await self._memory.forget(wish.psu)
        return destroyed

    async def _operator(self, api_key: Secret[str]) -> str:
        key_hash = self._keyring.key_hash(api_key.reveal())
        operator = await self._erasures.client_of(key_hash, _SCOPE)
        if operator is None:
            raise Unauthorized(f"needs a valid API key with the scope {_SCOPE}")
        return operator

    async def _forget(self, psu: str, stored: Mapping[str, ChallengeState]) -> None:
        """Redis lets go of what is over on record; nothing is forgotten while something is under way.

        What PostgreSQL calls pending, and Redis has lost, nobody will ever end: it is over when its time is.
        """
        now_ms = self._clock.now_ms()
        ids = [parsed for text in stored if (parsed := ChallengeId.parse(text))]
        for challenge in {*ids, *await self._challenges.pending_of(psu)}:
            hot, cold = await self._challenges.get(challenge), stored.get(challenge.text)
            if hot is None:
                is_over = cold is None or cold.status_at(now_ms) is not Status.PENDING
            else:
                is_over = hot.status.is_final and cold is not None and cold.status.is_final
            if not is_over:
                raise ErasureRefused(_UNDER_WAY)
        for challenge in ids:
            await self._challenges.forget(challenge)

    def _lines_of(self, states: Iterable[ChallengeState]) -> set[str]:
        """Every line that the payer's challenges named, by its pseudonym: one that is known was named by one."""
        numbers = (ChallengeView.open(state, self._keyring).private.number for state in states)
        return {line_name(number, self._keyring) for number in numbers if number is not None}

    def _all_bared(self, stored: Mapping[str, bytes], over: Collection[str]) -> dict[str, bytes]:
        """The packed states as they stay. Raises ErasureRefused when one is there of which it is not known to be over.

        A final status stays what it is: what was over when it was looked at is over still.
        """
        if stored.keys() - set(over):
            raise ErasureRefused("the payer got a challenge meanwhile: confirm again when it is over")
        return {
            challenge: msgspec.msgpack.encode(self._bared(decode_state(packed)))
            for challenge, packed in stored.items()
        }

    def _bared(self, state: ChallengeState) -> ChallengeState:
        """The state as it stays on record: without what was personal, and what somebody could try values against.

        The transaction's digest and the question made of it are plain hashes; `answer_key` is a hash of code and PIN.
        """
        details = state.details
        bare = Fixed(
            purpose=details.purpose,
            method=details.method,
            elements=details.elements,
            policy=details.policy,
            sealed=self._keyring.seal(
                msgspec.json.encode(Private(psu_id="", locale="", message_shown="")), state.id
            ),
            sca=details.sca,
            risk_reasons=details.risk_reasons,
            risk_score=details.risk_score,
            risk_decision=details.risk_decision,
        )
        state.fixed = msgspec.json.encode(bare).decode()
        state.digest = state.answer_key = ""
        return state

    def _event(self, kind: str, row: ErasureRow, members: Mapping[str, object]) -> AuditEvent:
        return AuditEvent.create(
            event_id=new_id("evt"),
            kind=kind,
            at_ms=self._clock.now_ms(),
            members={"client": row.client, "psu": row.psu, "erasure": row.id, **members},
        )
