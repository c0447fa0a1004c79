"""A collector of traces: a real HTTP server that takes OTLP (protobuf, gzip), in a thread of its own.

    with Collector() as collector:
        ...                        # send to collector.endpoint
        spans = collector.spans()  # needs opentelemetry-proto; `bodies` does not

Held (`hold`), it reads requests and answers none of them until `let_go`.
"""

import gzip
import importlib.util
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

PATIENCE_SECONDS = 40


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """A span as it arrived: ids in hexadecimal digits, `cause` the first link's trace and span."""

    name: str
    trace: str
    span: str
    parent: str
    attributes: Mapping[str, str | int | bool]
    cause: tuple[str, str]
    took_ns: int
    has_failed: bool


class Collector:
    """The server; a context manager. A class because it holds what arrived: `bodies`, as they were before gzip."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._may_answer = threading.Event()
        self._may_answer.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """Where it takes traces."""
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def settings(self) -> tuple[str, ...]:
        """The lines of a configuration that send traces here; none where the extra `otlp` is not installed."""
        if importlib.util.find_spec("opentelemetry") is None:
            return ()
        return (f'tracing.endpoint = "{self.endpoint}"',)

    def hold(self) -> None:
        """Answer nobody from now on."""
        self._may_answer.clear()

    def let_go(self) -> None:
        """Answer everybody again."""
        self._may_answer.set()

    def spans(self) -> list[SpanSeen]:
        """Every span that arrived."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - an extra
            ExportTraceServiceRequest,
        )

        return [
            SpanSeen(
                name=span.name,
                trace=span.trace_id.hex(),
                span=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                attributes={one.key: _value(one.value) for one in span.attributes},
                cause=(span.links[0].trace_id.hex(), span.links[0].span_id.hex()) if span.links else ("", ""),
                took_ns=span.end_time_unix_nano - span.start_time_unix_nano,
                has_failed=span.status.code == 2,
            )
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        taken, may_answer = self.bodies, self._may_answer

        class Answering(BaseHTTPRequestHandler):
            """Keeps what is sent and answers 200."""

            protocol_version = "HTTP/1.1"
            timeout = PATIENCE_SECONDS

            def do_POST(self) -> None:
                """One batch of spans."""
                body = self.rfile.read(int(self.headers["content-length"]))
                is_packed = self.headers["content-encoding"] == "gzip"
                may_answer.wait(PATIENCE_SECONDS)
                taken.append(gzip.decompress(body) if is_packed else body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Answering


def _value(value: object) -> str | int | bool:
    kind = value.WhichOneof("value")  # type: ignore[attr-defined]
    found: str | int | bool = getattr(value, kind)
    return found
