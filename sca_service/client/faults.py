"""What a call can run into: one class for each thing a caller does about it.

An outcome is no fault: a wrong code, an expired or a blocked challenge is an answer (`Verified.outcome`). No text of
these holds what was sent.
"""

from dataclasses import dataclass

import msgspec


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with one member of a request: its JSON pointer (RFC 6901), and why."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457); `/problems/<code>` of the service explains it."""

    code: str
    status: int
    title: str = ""
    detail: str = ""
    request_id: str = ""
    errors: tuple[Mistake, ...] = ()


class ScaFault(Exception):
    """Any of the faults below."""


@dataclass
class Refused(ScaFault):
    """The service answered with a problem: the request is not to be sent again as it is.

    `retry_after_seconds` says when it may be, where the service says so.
    """

    problem: Problem
    retry_after_seconds: float | None = None

    def __str__(self) -> str:
        where = ", ".join(mistake.pointer for mistake in self.problem.errors)
        said = self.problem.detail or self.problem.title
        return f"{self.problem.status} {self.problem.code}: {said}{f' ({where})' if where else ''}"


class Unauthorised(Refused):
    """401: no key, or one that is not known (any more)."""


class Forbidden(Refused):
    """403: the key lacks the scope, or something has to be authorised by the payer before."""


class NotFound(Refused):
    """404: there is no such thing, or it is another client's."""


class Conflict(Refused):
    """409: as things stand, it cannot be done."""


class Invalid(Refused):
    """413, 415 or 422: the request is wrong; `problem.errors` says where."""


class LimitReached(Refused):
    """429: too often. `retry_after_seconds` says how long to wait."""


class Unavailable(ScaFault):
    """The service could not be reached, or could not decide, in the time given. Nothing is known to be approved.

    The same call may be sent again: under its key it is the same request.
    """


class Unreadable(ScaFault):
    """The answer is none that this client knows: something else answered, or a newer service."""


_BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: LimitReached,
}


def fault_of(status: int, content: bytes, retry_after: str | None) -> ScaFault:
    """The fault that an answer which is no success tells of."""
    if status >= 500:
        return Unavailable(f"the service answered {status}")
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except msgspec.DecodeError:
        return Unreadable(f"{status} without a problem document")
    return _BY_STATUS.get(status, Refused)(problem, seconds_of(retry_after))


def seconds_of(retry_after: str | None) -> float | None:
    """The seconds of a `Retry-After` header; None without one, and for a date, which the service never sends."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
