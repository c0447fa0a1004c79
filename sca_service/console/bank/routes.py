"""The sandbox's page over HTTP: `/`, its files, and the two keys it works with. On loopback only."""

from pathlib import Path
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from sca_service.api.loopback import PAGE_HOST, is_on_loopback
from sca_service.console.bank.guards import from_own_page, on_loopback
from sca_service.console.bank.keys import SandboxKeys
from sca_service.console.bank.page import STATIC_PATH, bank_page
from sca_service.kernel.errors import NotFound

_STATIC = Path(__file__).parents[1] / "static" / "bank"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Permissions-Policy": (
        "publickey-credentials-create=(self), publickey-credentials-get=(self), payment=(self), camera=(), "
        "microphone=(), geolocation=()"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@get("/", include_in_schema=False, sync_to_thread=False)
def bank(request: Request[Any, Any, Any]) -> Response[Any]:
    """The page. Under another name of this machine, the way to it: passkeys know no IP addresses.

    Whoever is not on this machine gets to the reference, as without a sandbox.
    """
    if not is_on_loopback(request):
        return Redirect("/docs")
    if request.base_url.hostname != PAGE_HOST:
        port = f":{request.base_url.port}" if request.base_url.port else ""
        place = f"{request.base_url.scheme}://{PAGE_HOST}{port}/"
        return Redirect(place, status_code=307, headers=_HEADERS)
    return Response(bank_page(), media_type=MediaType.HTML, headers=_HEADERS)


@get(f"{STATIC_PATH}/{{name:str}}", guards=[on_loopback], include_in_schema=False, sync_to_thread=True)
def bank_file(name: FromPath[str]) -> Response[bytes]:
    """Style sheets, scripts and pictures of the page."""
    path = _STATIC / Path(name).name
    if path.suffix not in _MEDIA_TYPES or not path.is_file():
        raise NotFound
    return Response(path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix], headers=_HEADERS)


@get("/sandbox/keys", guards=[on_loopback, from_own_page], include_in_schema=False, sync_to_thread=True)
def bank_keys(sandbox_keys: NamedDependency[SandboxKeys]) -> Response[bytes]:
    """The API keys of the bank and the auditor, for the page itself and nobody else's."""
    keys = sandbox_keys.read()
    told = {"bank": keys.bank.reveal(), "auditor": keys.auditor.reveal()}
    return Response(msgspec.json.encode(told), media_type=MediaType.JSON, headers=_HEADERS)


ROUTES = (bank, bank_file, bank_keys)
