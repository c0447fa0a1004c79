"""What the risk assessment of a payment says of the six conditions of RTS Art. 18(2)(c)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

from sca_service.exemptions.desk import PaymentOrder, Whose
from sca_service.exemptions.model import Condition, Risk
from sca_service.kernel.keyring import Keyring
from sca_service.policy.risk import Factor
from sca_service.policy.words import Purpose
from sca_service.risk.facts import Marks, RiskOrder
from sca_service.risk.model import Assessed, FactorResult, FactorState
from sca_service.risk.record import risk_members


class Assessor(Protocol):
    """Assesses requests."""

    async def assess(self, order: RiskOrder, *, sees_itself: bool) -> Assessed:
        """What applies; the request is counted, with `sees_itself` before it is judged. Raises StoreUnavailable."""


class RiskAnalysis:
    """Analyses payments in real time (RTS Art. 2 and 18). A class because it holds the assessor."""

    def __init__(self, assessor: Assessor, keyring: Keyring) -> None:
        self._assessor = assessor
        self._keyring = keyring

    async def analyse(self, whose: Whose, order: PaymentOrder) -> Risk:
        """What is known of each condition. Raises StoreUnavailable; then nothing is exempt.

        What is exempt is never asked for as a challenge, so it is counted here: else spending would look normal for
        ever (RTS Art. 18(3)).
        """
        request = RiskOrder(
            client=whose.client,
            payer=self._keyring.pseudonym("payer", whose.client, whose.psu_id),
            purpose=Purpose.PAYMENT,
            marks=_with_instrument(order),
            transaction=order.transaction,
        )
        assessed = await self._assessor.assess(request, sees_itself=True)
        return risk_of(assessed)


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


def risk_of(assessed: Assessed) -> Risk:
    """Each condition found, excluded, or not known: what was looked at in part only excludes nothing."""
    applied = assessed.applied
    return Risk(
        {condition: _found(applied.factor(factor)) for condition, factor in FACTOR_OF.items()},
        applied.score,
        applied.decision,
        risk_members(assessed),
    )


def _with_instrument(order: PaymentOrder) -> Marks:
    """The bank's marks; the card is the instrument where nothing else is said."""
    if order.marks.card_ref is not None or order.instrument is None:
        return order.marks
    return msgspec.structs.replace(order.marks, card_ref=order.instrument)


def _found(result: FactorResult) -> bool | None:
    if result.state is FactorState.FOUND:
        return True
    return False if result.is_excluded else None
