"""How a risk assessment becomes the six conditions of RTS Art. 18(2)(c)."""

import pytest

from sca_service.exemptions.analysis import FACTOR_OF, risk_of
from sca_service.exemptions.model import Condition
from sca_service.policy.risk import TRA_CONDITIONS, Decision, Factor
from sca_service.risk.model import Assessed, Assessment, FactorResult, FactorState, Facts


def _assessed(result: FactorResult) -> Assessed:
    """One in which every factor is clear but this."""
    clear = [FactorResult(factor, FactorState.CLEAR) for factor in Factor if factor is not result.factor]
    applied = Assessment(
        decision=Decision.ALLOW,
        score=7,
        reasons=(),
        step_ups=(),
        factors=(*clear, result),
        leave_out_channels=frozenset(),
        leave_out_methods=frozenset(),
        digest="sha256:0",
    )
    return Assessed(Facts(purpose="payment", hour_utc=12), applied)


def test_every_condition_has_its_factor_in_the_order_of_the_law() -> None:
    """None is missing, none is asked twice."""
    assert tuple(FACTOR_OF[condition] for condition in Condition) == TRA_CONDITIONS


@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize(
    ("state", "missing", "found"),
    [
        (FactorState.FOUND, (), True),
        (FactorState.FOUND, ("another",), True),
        (FactorState.CLEAR, (), False),
        (FactorState.CLEAR, ("another",), None),
        (FactorState.NOT_SUPPLIED, ("one", "another"), None),
    ],
)
def test_only_what_was_looked_at_whole_is_excluded(
    condition: Condition, state: FactorState, missing: tuple[str, ...], found: bool | None
) -> None:
    """A factor of which a signal could not be judged excludes nothing."""
    risk = risk_of(_assessed(FactorResult(FACTOR_OF[condition], state, missing=missing)))
    assert risk.found(condition) is found
    assert [one for one in Condition if risk.found(one) is not False] == (
        [condition] if found is not False else []
    )
    assert (risk.score, risk.decision) == (7, Decision.ALLOW)
    assert risk.record is not None
    assert risk.record.policy == "sha256:0"
