"""Who may come in, and what every answer of the desk has: its headers, and its parameters read strictly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from litestar import MediaType, Request, Response

from sca_service.api.call import REQUEST_ID_KEY
from sca_service.api.certificates.header import CertificateHeaders
from sca_service.api.clients import Scope
from sca_service.console.desk import Visit
from sca_service.console.session import COOKIE, Sessions
from sca_service.kernel.addresses import Proxies, site_of
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.keyring import Keyring
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore

PAGE_HEADERS = {
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
_MOST_PARAMETERS = 40
"""Several times what any page of the desk sends."""

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
    certificates: CertificateHeaders

    def begin(self, request: Request[Any, Any, Any], api_key: str) -> str:
        """The cookie of a new session. Raises Unauthorized, Forbidden, StoreUnavailable."""
        return self.sessions.begin(api_key, self.certificates.of(request.scope))

    async def visit(self, request: Request[Any, Any, Any], scope: Scope | None = Scope.AUDIT) -> Visit:
        """Whose request it is. Raises Unauthorized, Forbidden for one without the scope, StoreUnavailable."""
        certificate = self.certificates.of(request.scope)
        session = await self.sessions.read(request.cookies.get(COOKIE), certificate)
        if scope:
            session.client.needs(scope)
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


def page_answer(html: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    """A page, with the headers that every page has."""
    return Response(
        html, status_code=status, media_type=MediaType.HTML, headers={**PAGE_HEADERS, **(headers or {})}
    )


def parameters_of(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    """The parameters in the URL. Raises InvalidInput when they are too many."""
    return pairs_of(request.scope["query_string"], most=_MOST_PARAMETERS)


def pairs_of(encoded: bytes, *, most: int) -> list[tuple[str, str]]:
    """What a query string or a form holds. Raises InvalidInput when there are more than `most`."""
    try:
        return parse_qsl(encoded.decode("latin-1"), keep_blank_values=True, max_num_fields=most)
    except ValueError as error:
        raise InvalidInput.at("", f"must not have more than {most} fields") from error


def take_no_parameters(request: Request[Any, Any, Any]) -> None:
    """No parameter is ignored."""
    mistakes = [
        Mistake(f"/{name[:40]}", "is not a filter of this page") for name, _ in parameters_of(request)
    ]
    if mistakes:
        raise InvalidInput(*mistakes)
