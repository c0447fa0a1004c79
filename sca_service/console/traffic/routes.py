"""The pages on traffic over HTTP: `/desk/traffic`."""

from typing import Any

from litestar import Request, Response, get

from sca_service.api.clients import Scope
from sca_service.console.door import Door, page_answer, parameters_of
from sca_service.console.traffic.desk import TrafficDesk
from sca_service.console.traffic.view import Window
from sca_service.kernel.errors import InvalidInput


@get("/traffic")
async def traffic_overview(
    request: Request[Any, Any, Any], door: Door, traffic: TrafficDesk
) -> Response[str]:
    """How messages do now, against a week ago."""
    visit = await door.visit(request, Scope.ANALYTICS)
    given = parameters_of(request) or [("window", Window.DAY)]
    if [name for name, _ in given] != ["window"] or given[0][1] not in list(Window):
        raise InvalidInput.at("/window", f"must be one of {', '.join(Window)}, and nothing else")
    return page_answer(await traffic.overview(visit, Window(given[0][1])))


@get("/traffic/messages")
async def traffic_messages(
    request: Request[Any, Any, Any], door: Door, traffic: TrafficDesk
) -> Response[str]:
    """The messages behind a figure."""
    visit = await door.visit(request, Scope.ANALYTICS)
    return page_answer(await traffic.messages(visit, parameters_of(request)))


HANDLERS = (traffic_overview, traffic_messages)
