"""What a payer has enrolled to authenticate with, over HTTP: `/v1/psus/{psu_id}/authenticators`."""

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from msgspec import Meta

from sca_service.api.authenticator_forms import (
    ActivationBody,
    ActivationForm,
    AuthenticatorBody,
    AuthenticatorForm,
    AuthenticatorListBody,
    EnrolledBody,
    NothingForm,
    ResyncBody,
    ResyncForm,
)
from sca_service.api.authenticator_operations import AuthenticatorOperations
from sca_service.api.call import call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.payers import PsuId
from sca_service.api.routes import needs, problems, respond

_TAGS = ["authenticators"]

AuthenticatorIdParameter = Annotated[str, Meta(description="The authenticator's id, `aut_…`.")]


@post(
    "/v1/psus/{psu_id:str}/authenticators",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="enrol_authenticator",
    summary="Enrol an authenticator",
    description=(
        "It is pending until a code proves that the payer has it. A payer's first one needs your word only; any other "
        "one an `authorisation`. Accepts an `Idempotency-Key`: sent again, the answer is the same but for the URI "
        "or key, which is told once."
    ),
    responses=problems(409, 413, 415, 422, 429),
)
async def enrol_authenticator(
    request: Request[Any, Any, Any],
    data: AuthenticatorForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
) -> Response[EnrolledBody]:
    """Enrol an authenticator."""
    return respond(await authenticators.enrol(await call_of(request), psu_id, data))


@post(
    "/v1/psus/{psu_id:str}/authenticators/{authenticator_id:str}/activate",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="activate_authenticator",
    summary="Prove that the payer has it",
    description="A wrong code is a 200 with its `outcome`. After five wrong codes it is revoked.",
    status_code=200,
    responses=problems(404, 409, 413, 415, 422, 429),
)
async def activate_authenticator(
    request: Request[Any, Any, Any],
    data: ActivationForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[ActivationBody]:
    """Activate an authenticator."""
    return respond(await authenticators.activate(await call_of(request), psu_id, authenticator_id, data))


@post(
    "/v1/psus/{psu_id:str}/authenticators/{authenticator_id:str}/resynchronise",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="resynchronise_authenticator",
    summary="Find the counter of a generator",
    description=(
        "For a `hotp` generator that was pressed too often: two codes in a row tell where it stands (RFC 4226, section "
        "7.4). Neither is taken again. After five wrong tries it is revoked."
    ),
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def resynchronise_authenticator(
    request: Request[Any, Any, Any],
    data: ResyncForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[ResyncBody]:
    """Find a generator's counter."""
    return respond(await authenticators.resynchronise(await call_of(request), psu_id, authenticator_id, data))


@get(
    "/v1/psus/{psu_id:str}/authenticators",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="list_authenticators",
    summary="A payer's authenticators",
    description="All of them, the oldest first, without the revoked.",
    responses=problems(422),
)
async def list_authenticators(
    request: Request[Any, Any, Any], authenticators: AuthenticatorOperations, psu_id: PsuId
) -> Response[AuthenticatorListBody]:
    """A payer's authenticators."""
    return respond(await authenticators.all_of(await call_of(request), psu_id))


def _state_route(verb: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "path": f"/v1/psus/{{psu_id:str}}/authenticators/{{authenticator_id:str}}/{verb}",
        "guards": [needs(Scope.AUTHENTICATORS)],
        "security": asks_for(Scope.AUTHENTICATORS),
        "tags": _TAGS,
        "operation_id": f"{verb}_authenticator",
        "summary": summary,
        "description": description,
        "status_code": 200,
        "responses": problems(404, 413, 415, 422),
    }


@post(
    **_state_route(
        "suspend",
        "Suspend an authenticator",
        "For a device that is mislaid: it answers nothing on any replica, and pending challenges that nothing else "
        "could answer are cancelled. Idempotent.",
    )
)
async def suspend_authenticator(
    request: Request[Any, Any, Any],
    data: NothingForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[AuthenticatorBody]:
    """Suspend an authenticator."""
    return respond(await authenticators.suspend(await call_of(request), psu_id, authenticator_id))


@post(
    **_state_route(
        "resume",
        "Let a suspended authenticator answer again",
        "Only after you have identified the payer. Idempotent; one that is not suspended stays as it is.",
    )
)
async def resume_authenticator(
    request: Request[Any, Any, Any],
    data: NothingForm,
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[AuthenticatorBody]:
    """Let a suspended authenticator answer again."""
    return respond(await authenticators.resume(await call_of(request), psu_id, authenticator_id))


@delete(
    "/v1/psus/{psu_id:str}/authenticators/{authenticator_id:str}",
    guards=[needs(Scope.AUTHENTICATORS)],
    security=asks_for(Scope.AUTHENTICATORS),
    tags=_TAGS,
    operation_id="revoke_authenticator",
    summary="Revoke an authenticator",
    description="At once and for good, on every replica. Pending challenges that it was to answer are cancelled.",
    status_code=204,
    responses=problems(404, 422),
)
async def revoke_authenticator(
    request: Request[Any, Any, Any],
    authenticators: AuthenticatorOperations,
    psu_id: PsuId,
    authenticator_id: AuthenticatorIdParameter,
) -> Response[None]:
    """Revoke an authenticator."""
    return respond(await authenticators.revoke(await call_of(request), psu_id, authenticator_id))


ROUTES = (
    enrol_authenticator,
    activate_authenticator,
    resynchronise_authenticator,
    list_authenticators,
    suspend_authenticator,
    resume_authenticator,
    revoke_authenticator,
)
