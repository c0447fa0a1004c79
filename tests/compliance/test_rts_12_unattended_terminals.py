"""RTS Art. 12: unattended terminals for transport fares and parking fees."""

import pytest

from sca_service.exemptions.model import Context
from tests.exemption_office import ExemptionOffice


@pytest.mark.parametrize("category", ["4111", "4112", "4131", "4784", "7523"])
async def test_12_fares_and_parking_fees_are_exempt(office: ExemptionOffice, category: str) -> None:
    """Whatever they cost."""
    row = await office.paid("300.00", context=Context.UNATTENDED_TERMINAL, merchant_category=category)
    assert row.basis == "12"


@pytest.mark.parametrize("category", ["5541", "5814", None])
async def test_12_anything_else_is_not(office: ExemptionOffice, category: str | None) -> None:
    """Fuel, meals, and what nobody knows."""
    row = await office.assess("3.00", context=Context.UNATTENDED_TERMINAL, merchant_category=category)
    assert not row.assessment.exempt


async def test_12_at_an_unattended_terminal_only(office: ExemptionOffice) -> None:
    """A railway's web shop is none."""
    assert not (await office.assess("300.00", merchant_category="4112")).assessment.exempt
