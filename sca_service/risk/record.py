"""What the audit log says of an assessment: no fact, only what was made of them (RTS Art. 2(2) and 18(3))."""

from functools import lru_cache

import msgspec

from sca_service.policy.verdicts import Verdict
from sca_service.risk.model import Assessed, Assessment, FactorResult, FactorState
from sca_service.risk.score import ASSESSMENTS_REMEMBERED


class SignalMembers(msgspec.Struct, frozen=True, omit_defaults=True):
    """One signal or step-up rule that spoke: what it added to the score, why, and on what ground."""

    name: str
    reason: str
    weight: int = 0
    verdict: str = Verdict.HOLDS.value


class RiskMembers(msgspec.Struct, frozen=True, omit_defaults=True):
    """One assessment. `reasons` are the names of its signals and rules; `policy` names the file that it was made by.

    `factors` says of each factor `found`, `clear`, `in_part` (nothing was found, and a fact was missing) or
    `not_supplied`. `shadow` is what the policy on trial would have said.
    """

    decision: str
    score: int
    reasons: tuple[str, ...]
    factors: dict[str, str]
    policy: str
    shadow: "RiskMembers | None" = None
    signals: tuple[SignalMembers, ...] = ()


def risk_members(assessed: Assessed) -> RiskMembers:
    """What applies, and the policy on trial beside it."""
    return _members(assessed.applied, assessed.shadow)


@lru_cache(maxsize=ASSESSMENTS_REMEMBERED)  # most requests come to one that others came to before
def _members(applied: Assessment, shadow: Assessment | None) -> RiskMembers:
    spoke = (*applied.reasons, *applied.step_ups)
    return RiskMembers(
        decision=applied.decision,
        score=applied.score,
        reasons=tuple(one.name for one in spoke),
        factors={result.factor.value: _looked_at(result) for result in applied.factors},
        policy=applied.digest,
        shadow=_members(shadow, None) if shadow else None,
        signals=tuple(SignalMembers(one.name, one.reason, one.weight, one.verdict) for one in spoke),
    )


def _looked_at(result: FactorResult) -> str:
    """Clear is only what every signal was judged on: an auditor must not read more into it (RTS Art. 2(2))."""
    return "in_part" if result.state is FactorState.CLEAR and not result.is_excluded else result.state.value
