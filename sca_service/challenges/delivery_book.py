"""The deliveries of challenges, as the worker asks for them: what to send now, and what became of it."""

from sca_service.challenges import code
from sca_service.challenges.model import ChallengeId, ChallengeState
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers, Reply
from sca_service.challenges.view import ChallengeView
from sca_service.delivery.dispatch import Outbound
from sca_service.delivery.model import Settlement, owner_of
from sca_service.delivery.render import message_text
from sca_service.delivery.supplier import Message
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.kernel.telemetry import DELIVERIES_SETTLED
from sca_service.kernel.transaction import Transaction
from sca_service.policy.model import Policy

RETRY_MS = 1_000
"""Before a delivery that failed for a passing reason is tried again over the same channel."""


class ChallengeBook:
    """Keeps the deliveries of challenges. A class because it holds the stores and the keyring."""

    def __init__(
        self, *, policy: Policy, keyring: Keyring, store: ChallengeStore, recorder: Recorder, actor: str
    ) -> None:
        """`actor` is the role that the events name: `worker`, or `api` for receipts."""
        self._policy = policy
        self._keyring = keyring
        self._store = store
        self._recorder = recorder
        self._members = EventMembers(actor, policy=policy.digest)

    async def claim(self, partition: int, *, most: int) -> list[str]:
        """Lease the challenges of a partition whose time has come. Raises StoreUnavailable."""
        return await self._store.claim(partition, most=most)

    async def advance(self, owner: str) -> Outbound | None:
        """Step on, expire, or give out the delivery that is to be sent now; on record first.

        Raises StoreUnavailable, SealBroken.
        """
        challenge = ChallengeId.parse(owner)
        if challenge is None:
            return None
        reply = await self._store.advance(challenge, self._members)
        if reply.state is None:
            return None
        await self._commit(challenge, reply)
        return Outbound(owner, self._message(challenge, reply.state)) if reply.word == "send" else None

    async def settle(self, delivery: str, settlement: Settlement) -> bool:
        """Put down what became of a delivery, on record; False for an unknown one. Raises StoreUnavailable."""
        challenge = ChallengeId.parse(owner_of(delivery) or "")
        if challenge is None:
            return False
        reply = await self._store.settle(challenge, self._members, delivery, settlement, retry_ms=RETRY_MS)
        if reply.state is not None:
            await self._commit(challenge, reply)
            channel = next(one.channel for one in reply.state.deliveries if one.id == delivery)
            DELIVERIES_SETTLED.labels(channel, settlement.status).inc()
        return reply.word != "not_found"

    async def _commit(self, challenge: ChallengeId, reply: Reply) -> None:
        is_final = reply.state is not None and reply.state.status.is_final
        await self._recorder.commit(challenge.partition, reply, with_snapshot=is_final)

    def _message(self, challenge: ChallengeId, state: ChallengeState) -> Message:
        private = ChallengeView.open(state, self._keyring).private
        delivery = state.deliveries[-1]
        text = message_text(
            self._policy.texts,
            purpose=challenge.purpose,
            channel=delivery.channel,
            locale=private.locale,
            transaction=Transaction.from_canonical(private.transaction.encode())
            if private.transaction
            else None,
            code=code.derive(self._keyring, challenge, state.digest),
            lifetime_minutes=max((state.expires_at - state.created_at) // 60_000, 1),
        )
        address = private.phone or state.payer
        return Message(delivery.id, delivery.channel, Secret(address), text, private.locale)
