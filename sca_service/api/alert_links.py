"""Links of alerts over HTTP: `/l/…`, for whoever was sent one; without a key, and without a word of whose it is."""

from typing import Annotated, Any

from litestar import Request, Response, get, head
from litestar.params import Parameter

from sca_service.alerts.links.follow import LinkFollower
from sca_service.api.answer import HttpAnswer
from sca_service.api.routes import problems, respond

_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex, nofollow"),
)
"""Every tap is seen, the bank's page does not learn by which link it was reached, and nobody lists it."""


@get(
    "/l/{link:str}",
    tags=["alerts"],
    operation_id="follow_link",
    summary="Follow the link of an alert",
    description=(
        "Leads on to where the alert's client said. A `GET` that looks like a person's counts as a click; a `HEAD`, a "
        "preview, a prefetch and what calls itself a robot do not."
    ),
    status_code=302,
    responses=problems(404, keyed=False),
)
async def follow_link(
    request: Request[Any, Any, Any],
    links: LinkFollower,
    link: Annotated[str, Parameter(description="The 20 characters of the link.")],
) -> Response[bytes]:
    """Follow the link of an alert."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    url = await links.follow(link, request.method, headers)
    return respond(HttpAnswer(302, b"", (("Location", url), *_HEADERS), "text/plain"))


@head("/l/{link:str}", status_code=302, include_in_schema=False)
async def look_at_link(request: Request[Any, Any, Any], links: LinkFollower, link: str) -> Response[None]:
    """What programs ask that want to know where a link leads, and no page: never a click."""
    url = await links.follow(link, request.method, {})
    return Response(None, status_code=302, headers=dict((("Location", url), *_HEADERS)))


ROUTES = (follow_link, look_at_link)
