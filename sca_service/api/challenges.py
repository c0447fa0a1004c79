"""Challenges over HTTP: `/v1/challenges`."""

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.params import HeaderParameter, Parameter

from sca_service.api.call import call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.forms import AnswerForm, CancelForm, CreateChallenge, NextForm
from sca_service.api.operations import ChallengeOperations
from sca_service.api.requests import moment_of
from sca_service.api.responses import ChallengeBody, ChallengeListBody, VerifyBody
from sca_service.api.routes import needs, problems, respond
from sca_service.challenges.model import Status
from sca_service.policy.model import Purpose

_TAGS = ["challenges"]
_GUARDS = [needs(Scope.CHALLENGES)]
_SECURITY = asks_for(Scope.CHALLENGES)

ChallengeIdParameter = Annotated[str, Parameter(description="The challenge's id, `chl_…`.")]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", description="Names this request: sent again, it gets the same answer."
    ),
]


@post(
    "/v1/challenges",
    guards=_GUARDS,
    security=_SECURITY,
    tags=_TAGS,
    operation_id="create_challenge",
    summary="Issue a challenge",
    description="Sends a one-time code for exactly this purpose and transaction. The answer never holds the code.",
    responses=problems(409, 413, 415, 422, 429),
)
async def create_challenge(
    request: Request[Any, Any, Any],
    data: CreateChallenge,
    challenges: ChallengeOperations,
    idempotency_key: IdempotencyKey = None,
) -> Response[ChallengeBody]:
    """Issue a challenge."""
    return respond(await challenges.create(await call_of(request), data))


@post(
    "/v1/challenges/{challenge_id:str}/verify",
    guards=_GUARDS,
    security=_SECURITY,
    tags=_TAGS,
    operation_id="verify_challenge",
    summary="Answer a challenge",
    description=(
        "Exactly one answer of a challenge is ever `approved`. A wrong code, an expired or blocked challenge is a 200 "
        "with its `outcome`. For a payment the transaction is required again: any difference voids the challenge."
    ),
    status_code=200,
    responses=problems(404, 413, 415, 422, 429),
)
async def verify_challenge(
    request: Request[Any, Any, Any],
    data: AnswerForm,
    challenges: ChallengeOperations,
    challenge_id: ChallengeIdParameter,
    idempotency_key: IdempotencyKey = None,
) -> Response[VerifyBody]:
    """Answer a challenge."""
    return respond(await challenges.verify(await call_of(request), challenge_id, data))


@get(
    "/v1/challenges/{challenge_id:str}",
    guards=_GUARDS,
    security=_SECURITY,
    tags=_TAGS,
    operation_id="get_challenge",
    summary="Read a challenge",
    responses=problems(404, 422),
)
async def get_challenge(
    request: Request[Any, Any, Any], challenges: ChallengeOperations, challenge_id: ChallengeIdParameter
) -> Response[ChallengeBody]:
    """Read a challenge, in every state."""
    return respond(await challenges.get(await call_of(request), challenge_id))


@get(
    "/v1/challenges",
    guards=_GUARDS,
    security=_SECURITY,
    tags=_TAGS,
    operation_id="list_challenges",
    summary="List challenges",
    description="The newest first.",
    responses=problems(422),
)
async def list_challenges(  # noqa: PLR0913, PLR0917 - one parameter for each filter of the contract
    request: Request[Any, Any, Any],
    challenges: ChallengeOperations,
    psu: Annotated[str | None, Parameter(description="The payer's reference.")] = None,
    status: Status | None = None,
    purpose: Purpose | None = None,
    created_after: Annotated[
        str | None, Parameter(description="RFC 3339, exclusive.", schema_extra={"format": "date-time"})
    ] = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Parameter(description="`next_cursor` of the page before.")] = None,
) -> Response[ChallengeListBody]:
    """List challenges."""
    return respond(
        await challenges.page(
            await call_of(request),
            psu=psu,
            status=status,
            purpose=purpose,
            created_after=moment_of(created_after, "/created_after") if created_after is not None else None,
            limit=limit,
            cursor=cursor,
        )
    )


@post(
    "/v1/challenges/{challenge_id:str}/next",
    guards=_GUARDS,
    security=_SECURITY,
    tags=_TAGS,
    operation_id="next_channel",
    summary="Send over the next channel now",
    description="The same code stays valid.",
    status_code=200,
    responses=problems(404, 409, 413, 415, 422, 429),
)
async def next_channel(
    request: Request[Any, Any, Any],
    data: NextForm,
    challenges: ChallengeOperations,
    challenge_id: ChallengeIdParameter,
) -> Response[ChallengeBody]:
    """Send over the next channel now."""
    return respond(await challenges.step(await call_of(request), challenge_id))


@post(
    "/v1/challenges/{challenge_id:str}/cancel",
    guards=_GUARDS,
    security=_SECURITY,
    tags=_TAGS,
    operation_id="cancel_challenge",
    summary="Cancel a challenge",
    description="Idempotent; a final challenge stays as it is.",
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def cancel_challenge(
    request: Request[Any, Any, Any],
    data: CancelForm,
    challenges: ChallengeOperations,
    challenge_id: ChallengeIdParameter,
) -> Response[ChallengeBody]:
    """Cancel a challenge."""
    return respond(await challenges.cancel(await call_of(request), challenge_id))


ROUTES = (create_challenge, verify_challenge, get_challenge, list_challenges, next_channel, cancel_challenge)
