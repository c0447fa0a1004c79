"""What webhooks.toml says: how patiently banks are told what happened, and what it may not exceed."""

from dataclasses import dataclass

from sca_service.policy.bound import Bound

FILE = "webhooks.toml"


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """The numbers of webhooks. `retry_after_seconds` are the waits between one call and the next."""

    answer_seconds: int
    most_at_once: int
    most_endpoints: int
    retry_after_seconds: tuple[int, ...]
    jitter_percent: int
    disable_after_days: int
    overlap_hours: int
    kept_days: int
    checkpoint_seconds: int


WEBHOOK_BOUNDS = (
    Bound(FILE, "answer_seconds", 1, 30, "Standard Webhooks: 15 to 30 seconds at most"),
    Bound(FILE, "most_at_once", 1, 16, "more would be an attack on a small endpoint"),
    Bound(FILE, "most_endpoints", 1, 100, "each event is written once for each endpoint"),
    Bound(FILE, "retry_after_seconds entries", 1, 20, "each call is on record"),
    Bound(FILE, "retry_after_seconds[]", 1, 86_400, "Standard Webhooks: the longest wait is a day"),
    Bound(FILE, "jitter_percent", 0, 50, "more would be no schedule any more"),
    Bound(FILE, "disable_after_days", 1, 30, "a day is an outage; after a month nobody listens"),
    Bound(FILE, "overlap_hours", 1, 168, "a secret that is replaced should end"),
    Bound(FILE, "kept_days", 4, 90, "longer than messages are retried; the log itself is kept for years"),
    Bound(FILE, "checkpoint_seconds", 10, 86_400, "under load the log signs ten a second"),
)
