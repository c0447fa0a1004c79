"""What the pictures of measurements are drawn from, as written for the Python that has matplotlib."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars: a group for each of `groups`, in it a bar for each of `series`; `goals` are marked at their groups."""

    title: str
    unit: str
    groups: Sequence[str]
    series: Mapping[str, Sequence[float]]
    goals: Mapping[str, float]
    is_logarithmic: bool = False


def write_charts(path: Path, charts: Sequence[Chart]) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps([asdict(one) for one in charts]), "utf-8")


def read_charts(path: Path) -> list[Chart]:
    """Read what was written."""
    return [Chart(**one) for one in json.loads(path.read_text("utf-8"))]
