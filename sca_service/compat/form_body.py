"""Bodies of `application/x-www-form-urlencoded`, read strictly: each parameter once, in UTF-8."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from litestar import Request

from sca_service.api.routes import StrictRequest
from sca_service.kernel.errors import MalformedRequest, UnsupportedMediaType

FORM = "application/x-www-form-urlencoded"
_MOST_PARAMETERS = 40

Parameters = Mapping[str, str]


async def parameters_in(request: Request[Any, Any, Any]) -> Parameters:
    """The parameters of a request's body. Raises MalformedRequest, UnsupportedMediaType."""
    body = await cast("StrictRequest", request).raw_body()
    sent = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if body and sent != FORM:
        raise UnsupportedMediaType(f"must be {FORM}")
    return parameters_of(body)


def parameters_of(body: bytes) -> Parameters:
    """The parameters of a body, empty ones left out. Raises MalformedRequest for one that is given twice."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise MalformedRequest("the body is not a form in UTF-8") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedRequest("a parameter is given twice")
    return {name: value for name, value in pairs if value}
