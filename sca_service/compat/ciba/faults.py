"""What CIBA calls what goes wrong (Core 1.0, sections 11 and 13), and OAuth2 (RFC 6749, section 5.2)."""

from enum import Enum

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.kernel import errors
from sca_service.kernel.telemetry import REQUESTS_FAILED

NO_STORE = (("Cache-Control", "no-store"),)


class Fault(Enum):
    """A word, and the HTTP status that it comes with."""

    INVALID_REQUEST = "invalid_request", 400
    INVALID_SCOPE = "invalid_scope", 400
    UNKNOWN_PAYER = "unknown_user_id", 400
    INVALID_BINDING_MESSAGE = "invalid_binding_message", 400
    INVALID_CLIENT = "invalid_client", 401
    UNAUTHORIZED_CLIENT = "unauthorized_client", 400
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type", 400
    INVALID_GRANT = "invalid_grant", 400
    PENDING = "authorization_pending", 400
    SLOW_DOWN = "slow_down", 400
    EXPIRED = "expired_token", 400
    DENIED = "access_denied", 400
    REFUSED = "access_denied", 403  # at once, before anybody was asked
    BUSY = "temporarily_unavailable", 429
    UNAVAILABLE = "temporarily_unavailable", 503
    INTERNAL = "server_error", 500


class FaultBody(msgspec.Struct, frozen=True):
    """The body of an error."""

    error: str
    detail: str = msgspec.field(name="error_description")


_FAULT_OF: dict[type[errors.ScaError], Fault] = {
    errors.Unauthorized: Fault.INVALID_CLIENT,
    errors.Forbidden: Fault.UNAUTHORIZED_CLIENT,
    errors.NotFound: Fault.INVALID_GRANT,
    errors.TooEarly: Fault.BUSY,
    errors.StoreUnavailable: Fault.UNAVAILABLE,
    errors.Overloaded: Fault.UNAVAILABLE,
    errors.InvalidInput: Fault.INVALID_REQUEST,
    errors.MalformedRequest: Fault.INVALID_REQUEST,
    errors.BodyTooLarge: Fault.INVALID_REQUEST,
    errors.UnsupportedMediaType: Fault.INVALID_REQUEST,
    errors.ScaError: Fault.INTERNAL,
}


def told(fault: Fault, detail: str, *, retry_after_seconds: int = 0) -> HttpAnswer:
    """The answer that tells of a fault; `detail` never quotes what was sent."""
    word, status = fault.value
    REQUESTS_FAILED.labels(f"ciba-{fault.name.lower().replace('_', '-')}").inc()
    headers: tuple[tuple[str, str], ...] = NO_STORE
    if retry_after_seconds:
        headers = (*headers, ("Retry-After", str(retry_after_seconds)))
    if fault is Fault.INVALID_CLIENT:
        headers = (*headers, ("WWW-Authenticate", 'Basic realm="sca"'))
    return HttpAnswer(status, msgspec.json.encode(FaultBody(word, detail)), headers)


def told_of(error: errors.ScaError) -> HttpAnswer:
    """The answer that tells of an error of ours."""
    fault = next(_FAULT_OF[kind] for kind in type(error).__mro__ if kind in _FAULT_OF)
    match error:
        case errors.InvalidInput():
            detail = "; ".join(f"{one.pointer[1:]} {one.detail}" for one in error.mistakes)
            return told(fault, detail)
        case errors.TooEarly() | errors.StoreUnavailable() | errors.Overloaded():
            return told(fault, error.detail, retry_after_seconds=max(error.retry_after_seconds, 1))
    return told(fault, error.detail if fault is not Fault.INTERNAL else error.title)
