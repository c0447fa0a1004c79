"""A real HTTP/1.1 server on the loopback interface that behaves as badly as a supplier can.

    async with RudeServer() as server:
        server.answer(202, {"id": "abc"})      # from now on, to every request
        server.answers([Answer(429, headers={"Retry-After": "3"})])  # first these, one each
        server.reset_next()                     # once, for the next request
        ...                                     # call server.url
        assert server.requests[0].json() == {...}

What is said of "the next" request is queued: two calls concern two requests. A delay comes before whatever else the
request gets.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PATIENCE_SECONDS = 40
_LONGEST_HEAD = 65_536
_CHUNK = b"x" * 16_384


@dataclass(frozen=True, slots=True)
class RudeRequest:
    """One request as it came over the wire. Header names are in lower case; a repeated header's last value counts.

    `connection` counts the server's connections from 1: two requests with one number shared a connection.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=False))

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        """The body read as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=bool(self.body)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered. A body that is neither bytes nor text is sent as JSON.

    `Content-Length` is added unless `headers` has one, or `Transfer-Encoding`.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The whole answer as it goes over the wire."""
        body, headers = self.body, dict(self.headers)
        names = {name.lower() for name in headers}
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
            if "content-type" not in names:
                headers["Content-Type"] = "application/json"
        if not names & {"content-length", "transfer-encoding"}:
            headers["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Status\r\n{head}\r\n".encode() + body


class _Rudeness(Enum):
    """What happens to a request instead of an answer."""

    NONE = auto()
    RESET_UNREAD = auto()
    RESET_READ = auto()
    GARBAGE = auto()
    HALF = auto()
    ENDLESS = auto()
    HANG_UP = auto()
    SILENCE = auto()


class RudeServer:
    """The server; an async context manager. A class because it holds its connections and what it was told to do.

    `requests` are those read so far, the oldest first; `connections` counts the connections that were opened.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        """`tls` is a server's context, for `https://localhost`; any free port when `port` is 0."""
        self._port = port
        self.url = ""
        self.requests: list[RudeRequest] = []
        self.connections = 0
        self._tls = tls
        self._standing: Callable[[RudeRequest], Answer] = lambda _: Answer()
        self._queued: deque[Answer] = deque()
        self._rudeness: deque[_Rudeness] = deque()
        self._delays: deque[float] = deque()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._idle: set[asyncio.Task[None]] = set()
        self._came = asyncio.Condition()

    async def __aenter__(self) -> "RudeServer":
        shutdown_seconds = 0.1 if self._tls else None  # a caller that keeps the connection does not answer
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            self._port,
            ssl=self._tls,
            ssl_shutdown_timeout=shutdown_seconds,
            limit=_LONGEST_HEAD,
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def answer(self, status: int = 200, body: Any = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer every request like this from now on."""
        fixed = Answer(status, body, headers or {})
        self._standing = lambda _: fixed

    def answer_by(self, function: Callable[[RudeRequest], Answer]) -> None:
        """Answer every request with what a function makes of it from now on."""
        self._standing = function

    def answers(self, answers: Iterable[Answer]) -> None:
        """Answer the next requests with these, one each; then as before."""
        self._queued.extend(answers)

    def delay_next(self, seconds: float) -> None:
        """Read the next request, and let so much time go by before anything else."""
        self._delays.append(seconds)

    def reset_next(self, *, read: bool = True) -> None:
        """Reset the connection (TCP RST) of the next request: after it was read, or without recording it.

        Unread, a new connection is reset as soon as it is there.
        """
        self._rudeness.append(_Rudeness.RESET_READ if read else _Rudeness.RESET_UNREAD)

    def garbage_next(self) -> None:
        """Answer the next request with bytes that are no HTTP."""
        self._rudeness.append(_Rudeness.GARBAGE)

    def half_next(self) -> None:
        """Answer the next request, but hang up after half of the body."""
        self._rudeness.append(_Rudeness.HALF)

    def endless_next(self) -> None:
        """Answer the next request with 200 and a body that never ends."""
        self._rudeness.append(_Rudeness.ENDLESS)

    def hang_up_after_next(self) -> None:
        """Answer the next request well, then close the connection without having said so."""
        self._rudeness.append(_Rudeness.HANG_UP)

    def silence_next(self) -> None:
        """Read the next request and never answer it."""
        self._rudeness.append(_Rudeness.SILENCE)

    async def close_idle(self, *, reset: bool = False) -> None:
        """Close every connection that waits for a request, as a server with a short keep-alive does, or reset it."""
        tasks = list(self._idle)
        for task in tasks:
            if reset:
                _reset(self._open[task])
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def received(self, count: int) -> list[RudeRequest]:
        """The requests once there are so many. Raises TimeoutError when they do not come."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connections += 1
        self._open[task] = writer
        try:
            if self._rudeness and self._rudeness[0] is _Rudeness.RESET_UNREAD:
                self._rudeness.popleft()
                _reset(writer)
                return
            await self._converse(task, reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the caller hung up, or the test is over
        finally:
            del self._open[task]
            self._idle.discard(task)
            writer.close()
            with suppress(ConnectionError, TimeoutError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: int,
    ) -> None:
        while True:
            self._idle.add(task)
            head = await reader.readuntil(b"\r\n\r\n")
            self._idle.discard(task)
            rudeness = self._rudeness.popleft() if self._rudeness else _Rudeness.NONE
            if rudeness is _Rudeness.RESET_UNREAD:
                _reset(writer)
                return
            request = await _read(head, reader, connection)
            self.requests.append(request)
            async with self._came:
                self._came.notify_all()
            if self._delays:
                await asyncio.sleep(self._delays.popleft())
            if not await self._reply(request, rudeness, writer):
                return

    async def _reply(self, request: RudeRequest, rudeness: _Rudeness, writer: asyncio.StreamWriter) -> bool:
        """Answer as well or as badly as was asked for; whether the connection goes on."""
        match rudeness:
            case _Rudeness.RESET_READ:
                _reset(writer)
                return False
            case _Rudeness.GARBAGE:
                writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n\x00\xff")
                await writer.drain()
                return False
            case _Rudeness.ENDLESS:
                writer.write(b"HTTP/1.1 200 Status\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"%x\r\n%b\r\n" % (len(_CHUNK), _CHUNK))
                    await writer.drain()
            case _Rudeness.SILENCE:
                await asyncio.Event().wait()
        answer = self._queued.popleft() if self._queued else self._standing(request)
        whole = answer.to_bytes()
        if rudeness is _Rudeness.HALF:
            body_at = whole.index(b"\r\n\r\n") + 4
            writer.write(whole[: (body_at + len(whole)) // 2])
            await writer.drain()
            return False
        writer.write(whole)
        await writer.drain()
        return rudeness is not _Rudeness.HANG_UP


async def _read(head: bytes, reader: asyncio.StreamReader, connection: int) -> RudeRequest:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RudeRequest(method, target, headers, body, connection)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: a linger time of zero drops what is unread and unsent."""
    carrier = writer.get_extra_info("socket")
    if carrier is not None:
        carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
