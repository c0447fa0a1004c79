"""Cards over HTTP: `/v1/cards`: balances, charges to come, and charges that were made."""

import re
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import Parameter

from sca_service.alerts.cards.desk import CardDesk
from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.card_bodies import (
    CardBody,
    PastChargesBody,
    PutBalanceBody,
    UpcomingChargeBody,
    UpcomingChargeListBody,
    card_body,
    charge_bodies,
    past_charges_body,
    put_balance_body,
)
from sca_service.api.card_forms import (
    PastChargesForm,
    PutBalanceForm,
    UpcomingChargeForm,
    balance_order_of,
    card_ref_of,
    past_orders_of,
    upcoming_order_of,
)
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.idempotency import Idempotency
from sca_service.api.routes import needs, problems, respond
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.policy.model import Policy

_TAGS = ["cards"]
_CHARGE_ID = re.compile(r"chg_[0-9a-f]{32}", re.ASCII)
_CURSOR = re.compile(r"[0-9]{1,4}", re.ASCII)

_encode = msgspec.json.Encoder().encode

CardRef = Annotated[
    str, Parameter(description="Your own reference of the card, 1 to 128 characters; never its number.")
]
ChargeId = Annotated[str, Parameter(description="The charge's id, `chg_…`.")]


class CardOperations:
    """The operations on cards. A class because it holds the desk that keeps them."""

    def __init__(self, *, desk: CardDesk, idempotency: Idempotency, policy: Policy) -> None:
        self._desk = desk
        self._idempotency = idempotency
        self._policy = policy

    async def put_balance(self, call: Call, card_ref: str, form: PutBalanceForm) -> HttpAnswer:
        """A card's newest balance: 200. Raises InvalidInput with every mistake, StoreUnavailable."""
        ref = card_ref_of(card_ref)
        order = balance_order_of(form)
        seen = await self._desk.put_balance(call.client.id, ref, order, self._origin(call))
        return HttpAnswer(200, _encode(put_balance_body(ref, seen)))

    async def get(self, call: Call, card_ref: str) -> HttpAnswer:
        """A card: 200. Raises InvalidInput, NotFound, StoreUnavailable."""
        ref = card_ref_of(card_ref)
        return HttpAnswer(200, _encode(card_body(ref, await self._desk.get(call.client.id, ref))))

    async def forget(self, call: Call, card_ref: str) -> HttpAnswer:
        """Forget a card: 204. Raises InvalidInput, NotFound, StoreUnavailable."""
        await self._desk.forget(call.client.id, card_ref_of(card_ref), self._origin(call))
        return HttpAnswer(204, b"")

    async def expect(self, call: Call, card_ref: str, form: UpcomingChargeForm) -> HttpAnswer:
        """A charge to come: 201. Raises InvalidInput, NotFound, StoreUnavailable, and for the key."""
        ref, order = card_ref_of(card_ref), upcoming_order_of(form)
        origin = self._origin(call)

        async def expect(unique: str | None) -> HttpAnswer:
            charge, seen = await self._desk.expect(call.client.id, ref, order, origin, unique=unique)
            (body,) = charge_bodies(seen.held, [charge], self._policy.alerts.cards)
            return HttpAnswer(201, _encode(body))

        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, expect)

    async def upcoming(self, call: Call, card_ref: str, *, limit: int, cursor: str | None) -> HttpAnswer:
        """A page of the charges to come: 200. Raises InvalidInput, NotFound, StoreUnavailable."""
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise InvalidInput.at("/cursor", "is not a cursor of this list")
        skip = int(cursor or 0)
        seen, charges = await self._desk.upcoming(call.client.id, card_ref_of(card_ref))
        bodies = charge_bodies(seen.held, charges[skip : skip + limit], self._policy.alerts.cards)
        following = str(skip + limit) if len(charges) > skip + limit else None
        return HttpAnswer(200, _encode(UpcomingChargeListBody(bodies, following)))

    async def cancel(self, call: Call, card_ref: str, charge_id: str) -> HttpAnswer:
        """Expect a charge no more: 204. Raises InvalidInput, NotFound, StoreUnavailable."""
        ref = card_ref_of(card_ref)
        if not _CHARGE_ID.fullmatch(charge_id):
            raise NotFound
        await self._desk.cancel(call.client.id, ref, charge_id, self._origin(call))
        return HttpAnswer(204, b"")

    async def record(self, call: Call, card_ref: str, form: PastChargesForm) -> HttpAnswer:
        """Charges that were made: 200. Raises InvalidInput with every mistake, NotFound, StoreUnavailable."""
        ref, orders = card_ref_of(card_ref), past_orders_of(form)
        learned = await self._desk.record(call.client.id, ref, orders, self._origin(call))
        return HttpAnswer(200, _encode(past_charges_body(learned, self._policy.alerts.cards)))

    def _origin(self, call: Call) -> dict[str, Any]:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return origin


@put(
    "/v1/cards/{card_ref:str}/balance",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="put_card_balance",
    summary="Tell a card's balance",
    description=(
        "The holder is warned when the balance falls below the threshold, once until it has recovered, and of a charge "
        "to come that it will not be enough for. A balance that is not newer (`as_of`) than what is known changes "
        "nothing, and `applied` is false. What is not sent yet is suppressed when the balance is enough again."
    ),
    responses=problems(413, 415, 422),
)
async def put_card_balance(
    request: Request[Any, Any, Any], data: PutBalanceForm, cards: CardOperations, card_ref: CardRef
) -> Response[PutBalanceBody]:
    """Tell a card's balance."""
    return respond(await cards.put_balance(await call_of(request), card_ref, data))


@get(
    "/v1/cards/{card_ref:str}",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="get_card",
    summary="A card as it stands",
    responses=problems(404, 422),
)
async def get_card(
    request: Request[Any, Any, Any], cards: CardOperations, card_ref: CardRef
) -> Response[CardBody]:
    """A card as it stands."""
    return respond(await cards.get(await call_of(request), card_ref))


@delete(
    "/v1/cards/{card_ref:str}",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="forget_card",
    summary="Forget a card",
    description="With its charges. Alerts about it that are not sent yet are suppressed.",
    status_code=204,
    responses=problems(404, 422),
)
async def forget_card(
    request: Request[Any, Any, Any], cards: CardOperations, card_ref: CardRef
) -> Response[None]:
    """Forget a card."""
    return respond(await cards.forget(await call_of(request), card_ref))


@post(
    "/v1/cards/{card_ref:str}/upcoming-charges",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="add_upcoming_charge",
    summary="Tell of a charge to come",
    description=(
        "The holder is warned some days before it when the balance will not be enough, at most once for each charge "
        "and day. The same `reference`, or without one the same merchant, on the same day is the same charge: what is "
        "sent last stands. Accepts an `Idempotency-Key`."
    ),
    responses=problems(404, 409, 413, 415, 422),
)
async def add_upcoming_charge(
    request: Request[Any, Any, Any], data: UpcomingChargeForm, cards: CardOperations, card_ref: CardRef
) -> Response[UpcomingChargeBody]:
    """Tell of a charge to come."""
    return respond(await cards.expect(await call_of(request), card_ref, data))


@get(
    "/v1/cards/{card_ref:str}/upcoming-charges",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="list_upcoming_charges",
    summary="The charges to come of a card",
    description="Those that were told and those that were recognised, the soonest first, with what is predicted.",
    responses=problems(404, 422),
)
async def list_upcoming_charges(
    request: Request[Any, Any, Any],
    cards: CardOperations,
    card_ref: CardRef,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Parameter(description="`next_cursor` of the page before.")] = None,
) -> Response[UpcomingChargeListBody]:
    """The charges to come of a card."""
    return respond(await cards.upcoming(await call_of(request), card_ref, limit=limit, cursor=cursor))


@delete(
    "/v1/cards/{card_ref:str}/upcoming-charges/{charge_id:str}",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="cancel_upcoming_charge",
    summary="Expect a charge no more",
    description="An alert about it that is not sent yet is suppressed.",
    status_code=204,
    responses=problems(404, 422),
)
async def cancel_upcoming_charge(
    request: Request[Any, Any, Any], cards: CardOperations, card_ref: CardRef, charge_id: ChargeId
) -> Response[None]:
    """Expect a charge no more."""
    return respond(await cards.cancel(await call_of(request), card_ref, charge_id))


@post(
    "/v1/cards/{card_ref:str}/charges",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="add_charges",
    summary="Tell of charges that were made",
    description=(
        "Regular ones are recognised among them, and expected again with the source `recognised`. A charge to come "
        "that has come is expected no more. Each counts once, by its `reference` or by its merchant, day and amount, "
        "so a request may be repeated."
    ),
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def add_charges(
    request: Request[Any, Any, Any], data: PastChargesForm, cards: CardOperations, card_ref: CardRef
) -> Response[PastChargesBody]:
    """Tell of charges that were made."""
    return respond(await cards.record(await call_of(request), card_ref, data))


ROUTES = (
    put_card_balance,
    get_card,
    forget_card,
    add_upcoming_charge,
    list_upcoming_charges,
    cancel_upcoming_charge,
    add_charges,
)
