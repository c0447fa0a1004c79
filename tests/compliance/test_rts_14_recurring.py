"""RTS Art. 14: recurring transactions."""

from tests.exemption_office import OTHER_IBAN, ExemptionOffice


async def test_14_1_the_first_and_a_changed_one_are_authenticated(office: ExemptionOffice) -> None:
    """Creating, amending and initiating for the first time: a cent and a payee are a change."""
    assert not (await office.assess("80.00", series="gym")).assessment.exempt
    await office.sca("80.00", series="gym")
    assert not (await office.assess("80.01", series="gym")).assessment.exempt
    assert not (await office.assess("79.99", series="gym")).assessment.exempt
    assert not (await office.assess("80.00", series="gym", iban=OTHER_IBAN)).assessment.exempt


async def test_14_2_all_later_ones_with_the_same_amount_and_payee_are_exempt(
    office: ExemptionOffice,
) -> None:
    """As long as the series goes on."""
    await office.sca("80.00", series="gym")
    assert {(await office.paid("80.00", series="gym")).basis for _ in range(12)} == {"14"}
