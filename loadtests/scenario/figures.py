"""What a run measured, made small: what is drawn and what is told. Pure, and without packages of others."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MESSAGE = "message arrives"
"""Not a request: from when an issue was due until the handset has the message."""
_MOST_BUCKETS = 60


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many per cent are at or below (nearest rank); NaN for none."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of request: how many, how many a second, how many 4xx, how many without a good answer, delays in ms."""

    name: str
    count: int
    refused: int
    failed: int
    p50: float
    p95: float
    p99: float
    worst: float


@dataclass(slots=True)
class Figures:
    """What is drawn. Series are by name, each along `seconds`; NaN where there was nothing."""

    title: str
    bucket_seconds: float
    seconds: list[float] = field(default_factory=list)
    per_second: dict[str, list[float]] = field(default_factory=dict)
    refused: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    delays: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By request, then by percentile."""
    distribution: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By request: per cent, and the delay that so many stayed at or below."""
    process_seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    """Per cent of a core."""
    memory: dict[str, list[float]] = field(default_factory=dict)
    """MiB."""

    def write(self, path: Path) -> None:
        """Keep them."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Figures":
        """What `write` kept."""
        members: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return cls(**members)


_TAILS = (50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99)


def rows(requests: Sequence[tuple[float, str, float, int]]) -> list[Row]:
    """A row for each kind of request, those with the most first."""
    found = []
    for name in {name for _, name, _, _ in requests}:
        ours = [(delay, status) for _, one, delay, status in requests if one == name]
        ordered = sorted(delay for delay, _ in ours)
        found.append(
            Row(
                name,
                len(ours),
                sum(400 <= status < 500 for _, status in ours),
                sum(status == 0 or status >= 500 for _, status in ours),
                *(percentile(ordered, percent) for percent in (50, 95, 99, 100)),
            )
        )
    return sorted(found, key=lambda row: (-row.count, row.name))


def drawn(
    title: str,
    requests: Sequence[tuple[float, str, float, int]],
    *,
    seconds: float,
    delays_of: Sequence[str],
) -> Figures:
    """What is drawn of requests; processes are added by whoever watched them."""
    bucket = max(1.0, math.ceil(seconds / _MOST_BUCKETS))
    count = max(math.ceil((max((due for due, *_ in requests), default=0.0) + 0.001) / bucket), 1)
    figures = Figures(title, bucket, [(at + 0.5) * bucket for at in range(count)])
    figures.refused, figures.failed = [0.0] * count, [0.0] * count
    delays: dict[str, list[list[float]]] = {name: [[] for _ in range(count)] for name in delays_of}
    for due, name, delay, status in requests:
        at = min(max(int(due / bucket), 0), count - 1)
        if name != MESSAGE:
            series = figures.per_second.setdefault(name, [0.0] * count)
            series[at] += 1 / bucket
            figures.refused[at] += (400 <= status < 500) / bucket
            figures.failed[at] += (status == 0 or status >= 500) / bucket
        if name in delays:
            delays[name][at].append(delay)
    for name, buckets in delays.items():
        ordered = [sorted(one) for one in buckets]
        figures.delays[name] = {
            f"p{percent}": [percentile(one, percent) for one in ordered] for percent in (50, 95, 99)
        }
        whole = sorted(delay for one in buckets for delay in one)
        figures.distribution[name] = [
            (tail, percentile(whole, tail)) for tail in _TAILS if len(whole) * (1 - tail / 100) >= 1
        ]
    return figures
