"""Which methods a path knows, as OPTIONS tells it (RFC 9110, section 9.3.7)."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litestar import Response, route
from litestar.handlers import HTTPRouteHandler


def tellers(routes: Iterable[Any]) -> list[HTTPRouteHandler]:
    """What answers OPTIONS where a path has several handlers: the framework would name the methods of the first alone.

    They are to be registered before the others.
    """
    of_path: dict[str, list[HTTPRouteHandler]] = defaultdict(list)
    for handler in routes:
        if isinstance(handler, HTTPRouteHandler):
            for path in handler.paths:
                of_path[path].append(handler)
    return [
        _teller(path, {method for handler in sharing for method in handler.http_methods})
        for path, sharing in of_path.items()
        if len(sharing) > 1
    ]


def _teller(path: str, methods: set[str]) -> HTTPRouteHandler:
    allow = ", ".join(sorted({*methods, "OPTIONS"}))

    @route(path, http_method="OPTIONS", status_code=204, include_in_schema=False, sync_to_thread=False)
    def tell() -> Response[None]:
        return Response(None, headers={"Allow": allow})

    return tell
