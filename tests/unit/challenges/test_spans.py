"""What the trace of a challenge says of its answer and its risk: words of closed sets, and nothing of a person."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from sca_service.challenges.model import Method, Outcome, Status
from sca_service.challenges.risk import RiskVerdict
from sca_service.challenges.spans import note_answer, note_issue, note_risk
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.tracing.model import Span, SpanName
from sca_service.kernel.tracing.traces import Traces
from sca_service.policy.model import Purpose
from sca_service.policy.risk import Decision
from sca_service.risk.record import RiskMembers

CHALLENGE = "chl_0020160123456789abcdef0123456789abcdef"


@dataclass(slots=True)
class Kept:
    """A sink that keeps."""

    spans: list[Span] = field(default_factory=list)

    def take(self, span: Span) -> None:
        """Keep it."""
        self.spans.append(span)


def test_an_issue_says_how_it_is_answered() -> None:
    """Purpose, method and status: it is the first span of its trace."""
    kept = Kept()
    fixed = SimpleNamespace(purpose=Purpose.LOGIN, method=Method.TOTP)
    state = SimpleNamespace(id=CHALLENGE, status=Status.PENDING)
    view = cast("ChallengeView", SimpleNamespace(fixed=fixed, state=state))
    note_issue(Traces(kept, ratio=1.0), 0, view, "")
    (span,) = kept.spans
    assert span.name is SpanName.ISSUE
    assert {name: said for name, said in span.attributes.items() if name != "sca.challenge"} == {
        "sca.purpose": "login",
        "sca.method": "totp",
        "sca.status": "pending",
    }


def test_an_answer_says_its_outcome() -> None:
    """Under its challenge, and no more."""
    kept = Kept()
    note_answer(Traces(kept, ratio=1.0), 0, CHALLENGE, Outcome.INCORRECT)
    (span,) = kept.spans
    assert span.name is SpanName.VERIFY
    assert dict(span.attributes) == {"sca.outcome": "incorrect", "sca.challenge": CHALLENGE}


def test_an_assessment_says_its_decision() -> None:
    """Neither score nor reasons."""
    kept = Kept()
    members = RiskMembers("refuse", 90, ("new_device",), {}, "risk.toml")
    verdict = RiskVerdict(Decision.REFUSE, 90, ("new_device",), (), "risk", members)
    note_risk(Traces(kept, ratio=1.0), 0, CHALLENGE, verdict)
    (span,) = kept.spans
    assert span.name is SpanName.RISK
    assert dict(span.attributes) == {"sca.decision": "refuse", "sca.challenge": CHALLENGE}
