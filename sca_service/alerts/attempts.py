"""Between an alert's deliveries and the words of those who choose routes, count and learn."""

import msgspec

from sca_service.alerts.model import Attempt, Change
from sca_service.delivery.chosen import may_pass, record_of, why_none
from sca_service.delivery.dispatch import Plan
from sca_service.kernel.telemetry import DELIVERIES_SETTLED
from sca_service.routing.model import RouteChoice

_SETTLING = ("alert.sent", "alert.delivered", "alert.stepped", "alert.failed")


def attempt_of(plan: Plan, choice: RouteChoice) -> Attempt:
    """How a plan would go out by this choice; without a route, why not and whether that passes."""
    channel, route = plan.message.channel, choice.route
    country = {"country": plan.number.country} if plan.number else {}
    if route is None:
        return Attempt(channel, reason=why_none(choice), may_pass=may_pass(choice), told=country)
    record = record_of(choice, route)
    told = {**msgspec.to_builtins(record), **country}
    return Attempt(channel, route.supplier, msgspec.json.encode(record).decode(), told=told)


def count_settled(change: Change) -> None:
    """Count the deliveries that the change settled, as those of challenges are."""
    statuses = {one.id: one.status for one in change.alert.deliveries}
    for kind, members in change.events:
        if kind in _SETTLING and "delivery" in members:
            DELIVERIES_SETTLED.labels(members["channel"], statuses[str(members["delivery"])]).inc()
