"""RTS Art. 15: credit transfers between accounts held by the same person."""

import pytest

from sca_service.exemptions.model import PaymentType
from tests.exemption_office import ExemptionOffice


async def test_15_one_person_one_bank(office: ExemptionOffice) -> None:
    """Exempt, whatever the amount."""
    row = await office.paid("9000.00", type=PaymentType.CREDIT_TRANSFER, same_holder=True, held_here=True)
    assert row.basis == "15"


@pytest.mark.parametrize(
    ("same_holder", "held_here"), [(False, True), (True, False), (None, True), (True, None), (None, None)]
)
async def test_15_another_person_or_bank_or_nobody_knows(
    office: ExemptionOffice, same_holder: bool | None, held_here: bool | None
) -> None:
    """Authenticated."""
    row = await office.assess(
        "9000.00", type=PaymentType.CREDIT_TRANSFER, same_holder=same_holder, held_here=held_here
    )
    assert not row.assessment.exempt
