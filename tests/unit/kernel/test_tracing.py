"""The trace of a challenge: found by its id in every process, the same share everywhere, and no cost without one."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.tracing.model import (
    Span,
    SpanName,
    SpanPlace,
    first_span,
    is_sampled,
    read_traceparent,
)
from sca_service.kernel.tracing.settings import TracingSettings, read_tracing
from sca_service.kernel.tracing.traces import Traces, open_traces

ENDPOINT = (
    "tracing.endpoint: must be an https:// URL such as https://collector.example/v1/traces, or http:// on loopback, "
    "without a password"
)
RATIO = "tracing.ratio: must be over 0, and at most 1"
CHALLENGE = "chl_0123456789abcdef0123456789abcdef012345"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass(slots=True)
class Kept:
    """A sink that keeps."""

    spans: list[Span] = field(default_factory=list)

    def take(self, span: Span) -> None:
        """Keep it."""
        self.spans.append(span)


def test_the_trace_of_a_challenge_can_be_computed_by_anybody() -> None:
    """As docs/operations.md tells: the first 32 hexadecimal digits of the id's SHA-256, and the next 16."""
    digest = hashlib.sha256(CHALLENGE.encode()).hexdigest()
    place = first_span(CHALLENGE)
    assert (f"{place.trace:032x}", f"{place.span:016x}") == (digest[:32], digest[32:48])


def test_a_share_of_the_challenges_is_traced() -> None:
    """About that share, nothing of none and all of all, and whoever is in a small share is in a larger one."""
    places = [first_span(f"chl_{number}") for number in range(4000)]
    tenth = {place for place in places if is_sampled(place, 0.1)}
    half = {place for place in places if is_sampled(place, 0.5)}
    assert 300 < len(tenth) < 500
    assert 1850 < len(half) < 2150
    assert tenth < half
    assert all(is_sampled(place, 1.0) for place in places)
    assert not any(is_sampled(place, 0.0) for place in places)
    assert is_sampled(SpanPlace((1 << 128) - 1, 1), 1.0)


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-brings",
    ],
)
def test_a_callers_trace_is_read(text: str) -> None:
    """Version 00, sampled or not, and later versions, which may be longer (W3C Trace Context section 3.2.4)."""
    assert read_traceparent(text) == SpanPlace(int(TRACE, 16), int(SPAN, 16))


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        "+4915190817000",
    ],
)
def test_what_is_no_trace_is_left_out(text: str) -> None:
    """A caller that sends nonsense loses its link, and nothing else."""
    assert read_traceparent(text) is None


def test_the_issue_is_the_first_span_and_the_parent_of_the_others() -> None:
    """One trace, whoever notes: an issue once under the computed name, the rest under names of their own."""
    kept = Kept()
    one, other = Traces(kept, ratio=1.0), Traces(kept, ratio=1.0)
    one.note(SpanName.ISSUE, CHALLENGE, one.now_ns(), {}, traceparent=f"00-{TRACE}-{SPAN}-01")
    other.note(SpanName.ATTEMPT, CHALLENGE, 1, {"sca.channel": "sms"}, has_failed=True)
    other.note(SpanName.ATTEMPT, CHALLENGE, 1 << 63, {})
    issue, attempt, ahead = kept.spans
    assert (issue.place, issue.parent) == (first_span(CHALLENGE), None)
    assert issue.cause == SpanPlace(int(TRACE, 16), int(SPAN, 16))
    assert attempt.parent == ahead.parent == issue.place
    assert {span.place.trace for span in kept.spans} == {issue.place.trace}
    assert len({span.place.span for span in kept.spans}) == 3
    assert attempt.attributes == {"sca.challenge": CHALLENGE, "sca.channel": "sms"}
    assert attempt.has_failed
    assert not issue.has_failed
    assert ahead.ended_ns == ahead.began_ns, "a clock that was set back makes no span end before it began"


def test_what_is_not_sampled_is_not_noted() -> None:
    """No span is made for it."""
    kept = Kept()
    Traces(kept, ratio=1e-12).note(SpanName.VERIFY, CHALLENGE, 0, {})
    assert kept.spans == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://collector.example/v1/traces",
        "http://127.0.0.1:4318/v1/traces",
        "http://localhost:4318/v1/traces",
        "http://[::1]:4318/v1/traces",
    ],
)
def test_tracing_is_read(endpoint: str) -> None:
    """HTTPS, or a collector on this machine; every challenge is traced unless a share is named."""
    mistakes: list[str] = []
    assert read_tracing({"endpoint": endpoint}, mistakes) == TracingSettings(endpoint, 1.0)
    assert read_tracing({"endpoint": endpoint, "ratio": 0.25}, mistakes) == TracingSettings(endpoint, 0.25)
    assert read_tracing({}, mistakes) is None
    assert mistakes == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"endpoint": "http://collector.example/v1/traces"}, [ENDPOINT]),
        ({"endpoint": "http://127.0.0.1.example/v1/traces"}, [ENDPOINT]),
        ({"endpoint": "https://name:password@collector.example/v1/traces"}, [ENDPOINT]),
        ({"endpoint": "https://"}, [ENDPOINT]),
        ({"endpoint": "https://collector.example:port/"}, [ENDPOINT]),
        ({"endpoint": 4318}, [ENDPOINT]),
        ({"ratio": 0.5}, [ENDPOINT]),
        ({"endpoint": "https://collector.example", "ratio": 0}, [RATIO]),
        ({"endpoint": "https://collector.example", "ratio": 1.5}, [RATIO]),
        ({"endpoint": "https://collector.example", "ratio": True}, [RATIO]),
        ({"endpoint": "", "ratio": "all"}, [ENDPOINT, RATIO]),
    ],
)
def test_what_is_wrong_with_it_is_told(content: dict[str, object], found: list[str]) -> None:
    """All of it at once, and without quoting it."""
    mistakes: list[str] = []
    read_tracing(content, mistakes)
    assert mistakes == found


async def test_without_the_extra_the_role_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for traces is told what is missing, rather than to find none."""
    monkeypatch.delitem(sys.modules, "sca_service.kernel.tracing.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(ConfigurationError, match="needs the extra `otlp`"):
        async with open_traces(TracingSettings("https://collector.example/v1/traces")):
            pass


def test_off_costs_no_import() -> None:
    """All roles are there, and nothing that makes or sends spans. (redis-py imports what there is for its metrics.)"""
    program = (
        "import sys, sca_service.api_role, sca_service.worker_role, sca_service.log_role\n"
        "assert 'sca_service.kernel.tracing.traces' in sys.modules\n"
        "ours = ('opentelemetry.exporter', 'opentelemetry.sdk.trace', 'sca_service.kernel.tracing.otlp')\n"
        "sys.exit(any(name.startswith(ours) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_off_there_are_no_traces() -> None:
    """What would note spans is not there."""
    async with open_traces(None) as traces:
        assert traces is None
