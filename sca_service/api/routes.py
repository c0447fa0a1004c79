"""What the framework's routes share: strict bodies, known query parameters, the client, answers and problems."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from litestar import MediaType, Request, Response
from litestar.connection import ASGIConnection
from litestar.constants import RESERVED_KWARGS
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.types import Guard

from sca_service.api.answer import JSON, HttpAnswer
from sca_service.api.call import REQUEST_ID_KEY
from sca_service.api.client_door import ClientDoor
from sca_service.api.clients import Scope
from sca_service.api.json_body import MOST_BYTES, escaped, parse_json
from sca_service.api.long_body import parse_long_json
from sca_service.api.problems import ProblemBody, as_sca_error, is_ours, problem
from sca_service.kernel.errors import InvalidInput, Mistake, UnsupportedMediaType
from sca_service.kernel.telemetry import log_failure


class StrictRequest(Request[Any, Any, Any]):
    """Reads a body as the shape its route wants, by our own strict parser instead of the framework's lenient one."""

    async def body(self) -> bytes:
        """The body as it was sent; an empty object when there is none, or the framework would not ask for `json`."""
        return await super().body() or b"{}"

    async def raw_body(self) -> bytes:
        """The body as it was sent, empty when there is none: what a signature was made over."""
        return await super().body()

    async def json(self) -> Any:
        """The body, parsed. Raises MalformedRequest, InvalidInput, UnsupportedMediaType."""
        field = self.scope["route_handler"].parsed_data_field
        body = await super().body()
        check_media_type(self.headers.get("content-type"), body)
        shape = field.annotation if field else dict
        if len(body) > MOST_BYTES:  # as few routes allow
            return await parse_long_json(body, shape, self.app.state.turns)
        return parse_json(body, shape)


def check_media_type(content_type: str | None, body: bytes) -> None:
    """Raises UnsupportedMediaType for a body that says it is something else than JSON."""
    if body and content_type and content_type.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType


def needs(*scopes: Scope) -> Guard:
    """A guard: the caller is a known client with one of these scopes, and sends known query parameters only."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        door = cast("ClientDoor", connection.app.state.clients)
        client = door.admit(connection.scope, connection.headers.get("authorization"))
        client.needs(*scopes)
        connection.scope["user"] = client
        refuse_unknown_parameters(connection, handler)

    return guard


def refuse_unknown_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Raises InvalidInput for a query parameter that the route does not have or gets twice: no filter is ignored."""
    sent = connection.query_params
    if not sent:
        return
    known = set(_query_parameters(handler, connection.path_params))
    mistakes = [
        Mistake(f"/{escaped(name)}", "is not a parameter of this call") for name in sent if name not in known
    ]
    mistakes += [Mistake(f"/{name}", "is given twice") for name in known if len(sent.getall(name, [])) > 1]
    if mistakes:
        raise InvalidInput(*mistakes)


def _query_parameters(handler: BaseRouteHandler, path_parameters: Iterable[str]) -> Iterator[str]:
    elsewhere = {*RESERVED_KWARGS, *handler.resolve_dependencies(), *path_parameters}
    for name, field in handler.parsed_fn_signature.parameters.items():
        said = field.kwarg_definition
        if name not in elsewhere and not isinstance(said, HeaderParameter):
            yield getattr(said, "name", None) or name


def respond(answer: HttpAnswer) -> Response[Any]:
    """The framework's response for an answer."""
    return Response(
        answer.body, status_code=answer.status, headers=dict(answer.headers), media_type=answer.media_type
    )


def on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Every exception becomes a problem document; what nobody foresaw is logged by type and place, and counted."""
    fault = as_sca_error(error)
    if is_ours(fault):
        log_failure(error)
    request_id = str(cast("dict[str, Any]", request.scope).get(REQUEST_ID_KEY, ""))
    return respond(problem(fault, path=request.scope["path"], request_id=request_id))


def problems(*statuses: int, keyed: bool = True) -> dict[int, ResponseSpec]:
    """The problem responses of a route, for its OpenAPI entry; `keyed` adds those of a route that takes an API key."""
    said = {
        401: "No valid API key",
        403: "The API key lacks a scope",
        404: "Unknown, or another client's",
        409: "Not in this state",
        413: "The body is over 64 KiB",
        415: "The body is not JSON",
        422: "The request is not valid; nothing was done",
        429: "A limit; see Retry-After",
        503: "A store is away; nothing was approved",
    }
    wanted = sorted({503, *statuses, *((401, 403) if keyed else ())})
    return {
        status: ResponseSpec(
            ProblemBody,
            description=said[status],
            generate_examples=False,
            media_type=cast("MediaType", "application/problem+json"),
        )
        for status in wanted
    }
