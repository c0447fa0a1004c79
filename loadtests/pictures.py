"""Draws charts of bars, by matplotlib: `python -m loadtests.pictures <charts.json> <picture.svg>`."""

import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot

from loadtests.drawn import Chart, read_charts
from loadtests.scenario.pictures import COLOURS, STYLE

_GOAL = "#cf222e"
_WIDTH = 0.8
"""Of a group of bars; the next group begins one further."""


def draw(charts: list[Chart], path: Path) -> None:
    """Write all as one picture, two beside each other."""
    rows = math.ceil(len(charts) / 2)
    with pyplot.rc_context(STYLE):
        picture, axes = pyplot.subplots(
            rows, 2, figsize=(9.2, 3.2 * rows), layout="constrained", squeeze=False
        )
        for axis in axes.flat[len(charts) :]:
            axis.set_visible(False)
        for axis, chart in zip(axes.flat, charts, strict=False):
            _bars(axis, chart)
        picture.savefig(path, metadata={"Date": None})
        pyplot.close(picture)


def _bars(axis: Any, chart: Chart) -> None:
    width = _WIDTH / len(chart.series)
    for at, ((name, values), colour) in enumerate(zip(chart.series.items(), COLOURS, strict=False)):
        places = [group - _WIDTH / 2 + width * (at + 0.5) for group in range(len(chart.groups))]
        bars = axis.bar(places, values, width * 0.94, color=colour, label=name)
        axis.bar_label(bars, fmt=_plain, fontsize=7, padding=1)
    for group, goal in chart.goals.items():
        at = chart.groups.index(group)
        axis.hlines(goal, at - _WIDTH / 2, at + _WIDTH / 2, color=_GOAL, lw=1.2)
        axis.annotate(
            f"goal {goal:g}", (at + _WIDTH / 2, goal), color=_GOAL, fontsize=7, ha="right", va="bottom"
        )
    axis.set_xticks(range(len(chart.groups)), chart.groups)
    axis.grid(visible=False, axis="x")
    axis.set_title(chart.title)
    axis.set_ylabel(chart.unit)
    if chart.is_logarithmic:
        axis.set_yscale("log")
    axis.margins(y=0.2)
    if len(chart.series) > 1:
        axis.legend(ncols=3, loc="upper left")


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    draw(read_charts(Path(sys.argv[1])), Path(sys.argv[2]))
