"""Webhook endpoints as clients send and get them: the shapes of the contract, and how they become values."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from sca_service.api.requests import Mistakes
from sca_service.kernel.clock import timestamp
from sca_service.kernel.text import clean_text
from sca_service.webhooks.announcements import TYPES, is_known
from sca_service.webhooks.desk import Opened, Wanted
from sca_service.webhooks.model import (
    Attempt,
    AttemptOutcome,
    EndpointStatus,
    Message,
    MessageStatus,
    Scheme,
)

_decode = msgspec.json.Decoder(dict[str, Any]).decode

_Url = Annotated[
    str,
    Meta(
        max_length=2048, examples=["https://bank.example/webhooks"], description="https, on a public address."
    ),
]
_Description = Annotated[str, Meta(max_length=256, description="For you alone.")]
_Types = Annotated[
    list[Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\.(?:[a-z_]{1,32}|\*)\Z")]],
    Meta(
        max_length=len(TYPES),
        examples=[["challenge.*", "delivery.failed"]],
        description="Types, or families as `challenge.*`. An empty list is all that your scopes allow.",
    ),
]


class WebhookForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A new endpoint."""

    url: _Url
    types: _Types = []
    description: _Description = ""
    scheme: Annotated[
        Literal["v1", "v1a"], Meta(description="How messages are signed: HMAC-SHA256, or Ed25519.")
    ] = "v1"


class WebhookChangeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change; the rest stays."""

    url: _Url | None = None
    types: _Types | None = None
    description: _Description | None = None
    status: Literal["active", "disabled"] | None = None


class ReplayForm(Struct, frozen=True, forbid_unknown_fields=True):
    """One message, or all that tell of what happened in a time."""

    message: Annotated[str, Meta(max_length=64, examples=["msg_5f0c"])] | None = None
    since: Annotated[str, Meta(max_length=40, description="RFC 3339, inclusive.")] | None = field(
        default=None, name="from"
    )
    until: Annotated[str, Meta(max_length=40, description="RFC 3339, exclusive.")] | None = field(
        default=None, name="to"
    )
    status: Annotated[Literal["delivered", "dead"], Meta(description="Only those.")] | None = None


class WebhookBody(Struct, frozen=True):
    """An endpoint as it stands."""

    id: str
    url: str
    types: tuple[str, ...]
    description: str
    scheme: Scheme
    status: EndpointStatus
    reason: Annotated[str | None, Meta(description="Why it is disabled: `client`, `gone` (410), `failing`.")]
    failing_since: Annotated[str | None, Meta(description="Since when nothing has arrived.")]
    public_key: Annotated[str | None, Meta(description="`whpk_…`, of the scheme `v1a`.")]
    created_at: str


class NewWebhookBody(WebhookBody, frozen=True):
    """The same with its secret, which is told once."""

    secret: Annotated[str | None, Meta(description="`whsec_…`, of the scheme `v1`; told this once.")]
    before_ends_at: Annotated[
        str | None, Meta(description="Until when the key before signs too, after a rotation.")
    ]


class WebhookListBody(Struct, frozen=True):
    """All endpoints of a client."""

    data: tuple[WebhookBody, ...]
    next_cursor: str | None


class MessageBody(Struct, frozen=True):
    """A message to an endpoint; its id is the `webhook-id` of each call."""

    id: str
    type: str
    timestamp: str
    status: MessageStatus
    reason: Annotated[str | None, Meta(description="Why it is dead: `exhausted`, `endpoint_disabled`.")]
    tries: int
    next_try_at: str | None
    payload: dict[str, Any]


class MessageListBody(Struct, frozen=True):
    """A page of messages, the newest first."""

    data: tuple[MessageBody, ...]
    next_cursor: str | None


class AttemptBody(Struct, frozen=True):
    """One call of a message."""

    number: int
    at: str
    outcome: AttemptOutcome
    http_status: int | None
    latency_ms: int


class MessageWithAttemptsBody(MessageBody, frozen=True):
    """A message with each of its calls."""

    attempts: tuple[AttemptBody, ...]


class ReplayedBody(Struct, frozen=True):
    """How many messages wait once more."""

    replayed: int


def wanted_of(form: WebhookForm | WebhookChangeForm, scopes: Sequence[str]) -> Wanted:
    """What a form wants of an endpoint. Raises InvalidInput with every mistake but the URL's."""
    mistakes = Mistakes()
    text, status = form.description, None
    if text:
        mistakes.read("/description", lambda: clean_text(text, pointer="", most=256))
    for at, wanted in enumerate(form.types or ()):
        if not is_known(wanted, scopes):
            mistakes.note(f"/types/{at}", "is no type that your scopes allow")
    mistakes.refuse()
    if isinstance(form, WebhookChangeForm) and form.status is not None:
        status = EndpointStatus(form.status)
    types = None if form.types is None else tuple(dict.fromkeys(form.types))
    return Wanted(url=form.url, description=text, types=types, status=status)


def webhook_body(opened: Opened) -> WebhookBody:
    """The body for an endpoint."""
    return WebhookBody(**_members(opened))


def new_webhook_body(opened: Opened, secret: str | None) -> NewWebhookBody:
    """The body for an endpoint whose secret is told."""
    ends_at_ms = opened.keys.before_ends_at_ms
    return NewWebhookBody(
        **_members(opened), secret=secret, before_ends_at=timestamp(ends_at_ms) if ends_at_ms else None
    )


def message_body(message: Message) -> MessageBody:
    """The body for a message."""
    return MessageBody(**_message_members(message))


def message_with_attempts_body(message: Message, attempts: Sequence[Attempt]) -> MessageWithAttemptsBody:
    """The body for a message with each of its calls."""
    calls = tuple(
        AttemptBody(one.number, _moment(one.at), one.outcome, one.http_status, one.latency_ms)
        for one in attempts
    )
    return MessageWithAttemptsBody(**_message_members(message), attempts=calls)


def _members(opened: Opened) -> dict[str, Any]:
    endpoint = opened.endpoint
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "types": endpoint.types,
        "description": endpoint.description,
        "scheme": endpoint.scheme,
        "status": endpoint.status,
        "reason": endpoint.reason or None,
        "failing_since": _moment(endpoint.failing_since) if endpoint.failing_since else None,
        "public_key": opened.keys.public_key,
        "created_at": _moment(endpoint.created_at),
    }


def _message_members(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "type": message.type,
        "timestamp": _moment(message.at),
        "status": message.status,
        "reason": message.reason or None,
        "tries": message.tries,
        "next_try_at": _moment(message.next_try_at) if message.next_try_at else None,
        "payload": _decode(message.body),
    }


def _moment(at: datetime) -> str:
    return timestamp(round(at.timestamp() * 1000))
