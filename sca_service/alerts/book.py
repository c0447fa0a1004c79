"""The deliveries of alerts, as the worker asks for them: what to send now, and what became of it.

Alerts have a lane of their own in the worker: they are taken up a few at a time, so that codes go first.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from sca_service.alerts.content import opened, sealed
from sca_service.alerts.model import (
    Alert,
    AlertKind,
    Attempt,
    Change,
    Suppression,
    advance,
    alert_of,
    settle,
    suppress,
)
from sca_service.alerts.postgres_store import AlertStore, DueAlert
from sca_service.delivery.dispatch import Outbound, Plan
from sca_service.delivery.model import (
    DeclinedBy,
    DeliveryState,
    DeliveryStatus,
    RouteRecord,
    SettledDelivery,
    Settlement,
)
from sca_service.delivery.render import sms_segments
from sca_service.delivery.supplier import FailureReason, Message
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.kernel.telemetry import DELIVERIES_SETTLED
from sca_service.policy.model import Channel, Policy
from sca_service.routing.model import RouteChoice, RouteReason

LANE: Final = 0
"""Alerts are in no partition of a payer: the dispatcher knows them as one."""
MOST_AT_ONCE: Final = 20
"""What one look takes up; with five looks a second, a worker begins a hundred alerts."""


class OptOuts(Protocol):
    """Knows who wants no alerts."""

    async def is_opted_out(self, phone: str, client: str) -> bool:
        """Whether a client must send no alert to a number (its pseudonym). Raises StoreUnavailable."""


class Guard(Protocol):
    """Knows where messages are pumped to."""

    async def keeps_back(self, number: PhoneNumber, *, client: str) -> bool:
        """Whether nothing is to be sent to a number for a client now. Raises StoreUnavailable."""


class Rounds:
    """The lane's signal: there is none, alerts are looked for by the clock. A class because a dispatcher asks one."""

    async def wait(self, seconds: float) -> set[int]:
        """Wait so long; names nothing."""
        await asyncio.sleep(seconds)
        return set()


class AlertBook:
    """Keeps the deliveries of alerts. A class because it holds the stores and the keyring."""

    def __init__(
        self,
        *,
        policy: Policy,
        keyring: Keyring,
        store: AlertStore,
        opt_outs: OptOuts,
        guard: Guard,
        actor: str,
    ) -> None:
        """`actor` is the role that the events name: `worker`, or `api` for receipts."""
        self._keyring = keyring
        self._store = store
        self._opt_outs = opt_outs
        self._guard = guard
        self._origin = {"actor": actor, "policy": policy.digest}

    async def claim(self, partition: int, *, most: int) -> list[DueAlert]:
        """Lease what is due; there is one partition. Raises StoreUnavailable."""
        return await self._store.claim(most=min(most, MOST_AT_ONCE))

    def plan(self, due: DueAlert) -> Plan | None:
        """What would be sent now; None when nothing would. Raises SealBroken."""
        channel = due.alert.channel_due(due.now_ms)
        if channel is None:
            return None
        current = due.alert.current
        is_current = current is not None and current.status is DeliveryStatus.QUEUED
        number, message = self._message(due.alert, channel)
        return Plan(
            message=message,
            number=PhoneNumber.parse(number) if channel.needs_phone else None,
            purpose=None,
            segments=self._segments(due.alert, channel),
            tried=current.suppliers_tried if current and is_current else (),
            began_with=current.supplier if current and is_current and current.is_in_hand else "",
        )

    async def advance(self, due: DueAlert, plan: Plan | None, choice: RouteChoice | None) -> Outbound | None:
        """Give out what was planned, step on, or end; on record first. Raises StoreUnavailable.

        Nothing is given out to a worker whose lease is over.
        """
        if plan and plan.number and due.alert.kind.heeds_opt_outs:
            phone = self._keyring.pseudonym("phone", plan.number.e164)
            if await self._opt_outs.is_opted_out(phone, due.alert.client):
                await self._change(due, lambda alert, _: suppress(alert, Suppression.OPTED_OUT))
                return None
        attempt = _attempt(plan, choice) if plan and choice else None
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
        _count(change)
        settled = next(one for one in change.alert.deliveries if one.id == delivery)
        return _settled(settled, is_news=is_news)

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
        return replace(self._message(alert, found.channel)[1], delivery_id=delivery)

    async def _is_kept_back(self, alert: Alert, number: PhoneNumber) -> bool:
        """A warning to a line that was enrolled goes out all the same: there is one for each."""
        return alert.kind is AlertKind.NOTICE and await self._guard.keeps_back(number, client=alert.client)

    async def _change(self, due: DueAlert, decide: Callable[[Alert, int], Change]) -> Change | None:
        """What was put down of an alert that is leased; None when the lease is over."""
        changed = await self._store.change(
            due.alert.id, self._closing(decide), self._origin, leased_until=due.alert.due_at
        )
        if changed is None:
            return None
        _count(changed[0])
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

    def _message(self, alert: Alert, channel: Channel) -> tuple[str, Message]:
        """The number, "" where there is none, and the message without its delivery's name."""
        content = opened(self._keyring, alert.sealed, alert.id)
        text = Secret(content.texts[channel])
        message = Message(
            delivery_id="",
            channel=channel,
            to=Secret(content.number if channel.needs_phone else alert.psu),
            text=text,
            locale=content.locale,
            shown=text,
            expires_at_ms=alert.expires_at,
        )
        return content.number, message

    def _segments(self, alert: Alert, channel: Channel) -> int:
        if channel is not Channel.SMS:
            return 1
        return sms_segments(opened(self._keyring, alert.sealed, alert.id).texts[channel])


_SETTLING = ("alert.sent", "alert.delivered", "alert.stepped", "alert.failed")
_NO_ROUTE = {
    RouteReason.SENDER_UNREGISTERED: FailureReason.SENDER_UNREGISTERED,
    RouteReason.SEND_LIMIT: FailureReason.SEND_LIMIT,
    RouteReason.SPEND_LIMIT: FailureReason.SPEND_LIMIT,
}


def _attempt(plan: Plan, choice: RouteChoice) -> Attempt:
    channel, route = plan.message.channel, choice.route
    country = {"country": plan.number.country} if plan.number else {}
    if route is None:
        why = {_NO_ROUTE.get(reason, FailureReason.SUPPLIER_DOWN) for _, reason in choice.passed_over}
        return Attempt(
            channel,
            reason=why.pop() if len(why) == 1 else FailureReason.SUPPLIER_DOWN,
            may_pass=any(reason is RouteReason.BREAKER_OPEN for _, reason in choice.passed_over),
            told=country,
        )
    record = RouteRecord(
        supplier=route.supplier,
        network=route.network,
        sender=route.sender.id if route.sender else "",
        price=f"{route.price.currency} {route.price.text}" if route.price else "",
        reasons=route.reasons,
        passed_over=dict(choice.passed_over),
    )
    told = {**msgspec.to_builtins(record), **country}
    return Attempt(channel, route.supplier, msgspec.json.encode(record).decode(), told=told)


def _count(change: Change) -> None:
    """Count the deliveries that the change settled, as those of challenges are."""
    statuses = {one.id: one.status for one in change.alert.deliveries}
    for kind, members in change.events:
        if kind in _SETTLING and "delivery" in members:
            DELIVERIES_SETTLED.labels(members["channel"], statuses[str(members["delivery"])]).inc()


def _settled(delivery: DeliveryState, *, is_news: bool) -> SettledDelivery:
    since = delivery.sent_at or delivery.queued_at
    return SettledDelivery(
        delivery.id,
        delivery.status,
        is_news=is_news,
        channel=delivery.channel,
        supplier=delivery.supplier,
        network=delivery.network,
        latency_ms=max(delivery.final_at - since, 0) if delivery.final_at else 0,
    )
