"""What operators and machines ask: alive, ready, metrics, keys, and the pages of problems and of the API."""

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Redirect
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sca_service.api.answer import HttpAnswer
from sca_service.api.document import openapi_document
from sca_service.api.pages import docs_page, problem_page, problems_page
from sca_service.api.problems import problem_pages
from sca_service.api.routes import respond
from sca_service.kernel.errors import NotFound
from sca_service.kernel.stopping import Stop

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Readiness = Callable[[], Awaitable[dict[str, str]]]
"""Asks every part that has to be there; its name and `ok`, or what is the matter."""


def until_stopped(readiness: Readiness, stop: Stop) -> Readiness:
    """The same until the process is told to stop: then it is not ready, whatever else is there, and asks nobody."""

    async def ask() -> dict[str, str]:
        return {"api": "is stopping"} if stop.begun.is_set() else await readiness()

    return ask


@get("/healthz", tags=["operations"], operation_id="healthz", summary="Alive", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get(
    "/readyz",
    tags=["operations"],
    operation_id="readyz",
    summary="Ready: stores, policies, audit log",
    responses={503: ResponseSpec(dict[str, str], description="A part is not there", generate_examples=False)},
)
async def readyz(readiness: Readiness) -> Response[dict[str, str]]:
    """Every part that has to be there is there; 503 and which one is not."""
    parts = await readiness()
    status = 200 if all(state == "ok" for state in parts.values()) else 503
    return Response(parts, status_code=status)


@get(
    "/metrics",
    tags=["operations"],
    operation_id="metrics",
    summary="Prometheus metrics",
    media_type=CONTENT_TYPE_LATEST,
    sync_to_thread=False,
)
def metrics() -> Response[bytes]:
    """This process's metrics."""
    return Response(generate_latest())


@get(
    "/.well-known/jwks.json",
    tags=["operations"],
    operation_id="jwks",
    summary="Keys of authentication codes",
    sync_to_thread=False,
)
def jwks(public_keys: dict[str, object]) -> Response[dict[str, object]]:
    """The public keys that authentication codes are signed with (RFC 7517)."""
    return Response(public_keys, headers={"Cache-Control": "public, max-age=300"})


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[Any]:
    """The OpenAPI 3.1 document, generated from the routes."""
    return respond(HttpAnswer(200, msgspec.json.encode(_document(request.app))))


@get("/docs", include_in_schema=False, sync_to_thread=False)
def docs(request: Request[Any, Any, Any]) -> Response[str]:
    """The API's reference as a page."""
    return _page(_docs(request.app))


@get("/problems", include_in_schema=False, sync_to_thread=False)
def problems_index() -> Response[str]:
    """Every problem the API answers with."""
    return _page(problems_page(problem_pages()))


@get("/problems/{code:str}", include_in_schema=False, sync_to_thread=False)
def problem_by_code(code: str) -> Response[str]:
    """The page that a problem's `type` leads to."""
    for page in problem_pages():
        if page.code == code:
            return _page(problem_page(page))
    raise NotFound


@get("/static/{name:str}", include_in_schema=False, sync_to_thread=True)
def static_file(name: str) -> Response[bytes]:
    """Style sheets and scripts of the pages."""
    path = _STATIC / Path(name).name
    if path.suffix not in _MEDIA_TYPES or not path.is_file():
        raise NotFound
    return Response(
        path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix], headers={"Cache-Control": "max-age=300"}
    )


@get("/", include_in_schema=False, sync_to_thread=False)
def front_door() -> Redirect:
    """Whoever opens the address in a browser is shown the reference."""
    return Redirect("/docs")


ROUTES = (
    front_door,
    healthz,
    readyz,
    metrics,
    jwks,
    openapi,
    docs,
    problems_index,
    problem_by_code,
    static_file,
)


@cache
def _document(app: Litestar) -> dict[str, Any]:
    """Made once: it takes as long as a hundred verifications."""
    return openapi_document(app)


@cache
def _docs(app: Litestar) -> str:
    return docs_page(_document(app))


def _page(html: str) -> Response[str]:
    return Response(html, media_type=MediaType.HTML, headers=_PAGE_HEADERS)
