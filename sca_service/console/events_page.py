"""The list of events, with its filters. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from sca_service.console.filters import Filters
from sca_service.console.markup import Reader, frame, identifier, moment
from sca_service.console.story import in_words, summary

_TITLES = {
    "type": "type",
    "challenge": "challenge",
    "psu": "payer",
    "client": "client",
    "from": "from",
    "to": "until",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One row: what an event says, and its index once it has one."""

    members: dict[str, Any]
    index: int | None


@dataclass(frozen=True, slots=True)
class EventList:
    """What the page shows: the rows of one page, where the next begins, and what may be chosen."""

    filters: Filters
    rows: Sequence[Listed]
    following: tuple[int, int] | None
    types: Sequence[str]
    clients: Sequence[str]
    exports: Sequence[tuple[str, str]]


def events_page(events: EventList, reader: Reader) -> str:
    """The list as a page."""
    main = f"""<header class="lead"><p class="eyebrow">Events</p><h1>Search the log</h1></header>
{_form(events)}
{_chips(events.filters)}
<section aria-labelledby="found">
<div class="bar-of-actions"><h2 id="found">{_found(events)}</h2>{_exports(events)}</div>
{_table(events.rows)}
{_pager(events)}</section>"""
    return frame(title="Events", main=main, here="/desk/events", reader=reader)


def _form(events: EventList) -> str:
    texts = events.filters.texts
    return f"""<form class="filters" method="get" action="/desk/events" role="search" aria-label="Filter events">
{_select("type", "Type", events.types, texts.get("type"), "Any type")}
{_select("client", "Client", events.clients, texts.get("client"), "Any client")}
{_field("challenge", "Challenge", texts.get("challenge"), 'placeholder="chl_…" maxlength="64"')}
{_field("psu", "Payer", texts.get("psu"), 'placeholder="Pseudonym or reference" maxlength="128"')}
{_field("from", "From (UTC)", _local(texts.get("from")), 'type="datetime-local" step="1"')}
{_field("to", "Until (UTC)", _local(texts.get("to")), 'type="datetime-local" step="1"')}
<div class="actions"><button type="submit">Search</button> <a href="/desk/events">Clear</a></div>
</form>"""


def _select(name: str, label: str, choices: Sequence[str], chosen: str | None, none: str) -> str:
    known = [*choices] if chosen is None or chosen in choices else [chosen, *choices]
    options = "".join(
        f"<option{' selected' if choice == chosen else ''}>{escape(choice)}</option>" for choice in known
    )
    return (
        f'<div><label for="{name}">{label}</label><select id="{name}" name="{name}">'
        f'<option value="">{none}</option>{options}</select></div>'
    )


def _field(name: str, label: str, value: str | None, attributes: str) -> str:
    return (
        f'<div><label for="{name}">{label}</label><input id="{name}" name="{name}" value="{escape(value or "")}" '
        f'{attributes} spellcheck="false" autocomplete="off"></div>'
    )


def _local(text: str | None) -> str | None:
    """A time as a form field takes it."""
    return None if text is None else text.removesuffix("Z")


def _chips(filters: Filters) -> str:
    chips = "".join(
        f'<li><a href="/desk/events?{escape(filters.without(name).query())}" '
        f'aria-label="Remove the filter {_TITLES[name]} {escape(value)}">'
        f'<span class="quiet">{_TITLES[name]}</span> <span class="id">{escape(value)}</span> '
        '<span aria-hidden="true">×</span></a></li>'
        for name, value in filters.texts.items()
    )
    return f'<ul class="chips" aria-label="Filters in use">{chips}</ul>' if chips else ""


def _found(events: EventList) -> str:
    count = len(events.rows)
    if not count:
        return "No event fits" if events.filters.cursor is None else "No older event fits"
    newest = "The newest " if events.following and not events.filters.cursor else ""
    return f"{newest}{count} event{'' if count == 1 else 's'}"


def _exports(events: EventList) -> str:
    links = "".join(
        f'<a class="button" href="{escape(href)}">{escape(name)}</a>' for name, href in events.exports
    )
    return f'<div class="exports" role="group" aria-label="Export what fits">{links}</div>' if links else ""


def _table(rows: Sequence[Listed]) -> str:
    if not rows:
        return '<p class="quiet">Widen the time, or remove a filter.</p>'
    heads = ("Index", "Time (UTC)", "Type", "Outcome", "Challenge", "Payer", "Client")
    head = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in heads)
    return (
        '<table class="events" role="table" aria-labelledby="found"><thead role="rowgroup"><tr role="row">'
        f'{head}</tr></thead><tbody role="rowgroup">{"".join(map(_row, rows))}</tbody></table>'
    )


def _row(row: Listed) -> str:
    members = row.members
    challenge = members.get("challenge")
    story = (
        f'<a href="/desk/challenges/{escape(challenge)}">{identifier(challenge)}</a>'
        if challenge
        else identifier(None)
    )
    payer = members.get("psu")
    same_payer = (
        f'<a class="plain" href="/desk/events?psu={escape(payer)}">{identifier(payer)}</a>'
        if payer
        else identifier(None)
    )
    index = '<span class="quiet">pending</span>' if row.index is None else str(row.index)
    word = summary(members)
    return f"""<tr role="row"><td role="cell" class="index"><span class="cell">{index}</span></td>
<td role="cell" class="at">{moment(members["at_ms"])}</td>
<th role="rowheader" scope="row" class="type">{escape(members["type"])}</th>
<td role="cell" class="outcome">{_badge(members, word)}</td>
<td role="cell" class="challenge">{story}</td>
<td role="cell" class="payer">{same_payer}</td>
<td role="cell" class="client">{escape(members.get("client") or "–")}</td></tr>"""


def _badge(members: dict[str, Any], word: str) -> str:
    if not word:
        return '<span class="none">–</span>'
    said = members.get("outcome") or members.get("status") or ""
    return f'<span class="word {escape(str(said))}">{escape(in_words(word))}</span>'


def _pager(events: EventList) -> str:
    newest = (
        f'<a rel="first" href="/desk/events?{escape(replace(events.filters, cursor=None).query())}">'
        "Back to the newest</a>"
        if events.filters.cursor
        else ""
    )
    older = (
        f'<a rel="next" class="button" href="/desk/events?'
        f'{escape(replace(events.filters, cursor=events.following).query())}">Older events</a>'
        if events.following
        else ""
    )
    return f'<nav class="pager" aria-label="Pages">{newest}{older}</nav>' if newest or older else ""
