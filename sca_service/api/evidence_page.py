"""Evidence as a page that a judge can read and print: one file with its own style, which holds the whole evidence.

The story is told from the leaves and the values that open their commitments, in plain words; the evidence itself lies
in the page as JSON, for `sca audit check-evidence`.
"""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from sca_service.challenges.evidence import Evidence, MadeEvidence, Unopened, members_of
from sca_service.kernel.clock import timestamp

_STYLE = """
:root { color-scheme: light; --ink: #17212b; --soft: #52606d; --line: #cfd8dd; --accent: #0b5f68; --wash: #f4f7f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 3rem 1.5rem 4rem; color: var(--ink); background: #fff;
  font: 1rem/1.55 Georgia, "Times New Roman", serif; }
h1, h2, th, dt, .kind, footer { font-family: system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.015em; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .75rem; padding-bottom: .35rem; border-bottom: 2px solid var(--accent); }
p { margin: .5rem 0; }
.id, code, pre { font: .82rem/1.5 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.id, .soft { color: var(--soft); }
blockquote { margin: .75rem 0; padding: .9rem 1.25rem; border-left: 4px solid var(--accent); background: var(--wash);
  font-size: 1.25rem; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .3rem 1.5rem; margin: .75rem 0; }
dt { color: var(--soft); font-size: .85rem; padding-top: .12rem; }
dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; margin: .75rem 0; font-size: .95rem; }
th { text-align: left; font-size: .78rem; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
th, td { padding: .45rem .9rem .45rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
td.time { white-space: nowrap; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; background: var(--wash); padding: .75rem 1rem; margin: .5rem 0; }
details { margin: .35rem 0; }
summary { cursor: pointer; }
footer { margin-top: 3rem; font-size: .82rem; color: var(--soft); }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print {
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  h2, blockquote, tr { break-inside: avoid; } h2 { break-after: avoid; } details > * { display: block; }
}
"""

EVIDENCE_PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
        + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        + "'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)

_SAID = {
    "challenge.issued": "The bank asked the payer to authenticate.",
    "challenge.refused": "The challenge was refused; nothing was sent.",
    "challenge.stepped": "The next channel was taken.",
    "challenge.expired": "The time to answer was over.",
    "challenge.cancelled": "The challenge was cancelled.",
    "challenge.declined": "The payer said no.",
    "challenge.undeliverable": "No channel was left.",
    "delivery.attempted": "A message was given to a supplier.",
    "delivery.retried": "The supplier did not take the message; it is tried again.",
    "delivery.postponed": "The message was not sent yet, since the attempt could not be put on record.",
    "payer.blocked": "The payer was blocked after too many wrong answers in a row.",
}
_ANSWERED = {
    "approved": "The answer was right: the payer authenticated.",
    "incorrect": "The answer was wrong.",
    "transaction_mismatch": "The transaction was not the one that the payer was shown: the challenge is void.",
    "already_used": "A right answer had been accepted before: this one was not.",
}
_SETTLED = {
    "sent": "The supplier took the message.",
    "delivered": "The message arrived.",
    "undelivered": "The message did not arrive.",
    "failed": "The message could not be sent.",
    "answered": "The call was answered.",
    "no_answer": "The call was not answered.",
    "expired": "The message was too old to be sent on.",
    "skipped": "The message was taken back before it was sent.",
}
_DETAILS = ("outcome", "reason", "channel", "supplier", "status", "try", "attempts_left", "purpose", "method")


_UNOPENED = {
    Unopened.ERASED: "The payer's personal values were erased. The commitments to them stay in the leaves.",
    Unopened.MISSING: "The values that this challenge committed to are missing, and no erasure of this payer is on "
    "record that would say why. The commitments to them stay in the leaves.",
    Unopened.ALTERED: "The values that this challenge committed to do not open: what is stored of them was altered, or "
    "the key to it is gone. The leaves and their proofs are what they were.",
}


def evidence_page(made: MadeEvidence) -> str:
    """The page. All but why values are not there comes from the evidence, escaped where it becomes markup."""
    evidence = made.evidence
    events = [(event, members_of(event)) for event in evidence.events]
    opened = {one.name: one.value for event in evidence.events for one in event.disclosures}
    first = events[0][1]
    rows = "".join(_row(event.index, members) for event, members in events)
    content = msgspec.json.encode(evidence).decode().replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evidence of {escape(evidence.challenge)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Evidence of an authentication</h1>
<p class="id">{escape(evidence.challenge)}</p>
<h2>What the payer was shown</h2>
{_shown(opened, made.unopened)}
{_parties(first, opened)}
<h2>What happened</h2>
<table>
<thead><tr><th scope="col">Time (UTC)</th><th scope="col">Event</th><th scope="col">Details</th>
<th scope="col">Leaf</th></tr></thead>
<tbody>{rows}</tbody>
</table>
{_proof(evidence)}
</main>
<footer>Made {escape(evidence.made_at)}. Times are UTC, by the clock of the store that took the decisions.</footer>
<script type="application/json" id="evidence">{content}</script>
</body>
</html>
"""


def _proof(evidence: Evidence) -> str:
    leaves = "".join(
        f"<details><summary>Leaf {event.index}: {escape(members_of(event)['type'])}</summary>"
        f"<pre>{escape(event.leaf)}</pre></details>"
        for event in evidence.events
    )
    return f"""<h2>How this is proven</h2>
<p>Each event above is a leaf of an append-only log (RFC 6962). The checkpoint below commits to every leaf and is signed
with the log's key. This file holds each leaf, the proof that leads from it to the checkpoint, and of each value that is
shown the salt that opens its commitment in the leaf. A changed letter anywhere makes the check fail.</p>
<pre>{escape(evidence.checkpoint)}</pre>
<p>To check: <code>sca audit check-evidence FILE --key {escape(evidence.verifier_keys[0])}</code>. Take the key from
where you trust it rather than from this file.</p>
<h2>The leaves</h2>
{leaves}"""


def _shown(opened: Mapping[str, str], unopened: Mapping[int, Unopened]) -> str:
    shown = opened.get("message_shown")
    told = "".join(
        f'<p>{_UNOPENED[reason]} <span class="soft">(Leaf {index})</span></p>'
        for index, reason in unopened.items()
    )
    if shown is not None:
        return f"<blockquote>{escape(shown)}</blockquote>{told}"
    return told or "<p>The log holds no text for this challenge.</p>"


def _parties(first: Mapping[str, Any], opened: Mapping[str, str]) -> str:
    elements = " and ".join(first.get("elements", ()))
    said = {
        "Bank (client)": first.get("client"),
        "Payer": opened.get("psu_id") or f"{first.get('psu')} (pseudonym)",
        "Sent to": opened.get("phone") or opened.get("phone_masked"),
        **_paid(opened.get("transaction", "")),
        "Bank's reference": opened.get("reference"),
        "Purpose": first.get("purpose"),
        "Elements": f"{elements} ({'strong customer authentication' if first.get('sca') else 'one category'})",
        "Policy": first.get("policy"),
    }
    entries = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in said.items() if value
    )
    return f"<dl>{entries}</dl>"


def _paid(transaction: str) -> dict[str, str]:
    """A single payment in its parts; what has several payees as it was committed to."""
    if not transaction:
        return {}
    content = msgspec.json.decode(transaction)
    if not {"amount", "payee"} <= content.keys():
        return {"Transaction": transaction}
    payee = content["payee"]
    return {
        "Amount": f"{content['amount']['amount']} {content['amount']['currency']}",
        "Payee": payee["name"],
        "Account": ", ".join(payee.get("account", {}).values()),
        "Payment's reference": content.get("reference", ""),
    }


def _row(index: int, members: Mapping[str, Any]) -> str:
    kind = members["type"]
    match kind:
        case "challenge.answered":
            said = _ANSWERED.get(members["outcome"], "An answer came, and was not accepted.")
        case "delivery.settled":
            said = _SETTLED.get(members["status"], "")
        case _:
            said = _SAID.get(kind, "")
    details = ", ".join(f"{name} {members[name]}" for name in _DETAILS if name in members)
    return (
        f'<tr><td class="time">{timestamp(members["at_ms"])}</td><td>{escape(said)} '
        f'<span class="id">{escape(kind)}</span></td><td>{escape(details)}</td><td>{index}</td></tr>'
    )
