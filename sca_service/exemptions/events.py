"""What the audit log says of exemptions and of the payments that were executed.

A `payment.executed`, a `fraud.reported` and a `fraud.withdrawn` hold all that the figures of RTS Art. 19 to 21 are made
of, so that they can be recomputed from the leaves alone. They name amounts and no person but by pseudonym. Amounts are
text: they can exceed what a JSON number holds exactly.
"""

from typing import Any

import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.exemptions.model import Facts, PaymentFacts
from sca_service.exemptions.rows import AssessmentRow, Occurrence, conditions_of, reason_texts
from sca_service.kernel.ids import new_id

ASSESSED = "exemption.assessed"
CANCELLED = "exemption.cancelled"
EXECUTED = "payment.executed"
ACCESSED = "access.executed"
FRAUD_REPORTED = "fraud.reported"
FRAUD_WITHDRAWN = "fraud.withdrawn"


def assessed_event(row: AssessmentRow, facts: Facts, occurrence: Occurrence) -> AuditEvent:
    """What was decided, on which facts (RTS Art. 2 and 18(3))."""
    members: dict[str, Any] = {
        "exempt": row.assessment.exempt,
        "reasons": reason_texts(row.assessment),
    }
    if row.assessment.article:
        members["article"] = row.assessment.article
    if facts.payment is not None:
        members |= _money(row) | _judged(facts.payment)
    if facts.access is not None:
        members |= {"shows": facts.access.shows, "through_aisp": facts.access.aisp is not None}
        if facts.access.reason is not None:
            members["justified_reason"] = facts.access.reason
    return _event(ASSESSED, row, occurrence, members)


def executed_event(row: AssessmentRow, occurrence: Occurrence) -> AuditEvent:
    """A payment that took place, and what it rested on; or an access."""
    members: dict[str, Any] = {"basis": row.basis}
    if row.authenticated_by is not None:
        members["authenticated_by"] = row.authenticated_by
    if not row.is_payment:
        return _event(ACCESSED, row, occurrence, members)
    return _event(EXECUTED, row, occurrence, members | _money(row) | _day(row))


def cancelled_event(row: AssessmentRow, occurrence: Occurrence) -> AuditEvent:
    """A payment that will not take place."""
    return _event(CANCELLED, row, occurrence, {})


def fraud_event(row: AssessmentRow, report: str, kind: str, occurrence: Occurrence) -> AuditEvent:
    """An executed payment that turned out to be fraudulent."""
    members = {"report": report, "kind": kind, "basis": row.basis} | _money(row) | _day(row)
    return _event(FRAUD_REPORTED, row, occurrence, members)


def withdrawn_event(
    row: AssessmentRow, report: str, kind: str, reason: str, occurrence: Occurrence
) -> AuditEvent:
    """A report that counts no more: it takes back what `fraud.reported` said, with the same members."""
    members = {"report": report, "kind": kind, "basis": row.basis} | _money(row) | _day(row)
    return _event(FRAUD_WITHDRAWN, row, occurrence, members | {"reason": reason})


def _money(row: AssessmentRow) -> dict[str, Any]:
    amount = row.amount
    return {
        "payment_type": row.payment_type,
        "context": row.context,
        "currency": amount.currency if amount else None,
        "minor": str(amount.minor) if amount else None,
        "euro_cents": str(row.cents),
        "payments": row.payments,
    }


def _day(row: AssessmentRow) -> dict[str, Any]:
    return {"executed_on": row.executed_on.isoformat() if row.executed_on else None}


def _judged(payment: PaymentFacts) -> dict[str, Any]:
    fraud = payment.fraud
    risk: dict[str, Any] = {"conditions": conditions_of(payment.risk)}
    if payment.risk.record is not None:
        risk |= msgspec.to_builtins(payment.risk.record)
    elif payment.risk.score is not None:
        risk["score"] = payment.risk.score
    return {
        "risk": risk,
        "fraud_rate": {
            "fraud_euro_cents": str(fraud.fraud_cents),
            "total_euro_cents": str(fraud.total_cents),
            "days": fraud.days,
        },
    }


def _event(kind: str, row: AssessmentRow, occurrence: Occurrence, members: dict[str, Any]) -> AuditEvent:
    return AuditEvent.create(
        event_id=new_id("evt"),
        kind=kind,
        at_ms=occurrence.at_ms,
        members={
            "client": row.client,
            "psu": row.psu,
            **occurrence.origin,
            "assessment": row.id,
            **members,
        },
    )
