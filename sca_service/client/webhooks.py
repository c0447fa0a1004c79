"""Webhooks: where you are called when something happens."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sca_service.client.call import NOTHING, Call, Page, quoted


class Attempt(msgspec.Struct, frozen=True):
    """One call of a webhook."""

    number: int
    at: str
    outcome: str
    http_status: int | None
    latency_ms: int


class MessageWithAttempts(msgspec.Struct, frozen=True):
    """A webhook's message with each of its calls."""

    id: str
    type: str
    timestamp: str
    status: str
    reason: str | None
    tries: int
    next_try_at: str | None
    payload: dict[str, Any]
    attempts: tuple[Attempt, ...]


class NewWebhook(msgspec.Struct, frozen=True):
    """An endpoint with its secret, told once: its `repr` does not show it."""

    id: str
    url: str
    types: tuple[str, ...]
    description: str
    scheme: str
    status: str
    reason: str | None
    failing_since: str | None
    public_key: str | None
    created_at: str
    secret: str | None
    before_ends_at: str | None

    def __repr__(self) -> str:
        return f"NewWebhook(id={self.id!r})"


class Replayed(msgspec.Struct, frozen=True):
    """How many messages are sent once more."""

    replayed: int


class Webhook(msgspec.Struct, frozen=True):
    """Where you are called."""

    id: str
    url: str
    types: tuple[str, ...]
    description: str
    scheme: str
    status: str
    reason: str | None
    failing_since: str | None
    public_key: str | None
    created_at: str


class Message(msgspec.Struct, frozen=True):
    """One message to a webhook."""

    id: str
    type: str
    timestamp: str
    status: str
    reason: str | None
    tries: int
    next_try_at: str | None
    payload: dict[str, Any]


def create(
    *, url: str, types: Sequence[str] | None = None, description: str | None = None, scheme: str | None = None
) -> Call[NewWebhook]:
    """Add a webhook endpoint.

    Calls follow Standard Webhooks. `secret` is told in this answer and never again. Your scopes decide
    which types you may ask for. Accepts an `Idempotency-Key`.
    """
    return Call(
        "POST",
        "/v1/webhooks",
        NewWebhook,
        body={"url": url, "types": types, "description": description, "scheme": scheme},
    )


def find() -> Call[Page[Webhook]]:
    """Your webhook endpoints."""
    return Call("GET", "/v1/webhooks", Page[Webhook])


def read(webhook_id: str) -> Call[Webhook]:
    """A webhook endpoint as it stands."""
    return Call("GET", f"/v1/webhooks/{quoted(webhook_id)}", Webhook)


def change(
    webhook_id: str,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    description: str | None = None,
    status: str | None = None,
) -> Call[Webhook]:
    """Change, disable or enable a webhook endpoint.

    What waits for an endpoint that is disabled is dead; enabled again, it may be replayed.
    """
    return Call(
        "PATCH",
        f"/v1/webhooks/{quoted(webhook_id)}",
        Webhook,
        body={"url": url, "types": types, "description": description, "status": status},
    )


def delete(webhook_id: str) -> Call[None]:
    """Delete a webhook endpoint. With it goes what waits for it, and the record of its messages."""
    return Call("DELETE", f"/v1/webhooks/{quoted(webhook_id)}", NOTHING)


def rotate(webhook_id: str) -> Call[NewWebhook]:
    """Give a webhook endpoint a new secret.

    Until `before_ends_at` each message has two signatures: by the new secret and by the one before.
    Accepts an `Idempotency-Key`: send one, or a second call for an answer that was lost ends the secret
    that you know.
    """
    return Call("POST", f"/v1/webhooks/{quoted(webhook_id)}/rotate", NewWebhook)


def test(webhook_id: str) -> Call[Message]:
    """Send a webhook endpoint a test message.

    A message of the type `webhook.test`, signed and retried as any other.
    """
    return Call("POST", f"/v1/webhooks/{quoted(webhook_id)}/test", Message, repeats=False)


def messages(
    webhook_id: str,
    *,
    status: str | None = None,
    type_: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    limit: int | None = None,
) -> Call[Page[Message]]:
    """The messages to a webhook endpoint.

    The newest first; `status=dead` lists the dead letters. Kept for as long as the policy says.
    """
    return Call(
        "GET",
        f"/v1/webhooks/{quoted(webhook_id)}/messages",
        Page[Message],
        query={"status": status, "type": type_, "from": from_, "to": to, "limit": limit},
    )


def message(webhook_id: str, message_id: str) -> Call[MessageWithAttempts]:
    """A message with each of its calls."""
    return Call(
        "GET", f"/v1/webhooks/{quoted(webhook_id)}/messages/{quoted(message_id)}", MessageWithAttempts
    )


def replay(
    webhook_id: str,
    *,
    message: str | None = None,
    from_: str | None = None,
    to: str | None = None,
    status: str | None = None,
) -> Call[Replayed]:
    """Send messages once more.

    A `message`, or all settled ones that tell of what happened `from` one time `to` another, at most a
    thousand. They keep their `webhook-id`, by which a receiver knows them again.
    """
    return Call(
        "POST",
        f"/v1/webhooks/{quoted(webhook_id)}/replay",
        Replayed,
        body={"message": message, "from": from_, "to": to, "status": status},
        repeats=False,
    )
