"""The desk's first page: how the log stands, and what the last thirty days were. Pure."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from sca_service.console.charts import bars, columns
from sca_service.console.figures import DAYS, Figures
from sca_service.console.log import Published, origin_of, witnesses_of
from sca_service.console.markup import Reader, age, frame, instant, number
from sca_service.console.postgres_store import LogKey
from sca_service.console.story import in_words


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows; `figures` is None while they are being counted."""

    checkpoint: Published | None
    keys: Sequence[LogKey]
    figures: Figures | None
    now: datetime


def overview_page(overview: Overview, reader: Reader) -> str:
    """The overview as a page."""
    main = f"""<header class="lead">
<p class="eyebrow">Overview</p>
<h1>The audit log, and the proof of it</h1>
{_standing(overview)}
<form class="find" method="get" action="/desk/challenges" role="search">
<label for="find">Open a challenge</label>
<input id="find" name="id" placeholder="chl_…" required spellcheck="false" autocomplete="off" maxlength="64">
<button type="submit">Open</button></form>
</header>
<section aria-labelledby="checkpoint"><h2 id="checkpoint">Current checkpoint</h2>{_checkpoint(overview)}</section>
{_charts(overview.figures)}"""
    return frame(title="Overview", main=main, here="/desk", reader=reader)


def _standing(overview: Overview) -> str:
    checkpoint = overview.checkpoint
    if checkpoint is None:
        return "<p>No checkpoint has been published yet.</p>"
    return (
        f"<p><b>{number(checkpoint.size)}</b> events are under a signed checkpoint, made "
        f"{age(checkpoint.made_at, overview.now)}.</p>"
    )


def _checkpoint(overview: Overview) -> str:
    checkpoint = overview.checkpoint
    if checkpoint is None:
        return (
            '<p class="quiet">The log role signs one within a second of the first event. Until then there is '
            "nothing to verify against.</p>"
        )
    root = base64.b64encode(checkpoint.root).decode()
    return f"""<dl class="facts grid">
<div><dt>Origin</dt><dd><code>{escape(origin_of(checkpoint.note))}</code></dd></div>
<div><dt>Size</dt><dd class="figure">{number(checkpoint.size)}</dd></div>
<div><dt>Made</dt><dd>{instant(checkpoint.made_at)}<br>
<span class="quiet">{age(checkpoint.made_at, overview.now)}</span></dd></div>
<div><dt>Witnesses</dt><dd class="figure">{len(witnesses_of(checkpoint.note))}</dd></div>
<div class="wide"><dt>Root</dt><dd><code class="hash" data-copy>{escape(root)}</code></dd></div>
</dl>
<div class="pair">
<div><h3>Witnesses</h3>{_witnesses(checkpoint.note, overview.now)}</div>
<div><h3>Verifier keys</h3>{_keys(overview.keys)}</div>
</div>
<details class="source"><summary>The checkpoint as it was signed</summary>
<pre tabindex="0" role="group" aria-label="Checkpoint" data-copy>{escape(checkpoint.note)}</pre></details>"""


def _witnesses(note: str, now: datetime) -> str:
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(witness.name)}</code></th><td>{instant(witness.signed_at)}</td>'
        f"<td>{age(witness.signed_at, now)}</td></tr>"
        for witness in witnesses_of(note)
    )
    if not rows:
        return (
            '<p class="quiet">No witness has signed this checkpoint. Without one, only a checkpoint that you kept '
            "yourself shows that the log was not rewritten.</p>"
        )
    return (
        '<table><thead><tr><th scope="col">Witness</th><th scope="col">Signed</th><th scope="col">Age</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _keys(keys: Sequence[LogKey]) -> str:
    if not keys:
        return '<p class="quiet">No key has signed yet.</p>'
    items = "".join(
        f'<li><code class="hash" data-copy>{escape(key.verifier_key)}</code>'
        f'<span class="quiet">since size {number(key.first_size)}, {instant(key.first_used_at)}</span></li>'
        for key in keys
    )
    return f'<ul class="keys">{items}</ul><p class="quiet">Keep them elsewhere, and compare.</p>'


def _charts(figures: Figures | None) -> str:
    if figures is None:
        return (
            '<section aria-labelledby="days"><h2 id="days">The last thirty days</h2>'
            '<p class="quiet">The events are being counted. Load the page again in a moment.</p></section>'
        )
    ended = sum(one.total for one in figures.outcomes)
    return f"""<section aria-labelledby="days"><h2 id="days">The last {DAYS} days</h2>
<h3>How challenges ended</h3>
<p class="quiet">{number(ended)} endings, by day (UTC)</p>
{columns(title="Challenges by outcome", days=figures.days, series=figures.outcomes)}
<div class="triple">
<div><h3>Strong customer authentication</h3>{_sca(figures)}</div>
<div><h3>Deliveries by channel</h3>{_channels(figures)}</div>
<div><h3>Exemptions and fraud</h3>{_exemptions(figures)}</div>
</div></section>"""


def _sca(figures: Figures) -> str:
    issued = figures.with_sca + figures.without_sca
    if not issued:
        return '<p class="quiet">No challenge was issued.</p>'
    rows = (
        ("Two elements", figures.with_sca, _percent(figures.with_sca, issued)),
        ("One element", figures.without_sca, _percent(figures.without_sca, issued)),
    )
    return bars(title="Challenges issued, by strong customer authentication", rows=rows, whole=issued) + (
        '<p class="quiet">Challenges issued. Two independent elements are strong customer authentication '
        "(PSD2 Art. 97, RTS Art. 4).</p>"
    )


def _channels(figures: Figures) -> str:
    if not figures.channels:
        return '<p class="quiet">Nothing was sent.</p>'
    rows = [
        (
            in_words(one.name)[:1].upper() + in_words(one.name)[1:],
            one.attempted,
            f"{_percent(one.delivered, one.attempted)} reported as delivered",
        )
        for one in figures.channels
    ]
    return bars(title="Deliveries attempted, by channel", rows=rows)


def _exemptions(figures: Figures) -> str:
    told = ""
    if figures.exemptions:
        told = bars(
            title="Exemptions, by article",
            rows=[(article, count, "") for article, count in figures.exemptions],
        )
    if figures.fraud_events:
        told += f"<p>{number(figures.fraud_events)} events on fraud are on record.</p>"
    return told or (
        '<p class="quiet">No exemption and no fraud figure is on record: nothing to hold against the limits of RTS '
        "Art. 10 to 20 yet.</p>"
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}".removesuffix(".0") + " %" if whole else "–"
