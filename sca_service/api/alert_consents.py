"""What payers consent to over HTTP: `/v1/psus/{psu_id}/alert-consent`."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, put
from litestar.params import Parameter
from msgspec import Meta, Struct

from sca_service.alerts.consent.consents import Consents, TopicConsent
from sca_service.alerts.rows import ms_of
from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.requests import psu_id_of
from sca_service.api.routes import needs, problems, respond
from sca_service.kernel.clock import timestamp
from sca_service.policy.model import Policy

_TAGS = ["alerts"]
_PsuId = Annotated[str, Parameter(description="The client's own reference of the payer.")]
_Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]


class AlertConsentForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What a payer told the client; topics that are not named stay as they are."""

    topics: Annotated[
        dict[_Name, bool],
        Meta(max_length=20, examples=[{"offer": True}], description="By topic, whether the payer wants it."),
    ]


class TopicConsentBody(Struct, frozen=True):
    """Whether a payer is sent notices of a topic; `said_at` is null where nobody said anything."""

    topic: str
    granted: bool
    said_at: str | None


class AlertConsentBody(Struct, frozen=True):
    """What a payer consents to, topic by topic. An opt-out by text to the number holds beside it."""

    topics: tuple[TopicConsentBody, ...]


class ConsentOperations:
    """The operations on payers' consent. A class because it holds what keeps it."""

    def __init__(self, consents: Consents, policy: Policy) -> None:
        self._consents = consents
        self._policy = policy

    async def get(self, call: Call, psu_id: str) -> HttpAnswer:
        """What a payer consents to: 200. Raises InvalidInput, StoreUnavailable."""
        return _answer(await self._consents.of(call.client.id, psu_id_of(psu_id, "/psu_id")))

    async def put(self, call: Call, psu_id: str, form: AlertConsentForm) -> HttpAnswer:
        """Put down what a payer told: 200. Raises InvalidInput, StoreUnavailable."""
        payer = psu_id_of(psu_id, "/psu_id")
        origin: dict[str, Any] = msgspec.to_builtins(call.caller.event_members(self._policy))
        return _answer(await self._consents.put(call.client.id, payer, form.topics, origin))


def _answer(topics: Sequence[TopicConsent]) -> HttpAnswer:
    told = tuple(
        TopicConsentBody(one.topic, one.granted, timestamp(ms_of(one.said_at)) if one.said_at else None)
        for one in topics
    )
    return HttpAnswer(200, msgspec.json.encode(AlertConsentBody(told)))


@get(
    "/v1/psus/{psu_id:str}/alert-consent",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="get_alert_consent",
    summary="Which notices a payer wants",
    responses=problems(422),
)
async def get_alert_consent(
    request: Request[Any, Any, Any], alert_consents: ConsentOperations, psu_id: _PsuId
) -> Response[AlertConsentBody]:
    """Which notices a payer wants."""
    return respond(await alert_consents.get(await call_of(request), psu_id))


@put(
    "/v1/psus/{psu_id:str}/alert-consent",
    guards=[needs(Scope.ALERTS)],
    security=asks_for(Scope.ALERTS),
    tags=_TAGS,
    operation_id="put_alert_consent",
    summary="Say which notices a payer wants",
    description="Goes on record where it is news. A STOP that the payer sent by text holds all the same.",
    responses=problems(413, 415, 422),
)
async def put_alert_consent(
    request: Request[Any, Any, Any],
    data: AlertConsentForm,
    alert_consents: ConsentOperations,
    psu_id: _PsuId,
) -> Response[AlertConsentBody]:
    """Say which notices a payer wants."""
    return respond(await alert_consents.put(await call_of(request), psu_id, data))


ROUTES = (get_alert_consent, put_alert_consent)
