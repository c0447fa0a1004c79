"""A payer's devices that push can reach, over HTTP: `/v1/psus/{psu_id}/push-subscriptions`."""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from msgspec import Meta, Struct

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.payers import PsuId
from sca_service.api.requests import Mistakes, psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.delivery.channels.push.addresses import (
    PUSH_SERVICES,
    apns_address,
    fcm_address,
    web_push_address,
)
from sca_service.delivery.channels.push.model import Address, PushKind, Subscription
from sca_service.delivery.channels.push.subscriptions import PushSubscriptions, Registration
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import NotFound
from sca_service.policy.model import Policy
from sca_service.policy.supply import SupplierRule

_TAGS = ["push subscriptions"]
_MEMBERS: Mapping[PushKind, tuple[str, ...]] = {
    PushKind.WEB_PUSH: ("endpoint", "keys"),
    PushKind.FCM: ("registration",),
    PushKind.APNS: ("device",),
}
"""What each kind has, and no other kind has."""

_encode = msgspec.json.Encoder().encode


class PushKeysForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A browser's keys, as `PushSubscription.toJSON()` writes them (RFC 8291)."""

    p256dh: Annotated[str, Meta(max_length=256, description="Its point of P-256: 65 bytes in base64url.")]
    auth: Annotated[str, Meta(max_length=256, description="16 bytes in base64url.")]


class PushSubscriptionForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A device: a browser with `endpoint` and `keys`, an app with `registration` (FCM) or `device` (APNs)."""

    kind: Annotated[PushKind, Meta(description="Whose push service the device listens to.")]
    endpoint: (
        Annotated[
            str, Meta(max_length=4096, description="For `web_push`: the URL that the browser was given.")
        ]
        | None
    ) = None
    keys: Annotated[
        PushKeysForm | None,
        Meta(description="For `web_push`: the keys that the browser made."),
    ] = None
    registration: (
        Annotated[str, Meta(max_length=4096, description="For `fcm`: what Firebase gave the app.")] | None
    ) = None
    device: (
        Annotated[
            str, Meta(max_length=512, description="For `apns`: what Apple gave the app, in hexadecimal.")
        ]
        | None
    ) = None


class PushSubscriptionBody(Struct, frozen=True):
    """A device that push reaches; `to` is masked."""

    id: str
    kind: PushKind
    to: Annotated[str, Meta(description="Masked.")]
    registered_at: Annotated[str, Meta(description="When it was last registered.")]
    used_at: Annotated[
        str | None,
        Meta(description="When it last took a message, to the hour."),
    ]


class PushSubscriptionListBody(Struct, frozen=True):
    """All devices of a payer, the one that was registered last first."""

    data: tuple[PushSubscriptionBody, ...]
    next_cursor: None = None


class PushSubscriptionOperations:
    """The operations on devices. A class because it holds those who keep them."""

    def __init__(
        self,
        *,
        subscriptions: PushSubscriptions,
        idempotency: Idempotency,
        policy: Policy,
        push_services: Collection[str],
    ) -> None:
        """`push_services` are the hosts that a browser may name."""
        self._subscriptions = subscriptions
        self._idempotency = idempotency
        self._policy = policy
        self._push_services = push_services

    async def add(self, call: Call, psu_id: str, form: PushSubscriptionForm) -> HttpAnswer:
        """Register a device: 201. Raises InvalidInput with every mistake, StoreUnavailable, and for the key."""
        psu = psu_id_of(psu_id, "/psu_id")
        address = address_of(form, self._push_services)
        registration = Registration(call.client.id, psu, address)

        async def add(
            _: str | None,
        ) -> HttpAnswer:  # its id follows from payer and device, with or without a key
            added = await self._subscriptions.add(registration, self._origin(call))
            return HttpAnswer(201, _encode(_body(added)))

        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, add)

    async def all_of(self, call: Call, psu_id: str) -> HttpAnswer:
        """A payer's devices. Raises InvalidInput, StoreUnavailable."""
        found = await self._subscriptions.all_of(call.client.id, psu_id_of(psu_id, "/psu_id"))
        return HttpAnswer(200, _encode(PushSubscriptionListBody(tuple(map(_body, found)))))

    async def remove(self, call: Call, psu_id: str, subscription_id: str) -> HttpAnswer:
        """Forget a device: 204. Raises NotFound, InvalidInput, StoreUnavailable."""
        psu = psu_id_of(psu_id, "/psu_id")
        if not await self._subscriptions.remove(call.client.id, psu, subscription_id, self._origin(call)):
            raise NotFound
        return HttpAnswer(204, b"")

    def _origin(self, call: Call) -> dict[str, Any]:
        members: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return members


def push_services(rules: Iterable[SupplierRule]) -> tuple[str, ...]:
    """The hosts that a browser may name: those that the Web Push suppliers may call, or the usual ones without any."""
    sections = [rule.options.get("push_services", PUSH_SERVICES) for rule in rules if rule.kind == "web-push"]
    hosts = [host for section in sections if isinstance(section, list | tuple) for host in section]
    return tuple(dict.fromkeys(hosts)) or PUSH_SERVICES


def address_of(form: PushSubscriptionForm, services: Collection[str]) -> Address:
    """The device that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    for kind, members in _MEMBERS.items():
        for member in members:
            is_given = getattr(form, member) is not None
            if kind is form.kind and not is_given:
                mistakes.note(f"/{member}", f"is required for {form.kind}")
            elif kind is not form.kind and is_given:
                mistakes.note(f"/{member}", f"is not a member of {form.kind}")
    mistakes.refuse()
    if form.kind is PushKind.FCM:
        return fcm_address(form.registration or "")
    if form.kind is PushKind.APNS:
        return apns_address(form.device or "")
    assert form.keys  # noqa: S101 - or `refuse` would have raised
    return web_push_address(
        endpoint=form.endpoint or "",
        public_key=form.keys.p256dh,
        auth=form.keys.auth,
        push_services=services,
    )


def _body(subscription: Subscription[Address]) -> PushSubscriptionBody:
    return PushSubscriptionBody(
        id=subscription.id,
        kind=subscription.address.kind,
        to=subscription.address.masked,
        registered_at=timestamp(subscription.registered_at_ms),
        used_at=timestamp(subscription.used_at_ms) if subscription.used_at_ms else None,
    )


@post(
    "/v1/psus/{psu_id:str}/push-subscriptions",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="add_push_subscription",
    summary="Register a payer's device for push",
    description=(
        "The same device again keeps its id, so an app may register whenever it starts. A device belongs to the payer "
        "who registered it last. A payer has at most ten; one more puts out the one that registered longest ago. "
        "Accepts an `Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def add_push_subscription(
    request: Request[Any, Any, Any],
    data: PushSubscriptionForm,
    push_subscriptions: PushSubscriptionOperations,
    psu_id: PsuId,
) -> Response[PushSubscriptionBody]:
    """Register a device."""
    return respond(await push_subscriptions.add(await call_of(request), psu_id, data))


@get(
    "/v1/psus/{psu_id:str}/push-subscriptions",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="list_push_subscriptions",
    summary="A payer's devices for push",
    description="All of them: there are at most ten. One that its push service no longer knows is gone by itself.",
    responses=problems(422),
)
async def list_push_subscriptions(
    request: Request[Any, Any, Any], push_subscriptions: PushSubscriptionOperations, psu_id: PsuId
) -> Response[PushSubscriptionListBody]:
    """A payer's devices."""
    return respond(await push_subscriptions.all_of(await call_of(request), psu_id))


@delete(
    "/v1/psus/{psu_id:str}/push-subscriptions/{subscription_id:str}",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="remove_push_subscription",
    summary="Forget a payer's device",
    status_code=204,
    responses=problems(404, 422),
)
async def remove_push_subscription(
    request: Request[Any, Any, Any],
    push_subscriptions: PushSubscriptionOperations,
    psu_id: PsuId,
    subscription_id: str,
) -> Response[None]:
    """Forget a device."""
    return respond(await push_subscriptions.remove(await call_of(request), psu_id, subscription_id))


ROUTES = (add_push_subscription, list_push_subscriptions, remove_push_subscription)
