"""Twilio Verify v2 over HTTP: `/v2/Services/{sid}/Verifications` and `…/VerificationCheck`."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from sca_service.api.call import call_of
from sca_service.api.clients import Scope
from sca_service.api.problems import as_sca_error, is_ours
from sca_service.api.routes import refuse_unknown_parameters, respond
from sca_service.compat.credentials import client_by_basic
from sca_service.compat.form_body import parameters_in
from sca_service.compat.twilio.faults import told_of
from sca_service.compat.twilio.operations import TwilioOperations
from sca_service.kernel.telemetry import log_failure


def on_twilio_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Every exception becomes Twilio's error body; what nobody foresaw is logged by type and place."""
    fault = as_sca_error(error)
    if is_ours(fault):
        log_failure(error)
    return respond(told_of(fault))


async def needs_account(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: the caller is a client with the scope `challenges`, whose account is its id and whose secret its key."""
    client = client_by_basic(connection)
    client.needs(Scope.CHALLENGES)
    connection.scope["user"] = client
    refuse_unknown_parameters(connection, handler)


@post(
    "/v2/Services/{service:str}/Verifications",
    guards=[needs_account],
    exception_handlers={Exception: on_twilio_exception},
    include_in_schema=False,
    status_code=201,
)
async def start_verification(
    request: Request[Any, Any, Any], service: str, twilio: TwilioOperations
) -> Response[Any]:
    """Start a verification, or send its code again."""
    return respond(await twilio.start(await call_of(request), service, await parameters_in(request)))


@post(
    "/v2/Services/{service:str}/VerificationCheck",
    guards=[needs_account],
    exception_handlers={Exception: on_twilio_exception},
    include_in_schema=False,
    status_code=201,
)
async def check_verification(
    request: Request[Any, Any, Any], service: str, twilio: TwilioOperations
) -> Response[Any]:
    """Check a code."""
    return respond(await twilio.check(await call_of(request), service, await parameters_in(request)))


@get(
    "/v2/Services/{service:str}/Verifications/{named:str}",
    guards=[needs_account],
    exception_handlers={Exception: on_twilio_exception},
    include_in_schema=False,
)
async def fetch_verification(
    request: Request[Any, Any, Any], service: str, named: str, twilio: TwilioOperations
) -> Response[Any]:
    """Look a verification up."""
    return respond(await twilio.fetch(await call_of(request), service, named))


@post(
    "/v2/Services/{service:str}/Verifications/{named:str}",
    guards=[needs_account],
    exception_handlers={Exception: on_twilio_exception},
    include_in_schema=False,
    status_code=200,
)
async def update_verification(
    request: Request[Any, Any, Any], service: str, named: str, twilio: TwilioOperations
) -> Response[Any]:
    """Cancel a verification."""
    return respond(await twilio.update(await call_of(request), service, named, await parameters_in(request)))


ROUTES = (start_verification, check_verification, fetch_verification, update_verification)
