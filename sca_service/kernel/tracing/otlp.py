"""Sends spans to a collector: OTLP over HTTP, from a thread of OpenTelemetry's own. The library is the extra `otlp`.

A collector that is slow or away costs the callers nothing: the queue is bounded, and what finds it full is counted and
left. What the collector wants to know us by stands in the environment, where the library looks for it
(`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`). Nothing of the library's is made global.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sca_service import __version__
from sca_service.kernel.telemetry import SPANS_DROPPED
from sca_service.kernel.tracing.model import Span, SpanName, SpanPlace

MOST_WAITING = 2048
"""Spans that wait for the collector at most; the next ones are left."""
_MOST_AT_ONCE = 512
_SEND_EVERY_MS = 1_000
EXPORT_SECONDS = 3.0
"""What one call of the collector may take, its repetitions included."""
_CLOSE_SECONDS = 1.0
"""For so long calls are still begun when the process ends; the last one may take its time."""
_KINDS: Mapping[SpanName, SpanKind] = {
    SpanName.ISSUE: SpanKind.SERVER,
    SpanName.RISK: SpanKind.INTERNAL,
    SpanName.ATTEMPT: SpanKind.CLIENT,
    SpanName.RECEIPT: SpanKind.SERVER,
    SpanName.VERIFY: SpanKind.SERVER,
}
_SCOPE = InstrumentationScope("sca_service", __version__)


class OtlpSink:
    """Sends spans. A class because it holds the queue."""

    def __init__(
        self, endpoint: str, *, most_waiting: int = MOST_WAITING, export_seconds: float = EXPORT_SECONDS
    ) -> None:
        """`endpoint` is the collector's URL for traces; a call of it takes `export_seconds` at most."""
        self._exporter = _Exporter(endpoint, export_seconds)
        self._most_waiting = most_waiting
        self._resource = Resource({"service.name": "sca-service", "service.version": __version__})
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=most_waiting,
            schedule_delay_millis=_SEND_EVERY_MS,
            max_export_batch_size=min(_MOST_AT_ONCE, most_waiting),
        )
        self._taken = 0

    def take(self, span: Span) -> None:
        """Take one over, or count it as dropped where as many wait as may. From one thread only."""
        if self._taken - self._exporter.done >= self._most_waiting:
            SPANS_DROPPED.labels("full").inc()
            return
        self._taken += 1
        self._batches.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.place),
                parent=_context(span.parent) if span.parent else None,
                resource=self._resource,
                attributes=span.attributes,
                links=(Link(_context(span.cause, is_remote=True)),) if span.cause else (),
                kind=_KINDS[span.name],
                status=Status(StatusCode.ERROR) if span.has_failed else Status(StatusCode.UNSET),
                start_time=span.began_ns,
                end_time=span.ended_ns,
                instrumentation_scope=_SCOPE,
            )
        )

    async def close(self) -> None:
        """Send what waits, as far as there is time for it."""
        self._exporter.ends_at = time.monotonic() + _CLOSE_SECONDS
        await asyncio.to_thread(self._batches.shutdown)


class _Exporter(SpanExporter):
    """The library's exporter, and a count of what left the queue (`done`), by the one thread that empties it."""

    def __init__(self, endpoint: str, export_seconds: float) -> None:
        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc of the environment, as for suppliers
        self._otlp = OTLPSpanExporter(
            endpoint=endpoint, timeout=export_seconds, compression=Compression.Gzip, session=session
        )
        self.done = 0
        self.ends_at = float("inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; what the collector did not take is counted as dropped. Never raises."""
        result = SpanExportResult.FAILURE
        try:
            if time.monotonic() < self.ends_at:
                result = self._otlp.export(spans)
        finally:
            self.done += len(spans)
            if result is not SpanExportResult.SUCCESS:
                SPANS_DROPPED.labels("refused").inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._otlp.shutdown()


def _context(place: SpanPlace, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(
        place.trace, place.span, is_remote=is_remote, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
