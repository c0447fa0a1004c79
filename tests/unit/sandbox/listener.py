"""A small HTTP server in the place of the api: it keeps what sandbox suppliers tell, and answers as it was bidden."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from sca_service.delivery.supplier import CallBack
from sca_service.kernel.secret import Secret
from sca_service.sandbox.supplier.wire import ReceiptBody

KEY = Secret(b"an example key of the sandbox")
NOW_MS = 1_700_000_000_000
_PATIENCE_SECONDS = 40


@dataclass
class StoppedClock:
    """A clock that shows one time, until it is set."""

    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        """Always the same instant."""
        return self.at_ms


@dataclass
class Posted:
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> ReceiptBody:
        """The body read."""
        return msgspec.json.decode(self.body, type=ReceiptBody)

    @property
    def call(self) -> CallBack:
        """The request as a reader of call-backs gets it."""
        return CallBack("POST", f"http://127.0.0.1{self.path}", {}, self.headers, self.body)


@dataclass
class Listener:
    """Answers with the statuses it was given, then 204, and keeps what came."""

    statuses: list[int] = field(default_factory=list)
    posted: asyncio.Queue[Posted] = field(default_factory=asyncio.Queue)
    url: str = ""

    async def next(self) -> Posted:
        """The next request, once it is there."""
        return await asyncio.wait_for(self.posted.get(), _PATIENCE_SECONDS)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, keep it, answer it, and hang up."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.posted.put_nowait(Posted(request.split()[1], headers, body))
        status = self.statuses.pop(0) if self.statuses else 204
        writer.write(f"HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Listener]:
    """A listener on a free port of the loopback interface."""
    listener = Listener(list(statuses))
    server = await asyncio.start_server(listener.answer, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
        await server.wait_closed()
