"""Twilio Verify v2 over HTTP: `/v2/Services/{sid}/Verifications` and `…/VerificationCheck`."""

import base64
import binascii
from typing import Any, cast

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from sca_service.api.call import call_of
from sca_service.api.client_door import ClientDoor
from sca_service.api.clients import Scope
from sca_service.api.problems import as_sca_error, is_ours
from sca_service.api.routes import StrictRequest, refuse_unknown_parameters, respond
from sca_service.compat.twilio.faults import told_of
from sca_service.compat.twilio.forms import Parameters, parameters_of
from sca_service.compat.twilio.operations import TwilioOperations
from sca_service.kernel.errors import Unauthorized, UnsupportedMediaType
from sca_service.kernel.telemetry import log_failure

_FORM = "application/x-www-form-urlencoded"


def on_twilio_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Every exception becomes Twilio's error body; what nobody foresaw is logged by type and place."""
    fault = as_sca_error(error)
    if is_ours(fault):
        log_failure(error)
    return respond(told_of(fault))


async def needs_account(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: the caller is a client with the scope `challenges`, whose account is its id and whose secret its key."""
    name, key = _credentials(connection.headers.get("authorization", ""))
    client = cast("ClientDoor", connection.app.state.clients).admit(connection.scope, f"Bearer {key}")
    if client.id != name:
        raise Unauthorized("the account is not the key's")
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
    return respond(await twilio.start(await call_of(request), service, await _parameters(request)))


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
    return respond(await twilio.check(await call_of(request), service, await _parameters(request)))


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
    return respond(await twilio.update(await call_of(request), service, named, await _parameters(request)))


async def _parameters(request: Request[Any, Any, Any]) -> Parameters:
    """The body's parameters. Raises MalformedRequest, UnsupportedMediaType."""
    body = await cast("StrictRequest", request).raw_body()
    sent = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if body and sent != _FORM:
        raise UnsupportedMediaType(f"must be {_FORM}")
    return parameters_of(body)


def _credentials(authorization: str) -> tuple[str, str]:
    """Name and secret of an `Authorization: Basic` header (RFC 7617). Raises Unauthorized."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        name = colon = secret = ""
    if scheme.lower() != "basic" or not colon:
        raise Unauthorized("the Authorization header has no account and key")
    return name, secret


ROUTES = (start_verification, check_verification, fetch_verification, update_verification)
