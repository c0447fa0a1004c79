"""What Twilio calls what goes wrong: its numbers, their statuses and sentences (Verify v2 error codes)."""

from enum import Enum

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.kernel import errors
from sca_service.kernel.telemetry import REQUESTS_FAILED


class Fault(Enum):
    """A number, the HTTP status that it comes with, and its sentence."""

    INVALID_PARAMETER = 60200, 400, "Invalid parameter"
    MAX_CHECK_ATTEMPTS = 60202, 429, "Max check attempts reached"
    MAX_SEND_ATTEMPTS = 60203, 429, "Max send attempts reached"
    NOT_SUPPORTED = 60204, 403, "Service does not support this feature"
    LANDLINE = 60205, 403, "SMS is not supported by landline phone number"
    AMOUNT_AND_PAYEE = 60206, 400, "'Amount' & 'Payee' params are required"
    TOO_MANY_CONCURRENT = 60212, 429, "Too many concurrent requests for phone number"
    CHANNEL_DISABLED = 60223, 403, "Delivery channel disabled"
    DELIVERY_BLOCKED = 60410, 403, "Verification delivery attempt blocked"
    AUTHENTICATE = 20003, 401, "Authenticate"
    FORBIDDEN = 20403, 403, "Forbidden"
    NOT_FOUND = 20404, 404, "The requested resource was not found"
    TOO_MANY_REQUESTS = 20429, 429, "Too Many Requests"
    INTERNAL = 20500, 500, "Internal Server Error"
    UNAVAILABLE = 20503, 503, "Service Unavailable"


class FaultBody(msgspec.Struct, frozen=True):
    """Twilio's body of an error."""

    code: int
    message: str
    more_info: str
    status: int


_FAULT_OF: dict[type[errors.ScaError], Fault] = {
    errors.MalformedRequest: Fault.INVALID_PARAMETER,
    errors.InvalidInput: Fault.INVALID_PARAMETER,
    errors.BodyTooLarge: Fault.INVALID_PARAMETER,
    errors.UnsupportedMediaType: Fault.INVALID_PARAMETER,
    errors.Unauthorized: Fault.AUTHENTICATE,
    errors.Forbidden: Fault.FORBIDDEN,
    errors.NotFound: Fault.NOT_FOUND,
    errors.NoMoreChannels: Fault.MAX_SEND_ATTEMPTS,
    errors.NotPending: Fault.TOO_MANY_CONCURRENT,
    errors.ResendCooldown: Fault.TOO_MANY_CONCURRENT,
    errors.TooEarly: Fault.TOO_MANY_REQUESTS,
    errors.StoreUnavailable: Fault.UNAVAILABLE,
    errors.Overloaded: Fault.UNAVAILABLE,
    errors.ScaError: Fault.INTERNAL,
}


def told(fault: Fault, *, why: str = "", retry_after_seconds: int = 0) -> HttpAnswer:
    """The answer that tells of a fault; `why` is said behind its sentence and never quotes what was sent."""
    code, status, sentence = fault.value
    REQUESTS_FAILED.labels(f"twilio-{fault.name.lower().replace('_', '-')}").inc()
    message = f"{sentence}: {why}" if why else sentence
    body = FaultBody(code, message, f"https://www.twilio.com/docs/errors/{code}", status)
    wait = (("Retry-After", str(retry_after_seconds)),) if retry_after_seconds else ()
    return HttpAnswer(status, msgspec.json.encode(body), wait)


def told_of(error: errors.ScaError) -> HttpAnswer:
    """The answer that tells of an error of ours."""
    fault = next(_FAULT_OF[kind] for kind in type(error).__mro__ if kind in _FAULT_OF)
    match error:
        case errors.InvalidInput():
            return told(fault, why="; ".join(f"{one.pointer[1:]} {one.detail}" for one in error.mistakes))
        case errors.MalformedRequest() | errors.UnsupportedMediaType() | errors.Forbidden():
            return told(fault, why=error.detail)
        case errors.TooEarly() | errors.StoreUnavailable() | errors.Overloaded():
            return told(fault, retry_after_seconds=max(error.retry_after_seconds, 1))
        case errors.Unauthorized():
            return told(fault).with_headers((("WWW-Authenticate", 'Basic realm="sca"'),))
    return told(fault)
