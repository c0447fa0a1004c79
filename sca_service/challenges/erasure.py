"""Erase a payer: four eyes, then the key is destroyed that everything personal about the payer is sealed under.

The log keeps every leaf and every proof: a leaf holds commitments, and their salts go with the values. What Redis still
holds of the payer goes too. An answer stored under an Idempotency-Key is sealed and forgotten within a day.
"""

from collections.abc import Mapping

import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.audit.private.postgres_store import ErasureRow, ErasureStore
from sca_service.challenges.model import ChallengeId, ChallengeState, Private, Status, decode_state
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import NotFound, ScaError, Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret

_SCOPE = "admin"


class ErasureRefused(ScaError):
    """The wish cannot be carried out, for the reason that its detail says."""


class Eraser:
    """Takes wishes to erase and carries them out. A class because it holds the stores."""

    def __init__(
        self, *, erasures: ErasureStore, challenges: ChallengeStore, keyring: Keyring, clock: Clock
    ) -> None:
        self._erasures = erasures
        self._challenges = challenges
        self._keyring = keyring
        self._clock = clock

    async def request(self, operator: Secret[str], *, client: str, psu_id: str, reason: str) -> str:
        """Ask that a client's payer be erased. Returns the wish's id, which another operator confirms.

        Raises Unauthorized unless `operator` is a valid API key with the scope `admin`.
        """
        requested_by = await self._operator(operator)
        psu = self._keyring.pseudonym("payer", client, psu_id)
        row = ErasureRow(new_id("ers"), client, psu, reason, requested_by)
        members = {"actor": f"client:{requested_by}", "reason": reason}
        await self._erasures.request(row, self._event("erasure.requested", row, members))
        return row.id

    async def pending(self) -> list[ErasureRow]:
        """The wishes that nobody has confirmed, the oldest first."""
        return await self._erasures.pending()

    async def confirm(self, operator: Secret[str], erasure_id: str) -> None:
        """Erase: the payer's key, the values under it, the payer's devices, and what Redis holds.

        Raises Unauthorized, NotFound for an unknown wish, StoreUnavailable; ErasureRefused when the one who asked
        confirms, when it was confirmed before, or while a challenge of the payer is open.
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
        await self._forget(states)
        members = {
            "actor": f"client:{confirmed_by}",
            "requested_by": f"client:{wish.requested_by}",
            "reason": wish.reason,
            "challenges": len(states),
        }
        packed = {
            challenge: msgspec.msgpack.encode(self._bared(state)) for challenge, state in states.items()
        }
        event = self._event("payer.erased", wish, members)
        if not await self._erasures.confirm(erasure_id, confirmed_by, event=event, states=packed):
            raise ErasureRefused("the erasure was confirmed before")

    async def _operator(self, api_key: Secret[str]) -> str:
        key_hash = self._keyring.key_hash(api_key.reveal())
        operator = await self._erasures.client_of(key_hash, _SCOPE)
        if operator is None:
            raise Unauthorized(f"needs a valid API key with the scope {_SCOPE}")
        return operator

    async def _forget(self, states: Mapping[str, ChallengeState]) -> None:
        """Redis lets go of what is over; nothing is forgotten while something is open."""
        now_ms = self._clock.now_ms()
        ids = [parsed for text in states if (parsed := ChallengeId.parse(text))]
        for challenge in ids:
            hot = await self._challenges.get(challenge)
            if hot is not None and hot.status_at(now_ms) is Status.PENDING:
                raise ErasureRefused("the payer has an open challenge: cancel it, or wait until it is over")
        for challenge in ids:
            await self._challenges.forget(challenge)

    def _bared(self, state: ChallengeState) -> ChallengeState:
        """The state as it stays on record, without what was personal."""
        bare = Private(psu_id="", locale="", message_shown="")
        sealed = self._keyring.seal(msgspec.json.encode(bare), state.id)
        state.fixed = msgspec.json.encode(msgspec.structs.replace(state.details, sealed=sealed)).decode()
        return state

    def _event(self, kind: str, row: ErasureRow, members: Mapping[str, object]) -> AuditEvent:
        return AuditEvent.create(
            event_id=new_id("evt"),
            kind=kind,
            at_ms=self._clock.now_ms(),
            members={"client": row.client, "psu": row.psu, "erasure": row.id, **members},
        )
