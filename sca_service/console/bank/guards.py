"""Who may have the sandbox's page: a browser on this machine, and of its pages only our own."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from sca_service.api.loopback import is_on_loopback
from sca_service.api.routes import refuse_unknown_parameters
from sca_service.kernel.errors import Forbidden, NotFound

_OWN_SITES = ("same-origin", "none")


def on_loopback(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises NotFound unless it `is_on_loopback`, InvalidInput for a query parameter."""
    if not is_on_loopback(connection):
        raise NotFound
    refuse_unknown_parameters(connection, handler)


def from_own_page(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raises Forbidden unless the browser says that the request is our own page's (Fetch Metadata).

    Another port of this machine is `same-site` and refused; so is what says nothing, which is no browser's page.
    """
    if connection.headers.get("sec-fetch-site") not in _OWN_SITES:
        raise Forbidden("only the sandbox's own page is given the keys")
