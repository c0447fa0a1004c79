"""What the pumping guard has blocked, and what it leaves alone, over HTTP: `/v1/blocks`, `/v1/allow-list`."""

import re
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.params import Parameter
from msgspec import Meta, Struct

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.requests import Mistakes
from sca_service.api.routes import needs, problems, respond
from sca_service.challenges.pumping_desk import PumpingDesk
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.text import clean_text
from sca_service.limits.pumping.model import Entry, Subject, address_name
from sca_service.limits.pumping.redis_store import EntryKind
from sca_service.policy.model import Policy
from sca_service.policy.pumping import PumpingScope

_TAGS = ["pumping"]
_ENTRY_ID = re.compile(r"(?:blk|alw)_[0-9a-f]{32}", re.ASCII)
_CURSOR = re.compile(r"[0-9]{1,5}", re.ASCII)
_NAMES = {
    PumpingScope.PREFIX: (r"\+[1-9][0-9]{2,10}", "must be the beginning of numbers, as +49151123"),
    PumpingScope.COUNTRY: (r"[A-Z]{2}", "must be a country (ISO 3166), as DE"),
    PumpingScope.CLIENT: (r"[a-z0-9][a-z0-9-]{1,39}", "must be a client's id"),
}

_encode = msgspec.json.Encoder().encode

Reason = Annotated[str, Meta(max_length=512, description="Goes on record.")]
EntryId = Annotated[str, Parameter(description="The id of a block, `blk_…`, or of what is allowed, `alw_…`.")]
Cursor = Annotated[str | None, Parameter(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Parameter(ge=1, le=200)]


class TakeOutForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a block is lifted, or something is allowed no more."""

    reason: Reason


class AllowForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the guard is to leave alone, and why. An address is one of a `client`'s, the caller's when left out."""

    scope: Literal["prefix", "country", "ip", "client"]
    subject: Annotated[
        str,
        Meta(
            max_length=64,
            description="A number without its last four digits, a country, an address, a client.",
        ),
    ]
    reason: Reason
    days: (
        Annotated[int, Meta(ge=1, le=365, description="For how long; at most what the policy has.")] | None
    ) = None
    client: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{1,39}$")] | None = None


class EntryBody(Struct, frozen=True):
    """A block, or something that is allowed. A subject is a pseudonym where it would name a person."""

    id: str
    scope: str
    subject: str
    reason: str
    since: str
    until: str
    refused: Annotated[int, Meta(description="How many messages a block has stopped.")]


class EntryListBody(Struct, frozen=True):
    """A page of them, what ends last first."""

    data: tuple[EntryBody, ...]
    next_cursor: str | None


class BlockOperations:
    """The operations on blocks and on the allow-list. A class because it holds the desk."""

    def __init__(self, desk: PumpingDesk, policy: Policy, keyring: Keyring) -> None:
        self._desk = desk
        self._policy = policy
        self._keyring = keyring

    async def page(self, kind: EntryKind, *, limit: int, cursor: str | None) -> HttpAnswer:
        """A page: 200. Raises InvalidInput for a cursor that is not ours, StoreUnavailable."""
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise InvalidInput.at("/cursor", "is not a cursor of this list")
        skip = int(cursor or 0)
        found = await self._desk.entries(kind, most=limit + 1, skip=skip)
        following = str(skip + limit) if len(found) > limit else None
        return HttpAnswer(200, _encode(EntryListBody(tuple(map(_body, found[:limit])), following)))

    async def take_out(self, call: Call, kind: EntryKind, entry_id: str, form: TakeOutForm) -> HttpAnswer:
        """Lift a block or disallow: 200 with what was there. Raises InvalidInput, NotFound, StoreUnavailable."""
        reason = clean_text(form.reason, pointer="/reason", most=256)
        if not _ENTRY_ID.fullmatch(entry_id):
            raise NotFound
        take_out = self._desk.lift if kind is EntryKind.BLOCK else self._desk.disallow
        return HttpAnswer(200, _encode(_body(await take_out(call.caller, entry_id, reason))))

    async def allow(self, call: Call, form: AllowForm) -> HttpAnswer:
        """Allow a subject: 201. Raises InvalidInput with every mistake, StoreUnavailable."""
        mistakes = Mistakes()
        reason = mistakes.read("/reason", lambda: clean_text(form.reason, pointer="", most=256)) or ""
        subject = mistakes.read("/subject", lambda: self._subject(form, call.client.id))
        most_days = self._policy.pumping.most_allowed_days
        days = form.days or most_days
        if days > most_days:
            mistakes.note("/days", f"must be at most {most_days}: the policy has no more")
        if form.client is not None and form.scope != "ip":
            mistakes.note("/client", "belongs to an address only")
        mistakes.refuse()
        assert subject is not None  # noqa: S101 - or `refuse` would have raised
        return HttpAnswer(
            201, _encode(_body(await self._desk.allow(call.caller, subject, reason=reason, days=days)))
        )

    def _subject(self, form: AllowForm, caller: str) -> Subject:
        scope = PumpingScope(form.scope)
        if scope is PumpingScope.IP:
            name = address_name(form.subject, client=form.client or caller, keyring=self._keyring)
            if not name:
                raise InvalidInput.at("", "must be an IP address")
            return Subject(scope, name)
        pattern, rule = _NAMES[scope]
        if not re.fullmatch(pattern, form.subject, re.ASCII):
            raise InvalidInput.at("", rule)
        return Subject(scope, form.subject)


def _body(entry: Entry) -> EntryBody:
    return EntryBody(
        id=entry.id,
        scope=entry.scope,
        subject=entry.subject,
        reason=entry.why,
        since=timestamp(entry.since * 1000),
        until=timestamp(entry.until * 1000),
        refused=entry.refused,
    )


@get(
    "/v1/blocks",
    guards=[needs(Scope.ADMIN)],
    security=asks_for(Scope.ADMIN),
    tags=_TAGS,
    operation_id="list_blocks",
    summary="What the pumping guard has blocked",
    description="What is blocked now, the newest first: scope, subject, reason, end, how many messages it stopped.",
    responses=problems(422),
)
async def list_blocks(
    request: Request[Any, Any, Any], blocks: BlockOperations, limit: Limit = 50, cursor: Cursor = None
) -> Response[EntryListBody]:
    """What the pumping guard has blocked."""
    return respond(await blocks.page(EntryKind.BLOCK, limit=limit, cursor=cursor))


@post(
    "/v1/blocks/{entry_id:str}/lift",
    guards=[needs(Scope.ADMIN)],
    security=asks_for(Scope.ADMIN),
    tags=_TAGS,
    operation_id="lift_block",
    summary="Lift a block",
    description="Its subject is counted anew. Goes on record with the reason.",
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def lift_block(
    request: Request[Any, Any, Any], data: TakeOutForm, blocks: BlockOperations, entry_id: EntryId
) -> Response[EntryBody]:
    """Lift a block."""
    return respond(await blocks.take_out(await call_of(request), EntryKind.BLOCK, entry_id, data))


@get(
    "/v1/allow-list",
    guards=[needs(Scope.ADMIN)],
    security=asks_for(Scope.ADMIN),
    tags=_TAGS,
    operation_id="list_allowed",
    summary="What the pumping guard leaves alone",
    description="What is allowed now, what ends last first.",
    responses=problems(422),
)
async def list_allowed(
    request: Request[Any, Any, Any], blocks: BlockOperations, limit: Limit = 50, cursor: Cursor = None
) -> Response[EntryListBody]:
    """What the pumping guard leaves alone."""
    return respond(await blocks.page(EntryKind.ALLOW, limit=limit, cursor=cursor))


@post(
    "/v1/allow-list",
    guards=[needs(Scope.ADMIN)],
    security=asks_for(Scope.ADMIN),
    tags=_TAGS,
    operation_id="allow",
    summary="Have the pumping guard leave something alone",
    description=(
        "Nothing is counted or blocked under this subject, and a block of it stops nothing; its messages still count "
        "under their other subjects. A prefix takes its neighbouring numbers with it. Once more replaces what stood "
        "there. Goes on record with the reason."
    ),
    responses=problems(413, 415, 422),
)
async def allow(
    request: Request[Any, Any, Any], data: AllowForm, blocks: BlockOperations
) -> Response[EntryBody]:
    """Have the pumping guard leave something alone."""
    return respond(await blocks.allow(await call_of(request), data))


@post(
    "/v1/allow-list/{entry_id:str}/remove",
    guards=[needs(Scope.ADMIN)],
    security=asks_for(Scope.ADMIN),
    tags=_TAGS,
    operation_id="disallow",
    summary="Have the pumping guard watch it again",
    description="Goes on record with the reason.",
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def disallow(
    request: Request[Any, Any, Any], data: TakeOutForm, blocks: BlockOperations, entry_id: EntryId
) -> Response[EntryBody]:
    """Have the pumping guard watch it again."""
    return respond(await blocks.take_out(await call_of(request), EntryKind.ALLOW, entry_id, data))


ROUTES = (list_blocks, lift_block, list_allowed, allow, disallow)
