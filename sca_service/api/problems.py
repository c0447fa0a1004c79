"""Faults as RFC 9457 problem documents: the only place that knows status codes.

`PROBLEMS` lists every problem once; the pages at `/problems/<code>` and `docs/errors.md` are made from it.
"""

from dataclasses import dataclass

import msgspec
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE

from sca_service.api.answer import HttpAnswer
from sca_service.api.limit_headers import limit_headers
from sca_service.exemptions.beneficiaries.trusted import BeneficiaryAuthorisationRequired
from sca_service.kernel import errors
from sca_service.kernel.telemetry import REQUESTS_FAILED
from sca_service.webhooks.desk import WebhookDisabled

PROBLEM_JSON = "application/problem+json"

PROBLEMS: dict[type[errors.ScaError], int] = {
    errors.MalformedRequest: 422,
    errors.InvalidInput: 422,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Unauthorized: 401,
    errors.InvalidProof: 401,
    errors.Forbidden: 403,
    BeneficiaryAuthorisationRequired: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestInFlight: 409,
    errors.NoMoreChannels: 409,
    errors.NotPending: 409,
    errors.AuthorisationRequired: 409,
    errors.KeyAlreadyEnrolled: 409,
    WebhookDisabled: 409,
    errors.IdempotencyKeyReused: 422,
    errors.TooEarly: 429,
    errors.ResendCooldown: 429,
    errors.StoreUnavailable: 503,
    errors.Overloaded: 503,
    errors.ScaError: 500,
}
"""Every problem a caller can meet, and its status."""


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """What the page of one problem says."""

    code: str
    status: int
    title: str
    meaning: str


class MistakeBody(msgspec.Struct, frozen=True):
    """One mistake of a request."""

    pointer: str
    detail: str


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: tuple[MistakeBody, ...] = ()


def problem_pages() -> list[ProblemPage]:
    """The pages of all problems, by status and code."""
    pages = [
        ProblemPage(error.code, status, error.title, error.meaning) for error, status in PROBLEMS.items()
    ]
    return sorted(pages, key=lambda page: (page.status, page.code))


def problem(error: errors.ScaError, *, path: str, request_id: str) -> HttpAnswer:
    """The answer that tells a caller of an error."""
    kind = _kind(error)
    status = PROBLEMS[kind]
    body = ProblemBody(
        type=f"/problems/{kind.code}",
        title=kind.title,
        status=status,
        detail=error.detail if kind is not errors.ScaError else kind.title,
        instance=path,
        code=kind.code,
        request_id=request_id,
        errors=tuple(MistakeBody(mistake.pointer, mistake.detail) for mistake in _mistakes(error)),
    )
    REQUESTS_FAILED.labels(kind.code).inc()
    return HttpAnswer(status, msgspec.json.encode(body), _headers(error), PROBLEM_JSON)


def as_sca_error(error: Exception) -> errors.ScaError:
    """What an exception of the web framework means in our words; anything unforeseen is an internal error."""
    match error:
        case errors.ScaError():
            return error
        case ValidationException():
            return errors.InvalidInput(*_query_mistakes(error))
        case NotFoundException():
            return errors.NotFound()
        case MethodNotAllowedException():
            return errors.MethodNotAllowed((error.headers or {}).get("allow", ""))
        case HTTPException(status_code=status) if status == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
            return errors.BodyTooLarge()
        case HTTPException(status_code=status) if 400 <= status < 500:
            return errors.MalformedRequest("the request is not well-formed HTTP for this service")
    return errors.ScaError()


def is_ours(error: errors.ScaError) -> bool:
    """Whether the fault is one that nobody foresaw: ours, and to be looked into."""
    return _kind(error) is errors.ScaError


def _kind(error: errors.ScaError) -> type[errors.ScaError]:
    return next(kind for kind in type(error).__mro__ if kind in PROBLEMS)


def _mistakes(error: errors.ScaError) -> tuple[errors.Mistake, ...]:
    """Every 422 says where: a body that cannot be read is wrong as a whole."""
    match error:
        case errors.InvalidInput():
            return error.mistakes
        case errors.MalformedRequest():
            return (errors.Mistake("", error.detail),)
        case errors.IdempotencyKeyReused():
            return (errors.Mistake("/Idempotency-Key", "belongs to another body"),)
    return ()


def _query_mistakes(error: ValidationException) -> list[errors.Mistake]:
    found = error.extra if isinstance(error.extra, list) else []
    mistakes = [
        errors.Mistake(f"/{one.get('key', '')}", "is not a value that this parameter can have")
        for one in found
        if isinstance(one, dict)
    ]
    return mistakes or [errors.Mistake("", "does not fit")]


def _headers(error: errors.ScaError) -> tuple[tuple[str, str], ...]:
    match error:
        case errors.TooEarly():
            wait = ("Retry-After", str(max(error.retry_after_seconds, 1)))
            return (wait, *limit_headers(error.allowances))
        case errors.StoreUnavailable() | errors.Overloaded():
            return (("Retry-After", str(max(error.retry_after_seconds, 1))),)
        case errors.Unauthorized():
            return (("WWW-Authenticate", 'Bearer realm="sca"'),)
        case errors.InvalidProof():
            return (("WWW-Authenticate", "DPoP"),)
        case errors.MethodNotAllowed():
            return (("Allow", error.allowed),)
    return ()
