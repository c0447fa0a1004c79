"""The deliveries of alerts, as the worker asks for them: what to send now, and what became of it.

Alerts have a lane of their own in the worker, so that codes go first. What payers do not want, and what falls into
their quiet hours, is sorted out when it is taken up, for all that is leased in one statement.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sca_service.alerts.attempts import attempt_of, count_settled
from sca_service.alerts.consent.postgres_store import Question
from sca_service.alerts.content import Content, opened, sealed
from sca_service.alerts.lane import Rate
from sca_service.alerts.model import (
    Alert,
    Attempt,
    Change,
    Suppression,
    advance,
    alert_of,
    defer,
    settle,
    suppress,
)
from sca_service.alerts.postgres_store import AlertStore, DueAlert
from sca_service.alerts.quiet import quiet_until, zone_of
from sca_service.delivery.dispatch import Outbound, Plan
from sca_service.delivery.model import DeclinedBy, DeliveryStatus, SettledDelivery, Settlement
from sca_service.delivery.render import sms_segments
from sca_service.delivery.supplier import FailureReason, Message
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring, SealBroken
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Channel, Policy
from sca_service.policy.notice_rules import ConsentRule, QuietHours
from sca_service.routing.model import RouteChoice

MOST_AT_ONCE: Final = 100
"""What one look takes up."""


class Wishes(Protocol):
    """Knows what payers do not want."""

    async def unwanted(self, questions: Sequence[Question]) -> frozenset[int]:
        """The places of those that must not be sent. Raises StoreUnavailable."""


class Guard(Protocol):
    """Knows where messages are pumped to."""

    async def keeps_back(self, number: PhoneNumber, *, client: str) -> bool:
        """Whether nothing is to be sent to a number for a client now. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Due:
    """An alert that a worker has leased: as it stood, what it says, and what holds it back.

    `content` is None where it cannot be opened or its payer was erased. `unwanted` claims that its payer does not want
    it, `quiet_until` is when they may be disturbed, None for now.
    """

    alert: Alert
    now_ms: int
    content: Content | None = field(default=None, repr=False)
    unwanted: bool = False
    quiet_until: int | None = None

    @property
    def is_held_back(self) -> bool:
        """Whether it is not to be sent now."""
        return self.unwanted or self.quiet_until is not None


class AlertBook:
    """Keeps the deliveries of alerts. A class because it holds the stores, the keyring and the lane's rate."""

    def __init__(
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: AlertStore,
        wishes: Wishes,
        guard: Guard,
        actor: str,
        quiet_hours: QuietHours | None = None,
    ) -> None:
        """`actor` is the role that the events name: `worker`, or `api` for receipts.

        `quiet_hours` are the policy's, or what holds in a sandbox.
        """
        self._rules = policy.alerts.notices
        self._keyring = keyring
        self._store = store
        self._wishes = wishes
        self._guard = guard
        self._origin = {"actor": actor, "policy": policy.digest}
        self._quiet_hours = quiet_hours or self._rules.quiet_hours
        self._rate = Rate(self._rules.most_per_second)

    async def claim(self, partition: int, *, most: int) -> list[Due]:
        """Lease what is due, as far as the lane's rate allows; there is one partition. Raises StoreUnavailable."""
        allowed = min(most, MOST_AT_ONCE, self._rate.allows(asyncio.get_running_loop().time()))
        if not allowed:
            return []
        leased = [self._opened(one) for one in await self._store.claim(most=allowed)]
        self._rate.spend(len(leased))
        asked = [
            (at, question) for at, due in enumerate(leased) if (question := self._question(due)) is not None
        ]
        refused = await self._wishes.unwanted([question for _, question in asked])
        unwanted = {asked[place][0] for place in refused}
        return [replace(due, unwanted=True) if at in unwanted else due for at, due in enumerate(leased)]

    def plan(self, due: Due) -> Plan | None:
        """What would be sent now; None when nothing would. Raises SealBroken."""
        channel = due.alert.channel_due(due.now_ms)
        if channel is None or due.is_held_back or not due.alert.sealed:
            return None
        if due.content is None:
            raise SealBroken("an alert's text does not open")
        current = due.alert.current
        is_current = current is not None and current.status is DeliveryStatus.QUEUED
        message = _message(due.alert, due.content, channel)
        return Plan(
            message=message,
            number=due.content.line if channel.needs_phone else None,
            purpose=None,
            segments=sms_segments(due.content.texts[channel]) if channel is Channel.SMS else 1,
            tried=current.suppliers_tried if current and is_current else (),
            began_with=current.supplier if current and is_current and current.is_in_hand else "",
        )

    async def advance(self, due: Due, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """Give out what was planned, step on, hold back, or end; on record first. Raises StoreUnavailable.

        Nothing is given out to a worker whose lease is over.
        """
        if not due.alert.sealed:  # its receipt came after the erasure
            await self._change(due, lambda alert, _: suppress(alert, Suppression.ERASED))
            return None
        if due.unwanted:
            await self._change(due, lambda alert, _: suppress(alert, Suppression.OPTED_OUT))
            return None
        until = due.quiet_until
        if until is not None and due.alert.channel_due(due.now_ms) is not None:
            await self._change(due, lambda alert, _: defer(alert, until))
            return None
        attempt = attempt_of(plan, choice) if plan and choice else None
        if plan and plan.number and await self._is_kept_back(due.alert, plan.number):
            attempt = Attempt(plan.message.channel, reason=FailureReason.PUMPING)
        change = await self._change(due, lambda alert, now_ms: advance(alert, attempt, now_ms))
        if change is None or not change.sends or plan is None or choice is None or choice.route is None:
            return None
        delivery = change.alert.deliveries[-1]
        message = replace(
            plan.message, delivery_id=delivery.id, sender=choice.route.sender, attempt=delivery.tries
        )
        return Outbound(message, change.alert.client, choice.route)

    async def settle(self, delivery: str, settlement: Settlement) -> SettledDelivery | None:
        """Put down what became of a delivery, on record; None for an unknown one. Raises StoreUnavailable."""
        alert_id = alert_of(delivery)
        if alert_id is None:
            return None
        decided = self._closing(lambda alert, now_ms: settle(alert, delivery, settlement, now_ms))
        changed = await self._store.change(alert_id, decided, self._origin)
        if changed is None:
            return None
        change, is_news = changed
        count_settled(change)
        settled = next(one for one in change.alert.deliveries if one.id == delivery)
        return settled.settled(is_news=is_news)

    async def decline(self, delivery: str, how: DeclinedBy | None = None) -> bool:
        """The payer pressed the key for "not me": on record for the bank. False for an unknown delivery.

        Raises StoreUnavailable.
        """
        alert_id = alert_of(delivery)
        return alert_id is not None and await self._store.disown(alert_id, self._origin)

    async def message_of(self, delivery: str) -> Message | None:
        """The message of a delivery, to be said once more; None when its alert is over or unknown.

        Raises StoreUnavailable, SealBroken.
        """
        alert_id = alert_of(delivery)
        alert = await self._store.of_anybody(alert_id) if alert_id else None
        found = next((one for one in alert.deliveries if one.id == delivery), None) if alert else None
        if alert is None or found is None or not found.tries or alert.status.is_final or not alert.sealed:
            return None
        content = opened(self._keyring, alert.sealed, alert.id)
        return replace(_message(alert, content, found.channel), delivery_id=delivery)

    def _opened(self, due: DueAlert) -> Due:
        alert = due.alert
        try:
            content = opened(self._keyring, alert.sealed, alert.id)
            until = self._quiet_until(alert, content, due.now_ms)
        except (
            SealBroken,
            InvalidInput,
        ):  # of a number that no plan has any more: one never holds up the others
            return Due(alert, due.now_ms)
        return Due(alert, due.now_ms, content, quiet_until=until)

    def _quiet_until(self, alert: Alert, content: Content, now_ms: int) -> int | None:
        topic = self._rules.topic(alert.topic)
        if not alert.kind.heeds_wishes or (topic is not None and not topic.heeds_quiet_hours):
            return None
        line = None if alert.time_zone else content.line
        zone = zone_of(self._rules, alert.time_zone, line.country if line else "")
        return quiet_until(self._quiet_hours, zone, now_ms)

    def _question(self, due: Due) -> Question | None:
        """What is to be asked before it is sent; None where nothing is."""
        alert, content = due.alert, due.content
        if content is None or not alert.kind.heeds_wishes or alert.channel_due(due.now_ms) is None:
            return None
        topic = self._rules.topic(alert.topic)
        return Question(
            phone=self._keyring.pseudonym("phone", content.number) if content.number else "",
            client=alert.client,
            psu=alert.psu,
            topic=alert.topic,
            needs_consent=topic is not None and topic.consent is ConsentRule.OPT_IN,
        )

    async def _is_kept_back(self, alert: Alert, number: PhoneNumber) -> bool:
        """A warning to a line that was enrolled goes out all the same: there is one for each."""
        return alert.kind.heeds_wishes and await self._guard.keeps_back(number, client=alert.client)

    async def _change(self, due: Due, decide: Callable[[Alert, int], Change]) -> Change | None:
        """What was put down of an alert that is leased; None when the lease is over."""
        changed = await self._store.change(
            due.alert.id, self._closing(decide), self._origin, leased_until=due.alert.due_at
        )
        if changed is None:
            return None
        count_settled(changed[0])
        return changed[0]

    def _closing(
        self, decide: Callable[[Alert, int], Change | None]
    ) -> Callable[[Alert, int], Change | None]:
        """The same decision; an alert that is over by it forgets its number and its texts."""

        def decided(alert: Alert, now_ms: int) -> Change | None:
            change = decide(alert, now_ms)
            if (
                change is None
                or not change.alert.status.is_final
                or alert.status.is_final
                or not alert.sealed
            ):
                return change
            bare = opened(self._keyring, alert.sealed, alert.id).bare
            return replace(change, alert=replace(change.alert, sealed=sealed(self._keyring, bare, alert.id)))

        return decided


def _message(alert: Alert, content: Content, channel: Channel) -> Message:
    """The message without its delivery's name."""
    text = Secret(content.texts[channel])
    return Message(
        delivery_id="",
        channel=channel,
        to=Secret(content.number if channel.needs_phone else alert.psu),
        text=text,
        locale=content.locale,
        shown=text,
        expires_at_ms=alert.expires_at,
    )
