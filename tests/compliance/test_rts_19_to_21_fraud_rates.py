"""RTS Art. 19 to 21: fraud rates, when the exemption ceases, and what is reported."""

from datetime import date, timedelta
from decimal import Decimal

from sca_service.exemptions.model import Condition, Context, PaymentType, Risk
from sca_service.exemptions.reports.figures import ALL, Key
from sca_service.exemptions.reports.fraud import FRESH_MS, FraudKind
from sca_service.exemptions.reports.quarter import Quarter, day_of
from sca_service.policy.risk import Decision
from tests.exemption_office import ORIGIN, ExemptionOffice

CARD, TRANSFER = PaymentType.CARD, PaymentType.CREDIT_TRANSFER


async def _put(office: ExemptionOffice, day: date, fraud_ppm: int) -> None:
    statement = """
        INSERT INTO payment_totals (client_id, payment_type, context, day, basis, slot, payments, cents, fraud_cents)
        VALUES ($1, 'card', 'remote', $2, 'sca', 1, 1, 1000000, $3)
    """
    await office.pool.execute(statement, office.client, day, Decimal(fraud_ppm))


async def test_19_1_fraud_out_of_all_remote_payments_of_the_type(office: ExemptionOffice) -> None:
    """A ledger by hand: EUR 30 of fraud out of EUR 1,000 authenticated and exempt card payments are 3 %."""
    small = [await office.paid("10.00") for _ in range(3)]
    await office.sca("970.00")
    await office.sca("500.00", type=TRANSFER)
    await office.paid("5000.00")  # neither: it must not make the rate look lower
    await office.paid("40.00", context=Context.CONTACTLESS, instrument="card-1")
    for row in small:
        await office.figures.report(office.client, row.id, FraudKind.UNAUTHORISED, ORIGIN)
    told = await office.figures.rate_standing(office.client, CARD)
    assert told.rate.percent == "3.000000"
    assert (await office.figures.rate_standing(office.client, TRANSFER)).rate.percent == "0.000000"


async def test_20_2_two_quarters_above_the_reference_end_the_exemption(office: ExemptionOffice) -> None:
    """Though the 90 days since are clean; and one quarter at the reference brings it back (Art. 20(3))."""
    office.risk.risk = Risk(dict.fromkeys(Condition, False), decision=Decision.ALLOW)
    # Late in the quarter, so that the two before lie outside the 90 days.
    this = Quarter.of(day_of(office.clock.now_ms())).next
    office.clock.ahead_ms += (this.last - day_of(office.clock.now_ms())).days * 86_400_000
    before = Quarter.of(this.first - timedelta(days=1))
    earlier = Quarter.of(before.first - timedelta(days=1))
    await _put(office, earlier.first, 601)
    await _put(office, before.first, 601)
    await _put(office, this.last, 0)
    assert not (await office.assess("250.00")).assessment.exempt
    assert (await office.assess("100.00")).assessment.exempt  # 0.0601 % is below the reference there
    office.clock.ahead_ms += 2 * 86_400_000 + FRESH_MS
    assert (await office.assess("250.00")).assessment.exempt


async def test_21_1_a_to_c_values_averages_and_numbers_by_basis(office: ExemptionOffice) -> None:
    """For authentication and each exemption, remote and not, with shares."""
    fraudulent = await office.paid("10.00")
    await office.paid("20.00")
    await office.sca("970.00")
    await office.paid("40.00", context=Context.CONTACTLESS, instrument="card-1")
    await office.figures.report(office.client, fraudulent.id, FraudKind.PAYER_MANIPULATED, ORIGIN)
    quarter = Quarter.of(day_of(office.clock.now_ms()))
    report = await office.figures.quarterly(office.client, quarter)
    lines = {line.key: line for line in report.lines}
    low = lines[Key(CARD, True, "16")]
    assert (low.sums.cents, low.sums.fraud_cents, low.sums.average_cents) == (3_000, 1_000, 1_500)
    assert low.sums.rate.percent == "33.333333"
    assert low.sums.share_of(low.all_payments) == "66.666667"
    assert lines[Key(CARD, True, "sca")].sums.cents == 97_000
    assert lines[Key(CARD, True, ALL)].sums.rate.percent == "1.000000"
    assert lines[Key(CARD, False, "11")].sums.cents == 4_000


async def test_21_2_the_figures_are_those_of_the_log(office: ExemptionOffice) -> None:
    """Recomputed from the leaves alone, every line is the same."""
    for euros in ("0.01", "29.99", "12.34"):
        await office.paid(euros)
    row = await office.paid("55.55", currency="GBP")
    await office.figures.report(office.client, row.id, FraudKind.UNAUTHORISED, ORIGIN)
    quarter = Quarter.of(day_of(office.clock.now_ms()))
    kept = await office.figures.quarterly(office.client, quarter)
    assert await office.figures.quarterly_from_log(office.client, quarter) == kept
