"""Both curves of a backtest as one SVG, which any browser shows and any report can hold."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from sca_service.risk.backtest import Backtest

_SIDE: Final = 320
_LEFT: Final = 64
_TOP: Final = 56
_GAP: Final = 96
_COLOURS: Final = ("#1f5fbf", "#c2571a")
_DASHES: Final = ("none", "6 4")
_MOST_POINTS: Final = 2_000


def picture(backtests: Mapping[str, Backtest]) -> str:
    """An SVG with the ROC curve and the precision-recall curve of each, by its name; at most two are told apart."""
    named = list(backtests.items())[: len(_COLOURS)]
    width, height = 2 * _LEFT + 2 * _SIDE + _GAP, _TOP + _SIDE + 72 + 22 * len(named)
    right = _LEFT + _SIDE + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13" role="img">',
        "<title>How well the risk policy tells fraud from honest requests</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_panel(_LEFT, "ROC", "honest requests challenged", "fraud caught"),
        f'<path d="M{_LEFT} {_TOP + _SIDE} L{_LEFT + _SIDE} {_TOP}" stroke="#bbbbbb" fill="none"/>',
        *_panel(right, "Precision and recall", "fraud caught", "fraud among the challenged"),
    ]
    for at, (name, one) in enumerate(named):
        style = f'stroke="{_COLOURS[at]}" stroke-width="2" stroke-dasharray="{_DASHES[at]}" fill="none"'
        parts.append(f'<polyline points="{_points(_LEFT, one.curve.roc)}" {style}/>')
        parts.append(f'<polyline points="{_points(right, one.curve.precision_recall)}" {style}/>')
        y = _TOP + _SIDE + 64 + 22 * at
        said = f"{name}: area under ROC {one.curve.area:.4f}, average precision {one.curve.average_precision:.4f}"
        parts.append(f'<path d="M{_LEFT} {y - 4} h28" {style}/>')
        parts.append(f'<text x="{_LEFT + 36}" y="{y}">{escape(said)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: int, title: str, across: str, up: str) -> list[str]:
    """A square from 0 to 1 both ways, with its grid and its words."""
    bottom = _TOP + _SIDE
    parts = [f'<text x="{left}" y="{_TOP - 20}" font-size="15" font-weight="bold">{title}</text>']
    for tenth in range(0, 11, 2):
        x, y = left + _SIDE * tenth / 10, bottom - _SIDE * tenth / 10
        parts += [
            f'<path d="M{x:g} {_TOP} V{bottom} M{left} {y:g} H{left + _SIDE}" stroke="#e4e4e4" fill="none"/>',
            f'<text x="{x:g}" y="{bottom + 18}" text-anchor="middle">{tenth * 10} %</text>',
            f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{tenth * 10} %</text>',
        ]
    return [
        *parts,
        f'<rect x="{left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#444444"/>',
        f'<text x="{left + _SIDE / 2:g}" y="{bottom + 36}" text-anchor="middle">{across}</text>',
        f'<text x="{left}" y="{_TOP - 5}">{up}</text>',
    ]


def _points(left: int, curve: Iterable[tuple[float, float]]) -> str:
    points = list(curve)
    step = max(1, -(-len(points) // _MOST_POINTS))
    thinned = points[::step] + (points[-1:] if (len(points) - 1) % step else [])
    return " ".join(f"{left + _SIDE * x:.2f},{_TOP + _SIDE * (1 - y):.2f}" for x, y in thinned)
