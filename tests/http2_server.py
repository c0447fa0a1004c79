"""A small HTTP/2 server on loopback, for a supplier that speaks nothing else: records, and answers as it is told."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events


@dataclass
class Http2Request:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Http2Answer:
    """What it is answered."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Http2Server:
    """The server; an async context manager. A class because it holds its connections and what came."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.requests: list[Http2Request] = []
        self.connections = 0
        self.answer: Callable[[Http2Request], Http2Answer] = lambda _: Http2Answer()

    async def __aenter__(self) -> "Http2Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is."""
        assert self._server
        return f"https://localhost:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the caller hung up, or the test is over
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        streams: dict[int, Http2Request] = {}
        while received := await reader.read(65_536):
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
                    headers = [(str(name), str(value)) for name, value in event.headers or ()]
                    streams[event.stream_id] = Http2Request(dict(headers))
                elif isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
                    streams[event.stream_id].body += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                    self._reply(connection, event.stream_id, streams.pop(event.stream_id))
            writer.write(connection.data_to_send())
            await writer.drain()

    def _reply(self, connection: h2.connection.H2Connection, stream: int, request: Http2Request) -> None:
        self.requests.append(request)
        answer = self.answer(request)
        connection.send_headers(stream, [(":status", str(answer.status)), *answer.headers.items()])
        connection.send_data(stream, answer.body, end_stream=True)
