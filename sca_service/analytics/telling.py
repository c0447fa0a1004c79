"""How each event of the log changes a story. Pure: a table of events, and a function for each.

Events come in the order of the log, which is nearly that in which things happened; what is told early is kept, and its
key put right when the event comes that knows it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from sca_service.analytics.model import Figure
from sca_service.analytics.stories import ALERT, AlertStory, ChallengeStory, Story, TryStory
from sca_service.delivery.model import DeliveryStatus

Members = Mapping[str, Any]

_ANSWERS = ("approved", "incorrect", "transaction_mismatch")
"""Outcomes of an answer to a challenge that was open. Any other outcome tells how it had ended before."""


def owner_of(members: Members) -> str | None:
    """The challenge or the alert that an event changes the story of; None for an event that counts for nothing."""
    if members["type"] not in _TOLD:
        return None
    owner: str | None = members.get("alert") or members.get("challenge")
    return owner


def told(story: Story, members: Members) -> Story:
    """The story after an event of it."""
    return _TOLD[members["type"]](story, members)


def _issued(story: Story, members: Members) -> Story:
    was_issued = members["type"] == "challenge.issued"
    known = replace(
        _challenge(story, members),
        began_at=members["at_ms"],
        purpose=members.get("purpose", ""),
        method=members.get("method", ""),
        was_issued=was_issued,
    )
    return replace(story, challenge=known if was_issued else _ended(known, Figure.REFUSED))


def _answered(story: Story, members: Members) -> Story:
    outcome, at_ms = members.get("outcome", ""), members["at_ms"]
    challenge = _challenge(story, members)
    if challenge.status or outcome not in (*_ANSWERS, "expired", "blocked"):
        return replace(story, challenge=challenge)
    if outcome not in _ANSWERS:
        return replace(story, challenge=_ended(challenge, Figure(outcome)))
    challenge = replace(challenge, answered=True)
    is_right = outcome == "approved"
    if is_right:
        challenge = _ended(replace(challenge, approved_at=at_ms), Figure.APPROVED)
    elif outcome == "transaction_mismatch":
        challenge = _ended(challenge, Figure.REJECTED)
    elif members.get("attempts_left") == 0:
        challenge = _ended(challenge, Figure.BLOCKED)
    return replace(story, challenge=challenge, tries=_credited(story.tries, at_ms if is_right else 0))


def _declined(story: Story, members: Members) -> Story:
    at = _newest_of(story, members.get("delivery", ""))
    if at is not None:
        story = _with_try(story, at, replace(story.tries[at], answered=True))
    return _over(story, members)


def _over(story: Story, members: Members) -> Story:
    status = Figure(members["type"].partition(".")[2])
    return replace(story, challenge=_ended(_challenge(story, members), status))


def _credited(tries: tuple[TryStory, ...], converted_at: int) -> tuple[TryStory, ...]:
    """An answer is owed to the newest try that was taken and of which nothing bad was heard, as routing has it too."""
    for wanted in (lambda one: one.was_taken, lambda _: True):
        for at in reversed(range(len(tries))):
            one = tries[at]
            if wanted(one) and not one.has_failed and not one.taken_back:
                credited = replace(one, answered=True, converted_at=converted_at or one.converted_at)
                return (*tries[:at], credited, *tries[at + 1 :])
    return tries


def _attempted(story: Story, members: Members) -> Story:
    """A try begins. One that was heard of before, out of turn, keeps what was heard; one taken back begins anew."""
    delivery, number = members["delivery"], members["try"]
    at = next(
        (at for at, one in enumerate(story.tries) if one.delivery == delivery and one.number in (number, 0)),
        None,
    )
    known = story.tries[at] if at is not None else None
    if known is None or known.taken_back:
        known = _try(members, number)
    begun = replace(
        known,
        number=number,
        began_at=members["at_ms"],
        purpose=_purpose(members),
        channel=members["channel"],
        country=members.get("country", ""),
        network=members.get("network", ""),
        supplier=members.get("supplier", ""),
        sender=members.get("sender", ""),
        price=members.get("price", ""),
    )
    return _with_try(story, at, begun)


def _settled(story: Story, members: Members) -> Story:
    return _heard(story, members, DeliveryStatus(members["status"]))


def _retried(story: Story, members: Members) -> Story:
    return _heard(story, members, DeliveryStatus.FAILED)


def _postponed(story: Story, members: Members) -> Story:
    """The attempt could not be put on record in time, so nothing was sent."""
    delivery, number = members["delivery"], members["try"]
    for at, one in enumerate(story.tries):
        if one.delivery == delivery and one.number == number:
            return _with_try(story, at, replace(one, taken_back=True))
    return _with_try(story, None, replace(_try(members, number), taken_back=True))


def _heard(story: Story, members: Members, status: DeliveryStatus) -> Story:
    """What was heard of a delivery, of its newest try; one that no supplier was found for was never tried."""
    at = _newest_of(story, members["delivery"])
    known = story.tries[at] if at is not None else _try(members, 0)
    at_ms, reason = members["at_ms"], members.get("reason", "")
    if status is DeliveryStatus.SENT:
        first = DeliveryStatus.SENT if known.status is DeliveryStatus.QUEUED else known.status
        heard = replace(known, status=first, sent_at=at_ms)
    else:
        heard = replace(known, status=status, reason=reason, final_at=at_ms)
    return _with_try(story, at, heard)


def _alert_queued(story: Story, members: Members) -> Story:
    send_at = members.get("send_at_ms", 0)
    known = replace(_alert(story, members), began_at=members["at_ms"], was_queued=True, send_at=send_at)
    return replace(story, alert=known)


def _alert_sent(story: Story, members: Members) -> Story:
    story = replace(story, alert=replace(_alert(story, members), was_sent=True))
    return _heard(story, members, DeliveryStatus.SENT)


def _alert_delivered(story: Story, members: Members) -> Story:
    known = _alert(story, members)
    arrived_at = known.delivered_at or members["at_ms"]
    arrived = replace(known, was_sent=True, status=Figure.DELIVERED, delivered_at=arrived_at)
    return _heard(replace(story, alert=arrived), members, DeliveryStatus.DELIVERED)


def _alert_stepped(story: Story, members: Members) -> Story:
    return _heard(story, members, _failure(members))


def _alert_failed(story: Story, members: Members) -> Story:
    story = replace(story, alert=replace(_alert(story, members), status=Figure.FAILED))
    return _heard(story, members, _failure(members)) if "delivery" in members else story


def _alert_suppressed(story: Story, members: Members) -> Story:
    return replace(story, alert=replace(_alert(story, members), status=Figure.SUPPRESSED))


def _alert_clicked(story: Story, members: Members) -> Story:
    """A link is followed in what arrived; which message that was is known only where there was one."""
    story = replace(story, alert=replace(_alert(story, members), clicked=True))
    for at in reversed(range(len(story.tries))):
        if story.tries[at].was_taken:
            return _with_try(story, at, replace(story.tries[at], clicked=True))
    return story


def _failure(members: Members) -> DeliveryStatus:
    """How a delivery of an alert failed: where the supplier gave no reason, the event's reason is the status."""
    reason = members.get("reason", "")
    found = (DeliveryStatus.UNDELIVERED, DeliveryStatus.NO_ANSWER, DeliveryStatus.EXPIRED)
    return next((one for one in found if one == reason), DeliveryStatus.FAILED)


def _challenge(story: Story, members: Members) -> ChallengeStory:
    return story.challenge or ChallengeStory(members.get("client", ""), members["at_ms"])


def _alert(story: Story, members: Members) -> AlertStory:
    known = story.alert or AlertStory(members.get("client", ""), members["at_ms"])
    return replace(known, kind=members.get("topic") or known.kind or members.get("kind", ""))


def _ended(challenge: ChallengeStory, status: Figure) -> ChallengeStory:
    """The first end counts; nothing ends twice."""
    return challenge if challenge.status else replace(challenge, status=status)


def _try(members: Members, number: int) -> TryStory:
    return TryStory(
        members["delivery"],
        number,
        members.get("client", ""),
        members["at_ms"],
        purpose=_purpose(members),
        channel=members["channel"],
        country=members.get("country", ""),
        supplier=members.get("supplier", ""),
    )


def _purpose(members: Members) -> str:
    purpose: str = ALERT if "alert" in members else members.get("purpose", "")
    return purpose


def _newest_of(story: Story, delivery: str) -> int | None:
    found = [at for at, one in enumerate(story.tries) if one.delivery == delivery and not one.taken_back]
    return found[-1] if found else None


def _with_try(story: Story, at: int | None, one: TryStory) -> Story:
    """The story with a try in the place of another, or behind all."""
    tries = story.tries
    return replace(story, tries=(*tries, one) if at is None else (*tries[:at], one, *tries[at + 1 :]))


_TOLD: Mapping[str, Callable[[Story, Members], Story]] = {
    "challenge.issued": _issued,
    "challenge.refused": _issued,
    "challenge.answered": _answered,
    "challenge.declined": _declined,
    "challenge.expired": _over,
    "challenge.cancelled": _over,
    "challenge.undeliverable": _over,
    "delivery.attempted": _attempted,
    "delivery.settled": _settled,
    "delivery.retried": _retried,
    "delivery.postponed": _postponed,
    "alert.queued": _alert_queued,
    "alert.attempted": _attempted,
    "alert.sent": _alert_sent,
    "alert.retried": _retried,
    "alert.stepped": _alert_stepped,
    "alert.delivered": _alert_delivered,
    "alert.failed": _alert_failed,
    "alert.suppressed": _alert_suppressed,
    "alert.clicked": _alert_clicked,
}
"""Every event that counts for something."""
