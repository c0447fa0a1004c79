"""Trusted beneficiaries on PostgreSQL: a list changes with an approval, once for each."""

import asyncio
import secrets

import asyncpg
import pytest

from sca_service.exemptions.beneficiaries.trusted import (
    MOST_OF_A_PAYER,
    Beneficiary,
    BeneficiaryAuthorisationRequired,
)
from sca_service.exemptions.model import Article
from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.transaction import Payee
from tests.exemption_office import IBAN, OTHER_IBAN, ExemptionOffice

ACME = Payee("ACME GmbH", Account.parse(iban=IBAN))
OTHER = Payee("Other Ltd", Account.parse(iban=OTHER_IBAN))


@pytest.fixture
def office(pool: asyncpg.Pool, keyring: Keyring) -> ExemptionOffice:
    """A payer nobody else has."""
    return ExemptionOffice(pool, keyring)


def an_approval() -> str:
    """The event of an approval that nobody has used."""
    return f"evt_{secrets.token_hex(16)}"


async def test_a_payee_on_the_list_is_exempt_and_one_off_it_is_not(office: ExemptionOffice) -> None:
    """From the change on, whatever the amount."""
    assert not (await office.assess("900.00")).assessment.exempt
    added = await office.trusted.add(office.whose, ACME, an_approval())
    assert (added.name, added.account_end) == ("ACME GmbH", "3000")
    assert (await office.assess("900.00")).assessment.article is Article.TRUSTED_BENEFICIARY
    assert not (await office.assess("900.00", iban=OTHER_IBAN)).assessment.exempt
    assert not (await office.assess("900.00", iban=None)).assessment.exempt
    await office.trusted.remove(office.whose, added.id, an_approval())
    assert not (await office.assess("900.00")).assessment.exempt
    assert await office.trusted.all_of(office.whose) == []


async def test_no_change_without_authentication(office: ExemptionOffice) -> None:
    """Neither the first entry, nor a further one, nor a removal."""
    with pytest.raises(BeneficiaryAuthorisationRequired):
        await office.trusted.add(office.whose, ACME, None)
    added = await office.trusted.add(office.whose, ACME, an_approval())
    with pytest.raises(BeneficiaryAuthorisationRequired):
        await office.trusted.remove(office.whose, added.id, None)
    assert [one.id for one in await office.trusted.all_of(office.whose)] == [added.id]


async def test_an_approval_changes_a_list_once(office: ExemptionOffice) -> None:
    """A second payee or a removal needs another; in parallel, too."""
    approval = an_approval()
    came_to = await asyncio.gather(
        *(office.trusted.add(office.whose, payee, approval) for payee in (ACME, OTHER)),
        return_exceptions=True,
    )
    (added,) = [one for one in came_to if isinstance(one, Beneficiary)]
    (refused,) = [one for one in came_to if isinstance(one, InvalidInput)]
    assert refused.mistakes[0].pointer == "/authorisation"
    with pytest.raises(InvalidInput):
        await office.trusted.remove(office.whose, added.id, approval)
    assert len(await office.trusted.all_of(office.whose)) == 1


async def test_a_payee_stands_there_once(office: ExemptionOffice) -> None:
    """Added again, it is the entry from before, and the approval is not used up."""
    first = await office.trusted.add(office.whose, ACME, an_approval())
    approval = an_approval()
    assert (await office.trusted.add(office.whose, ACME, approval)).id == first.id
    assert (await office.trusted.add(office.whose, OTHER, approval)).id != first.id


async def test_removed_again_is_as_once_and_added_again_is_new(office: ExemptionOffice) -> None:
    """What was removed leaves room for the same payee."""
    first = await office.trusted.add(office.whose, ACME, an_approval())
    await office.trusted.remove(office.whose, first.id, an_approval())
    await office.trusted.remove(office.whose, first.id, None)
    again = await office.trusted.add(office.whose, ACME, an_approval())
    assert again.id != first.id


async def test_a_list_is_its_payer_s_own(office: ExemptionOffice) -> None:
    """Another payer and another client see and change nothing."""
    added = await office.trusted.add(office.whose, ACME, an_approval())
    for other in (
        ExemptionOffice(office.pool, office.keyring, client=office.client),
        ExemptionOffice(office.pool, office.keyring),
    ):
        assert await other.trusted.all_of(other.whose) == []
        assert not (await other.assess("900.00")).assessment.exempt
        with pytest.raises(NotFound):
            await other.trusted.remove(other.whose, added.id, an_approval())
    with pytest.raises(NotFound):
        await office.trusted.remove(office.whose, "ben_'; --", an_approval())


async def test_a_payee_without_an_account_is_not_trusted(office: ExemptionOffice) -> None:
    """A name alone may belong to anybody."""
    with pytest.raises(InvalidInput) as caught:
        await office.trusted.add(office.whose, Payee("ACME GmbH"), an_approval())
    assert caught.value.mistakes[0].pointer == "/payee/account"


async def test_a_list_has_an_end(office: ExemptionOffice) -> None:
    """One more than the most is refused, and its approval is not used up."""
    statement = """
        INSERT INTO trusted_beneficiaries (id, client_id, psu, payee, sealed)
        SELECT 'ben_' || $1 || i, $2, $3, 'payee' || i, '' FROM generate_series(1, $4::int) AS i
    """
    name = secrets.token_hex(8)
    await office.pool.execute(statement, name, office.client, office.psu, MOST_OF_A_PAYER)
    approval = an_approval()
    with pytest.raises(InvalidInput):
        await office.trusted.add(office.whose, ACME, approval)
    await office.pool.execute("DELETE FROM trusted_beneficiaries WHERE id = $1", f"ben_{name}1")
    await office.trusted.add(office.whose, ACME, approval)


async def test_what_is_stored_and_on_record_names_nobody(office: ExemptionOffice) -> None:
    """The table seals, the log names ids; what is removed holds nothing any more."""
    added = await office.trusted.add(office.whose, ACME, an_approval())
    statement = "SELECT * FROM trusted_beneficiaries WHERE id = $1"
    kept = str(await office.pool.fetchrow(statement, added.id))
    await office.trusted.remove(office.whose, added.id, an_approval())
    events = await office.events()
    assert [event.head.type for event in events] == [
        "trusted_beneficiary.added",
        "trusted_beneficiary.removed",
    ]
    for text in (kept, *(event.body for event in events)):
        assert "ACME" not in text
        assert IBAN not in text
    row = await office.pool.fetchrow(statement, added.id)
    assert row is not None
    assert row["sealed"] == ""
