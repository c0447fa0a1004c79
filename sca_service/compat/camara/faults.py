"""What CAMARA calls what goes wrong: codes, statuses and sentences (`one-time-password-sms.yaml`, 1.1)."""

from enum import Enum

import msgspec

from sca_service.api.answer import HttpAnswer
from sca_service.compat.camara.forms import FaultBody
from sca_service.kernel import errors
from sca_service.kernel.telemetry import REQUESTS_FAILED

_OWN = "ONE_TIME_PASSWORD_SMS."


class Fault(Enum):
    """A status and a code; the sentence says the same to a person."""

    INVALID_ARGUMENT = (
        400,
        "INVALID_ARGUMENT",
        "Client specified an invalid argument, request body or query param.",
    )
    VERIFICATION_FAILED = (
        400,
        f"{_OWN}VERIFICATION_FAILED",
        "The maximum number of attempts for this authenticationId was exceeded without providing a valid OTP",
    )
    VERIFICATION_EXPIRED = 400, f"{_OWN}VERIFICATION_EXPIRED", "The authenticationId is no longer valid"
    INVALID_OTP = 400, f"{_OWN}INVALID_OTP", "The provided OTP is not valid for this authenticationId"
    UNAUTHENTICATED = (
        401,
        "UNAUTHENTICATED",
        "Request not authenticated due to missing, invalid, or expired credentials.",
    )
    PERMISSION_DENIED = (
        403,
        "PERMISSION_DENIED",
        "Client does not have sufficient permissions to perform this action.",
    )
    MAX_OTP_CODES_EXCEEDED = (
        403,
        f"{_OWN}MAX_OTP_CODES_EXCEEDED",
        "Too many OTPs have been requested for this MSISDN. Try later.",
    )
    PHONE_NUMBER_NOT_ALLOWED = (
        403,
        f"{_OWN}PHONE_NUMBER_NOT_ALLOWED",
        "Phone_number can't receive an SMS due to business reasons in the operator.",
    )
    PHONE_NUMBER_BLOCKED = (
        403,
        f"{_OWN}PHONE_NUMBER_BLOCKED",
        "Phone_number is blocked to receive SMS due to any blocking business reason in the operator.",
    )
    NOT_FOUND = 404, "NOT_FOUND", "The specified resource is not found."
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "The server refuses to accept this payload format.",
    )
    TOO_MANY_REQUESTS = 429, "TOO_MANY_REQUESTS", "Rate limit reached."
    INTERNAL = 500, "INTERNAL", "Unknown server error."
    UNAVAILABLE = 503, "UNAVAILABLE", "Service unavailable."

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.value[0])


_FAULT_OF: dict[type[errors.ScaError], Fault] = {
    errors.MalformedRequest: Fault.INVALID_ARGUMENT,
    errors.InvalidInput: Fault.INVALID_ARGUMENT,
    errors.BodyTooLarge: Fault.INVALID_ARGUMENT,
    errors.UnsupportedMediaType: Fault.UNSUPPORTED_MEDIA_TYPE,
    errors.Unauthorized: Fault.UNAUTHENTICATED,
    errors.Forbidden: Fault.PERMISSION_DENIED,
    errors.NotFound: Fault.NOT_FOUND,
    errors.TooEarly: Fault.TOO_MANY_REQUESTS,
    errors.StoreUnavailable: Fault.UNAVAILABLE,
    errors.Overloaded: Fault.UNAVAILABLE,
    errors.ScaError: Fault.INTERNAL,
}


def told(fault: Fault, *, why: str = "") -> HttpAnswer:
    """The answer that tells of a fault; `why` is said behind its sentence and never quotes what was sent."""
    status, code, sentence = fault.value
    REQUESTS_FAILED.labels(f"camara-{fault.name.lower().replace('_', '-')}").inc()
    message = f"{sentence} ({why})" if why else sentence
    return HttpAnswer(status, msgspec.json.encode(FaultBody(status, code, message)))


def told_of(error: errors.ScaError) -> HttpAnswer:
    """The answer that tells of an error of ours."""
    fault = next(_FAULT_OF[kind] for kind in type(error).__mro__ if kind in _FAULT_OF)
    match error:
        case errors.InvalidInput():
            return told(fault, why=str(error))
        case errors.MalformedRequest() | errors.Forbidden():
            return told(fault, why=error.detail)
        case errors.TooEarly() | errors.StoreUnavailable() | errors.Overloaded():
            wait = ("Retry-After", str(max(error.retry_after_seconds, 1)))
            return told(fault).with_headers((wait,))
        case errors.Unauthorized():
            return told(fault).with_headers((("WWW-Authenticate", 'Bearer realm="sca"'),))
    return told(fault)
