"""The pictures of the page on traffic, as SVG that needs no script and no style but its classes. Pure."""

from collections.abc import Sequence
from html import escape

from sca_service.analytics.model import Figure
from sca_service.console.charts import round_up
from sca_service.console.markup import number
from sca_service.console.traffic.view import Pair
from sca_service.kernel.clock import timestamp

_HEIGHT = 160
_STEP = 10
_BAR = 8
_PARTS = (("arrived", "delivered"), ("lost", "did not arrive"), ("open", "no word yet"))


def timeline(pieces: Sequence[Pair]) -> str:
    """Stacked columns of messages by what became of them, with a line for as many as there were a week ago."""
    rows = [_parts(pair) for pair in pieces]
    before = [pair.count_before(Figure.ATTEMPTED) for pair in pieces]
    top = round_up(max((*(sum(row) for row in rows), *before), default=0))
    width = _STEP * len(pieces)
    columns = "".join(_column(at, pieces[at], row, top) for at, row in enumerate(rows))
    line = ""
    if any(before):
        points = " ".join(
            f"{at * _STEP + _STEP / 2:g},{_HEIGHT - value / top * (_HEIGHT - 2):.1f}"
            for at, value in enumerate(before)
        )
        line = f'<polyline class="before" points="{points}"/>'
    grid = "".join(
        f'<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>'
        for y in (0.5, _HEIGHT / 2, _HEIGHT - 0.5)
    )
    sums = [sum(row[at] for row in rows) for at in range(len(_PARTS))]
    said = ", ".join(f"{number(value)} {name}" for value, (_, name) in zip(sums, _PARTS, strict=True))
    legend = "".join(
        f'<li><svg class="swatch" width="12" height="12" aria-hidden="true" focusable="false">'
        f'<rect class="{kind}" width="12" height="12" rx="2"/></svg>{name} <b>{number(value)}</b></li>'
        for value, (kind, name) in zip(sums, _PARTS, strict=True)
    )
    legend += line and (
        '<li><svg class="swatch" width="20" height="12" viewBox="0 0 20 12" aria-hidden="true" focusable="false">'
        '<polyline class="before" points="0,6 20,6"/></svg>attempted a week ago'
        f" <b>{number(sum(before))}</b></li>"
    )
    ticks = "".join(f"<span>{_tick(pieces[at], pieces)}</span>" for at in _ticks(len(pieces)))
    return f"""<figure class="chart">
<div class="plot"><span class="scale" aria-hidden="true"><span>{number(top)}</span><span>0</span></span>
<svg class="columns" viewBox="0 0 {width} {_HEIGHT}" preserveAspectRatio="none" role="img"
 aria-label="Messages: {escape(said)}">{grid}{columns}{line}</svg>
<div class="ticks" aria-hidden="true">{ticks}</div></div>
<ul class="legend">{legend}</ul>{_table(pieces, rows, before)}</figure>"""


def meter(now: float | None, before: float | None, *, kind: str) -> str:
    """A share as a bar, and a mark where it stood a week ago."""
    mark = ""
    if before is not None:
        mark = f'<rect class="mark-before" x="{before * 100 - 0.5:.2f}" width="1" height="8"/>'
    return (
        f'<svg class="bar {kind}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false"><rect class="whole" width="100" height="8"/>'
        f'<rect class="part" width="{(now or 0) * 100:.2f}" height="8"/>{mark}</svg>'
    )


def _parts(pair: Pair) -> tuple[int, int, int]:
    arrived, lost = pair.count(Figure.DELIVERED), pair.count(Figure.FAILED)
    return arrived, lost, max(pair.count(Figure.ATTEMPTED) - arrived - lost, 0)


def _column(at: int, pair: Pair, row: Sequence[int], top: int) -> str:
    y, parts = float(_HEIGHT), []
    for value, (kind, _) in zip(row, _PARTS, strict=True):
        if value:
            height = value / top * (_HEIGHT - 2)
            y -= height
            parts.append(
                f'<rect class="{kind}" x="{at * _STEP + (_STEP - _BAR) / 2:g}" y="{y:.1f}" width="{_BAR}" '
                f'height="{height:.1f}"/>'
            )
    if not parts:
        return ""
    said = ", ".join(f"{number(value)} {name}" for value, (_, name) in zip(row, _PARTS, strict=True) if value)
    return f"<g><title>{_moment(pair)}: {said}</title>{''.join(parts)}</g>"


def _table(pieces: Sequence[Pair], rows: Sequence[Sequence[int]], before: Sequence[int]) -> str:
    body = "".join(
        f'<tr><th scope="row">{_moment(pair)}</th>{"".join(f"<td>{number(value)}</td>" for value in row)}'
        f"<td>{number(earlier)}</td></tr>"
        for pair, row, earlier in reversed(list(zip(pieces, rows, before, strict=True)))
        if any(row) or earlier
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Time", *(name for _, name in _PARTS)))
    return (
        '<details class="figures"><summary>The figures as a table</summary><div class="wide" tabindex="0" '
        'role="group" aria-label="Messages by time"><table class="numbers"><caption>Messages by time (UTC)</caption>'
        f'<thead><tr>{heads}<th scope="col">a week ago</th></tr></thead><tbody>{body}</tbody></table></div></details>'
    )


def _moment(pair: Pair) -> str:
    return timestamp(int(pair.group["at"]))[:16].replace("T", " ")


def _tick(pair: Pair, pieces: Sequence[Pair]) -> str:
    moment = _moment(pair)
    is_long = int(pieces[-1].group["at"]) - int(pieces[0].group["at"]) > 2 * 86_400_000
    return moment[5:10] if is_long else moment[11:]


def _ticks(count: int) -> list[int]:
    return sorted({0, count // 3, 2 * count // 3, count - 1})
