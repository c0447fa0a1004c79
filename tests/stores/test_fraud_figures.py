"""Fraud rates and quarterly figures on PostgreSQL: as they are kept, and as the audit log alone gives them."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal

import asyncpg
import pytest

from sca_service.exemptions.model import (
    Article,
    Condition,
    Context,
    FraudStanding,
    Obstacle,
    PaymentType,
    Risk,
)
from sca_service.exemptions.reports.figures import Key, Sums
from sca_service.exemptions.reports.fraud import FRESH_MS, FraudKind, WithdrawalReason
from sca_service.exemptions.reports.postgres_store import FraudStore
from sca_service.exemptions.reports.quarter import Quarter, day_of
from sca_service.exemptions.rows import AssessmentRow
from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.risk import Decision
from sca_service.risk.model import MarkedKind
from tests.exemption_office import IBAN, ORIGIN, OTHER_IBAN, ExemptionOffice

CARD, TRANSFER = PaymentType.CARD, PaymentType.CREDIT_TRANSFER


@pytest.fixture
def office(pool: asyncpg.Pool, keyring: Keyring) -> ExemptionOffice:
    """A client nobody else has."""
    return ExemptionOffice(pool, keyring)


async def fraud(office: ExemptionOffice, row: AssessmentRow, kind: FraudKind = FraudKind.UNAUTHORISED) -> str:
    """Report a payment, and tell the report's id."""
    return (await office.figures.report(office.client, row.id, kind, ORIGIN)).id


async def put(
    office: ExemptionOffice, day: date, cents: int, fraud_cents: int = 0, kind: str = "card"
) -> None:
    """Payments of an earlier day."""
    statement = """
        INSERT INTO payment_totals (client_id, payment_type, context, day, basis, slot, payments, cents, fraud_cents)
        VALUES ($1, $2, 'remote', $3, 'sca', 0, 1, $4, $5)
    """
    await office.pool.execute(statement, office.client, kind, day, Decimal(cents), Decimal(fraud_cents))


async def standing(office: ExemptionOffice, kind: PaymentType = CARD) -> FraudStanding:
    """The standing now, not as it was some seconds ago."""
    office.clock.ahead_ms += FRESH_MS
    return await office.figures.standing(office.client, kind)


def today(office: ExemptionOffice) -> date:
    """By the office's clock."""
    return day_of(office.clock.now_ms())


async def test_the_rate_is_fraud_out_of_all_remote_payments_of_a_type(office: ExemptionOffice) -> None:
    """Authenticated or exempt; not those at a terminal, not those of the other type.

    Of what was neither the fraud counts, and the value does not (RTS Art. 19(1)): it would make the rate look lower.
    """
    rows = [await office.paid("20.00"), await office.sca("70.00"), await office.paid("110.00")]
    await office.paid("40.00", context=Context.CONTACTLESS, instrument="card-1")
    await office.sca("33.00", type=TRANSFER)
    await office.assess("20.00")  # not executed
    await fraud(office, rows[2])
    assert await standing(office) == FraudStanding(11_000, 9_000, 1)
    assert (await standing(office, TRANSFER)).total_cents == 3_300


async def test_a_payment_is_fraudulent_once(office: ExemptionOffice) -> None:
    """Again, in parallel or as another kind, it is the first report."""
    row = await office.paid("20.00")
    ids = await asyncio.gather(*(fraud(office, row) for _ in range(6)))
    ids.append(await fraud(office, row, FraudKind.PAYER_MANIPULATED))
    assert len(set(ids)) == 1
    assert (await standing(office)).fraud_cents == 2_000
    assert [event.head.type for event in await office.events()].count("fraud.reported") == 1


async def test_only_an_executed_payment_of_this_client_is_fraudulent(office: ExemptionOffice) -> None:
    """An open one, an access, another's and an unknown one are refused."""
    other = ExemptionOffice(office.pool, office.keyring)
    access = await office.executed(await office.access())
    for assessment in (
        (await office.assess("20.00")).id,
        access.id,
        (await other.paid("20.00")).id,
        f"ass_{'0' * 32}",
    ):
        with pytest.raises(InvalidInput) as caught:
            await office.figures.report(office.client, assessment, FraudKind.UNAUTHORISED, ORIGIN)
        assert caught.value.mistakes[0].pointer == "/assessment"


async def test_the_window_is_90_days_with_today(office: ExemptionOffice) -> None:
    """Day 90 counts, day 91 does not."""
    await put(office, today(office) - timedelta(days=89), 1_000, 10)
    await put(office, today(office) - timedelta(days=90), 5_000, 5_000)
    told = await office.figures.rate_standing(office.client, CARD)
    assert (told.rate.fraud_cents, told.rate.total_cents, told.days) == (10, 1_000, 91)


async def test_fraud_counts_on_the_day_of_the_payment(office: ExemptionOffice) -> None:
    """Reported a hundred days later, it is out of the window as its payment is, and in that quarter's figures."""
    row = await office.paid("20.00")
    executed_on = today(office)
    office.clock.ahead_ms = 100 * 86_400_000
    await fraud(office, row)
    assert (await standing(office)).fraud_cents == 0
    quarter = Quarter.of(executed_on)
    report = await office.figures.quarterly(office.client, quarter)
    assert report.lines[0].sums == Sums(1, 2_000, 1, 2_000)


async def test_two_quarters_above_close_the_band_and_one_below_opens_it(office: ExemptionOffice) -> None:
    """Art. 20, from figures that lie in the past; the quarter under way does not count yet."""
    quarter = Quarter.of(today(office))
    before = Quarter.of(quarter.first - timedelta(days=1))
    earlier = Quarter.of(before.first - timedelta(days=1))
    await put(office, earlier.first, 1_000_000, 700)
    assert (await standing(office)).stopped == frozenset()
    await put(office, before.last, 1_000_000, 700)
    assert (await standing(office)).stopped == {25_000, 50_000}
    await put(office, quarter.first, 100_000_000, 0)
    assert (await standing(office)).stopped == {25_000, 50_000}
    office.clock.ahead_ms += 93 * 86_400_000
    assert (await standing(office)).stopped == frozenset()


async def test_risk_analysis_exempts_while_the_rate_is_low(office: ExemptionOffice) -> None:
    """EUR 90 with every condition ruled out; one fraudulent payment more, and it is over."""
    office.risk.risk = Risk(dict.fromkeys(Condition, False), decision=Decision.ALLOW)
    await put(office, today(office) - timedelta(days=89), 6_900_000, 8_500)
    assert (await office.assess("90.00")).assessment.article is Article.RISK_ANALYSIS
    row = await office.paid("90.00")
    assert row.basis == "18"
    await fraud(office, row)
    after = (await office.assess("90.00")).assessment
    assert not after.exempt
    assert Obstacle.FRAUD_RATE in {reason.obstacle for reason in after.reasons}


async def test_a_standing_is_at_most_five_seconds_old(office: ExemptionOffice) -> None:
    """Another process's report is seen by then; one's own at once."""
    await put(office, today(office), 1_000_000)
    assert (await office.figures.standing(office.client, CARD)).fraud_cents == 0
    await put(office, today(office) - timedelta(days=1), 0, 500)
    office.clock.ahead_ms += FRESH_MS
    assert (await office.figures.standing(office.client, CARD)).fraud_cents == 500


async def test_rates_are_each_client_s_own(office: ExemptionOffice) -> None:
    """A bank's rate is not another's."""
    other = ExemptionOffice(office.pool, office.keyring)
    await fraud(other, await other.paid("20.00"))
    await office.paid("20.00")
    assert (await standing(office)).fraud_cents == 0


async def _traffic(office: ExemptionOffice, chance: random.Random) -> list[AssessmentRow]:
    """Payments of several kinds, some authenticated, some in other currencies."""
    rows = []
    for _ in range(40):
        euros = f"{chance.randrange(1, 60)}.{chance.randrange(100):02d}"
        context = chance.choice(list(Context))
        row = await office.assess(
            euros,
            type=chance.choice(list(PaymentType)),
            context=context,
            currency=chance.choice(["EUR", "EUR", "GBP", "SEK"]),
            instrument="card-1" if context is Context.CONTACTLESS else None,
            merchant_category="4111" if context is Context.UNATTENDED_TERMINAL else None,
        )
        challenge = None if row.assessment.exempt or chance.random() < 0.3 else await office.approved()
        rows.append(await office.executed(row, challenge))
    return rows


async def test_the_log_alone_gives_the_same_figures_to_the_cent(office: ExemptionOffice) -> None:
    """Kept figures and recomputed ones agree in every line, and cover several bases."""
    chance = random.Random(20)
    rows = await _traffic(office, chance)
    for row in chance.sample(rows, 9):
        await fraud(office, row)
    quarter = Quarter.of(today(office))
    kept = await office.figures.quarterly(office.client, quarter)
    assert await office.figures.quarterly_from_log(office.client, quarter) == kept
    bases = {line.key.basis for line in kept.lines if line.sums.payments}
    assert {"11", "12", "16", "sca", "none", "all"} <= bases
    assert sum(line.sums.payments for line in kept.lines if line.key.basis == "all") == 40
    assert sum(line.sums.cents for line in kept.lines if line.key.basis == "all") == sum(
        row.cents or 0 for row in rows
    )


async def test_the_log_gives_the_same_figures_after_withdrawals(office: ExemptionOffice) -> None:
    """Some are withdrawn, one of them is made anew: kept and recomputed agree, and the fraud is what is left."""
    chance = random.Random(21)
    rows = chance.sample(await _traffic(office, chance), 9)
    reports = [await fraud(office, row) for row in rows]
    for report in reports[:5]:
        await office.figures.withdraw(office.client, report, WithdrawalReason.MISTAKE, ORIGIN)
    await fraud(office, rows[0])
    quarter = Quarter.of(today(office))
    kept = await office.figures.quarterly(office.client, quarter)
    assert await office.figures.quarterly_from_log(office.client, quarter) == kept
    counted = [rows[0], *rows[5:]]
    total = [line.sums for line in kept.lines if line.key.basis == "all"]
    assert sum(sums.fraud_cents for sums in total) == sum(row.cents or 0 for row in counted)
    assert sum(sums.fraud_payments for sums in total) == len(counted)


async def test_a_report_is_withdrawn_once(office: ExemptionOffice) -> None:
    """In parallel, by several: the value is taken back once, and the first reason stands."""
    row = await office.paid("20.00")
    report = await fraud(office, row)
    reasons = [WithdrawalReason.MISTAKE, WithdrawalReason.PAYER_AGREED] * 3
    told = await asyncio.gather(
        *(office.figures.withdraw(office.client, report, reason, ORIGIN) for reason in reasons)
    )
    assert len({one.withdrawn_for for one in told}) == 1
    assert (await standing(office)).fraud_cents == 0
    assert [event.head.type for event in await office.events()].count("fraud.withdrawn") == 1
    statement = "SELECT min(fraud_cents) FROM payment_totals WHERE client_id = $1"
    assert await office.pool.fetchval(statement, office.client) == 0


async def test_a_figure_that_was_tampered_with_is_seen(office: ExemptionOffice) -> None:
    """A cent in the table, and the log says otherwise."""
    await office.paid("20.00")
    statement = "UPDATE payment_totals SET cents = cents + 1 WHERE client_id = $1"
    await office.pool.execute(statement, office.client)
    quarter = Quarter.of(today(office))
    kept = await office.figures.quarterly(office.client, quarter)
    assert await office.figures.quarterly_from_log(office.client, quarter) != kept


async def test_leaves_come_in_portions_without_gap_or_repetition(
    office: ExemptionOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are, whatever a portion holds."""
    for _ in range(7):
        await fraud(office, await office.paid("1.00"))
    store = FraudStore(office.pool)

    async def ids(leaves: AsyncIterator[dict[str, str]]) -> list[str]:
        return [leaf["id"] async for leaf in leaves]

    whole = await ids(store.leaves(office.client))
    for most in (1, 3, 7):
        monkeypatch.setattr("sca_service.exemptions.reports.postgres_store._LEAVES_AT_ONCE", most)
        assert await ids(store.leaves(office.client)) == whole
    assert len(set(whole)) == len(whole) == 14


@pytest.mark.race
async def test_parallel_payments_of_one_day_are_all_in_its_total(office: ExemptionOffice) -> None:
    """Of one payer and of several, none is lost."""
    offices = [ExemptionOffice(office.pool, office.keyring, client=office.client) for _ in range(5)]
    await asyncio.gather(*(one.paid("1.00") for one in offices for _ in range(6)))
    first = last = today(office)
    sums = await FraudStore(office.pool).sums(office.client, first, last)
    assert sums == {Key(CARD, True, "16"): Sums(30, 3_000)}


async def test_a_report_under_the_same_name_is_the_same(office: ExemptionOffice) -> None:
    """What a repeated request makes is what the first has made."""
    row, unique = await office.paid("20.00"), secrets.token_hex(16)
    reports = [
        await office.figures.report(office.client, row.id, FraudKind.UNAUTHORISED, ORIGIN, unique=unique)
        for _ in range(2)
    ]
    assert reports[0] == reports[1]
    assert reports[0].id == f"frd_{unique}"


async def test_who_was_defrauded_is_remembered_once(office: ExemptionOffice) -> None:
    """For the payer's next risk analysis; a memory that is away fails no report, which is in the rate."""
    first, second = await office.paid("20.00"), await office.paid("20.00")
    for _ in range(2):
        await fraud(office, first)
    assert [one.kind for one in office.marks.standings] == [MarkedKind.PAYER, MarkedKind.PAYEE]
    assert office.marks.reports_on(MarkedKind.PAYER, office.psu) == 1
    office.marks.is_away = True
    await fraud(office, second)
    assert (await standing(office)).fraud_cents == 4_000


async def test_a_batch_is_as_many_payments_as_it_pays(office: ExemptionOffice) -> None:
    """Art. 21(1)(b) and (c): number and average are those of individual payments, kept and recomputed alike."""
    accounts = [Account.parse(iban=iban) for iban in (IBAN, OTHER_IBAN)]
    shares = [PayeeShare(Payee("A", account), Amount("EUR", 45_000)) for account in accounts]
    row = await office.paid(transaction=Transaction.batch(total=Amount("EUR", 90_000), shares=shares))
    await fraud(office, row)
    quarter = Quarter.of(day_of(office.clock.now_ms()))
    report = await office.figures.quarterly(office.client, quarter)
    assert report == await office.figures.quarterly_from_log(office.client, quarter)
    assert report.lines[0].sums == Sums(2, 90_000, 2, 90_000)
    assert report.lines[0].sums.average_cents == 45_000
