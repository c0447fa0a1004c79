"""What the risk assessment of a payment says of the six conditions of RTS Art. 18(2)(c)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from sca_service.exemptions.desk import PaymentOrder, Whose
from sca_service.exemptions.model import Condition, Risk
from sca_service.kernel.keyring import Keyring
from sca_service.policy.risk import Factor
from sca_service.policy.words import Purpose
from sca_service.risk.facts import RiskOrder
from sca_service.risk.model import Assessed, Assessment, FactorResult, FactorState


class Assessor(Protocol):
    """Assesses requests."""

    async def assess(self, order: RiskOrder) -> Assessed:
        """What applies; nothing is learned. Raises StoreUnavailable."""


class Failures(Protocol):
    """Counts wrong answers."""

    async def failures_of(self, payer: str) -> int:
        """How many a payer (a pseudonym) gave in a row. Raises StoreUnavailable."""


class RiskAnalysis:
    """Analyses payments in real time (RTS Art. 2 and 18). A class because it holds the assessor."""

    def __init__(self, assessor: Assessor, failures: Failures, keyring: Keyring) -> None:
        self._assessor = assessor
        self._failures = failures
        self._keyring = keyring

    async def analyse(self, whose: Whose, order: PaymentOrder) -> Risk:
        """What is known of each condition, without moving any counter. Raises StoreUnavailable."""
        payer = self._keyring.pseudonym("payer", whose.client, whose.psu_id)
        assessed = await self._assessor.assess(
            RiskOrder(
                client=whose.client,
                payer=payer,
                purpose=Purpose.PAYMENT,
                marks=order.marks,
                transaction=order.transaction,
                failures=await self._failures.failures_of(payer),
            )
        )
        return risk_of(assessed.applied)


FACTOR_OF: Mapping[Condition, Factor] = MappingProxyType(
    {
        Condition.ABNORMAL_SPENDING: Factor.SPENDING,
        Condition.UNUSUAL_DEVICE: Factor.DEVICE_ACCESS,
        Condition.MALWARE: Factor.MALWARE,
        Condition.KNOWN_FRAUD_SCENARIO: Factor.KNOWN_SCENARIO,
        Condition.ABNORMAL_PAYER_LOCATION: Factor.PAYER_LOCATION,
        Condition.HIGH_RISK_PAYEE_LOCATION: Factor.PAYEE_LOCATION,
    }
)
"""Which factor of the risk assessment speaks to each condition."""


def risk_of(assessment: Assessment) -> Risk:
    """Each condition found, excluded, or not known: what was looked at in part only excludes nothing."""
    return Risk(
        {condition: _found(assessment.factor(factor)) for condition, factor in FACTOR_OF.items()},
        assessment.score,
    )


def _found(result: FactorResult) -> bool | None:
    if result.state is FactorState.FOUND:
        return True
    return False if result.is_excluded else None
