"""Charts as SVG that needs no script and no style but its classes, each with its figures as a table. Pure."""

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

from sca_service.console.figures import Series
from sca_service.console.markup import number

_HEIGHT = 200
_STEP = 20
_BAR = 14


def columns(*, title: str, days: Sequence[date], series: Sequence[Series]) -> str:
    """Stacked columns, one for each day; series without any number are told in the table only."""
    shown = [one for one in series if one.total]
    most = max((sum(one.numbers[at] for one in shown) for at in range(len(days))), default=0)
    top = round_up(most)
    bars = "".join(_column(at, day, shown, top) for at, day in enumerate(days))
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_STEP * len(days)}" y1="{y}" y2="{y}"/>'
        for y in (0.5, _HEIGHT / 2, _HEIGHT - 0.5)
    )
    said = ", ".join(f"{number(one.total)} {one.name}" for one in shown) or "none"
    legend = "".join(
        f'<li><svg class="swatch {escape(one.name)}" width="12" height="12" aria-hidden="true" focusable="false">'
        f'<rect width="12" height="12" rx="2"/></svg>{escape(one.name)} <b>{number(one.total)}</b></li>'
        for one in shown
    )
    ticks = "".join(f"<span>{days[at]:%-d %b}</span>" for at in _ticks(len(days)))
    return f"""<figure class="chart">
<div class="plot"><span class="scale" aria-hidden="true"><span>{number(top)}</span><span>0</span></span>
<svg class="columns" viewBox="0 0 {_STEP * len(days)} {_HEIGHT}" preserveAspectRatio="none" role="img"
 aria-label="{escape(title)}: {escape(said)}">{grid}{bars}</svg>
<div class="ticks" aria-hidden="true">{ticks}</div></div>
<ul class="legend">{legend}</ul>
{_table(title, ("Day", *(one.name for one in series)), _rows(days, series))}</figure>"""


def bars(
    *, title: str, rows: Sequence[tuple[str, int, str]], whole: int | None = None, kind: str = ""
) -> str:
    """Horizontal bars with a label, a number and a remark each; `whole` is what a full bar stands for."""
    most = max(whole or 0, *(value for _, value, _ in rows), 1)
    lines = "".join(
        f'<li><span class="label">{escape(label)}</span> <span class="value">{number(value)}</span>'
        f'<svg class="bar {kind}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="whole" width="100" height="8"/>'
        f'<rect class="part" width="{_share(value, most)}" height="8"/></svg>'
        f'<span class="remark">{escape(remark)}</span></li>'
        for label, value, remark in rows
    )
    return f'<ul class="bars" aria-label="{escape(title)}">{lines}</ul>'


def _column(at: int, day: date, shown: Sequence[Series], top: int) -> str:
    y = float(_HEIGHT)
    parts = []
    for one in shown:
        value = one.numbers[at]
        if value:
            height = round(value / top * (_HEIGHT - 2), 2)
            y -= height
            parts.append(
                f'<rect class="{escape(one.name)}" x="{at * _STEP + (_STEP - _BAR) / 2:g}" y="{y:g}"'
                f' width="{_BAR}" height="{height:g}"/>'
            )
    if not parts:
        return ""
    said = ", ".join(f"{number(one.numbers[at])} {one.name}" for one in shown if one.numbers[at])
    return f"<g><title>{day:%-d %B %Y}: {escape(said)}</title>{''.join(parts)}</g>"


def _rows(days: Sequence[date], series: Sequence[Series]) -> Iterable[tuple[str, ...]]:
    for at in reversed(range(len(days))):
        yield (f"{days[at]:%Y-%m-%d}", *(number(one.numbers[at]) for one in series))


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(text)}</td>" for text in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<details class="figures"><summary>The figures as a table</summary><div class="wide" tabindex="0" '
        f'role="group" aria-label="{escape(title)}"><table class="numbers"><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _ticks(count: int) -> list[int]:
    return sorted({0, count // 3, 2 * count // 3, count - 1})


def _share(value: int, most: int) -> str:
    return f"{100 * value / most:.2f}"


def round_up(value: int) -> int:
    """The next of 1, 2, 4, 5, 10, 20 … that a scale may end at."""
    step = 1
    while True:
        for factor in (1, 2, 4, 5):
            if factor * step >= value:
                return factor * step
        step *= 10
