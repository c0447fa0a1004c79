"""The bank's lists of compromised or stolen elements over HTTP: `/v1/risk-listings` (RTS Art. 2(2)(a))."""

import re
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import Parameter
from msgspec import Meta, Struct

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.forms import AccountForm
from sca_service.api.idempotency import Idempotency
from sca_service.api.requests import Mistakes, psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.kernel.account import Account
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.text import clean_text
from sca_service.policy.model import Policy
from sca_service.risk.listings import Listing, Listings
from sca_service.risk.marks import Element
from sca_service.risk.model import MarkedKind

_TAGS = ["risk"]
_CURSOR = re.compile(r"lst_[0-9a-f]{32}", re.ASCII)

_encode = msgspec.json.Encoder().encode

Reason = Annotated[
    str,
    Meta(
        pattern="^[a-z][a-z0-9_]{0,39}$",
        examples=["stolen"],
        description="As a code of yours. Goes on record.",
    ),
]
ListingId = Annotated[str, Parameter(description="The id of an entry, `lst_…`.")]
Cursor = Annotated[str | None, Parameter(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Parameter(ge=1, le=200)]


class ElementForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What is put on the list: exactly one of these, as it comes in requests."""

    psu_id: Annotated[str, Meta(max_length=512, description="A payer of yours.")] | None = None
    device_id: Annotated[str, Meta(max_length=256, description="As in `signals`.")] | None = None
    ip: (
        Annotated[
            str,
            Meta(
                max_length=64,
                examples=["203.0.113.0/24"],
                description="An address (IPv6: its /64), or a network: /24, /16 (IPv4), /56, /48, /32 (IPv6).",
            ),
        ]
        | None
    ) = None
    account: Annotated[AccountForm | None, Meta(description="A payee's account.")] = None
    phone: Annotated[str, Meta(max_length=64, description="A phone number (E.164).")] | None = None
    card_ref: (
        Annotated[
            str,
            Meta(
                max_length=128,
                description="Your own reference of a card: `signals.card_ref` or `payment.instrument`.",
            ),
        ]
        | None
    ) = None


class ListingForm(Struct, frozen=True, forbid_unknown_fields=True):
    """An element, why it is on the list, and for how long."""

    element: ElementForm
    reason: Reason
    days: (
        Annotated[int, Meta(ge=1, le=3_650, description="For how long; at most what the policy has.")] | None
    ) = None


class RemoveListingForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Why one is taken off the list."""

    reason: Reason


class ListingBody(Struct, frozen=True):
    """An entry. Of the element only so much is told as lets you recognise it: the service keeps no more."""

    id: str
    kind: MarkedKind
    shown: Annotated[str, Meta(examples=["…3000"])]
    reason: str
    since: str
    until: str


class ListingListBody(Struct, frozen=True):
    """A page of entries."""

    data: tuple[ListingBody, ...]
    next_cursor: str | None


class ListingOperations:
    """The operations on lists. A class because it holds who keeps them."""

    def __init__(self, listings: Listings, idempotency: Idempotency, policy: Policy) -> None:
        self._listings = listings
        self._idempotency = idempotency
        self._policy = policy

    async def put(self, call: Call, form: ListingForm) -> HttpAnswer:
        """Put one on the list: 201. Raises InvalidInput with every mistake, StoreUnavailable, and for the key."""
        mistakes = Mistakes()
        element = mistakes.read("/element", lambda: _element(form.element))
        most_days = self._policy.risk.memory.listed_days
        days = form.days or most_days
        if days > most_days:
            mistakes.note("/days", f"must be at most {most_days}: the policy has no more")
        mistakes.refuse()
        assert element is not None  # noqa: S101 - or `refuse` would have raised

        async def put(_: str | None) -> HttpAnswer:
            listing = await self._listings.put(
                call.client.id, element, reason=form.reason, days=days, origin=self._origin(call)
            )
            return HttpAnswer(201, _encode(_body(listing)))

        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, put)

    async def page(
        self, call: Call, kind: MarkedKind | None, *, limit: int, cursor: str | None
    ) -> HttpAnswer:
        """A page: 200. Raises InvalidInput for a cursor that is not ours, StoreUnavailable."""
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise InvalidInput.at("/cursor", "is not a cursor of this list")
        found = await self._listings.page(call.client.id, kind, after=cursor or "", most=limit + 1)
        following = found[limit - 1].id if len(found) > limit else None
        return HttpAnswer(200, _encode(ListingListBody(tuple(map(_body, found[:limit])), following)))

    async def remove(self, call: Call, listing: str, form: RemoveListingForm) -> HttpAnswer:
        """Take one off the list: 204. Raises NotFound, StoreUnavailable."""
        await self._listings.remove(call.client.id, listing, reason=form.reason, origin=self._origin(call))
        return HttpAnswer(204, b"")

    def _origin(self, call: Call) -> dict[str, Any]:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return origin


def _element(form: ElementForm) -> Element:
    """The element that a form stands for. Raises InvalidInput with every mistake."""
    given = [name for name in ElementForm.__struct_fields__ if getattr(form, name) is not None]
    if len(given) != 1:
        raise InvalidInput.at("", f"must have exactly one of {', '.join(ElementForm.__struct_fields__)}")
    mistakes = Mistakes()
    element = mistakes.read(f"/{given[0]}", lambda: _of(form))
    mistakes.refuse()
    assert element is not None  # noqa: S101 - or `refuse` would have raised
    return element


def _of(form: ElementForm) -> Element:
    if form.account is not None:
        return Element.account(Account.parse(iban=form.account.iban, bban=form.account.bban))
    if form.phone is not None:
        return Element.phone(PhoneNumber.parse(form.phone))
    if form.ip is not None:
        return Element.network(form.ip)
    if form.psu_id is not None:
        return Element.reference(MarkedKind.PAYER, psu_id_of(form.psu_id))
    if form.card_ref is not None:
        return Element.reference(MarkedKind.CARD, clean_text(form.card_ref, pointer="", most=128))
    return Element.reference(MarkedKind.DEVICE, clean_text(form.device_id or "", pointer="", most=256))


def _body(listing: Listing) -> ListingBody:
    return ListingBody(
        id=listing.id,
        kind=listing.kind,
        shown=listing.shown,
        reason=listing.reason,
        since=timestamp(listing.since_ms),
        until=timestamp(listing.until_ms),
    )


@post(
    "/v1/risk-listings",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="put_risk_listing",
    summary="Put an element on the list of compromised or stolen ones",
    description=(
        "Requests in which it occurs are weighed by it (RTS Art. 2(2)(a)), yours only. It holds as soon as it is "
        "answered. Once more replaces reason and end. Accepts an `Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def put_risk_listing(
    request: Request[Any, Any, Any], data: ListingForm, listings: ListingOperations
) -> Response[ListingBody]:
    """Put an element on the list."""
    return respond(await listings.put(await call_of(request), data))


@get(
    "/v1/risk-listings",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="list_risk_listings",
    summary="What is on your list",
    description="What counts now, in no order of time; `kind` narrows it.",
    responses=problems(422),
)
async def list_risk_listings(
    request: Request[Any, Any, Any],
    listings: ListingOperations,
    kind: MarkedKind | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[ListingListBody]:
    """What is on the list."""
    return respond(await listings.page(await call_of(request), kind, limit=limit, cursor=cursor))


@post(
    "/v1/risk-listings/{listing_id:str}/remove",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="remove_risk_listing",
    summary="Take an element off the list",
    description="Goes on record with the reason. Again is as once.",
    status_code=204,
    responses=problems(404, 413, 415, 422),
)
async def remove_risk_listing(
    request: Request[Any, Any, Any],
    data: RemoveListingForm,
    listings: ListingOperations,
    listing_id: ListingId,
) -> Response[None]:
    """Take an element off the list."""
    return respond(await listings.remove(await call_of(request), listing_id, data))


ROUTES = (put_risk_listing, list_risk_listings, remove_risk_listing)
