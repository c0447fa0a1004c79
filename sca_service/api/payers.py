"""Payers over HTTP: `/v1/psus`."""

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.params import Parameter

from sca_service.api.call import call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.forms import UnblockForm
from sca_service.api.operations import PayerOperations
from sca_service.api.responses import PayerBody
from sca_service.api.routes import needs, problems, respond

_TAGS = ["payers"]

PsuId = Annotated[str, Parameter(description="The client's own reference of the payer.")]


@get(
    "/v1/psus/{psu_id:str}",
    guards=[needs(Scope.CHALLENGES)],
    security=asks_for(Scope.CHALLENGES),
    tags=_TAGS,
    operation_id="get_payer",
    summary="Whether a payer is blocked",
    responses=problems(422),
)
async def get_payer(
    request: Request[Any, Any, Any], payers: PayerOperations, psu_id: PsuId
) -> Response[PayerBody]:
    """Whether a payer is blocked, until when, and how many failures are counted."""
    return respond(await payers.get(await call_of(request), psu_id))


@post(
    "/v1/psus/{psu_id:str}/unblock",
    guards=[needs(Scope.ADMIN)],
    security=asks_for(Scope.ADMIN),
    tags=_TAGS,
    operation_id="unblock_payer",
    summary="Lift a payer's block",
    description="Goes on record with the reason. An operator names the `client` whose payer it is.",
    status_code=200,
    responses=problems(413, 415, 422),
)
async def unblock_payer(
    request: Request[Any, Any, Any], data: UnblockForm, payers: PayerOperations, psu_id: PsuId
) -> Response[PayerBody]:
    """Lift a payer's block."""
    return respond(await payers.unblock(await call_of(request), psu_id, data))


ROUTES = (get_payer, unblock_payer)
