"""One challenge's story as a page: what the payer was shown, what happened, and the proof of each event. Pure.

The page holds the exact bytes of every leaf and proof, so that `static/verify.js` can check them in the browser, and a
reader without it can copy them out.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sca_service.audit.private.commitments import Disclosure
from sca_service.challenges.evidence import Unopened
from sca_service.console.log import Published
from sca_service.console.markup import Reader, exact, frame, identifier, moment, number
from sca_service.console.postgres_store import LogKey
from sca_service.console.story import PERSONAL, Step, Story, Tone, in_words

TOLD_ABOVE = frozenset(
    {
        *(
            "Actor",
            "Elements",
            "Strong authentication",
            "Channels",
            "Purpose",
        ),  # by the page and below the title
        *("Outcome", "Status", "Channel"),  # by the title
    }
)
"""Facts that an event's list leaves out. `static/told.js` has the same."""

_UNOPENED_ABOVE = {
    Unopened.ERASED: "<b>This payer was erased.</b> The key to what was personal is destroyed, and nobody can read it "
    "any more. The commitments stand in the log, and every proof still holds.",
    Unopened.MISSING: "<b>The text is missing.</b> Nothing on record says that it was taken away rightly. The "
    "commitment to it stands in the log.",
    Unopened.ALTERED: "<b>The text cannot be opened.</b> What is stored of it was altered, or the key to it is gone. "
    "The commitment to it stands in the log.",
}
_UNOPENED = {
    Unopened.ERASED: "erased",
    Unopened.MISSING: "missing, and nothing on record says why",
    Unopened.ALTERED: "they do not open: altered, or sealed under a key that is gone",
}


def story_page(story: Story, *, checkpoint: Published | None, keys: Sequence[LogKey], reader: Reader) -> str:
    """The story as a page."""
    members = story.first.members
    purpose = in_words(members.get("purpose", "challenge")) if story.payment else "challenge"
    main = f"""<nav class="trail" aria-label="Where this is"><a href="/desk/events">Events</a></nav>
<header class="lead story-head">
<p class="eyebrow">{escape(purpose.capitalize())}</p>
<h1>{_headline(story)}</h1>
<p class="under">{identifier(story.challenge, copied=True)}</p>
</header>
<div class="story-top">
{_shown(story)}
{_verdict(story, checkpoint)}
</div>
{_parties(story)}
<section aria-labelledby="line"><h2 id="line">What happened</h2>
<ol class="line">{"".join(_step(step, at, story.first) for at, step in enumerate(story.steps))}</ol></section>
{_sources(checkpoint, keys)}
<script type="module" src="/desk/static/verify.js"></script>"""
    return frame(title="A challenge’s story", main=main, here="", reader=reader, kind="story")


def _headline(story: Story) -> str:
    payment = story.payment
    ending = story.ending
    ended = "pending" if ending is None else _ended(ending)
    tone = Tone.PLAIN if ending is None else ending.tone
    if ending is not None and ending.proof is None:
        ended, tone = f"{ended}, not proven yet", Tone.PLAIN
    if payment is None:
        subject = in_words(story.first.members.get("purpose", "Challenge")).capitalize()
    else:
        amount = payment.get("amount") or {}
        payee = payment.get("payee") or {}
        subject = f"{amount.get('currency', '')} {amount.get('amount', '')} to {payee.get('name', '')}"
    return f'{escape(subject.strip())} <span class="badge {tone}">{escape(ended)}</span>'


def _ended(ending: Step) -> str:
    outcome = ending.members.get("outcome")
    if outcome:
        return "approved" if outcome == "approved" else "rejected"
    return in_words(str(ending.members["type"]).rpartition(".")[2])


def _shown(story: Story) -> str:
    first = story.first
    shown = first.disclosed("message_shown")
    if shown is not None:
        return (
            '<section class="shown" aria-labelledby="shown"><h2 id="shown">What the payer was shown</h2>'
            f'<blockquote><p data-shows="message_shown">{exact(shown)}</p></blockquote></section>'
        )
    if first.unopened:
        return (
            '<section class="shown unopened" aria-labelledby="shown"><h2 id="shown">What the payer was shown</h2>'
            f"<p>{_UNOPENED_ABOVE[first.unopened]}</p></section>"
        )
    return (
        '<section class="shown" aria-labelledby="shown"><h2 id="shown">What the payer was shown</h2>'
        '<p class="quiet">The log holds no text for this challenge.</p></section>'
    )


def _verdict(story: Story, checkpoint: Published | None) -> str:
    proven = sum(1 for step in story.steps if step.proof)
    size = number(checkpoint.size) if checkpoint else "–"
    return f"""<section class="verdict" id="verdict" aria-labelledby="verdict-title">
<h2 id="verdict-title">Proof</h2>
<p id="verdict-said" role="status">{proven} of {len(story.steps)} events have an inclusion proof in the checkpoint of
size {size}.</p>
<p class="quiet" id="verdict-how">Nothing was recomputed on this page: that needs JavaScript. Without it, fetch the
evidence file and check it anywhere: <code>sca audit check-evidence FILE</code></p>
<p class="quiet">Not proven here: that no event of this challenge was left out. Your own mirror of the log tells
that: <code>sca audit check-evidence FILE --log COPY</code></p>
<p class="fetch"><a class="button" href="/desk/challenges/{escape(story.challenge)}/evidence">Evidence to print</a>
<a href="/desk/challenges/{escape(story.challenge)}/evidence?format=json" download>Evidence file</a></p></section>"""


def _parties(story: Story) -> str:
    members = story.first.members
    facts = (
        ("Client", escape(members.get("client") or "–")),
        ("Payer", identifier(members.get("psu"), copied=True)),
        ("Began", moment(story.first.at_ms)),
        ("Elements", escape(_words(members.get("elements")))),
        ("Strong authentication", "yes" if members.get("sca") else "no"),
        ("Channels", escape(_words(members.get("channels")))),
    )
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="facts grid parties">{rows}</dl>'


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(in_words(one) for one in value) or "–"
    return in_words(value) if value else "–"


def _step(step: Step, at: int, first: Step) -> str:
    place = '<span class="quiet">not in the log yet</span>' if step.index is None else f"index {step.index}"
    return f"""<li class="step {step.tone}" id="step-{at}" data-event="{escape(step.id)}">
<div class="when">{moment(step.at_ms)}<span class="place">{place}</span></div>
<article aria-labelledby="title-{at}">
<div class="step-head"><h3 id="title-{at}">{escape(step.title)}</h3>{_mark(step)}</div>
<p class="by"><code>{escape(str(step.members["type"]))}</code> by {escape(str(step.members.get("actor", "–")))}</p>
{_facts(step, first)}
<div class="attached">{_personal(step)}{_leaf(step)}{_proof(step)}</div>
</article></li>"""


def _mark(step: Step) -> str:
    if step.proof is None:
        return '<span class="mark-of-proof waiting">waiting for a checkpoint</span>'
    return '<span class="mark-of-proof" data-mark>proof attached</span>'


def _facts(step: Step, first: Step) -> str:
    """What the event says beside its title, and what the first event did not say for all of them."""
    shared = () if step is first else first.facts
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{_value(value)}</dd></div>"
        for name, value in step.facts
        if name not in TOLD_ABOVE and (name, value) not in shared
    )
    return f'<dl class="facts told">{rows}</dl>' if rows else ""


def _value(value: str) -> str:
    if value.startswith(("sha256:", "req_", "dlv_", "evt_")) or (len(value) == 32 and " " not in value):
        return identifier(value)
    return exact(value)


def _personal(step: Step) -> str:
    if step.unopened:
        told = _UNOPENED[step.unopened]
        return f'<p class="unopened-note">Personal values: {told}. The leaf keeps their commitments.</p>'
    if not step.disclosures and not step.closed:
        return ""
    closed = ", ".join(PERSONAL.get(name, name) for name in step.closed)
    kept = f'<p class="quiet">Kept closed from auditors: {escape(closed)}.</p>' if closed else ""
    rows = "".join(_disclosure(one, step.members.get("commitments") or {}) for one in step.disclosures)
    return (
        '<details class="personal"><summary>Personal values opened for you</summary>'
        f'<dl class="facts told">{rows}</dl>{kept}</details>'
    )


def _disclosure(one: Disclosure, commitments: Mapping[str, str]) -> str:
    told = PERSONAL.get(one.name, one.name)
    return (
        f"<div><dt>{escape(told)}</dt>"
        f'<dd><span class="opened" data-disclosed="{escape(one.name)}" data-salt="{one.salt.hex()}">'
        f'{exact(one.value)}</span><span class="commitment" data-committed>commitment '
        f"{identifier(commitments.get(one.name))}</span></dd></div>"
    )


def _leaf(step: Step) -> str:
    return (
        '<details class="source"><summary>Leaf, the exact bytes</summary>'
        f'<pre tabindex="0" role="group" aria-label="Leaf" data-leaf data-copy>{exact(step.leaf)}</pre></details>'
    )


def _proof(step: Step) -> str:
    if step.proof is None:
        return ""
    return (
        '<details class="source"><summary>Inclusion proof</summary>'
        f'<pre tabindex="0" role="group" aria-label="Inclusion proof" data-proof data-copy>{exact(step.proof)}</pre>'
        '<p class="reached" data-reached></p></details>'
    )


def _sources(checkpoint: Published | None, keys: Sequence[LogKey]) -> str:
    if checkpoint is None:
        return ""
    named = "".join(
        f'<li><code class="hash" data-verifier-key data-copy>{escape(key.verifier_key)}</code></li>'
        for key in keys
    )
    return f"""<section class="sources" aria-labelledby="sources"><h2 id="sources">What the proofs lead to</h2>
<p class="quiet">Compare the checkpoint and the keys with those that you keep yourself.</p>
<pre id="checkpoint" tabindex="0" role="group" aria-label="Checkpoint" data-copy>{exact(checkpoint.note)}</pre>
<h3>Verifier keys</h3><ul class="keys">{named}</ul></section>"""
