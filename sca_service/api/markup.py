"""The HTML that every page shares: the frame around it, examples of code, prose.

Text is escaped where it becomes markup.
"""

import re
from html import escape
from urllib.parse import quote

_ICON = quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#0b5f68" stroke-width="4">'
    '<circle cx="12" cy="16" r="9"/><circle cx="20" cy="16" r="9"/></svg>'
)
_MARK = (
    '<svg class="mark" viewBox="0 0 32 32" width="28" height="28" fill="none" stroke="currentColor" stroke-width="2.5" '
    'aria-hidden="true" focusable="false"><circle cx="12" cy="16" r="8.5"/><circle cx="20" cy="16" r="8.5"/></svg>'
)
_HERE = ' aria-current="page"'
_SITE = (("/docs", "Reference"), ("/problems", "Problems"), ("/openapi.json", "OpenAPI"))


def frame(*, title: str, main: str, here: str, contents: str = "") -> str:
    """A whole page. `main` and `contents` are markup already; `here` is the path that the page belongs to."""
    links = "".join(
        f'<li><a href="{href}"{_HERE if href == here else ""}>{name}</a></li>' for href, name in _SITE
    )
    menu = '<a class="menu" href="#contents">Contents</a>' if contents else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:image/svg+xml,{_ICON}">
<link rel="stylesheet" href="/static/style.css">
<script type="module" src="/static/copy.js"></script>
</head>
<body class="{"reference" if contents else "article"}">
<a class="skip" href="#main">Skip to the content</a>
<header class="site" id="top">
<a class="brand" href="/docs">{_MARK}<span>SCA service</span></a>
<nav aria-label="Site"><ul>{links}</ul></nav>
{menu}</header>
{contents}<main id="main" tabindex="-1">
{main}
</main>
</body>
</html>
"""


def example(name: str, code: str) -> str:
    """A block of code under its name; `code` is markup already."""
    return (
        f'<figure class="example"><figcaption>{escape(name)}</figcaption>'
        f'<pre tabindex="0" role="group" aria-label="{escape(name)}"><code>{code}</code></pre></figure>'
    )


def highlighted(code: str) -> str:
    """The code escaped, with the names and texts of its JSON marked."""

    def marked(found: re.Match[str]) -> str:
        kind = "name" if found["colon"] else "text"
        return f'<span class="{kind}">{found["quoted"]}</span>{found["colon"] or ""}'

    return re.sub(r"(?P<quoted>&quot;.*?&quot;)(?P<colon>:)?", marked, escape(code, quote=True))


def prose(text: str) -> str:
    """Text as paragraphs; what stands in backticks is code."""
    return "".join(f"<p>{inline(paragraph)}</p>\n" for paragraph in text.split("\n\n") if paragraph.strip())


def inline(text: str) -> str:
    """Text within a line; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip()))


def anchor_of(text: str) -> str:
    """The name that a place on a page has: letters, digits, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)
