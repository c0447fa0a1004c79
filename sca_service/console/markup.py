"""The HTML that every page of the desk shares. Text is escaped where it becomes markup; pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from urllib.parse import quote

from sca_service.kernel.clock import timestamp

_ICON = quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#2a4a7f" stroke-width="4">'
    '<circle cx="12" cy="16" r="9"/><circle cx="20" cy="16" r="9"/></svg>'
)
_MARK = (
    '<svg class="mark" viewBox="0 0 32 32" width="26" height="26" fill="none" stroke="currentColor" stroke-width="2.5" '
    'aria-hidden="true" focusable="false"><circle cx="12" cy="16" r="8.5"/><circle cx="20" cy="16" r="8.5"/></svg>'
)
AUDIT_PAGES = (("/desk", "Overview"), ("/desk/events", "Events"))
TRAFFIC_PAGES = (("/desk/traffic", "Traffic"),)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose page it is: the client's id, what proves that its forms come from it, and the pages it may see."""

    client: str
    form_value: str
    pages: tuple[tuple[str, str], ...] = AUDIT_PAGES


def frame(*, title: str, main: str, here: str = "", reader: Reader | None = None, kind: str = "") -> str:
    """A whole page. `main` is markup already; `here` is the path of the page in the navigation."""
    links = "".join(
        f'<li><a href="{href}"{_current(href == here)}>{name}</a></li>'
        for href, name in (reader.pages if reader else ())
    )
    navigation = f'<nav aria-label="Desk"><ul>{links}</ul></nav>{_sign_out(reader)}' if reader else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)} – Auditor’s desk</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="data:image/svg+xml,{_ICON}">
<link rel="stylesheet" href="/desk/static/desk.css">
<script type="module" src="/desk/static/desk.js"></script>
</head>
<body class="{kind}">
<a class="skip" href="#main">Skip to the content</a>
<header class="site">
<a class="brand" href="/desk">{_MARK}<span>Auditor’s desk</span></a>
{navigation}</header>
<main id="main" tabindex="-1">
{main}
</main>
<footer class="foot"><p>SCA service. All times are UTC. What is read here is on record too.</p></footer>
</body>
</html>
"""


def _current(is_here: bool) -> str:
    return ' aria-current="page"' if is_here else ""


def _sign_out(reader: Reader) -> str:
    return (
        f'<form class="sign-out" method="post" action="/desk/sign-out">{form_value(reader)}'
        f'<span class="who"><span class="quiet">Signed in as</span> {escape(reader.client)}</span>'
        '<button type="submit" class="plain">Sign out</button></form>\n'
    )


def form_value(reader: Reader) -> str:
    """The hidden field that every form of a session carries."""
    return f'<input type="hidden" name="form" value="{escape(reader.form_value)}">'


def identifier(text: str | None, *, copied: bool = False) -> str:
    """An id, shortened on screen; all of it is there for copying, printing and reading aloud."""
    if not text:
        return '<span class="none">–</span>'
    copy = " data-copy" if copied else ""
    return f'<code class="id" title="{escape(text)}"{copy}>{escape(text)}</code>'


def exact(text: str) -> str:
    """Text whose every character counts, so that the page's reader gets the bytes that were escaped here."""
    return escape(text, quote=False).replace("\r", "&#13;")


def moment(at_ms: int) -> str:
    """A time, to the millisecond, in UTC."""
    full = timestamp(at_ms)
    date, _, clock = full.rstrip("Z").partition("T")
    return (
        f'<time datetime="{full}"><span class="date">{date}</span> <span class="clock">{clock}</span></time>'
    )


def instant(at: datetime) -> str:
    """A time in UTC, as `moment` shows it."""
    return moment(int(at.timestamp() * 1000))


def age(since: datetime, now: datetime) -> str:
    """How long ago something was, in the largest unit that says enough."""
    seconds = max(int((now - since) / timedelta(seconds=1)), 0)
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s ago"
    return f"{seconds} second{'' if seconds == 1 else 's'} ago"


def number(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def inline(text: str) -> str:
    """Text within a line; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip()))
