"""A payer's lockout, as the client and the operator see it."""

from dataclasses import dataclass

import msgspec

from sca_service.challenges.issue import Caller
from sca_service.challenges.lockout import Lockout
from sca_service.challenges.model import partition_of
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.keyring import Keyring
from sca_service.policy.model import Policy


@dataclass(frozen=True, slots=True)
class Unblock:
    """Whose block is lifted (by whose client and reference), and why, in the operator's words."""

    client: str
    psu_id: str
    reason: str


class Payers:
    """Tells and lifts lockouts. A class because it holds the store."""

    def __init__(
        self, *, policy: Policy, keyring: Keyring, store: ChallengeStore, recorder: Recorder
    ) -> None:
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._recorder = recorder

    async def lockout(self, client: str, psu_id: str) -> Lockout:
        """Where a payer stands with this client. Raises StoreUnavailable."""
        return await self._store.lockout(self._keyring.pseudonym("payer", client, psu_id))

    async def unblock(self, caller: Caller, unblock: Unblock) -> Lockout:
        """Lift a block and put on record who did it and why. Raises StoreUnavailable."""
        payer = self._keyring.pseudonym("payer", unblock.client, unblock.psu_id)
        members = {
            "client": unblock.client,
            "psu": payer,
            **msgspec.to_builtins(caller.event_members(self._policy)),
            "reason": unblock.reason,
        }
        reply = await self._store.unblock(payer, msgspec.json.encode(members)[1:-1])
        await self._recorder.commit(partition_of(payer), reply)
        return await self._store.lockout(payer)
