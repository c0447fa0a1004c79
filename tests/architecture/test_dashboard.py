"""The dashboard shows what there is: every metric and label that it asks Prometheus for exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from sca_service.kernel import telemetry

_DASHBOARD = Path(__file__).parents[2] / "k8s" / "components" / "monitoring" / "dashboard.json"
_ENDINGS = {Counter: ("_total",), Histogram: ("_bucket", "_sum", "_count")}


def _kept() -> Iterator[tuple[str, set[str]]]:
    """Every time series that the service keeps, and its labels."""
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            for ending in _ENDINGS.get(type(metric), ("",)):
                yield (
                    f"{family.name}{ending}",
                    {*metric._labelnames, *(["le"] if ending == "_bucket" else [])},
                )


def _asked() -> list[str]:
    panels: list[dict[str, Any]] = json.loads(_DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_of_the_dashboard_exists() -> None:
    """With the ending that Prometheus gives it."""
    kept = dict(_kept())
    asked = {name for expression in _asked() for name in re.findall(r"sca_\w+", expression)}
    assert len(asked) > 10
    assert asked - kept.keys() == set()


def test_every_label_of_the_dashboard_exists() -> None:
    """What is grouped by, and what is chosen, is a label of every metric in the same expression."""
    kept = dict(_kept())
    for expression in _asked():
        labels = {name for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(", ")}
        labels |= set(re.findall(r"[{,](\w+)[!=]", expression))
        for name in re.findall(r"sca_\w+", expression):
            assert labels - kept[name] == set(), expression


def test_every_panel_says_what_it_shows() -> None:
    """The ids of panels differ, and each says what it shows."""
    panels: list[dict[str, Any]] = json.loads(_DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels)
