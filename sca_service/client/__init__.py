"""A client of the service for Python: calls as values, sent by `Sca`, or by `AsyncSca` on an event loop.

    from sca_service.client import Sca, challenges

    with Sca("https://sca.bank.example", api_key) as sca:
        challenge = sca.call(challenges.issue(psu={"id": "cust_8841"}, purpose="login"))
        verified = sca.call(challenges.verify(challenge.id, code=typed))

What is sent is checked by the service; what comes back are structs with the members of its OpenAPI. New members of a
newer service are passed over, and words of closed sets (a status, an outcome) are plain text, so that a new one breaks
nothing.
"""

from sca_service.client.approval import Approval, ApprovalRefused, Approvals
from sca_service.client.call import Call, Page, Stream
from sca_service.client.connection import AsyncSca, Sca
from sca_service.client.faults import (
    Conflict,
    Forbidden,
    Invalid,
    LimitReached,
    NotFound,
    Problem,
    Refused,
    ScaFault,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from sca_service.client.patience import Patience
from sca_service.client.webhook import Notice, WebhookRefused, read_webhook

__all__ = [
    "Approval",
    "ApprovalRefused",
    "Approvals",
    "AsyncSca",
    "Call",
    "Conflict",
    "Forbidden",
    "Invalid",
    "LimitReached",
    "NotFound",
    "Notice",
    "Page",
    "Patience",
    "Problem",
    "Refused",
    "Sca",
    "ScaFault",
    "Stream",
    "Unauthorised",
    "Unavailable",
    "Unreadable",
    "WebhookRefused",
    "read_webhook",
]
