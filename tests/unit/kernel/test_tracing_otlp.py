"""Spans on their way to a collector: they arrive as they are, and one that is slow or away costs nothing but spans."""

import pytest
from prometheus_client import REGISTRY

from sca_service.kernel.tracing.model import Span, SpanName, SpanPlace
from tests.collector import PATIENCE_SECONDS, Collector
from tests.ports import free_port

pytest.importorskip("opentelemetry.sdk", reason="the extra `otlp` is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

from sca_service.kernel.tracing.otlp import OtlpSink


def span(number: int = 1) -> Span:
    """A span of its own."""
    return Span(
        name=SpanName.ATTEMPT,
        place=SpanPlace(0xABC, number),
        parent=SpanPlace(0xABC, 0xDEF),
        began_ns=1_000,
        ended_ns=3_500,
        attributes={"sca.channel": "sms", "sca.attempt": number},
        cause=SpanPlace(0x123, 0x456),
        has_failed=True,
    )


def dropped(why: str) -> float:
    """How many spans this process has left."""
    return REGISTRY.get_sample_value("sca_spans_dropped_total", {"why": why}) or 0.0


async def test_a_span_arrives_as_it_is() -> None:
    """Ids, parent, link, times, attributes and status; what waits at the end is sent."""
    with Collector() as collector:
        sink = OtlpSink(collector.endpoint, export_seconds=PATIENCE_SECONDS)
        sink.take(span(7))
        await sink.close()
        (seen,) = collector.spans()
    assert seen.name == "delivery.attempt"
    assert (seen.trace, seen.span, seen.parent) == (f"{0xABC:032x}", f"{7:016x}", f"{0xDEF:016x}")
    assert seen.cause == (f"{0x123:032x}", f"{0x456:016x}")
    assert seen.attributes == {"sca.channel": "sms", "sca.attempt": 7}
    assert (seen.took_ns, seen.has_failed) == (2_500, True)


async def test_a_collector_that_does_not_answer_holds_nobody_up() -> None:
    """As many spans wait as may; the others are counted and left, and what waited arrives."""
    before = dropped("full")
    with Collector() as collector:
        collector.hold()
        sink = OtlpSink(collector.endpoint, most_waiting=4, export_seconds=PATIENCE_SECONDS)
        for number in range(1, 11):
            sink.take(span(number))
        assert dropped("full") - before == 6
        collector.let_go()
        await sink.close()
        assert sorted(int(seen.span, 16) for seen in collector.spans()) == [1, 2, 3, 4]


async def test_a_collector_that_is_away_costs_spans_only() -> None:
    """They are counted, and there is room for the next ones."""
    full, refused = dropped("full"), dropped("refused")
    sink = OtlpSink(f"http://127.0.0.1:{free_port()}/v1/traces", export_seconds=0.2)
    for number in range(1, 4):
        sink.take(span(number))
    await sink.close()
    assert (dropped("full") - full, dropped("refused") - refused) == (0, 3)
