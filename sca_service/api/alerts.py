"""Alerts over HTTP: `/v1/alerts`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import Parameter

from sca_service.alerts.desk import AlertDesk, SeenAlert
from sca_service.api.alert_forms import AlertBody, AlertForm, alert_body, order_of
from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.routes import needs, problems, respond
from sca_service.policy.model import Policy

_TAGS = ["alerts"]

_encode = msgspec.json.Encoder().encode


class AlertOperations:
    """The operations on alerts. A class because it holds the desk that takes them in."""

    def __init__(self, *, desk: AlertDesk, idempotency: Idempotency, policy: Policy) -> None:
        self._desk = desk
        self._idempotency = idempotency
        self._policy = policy

    async def create(self, call: Call, form: AlertForm) -> HttpAnswer:
        """Queue a notice: 201. Raises InvalidInput with every mistake, StoreUnavailable, and for the key."""
        order = order_of(form)
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))

        async def queue(unique: str | None) -> HttpAnswer:
            seen = await self._desk.queue(call.client.id, order, origin, unique=unique)
            return HttpAnswer(201, _body(seen), (("Location", f"/v1/alerts/{seen.alert.id}"),))

        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, queue)

    async def get(self, call: Call, alert_id: str) -> HttpAnswer:
        """An alert: 200. Raises NotFound, StoreUnavailable."""
        return HttpAnswer(200, _body(await self._desk.get(call.client.id, alert_id)))


def _body(seen: SeenAlert) -> bytes:
    return _encode(alert_body(seen))


@post(
    "/v1/alerts",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="create_alert",
    summary="Send a notice",
    description=(
        "A message without a code: a text of the policy's `notices`, with what it leaves open. It is durable when this "
        "answers, and sent within the second unless the number has opted out. Of all alerts with one `dedupe_key` one "
        "is sent. Accepts an `Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def create_alert(
    request: Request[Any, Any, Any], data: AlertForm, alerts: AlertOperations
) -> Response[AlertBody]:
    """Send a notice."""
    return respond(await alerts.create(await call_of(request), data))


@get(
    "/v1/alerts/{alert_id:str}",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="get_alert",
    summary="An alert as it stands",
    responses=problems(404, 422),
)
async def get_alert(
    request: Request[Any, Any, Any],
    alerts: AlertOperations,
    alert_id: Annotated[str, Parameter(description="The alert's id, `alt_…`.")],
) -> Response[AlertBody]:
    """An alert as it stands."""
    return respond(await alerts.get(await call_of(request), alert_id))


ROUTES = (create_alert, get_alert)
