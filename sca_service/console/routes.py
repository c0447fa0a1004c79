"""The desk over HTTP: `/desk`. It serves people with browsers, so that a fault is a page too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect, Stream

from sca_service.api.audit_export import AuditExports, ExportOrder
from sca_service.api.call import REQUEST_ID_KEY, Call
from sca_service.api.clients import Scope
from sca_service.api.evidence import EvidenceFormat, EvidenceOperations
from sca_service.api.problems import ProblemBody, as_sca_error, is_ours, problem
from sca_service.api.routes import StrictRequest, respond
from sca_service.audit.export.exporter import ExportedBy
from sca_service.audit.export.model import ExportFormat
from sca_service.console.desk import Desk
from sca_service.console.door import (
    PAGE_HEADERS,
    Door,
    page_answer,
    pairs_of,
    parameters_of,
    take_no_parameters,
)
from sca_service.console.filters import Filters
from sca_service.console.session import COOKIE, SESSION_SECONDS, check_form
from sca_service.console.sign_in_page import fault_page, sign_in_page
from sca_service.console.traffic import routes as traffic_routes
from sca_service.kernel.errors import (
    Forbidden,
    InvalidInput,
    Mistake,
    NotFound,
    TooEarly,
    Unauthorized,
    UnsupportedMediaType,
)
from sca_service.kernel.telemetry import log_failure

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HOME = "/desk"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_FIELDS = 10
"""Several times what any form of the desk sends."""


@get("/")
async def overview(request: Request[Any, Any, Any], door: Door, desk: Desk) -> Response[Any]:
    """How the log stands, and what the last thirty days were; an operator is led to the traffic."""
    visit = await door.visit(request, None)
    if Scope.AUDIT not in visit.session.client.scopes:
        return _redirect("/desk/traffic")
    take_no_parameters(request)
    return page_answer(await desk.overview(visit))


@get("/events")
async def events(request: Request[Any, Any, Any], door: Door, desk: Desk) -> Response[str]:
    """Events by the filters in the URL."""
    visit = await door.visit(request)
    return page_answer(await desk.events(visit, Filters.parse(parameters_of(request))))


@get("/challenges")
async def find_challenge(request: Request[Any, Any, Any], door: Door) -> Response[Any]:
    """The story of the challenge that the form names."""
    await door.visit(request)
    named = dict(parameters_of(request))
    if named.keys() != {"id"}:
        raise InvalidInput.at("/id", "must be given, and nothing else")
    wanted = Filters.parse([("challenge", named["id"])]).challenge
    if wanted is None:
        raise InvalidInput.at("/id", "must not be empty")
    return _redirect(f"/desk/challenges/{wanted}")


@get("/challenges/{challenge:str}")
async def story(request: Request[Any, Any, Any], door: Door, desk: Desk, challenge: str) -> Response[str]:
    """One challenge from its issue to its end."""
    visit = await door.visit(request)
    take_no_parameters(request)
    return page_answer(await desk.story(visit, challenge))


@get("/challenges/{challenge:str}/evidence")
async def evidence_file(
    request: Request[Any, Any, Any], door: Door, evidence: EvidenceOperations, challenge: str
) -> Response[Any]:
    """What proves a challenge, as a page to print or as the file that `sca audit check-evidence` reads."""
    visit = await door.visit(request)
    named = dict(parameters_of(request)) or {"format": "html"}
    if named.keys() != {"format"} or named["format"] not in list(EvidenceFormat):
        raise InvalidInput.at("/format", f"must be one of {', '.join(EvidenceFormat)}")
    call = Call(visit.session.client, visit.request_id, request.scope["path"], b"", None)
    wanted = EvidenceFormat(named["format"])
    answer = await evidence.evidence(call, challenge, wanted)
    if wanted is EvidenceFormat.JSON:
        attached = ("Content-Disposition", f'attachment; filename="evidence-{challenge}.json"')
        answer = answer.with_headers((*PAGE_HEADERS.items(), attached))
    return respond(answer)


@get("/export")
async def export(request: Request[Any, Any, Any], door: Door, exports: AuditExports) -> Stream:
    """The events that fit as a file."""
    visit = await door.visit(request)
    parameters = parameters_of(request)
    named = [value for name, value in parameters if name == "format"]
    if len(named) != 1 or named[0] not in list(ExportFormat):
        raise InvalidInput.at("/format", f"must be one of {', '.join(ExportFormat)}")
    filters = Filters.parse((name, value) for name, value in parameters if name != "format")
    if filters.cursor:
        raise InvalidInput.at("/cursor", "is not a filter of an export")
    order = ExportOrder(
        psu=filters.psu,
        challenge=filters.challenge,
        kind=filters.kind,
        client=filters.client,
        since=filters.since,
        until=filters.until,
    )
    client = visit.session.client
    reader = ExportedBy(f"client:{client.id}", client.id, visit.request_id, client.certificate_members)
    opened = await exports.open(ExportFormat(named[0]), order, reader)
    return Stream(
        exports.exporter.chunks(opened),
        media_type=opened.format.media_type,
        headers=PAGE_HEADERS | {"Content-Disposition": f'attachment; filename="{opened.file_name}"'},
    )


@get("/sign-in", sync_to_thread=False)
def sign_in_form(request: Request[Any, Any, Any]) -> Response[str]:
    """The form to sign in."""
    wanted = [value for name, value in parameters_of(request) if name == "next"]
    return page_answer(sign_in_page(wanted=_within(wanted[0] if wanted else _HOME)))


@post("/sign-in")
async def sign_in(request: StrictRequest, door: Door) -> Response[Any]:
    """Begin a session. Whatever is wrong with a key, the answer is the same."""
    _check_origin(request)
    form = await _form(request)
    wanted = _within(form.get("next", _HOME))
    try:
        cookie = door.begin(request, form.get("key", ""))
    except (Unauthorized, Forbidden):
        try:
            await door.slow_down(request)
        except TooEarly as wait:
            headers = {"Retry-After": str(wait.retry_after_seconds)}
            told = f"Too many attempts. Wait {wait.retry_after_seconds} seconds, then try again."
            return page_answer(sign_in_page(wanted=wanted, failed=told), status=429, headers=headers)
        return page_answer(
            sign_in_page(wanted=wanted, failed="You cannot sign in with this key."), status=401
        )
    response = _redirect(wanted)
    response.set_cookie(_cookie(request, cookie, SESSION_SECONDS))
    return response


@post("/sign-out")
async def sign_out(request: StrictRequest, door: Door) -> Response[Any]:
    """End the session."""
    _check_origin(request)
    visit = await door.visit(request, None)
    check_form(visit.session, (await _form(request)).get("form", ""))
    await door.sessions.end(visit.session)
    response = _redirect("/desk/sign-in")
    response.set_cookie(_cookie(request, "", 0))
    return response


@get("/static/{name:str}", sync_to_thread=True)
def static_file(name: str) -> Response[bytes]:
    """Style sheet and scripts of the desk."""
    path = _STATIC / Path(name).name
    if path.suffix not in _MEDIA_TYPES or not path.is_file():
        raise NotFound
    headers = PAGE_HEADERS | {"Cache-Control": "max-age=300"}
    return Response(path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix], headers=headers)


@get("/{elsewhere:path}", sync_to_thread=False)
def not_there(elsewhere: str) -> Response[str]:
    """Any other path below the desk: a page that says so."""
    raise NotFound


def on_desk_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """What went wrong, as a page; whoever is not signed in is asked to."""
    fault = as_sca_error(error)
    if is_ours(fault):
        log_failure(error)
    path = request.scope["path"]
    if isinstance(fault, Unauthorized):
        query = request.scope["query_string"].decode("latin-1")
        wanted = f"{path}?{query}" if query else path
        is_reading = request.method == "GET"
        return _redirect(f"/desk/sign-in?{urlencode({'next': wanted})}" if is_reading else "/desk/sign-in")
    answer = problem(
        fault, path=path, request_id=cast("dict[str, str]", request.scope).get(REQUEST_ID_KEY, "")
    )
    told = msgspec.json.decode(answer.body, type=ProblemBody)
    page = fault_page(
        status=told.status,
        title=told.title,
        meaning=_MEANINGS.get(told.code, told.detail),
        mistakes=[Mistake(one.pointer, one.detail) for one in told.errors],
    )
    return page_answer(page, status=told.status, headers=dict(answer.headers))


_MEANINGS: Mapping[str, str] = {
    "not-found": "There is no such page, and no such challenge on record.",
    "validation-error": "The address of this page asks for something that cannot be looked for. Nothing was read.",
    "store-unavailable": "A store did not answer in time. What is read here has to be on record first, so nothing is "
    "shown. Load the page again in a moment.",
    "missing-scope": "The form was not sent from a page of your session. Go back, load the page again and repeat it.",
    "internal-error": "Something failed that should not have. Load the page again, or tell the operator.",
}
"""What a fault means to somebody at the desk, by the problem's code."""

ROUTES = (
    Router(
        _HOME,
        route_handlers=[
            *(overview, events, find_challenge, story, evidence_file, export),
            *traffic_routes.HANDLERS,
            *(sign_in_form, sign_in, sign_out, static_file, not_there),
        ],
        exception_handlers={Exception: on_desk_exception},
        include_in_schema=False,
    ),
)


def _redirect(path: str) -> Redirect:
    return Redirect(path, status_code=303, headers=PAGE_HEADERS)


async def _form(request: StrictRequest) -> dict[str, str]:
    """The fields of a form. Raises UnsupportedMediaType for anything else, InvalidInput for too many."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("a form is expected")
    return dict(pairs_of(await request.raw_body(), most=_MOST_FIELDS))


def _check_origin(request: Request[Any, Any, Any]) -> None:
    """Raises Forbidden unless the browser says that the form stands on a page of this very host."""
    host = request.headers.get("host", "")
    if not host or urlsplit(request.headers.get("origin", "")).netloc != host:
        raise Forbidden("the form was sent from elsewhere")


def _cookie(request: Request[Any, Any, Any], value: str, seconds: int) -> Cookie:
    is_local = request.url.scheme == "http" and request.url.hostname in _LOOPBACK
    return Cookie(
        key=COOKIE,
        value=value,
        path=_HOME,
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=not is_local,
    )


def _within(path: str) -> str:
    """The path, when it leads into the desk; else the desk's first page."""
    parts = urlsplit(path)
    is_ours_to_show = not parts.scheme and not parts.netloc and (parts.path + "/").startswith("/desk/")
    return path if is_ours_to_show and "\\" not in path and path.isprintable() else _HOME
