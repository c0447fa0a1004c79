"""OpenID CIBA over HTTP: `POST /bc-authorize`, and `POST /bc-token` for its grant."""

from typing import Any

from litestar import Request, Response, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from sca_service.api.call import call_of
from sca_service.api.clients import Scope
from sca_service.api.problems import as_sca_error, is_ours
from sca_service.api.routes import refuse_unknown_parameters, respond
from sca_service.compat.ciba.faults import told_of
from sca_service.compat.ciba.operations import CibaOperations
from sca_service.compat.credentials import client_by_either
from sca_service.compat.form_body import parameters_in
from sca_service.kernel.telemetry import log_failure


def on_ciba_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Every exception becomes CIBA's error body; what nobody foresaw is logged by type and place."""
    fault = as_sca_error(error)
    if is_ours(fault):
        log_failure(error)
    return respond(told_of(fault))


async def needs_client(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: the caller is a client with the scope `challenges`, by HTTP Basic or as `/v1` has it."""
    client = client_by_either(connection)
    client.needs(Scope.CHALLENGES)
    connection.scope["user"] = client
    refuse_unknown_parameters(connection, handler)


@post(
    "/bc-authorize",
    guards=[needs_client],
    exception_handlers={Exception: on_ciba_exception},
    include_in_schema=False,
    status_code=200,
)
async def authorize_on_device(request: Request[Any, Any, Any], ciba: CibaOperations) -> Response[Any]:
    """Have a payer asked on the payer's device."""
    return respond(await ciba.authorize(await call_of(request), await parameters_in(request)))


@post(
    "/bc-token",
    guards=[needs_client],
    exception_handlers={Exception: on_ciba_exception},
    include_in_schema=False,
    status_code=200,
)
async def result_of_device(request: Request[Any, Any, Any], ciba: CibaOperations) -> Response[Any]:
    """What the payer decided."""
    return respond(await ciba.result(await call_of(request), await parameters_in(request)))


ROUTES = (authorize_on_device, result_of_device)
