"""RTS Art. 10 and 10a: access to an account without authentication, and when it ends."""

from sca_service.exemptions.model import Article, Shown
from tests.exemption_office import ExemptionOffice

DAY_MS = 86_400_000


async def _authenticated(office: ExemptionOffice, aisp: str | None = None) -> None:
    first = await office.access(aisp=aisp)
    await office.executed(first, await office.approved("account_access"))


async def test_10_1_the_balance_and_90_days_of_transactions(office: ExemptionOffice) -> None:
    """Both are exempt; a 91st day and anything else are not."""
    await _authenticated(office)
    assert (await office.access()).assessment.article is Article.ACCOUNT_ACCESS
    assert (await office.access(Shown.TRANSACTIONS, oldest_days=90)).assessment.exempt
    assert not (await office.access(Shown.TRANSACTIONS, oldest_days=91)).assessment.exempt
    assert not (await office.access(Shown.MORE)).assessment.exempt


async def test_10_2_a_the_first_access_is_authenticated(office: ExemptionOffice) -> None:
    """However often it was looked at without authentication before."""
    for _ in range(3):
        row = await office.access()
        assert not row.assessment.exempt
        await office.executed(row)


async def test_10_2_b_after_180_days_it_is_authenticated_again(office: ExemptionOffice) -> None:
    """Day 180 is exempt, day 181 is not, and then 180 more are."""
    await _authenticated(office)
    office.clock.ahead_ms = 180 * DAY_MS - 60_000
    assert (await office.access()).assessment.exempt
    office.clock.ahead_ms = 181 * DAY_MS
    assert not (await office.access()).assessment.exempt


async def test_10a_1_through_a_service_the_bank_exempts(office: ExemptionOffice) -> None:
    """For each service by itself, once it was authenticated."""
    assert not (await office.access(aisp="aisp-1")).assessment.exempt
    await _authenticated(office, "aisp-1")
    assert (await office.access(aisp="aisp-1")).assessment.article is Article.AISP_ACCESS
    assert not (await office.access(aisp="aisp-2")).assessment.exempt


async def test_10a_3_unless_it_has_a_justified_reason_which_goes_on_record(office: ExemptionOffice) -> None:
    """The reason's code stands in the log."""
    await _authenticated(office, "aisp-1")
    row = await office.access(aisp="aisp-1", reason="suspected_fraud")
    assert not row.assessment.exempt
    assert '"justified_reason":"suspected_fraud"' in (await office.events())[-1].body
