"""Assessments on PostgreSQL: what is reserved, what is counted, and what sets the counters back."""

import asyncio
import secrets
from dataclasses import replace

import asyncpg
import pytest

from sca_service.exemptions.model import Article, Context, Obstacle, PaymentType, Shown
from sca_service.exemptions.rows import AssessmentRow, AssessmentState
from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.money import Amount
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.exemptions import CounterMode
from tests.exemption_office import (
    IBAN,
    ORIGIN,
    OTHER_IBAN,
    ExemptionOffice,
    counter_rule,
    exemptions,
    policy_with,
)


@pytest.fixture
def office(pool: asyncpg.Pool, keyring: Keyring) -> ExemptionOffice:
    """A payer nobody else has."""
    return ExemptionOffice(pool, keyring)


def obstacles(row: AssessmentRow, article: Article) -> set[Obstacle]:
    """What stood against one article."""
    return {reason.obstacle for reason in row.assessment.reasons if reason.article is article}


async def test_an_assessment_reserves_its_place(office: ExemptionOffice) -> None:
    """Three of EUR 30 are 90: a fourth of 10 fits, a cent more does not, executed or not."""
    first = [await office.assess("30.00") for _ in range(3)]
    assert [row.assessment.article for row in first] == [Article.LOW_VALUE] * 3
    refused = await office.assess("10.01")
    assert not refused.assessment.exempt
    assert obstacles(refused, Article.LOW_VALUE) == {Obstacle.CUMULATIVE_AMOUNT}
    await office.executed(first[0])
    assert (await office.assess("10.00")).assessment.exempt


async def test_a_cancelled_one_gives_its_place_back(office: ExemptionOffice) -> None:
    """And again is as once; an executed one is not cancelled any more."""
    rows = [await office.assess("25.00") for _ in range(4)]
    assert not (await office.assess("0.01")).assessment.exempt
    for _ in range(2):
        assert (await office.cancel(rows[0])).state is AssessmentState.CANCELLED
    assert (await office.assess("25.00")).assessment.exempt
    assert not (await office.assess("0.01")).assessment.exempt
    await office.executed(rows[1])
    assert (await office.cancel(rows[1])).state is AssessmentState.EXECUTED
    assert not (await office.assess("0.01")).assessment.exempt


async def test_one_that_is_not_executed_in_time_gives_its_place_back(office: ExemptionOffice) -> None:
    """The next assessment takes it."""
    rows = [await office.assess("25.00") for _ in range(4)]
    await office.lapse(rows[0])
    assert (await office.assess("25.00")).assessment.exempt
    assert not (await office.assess("0.01")).assessment.exempt
    lapsed = await office.desk.get(office.client, rows[0].id)
    assert lapsed.state is AssessmentState.LAPSED


async def test_a_late_execution_keeps_its_exemption_only_where_there_is_room(office: ExemptionOffice) -> None:
    """Its place was taken: the money went out without an exemption, counts, and is on record as that."""
    rows = [await office.assess("25.00") for _ in range(4)]
    await office.lapse(rows[0])
    await office.assess("25.00")
    late = await office.executed(rows[0])
    assert (late.state, late.basis) == (AssessmentState.EXECUTED, "none")
    await office.lapse(rows[1])
    in_time = await office.executed(rows[1])
    assert in_time.basis == "16"  # its time is over, but nobody has taken its place


async def test_a_late_execution_with_room_is_exempt(office: ExemptionOffice) -> None:
    """What was cancelled or lapsed may turn out to be executed after all."""
    lapsed, cancelled = await office.assess("20.00"), await office.assess("20.00")
    await office.lapse(lapsed)
    await office.cancel(cancelled)
    await office.assess("1.00")
    assert (await office.executed(lapsed)).basis == "16"
    assert (await office.executed(cancelled)).basis == "16"
    rest = [await office.assess(euros) for euros in ("30.00", "29.00", "0.01")]
    assert [row.assessment.exempt for row in rest] == [True, True, False]


async def test_executed_again_is_as_once(office: ExemptionOffice) -> None:
    """The counter moves once, the log tells it once, also in parallel."""
    row = await office.assess("30.00")
    answers = await asyncio.gather(*(office.executed(row) for _ in range(8)))
    assert {answer.basis for answer in answers} == {"16"}
    kinds = [event.head.type for event in await office.events()]
    assert kinds == ["exemption.assessed", "payment.executed"]
    assert (await office.figures.rate_standing(office.client, PaymentType.CARD)).rate.total_cents == 3_000


async def test_an_assessment_that_is_asked_for_again_is_the_one_from_before(office: ExemptionOffice) -> None:
    """The same request holds one place, also in parallel."""
    unique = secrets.token_hex(16)
    rows = await asyncio.gather(*(office.assess("30.00", unique=unique) for _ in range(6)))
    assert len({row.id for row in rows}) == 1
    assert rows[0].assessment == rows[5].assessment
    assert [(await office.assess("30.00")).assessment.exempt for _ in range(3)] == [True, True, False]


async def test_authentication_sets_the_counter_back(office: ExemptionOffice) -> None:
    """After EUR 90 and an authenticated payment, EUR 100 more may go."""
    for _ in range(3):
        await office.paid("30.00")
    assert not (await office.assess("30.00")).assessment.exempt
    assert (await office.sca()).basis == "sca"
    bases = [(await office.paid("25.00")).basis for _ in range(5)]
    assert bases == ["16", "16", "16", "16", "none"]


async def test_authentication_leaves_what_is_reserved(office: ExemptionOffice) -> None:
    """What is open when the payer is authenticated may still be executed after it."""
    open_rows = [await office.assess("30.00") for _ in range(3)]
    await office.sca()
    assert not (await office.assess("10.01")).assessment.exempt
    assert {(await office.executed(row)).basis for row in open_rows} == {"16"}


async def test_only_an_authentication_before_it_sets_back(office: ExemptionOffice) -> None:
    """One that is reported late does not forgive what was executed since."""
    payment = await office.assess("500.00")
    challenge = await office.approved()
    for _ in range(3):
        await office.paid("30.00")
    await office.executed(payment, challenge)
    assert not (await office.assess("10.01")).assessment.exempt


async def test_an_exempt_payment_that_was_authenticated_all_the_same(office: ExemptionOffice) -> None:
    """It rests on the authentication, gives its place back and sets the counter back."""
    for _ in range(3):
        await office.paid("30.00")
    row = await office.assess("10.00")
    assert row.assessment.exempt
    assert (await office.executed(row, await office.approved())).basis == "sca"
    assert [(await office.assess("25.00")).assessment.exempt for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize(
    "of", ["nobody", "another client", "another payer", "one element", "login", "long ago"]
)
async def test_what_is_no_authentication_of_this_payment_is_refused(office: ExemptionOffice, of: str) -> None:
    """Nothing is counted, and nothing set back."""
    match of:
        case "another client":
            challenge = await office.approved(client="other-bank")
        case "another payer":
            challenge = await office.approved(psu="0" * 32)
        case "one element":
            challenge = await office.approved(sca=False)
        case "login":
            challenge = await office.approved("login")
        case "long ago":
            challenge = await office.approved()
            statement = "UPDATE acceptances SET at = at - interval '6 minutes' WHERE challenge_id = $1"
            await office.pool.execute(statement, challenge)
        case _:
            challenge = "chl_00"
    row = await office.assess("500.00")
    with pytest.raises(InvalidInput) as caught:
        await office.executed(row, challenge)
    assert caught.value.mistakes[0].pointer == "/challenge"
    assert (await office.desk.get(office.client, row.id)).state is AssessmentState.OPEN


async def test_a_challenge_stands_for_one_payment(office: ExemptionOffice) -> None:
    """Named for a second one it is refused, also in parallel."""
    challenge = await office.approved()
    rows = [await office.assess("500.00") for _ in range(4)]
    came_to = await asyncio.gather(*(office.executed(row, challenge) for row in rows), return_exceptions=True)
    assert sum(isinstance(one, AssessmentRow) for one in came_to) == 1
    assert all(isinstance(one, AssessmentRow | InvalidInput) for one in came_to)


async def test_contactless_payments_are_counted_for_each_instrument(office: ExemptionOffice) -> None:
    """One card's counter is not another's, and neither is that of remote payments."""
    tap = {"context": Context.CONTACTLESS, "instrument": "card-1"}
    other = {"context": Context.CONTACTLESS, "instrument": "card-2"}
    assert [(await office.paid("50.00", **tap)).basis for _ in range(4)] == ["11", "11", "11", "none"]
    assert (await office.paid("50.00", **other)).basis == "11"
    assert (await office.paid("30.00")).basis == "16"
    await office.sca("60.00", **other)
    assert not (await office.assess("50.00", **tap)).assessment.exempt
    await office.sca("60.00", **tap)
    assert (await office.assess("50.00", **tap)).assessment.exempt


async def test_a_counter_of_payments(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """Five, whatever they are worth."""
    rule = counter_rule(exemptions().low_value, mode=CounterMode.COUNT)
    office = ExemptionOffice(pool, keyring, policy_with(low_value=rule))
    assert [(await office.paid("30.00")).basis for _ in range(6)] == ["16"] * 5 + ["none"]


async def test_what_another_article_exempts_is_not_counted(office: ExemptionOffice) -> None:
    """EBA-Op-2018-04: previous transactions are those that this exemption was applied to."""
    payee = Payee("ACME GmbH", Account.parse(iban=IBAN))
    await office.trusted.add(office.whose, payee, f"evt_{secrets.token_hex(16)}")
    assert {(await office.paid("30.00")).basis for _ in range(5)} == {"13"}
    assert (await office.paid("30.00", iban=OTHER_IBAN)).basis == "16"


async def test_a_series_begins_with_authentication_and_goes_on_without(office: ExemptionOffice) -> None:
    """The same amount to the same payee; what differs is authenticated, and sets the series anew."""
    recurring = {"series": "gym"}
    assert obstacles(await office.assess("80.00", **recurring), Article.RECURRING) == {
        Obstacle.FIRST_OF_SERIES
    }
    assert (await office.paid("80.00", **recurring)).basis == "none"
    assert not (await office.assess("80.00", **recurring)).assessment.exempt
    await office.sca("80.00", **recurring)
    assert [(await office.paid("80.00", **recurring)).basis for _ in range(3)] == ["14"] * 3
    for changed in ({"euros": "80.01"}, {"euros": "80.00", "iban": OTHER_IBAN}):
        assert not (await office.assess(**changed, **recurring)).assessment.exempt
    await office.sca("85.00", **recurring)
    assert (await office.paid("85.00", **recurring)).basis == "14"
    assert not (await office.assess("80.00", **recurring)).assessment.exempt
    assert not (await office.assess("85.00", series="other")).assessment.exempt


async def test_access_after_an_authenticated_one(office: ExemptionOffice) -> None:
    """For the payer and for each service by itself; a payment's authentication is none of an access."""
    assert not (await office.access()).assessment.exempt
    first = await office.access()
    with pytest.raises(InvalidInput):
        await office.executed(first, await office.approved("payment"))
    await office.executed(first, await office.approved("account_access"))
    assert (await office.access()).assessment.article is Article.ACCOUNT_ACCESS
    by_aisp = await office.access(Shown.TRANSACTIONS, oldest_days=90, aisp="aisp-1")
    assert not by_aisp.assessment.exempt
    await office.executed(by_aisp, await office.approved("login"))
    again = await office.access(Shown.TRANSACTIONS, oldest_days=90, aisp="aisp-1")
    assert again.assessment.article is Article.AISP_ACCESS
    assert not (await office.access(aisp="aisp-2")).assessment.exempt
    office.clock.ahead_ms = 181 * 86_400_000
    assert not (await office.access()).assessment.exempt


async def test_an_access_without_authentication_proves_none(office: ExemptionOffice) -> None:
    """Executed without a challenge it is no first authenticated access."""
    row = await office.executed(await office.access())
    assert row.basis == "none"
    assert not (await office.access()).assessment.exempt


async def test_a_batch_is_counted_as_one_payment_of_its_total(office: ExemptionOffice) -> None:
    """All payees have to be trusted; its total is what the limits see."""
    accounts = [Account.parse(iban=iban) for iban in (IBAN, OTHER_IBAN)]
    shares = [PayeeShare(Payee("A", account), Amount("EUR", 1_000)) for account in accounts]
    batch = Transaction.batch(total=Amount("EUR", 2_000), shares=shares)
    assert (await office.assess(transaction=batch)).assessment.article is Article.LOW_VALUE
    for share in shares:
        await office.trusted.add(office.whose, share.payee, f"evt_{secrets.token_hex(16)}")
    assert (await office.assess(transaction=batch)).assessment.article is Article.TRUSTED_BENEFICIARY


async def test_other_currencies_count_in_euros(office: ExemptionOffice) -> None:
    """GBP 25.64 are 30 euros, GBP 25.65 are a cent too many; without a rate nothing is assessed."""
    assert (await office.assess("25.64", currency="GBP")).cents == 3_000
    assert not (await office.assess("25.65", currency="GBP")).assessment.exempt
    with pytest.raises(InvalidInput) as caught:
        await office.assess("1", currency="JPY")
    assert caught.value.mistakes[0].pointer == "/transaction/amount/currency"


async def test_amounts_beyond_64_bits_are_kept(office: ExemptionOffice) -> None:
    """To the cent."""
    huge = "9" * 18 + ".99"
    row = await office.sca(huge)
    assert (row.cents, row.basis) == (10**20 - 1, "sca")
    assert (
        await office.figures.rate_standing(office.client, PaymentType.CARD)
    ).rate.total_cents == 10**20 - 1


async def test_another_client_finds_nothing(office: ExemptionOffice) -> None:
    """Unknown, malformed and another's answer alike."""
    row = await office.assess()
    for client, assessment in (
        ("other-bank", row.id),
        (office.client, f"ass_{'0' * 32}"),
        (office.client, "ass_'; --"),
    ):
        with pytest.raises(NotFound):
            await office.desk.executed(client, assessment, None, ORIGIN)
        with pytest.raises(NotFound):
            await office.desk.cancel(client, assessment, ORIGIN)
        with pytest.raises(NotFound):
            await office.desk.get(client, assessment)


async def test_the_log_tells_what_was_decided_and_names_nobody(office: ExemptionOffice) -> None:
    """Facts, reasons and money; no account, no name, no reference of the client's."""
    await office.paid("30.01", instrument="card-4711", series="sub-0815")
    assessed, executed = await office.events()
    text = assessed.body + executed.body
    for personal in (IBAN, "ACME", office.whose.psu_id, "card-4711", "sub-0815"):
        assert personal not in text
    for told in ('"not_supplied"', '"16:single_amount"', '"euro_cents":"3001"', POLICY_MEMBER):
        assert told in assessed.body
    assert '"basis":"none"' in executed.body


POLICY_MEMBER = f'"policy":"{ORIGIN["policy"]}"'


async def test_what_is_stored_names_nobody(office: ExemptionOffice, pool: asyncpg.Pool) -> None:
    """The table holds pseudonyms."""
    row = await office.assess("10.00", instrument="card-4711", series="sub-0815")
    stored = str(await pool.fetchrow("SELECT * FROM exemption_assessments WHERE id = $1", row.id))
    for personal in (IBAN, "ACME", office.whose.psu_id, "card-4711", "sub-0815"):
        assert personal not in stored


async def test_a_policy_that_became_stricter_holds_for_the_next(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """What is counted stays; the limit is today's."""
    office = ExemptionOffice(pool, keyring)
    await office.paid("30.00")
    strict = policy_with(low_value=counter_rule(exemptions().low_value, cumulative_cents=3_500))
    stricter = ExemptionOffice(pool, keyring, strict, client=office.client)
    stricter.whose = replace(office.whose)
    assert (await stricter.assess("5.00")).assessment.exempt
    assert not (await stricter.assess("0.01")).assessment.exempt
