"""What the trace of a challenge says of it: how it was issued and answered, in words of closed sets."""

from sca_service.challenges.model import Outcome
from sca_service.challenges.risk import RiskVerdict
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.tracing.model import SpanName
from sca_service.kernel.tracing.traces import Traces


def note_issue(traces: Traces, began_ns: int, view: ChallengeView, traceparent: str) -> None:
    """A challenge was issued: the first span of its trace."""
    said = {
        "sca.purpose": view.fixed.purpose.value,
        "sca.method": view.fixed.method.value,
        "sca.status": view.state.status.value,
    }
    traces.note(SpanName.ISSUE, view.state.id, began_ns, said, traceparent=traceparent)


def note_risk(traces: Traces, began_ns: int, challenge: str, verdict: RiskVerdict) -> None:
    """A request was assessed. Neither the score nor the reasons are told: they are about a person."""
    traces.note(SpanName.RISK, challenge, began_ns, {"sca.decision": verdict.decision.value})


def note_answer(
    traces: Traces, began_ns: int, challenge: str, outcome: Outcome, traceparent: str = ""
) -> None:
    """An answer was decided, by whomever it was sent."""
    traces.note(SpanName.VERIFY, challenge, began_ns, {"sca.outcome": outcome.value}, traceparent=traceparent)
