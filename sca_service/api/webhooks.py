"""A client's webhook endpoints over HTTP: `/v1/webhooks`.

Every client may have endpoints, whatever its scopes: these decide of what it is told.
"""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import Parameter, QueryParameter

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.requests import Mistakes, moment_of
from sca_service.api.routes import needs, problems, respond
from sca_service.api.webhook_forms import (
    MessageBody,
    MessageListBody,
    MessageWithAttemptsBody,
    NewWebhookBody,
    ReplayedBody,
    ReplayForm,
    WebhookBody,
    WebhookChangeForm,
    WebhookForm,
    WebhookListBody,
    message_body,
    message_with_attempts_body,
    new_webhook_body,
    wanted_of,
    webhook_body,
)
from sca_service.kernel.errors import InvalidInput
from sca_service.policy.model import Policy
from sca_service.webhooks.desk import Opened, WebhookDesk
from sca_service.webhooks.model import MessageStatus, Scheme
from sca_service.webhooks.postgres_store import MessageFilter

_TAGS = ["webhooks"]
_EVERY_SCOPE = tuple(Scope)
_TYPE = r"^[a-z_.]+\Z"

_encode = msgspec.json.Encoder().encode

WebhookId = Annotated[str, Parameter(description="The endpoint's id, `whk_…`.")]
MessageId = Annotated[str, Parameter(description="The message's id, `msg_…`.")]
Since = Annotated[
    str | None,
    QueryParameter(name="from", description="RFC 3339, inclusive.", schema_extra={"format": "date-time"}),
]
Until = Annotated[
    str | None,
    QueryParameter(name="to", description="RFC 3339, exclusive.", schema_extra={"format": "date-time"}),
]


class WebhookOperations:
    """The operations on endpoints. A class because it holds the desk that keeps them."""

    def __init__(self, *, desk: WebhookDesk, idempotency: Idempotency, policy: Policy) -> None:
        self._desk = desk
        self._idempotency = idempotency
        self._policy = policy

    async def create(self, call: Call, form: WebhookForm) -> HttpAnswer:
        """A new endpoint: 201 with its secret. Raises InvalidInput, StoreUnavailable, and for the key."""
        wanted = wanted_of(form, tuple(call.client.scopes))

        async def create(unique: str | None) -> HttpAnswer:
            opened = await self._desk.create(
                call.client.id, wanted, Scheme(form.scheme), self._origin(call), unique=unique
            )
            return HttpAnswer(201, _told(opened), (("Location", f"/v1/webhooks/{opened.endpoint.id}"),))

        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, create)

    async def all_of(self, call: Call) -> HttpAnswer:
        """All endpoints: 200. Raises StoreUnavailable."""
        found = await self._desk.all_of(call.client.id)
        return HttpAnswer(200, _encode(WebhookListBody(tuple(map(webhook_body, found)), None)))

    async def get(self, call: Call, webhook_id: str) -> HttpAnswer:
        """An endpoint: 200. Raises NotFound, StoreUnavailable."""
        return HttpAnswer(200, _encode(webhook_body(await self._desk.get(call.client.id, webhook_id))))

    async def change(self, call: Call, webhook_id: str, form: WebhookChangeForm) -> HttpAnswer:
        """Change an endpoint: 200. Raises InvalidInput, NotFound, StoreUnavailable."""
        wanted = wanted_of(form, tuple(call.client.scopes))
        changed = await self._desk.change(call.client.id, webhook_id, wanted, self._origin(call))
        return HttpAnswer(200, _encode(webhook_body(changed)))

    async def rotate(self, call: Call, webhook_id: str) -> HttpAnswer:
        """A new secret: 200, told once. Raises NotFound, StoreUnavailable, and for the key."""

        async def rotate(_: str | None) -> HttpAnswer:
            return HttpAnswer(
                200, _told(await self._desk.rotate(call.client.id, webhook_id, self._origin(call)))
            )

        request = call.path.encode() + b"\0"
        return await self._idempotency.once(call.caller, call.idempotency_key, request, rotate)

    async def delete(self, call: Call, webhook_id: str) -> HttpAnswer:
        """Delete an endpoint: 204. Raises NotFound, StoreUnavailable."""
        await self._desk.delete(call.client.id, webhook_id, self._origin(call))
        return HttpAnswer(204, b"")

    async def test(self, call: Call, webhook_id: str) -> HttpAnswer:
        """Queue a test message: 202. Raises NotFound, WebhookDisabled, StoreUnavailable."""
        return HttpAnswer(202, _encode(message_body(await self._desk.test(call.client.id, webhook_id))))

    async def messages(
        self, call: Call, webhook_id: str, wanted: MessageFilter, *, limit: int, cursor: str | None
    ) -> HttpAnswer:
        """A page of messages: 200. Raises InvalidInput for a cursor that is not ours, NotFound, StoreUnavailable."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise InvalidInput.at("/cursor", "is not a cursor of this list")
        before = int(cursor) if cursor is not None else None
        found, following = await self._desk.messages(
            call.client.id, webhook_id, wanted, before=before, most=limit
        )
        page = MessageListBody(tuple(map(message_body, found)), str(following) if following else None)
        return HttpAnswer(200, _encode(page))

    async def message(self, call: Call, webhook_id: str, message_id: str) -> HttpAnswer:
        """A message with its calls: 200. Raises NotFound, StoreUnavailable."""
        found, attempts = await self._desk.message(call.client.id, webhook_id, message_id)
        return HttpAnswer(200, _encode(message_with_attempts_body(found, attempts)))

    async def replay(self, call: Call, webhook_id: str, form: ReplayForm) -> HttpAnswer:
        """Send settled messages once more: 202. Raises InvalidInput, NotFound, WebhookDisabled, StoreUnavailable."""
        client, mistakes = call.client.id, Mistakes()
        by_time = [name for name in ("since", "until", "status") if getattr(form, name) is not None]
        if form.message is not None:
            if by_time:
                raise InvalidInput.at("/message", "stands alone: a message, or a time")
            return _replayed(await self._desk.replay(client, webhook_id, form.message))
        since = mistakes.read("", lambda: moment_of(form.since or "", "/from"))
        until = mistakes.read("", lambda: moment_of(form.until or "", "/to"))
        mistakes.refuse()
        assert since is not None and until is not None  # noqa: S101 - or `refuse` would have raised
        status = MessageStatus(form.status) if form.status else None
        return _replayed(await self._desk.replay_range(client, webhook_id, since, until, status))

    def _origin(self, call: Call) -> dict[str, Any]:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return origin


def _told(opened: Opened) -> bytes:
    """An endpoint with its secret, on its one way out."""
    secret = opened.keys.secret
    return _encode(new_webhook_body(opened, secret.reveal() if secret else None))


def _replayed(count: int) -> HttpAnswer:
    return HttpAnswer(202, _encode(ReplayedBody(count)))


@post(
    "/v1/webhooks",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="create_webhook",
    summary="Add a webhook endpoint",
    description=(
        "Calls follow Standard Webhooks. `secret` is told in this answer and never again. Your scopes decide which "
        "types you may ask for. Accepts an `Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def create_webhook(
    request: Request[Any, Any, Any], data: WebhookForm, webhooks: WebhookOperations
) -> Response[NewWebhookBody]:
    """Add an endpoint."""
    return respond(await webhooks.create(await call_of(request), data))


@get(
    "/v1/webhooks",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="list_webhooks",
    summary="Your webhook endpoints",
    responses=problems(422),
)
async def list_webhooks(
    request: Request[Any, Any, Any], webhooks: WebhookOperations
) -> Response[WebhookListBody]:
    """All of a client's endpoints."""
    return respond(await webhooks.all_of(await call_of(request)))


@get(
    "/v1/webhooks/{webhook_id:str}",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="get_webhook",
    summary="A webhook endpoint as it stands",
    responses=problems(404, 422),
)
async def get_webhook(
    request: Request[Any, Any, Any], webhooks: WebhookOperations, webhook_id: WebhookId
) -> Response[WebhookBody]:
    """An endpoint as it stands."""
    return respond(await webhooks.get(await call_of(request), webhook_id))


@patch(
    "/v1/webhooks/{webhook_id:str}",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="change_webhook",
    summary="Change, disable or enable a webhook endpoint",
    description="What waits for an endpoint that is disabled is dead; enabled again, it may be replayed.",
    responses=problems(404, 413, 415, 422),
)
async def change_webhook(
    request: Request[Any, Any, Any],
    data: WebhookChangeForm,
    webhooks: WebhookOperations,
    webhook_id: WebhookId,
) -> Response[WebhookBody]:
    """Change an endpoint."""
    return respond(await webhooks.change(await call_of(request), webhook_id, data))


@delete(
    "/v1/webhooks/{webhook_id:str}",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="delete_webhook",
    summary="Delete a webhook endpoint",
    description="With it goes what waits for it, and the record of its messages.",
    status_code=204,
    responses=problems(404, 422),
)
async def delete_webhook(
    request: Request[Any, Any, Any], webhooks: WebhookOperations, webhook_id: WebhookId
) -> Response[None]:
    """Delete an endpoint."""
    return respond(await webhooks.delete(await call_of(request), webhook_id))


@post(
    "/v1/webhooks/{webhook_id:str}/rotate",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="rotate_webhook",
    summary="Give a webhook endpoint a new secret",
    description=(
        "Until `before_ends_at` each message has two signatures: by the new secret and by the one before. Accepts an "
        "`Idempotency-Key`: send one, or a second call for an answer that was lost ends the secret that you know."
    ),
    status_code=200,
    responses=problems(404, 409, 422),
)
async def rotate_webhook(
    request: Request[Any, Any, Any], webhooks: WebhookOperations, webhook_id: WebhookId
) -> Response[NewWebhookBody]:
    """Give an endpoint a new secret."""
    return respond(await webhooks.rotate(await call_of(request), webhook_id))


@post(
    "/v1/webhooks/{webhook_id:str}/test",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="test_webhook",
    summary="Send a webhook endpoint a test message",
    description="A message of the type `webhook.test`, signed and retried as any other.",
    status_code=202,
    responses=problems(404, 409, 422),
)
async def test_webhook(
    request: Request[Any, Any, Any], webhooks: WebhookOperations, webhook_id: WebhookId
) -> Response[MessageBody]:
    """Send an endpoint a test message."""
    return respond(await webhooks.test(await call_of(request), webhook_id))


@get(
    "/v1/webhooks/{webhook_id:str}/messages",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="list_webhook_messages",
    summary="The messages to a webhook endpoint",
    description="The newest first; `status=dead` lists the dead letters. Kept for as long as the policy says.",
    responses=problems(404, 422),
)
async def list_webhook_messages(  # noqa: PLR0913, PLR0917 - the filters of the contract
    request: Request[Any, Any, Any],
    webhooks: WebhookOperations,
    webhook_id: WebhookId,
    status: Literal["waiting", "delivered", "dead"] | None = None,
    kind: Annotated[str | None, QueryParameter(name="type", max_length=64, pattern=_TYPE)] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Parameter(description="`next_cursor` of the page before.")] = None,
) -> Response[MessageListBody]:
    """The messages to an endpoint."""
    wanted = MessageFilter(
        status=MessageStatus(status) if status else None,
        type=kind,
        since=moment_of(since, "/from") if since is not None else None,
        until=moment_of(until, "/to") if until is not None else None,
    )
    return respond(
        await webhooks.messages(await call_of(request), webhook_id, wanted, limit=limit, cursor=cursor)
    )


@get(
    "/v1/webhooks/{webhook_id:str}/messages/{message_id:str}",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="get_webhook_message",
    summary="A message with each of its calls",
    responses=problems(404, 422),
)
async def get_webhook_message(
    request: Request[Any, Any, Any], webhooks: WebhookOperations, webhook_id: WebhookId, message_id: MessageId
) -> Response[MessageWithAttemptsBody]:
    """A message with each of its calls."""
    return respond(await webhooks.message(await call_of(request), webhook_id, message_id))


@post(
    "/v1/webhooks/{webhook_id:str}/replay",
    guards=[needs(*_EVERY_SCOPE)],
    security=asks_for(*_EVERY_SCOPE),
    tags=_TAGS,
    operation_id="replay_webhook",
    summary="Send messages once more",
    description=(
        "A `message`, or all settled ones that tell of what happened `from` one time `to` another, at most a thousand. "
        "They keep their `webhook-id`, by which a receiver knows them again."
    ),
    status_code=202,
    responses=problems(404, 409, 413, 415, 422),
)
async def replay_webhook(
    request: Request[Any, Any, Any], data: ReplayForm, webhooks: WebhookOperations, webhook_id: WebhookId
) -> Response[ReplayedBody]:
    """Send messages once more."""
    return respond(await webhooks.replay(await call_of(request), webhook_id, data))


ROUTES = (
    create_webhook,
    list_webhooks,
    get_webhook,
    change_webhook,
    delete_webhook,
    rotate_webhook,
    test_webhook,
    list_webhook_messages,
    get_webhook_message,
    replay_webhook,
)
