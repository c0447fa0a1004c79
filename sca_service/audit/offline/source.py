"""Where a log is read from: a folder or a web address with the same paths below it. Every answer is bounded."""

import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx2

from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.tiles import TILE_WIDTH, Place, split_bundle, split_tile

MOST_READ_AHEAD = 8
_PARALLEL = 4
_TRIES = 4
_PAUSE_SECONDS = 0.5
_FILE_SECONDS = 60.0
_TIMEOUT = httpx2.Timeout(15.0)
_HEADERS = {"User-Agent": "sca-audit", "Accept-Encoding": "gzip, identity"}
_BUSY = frozenset({429, 500, 502, 503, 504})
_MISSING = frozenset({403, 404, 410})
_GZIP = 31
"""Tells zlib to expect the header of gzip."""


class TooLong(Refused):
    """A file is longer than what stands at its path can be."""


class Source(Protocol):
    """A log's files, by their paths."""

    @property
    def parallel(self) -> int:
        """How many files are read at once."""

    def read(self, path: str, most: int) -> bytes | None:
        """A file, or None when it is not there. Raises TooLong; Refused when it cannot be read."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A log in a folder."""

    folder: Path
    parallel: int = 1

    def read(self, path: str, most: int) -> bytes | None:
        """See Source."""
        try:
            with (self.folder / path).open("rb") as file:
                content = file.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from None
        return _bounded(content, path, most)


class Web:
    """A log at a web address. A class because it holds the connections."""

    parallel = _PARALLEL

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            self._client = httpx2.Client(headers=_HEADERS, timeout=_TIMEOUT, follow_redirects=False)
            self._client.build_request("GET", self._url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise Refused(f"{url} is no address that can be read") from error

    def read(self, path: str, most: int) -> bytes | None:
        """See Source. A server that is busy, or a connection that breaks, is tried again a few times."""
        said = ""
        for turn in range(_TRIES):
            if turn:
                time.sleep(_PAUSE_SECONDS * 2 ** (turn - 1))
            try:
                with self._client.stream("GET", f"{self._url}/{path}") as answer:
                    if answer.status_code == 200:
                        return _bounded(_body(answer, most), path, most)
                    if answer.status_code in _MISSING:
                        return None
                    said = f"the answer was {answer.status_code}"
                    if answer.status_code not in _BUSY:
                        break
            except (httpx2.TransportError, OSError) as error:
                said = str(error) or type(error).__name__
        raise Refused(f"{self._url}/{path} cannot be read: {said}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def open_source(place: str) -> Folder | Web:
    """The log in a folder or at an address. Raises Refused when it is neither."""
    if place.startswith(("https://", "http://")):
        return Web(place)
    if not Path(place).is_dir():
        raise Refused(f"{place} is neither a folder nor a web address (https://…)")
    return Folder(Path(place))


def read_tile(source: Source, place: Place) -> list[bytes] | None:
    """The hashes of a tile, or None when it is not there or not as wide as it should be.

    A tile that is not full may have been dropped once it was: then it is the beginning of the full one.
    """
    content = _read_place(source, place)
    if content is None and place.width < TILE_WIDTH:
        whole = _read_place(source, place.full)
        content = None if whole is None else whole[: place.most_bytes]
    return None if content is None or len(content) != place.most_bytes else split_tile(content)


def read_bundle(source: Source, place: Place) -> tuple[list[bytes], int] | None:
    """The entries of a bundle and how many bytes are left over; None when it is not there."""
    content = _read_place(source, place)
    if content is None and place.width < TILE_WIDTH:
        content = _read_place(source, place.full)
        return None if content is None else (split_bundle(content, place.width)[0], 0)
    return None if content is None else split_bundle(content, place.width)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A bundle's place and what a log holds there: the entries, bytes left over, and the tile of their hashes."""

    place: Place
    entries: list[bytes] | None
    left_over: int
    stored: list[bytes] | None


def stretches(source: Source, *, start: int, size: int) -> Iterator[Stretch]:
    """Every bundle from the one that holds leaf `start` on, with its hashes; read ahead where reading takes long."""
    places = (
        Place(None, index, min(TILE_WIDTH, size - index * TILE_WIDTH))
        for index in range(start // TILE_WIDTH, -(-size // TILE_WIDTH))
    )
    if source.parallel == 1:
        yield from (_read_stretch(source, place) for place in places)
        return
    with ThreadPoolExecutor(source.parallel) as readers:
        yield from _read_ahead(source, places, readers)


def _read_ahead(source: Source, places: Iterable[Place], readers: ThreadPoolExecutor) -> Iterator[Stretch]:
    coming: deque[Future[Stretch]] = deque()
    try:
        for place in places:
            coming.append(readers.submit(_read_stretch, source, place))
            if len(coming) >= MOST_READ_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()


def _read_stretch(source: Source, place: Place) -> Stretch:
    bundle = read_bundle(source, place)
    entries, left_over = bundle or (None, 0)
    return Stretch(place, entries, left_over, read_tile(source, Place(0, place.index, place.width)))


def _read_place(source: Source, place: Place) -> bytes | None:
    try:
        return source.read(place.path, place.most_bytes)
    except TooLong:
        return None


def _body(answer: httpx2.Response, most: int) -> bytes:
    """The body, unpacked when it is packed; what is past the bound is neither read nor unpacked."""
    coding = answer.headers.get("content-encoding", "identity").lower()
    if coding not in ("identity", "gzip"):
        raise Refused("a file came packed in a way that was not asked for")
    unpacker = zlib.decompressobj(_GZIP) if coding == "gzip" else None
    body = bytearray()
    until = time.monotonic() + _FILE_SECONDS
    for chunk in answer.iter_raw():
        try:
            body += unpacker.decompress(chunk, most + 1 - len(body)) if unpacker else chunk
        except zlib.error:
            raise Refused("a file is packed, and damaged") from None
        if len(body) > most:
            break
        if time.monotonic() > until:
            raise Refused("a file took too long to come")
    if unpacker and len(body) <= most and not unpacker.eof:
        raise Refused("a file is packed, and broken off")
    return bytes(body)


def _bounded(content: bytes, path: str, most: int) -> bytes:
    if len(content) > most:
        raise TooLong(f"{path} is longer than it can be")
    return content
