"""Call-backs in JSON, read without leaving a trace of what was not JSON."""

from typing import TypeVar

import msgspec

from sca_service.kernel.errors import InvalidInput

Shape = TypeVar("Shape")


def decoded(body: bytes, shape: type[Shape], *, what: str) -> Shape:
    """The body as `shape`. Raises InvalidInput, which says that the body is not `what`, and holds none of it."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        failure = InvalidInput.at("", f"is not {what}")
    raise failure  # outside of the handler: the library's error holds the body
