"""What the audit log says of an authenticator's life."""

from collections.abc import Mapping

from sca_service.audit.model import AuditEvent
from sca_service.authenticators.postgres_store import AuthenticatorRow
from sca_service.kernel.ids import new_id


def event_of(
    kind: str,
    row: AuthenticatorRow,
    *,
    at_ms: int,
    origin: Mapping[str, object],
    members: Mapping[str, object],
) -> AuditEvent:
    """One event of an authenticator; `origin` says by whom it came about, `members` are the event's own."""
    return AuditEvent.create(
        event_id=new_id("evt"),
        kind=kind,
        at_ms=at_ms,
        members={
            "client": row.client,
            "psu": row.psu,
            **origin,
            "authenticator": row.id,
            "authenticator_type": row.type,
            **members,
        },
    )
