"""RTS Art. 11: contactless payments at a point of sale."""

from typing import Any

import asyncpg

from sca_service.exemptions.model import Context
from sca_service.policy.exemptions import CounterMode
from tests.exemption_office import ExemptionOffice, counter_rule, exemptions, policy_with
from tests.harness import Deployment

TAP: dict[str, Any] = {"context": Context.CONTACTLESS, "instrument": "card-1"}


async def test_11_a_at_most_50_euros(office: ExemptionOffice) -> None:
    """50.00 is exempt, 50.01 is not."""
    assert (await office.assess("50.00", **TAP)).assessment.exempt
    assert not (await office.assess("50.01", **TAP)).assessment.exempt


async def test_11_b_at_most_150_euros_since_the_last_authentication(office: ExemptionOffice) -> None:
    """150.00 together are exempt, a cent more is not; authentication begins anew."""
    assert {(await office.paid("50.00", **TAP)).basis for _ in range(3)} == {"11"}
    assert not (await office.assess("0.01", **TAP)).assessment.exempt
    await office.sca("60.00", **TAP)
    assert (await office.paid("50.00", **TAP)).basis == "11"


async def test_11_c_or_at_most_five_in_a_row(pool: asyncpg.Pool, quiet_stores: Deployment) -> None:
    """The fifth is exempt, the sixth is not."""
    rule = counter_rule(exemptions().contactless, mode=CounterMode.COUNT)
    office = ExemptionOffice(pool, quiet_stores.keyring, policy_with(contactless=rule))
    assert [(await office.paid("50.00", **TAP)).basis for _ in range(6)] == ["11"] * 5 + ["none"]


async def test_11_only_what_was_executed_counts(office: ExemptionOffice) -> None:
    """A declined payment does not move the counter (EBA Q&A 2018_4225)."""
    for _ in range(9):
        await office.cancel(await office.assess("50.00", **TAP))
    assert {(await office.paid("50.00", **TAP)).basis for _ in range(3)} == {"11"}
