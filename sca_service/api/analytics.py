"""Figures over HTTP: `/v1/analytics`. A client sees its own; who has the scope admin sees those of all."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.params import Parameter, QueryParameter

from sca_service.analytics.model import DIMENSIONS, Dimension, Figure, Span, Subject
from sca_service.analytics.reading.answer import Analytics
from sca_service.analytics.reading.asking import ListQuestion, filters_of
from sca_service.analytics.reading.postgres_store import Listed
from sca_service.api.analytics_bodies import (
    AlertFiguresListBody,
    ChallengeFiguresListBody,
    DeliveryFiguresListBody,
    TriedListBody,
    figures_csv,
    figures_json,
    tried_json,
)
from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.requests import moment_of
from sca_service.api.routes import needs, problems, respond
from sca_service.kernel.clock import Clock
from sca_service.kernel.errors import InvalidInput

_TAGS = ["analytics"]
_HOUR_MS = Span.HOUR.length_ms
_DAY_MS = Span.DAY.length_ms
_MOST_TEXT = 128
_YEARS = range(1971, 2971)
"""Ends are moved out to whole days, and a year or a week is taken off: all of that has to be a date still."""


class FigureFormat(StrEnum):
    """How figures come."""

    JSON = "json"
    CSV = "csv"


class Counted(StrEnum):
    """The figures whose deliveries can be listed."""

    ATTEMPTED = "attempted"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    ANSWERED = "answered"
    CONVERTED = "converted"
    CLICKED = "clicked"


@dataclass
class FiguresOperation(Operation):
    """The route's entry in the OpenAPI document: the framework sees the JSON only."""

    def __post_init__(self) -> None:
        """Say that the figures come as CSV too."""
        told = (self.responses or {}).get("200")
        if isinstance(told, OpenAPIResponse) and told.content:
            told.content |= {"text/csv": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))}


GroupBy = Annotated[
    str | None, Parameter(description="Dimensions between commas, such as `channel,country,supplier`.")
]
Since = Annotated[
    str | None,
    QueryParameter(
        name="from",
        description="RFC 3339, inclusive; 24 hours before `to` when left out.",
        schema_extra={"format": "date-time"},
    ),
]
Until = Annotated[
    str | None,
    QueryParameter(
        name="to",
        description="RFC 3339, exclusive; the end of this hour when left out.",
        schema_extra={"format": "date-time"},
    ),
]
Interval = Annotated[Span | None, Parameter(description="Tells pieces of time apart; none for the whole.")]
Wanted = Annotated[FigureFormat, QueryParameter(name="format")]
Route = Annotated[
    str | None, Parameter(description="As answers have it: channel, supplier, network, sender, price.")
]
Filter = Annotated[str | None, Parameter(description="Only these; empty for those of which nobody knows it.")]


@dataclass(frozen=True, slots=True)
class FigureOrder:
    """What is asked of figures, as it was sent."""

    subject: Subject
    group_by: str | None
    since: str | None
    until: str | None
    interval: Span | None
    format: FigureFormat
    filters: Mapping[str, str | None]


class AnalyticsOperations:
    """The operations on figures. A class because it holds who reads them."""

    def __init__(self, analytics: Analytics, clock: Clock) -> None:
        self._analytics = analytics
        self._clock = clock

    async def figures(self, call: Call, order: FigureOrder) -> HttpAnswer:
        """Figures: 200. Raises InvalidInput, StoreUnavailable."""
        since_ms, until_ms = self._period(order.since, order.until)
        answer = await self._analytics.answer(
            order.subject,
            since_ms=since_ms,
            until_ms=until_ms,
            client=_seen_by(call),
            group_by=_dimensions(order.subject, order.group_by),
            filters=_given(order.filters),
            interval=order.interval,
        )
        if order.format is FigureFormat.CSV:
            headers = (
                ("Content-Disposition", f'attachment; filename="{order.subject}.csv"'),
                ("Cache-Control", "no-store"),
            )
            return HttpAnswer(200, figures_csv(answer), headers, "text/csv; header=present")
        return HttpAnswer(200, figures_json(answer))

    async def deliveries(
        self,
        call: Call,
        *,
        since: str | None,
        until: str | None,
        filters: Mapping[str, str | None],
        counted: Counted,
        limit: int,
        cursor: str | None,
    ) -> HttpAnswer:
        """The tries behind figures: 200. Raises InvalidInput, StoreUnavailable."""
        since_ms, until_ms = self._period(since, until)
        question = ListQuestion(
            since_ms=since_ms,
            until_ms=until_ms,
            client=_seen_by(call),
            only=filters_of(Subject.DELIVERIES, _given(filters)),
            figure=Figure(counted),
            after=place_of(cursor) if cursor is not None else None,
        )
        found = await self._analytics.deliveries(question, most=limit + 1)
        following = cursor_of(found[limit - 1]) if len(found) > limit else None
        return HttpAnswer(200, tried_json(found[:limit], following))

    def _period(self, since: str | None, until: str | None) -> tuple[int, int]:
        """From and to when; the last day, in whole hours, where nothing is said."""
        until_ms = -(-self._clock.now_ms() // _HOUR_MS) * _HOUR_MS if until is None else ms_of(until, "/to")
        return (until_ms - _DAY_MS if since is None else ms_of(since, "/from")), until_ms


@get(
    "/v1/analytics/deliveries",
    guards=[needs(Scope.ANALYTICS)],
    security=asks_for(Scope.ANALYTICS),
    tags=_TAGS,
    operation_id="get_delivery_figures",
    summary="What messages came to",
    description=(
        "Sent, delivered, converted, latency and cost, of challenges' messages and alerts'. A message counts in the "
        "minute of its attempt, whenever the rest is heard of. Without `group_by` there is one line. Figures are "
        "counted from the audit log, about a second behind it."
    ),
    operation_class=FiguresOperation,
    responses=problems(422),
)
async def get_delivery_figures(  # noqa: PLR0913, PLR0917 - one parameter for each filter
    request: Request[Any, Any, Any],
    analytics: AnalyticsOperations,
    group_by: GroupBy = None,
    since: Since = None,
    until: Until = None,
    interval: Interval = None,
    wanted: Wanted = FigureFormat.JSON,
    client: Filter = None,
    purpose: Filter = None,
    channel: Filter = None,
    country: Filter = None,
    network: Filter = None,
    supplier: Filter = None,
    route: Route = None,
) -> Response[DeliveryFiguresListBody]:
    """What messages came to."""
    filters = _filters(client, purpose, channel, country, network, supplier, route)
    order = FigureOrder(Subject.DELIVERIES, group_by, since, until, interval, wanted, filters)
    return respond(await analytics.figures(await call_of(request), order))


@get(
    "/v1/analytics/deliveries/list",
    guards=[needs(Scope.ANALYTICS)],
    security=asks_for(Scope.ANALYTICS),
    tags=_TAGS,
    operation_id="list_figure_deliveries",
    summary="The messages behind a figure",
    description=(
        "Each try, the newest first, by the same filters: ids, times, status and reason, never to whom. `counted` "
        "names the figure."
    ),
    responses=problems(422),
)
async def list_figure_deliveries(  # noqa: PLR0913, PLR0917 - one parameter for each filter
    request: Request[Any, Any, Any],
    analytics: AnalyticsOperations,
    since: Since = None,
    until: Until = None,
    counted: Annotated[Counted, Parameter(description="Which figure counts them.")] = Counted.ATTEMPTED,
    client: Filter = None,
    purpose: Filter = None,
    channel: Filter = None,
    country: Filter = None,
    network: Filter = None,
    supplier: Filter = None,
    route: Route = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Parameter(description="`next_cursor` of the page before.")] = None,
) -> Response[TriedListBody]:
    """The messages behind a figure."""
    answer = await analytics.deliveries(
        await call_of(request),
        since=since,
        until=until,
        filters=_filters(client, purpose, channel, country, network, supplier, route),
        counted=counted,
        limit=limit,
        cursor=cursor,
    )
    return respond(answer)


@get(
    "/v1/analytics/challenges",
    guards=[needs(Scope.ANALYTICS)],
    security=asks_for(Scope.ANALYTICS),
    tags=_TAGS,
    operation_id="get_challenge_figures",
    summary="How challenges ended",
    description="Issued, approved, and every other end; how long until an approval.",
    operation_class=FiguresOperation,
    responses=problems(422),
)
async def get_challenge_figures(  # noqa: PLR0913, PLR0917 - one parameter for each filter
    request: Request[Any, Any, Any],
    analytics: AnalyticsOperations,
    group_by: GroupBy = None,
    since: Since = None,
    until: Until = None,
    interval: Interval = None,
    wanted: Wanted = FigureFormat.JSON,
    client: Filter = None,
    purpose: Filter = None,
    method: Filter = None,
) -> Response[ChallengeFiguresListBody]:
    """How challenges ended."""
    filters = {"client": client, "purpose": purpose, "method": method}
    order = FigureOrder(Subject.CHALLENGES, group_by, since, until, interval, wanted, filters)
    return respond(await analytics.figures(await call_of(request), order))


@get(
    "/v1/analytics/alerts",
    guards=[needs(Scope.ANALYTICS)],
    security=asks_for(Scope.ANALYTICS),
    tags=_TAGS,
    operation_id="get_alert_figures",
    summary="What became of alerts",
    description="Queued, sent, delivered, suppressed, clicked; `purpose` is an alert's topic, or else its kind.",
    operation_class=FiguresOperation,
    responses=problems(422),
)
async def get_alert_figures(  # noqa: PLR0913, PLR0917 - one parameter for each filter
    request: Request[Any, Any, Any],
    analytics: AnalyticsOperations,
    group_by: GroupBy = None,
    since: Since = None,
    until: Until = None,
    interval: Interval = None,
    wanted: Wanted = FigureFormat.JSON,
    client: Filter = None,
    purpose: Filter = None,
) -> Response[AlertFiguresListBody]:
    """What became of alerts."""
    filters = {"client": client, "purpose": purpose}
    order = FigureOrder(Subject.ALERTS, group_by, since, until, interval, wanted, filters)
    return respond(await analytics.figures(await call_of(request), order))


ROUTES = (get_delivery_figures, list_figure_deliveries, get_challenge_figures, get_alert_figures)


def _seen_by(call: Call) -> str | None:
    """Whose figures the caller sees: None for everybody's."""
    return None if Scope.ADMIN in call.client.scopes else call.client.id


def _filters(*values: str | None) -> dict[str, str | None]:
    return {
        str(dimension): value for dimension, value in zip(DIMENSIONS[Subject.DELIVERIES], values, strict=True)
    }


def _given(filters: Mapping[str, str | None]) -> dict[str, str]:
    """Those that were sent. Raises InvalidInput for a text that nothing can be called."""
    for name, value in filters.items():
        if value is not None and (len(value) > _MOST_TEXT or "\0" in value):
            raise InvalidInput.at(f"/{name}", "is not what such a thing is called")
    return {name: value for name, value in filters.items() if value is not None}


def _dimensions(subject: Subject, text: str | None) -> tuple[Dimension, ...]:
    """What to group by. Raises InvalidInput for what the subject is not told apart by, or what is named twice."""
    names = text.split(",") if text else []
    allowed = DIMENSIONS[subject]
    found = tuple(one for name in names for one in allowed if one == name)
    if len(found) < len(names) or len(set(found)) < len(found):
        raise InvalidInput.at("/group_by", f"must be of {', '.join(allowed)}, each once, between commas")
    return found


def ms_of(text: str, pointer: str) -> int:
    """An RFC 3339 time in ms since the epoch. Raises InvalidInput, also for a year of which there can be no figures."""
    moment = moment_of(text, pointer)
    if moment.year not in _YEARS:
        raise InvalidInput.at(pointer, f"must lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return int(moment.timestamp() * 1000)


def cursor_of(last: Listed) -> str:
    """Where the next page begins."""
    return base64.urlsafe_b64encode(f"{last.began_at}.{last.id}.{last.number}".encode()).decode()


def place_of(cursor: str) -> tuple[int, str, int]:
    """The place that a cursor stands for. Raises InvalidInput."""
    try:
        began_at, delivery, number = base64.urlsafe_b64decode(cursor.encode()).decode().split(".")
        place = int(began_at), delivery, int(number)
    except (ValueError, binascii.Error) as error:
        raise InvalidInput.at("/cursor", "is not a cursor of this list") from error
    if not (0 <= place[0] < 2**43 and 0 <= place[2] < 2**15) or "\0" in delivery:
        raise InvalidInput.at("/cursor", "is not a cursor of this list")
    return place
