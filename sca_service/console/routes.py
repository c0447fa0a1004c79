"""The desk over HTTP: `/desk`. It serves people with browsers, so that a fault is a page too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from litestar import MediaType, Request, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect, Stream

from sca_service.api.audit_export import AuditExports, ExportOrder
from sca_service.api.call import REQUEST_ID_KEY, Call
from sca_service.api.evidence import EvidenceFormat, EvidenceOperations
from sca_service.api.problems import ProblemBody, as_sca_error, is_ours, problem
from sca_service.api.routes import StrictRequest, respond
from sca_service.audit.export.exporter import ExportedBy
from sca_service.audit.export.model import ExportFormat
from sca_service.console.desk import Desk, Visit
from sca_service.console.filters import Filters
from sca_service.console.session import COOKIE, SESSION_SECONDS, Sessions, check_form
from sca_service.console.sign_in_page import fault_page, sign_in_page
from sca_service.kernel.addresses import Proxies, site_of
from sca_service.kernel.errors import (
    Forbidden,
    InvalidInput,
    Mistake,
    NotFound,
    TooEarly,
    Unauthorized,
    UnsupportedMediaType,
)
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.telemetry import log_failure
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HOME = "/desk"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with none at all a browser would not say where a form comes from
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_PARAMETERS = 40
_MOST_FIELDS = 10
"""Several times what any page or form of the desk sends."""

_SIGN_IN_SECONDS = 6
_SIGN_IN_BURST = 10
"""Failed sign-ins from one address: ten at once, then one in six seconds."""


@dataclass(frozen=True, slots=True)
class Door:
    """What signing in needs: the sessions, and what slows down whoever tries keys."""

    sessions: Sessions
    limits: LimitStore
    keyring: Keyring
    proxies: Proxies

    async def visit(self, request: Request[Any, Any, Any]) -> Visit:
        """The auditor whose request it is. Raises Unauthorized, StoreUnavailable."""
        session = await self.sessions.read(request.cookies.get(COOKIE))
        return Visit(session, cast("dict[str, str]", request.scope)[REQUEST_ID_KEY])

    async def slow_down(self, request: Request[Any, Any, Any]) -> None:
        """Count a failed sign-in. Raises TooEarly when there were too many from that address.

        Behind proxies of ours it is the address that they heard; what else a header says counts for nothing. Only
        failures count, so that nobody's noise keeps an auditor out; 256 bits are not guessed either way.
        """
        peer = request.client.host if request.client else ""
        address = self.proxies.sender_behind(peer, request.headers.getall("x-forwarded-for", []))
        subject = self.keyring.pseudonym("desk address", site_of(address) or "")
        await self.limits.spend([Limit("desk_sign_in", subject, _SIGN_IN_SECONDS * 1000, _SIGN_IN_BURST)])


@get("/")
async def overview(request: Request[Any, Any, Any], door: Door, desk: Desk) -> Response[str]:
    """How the log stands, and what the last thirty days were."""
    visit = await door.visit(request)
    _take_no_parameters(request)
    return _page(await desk.overview(visit))


@get("/events")
async def events(request: Request[Any, Any, Any], door: Door, desk: Desk) -> Response[str]:
    """Events by the filters in the URL."""
    visit = await door.visit(request)
    return _page(await desk.events(visit, Filters.parse(_parameters(request))))


@get("/challenges")
async def find_challenge(request: Request[Any, Any, Any], door: Door) -> Response[Any]:
    """The story of the challenge that the form names."""
    await door.visit(request)
    named = dict(_parameters(request))
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
    _take_no_parameters(request)
    return _page(await desk.story(visit, challenge))


@get("/challenges/{challenge:str}/evidence")
async def evidence_file(
    request: Request[Any, Any, Any], door: Door, evidence: EvidenceOperations, challenge: str
) -> Response[Any]:
    """What proves a challenge, as a page to print or as the file that `sca audit check-evidence` reads."""
    visit = await door.visit(request)
    named = dict(_parameters(request)) or {"format": "html"}
    if named.keys() != {"format"} or named["format"] not in list(EvidenceFormat):
        raise InvalidInput.at("/format", f"must be one of {', '.join(EvidenceFormat)}")
    call = Call(visit.session.client, visit.request_id, request.scope["path"], b"", None)
    wanted = EvidenceFormat(named["format"])
    answer = await evidence.evidence(call, challenge, wanted)
    if wanted is EvidenceFormat.JSON:
        attached = ("Content-Disposition", f'attachment; filename="evidence-{challenge}.json"')
        answer = replace(answer, headers=(*answer.headers, *_HEADERS.items(), attached))
    return respond(answer)


@get("/export")
async def export(request: Request[Any, Any, Any], door: Door, exports: AuditExports) -> Stream:
    """The events that fit as a file."""
    visit = await door.visit(request)
    parameters = _parameters(request)
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
    client = visit.session.client.id
    opened = await exports.open(
        ExportFormat(named[0]), order, ExportedBy(f"client:{client}", client, visit.request_id)
    )
    return Stream(
        exports.exporter.chunks(opened),
        media_type=opened.format.media_type,
        headers=_HEADERS | {"Content-Disposition": f'attachment; filename="{opened.file_name}"'},
    )


@get("/sign-in", sync_to_thread=False)
def sign_in_form(request: Request[Any, Any, Any]) -> Response[str]:
    """The form to sign in."""
    wanted = [value for name, value in _parameters(request) if name == "next"]
    return _page(sign_in_page(wanted=_within(wanted[0] if wanted else _HOME)))


@post("/sign-in")
async def sign_in(request: StrictRequest, door: Door) -> Response[Any]:
    """Begin a session. Whatever is wrong with a key, the answer is the same."""
    _check_origin(request)
    form = await _form(request)
    wanted = _within(form.get("next", _HOME))
    try:
        cookie = door.sessions.begin(form.get("key", ""))
    except (Unauthorized, Forbidden):
        try:
            await door.slow_down(request)
        except TooEarly as wait:
            headers = {"Retry-After": str(wait.retry_after_seconds)}
            told = f"Too many attempts. Wait {wait.retry_after_seconds} seconds, then try again."
            return _page(sign_in_page(wanted=wanted, failed=told), status=429, headers=headers)
        return _page(sign_in_page(wanted=wanted, failed="You cannot sign in with this key."), status=401)
    response = _redirect(wanted)
    response.set_cookie(_cookie(request, cookie, SESSION_SECONDS))
    return response


@post("/sign-out")
async def sign_out(request: StrictRequest, door: Door) -> Response[Any]:
    """End the session."""
    _check_origin(request)
    visit = await door.visit(request)
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
    headers = _HEADERS | {"Cache-Control": "max-age=300"}
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
    return _page(page, status=told.status, headers=dict(answer.headers))


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
            *(sign_in_form, sign_in, sign_out, static_file, not_there),
        ],
        exception_handlers={Exception: on_desk_exception},
        include_in_schema=False,
    ),
)


def _page(html: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(
        html, status_code=status, media_type=MediaType.HTML, headers={**_HEADERS, **(headers or {})}
    )


def _redirect(path: str) -> Redirect:
    return Redirect(path, status_code=303, headers=_HEADERS)


def _parameters(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    return _pairs(request.scope["query_string"], most=_MOST_PARAMETERS)


def _pairs(encoded: bytes, *, most: int) -> list[tuple[str, str]]:
    """What a query string or a form holds. Raises InvalidInput when there are more than `most`."""
    try:
        return parse_qsl(encoded.decode("latin-1"), keep_blank_values=True, max_num_fields=most)
    except ValueError as error:
        raise InvalidInput.at("", f"must not have more than {most} fields") from error


def _take_no_parameters(request: Request[Any, Any, Any]) -> None:
    """No parameter is ignored."""
    mistakes = [Mistake(f"/{name[:40]}", "is not a filter of this page") for name, _ in _parameters(request)]
    if mistakes:
        raise InvalidInput(*mistakes)


async def _form(request: StrictRequest) -> dict[str, str]:
    """The fields of a form. Raises UnsupportedMediaType for anything else, InvalidInput for too many."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("a form is expected")
    return dict(_pairs(await request.raw_body(), most=_MOST_FIELDS))


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
