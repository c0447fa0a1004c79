"""Whom payers trust, over HTTP: `/v1/psus/{psu_id}/trusted-beneficiaries` (RTS Art. 13)."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import Parameter

from sca_service.api.answer import HttpAnswer
from sca_service.api.authorisations import Authorisations
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.exemption_forms import (
    BeneficiaryBody,
    BeneficiaryForm,
    BeneficiaryListBody,
    RemoveBeneficiaryForm,
)
from sca_service.api.exemption_requests import beneficiary_body, payee_of
from sca_service.api.idempotency import Idempotency
from sca_service.api.payers import PsuId
from sca_service.api.requests import Mistakes, psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.exemptions.beneficiaries.trusted import TrustedBeneficiaries
from sca_service.exemptions.desk import Whose
from sca_service.policy.model import Policy, Purpose

_TAGS = ["exemptions"]

_encode = msgspec.json.Encoder().encode

BeneficiaryId = Annotated[str, Parameter(description="The beneficiary's id, `ben_…`.")]


class BeneficiaryOperations:
    """The operations on payers' lists. A class because it holds those who keep them."""

    def __init__(
        self,
        *,
        trusted: TrustedBeneficiaries,
        authorisations: Authorisations,
        idempotency: Idempotency,
        policy: Policy,
    ) -> None:
        self._trusted = trusted
        self._authorisations = authorisations
        self._idempotency = idempotency
        self._policy = policy

    async def add(self, call: Call, psu_id: str, form: BeneficiaryForm) -> HttpAnswer:
        """Trust a payee: 201. Raises InvalidInput with every mistake, what `TrustedBeneficiaries.add` raises."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        payee = mistakes.read("/payee", lambda: payee_of(form.payee))
        approval = mistakes.read("/authorisation", lambda: self._approval(call, psu, form.authorisation))
        mistakes.refuse()
        assert payee is not None  # noqa: S101 - or `refuse` would have raised

        async def add(unique: str | None) -> HttpAnswer:
            added = await self._trusted.add(self._whose(call, psu), payee, approval, unique=unique)
            return HttpAnswer(201, _encode(beneficiary_body(added)))

        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, add)

    async def all_of(self, call: Call, psu_id: str) -> HttpAnswer:
        """A payer's list: 200. Raises InvalidInput, StoreUnavailable."""
        found = await self._trusted.all_of(self._whose(call, psu_id_of(psu_id, "/psu_id")))
        return HttpAnswer(200, _encode(BeneficiaryListBody(tuple(map(beneficiary_body, found)))))

    async def remove(
        self, call: Call, psu_id: str, beneficiary_id: str, form: RemoveBeneficiaryForm
    ) -> HttpAnswer:
        """Trust a payee no more: 204. Raises InvalidInput, what `TrustedBeneficiaries.remove` raises."""
        mistakes = Mistakes()
        psu = mistakes.read("/psu_id", lambda: psu_id_of(psu_id)) or ""
        approval = mistakes.read("/authorisation", lambda: self._approval(call, psu, form.authorisation))
        mistakes.refuse()
        await self._trusted.remove(self._whose(call, psu), beneficiary_id, approval)
        return HttpAnswer(204, b"")

    def _whose(self, call: Call, psu: str) -> Whose:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return Whose(call.client.id, psu, origin)

    def _approval(self, call: Call, psu: str, authorisation: str | None) -> str | None:
        """The event of the approval that an authentication code states."""
        approval = self._authorisations.read(call, psu, authorisation, purpose=Purpose.OTHER)
        return approval.approval if approval else None


@post(
    "/v1/psus/{psu_id:str}/trusted-beneficiaries",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="add_trusted_beneficiary",
    summary="Trust a payee",
    description=(
        "Payments to a payee on the list are exempt (RTS Art. 13). A list changes with the payer's authentication "
        "only, so `authorisation` is needed. A payee who is there already stays as it is. Accepts an "
        "`Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def add_trusted_beneficiary(
    request: Request[Any, Any, Any],
    data: BeneficiaryForm,
    beneficiaries: BeneficiaryOperations,
    psu_id: PsuId,
) -> Response[BeneficiaryBody]:
    """Trust a payee."""
    return respond(await beneficiaries.add(await call_of(request), psu_id, data))


@get(
    "/v1/psus/{psu_id:str}/trusted-beneficiaries",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="list_trusted_beneficiaries",
    summary="Whom a payer trusts",
    description="All of them, the oldest first.",
    responses=problems(422),
)
async def list_trusted_beneficiaries(
    request: Request[Any, Any, Any], beneficiaries: BeneficiaryOperations, psu_id: PsuId
) -> Response[BeneficiaryListBody]:
    """Whom a payer trusts."""
    return respond(await beneficiaries.all_of(await call_of(request), psu_id))


@post(
    "/v1/psus/{psu_id:str}/trusted-beneficiaries/{beneficiary_id:str}/remove",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="remove_trusted_beneficiary",
    summary="Trust a payee no more",
    description="Needs an `authorisation` as well. Again is as once.",
    status_code=204,
    responses=problems(404, 409, 413, 415, 422),
)
async def remove_trusted_beneficiary(
    request: Request[Any, Any, Any],
    data: RemoveBeneficiaryForm,
    beneficiaries: BeneficiaryOperations,
    psu_id: PsuId,
    beneficiary_id: BeneficiaryId,
) -> Response[None]:
    """Trust a payee no more."""
    return respond(await beneficiaries.remove(await call_of(request), psu_id, beneficiary_id, data))


ROUTES = (add_trusted_beneficiary, list_trusted_beneficiaries, remove_trusted_beneficiary)
