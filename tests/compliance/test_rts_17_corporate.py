"""RTS Art. 17: secure corporate payment processes and protocols."""

from typing import Any

import asyncpg
import pytest

from sca_service.policy.exemptions import Article, CorporateRule
from tests.exemption_office import ExemptionOffice, policy_with
from tests.harness import Deployment

BY_PROCESS: dict[str, Any] = {"process": "host-to-host", "payer_is_consumer": False}


async def test_17_without_the_authority_s_satisfaction_nothing_is_exempt(office: ExemptionOffice) -> None:
    """The shipped policy has no evidence and does not use the article."""
    assert not (await office.assess("9000.00", **BY_PROCESS)).assessment.exempt


@pytest.mark.parametrize("consumer", [True, None])
async def test_17_legal_persons_through_a_dedicated_process(
    pool: asyncpg.Pool, quiet_stores: Deployment, consumer: bool | None
) -> None:
    """Exempt with the evidence; not for a consumer, nor for somebody of whom that is not known."""
    policy = policy_with(
        order=(Article.AISP_ACCESS, Article.CORPORATE),
        corporate=CorporateRule(("host-to-host",), "letter of 2026-03-01"),
    )
    office = ExemptionOffice(pool, quiet_stores.keyring, policy)
    assert (await office.paid("9000.00", **BY_PROCESS)).basis == "17"
    assert not (
        await office.assess("9000.00", process="host-to-host", payer_is_consumer=consumer)
    ).assessment.exempt
    assert not (await office.assess("9000.00", process="web", payer_is_consumer=False)).assessment.exempt
