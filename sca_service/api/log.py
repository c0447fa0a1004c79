"""The audit log as a transparency log, for anybody who wants to check it: `/log` (C2SP tlog-tiles).

No API key is asked for: there are hashes, signatures, and entries in which commitments stand for what is personal.
"""

import asyncio
import gzip
import re
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.params import Parameter

from sca_service.api.routes import problems, refuse_unknown_parameters
from sca_service.audit.log.reader import LogReader
from sca_service.audit.log.tiles import MOST_LEVEL, WIDTH
from sca_service.kernel.errors import NotFound

_TEXT = "text/plain"  # the framework adds the charset
_BYTES = "application/octet-stream"
_CHECKPOINT_HEADERS = {"Cache-Control": "public, max-age=1", "X-Content-Type-Options": "nosniff"}
_TILE_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}
"""A tile never changes, nor does a partial one: the same bytes begin the wider one."""

_TILE = re.compile(
    r"/(?P<kind>entries|0|[1-9]\d?)/(?P<index>(?:x\d{3}/)*\d{3})(?:\.p/(?P<width>[1-9]\d{0,2}))?", re.ASCII
)
_MOST_INDEX = 2**63 - 1


@get(
    "/log/checkpoint",
    tags=["log"],
    operation_id="log_checkpoint",
    summary="The newest checkpoint of the log",
    description="A signed note (C2SP tlog-checkpoint): the log's name, its size, and its root.",
    media_type=_TEXT,
    responses=problems(404, keyed=False),
)
async def log_checkpoint(request: Request[Any, Any, Any], log_reader: LogReader) -> Response[str]:
    """The newest checkpoint of the log."""
    refuse_unknown_parameters(request, request.route_handler)
    newest = await log_reader.checkpoint()
    if newest is None:
        raise NotFound
    return Response(newest.note, media_type=_TEXT, headers=_CHECKPOINT_HEADERS)


@get(
    "/log/tile/{path:path}",
    tags=["log"],
    operation_id="log_tile",
    summary="A tile of the log",
    description=(
        "C2SP tlog-tiles: `/log/tile/<L>/<N>[.p/<W>]` are hashes, `/log/tile/entries/<N>[.p/<W>]` entries; "
        "`<N>` in groups of three digits, all but the last after an `x`."
    ),
    media_type=_BYTES,
    responses=problems(404, keyed=False),
)
async def log_tile(
    request: Request[Any, Any, Any],
    log_reader: LogReader,
    path: Annotated[str, Parameter(description="Such as `0/x001/234.p/17`.")],
) -> Response[bytes]:
    """A tile of the log, or a bundle of its entries."""
    refuse_unknown_parameters(request, request.route_handler)
    kind, index, width = _tile_of(path)
    if kind == "entries":
        return await _bundle(await log_reader.entries(index, width), request)
    tile = await log_reader.tile(int(kind), index, width)
    if tile is None:
        raise NotFound
    return Response(tile, media_type=_BYTES, headers=_TILE_HEADERS)


ROUTES = (log_checkpoint, log_tile)


def _tile_of(path: str) -> tuple[str, int, int]:
    """What a path asks for: a level or `entries`, the index and the width. Raises NotFound for any other path."""
    match = _TILE.fullmatch(path)
    if not match or match["index"].startswith("x000/"):
        raise NotFound
    kind, index = match["kind"], int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or WIDTH)
    is_level = kind == "entries" or int(kind) <= MOST_LEVEL
    if not is_level or index > _MOST_INDEX or (match["width"] and width >= WIDTH):
        raise NotFound
    return kind, index, width


async def _bundle(entries: bytes | None, request: Request[Any, Any, Any]) -> Response[bytes]:
    """Entries are JSON, so they are sent compressed to whoever takes that."""
    if entries is None:
        raise NotFound
    headers = {**_TILE_HEADERS, "Vary": "Accept-Encoding"}
    accepted = request.headers.get("accept-encoding", "").replace(" ", "").lower().split(",")
    if "gzip" in accepted:
        entries = await asyncio.to_thread(gzip.compress, entries, 6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(entries, media_type=_BYTES, headers=headers)
