"""An alert as a row of PostgreSQL has it, and the events that say of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from sca_service.alerts.model import Alert, AlertKind, AlertStatus, NewAlert
from sca_service.audit.model import AuditEvent
from sca_service.delivery.model import DeliveryState
from sca_service.kernel.ids import new_id
from sca_service.policy.model import Channel

Origin = Mapping[str, object]
"""What the events of a change say of who made it: `actor`, and of a request its id and the policy's digest."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[DeliveryState, ...]).decode


class Row(Protocol):
    """A row of a store, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """What a column holds."""


def event_of(
    alert: Alert, kind: str, at_ms: int, origin: Origin, members: Mapping[str, object]
) -> AuditEvent:
    """An event about an alert. Raises msgspec.ValidationError for one that is longer than a leaf."""
    said = {"client": alert.client, "psu": alert.psu, **origin, "alert": alert.id, **members}
    return AuditEvent.create(event_id=new_id("evt"), kind=kind, at_ms=at_ms, members=said)


def alert_of_row(found: Row) -> Alert:
    """The alert that a whole row holds."""
    return Alert(
        id=found["id"],
        client=found["client_id"],
        psu=found["psu"],
        kind=AlertKind(found["kind"]),
        channels=tuple(Channel(one) for one in found["channels"]),
        status=AlertStatus(found["status"]),
        created_at=ms_of(found["created_at"]),
        expires_at=ms_of(found["expires_at"]),
        due_at=ms_of(found["due_at"]) if found["due_at"] else None,
        reason=found["reason"],
        deliveries=() if found["deliveries"] == "[]" else _decode(found["deliveries"]),
        sealed=found["sealed"],
        topic=found["topic"],
        time_zone=found["time_zone"],
        send_at=ms_of(found["send_at"]) if found["send_at"] else None,
    )


def queued_alert(new: NewAlert, created_at: datetime, expires_at: datetime) -> Alert:
    """The alert that was just stored from this."""
    at_ms = ms_of(created_at)
    return Alert(
        id=new.id,
        client=new.client,
        psu=new.psu,
        kind=new.kind,
        channels=new.channels,
        status=AlertStatus.QUEUED,
        created_at=at_ms,
        expires_at=ms_of(expires_at),
        due_at=max(at_ms, new.send_at or 0),
        sealed=new.sealed,
        topic=new.topic,
        time_zone=new.time_zone,
        send_at=new.send_at,
    )


def deliveries_text(alert: Alert) -> str:
    """The deliveries as the row holds them."""
    return _encode(alert.deliveries).decode()


def ms_of(moment: datetime) -> int:
    """Unix time in milliseconds."""
    return round(moment.timestamp() * 1000)


def moment_of_ms(at_ms: int) -> datetime:
    """The same the other way."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
