"""Exemptions and fraud over HTTP: `/v1/exemptions`, `/v1/fraud-reports`, `/v1/reports`."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.params import Parameter, QueryParameter

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.exemption_forms import (
    AssessForm,
    AssessmentBody,
    CancelAssessmentForm,
    ExecutedForm,
    FraudReportBody,
    FraudReportForm,
    QuarterBody,
    RateListBody,
    WithdrawForm,
)
from sca_service.api.exemption_requests import (
    assessment_body,
    fraud_report_body,
    order_of,
    quarter_body,
    rate_body,
)
from sca_service.api.idempotency import Idempotency
from sca_service.api.routes import needs, problems, respond
from sca_service.exemptions.desk import ExemptionDesk, Whose
from sca_service.exemptions.model import PaymentType
from sca_service.exemptions.reports.fraud import FraudFigures
from sca_service.exemptions.reports.quarter import Quarter
from sca_service.exemptions.reports.written import STYLE, csv_text, page
from sca_service.exemptions.rows import AssessmentRow
from sca_service.policy.model import Policy

_TAGS = ["exemptions"]

_encode = msgspec.json.Encoder().encode

Create = Callable[[str | None], Awaitable[HttpAnswer]]
AssessmentId = Annotated[str, Parameter(description="The assessment's id, `ass_…`.")]
ReportId = Annotated[str, Parameter(description="The fraud report's id, `frd_…`.")]

REPORT_PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
        + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        + "'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)
"""The report as a page runs nothing and loads nothing."""


class ReportFormat(StrEnum):
    """How the quarterly figures come."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"


@dataclass
class QuarterOperation(Operation):
    """The route's entry in the OpenAPI document: the framework sees the JSON only."""

    def __post_init__(self) -> None:
        """Say which other media types the report has."""
        text = Schema(type=OpenAPIType.STRING)
        told = (self.responses or {}).get("200")
        if isinstance(told, OpenAPIResponse) and told.content:
            told.content |= {name: OpenAPIMediaType(schema=text) for name in ("text/csv", "text/html")}


class ExemptionOperations:
    """The operations on exemptions and fraud. A class because it holds those who decide and count."""

    def __init__(
        self, *, desk: ExemptionDesk, figures: FraudFigures, idempotency: Idempotency, policy: Policy
    ) -> None:
        self._desk = desk
        self._figures = figures
        self._idempotency = idempotency
        self._policy = policy

    async def assess(self, call: Call, form: AssessForm) -> HttpAnswer:
        """Assess: 201. Raises InvalidInput with every mistake, what `ExemptionDesk.assess` raises, and for the key."""
        psu, order = order_of(form)

        async def assess(unique: str | None) -> HttpAnswer:
            whose = Whose(call.client.id, psu, self._origin(call))
            row = await self._desk.assess(whose, order, unique=unique)
            location = ("Location", f"/v1/exemptions/{row.id}")
            return HttpAnswer(201, self._body(row), (location,))

        return await self._once(call, assess)

    async def get(self, call: Call, assessment_id: str) -> HttpAnswer:
        """An assessment: 200. Raises NotFound, StoreUnavailable."""
        return HttpAnswer(200, self._body(await self._desk.get(call.client.id, assessment_id)))

    async def executed(self, call: Call, assessment_id: str, form: ExecutedForm) -> HttpAnswer:
        """Count what was executed: 200. Raises NotFound, InvalidInput, StoreUnavailable."""
        row = await self._desk.executed(call.client.id, assessment_id, form.challenge, self._origin(call))
        return HttpAnswer(200, self._body(row))

    async def cancel(self, call: Call, assessment_id: str) -> HttpAnswer:
        """Give up what an assessment has reserved: 200. Raises NotFound, StoreUnavailable."""
        row = await self._desk.cancel(call.client.id, assessment_id, self._origin(call))
        return HttpAnswer(200, self._body(row))

    async def report_fraud(self, call: Call, form: FraudReportForm) -> HttpAnswer:
        """Count a payment as fraudulent: 201. Raises InvalidInput, StoreUnavailable, and for the key."""

        async def report(unique: str | None) -> HttpAnswer:
            row = await self._figures.report(
                call.client.id, form.assessment, form.kind, self._origin(call), unique=unique
            )
            return HttpAnswer(201, _encode(fraud_report_body(row)))

        return await self._once(call, report)

    async def fraud_report(self, call: Call, report: str) -> HttpAnswer:
        """A fraud report: 200. Raises NotFound, StoreUnavailable."""
        return HttpAnswer(
            200, _encode(fraud_report_body(await self._figures.report_of(call.client.id, report)))
        )

    async def withdraw(self, call: Call, report: str, form: WithdrawForm) -> HttpAnswer:
        """Let a fraud report count no more: 200. Raises NotFound, StoreUnavailable."""
        row = await self._figures.withdraw(call.client.id, report, form.reason, self._origin(call))
        return HttpAnswer(200, _encode(fraud_report_body(row)))

    async def rates(self, call: Call) -> HttpAnswer:
        """The rate of each type now: 200. Raises StoreUnavailable."""
        history_days = self._policy.exemptions.risk_analysis.history_days
        told = [
            rate_body(await self._figures.rate_standing(call.client.id, kind), history_days)
            for kind in PaymentType
        ]
        return HttpAnswer(200, _encode(RateListBody(tuple(told))))

    async def quarterly(self, call: Call, quarter: str, wanted: ReportFormat) -> HttpAnswer:
        """The figures of a quarter: 200. Raises InvalidInput, StoreUnavailable."""
        report = await self._figures.quarterly(call.client.id, Quarter.parse(quarter))
        if wanted is ReportFormat.CSV:
            name = f'attachment; filename="payments-{report.quarter.text}.csv"'
            headers = (("Content-Disposition", name), ("Cache-Control", "no-store"))
            return HttpAnswer(200, csv_text(report).encode(), headers, "text/csv; header=present")
        if wanted is ReportFormat.HTML:
            return HttpAnswer(200, page(report).encode(), REPORT_PAGE_HEADERS, "text/html")
        return HttpAnswer(200, _encode(quarter_body(report)))

    async def _once(self, call: Call, create: Create) -> HttpAnswer:
        request = call.path.encode() + b"\0" + call.body
        return await self._idempotency.once(call.caller, call.idempotency_key, request, create)

    def _origin(self, call: Call) -> dict[str, Any]:
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return origin

    def _body(self, row: AssessmentRow) -> bytes:
        return _encode(assessment_body(row))


@post(
    "/v1/exemptions/assess",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="assess_exemption",
    summary="Whether authentication may be left out",
    description=(
        "For a payment or an access to an account, by the exemptions of RTS chapter III that the policy uses. What is "
        "not known cannot be excluded, so it never makes an exemption. An exempt payment holds its place in the "
        "counters of Art. 11 and 16 until `expires_at`: say before that it was `executed`, or `cancel` it. Accepts an "
        "`Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def assess_exemption(
    request: Request[Any, Any, Any], data: AssessForm, exemptions: ExemptionOperations
) -> Response[AssessmentBody]:
    """Whether authentication may be left out."""
    return respond(await exemptions.assess(await call_of(request), data))


@get(
    "/v1/exemptions/{assessment_id:str}",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="get_exemption",
    summary="An assessment as it stands",
    responses=problems(404, 422),
)
async def get_exemption(
    request: Request[Any, Any, Any], exemptions: ExemptionOperations, assessment_id: AssessmentId
) -> Response[AssessmentBody]:
    """An assessment as it stands."""
    return respond(await exemptions.get(await call_of(request), assessment_id))


@post(
    "/v1/exemptions/{assessment_id:str}/executed",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="report_executed",
    summary="What was assessed was executed",
    description=(
        "Only executed payments count, and all of them do: report each, exempt or not. With the `challenge` that "
        "the payer was authenticated by, the counters begin anew. Again is as once."
    ),
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def report_executed(
    request: Request[Any, Any, Any],
    data: ExecutedForm,
    exemptions: ExemptionOperations,
    assessment_id: AssessmentId,
) -> Response[AssessmentBody]:
    """What was assessed was executed."""
    return respond(await exemptions.executed(await call_of(request), assessment_id, data))


@post(
    "/v1/exemptions/{assessment_id:str}/cancel",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="cancel_exemption",
    summary="What was assessed will not be executed",
    description="Its place in a counter is free again at once. Again is as once; an executed one stays executed.",
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def cancel_exemption(
    request: Request[Any, Any, Any],
    data: CancelAssessmentForm,
    exemptions: ExemptionOperations,
    assessment_id: AssessmentId,
) -> Response[AssessmentBody]:
    """What was assessed will not be executed."""
    return respond(await exemptions.cancel(await call_of(request), assessment_id))


@post(
    "/v1/fraud-reports",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="report_fraud",
    summary="A payment turned out to be fraudulent",
    description=(
        "Its whole value counts, recovered or not, on the day on which it was executed (RTS Art. 19). A payment has "
        "one report that counts: another one answers with the first. It speaks against the payee from now on. Accepts "
        "an `Idempotency-Key`."
    ),
    responses=problems(409, 413, 415, 422),
)
async def report_fraud(
    request: Request[Any, Any, Any], data: FraudReportForm, exemptions: ExemptionOperations
) -> Response[FraudReportBody]:
    """A payment turned out to be fraudulent."""
    return respond(await exemptions.report_fraud(await call_of(request), data))


@get(
    "/v1/fraud-reports/{report_id:str}",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="get_fraud_report",
    summary="A fraud report as it stands",
    responses=problems(404, 422),
)
async def get_fraud_report(
    request: Request[Any, Any, Any], exemptions: ExemptionOperations, report_id: ReportId
) -> Response[FraudReportBody]:
    """A fraud report as it stands."""
    return respond(await exemptions.fraud_report(await call_of(request), report_id))


@post(
    "/v1/fraud-reports/{report_id:str}/withdraw",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="withdraw_fraud_report",
    summary="A payment was not fraudulent after all",
    description=(
        "Neither the rate nor the report of its quarter counts it any more, and it speaks against nobody. Goes on "
        "record. Again is as once; the payment can be reported anew."
    ),
    status_code=200,
    responses=problems(404, 413, 415, 422),
)
async def withdraw_fraud_report(
    request: Request[Any, Any, Any],
    data: WithdrawForm,
    exemptions: ExemptionOperations,
    report_id: ReportId,
) -> Response[FraudReportBody]:
    """A payment was not fraudulent after all."""
    return respond(await exemptions.withdraw(await call_of(request), report_id, data))


@get(
    "/v1/reports/fraud-rates",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="get_fraud_rates",
    summary="The fraud rates of the last 90 days",
    description=(
        "Of the remote payments of a type that were authenticated or exempt (RTS Art. 19), and which thresholds of "
        "Art. 18 they leave open."
    ),
    responses=problems(422),
)
async def get_fraud_rates(
    request: Request[Any, Any, Any], exemptions: ExemptionOperations
) -> Response[RateListBody]:
    """The fraud rates of the last 90 days."""
    return respond(await exemptions.rates(await call_of(request)))


@get(
    "/v1/reports/quarterly",
    guards=[needs(Scope.EXEMPTIONS)],
    security=asks_for(Scope.EXEMPTIONS),
    tags=_TAGS,
    operation_id="get_quarterly_report",
    summary="The figures of a quarter",
    description=(
        "By type, remote or not, by authentication and by each exemption (RTS Art. 21). `format` is `json`, `csv`, or "
        "`html` for a page to print."
    ),
    operation_class=QuarterOperation,
    responses=problems(422),
)
async def get_quarterly_report(
    request: Request[Any, Any, Any],
    exemptions: ExemptionOperations,
    quarter: Annotated[
        str,
        Parameter(description="Such as 2026Q4; in UTC.", schema_extra={"pattern": "^20[0-9]{2}Q[1-4]$"}),
    ],
    wanted: Annotated[ReportFormat, QueryParameter(name="format")] = ReportFormat.JSON,
) -> Response[QuarterBody]:
    """The figures of a quarter."""
    return respond(await exemptions.quarterly(await call_of(request), quarter, wanted))


ROUTES = (
    assess_exemption,
    get_exemption,
    report_executed,
    cancel_exemption,
    report_fraud,
    get_fraud_report,
    withdraw_fraud_report,
    get_fraud_rates,
    get_quarterly_report,
)
