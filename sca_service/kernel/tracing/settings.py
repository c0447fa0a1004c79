"""Where traces go, and how many of them: the section `[tracing]` of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TRACING_SETTINGS = frozenset({"endpoint", "ratio"})
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """The collector's URL for traces (OTLP over HTTP), and the share of the challenges that are traced, over 0 to 1."""

    endpoint: str = field(repr=False)
    ratio: float = 1.0


def read_tracing(content: Mapping[str, object], mistakes: list[str]) -> TracingSettings | None:
    """The section `[tracing]`; None where it is left out. Notes what is wrong with it, and quotes none of it."""
    if not content:
        return None
    endpoint, ratio = content.get("endpoint"), content.get("ratio", 1.0)
    is_url = isinstance(endpoint, str) and _is_collector(endpoint)
    is_ratio = isinstance(ratio, int | float) and not isinstance(ratio, bool) and 0 < ratio <= 1
    if not is_url:
        mistakes.append(
            "tracing.endpoint: must be an https:// URL such as https://collector.example/v1/traces, or http:// on "
            "loopback, without a password"
        )
    if not is_ratio:
        mistakes.append("tracing.ratio: must be over 0, and at most 1")
    if not is_url or not isinstance(ratio, int | float):
        return None
    return TracingSettings(str(endpoint), float(ratio))


def _is_collector(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    return is_safe and bool(host) and "@" not in parts.netloc
