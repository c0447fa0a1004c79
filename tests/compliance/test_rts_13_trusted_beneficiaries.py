"""RTS Art. 13: trusted beneficiaries."""

import secrets

import pytest

from sca_service.exemptions.beneficiaries.trusted import BeneficiaryAuthorisationRequired
from sca_service.kernel.account import Account
from sca_service.kernel.transaction import Payee
from tests.exemption_office import IBAN, OTHER_IBAN, ExemptionOffice

ACME = Payee("ACME GmbH", Account.parse(iban=IBAN))


async def test_13_1_creating_or_changing_the_list_needs_authentication(office: ExemptionOffice) -> None:
    """Adding and removing, each with an approval of its own."""
    with pytest.raises(BeneficiaryAuthorisationRequired):
        await office.trusted.add(office.whose, ACME, None)
    added = await office.trusted.add(office.whose, ACME, f"evt_{secrets.token_hex(16)}")
    with pytest.raises(BeneficiaryAuthorisationRequired):
        await office.trusted.remove(office.whose, added.id, None)
    assert len(await office.trusted.all_of(office.whose)) == 1


async def test_13_2_payments_to_a_payee_on_it_are_exempt(office: ExemptionOffice) -> None:
    """To that account, and to no other under the same name."""
    await office.trusted.add(office.whose, ACME, f"evt_{secrets.token_hex(16)}")
    assert (await office.paid("9000.00")).basis == "13"
    assert not (await office.assess("9000.00", iban=OTHER_IBAN)).assessment.exempt
