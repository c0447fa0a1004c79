"""A recount of the audit log by other means than the service's: slowly, and from all of it at once.

Events are put together by what they are of; then each try, challenge and alert is looked at as a whole.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sca_service.analytics.sketch import bin_of

Event = Mapping[str, Any]
Recount = Counter[tuple[str, str, int, str, str, int]]
"""Numbers by subject, client, minute, what it is told apart by (as text), figure and bin."""

_ARRIVED = {"delivered", "answered"}
_FAILED = {"failed", "undelivered", "no_answer", "expired"}
_ANSWERS = {"approved", "incorrect", "transaction_mismatch"}


def recount(events: Iterable[Event]) -> Recount:
    """What the whole log comes to, by the minute."""
    owners: dict[str, list[Event]] = {}
    for event in events:
        owner = event.get("alert") or event.get("challenge")
        if owner and event["type"].partition(".")[0] in ("challenge", "delivery", "alert"):
            owners.setdefault(owner, []).append(event)
    numbers: Recount = Counter()
    for of_one in owners.values():
        numbers.update(_challenge(of_one) if "alert" not in of_one[0] else _alert(of_one))
        for one in _tries(of_one):
            numbers.update(one)
    return +numbers


def _minute(at_ms: int) -> int:
    return at_ms - at_ms % 60_000


def _first(events: Sequence[Event], *kinds: str) -> Event | None:
    return next((event for event in events if event["type"] in kinds), None)


def _challenge(events: Sequence[Event]) -> Recount:
    numbers: Recount = Counter()
    issued = _first(events, "challenge.issued", "challenge.refused")
    if issued is None:
        return numbers
    end, answers = _end(events)

    def note(figure: str, index: int = 0) -> None:
        told_apart = f"{issued['purpose']}/{issued['method']}"
        numbers["challenges", issued["client"], _minute(issued["at_ms"]), told_apart, figure, index] += 1

    note("issued" if issued["type"] == "challenge.issued" else "refused")
    if answers:
        note("answered")
    if end and end[0] != "refused":
        note(end[0])
        if end[0] == "approved":
            note("approved_ms", bin_of(end[1]["at_ms"] - issued["at_ms"]))
    return numbers


def _end(events: Sequence[Event]) -> tuple[tuple[str, Event] | None, list[Event]]:
    """How a challenge ended, by which event; and the payer's answers while it was open."""
    answers: list[Event] = []
    for event in events:
        kind, _, word = event["type"].partition(".")
        if kind != "challenge" or word in ("issued", "stepped"):
            continue
        if word != "answered":
            return (word, event), answers
        outcome = event["outcome"]
        if outcome in _ANSWERS:
            answers.append(event)
        if outcome == "approved":
            return ("approved", event), answers
        if outcome == "transaction_mismatch":
            return ("rejected", event), answers
        if outcome == "blocked" or (outcome == "incorrect" and event["attempts_left"] == 0):
            return ("blocked", event), answers
        if outcome == "expired":
            return ("expired", event), answers
    return None, answers


def _alert(events: Sequence[Event]) -> Recount:
    numbers: Recount = Counter()
    kinds = [event["type"].partition(".")[2] for event in events]
    first = events[0]

    def note(figure: str, index: int = 0) -> None:
        told_apart = str(first.get("topic") or first["kind"])
        numbers["alerts", first["client"], _minute(first["at_ms"]), told_apart, figure, index] += 1

    if "queued" in kinds:
        note("queued")
    if {"sent", "delivered"} & set(kinds):
        note("sent")
    if "clicked" in kinds:
        note("clicked")
    ends = [kind for kind in kinds if kind in ("delivered", "failed", "suppressed")]
    if ends:
        note(ends[-1])
    arrived = _first(events, "alert.delivered")
    if arrived:
        began_ms = max(first["at_ms"], first.get("send_at_ms", 0))
        note("delivered_ms", bin_of(arrived["at_ms"] - began_ms))
    return numbers


def _tries(events: Sequence[Event]) -> list[Recount]:
    parts: dict[tuple[str, int], list[tuple[int, Event]]] = {}
    newest: dict[str, int] = {}
    for place, event in enumerate(events):
        delivery, word = event.get("delivery"), event["type"].partition(".")[2]
        if not delivery or word in ("declined", "clicked"):
            continue
        if word == "attempted":
            newest[delivery] = event["try"]
        number = event["try"] if word in ("attempted", "postponed") else newest.get(delivery, 0)
        if word == "postponed":  # as if it had never been attempted
            parts.pop((delivery, number), None)
            newest[delivery] = number - 1
        else:
            parts.setdefault((delivery, number), []).append((place, event))
    owed = _credits(events, parts)
    return [_one_try([event for _, event in part], owed.get(name, {})) for name, part in parts.items()]


def _status(part: Sequence[Event]) -> str:
    status = "queued"
    for event in part:
        word = event["type"].partition(".")[2]
        told = event.get("status") or {
            "retried": "failed",
            "stepped": "failed",
            "failed": "failed",
            "sent": "sent",
            "delivered": "delivered",
        }.get(word)
        if word in ("stepped", "failed") and event.get("reason") in _FAILED:
            told = event["reason"]
        if told and (told != "sent" or status == "queued"):
            status = told
    return status


def _was_sent(part: Sequence[Event]) -> bool:
    says_so = any(event.get("status") == "sent" or event["type"] == "alert.sent" for event in part)
    return says_so or _status(part) in _ARRIVED | {"undelivered", "no_answer", "expired"}


def _credits(
    events: Sequence[Event], parts: Mapping[tuple[str, int], list[tuple[int, Event]]]
) -> dict[tuple[str, int], dict[str, Event]]:
    """Which tries the payer's answers, and clicks, are owed to."""
    owed: dict[tuple[str, int], dict[str, Event]] = {}
    end, answers = _end(events)
    for place, event in enumerate(events):
        heard = {
            name: [told for at, told in part if at < place]
            for name, part in parts.items()
            if part[0][0] < place
        }
        if event["type"] == "alert.clicked":
            sent = [name for name, part in heard.items() if _was_sent(part)]
            if sent:
                owed.setdefault(sent[-1], {})["clicked"] = event
        elif event["type"] == "challenge.declined" and event.get("delivery"):
            named = [name for name in heard if name[0] == event["delivery"]]
            if named:
                owed.setdefault(named[-1], {})["answered"] = event
        elif any(event is answer for answer in answers):
            alive = [name for name, part in heard.items() if _status(part) not in _FAILED]
            taken = [name for name in alive if _was_sent(heard[name])]
            if alive:
                credit = owed.setdefault((taken or alive)[-1], {})
                credit["answered"] = event
                if end and end == ("approved", event):
                    credit["converted"] = event
    return owed


def _one_try(part: Sequence[Event], credit: Mapping[str, Event]) -> Recount:
    numbers: Recount = Counter()
    began = next((event for event in part if event["type"].endswith(".attempted")), part[0])
    purpose = "alert" if "alert" in began else began.get("purpose", "")
    members = ("channel", "country", "network", "supplier", "sender", "price")
    told_apart = "/".join([purpose, *(began.get(name, "") for name in members)])

    def note(figure: str, index: int = 0, by: int = 1) -> None:
        numbers["deliveries", began["client"], _minute(began["at_ms"]), told_apart, figure, index] += by

    def note_duration(figure: str, event: Event) -> None:
        note(figure, bin_of(event["at_ms"] - began["at_ms"]))

    status = _status(part)
    note("attempted")
    if _was_sent(part):
        note("sent")
        if began.get("price"):
            currency, amount = began["price"].split()
            note(f"cost {currency}", by=round(float(amount) * 1_000_000))
    if status in _ARRIVED:
        note("delivered")
        note_duration("delivered_ms", next(e for e in reversed(part) if _status([e]) in _ARRIVED))
    if status in _FAILED:
        note("failed")
    for figure, event in credit.items():
        note(figure)
        if figure == "converted":
            note_duration("converted_ms", event)
    sent = [event for event in part if _status([event]) == "sent"]
    if sent:
        note_duration("sent_ms", sent[-1])
    return numbers
