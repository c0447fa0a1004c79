"""The audit log over HTTP: `/v1/audit`."""

import base64
import binascii
import re
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.params import Parameter, QueryParameter

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.postgres_store import EventReader
from sca_service.api.requests import moment_of, psu_id_of
from sca_service.api.responses import AuditEventListBody
from sca_service.api.routes import needs, problems, respond
from sca_service.audit.listing.postgres_store import EventFilter, EventRow, Place
from sca_service.audit.log.reader import LogReader
from sca_service.audit.reading import ReadingRecord
from sca_service.kernel.clock import timestamp
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.keyring import Keyring

_PROOF = "text/plain"  # the framework adds the charset


_FORMS = {
    "/challenge": re.compile(r"chl_[0-9a-f]{38}", re.ASCII),
    "/type": re.compile(r"[a-z_]{1,40}\.[a-z_]{1,40}", re.ASCII),
    "/client": re.compile(r"[a-z0-9][a-z0-9-]{1,39}", re.ASCII),
}


class AuditOperations:
    """Reads the log for auditors. A class because it holds the readers."""

    def __init__(
        self, reader: EventReader, keyring: Keyring, log_reader: LogReader, readings: ReadingRecord
    ) -> None:
        self._reader = reader
        self._readings = readings
        self._keyring = keyring
        self._log_reader = log_reader

    async def proof(self, index: int) -> HttpAnswer:
        """The proof of one event by its index. Raises NotFound until a checkpoint has it, StoreUnavailable."""
        proof = await self._log_reader.proof(index)
        if proof is None:
            raise NotFound
        return HttpAnswer(200, proof.encode(), media_type=_PROOF)

    async def page(self, call: Call, wanted: EventFilter, *, psu: str | None, limit: int) -> HttpAnswer:
        """A page of events; that it was read is on record first.

        `psu` is a payer's pseudonym, or a client's own reference. Raises StoreUnavailable.
        """
        payers = None
        if psu is not None:
            payers = _pseudonyms(psu_id_of(psu, "/psu"), await self._reader.client_ids(), self._keyring)
        rows = await self._reader.page(replace(wanted, payers=payers), most=limit + 1)
        page = rows[:limit]
        if len(rows) > limit:  # a cursor never stands behind an event that another may still come before
            page = [row for row in page if row.is_settled]
        body = AuditEventListBody(
            data=tuple(_event(row) for row in page),
            next_cursor=_cursor(page[-1]) if page and len(rows) > limit else None,
        )
        await self._readings.put_down(
            "audit.read",
            client=call.client.id,
            request=call.request_id,
            members={**_as_read(page, wanted, psu), **call.client.certificate_members},
        )
        return HttpAnswer(200, msgspec.json.encode(body))


@get(
    "/v1/audit/events",
    guards=[needs(Scope.AUDIT)],
    security=asks_for(Scope.AUDIT),
    tags=["audit"],
    operation_id="list_audit_events",
    summary="Read the audit log",
    description="In the order of the log. `index` is null for a moment, until the log role has sequenced an event.",
    responses=problems(422),
)
async def list_audit_events(  # noqa: PLR0913, PLR0917 - one parameter for each filter of the contract
    request: Request[Any, Any, Any],
    audit: AuditOperations,
    psu: Annotated[str | None, Parameter(description="A payer's pseudonym, or a client's reference.")] = None,
    challenge: str | None = None,
    kind: Annotated[
        str | None, QueryParameter(name="type", description="Such as `challenge.answered`.")
    ] = None,
    client: str | None = None,
    since: Annotated[
        str | None,
        QueryParameter(name="from", description="RFC 3339, inclusive.", schema_extra={"format": "date-time"}),
    ] = None,
    until: Annotated[
        str | None,
        QueryParameter(name="to", description="RFC 3339, exclusive.", schema_extra={"format": "date-time"}),
    ] = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Parameter(description="`next_cursor` of the page before.")] = None,
) -> Response[AuditEventListBody]:
    """Read the audit log."""
    wanted = EventFilter(
        challenge=_formed("/challenge", challenge),
        kind=_formed("/type", kind),
        since=moment_of(since, "/from") if since is not None else None,
        until=moment_of(until, "/to") if until is not None else None,
        client=_formed("/client", client),
        after=_place(cursor) if cursor is not None else None,
    )
    return respond(await audit.page(await call_of(request), wanted, psu=psu, limit=limit))


@get(
    "/v1/audit/events/{index:int}/proof",
    guards=[needs(Scope.AUDIT)],
    security=asks_for(Scope.AUDIT),
    tags=["audit"],
    operation_id="prove_audit_event",
    summary="Prove that an event is in the log",
    description=(
        "C2SP tlog-proof: the inclusion proof of the event, and the signed checkpoint it leads to. Anybody can verify "
        "it without us. 404 until a published checkpoint has the event, a second or so after it happened, and again "
        "when it is not kept any more."
    ),
    media_type=_PROOF,
    responses=problems(404, 422),
)
async def prove_audit_event(
    index: Annotated[int, Parameter(ge=0, le=2**63 - 1, description="The event's `index` in the log.")],
    audit: AuditOperations,
) -> Response[str]:
    """Prove that an event is in the log."""
    return respond(await audit.proof(index))


ROUTES = (list_audit_events, prove_audit_event)


def _formed(pointer: str, text: str | None) -> str | None:
    """A filter that can name something. What was looked for goes on record, where nothing personal may come."""
    if text is not None and not _FORMS[pointer].fullmatch(text):
        raise InvalidInput.at(pointer, "is not what such a thing is called")
    return text


def _pseudonyms(psu: str, clients: list[str], keyring: Keyring) -> list[str]:
    return [psu, *(keyring.pseudonym("payer", client, psu) for client in clients)]


def _as_read(page: list[EventRow], wanted: EventFilter, psu: str | None) -> dict[str, object]:
    """What the log says of a reading: the filters, and how many events were shown.

    A payer is named by the pseudonym that was found, since what was asked for may be a client's own reference.
    """
    filters: dict[str, object] = {
        "challenge": wanted.challenge,
        "type": wanted.kind,
        "client": wanted.client,
        "from": wanted.since.isoformat() if wanted.since else None,
        "to": wanted.until.isoformat() if wanted.until else None,
        "payers": sorted({row.payer for row in page if row.payer}) if psu is not None else None,
    }
    return {
        "filters": {name: value for name, value in filters.items() if value is not None},
        "count": len(page),
    }


def _event(row: EventRow) -> dict[str, object]:
    members: dict[str, Any] = msgspec.json.decode(row.body)
    return {"id": members.pop("id"), "index": row.index, "at": timestamp(members["at_ms"]), **members}


def _cursor(row: EventRow) -> str:
    return base64.urlsafe_b64encode(f"{row.place[0]}.{row.place[1]}".encode()).decode()


def _place(cursor: str) -> Place:
    try:
        txid, position = base64.urlsafe_b64decode(cursor.encode()).decode().split(".")
        place = int(txid), int(position)
    except (ValueError, binascii.Error) as error:
        raise InvalidInput.at("/cursor", "is not a cursor of this list") from error
    if not 0 <= place[0] < 2**63 or not 0 <= place[1] < 2**63:
        raise InvalidInput.at("/cursor", "is not a cursor of this list")
    return place
