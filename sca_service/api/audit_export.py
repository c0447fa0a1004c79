"""The audit log as a file: `/v1/audit/export`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, get
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Schema,
)
from litestar.params import Parameter, QueryParameter
from litestar.response import Stream

from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.requests import moment_of, psu_id_of
from sca_service.api.routes import needs, problems
from sca_service.audit.export.exporter import Export, ExportedBy, Exporter
from sca_service.audit.export.model import ExportFilter, ExportFormat
from sca_service.audit.export.postgres_store import LeafStore
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.text import clean_text

_FIXED_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """The filters as they were sent, each of its right form; None leaves one open."""

    psu: str | None = None
    challenge: str | None = None
    kind: str | None = None
    client: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def export_order(
    *,
    psu: str | None = None,
    challenge: str | None = None,
    kind: str | None = None,
    client: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> ExportOrder:
    """The filters of a request or a command. Raises InvalidInput for one that cannot be what it should be."""
    return ExportOrder(
        psu=None if psu is None else psu_id_of(psu, "/psu"),
        challenge=_text("/challenge", challenge),
        kind=_text("/type", kind),
        client=_text("/client", client),
        since=None if since is None else moment_of(since, "/from"),
        until=None if until is None else moment_of(until, "/to"),
    )


class AuditExports:
    """Opens exports of the log. A class because it holds the exporter and the keys of pseudonyms."""

    def __init__(self, exporter: Exporter, store: LeafStore, keyring: Keyring) -> None:
        self.exporter = exporter
        self._store = store
        self._keyring = keyring

    async def open(self, export_format: ExportFormat, order: ExportOrder, by: ExportedBy) -> Export:
        """An export, on record. `psu` is a payer's pseudonym, or a client's own reference of the payer.

        Raises InvalidInput, TooEarly, StoreUnavailable.
        """
        wanted = ExportFilter(
            payers=None if order.psu is None else await self._payers(order.psu),
            challenge=order.challenge,
            kind=order.kind,
            client=order.client,
            since=order.since,
            until=order.until,
        )
        return await self.exporter.open(export_format, wanted, by)

    async def _payers(self, psu: str) -> tuple[str, ...]:
        clients = await self._store.client_ids()
        pseudonyms = [psu, *(self._keyring.pseudonym("payer", client, psu) for client in clients)]
        return await self._store.payers_on_record(pseudonyms)


@dataclass
class ExportOperation(Operation):
    """The route's entry in the OpenAPI document: the framework sees a stream, and not of what."""

    def __post_init__(self) -> None:
        """Say which media types a file has."""
        text = Schema(type=OpenAPIType.STRING)
        self.responses = {
            **(self.responses or {}),
            "200": OpenAPIResponse(
                description="The file, as the format wants it.",
                content={
                    one.media_type.partition(";")[0]: OpenAPIMediaType(schema=text) for one in ExportFormat
                },
            ),
        }


@get(
    "/v1/audit/export",
    guards=[needs(Scope.AUDIT)],
    security=asks_for(Scope.AUDIT),
    tags=["audit"],
    operation_id="export_audit_log",
    summary="Export the audit log",
    description=(
        "Streams every event that has an index when the call arrives, in the order of the log. JSON Lines hold each "
        "canonical leaf to the byte. In CSV a cell that a spreadsheet would take for a formula begins with an "
        "apostrophe. Parquet needs the service's extra `parquet`. A filter that names what is not on record is "
        "refused. The export is an event itself, on record before the first byte. A file that ends early was cut off."
    ),
    operation_class=ExportOperation,
    responses=problems(422, 429),
)
async def export_audit_log(  # noqa: PLR0913, PLR0917 - one parameter for each filter of the contract
    request: Request[Any, Any, Any],
    exports: AuditExports,
    format: Annotated[ExportFormat, QueryParameter(description="The format of the file.")],  # noqa: A002
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
) -> Stream:
    """Export the audit log."""
    order = export_order(psu=psu, challenge=challenge, kind=kind, client=client, since=since, until=until)
    export = await exports.open(format, order, _reader(await call_of(request)))
    return Stream(
        exports.exporter.chunks(export),
        media_type=format.media_type,
        headers={
            **_FIXED_HEADERS,
            "Content-Disposition": f'attachment; filename="{export.file_name}"',
        },
    )


ROUTES = (export_audit_log,)


def _reader(call: Call) -> ExportedBy:
    return ExportedBy(
        f"client:{call.client.id}", call.client.id, call.request_id, call.client.certificate_members
    )


def _text(pointer: str, text: str | None) -> str | None:
    return None if text is None else clean_text(text, pointer=pointer, most=128)
