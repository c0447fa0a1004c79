"""What an alert is, and the pure decisions on it: what to send next, and what became of it.

State of an alert::

    queued ──▶ sent ──▶ delivered
        │        └────▶ failed ──▶ delivered     (a receipt after everybody had given up)
        ├────▶ failed
        └────▶ suppressed                        (nothing was handed to a supplier)

An alert goes over its channels in their order; the next one follows when a delivery comes to nothing. Times are in
milliseconds since the epoch, by PostgreSQL's clock.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from msgspec.structs import replace as changed

from sca_service.alerts.tries import LIMITED_MS, is_limited, is_spent, turned_down, wait_ms
from sca_service.delivery.model import DeliveryState, DeliveryStatus, Settlement
from sca_service.delivery.supplier import FailureReason
from sca_service.policy.model import Channel

SEND_LEASE_MS = 20_000
"""How long a worker may take to send: its deadline, and the time to put down what became of it."""
CLAIM_LEASE_MS = 30_000
"""For how long a worker leases an alert: mostly it need not lease it anew before it sends."""
POSTPONED_MS = 5_000
"""Before a message is taken up again whose only suppliers are being left alone."""

_DELIVERY = re.compile(r"dlv_alt([0-9a-f]{32})[0-9a-f]{2}", re.ASCII)
_UNKNOWN_FATE = (FailureReason.TIMEOUT, FailureReason.WORKER_LOST)
"""It may have been taken all the same: a receipt can still tell."""


class AlertKind(StrEnum):
    """What an alert is for."""

    NOTICE = "notice"
    SECURITY = "security"
    LOW_BALANCE = "low_balance"  # a card's balance fell below its threshold
    UPCOMING_CHARGE = "upcoming_charge"  # a card's balance will not be enough for a charge

    @property
    def heeds_wishes(self) -> bool:
        """Whether a payer's STOP, lacking consent or quiet hours hold it back.

        Not where it warns of a change to the payer's own means of authentication: that is no message one consents or
        objects to (GDPR Art. 21, Directive 2002/58/EC Art. 13), but a measure that protects them (PSD2 Art. 97(3)), and
        a thief who holds the line could silence it.
        """
        return self is not AlertKind.SECURITY


class AlertStatus(StrEnum):
    """Where an alert stands."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPPRESSED = "suppressed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more is sent."""
        return self in (AlertStatus.DELIVERED, AlertStatus.FAILED, AlertStatus.SUPPRESSED)


class Suppression(StrEnum):
    """Why an alert was not sent."""

    DUPLICATE = "duplicate"  # its dedupe key was used before
    OPTED_OUT = "opted_out"  # the number or the payer wants no such alerts
    QUIET_HOURS = "quiet_hours"  # it would have expired before the payer may be disturbed
    EXPIRED = "expired"  # nothing was handed over in time
    RECOVERED = "recovered"  # what it warns of is over: the balance is enough again
    ERASED = "erased"  # the payer was erased


def _keeps_nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class NewLink:
    """Where an alert's link leads: `id` is what stands in it, `url` is sealed for that.

    It leads there for `keeps_ms` after the alert has expired.
    """

    id: str
    url: str = field(repr=False)
    keeps_ms: int


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert to be stored. `dedupe` is the pseudonym of its key; `sealed` is sealed for the record `id`.

    `seal_bare` makes what is kept instead of one whose key was used before. It is sent from `send_at` on, None for at
    once, and may wait for `lifetime_ms` from then. `topic` is what it is about, for consent; `time_zone` is an IANA
    name, "" where the policy's holds.
    """

    id: str
    client: str
    psu: str
    kind: AlertKind
    dedupe: str
    channels: tuple[Channel, ...]
    lifetime_ms: int
    sealed: str = field(repr=False)
    seal_bare: Callable[[], str] = field(default=_keeps_nothing, repr=False)
    topic: str = ""
    time_zone: str = ""
    send_at: int | None = None
    link: NewLink | None = None


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of one alert of many that were ordered."""

    id: str
    status: AlertStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is stored; `due_at` is None while nothing is to be done."""

    id: str
    client: str
    psu: str
    kind: AlertKind
    channels: tuple[Channel, ...]
    status: AlertStatus
    created_at: int
    expires_at: int
    due_at: int | None
    reason: str = ""
    deliveries: tuple[DeliveryState, ...] = ()
    sealed: str = field(default="", repr=False)
    topic: str = ""
    time_zone: str = ""
    send_at: int | None = None

    @property
    def current(self) -> DeliveryState | None:
        """The newest delivery, None before the first."""
        return self.deliveries[-1] if self.deliveries else None

    def channel_due(self, now_ms: int) -> Channel | None:
        """The channel that a message would go over now; None when none would."""
        if self.status.is_final or self.due_at is None or now_ms >= self.expires_at:
            return None
        current = self.current
        if (
            current
            and current.status is DeliveryStatus.QUEUED
            and not is_spent(current, insists=self.insists)
        ):
            return current.channel
        return self.next_channel

    @property
    def insists(self) -> bool:
        """Whether it waits for what passes, rather than be given up: a warning, behind its last channel."""
        return not self.kind.heeds_wishes and len(self.deliveries) >= len(self.channels)

    @property
    def next_channel(self) -> Channel | None:
        """The channel behind the newest delivery's; None behind the last."""
        return self.channels[len(self.deliveries)] if len(self.deliveries) < len(self.channels) else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """How what is due would go out. Without a supplier `reason` says why, and `may_pass` whether that changes soon.

    `told` are the members by which events tell the route and the country.
    """

    channel: Channel
    supplier: str = ""
    route: str = ""
    reason: str = ""
    may_pass: bool = False
    told: Mapping[str, object] = field(default_factory=dict)


Said = tuple[tuple[str, Mapping[str, object]], ...]
"""Events: of each its type, and its members beside those of every alert's event."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an alert becomes, and the events that say so; whether a message is to be sent now."""

    alert: Alert
    events: Said = ()
    sends: bool = False


def delivery_id(alert_id: str, number: int) -> str:
    """The id of an alert's delivery number 1, 2, …: a receipt finds its alert without a look-up."""
    return f"dlv_alt{alert_id.removeprefix('alt_')}{number:02x}"


def alert_of(delivery: str) -> str | None:
    """The alert that a delivery id belongs to, None for one of a challenge and for anything else."""
    found = _DELIVERY.fullmatch(delivery)
    return f"alt_{found[1]}" if found else None


def advance(alert: Alert, attempt: Attempt | None, now_ms: int) -> Change:
    """Send over the channel that is due, step on, or end. Who calls holds the lease."""
    if alert.status.is_final or alert.due_at is None:
        return Change(alert)
    if now_ms >= alert.expires_at:
        return _expired(alert)
    said: Said = ()
    current = alert.current
    if current and current.status is DeliveryStatus.QUEUED and is_spent(current, insists=alert.insists):
        at = len(alert.deliveries) - 1
        lost = _failed(alert, at, DeliveryStatus.FAILED, FailureReason.WORKER_LOST, now_ms)
        alert, said = lost.alert, lost.events
    if attempt is None or attempt.channel is not alert.channel_due(now_ms):
        return Change(alert, said)
    if not attempt.supplier:
        return _without_route(alert, attempt, now_ms, said)
    return _attempted(alert, attempt, now_ms, said)


def suppress(alert: Alert, reason: Suppression) -> Change:
    """End an alert that is not to be sent; where something was handed over before, it has failed."""
    if alert.status.is_final:
        return Change(alert)
    was_given = any(one.tries for one in alert.deliveries)
    status = AlertStatus.FAILED if was_given else AlertStatus.SUPPRESSED
    ended = replace(alert, status=status, reason=reason, due_at=None)
    return Change(ended, ((f"alert.{status}", {"reason": reason}),))


def take_back(alert: Alert) -> Change:
    """End an alert whose reason is gone; nothing changes once a supplier may have been handed a message of it."""
    return (
        Change(alert)
        if any(one.tries for one in alert.deliveries)
        else suppress(alert, Suppression.RECOVERED)
    )


def defer(alert: Alert, until_ms: int) -> Change:
    """Hold an alert back while its payer is not to be disturbed, or end it where it would expire before."""
    if alert.status.is_final or alert.due_at is None:
        return Change(alert)
    if until_ms >= alert.expires_at:
        return suppress(alert, Suppression.QUIET_HOURS)
    members = {"reason": Suppression.QUIET_HOURS, "until_ms": until_ms}
    return Change(replace(alert, due_at=until_ms), (("alert.deferred", members),))


def settle(alert: Alert, delivery: str, settlement: Settlement, now_ms: int) -> Change | None:
    """Put down what became of a delivery; None for a delivery that the alert does not have.

    What is known, what is contradicted by something final and what speaks of an earlier try changes nothing. A receipt
    that a message arrived counts also where nobody knew whether it had been taken.
    """
    at = next((at for at, one in enumerate(alert.deliveries) if one.id == delivery), None)
    if at is None:
        return None
    known = alert.deliveries[at]
    arrived = settlement.status in (DeliveryStatus.DELIVERED, DeliveryStatus.ANSWERED)
    is_unknown = known.status is DeliveryStatus.FAILED and known.reason in _UNKNOWN_FATE
    if not arrived and alert.status.is_final:  # over, or erased while it was being sent
        return Change(alert)
    if known.status.is_final and not (arrived and is_unknown):
        return Change(alert)
    if settlement.attempt and settlement.attempt != known.tries:
        return Change(alert)
    if arrived:
        return _arrived(alert, at, settlement, now_ms)
    if settlement.status is DeliveryStatus.SENT:
        return _sent(alert, at, settlement, now_ms)
    if known.status is DeliveryStatus.SENT and settlement.status is DeliveryStatus.FAILED:
        return Change(alert)
    if settlement.transient and known.reason:  # of this try it is known already
        return Change(alert)
    if settlement.transient and not is_spent(turned_down(known, settlement.supplier), insists=alert.insists):
        return _retried(alert, at, settlement, now_ms)
    return _failed(alert, at, settlement.status, settlement.reason or settlement.status, now_ms)


def _begun(alert: Alert, channel: Channel, now_ms: int) -> Alert:
    """The alert with a delivery over this channel that is not settled yet."""
    current = alert.current
    if current and current.status is DeliveryStatus.QUEUED:
        return alert
    number = len(alert.deliveries) + 1
    begun = DeliveryState(delivery_id(alert.id, number), channel, DeliveryStatus.QUEUED, now_ms)
    return replace(alert, deliveries=(*alert.deliveries, begun))


def _attempted(alert: Alert, attempt: Attempt, now_ms: int, said: Said) -> Change:
    alert = _begun(alert, attempt.channel, now_ms)
    current = alert.deliveries[-1]
    tried = changed(
        current, supplier=attempt.supplier, route=attempt.route, reason="", tries=current.tries + 1
    )
    leased_until = alert.due_at or 0
    if leased_until < now_ms + SEND_LEASE_MS:
        leased_until = now_ms + CLAIM_LEASE_MS
    alert = replace(_with(alert, len(alert.deliveries) - 1, tried), due_at=leased_until)
    members = {**_named(tried), **attempt.told, "try": tried.tries}
    return Change(alert, (*said, ("alert.attempted", members)), sends=True)


def _without_route(alert: Alert, attempt: Attempt, now_ms: int, said: Said) -> Change:
    """No supplier may carry it: the next channel, or later where suppliers are only being left alone."""
    begun = _begun(alert, attempt.channel, now_ms)
    if begun.insists and is_limited(attempt.reason):
        return Change(replace(alert, due_at=now_ms + LIMITED_MS), said)
    if attempt.may_pass and begun.next_channel is None:
        return Change(replace(alert, due_at=now_ms + POSTPONED_MS), said)
    failed = _failed(begun, len(begun.deliveries) - 1, DeliveryStatus.FAILED, attempt.reason, now_ms)
    ((kind, members),) = failed.events
    return replace(failed, events=(*said, (kind, {**attempt.told, **members})))


def _sent(alert: Alert, at: int, settlement: Settlement, now_ms: int) -> Change:
    if alert.deliveries[at].status is DeliveryStatus.SENT:
        return Change(alert)
    taken = changed(
        alert.deliveries[at],
        status=DeliveryStatus.SENT,
        supplier=settlement.supplier,
        reason="",
        segments=settlement.segments,
        cost=settlement.cost,
        sent_at=now_ms,
    )
    alert = replace(_with(alert, at, taken), status=AlertStatus.SENT, due_at=None)
    return Change(alert, (("alert.sent", _named(taken)),))


def _arrived(alert: Alert, at: int, settlement: Settlement, now_ms: int) -> Change:
    known = alert.deliveries[at]
    there = changed(
        known,
        status=settlement.status,
        supplier=settlement.supplier,
        reason="",
        cost=settlement.cost or known.cost,
        final_at=now_ms,
    )
    alert = replace(_with(alert, at, there), status=AlertStatus.DELIVERED, reason="", due_at=None)
    return Change(alert, (("alert.delivered", _named(there)),))


def _retried(alert: Alert, at: int, settlement: Settlement, now_ms: int) -> Change:
    again = changed(turned_down(alert.deliveries[at], settlement.supplier), reason=settlement.reason)
    alert = replace(_with(alert, at, again), due_at=now_ms + wait_ms(again, settlement.retry_ms))
    members = {**_named(again), "supplier": settlement.supplier, "reason": settlement.reason}
    return Change(alert, (("alert.retried", members),))


def _failed(alert: Alert, at: int, status: DeliveryStatus, reason: str, now_ms: int) -> Change:
    """A delivery came to nothing: the next channel at once, or nothing more."""
    over = changed(alert.deliveries[at], status=status, reason=reason, final_at=now_ms)
    alert = _with(alert, at, over)
    members = {**_named(over), "reason": reason}
    if alert.next_channel is not None:
        return Change(replace(alert, due_at=now_ms), (("alert.stepped", members),))
    ended = replace(alert, status=AlertStatus.FAILED, reason=reason, due_at=None)
    return Change(ended, (("alert.failed", members),))


def _expired(alert: Alert) -> Change:
    current = alert.current
    if current and current.status is DeliveryStatus.QUEUED:
        over = changed(current, status=DeliveryStatus.EXPIRED, reason=Suppression.EXPIRED)
        alert = _with(alert, len(alert.deliveries) - 1, over)
    return suppress(alert, Suppression.EXPIRED)


def _with(alert: Alert, at: int, delivery: DeliveryState) -> Alert:
    return replace(alert, deliveries=(*alert.deliveries[:at], delivery, *alert.deliveries[at + 1 :]))


def _named(delivery: DeliveryState) -> dict[str, object]:
    """What events say of a delivery; never to whom it went."""
    said: dict[str, object] = {"delivery": delivery.id, "channel": delivery.channel}
    return {**said, "supplier": delivery.supplier} if delivery.supplier else said
