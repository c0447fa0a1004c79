"""What is kept and told of the choice of a route: the same for the deliveries of challenges and of alerts. Pure."""

from sca_service.delivery.model import RouteRecord
from sca_service.delivery.supplier import FailureReason
from sca_service.routing.model import Route, RouteChoice, RouteReason

_NO_ROUTE = {
    RouteReason.SENDER_UNREGISTERED: FailureReason.SENDER_UNREGISTERED,
    RouteReason.SEND_LIMIT: FailureReason.SEND_LIMIT,
    RouteReason.SPEND_LIMIT: FailureReason.SPEND_LIMIT,
}


def record_of(choice: RouteChoice, route: Route) -> RouteRecord:
    """What is kept of the route that was chosen, with why the others were not."""
    return RouteRecord(
        supplier=route.supplier,
        network=route.network,
        sender=route.sender.id if route.sender else "",
        price=f"{route.price.currency} {route.price.text}" if route.price else "",
        reasons=route.reasons,
        passed_over=dict(choice.passed_over),
    )


def why_none(choice: RouteChoice) -> FailureReason:
    """Why there is no route: what all suppliers have in common, or else that none can be had."""
    why = {_NO_ROUTE.get(reason, FailureReason.SUPPLIER_DOWN) for _, reason in choice.passed_over}
    return why.pop() if len(why) == 1 else FailureReason.SUPPLIER_DOWN


def may_pass(choice: RouteChoice) -> bool:
    """Whether there may be a route soon: a supplier is left alone for a while because it failed."""
    return any(reason is RouteReason.BREAKER_OPEN for _, reason in choice.passed_over)
