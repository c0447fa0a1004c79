"""Endpoints, messages to them and attempts to deliver these; and what becomes of a message after an attempt. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sca_service.policy.webhooks import WebhookPolicy

LONGEST_WAIT_SECONDS = 86_400
"""Whatever `Retry-After` asks for."""


class Scheme(StrEnum):
    """How a message is signed; the names are Standard Webhooks' own."""

    V1 = "v1"  # HMAC-SHA256 by a secret that both know
    V1A = "v1a"  # Ed25519: the endpoint knows the public key only


class EndpointStatus(StrEnum):
    """Whether an endpoint is called."""

    ACTIVE = "active"
    DISABLED = "disabled"


class WhyDisabled(StrEnum):
    """Why an endpoint is not called."""

    CLIENT = "client"  # the client wants it so
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # nothing arrived for as long as the policy says
    DELETED = "deleted"  # it is gone for its client, and for good once its messages are


class MessageStatus(StrEnum):
    """Where a message stands. A dead one may be replayed, a delivered one too."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class WhyDead(StrEnum):
    """Why a message is not sent any more."""

    EXHAUSTED = "exhausted"
    DISABLED = "endpoint_disabled"


class AttemptOutcome(StrEnum):
    """What one call came to; only `delivered` is a success."""

    DELIVERED = "delivered"  # 2xx
    GONE = "gone"  # 410
    REDIRECTED = "redirected"  # 3xx, which is not followed
    REFUSED = "refused"  # any other status
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no name, no connection, no TLS, no HTTP
    FORBIDDEN_ADDRESS = "forbidden_address"  # the name leads to an address that is not public


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client wants to be told, and of what. `types` may be empty: everything that its scopes allow."""

    id: str
    client: str
    url: str
    description: str
    types: tuple[str, ...]
    scheme: Scheme
    sealed: str = field(repr=False)
    status: EndpointStatus
    reason: str
    created_at: datetime
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one endpoint, as it is seen: its id is the `webhook-id` of every call."""

    id: str
    endpoint: str
    type: str
    at: datetime
    status: MessageStatus
    reason: str
    tries: int
    next_try_at: datetime | None
    body: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call: when it ended, what it came to, and how long it took."""

    number: int
    at: datetime
    outcome: AttemptOutcome
    http_status: int | None
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this worker has leased, and all that is needed to send it. `number` counts its calls from 1."""

    id: str
    endpoint: str
    url: str
    scheme: Scheme
    sealed: str = field(repr=False)
    body: str
    number: int
    tries_before: int


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call came to. `retry_after_seconds` is what the endpoint asked for, 0 when nothing."""

    outcome: AttemptOutcome
    latency_ms: int
    http_status: int | None = None
    retry_after_seconds: int = 0


def wait_seconds(
    policy: WebhookPolicy, number: int, *, chance: float, retry_after_seconds: int
) -> float | None:
    """How long to wait after call `number` of a message failed, None when it was the last one.

    `chance` is random, 0 to 1: what failed together does not come together again. An endpoint may ask for more.
    """
    if number > len(policy.retry_after_seconds):
        return None
    waited = policy.retry_after_seconds[number - 1] * (1 + chance * policy.jitter_percent / 100)
    return max(waited, min(retry_after_seconds, LONGEST_WAIT_SECONDS))


def outcome_of(status: int) -> AttemptOutcome:
    """What an HTTP status says: 2xx is a success, 410 ends it, a redirect is a failure as any other."""
    if 200 <= status < 300:
        return AttemptOutcome.DELIVERED
    if 300 <= status < 400:
        return AttemptOutcome.REDIRECTED
    return AttemptOutcome.GONE if status == 410 else AttemptOutcome.REFUSED
