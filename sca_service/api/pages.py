"""The pages that the API itself serves: its reference at `/docs`, its problems at `/problems`, and `docs/errors.md`.

Pure functions from values to text. Everything that is shown is escaped; nothing is loaded from elsewhere; styles and
scripts are files beside this one, so that the pages work under a strict Content-Security-Policy.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

import msgspec

from sca_service.api.problems import MistakeBody, ProblemBody, ProblemPage
from sca_service.api.reference import (
    Answer,
    Member,
    Operation,
    Parameter,
    Reference,
    Section,
    Shape,
    read_reference,
)
from sca_service.api.samples import curl, json_text, sample_of

_ICON = quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#0b5f68" stroke-width="4">'
    '<circle cx="12" cy="16" r="9"/><circle cx="20" cy="16" r="9"/></svg>'
)
_MARK = (
    '<svg class="mark" viewBox="0 0 32 32" width="28" height="28" fill="none" stroke="currentColor" stroke-width="2.5" '
    'aria-hidden="true" focusable="false"><circle cx="12" cy="16" r="8.5"/><circle cx="20" cy="16" r="8.5"/></svg>'
)
_SITE = (("/docs", "Reference"), ("/problems", "Problems"), ("/openapi.json", "OpenAPI"))

_STEPS = (
    (
        "create_challenge",
        "Issue",
        "Say who pays what to whom. The payer gets a code that fits this transaction only.",
    ),
    ("verify_challenge", "Verify", "Send what the payer typed, with the transaction about to be executed."),
    (
        "list_audit_events",
        "Prove",
        "Keep the signed authentication code. Every decision is in the audit log.",
    ),
)
_CONVENTIONS = (
    (
        "Address and key",
        "A call carries an API key, `Authorization: Bearer <API key>`, unless it says that it needs none. A key belongs to "
        "one client and has scopes; what belongs to another client is not found. The examples take the address and the key "
        "from two shell variables, and `$CHALLENGE_ID` is the `id` of a challenge issued before.",
    ),
    (
        "Outcomes and faults",
        "A wrong code, an expired or a blocked challenge is an outcome: status 200, with an `outcome` to read. 4xx is for a "
        "request that should not have been sent, 5xx for a fault of ours. Both carry a problem document (RFC 9457).",
    ),
    (
        "Sent twice, done once",
        "A POST that creates takes an `Idempotency-Key`. Sent again with the same body it gets the stored answer, marked "
        "`Idempotency-Replayed: true`, for 24 hours. That makes a retry after a lost answer safe.",
    ),
    (
        "When to wait",
        "429 and 503 say in `Retry-After` how many seconds to wait. When a store is away the service answers 503 at once and "
        "approves nothing.",
    ),
    (
        "How values are written",
        "JSON in UTF-8; unknown members are refused. Amounts are decimal text with a currency, phone numbers E.164, times RFC "
        "3339 in UTC, ids opaque. Lists take `limit`, at most 200, and `cursor`.",
    ),
    (
        "Tracing a call",
        "Every answer has an `X-Request-Id`; one that you send, of 8 to 64 letters, digits, dots, dashes or underscores, is "
        "kept. Problems and audit events repeat it.",
    ),
)
_VARIABLES = "BASE=http://127.0.0.1:8080  # where the service listens\nKEY=…                       # an API key of yours"

_REMEDIES: Mapping[int, str] = {
    401: "Not unchanged. Check the key; a new one is made with `sca clients rotate`.",
    403: "Not with this key. Use one whose client has the scope.",
    404: "No. Check the path and the id, and whose key it is.",
    405: "Not with this method.",
    409: "Not as things stand. Read the challenge, or wait for the request before this one, and decide then.",
    413: "Not at this size.",
    415: "Yes, with the right `Content-Type`.",
    422: "Not unchanged. Correct the request first; the mistake is in the program that built it.",
    429: "Yes, after `Retry-After` seconds.",
    500: "Yes, with the same `Idempotency-Key`; quote the `request_id` to your operator if it fails again.",
    503: "Yes, after `Retry-After` seconds, with the same `Idempotency-Key`.",
}
"""By status: whether the request may be sent again."""
_HEADERS: Mapping[int, str] = {
    401: 'WWW-Authenticate: Bearer realm="sca"\n',
    429: "Retry-After: 12\n",
    503: "Retry-After: 1\n",
}


def docs_page(openapi: Mapping[str, Any]) -> str:
    """The API's reference, from its OpenAPI 3.1 document."""
    reference = read_reference(openapi)
    sections = "".join(_section(section, reference) for section in reference.sections)
    main = f"""<header class="lead">
<h1>{escape(reference.title)} <span class="version">{escape(reference.version)}</span></h1>
{_prose(reference.description)}</header>
{_steps(reference)}
<section class="conventions" id="conventions" aria-labelledby="conventions-title">
<h2 id="conventions-title">Before the first call</h2>
<div class="columns">{"".join(f"<div><h3>{title}</h3>{_prose(text)}</div>" for title, text in _CONVENTIONS)}</div>
{_example("Shell variables", escape(_VARIABLES))}</section>
{sections}"""
    return _frame(
        title=f"{reference.title}: reference", main=main, here="/docs", contents=_contents(reference)
    )


def problems_page(pages: Sequence[ProblemPage]) -> str:
    """Every problem by its status; a status is an anchor, `#status-422`."""
    groups = "".join(
        f'<section class="problems" id="status-{status}" aria-labelledby="status-{status}-title">'
        f'<h2 id="status-{status}-title">{status}</h2><dl>{"".join(_problem_entry(page) for page in group)}</dl></section>'
        for status, group in groupby(pages, key=lambda page: page.status)
    )
    main = f"""<header class="lead"><h1>Problems</h1>
<p>What the API answers when a request cannot be served: an RFC 9457 document whose <code>type</code> leads to one of
these pages. A wrong code or a blocked payer is not among them; that is an outcome, and status 200.</p></header>
{groups}"""
    return _frame(title="Problems", main=main, here="/problems")


def problem_page(page: ProblemPage) -> str:
    """What one problem means, what it looks like and whether the request may be sent again."""
    main = f"""<nav class="trail" aria-label="Where this is"><a href="/problems">Problems</a></nav>
<header class="lead"><h1>{escape(page.title)}</h1>
<p class="facts"><span class="status">{page.status}</span> <code>{escape(page.code)}</code></p></header>
<section aria-labelledby="meaning"><h2 id="meaning">What it means</h2>{_prose(page.meaning)}</section>
<section aria-labelledby="remedy"><h2 id="remedy">May it be sent again?</h2>{_prose(_REMEDIES[page.status])}</section>
<section aria-labelledby="example"><h2 id="example">What it looks like</h2>
{_example("Answer", _problem_answer(page))}</section>"""
    return _frame(title=page.title, main=main, here="/problems")


def errors_markdown(pages: Sequence[ProblemPage]) -> str:
    """The text of `docs/errors.md`."""
    rows = "".join(f"| {page.status} | [`{page.code}`](#{page.code}) | {page.title} |\n" for page in pages)
    entries = "".join(
        f"\n## {page.code}\n\n{page.status}: {page.title}.\n\n{page.meaning}\n\n"
        f"May it be sent again? {_REMEDIES[page.status]}\n"
        for page in pages
    )
    return f"""<!-- Generated from the code by `make docs`; changes made here are lost. -->
# Problems

What the API answers when a request cannot be served: an `application/problem+json` document (RFC 9457) with `type`
(`/problems/<code>`, a page that the service serves), `title`, `status`, `detail`, `instance`, `code`, `request_id`, and
for `validation-error` every mistake in `errors`, each with a JSON pointer.

A wrong code, an expired or a blocked challenge is not among them: that is an `outcome`, and status 200.

| status | code | title |
|---|---|---|
{rows}{entries}"""


def _frame(*, title: str, main: str, here: str, contents: str = "") -> str:
    links = "".join(
        f'<li><a href="{href}"{" aria-current=page" if href == here else ""}>{name}</a></li>'
        for href, name in _SITE
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


def _contents(reference: Reference) -> str:
    groups = "".join(
        f'<li><span class="group">{escape(section.tag)}</span><ul>'
        + "".join(
            f'<li><a href="#{_anchor(operation.id)}"><span>{escape(operation.summary)}</span> '
            f'<span class="verb">{escape(operation.method)}</span></a></li>'
            for operation in section.operations
        )
        + "</ul></li>"
        for section in reference.sections
    )
    return f"""<nav class="contents" id="contents" aria-label="Contents">
<a class="menu" href="#top">Close</a>
<ul><li><span class="group">Start</span><ul><li><a href="#conventions">Before the first call</a></li></ul></li>{groups}</ul>
</nav>
"""


def _steps(reference: Reference) -> str:
    known = {operation.id for section in reference.sections for operation in section.operations}
    steps = "".join(
        f'<li><h2><a href="#{_anchor(target)}">{name}</a></h2><p>{text}</p></li>'
        for target, name, text in _STEPS
        if target in known
    )
    return f'<ol class="steps">{steps}</ol>' if steps else ""


def _section(section: Section, reference: Reference) -> str:
    anchor = _anchor(f"tag {section.tag}")
    operations = "".join(_operation(operation, reference) for operation in section.operations)
    return (
        f'<section class="tag" aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(section.tag)}</h2>'
        f"{_prose(section.description)}{operations}</section>\n"
    )


def _operation(operation: Operation, reference: Reference) -> str:
    anchor = _anchor(operation.id)
    body = (
        f"<h4>Request body</h4>{_members(operation.body)}"
        if operation.body and operation.body.members
        else ""
    )
    answers = "".join(_answer(answer) for answer in operation.answers)
    examples = _example("Request", _highlighted(curl(operation, reference.schemas)))
    for answer in operation.answers:
        if answer.shape and answer.shape.kind == "object" and not answer.is_problem:
            sample = json_text(sample_of(answer.schema or {}, reference.schemas))
            examples += _example(f"Answer {answer.status}", _highlighted(sample)) if sample != "{}" else ""
    path = escape(operation.path).replace("/", "<wbr>/")
    return f"""<article class="operation" id="{anchor}" aria-labelledby="{anchor}-title">
<div class="told">
<h3 id="{anchor}-title"><a href="#{anchor}">{escape(operation.summary)}</a></h3>
<p class="call"><span class="method" data-method="{escape(operation.method)}">{escape(operation.method)}</span>
<code>{path}</code></p>
{_prose(operation.description)}<p class="scope">{_key(operation)}</p>
{_parameters(operation.parameters)}{body}
<h4>Responses</h4>
<ul class="responses">{answers}</ul>
</div>
<div class="shown">{examples}</div>
</article>
"""


def _key(operation: Operation) -> str:
    match operation.scopes:
        case None:
            return "Needs no API key."
        case ():
            return "Needs an API key."
    scopes = " or ".join(f"<code>{escape(scope)}</code>" for scope in operation.scopes)
    return f"Needs an API key with the scope {scopes}."


def _parameters(parameters: Iterable[Parameter]) -> str:
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(parameter.member.name)}</code></th><td>{escape(parameter.place)}</td>'
        f"<td>{_claims(parameter.member)}{_meaning(parameter.member.shape)}</td></tr>"
        for parameter in parameters
    )
    if not rows:
        return ""
    return (
        '<h4>Parameters</h4><table><thead><tr><th scope="col">Name</th><th scope="col">In</th>'
        f'<th scope="col">Value</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _members(shape: Shape, *, answered: bool = False) -> str:
    """An object's members. In an answer a member is told to be optional or null, in a request to be required."""
    entries = "".join(
        f'<li><p class="member"><code>{escape(member.name)}</code> {_claims(member, answered=answered)}</p>'
        f"{_meaning(member.shape)}{_folded(member, answered=answered)}</li>"
        for member in shape.members
    )
    return f'<ul class="members">{entries}</ul>'


def _folded(member: Member, *, answered: bool) -> str:
    if not member.shape.members:
        return ""
    summary = f"Members of <code>{escape(member.name)}</code>"
    return f"<details><summary>{summary}</summary>{_members(member.shape, answered=answered)}</details>"


def _claims(member: Member, *, answered: bool = False) -> str:
    kind = f"{member.shape.kind} or null" if answered and member.shape.nullable else member.shape.kind
    claim = ' <span class="required">required</span>' if member.required and not answered else ""
    if answered and not member.required:
        claim = ' <span class="kind">optional</span>'
    return f'<span class="kind">{escape(kind)}</span>{claim}'


def _meaning(shape: Shape) -> str:
    values = ", ".join(f"<code>{escape(value)}</code>" for value in shape.values)
    rules = escape("; ".join(shape.rules))
    return (
        _prose(shape.meaning)
        + (f'<p class="values">{values}</p>' if values else "")
        + (f'<p class="rules">{rules}</p>' if rules else "")
    )


def _answer(answer: Answer) -> str:
    status = f'<span class="status">{escape(answer.status)}</span>'
    told = f"<span>{_inline(answer.meaning)}</span>"
    if answer.is_problem:
        link = f"/problems#status-{quote(answer.status)}"
        return f'<li>{status} {told} <a href="{link}" aria-label="Problems with status {escape(answer.status)}">problems</a></li>'
    if answer.shape and answer.shape.members:
        return (
            f'<li class="good"><details><summary>{status} {told}</summary>'
            f"{_members(answer.shape, answered=True)}</details></li>"
        )
    return f'<li class="good">{status} {told}</li>'


def _problem_entry(page: ProblemPage) -> str:
    return (
        f'<div><dt><a href="/problems/{quote(page.code)}">{escape(page.title)}</a> <code>{escape(page.code)}</code></dt>'
        f"<dd>{_prose(page.meaning)}</dd></div>"
    )


def _problem_answer(page: ProblemPage) -> str:
    mistake = MistakeBody("/transaction/amount/currency", "is not an active ISO 4217 currency")
    mistaken = page.code == "validation-error"
    body = ProblemBody(
        type=f"/problems/{page.code}",
        title=page.title,
        status=page.status,
        detail="1 mistake in the request" if mistaken else page.title,
        instance="/v1/challenges",
        code=page.code,
        request_id="req_…",
        errors=(mistake,) if mistaken else (),
    )
    head = (
        f"HTTP/1.1 {page.status}\nContent-Type: application/problem+json\n{_HEADERS.get(page.status, '')}\n"
    )
    return escape(head) + _highlighted(json_text(msgspec.to_builtins(body)))


def _example(name: str, code: str) -> str:
    return (
        f'<figure class="example"><figcaption>{escape(name)}</figcaption>'
        f'<pre tabindex="0" role="region" aria-label="{escape(name)}"><code>{code}</code></pre></figure>'
    )


def _highlighted(code: str) -> str:
    """The code escaped, with the names and texts of its JSON marked."""

    def marked(found: re.Match[str]) -> str:
        kind = "name" if found["colon"] else "text"
        return f'<span class="{kind}">{found["quoted"]}</span>{found["colon"] or ""}'

    return re.sub(r"(?P<quoted>&quot;.*?&quot;)(?P<colon>:)?", marked, escape(code, quote=True))


def _prose(text: str) -> str:
    """Text as paragraphs; what stands in backticks is code."""
    return "".join(f"<p>{_inline(paragraph)}</p>\n" for paragraph in text.split("\n\n") if paragraph.strip())


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip()))


def _anchor(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)
