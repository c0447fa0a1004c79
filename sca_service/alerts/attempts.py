"""Between an alert's deliveries and the words of those who choose routes, count and learn."""

import msgspec

from sca_service.alerts.model import Attempt, Change
from sca_service.delivery.dispatch import Plan
from sca_service.delivery.model import DeliveryState, RouteRecord, SettledDelivery
from sca_service.delivery.supplier import FailureReason
from sca_service.kernel.telemetry import DELIVERIES_SETTLED
from sca_service.routing.model import RouteChoice, RouteReason

_SETTLING = ("alert.sent", "alert.delivered", "alert.stepped", "alert.failed")
_NO_ROUTE = {
    RouteReason.SENDER_UNREGISTERED: FailureReason.SENDER_UNREGISTERED,
    RouteReason.SEND_LIMIT: FailureReason.SEND_LIMIT,
    RouteReason.SPEND_LIMIT: FailureReason.SPEND_LIMIT,
}


def attempt_of(plan: Plan, choice: RouteChoice) -> Attempt:
    """How a plan would go out by this choice; without a route, why not and whether that passes."""
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


def count_settled(change: Change) -> None:
    """Count the deliveries that the change settled, as those of challenges are."""
    statuses = {one.id: one.status for one in change.alert.deliveries}
    for kind, members in change.events:
        if kind in _SETTLING and "delivery" in members:
            DELIVERIES_SETTLED.labels(members["channel"], statuses[str(members["delivery"])]).inc()


def settled_delivery(delivery: DeliveryState, *, is_news: bool) -> SettledDelivery:
    """What those who learn of routes are told of a delivery."""
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
