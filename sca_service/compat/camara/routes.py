"""CAMARA one-time-password-sms over HTTP, as its document says (version 1.1): `/one-time-password-sms/v1`."""

import re
from typing import Any, cast

from litestar import Request, Response, post

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import REQUEST_ID_KEY, call_of
from sca_service.api.clients import Scope
from sca_service.api.problems import as_sca_error, is_ours
from sca_service.api.routes import needs, respond
from sca_service.compat.camara.faults import told_of
from sca_service.compat.camara.forms import SendCodeBody, ValidateCodeBody
from sca_service.compat.camara.operations import CamaraOperations
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.telemetry import log_failure

_CORRELATOR = re.compile(r"[a-zA-Z0-9\-_:;./<>{}]{0,256}", re.ASCII)
_NAME = "x-correlator"


def on_camara_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Every exception becomes CAMARA's error body; what nobody foresaw is logged by type and place."""
    fault = as_sca_error(error)
    if is_ours(fault):
        log_failure(error)
    return respond(told_of(fault).with_headers((_correlated(request),)))


@post(
    "/one-time-password-sms/v1/send-code",
    guards=[needs(Scope.ONE_TIME_PASSWORD_SMS)],
    exception_handlers={Exception: on_camara_exception},
    include_in_schema=False,
    status_code=200,
)
async def send_code(
    request: Request[Any, Any, Any], data: SendCodeBody, camara: CamaraOperations
) -> Response[Any]:
    """Send a code to a number."""
    _refuse_correlator(request)
    return _answered(request, await camara.send_code(await call_of(request), data))


@post(
    "/one-time-password-sms/v1/validate-code",
    guards=[needs(Scope.ONE_TIME_PASSWORD_SMS)],
    exception_handlers={Exception: on_camara_exception},
    include_in_schema=False,
    status_code=200,
)
async def validate_code(
    request: Request[Any, Any, Any], data: ValidateCodeBody, camara: CamaraOperations
) -> Response[Any]:
    """Validate the code that was received."""
    _refuse_correlator(request)
    return _answered(request, await camara.validate_code(await call_of(request), data))


def _answered(request: Request[Any, Any, Any], answer: HttpAnswer) -> Response[Any]:
    return respond(answer.with_headers((_correlated(request),)))


def _refuse_correlator(request: Request[Any, Any, Any]) -> None:
    """Raises InvalidInput for a correlator that may not be repeated."""
    sent = request.headers.get(_NAME)
    if sent is not None and not _CORRELATOR.fullmatch(sent):
        raise InvalidInput.at(f"/{_NAME}", "must be at most 256 letters, digits and -_:;./<>{}")


def _correlated(request: Request[Any, Any, Any]) -> tuple[str, str]:
    """The header that was sent, or the request's id where none was, or none that may be repeated."""
    sent = request.headers.get(_NAME)
    if sent is not None and _CORRELATOR.fullmatch(sent):
        return _NAME, sent
    return _NAME, str(cast("dict[str, Any]", request.scope).get(REQUEST_ID_KEY, ""))


ROUTES = (send_code, validate_code)
