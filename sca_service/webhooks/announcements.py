"""Which events of the log are told to endpoints, under which type, and what is said of them. Pure.

A payload is thin: ids, statuses, reasons and times. Who wants more asks the API with its key. No code, number, payee,
payer or pseudonym stands in one: what may is listed here, name by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sca_service.audit.following.model import LoggedEvent
from sca_service.kernel.clock import timestamp

TYPES: Mapping[str, tuple[str, ...]] = {
    "challenge.issued": ("challenges",),
    "challenge.refused": ("challenges",),
    "challenge.approved": ("challenges",),
    "challenge.declined": ("challenges",),
    "challenge.rejected": ("challenges",),
    "challenge.blocked": ("challenges",),
    "challenge.expired": ("challenges",),
    "challenge.cancelled": ("challenges",),
    "challenge.undeliverable": ("challenges",),
    "delivery.sent": ("challenges",),
    "delivery.delivered": ("challenges",),
    "delivery.answered": ("challenges",),
    "delivery.failed": ("challenges",),
    "payer.blocked": ("challenges",),
    "payer.unblocked": ("challenges", "admin"),
    "payer.not_me": ("challenges", "alerts"),
    "alert.queued": ("alerts",),
    "alert.sent": ("alerts",),
    "alert.delivered": ("alerts",),
    "alert.failed": ("alerts",),
    "alert.suppressed": ("alerts",),
    "alert.clicked": ("alerts",),
    "block.set": ("admin",),
    "block.lifted": ("admin",),
    "checkpoint.published": ("audit",),
}
"""Every type that an endpoint may ask for, and the scopes of which its client needs one."""

TEST = "webhook.test"
CHECKPOINT = "checkpoint.published"

_TOLD = (
    *("challenge", "delivery", "alert", "block", "purpose", "method", "channel", "reason", "supplier"),
    *("scope", "expires_at_ms", "until_ms", "attempts_left"),
)
"""The members of an event that a payload may have, besides the event's id and a status."""

_AS_IT_IS = {
    "challenge.issued": ("challenge.issued", "pending"),
    "challenge.refused": ("challenge.refused", "refused"),
    "challenge.declined": ("challenge.declined", "declined"),
    "challenge.expired": ("challenge.expired", "expired"),
    "challenge.cancelled": ("challenge.cancelled", "cancelled"),
    "challenge.undeliverable": ("challenge.undeliverable", "undeliverable"),
    "payer.blocked": ("payer.blocked", "blocked"),
    "payer.unblocked": ("payer.unblocked", "unblocked"),
    "payer.not_me": ("payer.not_me", "not_me"),
    "alert.queued": ("alert.queued", "queued"),
    "alert.sent": ("alert.sent", "sent"),
    "alert.delivered": ("alert.delivered", "delivered"),
    "alert.failed": ("alert.failed", "failed"),
    "alert.suppressed": ("alert.suppressed", "suppressed"),
    "alert.clicked": ("alert.clicked", "clicked"),
    "pumping.blocked": ("block.set", "set"),
    "pumping.lifted": ("block.lifted", "lifted"),
}
"""Events by their type: what they are told as, and the status they lead to."""

_BY_OUTCOME = {
    "approved": ("challenge.approved", "approved"),
    "transaction_mismatch": ("challenge.rejected", "rejected"),
    "blocked": ("challenge.blocked", "blocked"),
    "expired": ("challenge.expired", "expired"),
}
"""Answers that end a challenge. A later answer comes to the same outcome: each is told once."""

_BY_STATUS = {"sent": "delivery.sent", "delivered": "delivery.delivered", "answered": "delivery.answered"}
_WITHOUT_REASON = frozenset({"payer.unblocked", "pumping.lifted"})
"""Their reason is what an operator wrote."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Announcement:
    """What one event is told as, to the endpoints of `client`, or where that is None of every client with the scope.

    Messages about one `subject` come to an endpoint in their order. `once` names what an endpoint is told once only.
    """

    type: str
    client: str | None
    subject: str
    at_ms: int
    body: str
    once: str | None = None

    def is_for(self, client: str, scopes: Sequence[str], types: Sequence[str]) -> bool:
        """Whether an endpoint of a client hears of it; without `types`, of all that its scopes allow."""
        if self.client is not None and self.client != client:
            return False
        return allows(scopes, self.type) and (not types or any(matches(one, self.type) for one in types))


def allows(scopes: Sequence[str], kind: str) -> bool:
    """Whether a client with these scopes may hear of a type."""
    return any(scope in scopes for scope in TYPES.get(kind, ()))


def matches(wanted: str, kind: str) -> bool:
    """Whether a type is wanted: by its name, or by its family (`challenge.*`)."""
    return wanted == kind or (wanted.endswith(".*") and kind.startswith(wanted[:-1]))


def is_known(wanted: str, scopes: Sequence[str]) -> bool:
    """Whether a filter names something that a client with these scopes could hear of."""
    return any(matches(wanted, kind) and allows(scopes, kind) for kind in TYPES)


def announcement_of(event: LoggedEvent) -> Announcement | None:
    """What an event is told as; None for the many that are not."""
    told = _told_as(event)
    if told is None:
        return None
    kind, status = told
    members = event.members
    said: dict[str, object] = {"event": event.head.id, "index": event.index}
    for name in _TOLD:
        value = members.get(name)
        if value is None or (name == "reason" and event.head.type in _WITHOUT_REASON):
            continue
        if name.endswith("_ms"):
            said[name.removesuffix("_ms")] = timestamp(value)
        else:
            said[name] = value
    said["status"] = status
    subject = str(members.get("challenge") or members.get("alert") or members.get("block") or event.head.id)
    return Announcement(
        type=kind,
        client=None if kind.startswith("block.") else event.head.client,
        subject=subject,
        at_ms=event.head.at_ms,
        body=payload(kind, event.head.at_ms, said),
        once=f"{subject} {kind}" if kind.startswith("challenge.") else None,
    )


def payload(kind: str, at_ms: int, said: Mapping[str, object]) -> str:
    """The body of a message: `{"type", "timestamp", "data"}`, as Standard Webhooks has it."""
    return _encode({"type": kind, "timestamp": timestamp(at_ms), "data": said}).decode()


def _told_as(event: LoggedEvent) -> tuple[str, str] | None:
    members: Mapping[str, Any] = event.members
    match event.head.type:
        case "challenge.answered":
            outcome = members.get("outcome")
            if outcome == "incorrect" and members.get("attempts_left") == 0:
                return _BY_OUTCOME["blocked"]
            return _BY_OUTCOME.get(str(outcome))
        case "delivery.settled":
            status = str(members.get("status"))
            return _BY_STATUS.get(status, "delivery.failed"), status
        case kind:
            return _AS_IT_IS.get(kind)
