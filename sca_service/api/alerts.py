"""Alerts over HTTP: `/v1/alerts`."""

import base64
import binascii
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import Parameter, QueryParameter

from sca_service.alerts.desk import AlertDesk, SeenAlert, is_alert_id
from sca_service.alerts.model import AlertStatus
from sca_service.alerts.postgres_store import AlertFilter
from sca_service.api.alert_forms import (
    AlertBatchBody,
    AlertBatchForm,
    AlertBody,
    AlertForm,
    AlertListBody,
    alert_body,
    batch_body,
    order_in_batch,
    order_of,
)
from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.requests import psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.model import Policy

MOST_BATCH_BYTES = 2 * 1024 * 1024
"""A batch of a thousand, with two kilobytes for each."""
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
        origin = self._origin(call)

        async def queue(unique: str | None) -> HttpAnswer:
            seen = await self._desk.queue(call.client.id, order, origin, unique=unique)
            return HttpAnswer(201, _body(seen), (("Location", f"/v1/alerts/{seen.alert.id}"),))

        return await self._once(call, queue)

    async def create_all(self, call: Call, form: AlertBatchForm) -> HttpAnswer:
        """Queue many notices: 200, with what became of each. Raises StoreUnavailable, and for the key."""
        origin = self._origin(call)

        async def queue(unique: str | None) -> HttpAnswer:
            told = await self._desk.queue_all(
                call.client.id, form.alerts, order_in_batch, origin, unique=unique
            )
            return HttpAnswer(200, _encode(batch_body(told)))

        return await self._once(call, queue)

    async def get(self, call: Call, alert_id: str) -> HttpAnswer:
        """An alert: 200. Raises NotFound, StoreUnavailable."""
        return HttpAnswer(200, _body(await self._desk.get(call.client.id, alert_id)))

    async def page(self, call: Call, wanted: AlertFilter, *, psu: str | None, limit: int) -> HttpAnswer:
        """A page of alerts, the newest first: 200. Raises StoreUnavailable."""
        seen = await self._desk.page(call.client.id, wanted, psu_id=psu, most=limit + 1)
        page = seen[:limit]
        last = page[-1].alert if len(seen) > limit else None
        body = AlertListBody(
            data=tuple(alert_body(one) for one in page),
            next_cursor=_cursor(f"{last.created_at} {last.id}") if last else None,
        )
        return HttpAnswer(200, _encode(body))

    def _origin(self, call: Call) -> dict[str, Any]:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return origin

    async def _once(self, call: Call, queue: Any) -> HttpAnswer:
        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, queue)


def _body(seen: SeenAlert) -> bytes:
    return _encode(alert_body(seen))


def _cursor(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()


def _place(cursor: str) -> tuple[int, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        at_ms, alert_id = base64.urlsafe_b64decode(padded.encode()).decode().split(" ")
        if not 0 <= int(at_ms) < 2**42 or not is_alert_id(alert_id):
            raise InvalidInput.at("/cursor", "is not a cursor of this list")
        return int(at_ms), alert_id
    except (ValueError, binascii.Error) as error:
        raise InvalidInput.at("/cursor", "is not a cursor of this list") from error


@post(
    "/v1/alerts",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="create_alert",
    summary="Send a notice",
    description=(
        "A message without a code: a text of the policy's `notices`, with what it leaves open. It is durable when this "
        "answers, and sent within the second unless the payer does not want it or is not to be disturbed, or it was "
        "ordered for later. Of all alerts with one `dedupe_key` one is sent. Accepts an `Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def create_alert(
    request: Request[Any, Any, Any], data: AlertForm, alerts: AlertOperations
) -> Response[AlertBody]:
    """Send a notice."""
    return respond(await alerts.create(await call_of(request), data))


@post(
    "/v1/alerts/batch",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="create_alerts",
    summary="Send many notices",
    description=(
        "Up to 1,000, each as for `POST /v1/alerts`, in a body of at most 2 MiB. What is wrong with one is told in its "
        "place and stops no other. All that were taken in are durable when this answers. After a 503 some may be: send "
        "it again with the same `Idempotency-Key`, and each is there once."
    ),
    status_code=200,
    request_max_body_size=MOST_BATCH_BYTES,
    responses=problems(409, 413, 415, 422),
)
async def create_alerts(
    request: Request[Any, Any, Any], data: AlertBatchForm, alerts: AlertOperations
) -> Response[AlertBatchBody]:
    """Send many notices."""
    return respond(await alerts.create_all(await call_of(request), data))


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


@get(
    "/v1/alerts",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="list_alerts",
    summary="Alerts, the newest first",
    responses=problems(422),
)
async def list_alerts(
    request: Request[Any, Any, Any],
    alerts: AlertOperations,
    psu: Annotated[str | None, Parameter(description="The client's own reference of the payer.")] = None,
    status: Annotated[AlertStatus | None, QueryParameter(description="Where they stand.")] = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Parameter(description="`next_cursor` of the page before.")] = None,
) -> Response[AlertListBody]:
    """Alerts, the newest first."""
    wanted = AlertFilter(status=status, after=_place(cursor) if cursor is not None else None)
    payer = psu_id_of(psu, "/psu") if psu is not None else None
    return respond(await alerts.page(await call_of(request), wanted, psu=payer, limit=limit))


ROUTES = (create_alert, create_alerts, list_alerts, get_alert)
