"""Notes the spans of challenges. Where there are no traces its place is None, and nobody looks at a clock."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.tracing.model import (
    Attribute,
    Span,
    SpanName,
    SpanPlace,
    first_span,
    is_sampled,
    read_traceparent,
)
from sca_service.kernel.tracing.settings import TracingSettings


class SpanSink(Protocol):
    """Takes spans on their way to the collector."""

    def take(self, span: Span) -> None:
        """Take one over. Never raises and never waits: what there is no room for is counted and left."""


class Traces:
    """Notes spans. A class because it holds whom to hand them to."""

    def __init__(self, sink: SpanSink, *, ratio: float) -> None:
        """`ratio` (0 to 1) is the share of the challenges that are traced."""
        self._sink = sink
        self._ratio = ratio

    @staticmethod
    def now_ns() -> int:
        """When something begins: nanoseconds since the epoch, by this machine's clock."""
        return time.time_ns()

    def note(
        self,
        name: SpanName,
        challenge: str,
        began_ns: int,
        attributes: Mapping[str, Attribute],
        *,
        traceparent: str = "",
        has_failed: bool = False,
    ) -> None:
        """Something is over that concerns a challenge (its id). `traceparent` is its caller's, empty without one."""
        first = first_span(challenge)
        if not is_sampled(first, self._ratio):
            return
        is_first = name is SpanName.ISSUE
        self._sink.take(
            Span(
                name=name,
                place=first if is_first else SpanPlace(first.trace, _new_span()),
                parent=None if is_first else first,
                began_ns=began_ns,
                ended_ns=max(time.time_ns(), began_ns),
                attributes={"sca.challenge": challenge, **attributes},
                cause=read_traceparent(traceparent),
                has_failed=has_failed,
            )
        )


@asynccontextmanager
async def open_traces(settings: TracingSettings | None) -> AsyncIterator[Traces | None]:
    """What notes spans, None where the configuration wants none. Raises ConfigurationError without the extra `otlp`."""
    if settings is None:
        yield None
        return
    try:
        from sca_service.kernel.tracing.otlp import OtlpSink  # noqa: PLC0415 - an extra, and only where it is wanted
    except ImportError:
        raise ConfigurationError(
            "tracing.endpoint: needs the extra `otlp` (pip install 'sca-service[otlp]')"
        ) from None
    sink = OtlpSink(settings.endpoint)
    try:
        yield Traces(sink, ratio=settings.ratio)
    finally:
        await sink.close()


def _new_span() -> int:
    return int.from_bytes(os.urandom(8)) or 1
