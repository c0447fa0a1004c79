"""Evidence of a challenge over HTTP: `/v1/challenges/{id}/evidence`."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.params import Parameter, QueryParameter

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call, call_of
from sca_service.api.clients import Scope
from sca_service.api.document import asks_for
from sca_service.api.evidence_page import EVIDENCE_PAGE_HEADERS, evidence_page
from sca_service.api.routes import needs, problems, respond
from sca_service.audit.reading import ReadingRecord
from sca_service.challenges.evidence import Evidence, EvidenceMaker, MadeEvidence
from sca_service.kernel.errors import NotFound


class EvidenceFormat(StrEnum):
    """How evidence comes."""

    JSON = "json"
    HTML = "html"


class EvidenceOperations:
    """Makes evidence for whoever may see it. A class because it holds the maker."""

    def __init__(self, maker: EvidenceMaker, readings: ReadingRecord) -> None:
        self._maker = maker
        self._readings = readings

    async def evidence(self, call: Call, challenge_id: str, wanted: EvidenceFormat) -> HttpAnswer:
        """The evidence as JSON or as a page; that it was read is on record first. Raises NotFound, StoreUnavailable."""
        made = await self.read(call, challenge_id, wanted)
        if wanted is EvidenceFormat.HTML:
            html = evidence_page(made).encode()
            return HttpAnswer(200, html, EVIDENCE_PAGE_HEADERS, "text/html")
        return HttpAnswer(200, msgspec.json.encode(made.evidence))

    async def read(self, call: Call, challenge_id: str, wanted: EvidenceFormat) -> MadeEvidence:
        """The evidence itself: a client's own challenge with all values, any other with those an auditor may see."""
        made = await self._found(call, challenge_id)
        members = {"subject": challenge_id, "format": wanted.value, **call.client.certificate_members}
        await self._readings.put_down(
            "evidence.read", client=call.client.id, request=call.request_id, members=members
        )
        return made

    async def _found(self, call: Call, challenge_id: str) -> MadeEvidence:
        is_auditor = Scope.AUDIT in call.client.scopes
        if Scope.CHALLENGES in call.client.scopes:
            try:
                return await self._maker.of_client(challenge_id, call.client.id)
            except NotFound:
                if not is_auditor:
                    raise
        return await self._maker.for_auditor(challenge_id)


@get(
    "/v1/challenges/{challenge_id:str}/evidence",
    guards=[needs(Scope.CHALLENGES, Scope.AUDIT)],
    security=asks_for(Scope.CHALLENGES, Scope.AUDIT),
    tags=["challenges"],
    operation_id="get_evidence",
    summary="What proves a challenge",
    description=(
        "Each audit event of the challenge as it stands in the log, its inclusion proof, the signed checkpoint, and "
        "the values that the reader may see with what opens their commitments. `sca audit check-evidence` verifies it "
        "with nothing else. With `format=html` it is a page to read and print, which holds the same.\n\n"
        "The newest events are in a checkpoint within a second; until then the answer waits, two seconds at most."
    ),
    responses=problems(404, 422),
)
async def get_evidence(
    request: Request[Any, Any, Any],
    evidence: EvidenceOperations,
    challenge_id: Annotated[str, Parameter(description="The challenge's id, `chl_…`.")],
    wanted: Annotated[EvidenceFormat, QueryParameter(name="format")] = EvidenceFormat.JSON,
) -> Response[Evidence]:
    """What proves a challenge."""
    return respond(await evidence.evidence(await call_of(request), challenge_id, wanted))


ROUTES = (get_evidence,)
