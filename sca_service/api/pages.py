"""The pages that the API itself serves: its reference at `/docs`, its problems at `/problems`, and `docs/errors.md`.

Pure functions from values to text. Nothing is loaded from elsewhere and nothing stands in the pages but markup, so that
they work under a strict Content-Security-Policy: the style sheet and the one script are files under `static/`.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

import msgspec

from sca_service.api.markup import anchor_of, example, frame, highlighted, inline, prose
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
_MAIN = {target for target, _, _ in _STEPS}
_CONVENTIONS = (
    (
        "Address and key",
        "A call carries an API key, `Authorization: Bearer <API key>`, unless it says that it needs none. A key "
        "belongs to one client and has scopes; what belongs to another client is not found. The examples take the "
        "address and the key from two shell variables, and `$CHALLENGE_ID` is the `id` of a challenge issued before.",
    ),
    (
        "Outcomes and faults",
        "A wrong code, an expired or a blocked challenge is an outcome: status 200, with an `outcome` to read. 4xx is "
        "for a request that should not have been sent, 5xx for a fault of ours. Both carry a problem document "
        "(RFC 9457).",
    ),
    (
        "Sent twice, done once",
        "A POST that creates takes an `Idempotency-Key`. Sent again with the same body it gets the stored answer, "
        "marked `Idempotency-Replayed: true`, for 24 hours. That makes a retry after a lost answer safe.",
    ),
    (
        "When to wait",
        "429 and 503 say in `Retry-After` how many seconds to wait. When a store is away the service answers 503 at "
        "once and approves nothing.",
    ),
    (
        "How values are written",
        "JSON in UTF-8; unknown members are refused. Amounts are decimal text with a currency, phone numbers E.164, "
        "times RFC 3339 in UTC, ids opaque. Lists take `limit`, at most 200, and `cursor`.",
    ),
    (
        "Tracing a call",
        "Every answer has an `X-Request-Id`; one that you send, of 8 to 64 letters, digits, dots, dashes or "
        "underscores, is kept. Problems and audit events repeat it.",
    ),
)
_VARIABLES = """BASE=http://127.0.0.1:8080  # where the service listens
KEY=…                       # an API key of yours"""

_SHORT = 16
"""Lines of an answer that is not folded."""

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
_HEADERS_OF: Mapping[str, str] = {"invalid-proof": "WWW-Authenticate: DPoP\n"}
"""By code, where it is not the one of its status."""
_HEADERS: Mapping[int, str] = {
    401: 'WWW-Authenticate: Bearer realm="sca"\n',
    405: "Allow: GET\n",
    429: "Retry-After: 12\n",
    503: "Retry-After: 1\n",
}
_MISTAKES: Mapping[str, MistakeBody] = {
    "validation-error": MistakeBody("/transaction/amount/currency", "is not an active ISO 4217 currency"),
    "malformed-request": MistakeBody("", "an object has a member name twice"),
    "idempotency-key-reused": MistakeBody("/Idempotency-Key", "belongs to another body"),
}
_DETAILS: Mapping[str, str] = {
    "validation-error": "1 mistake in the request",
    "malformed-request": "an object has a member name twice",
}
"""What the example of a problem says beyond its title, by code."""


def docs_page(openapi: Mapping[str, Any]) -> str:
    """The API's reference, from its OpenAPI 3.1 document."""
    reference = read_reference(openapi)
    sections = "".join(_section(section, reference) for section in reference.sections)
    main = f"""<header class="lead">
<h1>{escape(reference.title)} <span class="version">{escape(reference.version)}</span></h1>
{prose(reference.description)}</header>
{_steps(reference)}
<section class="conventions" id="conventions" aria-labelledby="conventions-title">
<h2 id="conventions-title">Before the first call</h2>
<div class="columns">{"".join(f"<div><h3>{title}</h3>{prose(text)}</div>" for title, text in _CONVENTIONS)}</div>
{example("Shell variables", escape(_VARIABLES))}</section>
{sections}"""
    return frame(
        title=f"{reference.title}: reference", main=main, here="/docs", contents=_contents(reference)
    )


def problems_page(pages: Sequence[ProblemPage]) -> str:
    """Every problem by its status; a status is an anchor, `#status-422`."""
    groups = "".join(
        f'<section class="problems" id="status-{status}" aria-labelledby="status-{status}-title">'
        f'<h2 id="status-{status}-title">{status}</h2>'
        f"<dl>{''.join(_problem_entry(page) for page in group)}</dl></section>"
        for status, group in groupby(pages, key=lambda page: page.status)
    )
    main = f"""<header class="lead"><h1>Problems</h1>
<p>What the API answers when a request cannot be served: an RFC 9457 document whose <code>type</code> leads to one of
these pages. A wrong code or a blocked payer is not among them; that is an outcome, and status 200.</p></header>
{groups}"""
    return frame(title="Problems", main=main, here="/problems")


def problem_page(page: ProblemPage) -> str:
    """What one problem means, what it looks like and whether the request may be sent again."""
    main = f"""<nav class="trail" aria-label="Where this is"><a href="/problems">Problems</a></nav>
<header class="lead"><h1>{escape(page.title)}</h1>
<p class="facts"><span class="status">{page.status}</span> <code>{escape(page.code)}</code></p></header>
<section aria-labelledby="meaning"><h2 id="meaning">What it means</h2>{prose(page.meaning)}</section>
<section aria-labelledby="remedy"><h2 id="remedy">May it be sent again?</h2>{prose(_REMEDIES[page.status])}</section>
<section aria-labelledby="example"><h2 id="example">What it looks like</h2>
{example("Answer", _problem_answer(page))}</section>"""
    return frame(title=page.title, main=main, here="/problems")


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
for a 422 every mistake in `errors`, each with a JSON pointer.

A wrong code, an expired or a blocked challenge is not among them: that is an `outcome`, and status 200.

| status | code | title |
|---|---|---|
{rows}{entries}"""


def _contents(reference: Reference) -> str:
    groups = "".join(
        f'<li><span class="group">{escape(section.tag)}</span><ul>'
        + "".join(
            f'<li><a href="#{anchor_of(operation.id)}"><span>{escape(operation.summary)}</span> '
            f'<span class="verb">{escape(operation.method)}</span></a></li>'
            for operation in section.operations
        )
        + "</ul></li>"
        for section in reference.sections
    )
    return f"""<nav class="contents" id="contents" aria-label="Contents">
<a class="menu" href="#top">Close</a>
<ul><li><span class="group">Start</span><ul><li><a href="#conventions">Before the first call</a></li></ul></li>
{groups}</ul>
</nav>
"""


def _steps(reference: Reference) -> str:
    known = {operation.id for section in reference.sections for operation in section.operations}
    steps = "".join(
        f'<li><h2><a href="#{anchor_of(target)}">{name}</a></h2><p>{text}</p></li>'
        for target, name, text in _STEPS
        if target in known
    )
    return f'<ol class="steps">{steps}</ol>' if steps else ""


def _section(section: Section, reference: Reference) -> str:
    anchor = anchor_of(f"tag {section.tag}")
    operations = "".join(_operation(operation, reference) for operation in section.operations)
    return (
        f'<section class="tag" aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(section.tag)}</h2>'
        f"{prose(section.description)}{operations}</section>\n"
    )


def _operation(operation: Operation, reference: Reference) -> str:
    anchor = anchor_of(operation.id)
    body = (
        f"<h4>Request body</h4>{_members(operation.body, unfolded=True)}"
        if operation.body and operation.body.members
        else ""
    )
    answers = "".join(_answer(answer) for answer in operation.answers)
    path = escape(operation.path).replace("/", "<wbr>/")
    return f"""<article class="operation" id="{anchor}" aria-labelledby="{anchor}-title">
<div class="told">
<h3 id="{anchor}-title"><a href="#{anchor}">{escape(operation.summary)}</a></h3>
<p class="call"><span class="method" data-method="{escape(operation.method)}">{escape(operation.method)}</span>
<code>{path}</code></p>
{prose(operation.description)}<p class="scope">{_key(operation)}</p>
{_parameters(operation.parameters)}{body}
<h4>Responses</h4>
<ul class="responses">{answers}</ul>
</div>
<div class="shown">{_examples(operation, reference)}</div>
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
        f'<tr><th scope="row"><code>{escape(parameter.member.name)}</code> '
        f'<span class="kind">{escape(parameter.place)}</span></th>'
        f"<td>{_claims(parameter.member)}{_meaning(parameter.member.shape)}</td></tr>"
        for parameter in parameters
    )
    if not rows:
        return ""
    head = '<thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>'
    return f"<h4>Parameters</h4><table>{head}<tbody>{rows}</tbody></table>"


def _members(shape: Shape, *, answered: bool = False, unfolded: bool = False) -> str:
    """An object's members. In an answer a member is told to be optional or null, in a request to be required."""
    entries = "".join(
        f'<li><p class="member"><code>{escape(member.name)}</code> {_claims(member, answered=answered)}</p>'
        f"{_meaning(member.shape)}{_folded(member, answered=answered, unfolded=unfolded and member.required)}</li>"
        for member in shape.members
    )
    return f'<ul class="members">{entries}</ul>'


def _folded(member: Member, *, answered: bool, unfolded: bool) -> str:
    if not member.shape.members:
        return ""
    summary = f"<summary>Members of <code>{escape(member.name)}</code></summary>"
    return f"<details{' open' if unfolded else ''}>{summary}{_members(member.shape, answered=answered)}</details>"


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
        prose(shape.meaning)
        + (f'<p class="values">{values}</p>' if values else "")
        + (f'<p class="rules">{rules}</p>' if rules else "")
    )


def _answer(answer: Answer) -> str:
    status = f'<span class="status">{escape(answer.status)}</span>'
    told = f"<span>{inline(answer.meaning)}</span>"
    if answer.is_problem:
        label = f"Problems with status {escape(answer.status)}"
        link = f'<a href="/problems#status-{quote(answer.status)}" aria-label="{label}">problems</a>'
        return f"<li>{status} {told} {link}</li>"
    if answer.shape and answer.shape.members:
        return (
            f'<li class="good"><details><summary>{status} {told}</summary>'
            f"{_members(answer.shape, answered=True)}</details></li>"
        )
    return f'<li class="good">{status} {told}</li>'


def _problem_entry(page: ProblemPage) -> str:
    return (
        f'<div><dt><a href="/problems/{quote(page.code)}">{escape(page.title)}</a> '
        f"<code>{escape(page.code)}</code></dt>"
        f"<dd>{prose(page.meaning)}</dd></div>"
    )


def _problem_answer(page: ProblemPage) -> str:
    mistake = _MISTAKES.get(page.code)
    body = ProblemBody(
        type=f"/problems/{page.code}",
        title=page.title,
        status=page.status,
        detail=_DETAILS.get(page.code, page.title),
        instance="/v1/challenges",
        code=page.code,
        request_id="req_…",
        errors=(mistake,) if mistake else (),
    )
    headers = (
        f"Content-Type: application/problem+json\n{_HEADERS_OF.get(page.code, _HEADERS.get(page.status, ''))}"
    )
    return escape(f"HTTP/1.1 {page.status}\n{headers}\n") + highlighted(json_text(msgspec.to_builtins(body)))


def _examples(operation: Operation, reference: Reference) -> str:
    shown = [example("Request", highlighted(curl(operation, reference.schemas)))]
    for answer in operation.answers:
        if answer.schema is None or answer.is_problem:
            continue
        sample = sample_of(answer.schema, reference.schemas)
        if isinstance(sample, dict) and sample:
            shown.append(_sample(answer.status, json_text(sample), unfolded=operation.id in _MAIN))
    return "".join(shown)


def _sample(status: str, sample: str, *, unfolded: bool) -> str:
    name = f"Answer {status}"
    shown = example(name, highlighted(sample))
    if unfolded or sample.count("\n") < _SHORT:
        return shown
    return f"<details><summary>Show answer {status}</summary>{shown}</details>"
