"""RTS Art. 16: low-value transactions."""

import asyncpg

from sca_service.policy.exemptions import CounterMode
from tests.exemption_office import ExemptionOffice, counter_rule, exemptions, policy_with
from tests.harness import Deployment


async def test_16_a_at_most_30_euros(office: ExemptionOffice) -> None:
    """30.00 is exempt, 30.01 is not."""
    assert (await office.assess("30.00")).assessment.exempt
    assert not (await office.assess("30.01")).assessment.exempt


async def test_16_b_at_most_100_euros_since_the_last_authentication(office: ExemptionOffice) -> None:
    """100.00 together are exempt, a cent more is not; authentication begins anew, and nothing else does."""
    assert {(await office.paid("25.00")).basis for _ in range(4)} == {"16"}
    assert not (await office.assess("0.01")).assessment.exempt
    await office.paid("500.00")
    assert not (await office.assess("0.01")).assessment.exempt
    await office.sca()
    assert (await office.paid("30.00")).basis == "16"


async def test_16_c_or_at_most_five_in_a_row(pool: asyncpg.Pool, quiet_stores: Deployment) -> None:
    """The fifth is exempt, the sixth is not."""
    rule = counter_rule(exemptions().low_value, mode=CounterMode.COUNT)
    office = ExemptionOffice(pool, quiet_stores.keyring, policy_with(low_value=rule))
    assert [(await office.paid("30.00")).basis for _ in range(6)] == ["16"] * 5 + ["none"]


async def test_16_only_what_was_executed_counts(office: ExemptionOffice) -> None:
    """What was assessed and not executed moves nothing."""
    for _ in range(9):
        await office.cancel(await office.assess("30.00"))
    assert [(await office.paid("25.00")).basis for _ in range(5)] == ["16"] * 4 + ["none"]
