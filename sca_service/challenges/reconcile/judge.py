"""What is off with one challenge, by its state and by what is on record about it. Pure.

What normal traffic looks like: one `challenge.issued` or `challenge.refused`; for each try of a delivery one
`delivery.attempted` (given back by `delivery.postponed` when it was not used); one last `delivery.settled`, before it
perhaps `sent` or a failure of which nobody was sure; one event that ends it, and nothing else that would.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sca_service.challenges.model import ChallengeState, Outcome, Status
from sca_service.challenges.reconcile.model import Fault, Finding, Story, ToldEvent
from sca_service.delivery.model import DeliveryState, DeliveryStatus

_ENDED_BY = {
    "challenge.refused": Status.REFUSED,
    "challenge.expired": Status.EXPIRED,
    "challenge.cancelled": Status.CANCELLED,
    "challenge.declined": Status.DECLINED,
    "challenge.undeliverable": Status.UNDELIVERABLE,
}
_ENDED_WITH: Mapping[str, Status] = {
    Outcome.APPROVED: Status.APPROVED,
    Outcome.ALREADY_USED: Status.APPROVED,
    Outcome.TRANSACTION_MISMATCH: Status.REJECTED,
    Outcome.BLOCKED: Status.BLOCKED,
    Outcome.EXPIRED: Status.EXPIRED,
    Outcome.CANCELLED: Status.CANCELLED,
    Outcome.UNDELIVERABLE: Status.UNDELIVERABLE,
    Outcome.REFUSED: Status.REFUSED,
    Outcome.DECLINED: Status.DECLINED,
}
_ONCE = frozenset({"challenge.issued", *_ENDED_BY})
_UNCERTAIN = frozenset({"timeout", "worker_lost"})
"""Failures after which a receipt may still tell that the message arrived (settle.lua)."""
_UNSENT = (DeliveryStatus.QUEUED, DeliveryStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is judged: what is younger than `grace_ms` may still be on its way to the record."""

    now_ms: int
    grace_ms: int

    def is_over(self, at_ms: int) -> bool:
        """Whether this was long enough ago."""
        return at_ms <= self.now_ms - self.grace_ms


def is_in_motion(story: Story, moment: Moment) -> bool:
    """Whether something happened to it a moment ago, or should have: its time is over, and nobody may know yet."""
    state = story.state
    times = [state.created_at, state.settled_at, *(event.at_ms for event in story.events)]
    for one in state.deliveries:
        times += [one.queued_at, one.sent_at, one.final_at]
    if state.expires_at <= moment.now_ms:
        times.append(state.expires_at)
    return not moment.is_over(max(times))


def faults_of(story: Story, moment: Moment) -> Iterator[Finding]:
    """Everything that is off with a challenge that is not in motion."""
    about = story.state.id
    for copy in story.copies:
        yield Finding(Fault.DOUBLED, about, f"{copy.type} is on record again as {copy.id}")
    for fault, detail in (
        *_issue(story.events),
        *_ending(story, moment),
        *_acceptance(story),
        *_answers(story),
        *_deliveries(story, moment),
    ):
        yield Finding(fault, about, detail)


def _issue(events: Sequence[ToldEvent]) -> Iterator[tuple[Fault, str]]:
    kinds = Counter(event.type for event in events)
    if not kinds["challenge.issued"] + kinds["challenge.refused"]:
        yield Fault.MISSING, "neither challenge.issued nor challenge.refused is on record"
    if kinds["challenge.issued"] and kinds["challenge.refused"]:
        yield Fault.CONTRADICTED, "it was issued, and refused"
    for kind in sorted(_ONCE):
        if kinds[kind] > 1:
            yield Fault.DOUBLED, f"{kind} is on record {kinds[kind]} times"


def _ending(story: Story, moment: Moment) -> Iterator[tuple[Fault, str]]:
    state = story.state
    told = {status for event in story.events if (status := _status_after(event))}
    if state.status.is_final and state.status not in told:
        yield Fault.MISSING, f"it stands at {state.status}, and no event says how it came to that"
    if not state.status.is_final and moment.is_over(state.expires_at) and not told:
        yield Fault.MISSING, "its time is over, and no event says how it ended"
    for other in sorted(told - {state.status}):
        yield Fault.CONTRADICTED, f"it stands at {state.status}, and an event says {other}"
    used_up = any(event.outcome == Outcome.INCORRECT and not event.attempts_left for event in story.events)
    if (
        used_up
        and state.blocked_until
        and state.status is Status.BLOCKED
        and not any(event.type == "payer.blocked" for event in story.events)
    ):
        yield Fault.MISSING, "its payer was blocked, and payer.blocked is not on record"


def _status_after(event: ToldEvent) -> Status | None:
    """The status that an event leads to or found; None when it leads to none."""
    if event.type != "challenge.answered" or event.revived:
        return _ENDED_BY.get(event.type)
    if event.outcome == Outcome.INCORRECT:
        return None if event.attempts_left else Status.BLOCKED
    return _ENDED_WITH.get(event.outcome)


def _acceptance(story: Story) -> Iterator[tuple[Fault, str]]:
    state, accepted_by = story.state, story.accepted_by
    approvals = [event.id for event in story.events if event.outcome == Outcome.APPROVED]
    if len(approvals) > 1:
        yield Fault.DOUBLED, f"it was approved {len(approvals)} times"
    if approvals and accepted_by is None:
        yield Fault.MISSING, f"it was approved by {approvals[0]}, and has no acceptance"
    if accepted_by is None:
        return
    if accepted_by not in approvals:
        yield Fault.MISSING, f"its acceptance rests on {accepted_by}, which is no approval on record"
    if state.status is not Status.APPROVED:
        yield Fault.CONTRADICTED, f"it has an acceptance, and stands at {state.status}"
    elif state.answer_event != accepted_by:
        yield Fault.CONTRADICTED, f"its acceptance rests on {accepted_by}, its state on another event"


def _answers(story: Story) -> Iterator[tuple[Fault, str]]:
    """A final challenge has as many attempts left as the last answer that spent one says."""
    left = [one.attempts_left for one in story.events if one.attempts_left is not None]
    if not left or not story.state.status.is_final:
        return
    if story.state.attempts_left < min(left):
        yield Fault.MISSING, "an answer that spent an attempt is not on record"
    if story.state.attempts_left > min(left):
        yield Fault.CONTRADICTED, "it has more attempts left than its answers say"


def _deliveries(story: Story, moment: Moment) -> Iterator[tuple[Fault, str]]:
    state = story.state
    told: dict[str, list[ToldEvent]] = {}
    for event in story.events:
        if event.type.startswith("delivery."):
            told.setdefault(event.delivery, []).append(event)
    for delivery in state.deliveries:
        events = told.pop(delivery.id, [])
        for fault, detail in (
            *_tries(state, delivery, events),
            *_settling(state, delivery, events),
            *_outstanding(events, moment),
        ):
            yield fault, f"{delivery.id}: {detail}"
    if state.status.is_final:  # before that PostgreSQL need not know of what the ladder has come to
        for unknown in sorted(told):
            yield Fault.CONTRADICTED, f"{unknown}: events speak of this delivery, and it has none of that id"


def _tries(
    state: ChallengeState, delivery: DeliveryState, events: Sequence[ToldEvent]
) -> Iterator[tuple[Fault, str]]:
    tries = Counter(one.attempt for one in events if one.type == "delivery.attempted")
    tries.subtract(one.attempt for one in events if one.type == "delivery.postponed")
    for number in sorted({*range(1, delivery.tries + 1), *tries}):
        if tries[number] < 1 and number <= delivery.tries:
            yield Fault.MISSING, f"delivery.attempted is not on record for try {number}"
        if tries[number] < 0:
            yield Fault.MISSING, f"try {number} was given back and never taken"
        if tries[number] > 1:
            yield Fault.DOUBLED, f"try {number} was attempted {tries[number]} times"
        if tries[number] > 0 and number > delivery.tries and state.status.is_final:
            yield Fault.CONTRADICTED, f"an event tells of try {number}, of which it knows nothing"


def _settling(
    state: ChallengeState, delivery: DeliveryState, events: Sequence[ToldEvent]
) -> Iterator[tuple[Fault, str]]:
    settled = [one for one in events if one.type == "delivery.settled"]
    sent = [one for one in settled if one.status == DeliveryStatus.SENT]
    ended = [one for one in settled if one.status != DeliveryStatus.SENT]
    unsure = [one for one in ended if one.status == DeliveryStatus.FAILED and one.reason in _UNCERTAIN]
    sure = [one for one in ended if one not in unsure]
    for name, group in (("as sent", sent), ("as failed", unsure), ("for good", sure)):
        if len(group) > 1:
            yield Fault.DOUBLED, f"it was settled {name} {len(group)} times"
    in_force = sure or unsure or sent
    told = in_force[-1].status if in_force else ""
    is_behind = delivery.status in (*_UNSENT, DeliveryStatus.SENT) and not state.status.is_final
    if told == delivery.status or (told and is_behind) or (not told and delivery.status in _UNSENT):
        return
    if not told or (told == DeliveryStatus.SENT and delivery.status is not DeliveryStatus.SKIPPED):
        yield Fault.MISSING, f"it stands at {delivery.status}, and no delivery.settled says so"
    else:
        yield Fault.CONTRADICTED, f"it stands at {delivery.status}, and an event says {told}"


def _outstanding(events: Sequence[ToldEvent], moment: Moment) -> Iterator[tuple[Fault, str]]:
    """An attempt has an end: settled, tried again, or given back."""
    kinds = Counter(one.type for one in events)
    if kinds["delivery.settled"] or not kinds["delivery.attempted"]:
        return
    if kinds["delivery.attempted"] <= kinds["delivery.retried"] + kinds["delivery.postponed"]:
        return
    if moment.is_over(max(one.at_ms for one in events)):
        yield Fault.UNSETTLED, "it was attempted, and nothing says what became of it"
