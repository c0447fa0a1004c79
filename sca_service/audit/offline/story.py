"""What checked evidence says, line by line, for somebody who reads it on a terminal. Pure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sca_service.audit.offline.evidence import Checked, CheckedEvent
from sca_service.audit.offline.findings import printable
from sca_service.audit.offline.signed_answer import SignedAnswer

_TITLES = {
    "challenge.issued": "The challenge was issued",
    "challenge.refused": "The challenge was refused",
    "challenge.answered": "It was answered",
    "challenge.declined": "The payer declined",
    "challenge.cancelled": "It was cancelled",
    "challenge.expired": "It expired",
    "challenge.stepped": "It went on to the next channel",
    "challenge.undeliverable": "It could not be delivered",
    "delivery.attempted": "A message was sent",
    "delivery.settled": "The sending was settled",
    "delivery.postponed": "The sending was postponed",
}
_ELSEWHERE = frozenset({"id", "type", "at_ms", "challenge", "commitments"})
_LAST_MS = 253_402_300_799_999


def story_of(checked: Checked, *, whole: bool | None = None) -> Iterator[str]:
    """The lines: what was checked and by which keys, then each event as its leaf has it.

    `whole` says whether a copy of the log showed that no event was left out; None when none was asked.
    """
    checkpoint = checked.checkpoint
    yield _headline(printable(checked.challenge), whole)
    yield (
        f"{len(checked.events)} events are in the log {printable(checkpoint.origin)} of {checkpoint.size} leaves, "
        f"root {checkpoint.root.hex()}"
    )
    yield f"signed by {', '.join(f'{printable(key.name)}+{key.key_id.hex()}' for key in checked.keys)}."
    if checked.keys_are_its_own:
        yield "WARNING: the signature was checked by the keys in the file itself. Whoever makes up a file can make up"
        yield "its keys. Compare them with keys that you got from elsewhere, and give those with --key."
    if whole is None:
        yield "Events may be missing: each one below is in the log, but the file cannot show that there are no others;"
        yield "only a mirror of the log tells (--log)."
    yield "What a page shows beside its evidence was not checked. This was:"
    for event in checked.events:
        yield ""
        yield from _event(event)


def _headline(challenge: str, whole: bool | None) -> str:
    match whole:
        case None:
            return f"The evidence of {challenge} holds."
        case True:
            return (
                f"The evidence of {challenge} holds, and has every event of it that the copy of the log has."
            )
        case False:
            return f"THE EVIDENCE OF {challenge} WAS NOT SHOWN TO BE WHOLE: the findings say why."


def _event(event: CheckedEvent) -> Iterator[str]:
    members = event.members
    title = _TITLES.get(members["type"], "")
    yield f"{_time(members['at_ms'])}  {title or printable(members['type'])}"
    yield f"  leaf {event.index}, {printable(members['id'])}, {printable(members['type'])}"
    if event.signed:
        yield f"  {_signature(event.signed)} The signature holds, by the key {event.signed.thumbprint}"
    for name, value in event.disclosed.items():
        yield f"  {printable(name)}: {printable(value)}"
    for name in event.closed:
        yield f"  {printable(name)}: not opened here"
    for name, value in members.items():
        if name not in _ELSEWHERE:
            yield f"  {printable(name)}: {printable(_plain(value))}"


def _signature(signed: SignedAnswer) -> str:
    """What follows from a signature that holds; without the transaction it is less."""
    if signed.is_bound:
        return f"The payer's {signed.by} signed it: {signed.decision}."
    if signed.by == "device":
        return f"The payer's device signed it: {signed.decision}, over WHICH TRANSACTION IS NOT SHOWN here."
    return (
        "A passkey signed something, over WHICH CHALLENGE IS NOT SHOWN: the transaction is not opened here."
    )


def _time(at_ms: int) -> str:
    if at_ms > _LAST_MS:
        return "at no time that can be"
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d} UTC"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
