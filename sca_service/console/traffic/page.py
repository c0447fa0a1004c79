"""The page on traffic, and the list behind its figures. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from sca_service.analytics.model import Figure
from sca_service.analytics.reading.answer import Line
from sca_service.analytics.reading.asking import route_parts
from sca_service.analytics.reading.postgres_store import Listed
from sca_service.console.markup import Reader, age, frame, identifier, moment, number
from sca_service.console.story import in_words
from sca_service.console.traffic.charts import meter, timeline
from sca_service.console.traffic.view import Pair, Traffic, Verdict, Window, failing, worst_first
from sca_service.kernel.clock import timestamp
from sca_service.kernel.money import MICROS, Price
from sca_service.limits.pumping.model import Entry

HOME = "/desk/traffic"
LIST = "/desk/traffic/messages"
_MOST_PLACES = 10


@dataclass(frozen=True, slots=True)
class MessageList:
    """What the list shows: the filters as a URL has them, a page of tries, and where the next one begins."""

    filters: dict[str, str]
    rows: Sequence[Listed]
    following: str | None


def traffic_page(traffic: Traffic, reader: Reader, now: datetime) -> str:
    """How messages do now, against a week ago."""
    here = ' aria-current="true"'
    windows = "".join(
        f'<a href="{HOME}?window={one}"{here if one is traffic.window else ""}>{name}</a>'
        for one, name in ((Window.HOUR, "Now"), (Window.DAY, "24 hours"), (Window.WEEK, "7 days"))
    )
    counted = datetime.fromtimestamp(traffic.counted_at_ms / 1000, UTC)
    main = f"""<header class="lead"><p class="eyebrow">Traffic</p>
<h1>{_headline(traffic)}</h1>
<p>Messages of {traffic.window.words}, against the same time a week ago. Counted from the audit log;
the newest event is from {age(counted, now)}.</p>
<nav class="windows" aria-label="Time">{windows}</nav></header>
{_tiles(traffic)}
<section aria-labelledby="time"><h2 id="time">When</h2>{timeline(traffic.pieces)}</section>
<section aria-labelledby="routes"><h2 id="routes">How each route does</h2>{_routes(traffic)}</section>
<section aria-labelledby="places"><h2 id="places">Where codes do not arrive</h2>{_places(traffic)}</section>
<section aria-labelledby="cost"><h2 id="cost">What it costs</h2>{_costs(traffic)}</section>
{_blocks(traffic.blocks)}"""
    return frame(title="Traffic", main=main, here=HOME, reader=reader)


def messages_page(listed: MessageList, reader: Reader) -> str:
    """The messages behind a figure, each try in a row: never to whom it went."""
    chips = "".join(
        f"<li>{escape(name)} <b>{escape(value or '–')}</b></li>" for name, value in listed.filters.items()
    )
    rows = "".join(_message(one, links=("/desk", "Overview") in reader.pages) for one in listed.rows)
    following = ""
    if listed.following:
        query = urlencode({**listed.filters, "cursor": listed.following})
        following = f'<p class="pager"><a class="button" href="{LIST}?{escape(query)}">Older</a></p>'
    table = f"""<div class="wide" tabindex="0" role="group" aria-label="Messages"><table class="messages"><thead><tr>
<th scope="col">Attempted</th><th scope="col">Message</th><th scope="col">Route</th><th scope="col">Status</th>
<th scope="col">Answered</th></tr></thead><tbody>{rows}</tbody></table></div>"""
    main = f"""<header class="lead"><p class="eyebrow"><a href="{HOME}">Traffic</a></p>
<h1>The messages behind a figure</h1><ul class="asked">{chips}</ul></header>
<section aria-label="Messages">{table if rows else '<p class="quiet">There are none.</p>'}{following}</section>"""
    return frame(title="Messages", main=main, here=HOME, reader=reader)


def _headline(traffic: Traffic) -> str:
    worse = sum(
        pair.verdict(Figure.DELIVERED, Figure.ATTEMPTED) is Verdict.WORSE
        for pair in traffic.routes
        if pair.now
    )
    if not traffic.whole.count(Figure.ATTEMPTED):
        return "No message was attempted"
    if worse:
        return f"{worse} route{'' if worse == 1 else 's'} deliver{'s' if worse == 1 else ''} less than a week ago"
    return "Routes deliver as a week ago" if traffic.whole.before else "Messages are on their way"


def _tiles(traffic: Traffic) -> str:
    whole, challenges = traffic.whole, traffic.challenges
    arrived = (Figure.DELIVERED, Figure.ATTEMPTED)
    approved = (Figure.APPROVED, Figure.ISSUED)
    tiles = (
        (
            "Attempted",
            number(whole.count(Figure.ATTEMPTED)),
            number(whole.count_before(Figure.ATTEMPTED)),
            "attempted",
        ),
        ("Arrived", _percent(whole.share(*arrived)), _percent(whole.share_before(*arrived)), "delivered"),
        ("95 of 100 arrived within", _slowest(whole.now), _slowest(whole.before), "delivered"),
        (
            "Challenges approved",
            _percent(challenges.share(*approved)),
            _percent(challenges.share_before(*approved)),
            "",
        ),
        ("Cost", _money(whole.cost), _money(whole.cost_before), "sent"),
    )
    told = "".join(
        f'<div><dt>{name}</dt><dd class="figure">{_linked(traffic, value, figure)}</dd>'
        f'<dd class="quiet">{before} a week ago</dd></div>'
        for name, value, before, figure in tiles
    )
    return f'<dl class="facts grid tiles">{told}</dl>'


def _linked(traffic: Traffic, value: str, figure: str) -> str:
    return f'<a class="plain" href="{_link(traffic, {}, figure)}">{value}</a>' if figure else value


def _slowest(line: Line | None) -> str:
    told = line.percentiles_ms(Figure.DELIVERED_MS) if line else None
    return _seconds(told["p95"] if told else None)


def _routes(traffic: Traffic) -> str:
    if not traffic.routes:
        return '<p class="quiet">Nothing was sent.</p>'
    items = "".join(_route(traffic, pair) for pair in worst_first(traffic.routes))
    return (
        '<p class="quiet">The bar is the share of them that arrived; the mark is where it stood a week ago.</p>'
        f'<ul class="bars routes">{items}</ul>'
    )


def _route(traffic: Traffic, pair: Pair) -> str:
    parts = route_parts(pair.group["route"])
    name = parts["supplier"] or "no supplier"
    detail = " · ".join(
        one for one in (in_words(parts["channel"]), parts["network"], parts["sender"], parts["price"]) if one
    )
    now, before = (
        pair.share(Figure.DELIVERED, Figure.ATTEMPTED),
        pair.share_before(Figure.DELIVERED, Figure.ATTEMPTED),
    )
    verdict = pair.verdict(Figure.DELIVERED, Figure.ATTEMPTED)
    links = [
        f'<a href="{_link(traffic, pair.group, figure)}">{number(pair.count(figure))} {name}</a>'
        for figure, name in (
            (Figure.ATTEMPTED, "attempted"),
            (Figure.FAILED, "did not arrive"),
            (Figure.CONVERTED, "led to an approval"),
        )
        if pair.count(figure)
    ]
    return (
        f'<li><span class="label"><b>{escape(name)}</b> <span class="quiet">{escape(detail)}</span></span>'
        f'<span class="value">{_percent(now)} {_badge(verdict)}</span>'
        f"{meter(now, before, kind=_kind(verdict))}"
        f'<span class="remark">{" · ".join(links)} · {_percent(before)} a week ago</span></li>'
    )


def _places(traffic: Traffic) -> str:
    found = failing(traffic.places)
    if not found:
        return '<p class="quiet">Everything arrived, as far as anybody has heard.</p>'
    return f'<ul class="bars">{"".join(_place(traffic, pair) for pair in found[:_MOST_PLACES])}</ul>'


def _place(traffic: Traffic, pair: Pair) -> str:
    lost, attempted = pair.count(Figure.FAILED), pair.count(Figure.ATTEMPTED)
    now = pair.share(Figure.FAILED, Figure.ATTEMPTED)
    before = pair.share_before(Figure.FAILED, Figure.ATTEMPTED)
    country, channel = pair.group["country"] or "no country", in_words(pair.group["channel"])
    return (
        f'<li><span class="label"><b>{escape(country)}</b> <span class="quiet">{escape(channel)}</span></span>'
        f'<span class="value"><a href="{_link(traffic, pair.group, "failed")}">{number(lost)}</a> '
        f"of {number(attempted)}</span>{meter(now, before, kind='bad')}"
        f'<span class="remark">{_percent(now)} did not arrive, {_percent(before)} a week ago</span></li>'
    )


def _costs(traffic: Traffic) -> str:
    currencies = sorted({price.currency for pair in traffic.suppliers for price in pair.cost})
    if not currencies:
        return '<p class="quiet">No route that was used has a price.</p>'
    return "".join(_cost(traffic, currency) for currency in currencies)


def _cost(traffic: Traffic, currency: str) -> str:
    def spent(prices: Sequence[Price]) -> int:
        return next((price.micros for price in prices if price.currency == currency), 0)

    rows = sorted(traffic.suppliers, key=lambda pair: -spent(pair.cost))
    most = max(spent(pair.cost) for pair in rows) or 1
    items = ""
    for pair in rows:
        micros, led = spent(pair.cost), pair.count(Figure.CONVERTED)
        if not micros:
            continue
        each = f", {_amount(currency, round(micros / led))} for each approval" if led else ""
        items += (
            f'<li><span class="label"><b>{escape(pair.group["supplier"])}</b></span>'
            f'<span class="value"><a href="{_link(traffic, pair.group, "sent")}">{_amount(currency, micros)}</a></span>'
            f"{meter(micros / most, None, kind='')}"
            f'<span class="remark">{_amount(currency, spent(pair.cost_before))} a week ago{each}</span></li>'
        )
    return f'<h3>{escape(currency)}</h3><ul class="bars">{items}</ul>'


def _blocks(blocks: Sequence[Entry] | None) -> str:
    if blocks is None:
        return ""
    if not blocks:
        told = '<p class="quiet">Nothing is blocked.</p>'
    else:
        rows = "".join(map(_block, blocks))
        told = f"""<div class="wide" tabindex="0" role="group" aria-label="Blocks"><table><thead><tr>
<th scope="col">What</th><th scope="col">Why</th><th scope="col">Messages stopped</th><th scope="col">Until</th>
</tr></thead><tbody>{rows}</tbody></table></div>"""
    return f'<section aria-labelledby="blocks"><h2 id="blocks">What is blocked</h2>{told}</section>'


def _block(one: Entry) -> str:
    return (
        f'<tr><th scope="row">{escape(in_words(one.scope))} {identifier(one.subject)}</th>'
        f"<td>{escape(in_words(one.why))}</td><td>{number(one.refused)}</td><td>{moment(one.until * 1000)}</td></tr>"
    )


def _message(one: Listed, *, links: bool) -> str:
    owner = identifier(one.owner)
    if links and one.owner.startswith("chl_"):
        owner = f'<a href="/desk/challenges/{escape(one.owner)}">{owner}</a>'
    route = " · ".join(
        escape(part)
        for part in (one.key.supplier, in_words(one.key.channel), one.key.country, one.key.network)
        if part
    )
    reason = f' <span class="quiet">{escape(in_words(one.reason))}</span>' if one.reason else ""
    answered = "led to an approval" if one.converted_at else "answered" if one.answered else "–"
    told = f"{one.key.client}, {in_words(one.key.purpose)}, try {one.number}"
    return (
        f'<tr><td class="at">{moment(one.began_at)}</td>'
        f'<th scope="row">{owner} <span class="quiet">{escape(told)}</span></th><td>{route}</td>'
        f'<td><span class="word {escape(one.status)}">{escape(in_words(one.status))}</span>{reason}</td>'
        f"<td>{answered}</td></tr>"
    )


def _link(traffic: Traffic, group: object, figure: str) -> str:
    times = {"from": timestamp(traffic.since_ms), "to": timestamp(traffic.until_ms)}
    filters = dict(group) if isinstance(group, dict) else {}
    return escape(f"{LIST}?{urlencode({**times, **filters, 'counted': figure})}")


def _badge(verdict: Verdict) -> str:
    if verdict is Verdict.SAME:
        return ""
    return f'<span class="badge {_kind(verdict)}">{verdict}</span>'


def _kind(verdict: Verdict) -> str:
    return {Verdict.WORSE: "bad", Verdict.BETTER: "good"}.get(verdict, "")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f}".removesuffix(".0") + "\u202f%"


def _seconds(milliseconds: int | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds / 1000:.1f}\u202fs"


def _money(prices: Sequence[Price]) -> str:
    return " + ".join(_amount(price.currency, price.micros) for price in prices) or "–"


def _amount(currency: str, micros: int) -> str:
    digits = 2 if micros >= MICROS or not micros else 4
    return f"{micros / MICROS:,.{digits}f}\u202f{escape(currency)}".replace(",", "\u202f")
