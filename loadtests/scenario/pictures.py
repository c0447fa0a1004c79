"""The pictures of a report, drawn by matplotlib: `python -m loadtests.scenario.pictures <figures.json> <folder>`."""

import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from loadtests.scenario.figures import Figures

_INK, _FAINT = "#24292f", "#d0d7de"
COLOURS = ("#0969da", "#bf3989", "#1a7f37", "#bc4c00", "#8250df", "#57606a", "#9a6700", "#0e7490")
_BANDS = {"p50": "#7cb7f5", "p95": "#0969da", "p99": "#0a3069"}
_MOST_NAMES = 6
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eaeef2",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "figure.facecolor": "white",
    "svg.hashsalt": "loadtest",
    "svg.fonttype": "path",
}


def draw(figures: Figures, folder: Path) -> None:
    """Write `latency.svg` and `load.svg`."""
    with pyplot.rc_context(STYLE):
        _latency(figures, folder / "latency.svg")
        _load(figures, folder / "load.svg")


def _latency(figures: Figures, path: Path) -> None:
    names = list(figures.delays)
    picture, axes = pyplot.subplots(2, 2, figsize=(9.2, 6.4), layout="constrained")
    picture.suptitle(figures.title, fontsize=10.5, ha="left", x=0.01)
    for name, axis in zip(names, axes.flat[:3], strict=False):
        for which, series in figures.delays[name].items():
            axis.plot(figures.seconds, series, color=_BANDS[which], label=which)
        axis.set_title(f"{name}: delay over time")
        _times(axis, figures)
        _delays(axis, figures.delays[name].values())
        axis.legend(ncols=3, loc="upper right")
    axis = axes[1][1]
    for (name, points), colour in zip(figures.distribution.items(), COLOURS, strict=False):
        places = [-math.log10(1 - percent / 100) for percent, _ in points]
        axis.plot(places, [delay for _, delay in points], color=colour, marker="o", markersize=3, label=name)
    axis.set_title("all of the run: how many stayed below")
    shown = (50, 90, 99, 99.9, 99.99)
    axis.xaxis.set_major_locator(FixedLocator([-math.log10(1 - percent / 100) for percent in shown]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{100 * (1 - 10**-at):.6g} %"))
    axis.set_xlabel("of the requests")
    _delays(axis, [[delay for _, delay in points] for points in figures.distribution.values()])
    axis.legend(loc="upper left")
    _write(picture, path)


def _load(figures: Figures, path: Path) -> None:
    picture, axes = pyplot.subplots(2, 2, figsize=(9.2, 6.4), layout="constrained")
    picture.suptitle(figures.title, fontsize=10.5, ha="left", x=0.01)
    _throughput(axes[0][0], figures)
    axis = axes[0][1]
    axis.plot(figures.seconds, figures.refused, color=COLOURS[3], label="refused (4xx)")
    axis.plot(figures.seconds, figures.failed, color="#cf222e", label="failed (5xx, no answer)")
    axis.set_title("not answered with 2xx")
    axis.set_ylabel("requests / s")
    axis.set_ylim(0, max(*figures.refused, *figures.failed, 1) * 1.25)
    _times(axis, figures)
    axis.legend(loc="upper right")
    for axis, series, title, unit in (
        (axes[1][0], figures.cpu, "CPU of each process", "% of one core"),
        (axes[1][1], figures.memory, "resident memory of each process", "MiB"),
    ):
        for (name, values), colour in zip(series.items(), COLOURS, strict=False):
            axis.plot(figures.process_seconds[name], values, color=colour, label=name)
        axis.set_title(title)
        axis.set_ylabel(unit)
        top = max((value for values in series.values() for value in values), default=1)
        axis.set_ylim(0, top * 1.35)
        _times(axis, figures)
        axis.legend(ncols=3, loc="upper right")
    _write(picture, path)


def _throughput(axis: Any, figures: Figures) -> None:
    """Stacked by kind; the many kinds with few requests are one band."""
    by_sum = sorted(figures.per_second.items(), key=lambda one: -sum(one[1]))
    shown = dict(by_sum[:_MOST_NAMES])
    rest = [sum(values) for values in zip(*(series for _, series in by_sum[_MOST_NAMES:]), strict=True)]
    if rest:
        shown["all others"] = rest
    axis.stackplot(
        figures.seconds,
        list(shown.values()),
        labels=list(shown),
        colors=COLOURS[: len(shown)],
        alpha=0.85,
        lw=0,
    )
    axis.set_title("requests that were due")
    axis.set_ylabel("requests / s")
    top = max((sum(values) for values in zip(*shown.values(), strict=True)), default=1)
    axis.set_ylim(0, top * 1.45)
    _times(axis, figures)
    axis.legend(ncols=3, loc="upper left")


def _times(axis: Any, figures: Figures) -> None:
    longest = figures.seconds[-1] + figures.bucket_seconds / 2
    minutes = longest > 600
    axis.set_xlim(0, longest)
    axis.set_xlabel("minutes" if minutes else "seconds")
    if minutes:
        axis.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at / 60:g}"))
        axis.xaxis.set_major_locator(FixedLocator(range(0, int(longest) + 1, 300)))


def _delays(axis: Any, series: Any) -> None:
    """A logarithmic axis in milliseconds, with plain numbers at 1, 2, 5, 10 …"""
    known = [value for one in series for value in one if not math.isnan(value) and value > 0]
    low, high = min(known, default=1.0), max(known, default=10.0)
    axis.set_yscale("log")
    axis.set_ylim(low * 0.8, high * 2.2)
    steps = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        for factor in ((1, 2, 5) if high / low < 1000 else (1,))
    ]
    axis.yaxis.set_major_locator(FixedLocator(steps))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(_plain))
    axis.set_ylabel("ms")


def _plain(value: float, _: object) -> str:
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def _write(picture: Any, path: Path) -> None:
    picture.savefig(path, metadata={"Date": None})
    pyplot.close(picture)


if __name__ == "__main__":
    draw(Figures.read(Path(sys.argv[1])), Path(sys.argv[2]))
