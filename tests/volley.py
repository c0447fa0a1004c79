"""Requests that leave in the same moment, each over a connection of its own that is open already.

An HTTP client spends a millisecond on each request and so spreads them; here all are written before the first answer is
read.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True, slots=True)
class Post:
    """One request."""

    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    body: Any


class Volley:
    """Connections to one or several apis, taken in turn. A class because it holds them."""

    def __init__(self, urls: Sequence[str], api_key: str, *, connections: int) -> None:
        self._urls = [urls[number % len(urls)] for number in range(connections)]
        self._api_key = api_key
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> "Volley":
        for url in self._urls:
            place = urlsplit(url)
            self._open.append(await asyncio.open_connection(place.hostname, place.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._open:
            connection[1].close()
        await asyncio.gather(*(connection[1].wait_closed() for connection in self._open))

    async def fire(self, posts: Sequence[Post]) -> list[Reply]:
        """The answers, in the order of the requests; as many requests as there are connections, at most."""
        raw = [self._packed(post) for post in posts]
        for (_, writer), request in zip(self._open, raw, strict=False):
            writer.write(request)
        readers = [reader for reader, _ in self._open[: len(posts)]]
        return await asyncio.gather(*(_reply(reader) for reader in readers))

    def _packed(self, post: Post) -> bytes:
        body = msgspec.json.encode(post.body)
        head = (
            f"POST {post.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self._api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _reply(reader: asyncio.StreamReader) -> Reply:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    assert length, "an answer says how long it is"
    body = await reader.readexactly(int(length[1]))
    return Reply(int(head.split(b" ", 2)[1]), msgspec.json.decode(body))
