"""The deliveries of challenges, as the worker asks for them: what to send now, and what became of it."""

from dataclasses import replace

import msgspec

from sca_service.challenges import code
from sca_service.challenges.attempt import NOTHING_DUE, AttemptRoute
from sca_service.challenges.model import ChallengeId, ChallengeState, Private
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import (
    MOST_TRIES,
    ChallengeStore,
    Due,
    EventMembers,
    Reply,
)
from sca_service.challenges.view import ChallengeView
from sca_service.delivery.chosen import may_pass, record_of, why_none
from sca_service.delivery.dispatch import Outbound, Plan
from sca_service.delivery.model import (
    DeclinedBy,
    DeliveryState,
    SettledDelivery,
    Settlement,
    owner_of,
)
from sca_service.delivery.own_text import OwnText
from sca_service.delivery.render import message_text, message_values, own_message, sms_segments
from sca_service.delivery.supplier import Message
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.secret import Secret
from sca_service.kernel.telemetry import CHALLENGES_DECLINED, DELIVERIES_SETTLED
from sca_service.kernel.transaction import Transaction
from sca_service.policy.model import Channel, Occasion, Policy
from sca_service.routing.model import RouteChoice

POSTPONED_MS = 1_000
"""Before a delivery whose attempt could not be put on record is taken up again."""


class _PlanMembers(msgspec.Struct, omit_defaults=True):
    """What events say of a delivery beside its route: for what, and into which country."""

    purpose: str
    country: str = ""


class _SettledMembers(msgspec.Struct):
    channel: str
    status: str


_decode_settled = msgspec.json.Decoder(_SettledMembers).decode


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

    async def claim(self, partition: int, *, most: int) -> list[Due]:
        """Lease the challenges of a partition whose time has come. Raises StoreUnavailable."""
        return await self._store.claim(partition, most=most)

    def plan(self, due: Due) -> Plan | None:
        """What would be sent now, for which a route is needed; None when nothing would. Raises SealBroken."""
        challenge = ChallengeId.parse(due.challenge)
        if challenge is None or due.state is None:
            return None
        channel = due.state.channel_due(due.now_ms, most_tries=MOST_TRIES)
        if channel is None:
            return None
        private = ChallengeView.open(due.state, self._keyring).private
        message = self._message(challenge, due.state, channel, private)
        current = due.state.deliveries[-1]
        is_current = current.channel is channel
        return Plan(
            message=message,
            number=private.number if channel.needs_phone else None,
            purpose=challenge.purpose,
            segments=sms_segments(message.text.reveal()) if channel is Channel.SMS else 1,
            tried=current.suppliers_tried if is_current else (),
            began_with=current.supplier if is_current and current.is_in_hand else "",
        )

    async def advance(self, due: Due, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """Step on, expire, or give out what was planned over the chosen route; on record first.

        Raises StoreUnavailable; then nothing was given out.
        """
        challenge = ChallengeId.parse(due.challenge)
        if challenge is None:
            return None
        route = _attempt_route(plan, choice) if plan and choice else NOTHING_DUE
        reply = await self._store.advance(challenge, self._members, route, leased_until=due.leased_until)
        if reply.state is None:
            return None
        delivery = reply.state.deliveries[-1]
        try:
            await self._commit(challenge, reply)
        except StoreUnavailable:
            if reply.word == "send":
                await self._postpone(challenge, delivery)
            raise
        if reply.word != "send" or plan is None or choice is None or choice.route is None:
            return None
        message = replace(
            plan.message, delivery_id=delivery.id, sender=choice.route.sender, attempt=delivery.tries
        )
        return Outbound(message, reply.state.client, choice.route)

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery, on record; None for an unknown one. Raises StoreUnavailable."""
        challenge = ChallengeId.parse(owner_of(delivery) or "")
        if challenge is None:
            return None
        reply = await self._store.settle(challenge, self._members, delivery, settlement)
        if reply.state is None:
            return None if reply.word == "not_found" else SettledDelivery(delivery, settlement.status)
        await self._commit(challenge, reply)
        settled = next(one for one in reply.state.deliveries if one.id == delivery)
        return settled.settled(is_news=bool(reply.events))

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """The payer said no, if not said otherwise the way the delivery went; on record. False for an unknown delivery.

        Raises StoreUnavailable.
        """
        challenge = ChallengeId.parse(owner_of(delivery) or "")
        if challenge is None:
            return False
        reply = await self._store.decline(challenge, self._members, delivery, how or "")
        if reply.state is not None:
            await self._commit(challenge, reply)
            CHALLENGES_DECLINED.labels(reply.state.why).inc()
        return reply.word != "not_found"

    async def message_of(self, delivery: str) -> Message | None:
        """The message of a delivery, to be said once more; None when its challenge is over or unknown.

        Raises StoreUnavailable, SealBroken.
        """
        challenge = ChallengeId.parse(owner_of(delivery) or "")
        state = await self._store.get(challenge) if challenge else None
        if challenge is None or state is None or state.status.is_final:
            return None
        found = next((one for one in state.deliveries if one.id == delivery), None)
        if found is None or not found.tries:
            return None
        private = ChallengeView.open(state, self._keyring).private
        return replace(self._message(challenge, state, found.channel, private), delivery_id=delivery)

    async def _commit(self, challenge: ChallengeId, reply: Reply) -> None:
        is_final = reply.state is not None and reply.state.status.is_final
        await self._recorder.commit(challenge.partition, reply, with_snapshot=is_final)
        for event in reply.events:
            if event.head.type == "delivery.settled":
                settled = _decode_settled(event.body)
                DELIVERIES_SETTLED.labels(settled.channel, settled.status).inc()

    async def _postpone(self, challenge: ChallengeId, delivery: DeliveryState) -> None:
        """Nothing was sent, so no try is spent. What this leaves in the outbox is committed from there."""
        await self._store.postpone(
            challenge, self._members, delivery.id, attempt=delivery.tries, wait_ms=POSTPONED_MS
        )

    def _message(
        self, challenge: ChallengeId, state: ChallengeState, channel: Channel, private: Private
    ) -> Message:
        transaction = (
            Transaction.from_canonical(private.transaction.encode()) if private.transaction else None
        )
        derived = code.derive(self._keyring, challenge, state.digest) if challenge.digits else Secret("")
        lifetime_minutes = max((state.expires_at - state.created_at) // 60_000, 1)
        text = Secret(private.message_shown)  # what wakes a device that signs carries no code
        if private.own_text:
            text = own_message(OwnText(private.own_text), derived)
        elif challenge.digits:
            text = message_text(
                self._policy.texts,
                purpose=challenge.purpose,
                channel=channel,
                locale=private.locale,
                transaction=transaction,
                code=derived,
                lifetime_minutes=lifetime_minutes,
            )
        language = self._policy.texts.language_for(private.locale).language
        return Message(
            delivery_id="",
            channel=channel,
            to=Secret(private.phone if channel.needs_phone and private.phone else state.payer),
            text=text,
            locale=private.locale if _speaks(private.locale, language) else language,
            occasion=Occasion.of(challenge.purpose, transaction.kind if transaction else None),
            shown=Secret(private.message_shown),
            values=message_values(
                transaction,
                locale=private.locale,
                code=derived,
                language=language,
                lifetime_minutes=lifetime_minutes,
            ),
            expires_at_ms=state.expires_at,
        )


def _speaks(locale: str, language: str) -> bool:
    """Whether a locale is one of a language: a voice that reads German needs a German locale."""
    return locale.replace("_", "-").lower().split("-")[0] == language.lower().split("-")[0]


def _attempt_route(plan: Plan, choice: RouteChoice) -> AttemptRoute:
    channel, route = plan.message.channel, choice.route
    if route is None:
        return AttemptRoute(
            channel, reason=why_none(choice), members=_members(plan), may_pass=may_pass(choice)
        )
    record = record_of(choice, route)
    encoded = msgspec.json.encode(record)
    return AttemptRoute(
        channel=channel,
        supplier=route.supplier,
        record=encoded,
        members=b"," + encoded[1:-1] + _members(plan),
        cost=record.price,
        segments=plan.segments,
    )


def _members(plan: Plan) -> bytes:
    """Members of an event, to be put behind others."""
    told = _PlanMembers(plan.purpose or "", plan.number.country if plan.number else "")
    return b"," + msgspec.json.encode(told)[1:-1]
