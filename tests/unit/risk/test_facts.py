"""Facts: what is made of the order, the marks and what is remembered, and what of it is not supplied."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sca_service.kernel.account import Account
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction
from sca_service.policy.risk import LineQuestion
from sca_service.policy.words import Purpose
from sca_service.risk.facts import (
    FEWEST_APPROVALS_FOR_HOURS,
    FEWEST_PAYMENTS,
    Marks,
    OwnCurrency,
    RiskOrder,
    facts_of,
    network_pseudonym,
    payee_subject,
    subject_pseudonym,
    subjects_of,
)
from sca_service.risk.memory import (
    DEVICES,
    MARK_FIELDS,
    Counts,
    Location,
    PayerMemory,
    SubjectMemory,
    payer_memory,
    subject_memory,
)
from sca_service.risk.model import AnswerState, Facts, LineAnswer
from sca_service.risk.redis_store import Memory, SubjectKind, Subjects

KEYRING = Keyring.parse(create_keyring_text())
NOW = 1_790_000_000
EXCHANGE = {"EUR": 1_000_000, "USD": 900_000, "JPY": 6_000, "KWD": 3_000_000}
IBAN = "DE89370400440532013000"
PAYER = "0a" * 16
BERLIN, PARIS = Location(52.52, 13.4), Location(48.86, 2.35)


def payment(amount: str = "49.99", currency: str = "EUR", *, iban: str | None = IBAN) -> Transaction:
    """A payment to one payee."""
    account = Account(iban=iban) if iban else None
    return Transaction.payment(
        amount=Amount.parse(currency=currency, amount=amount), payee=Payee("ACME GmbH", account)
    )


def batch() -> Transaction:
    """A payment to two payees."""
    amount = Amount("EUR", 100)
    shares = [PayeeShare(Payee(name), amount) for name in ("A", "B")]
    return Transaction.batch(total=Amount("EUR", 200), shares=shares)


def order(
    marks: Marks | None = None, transaction: Transaction | None = None, phone: str | None = "+4915112345678"
) -> RiskOrder:
    """An order of a payment."""
    return RiskOrder(
        "bank",
        PAYER,
        Purpose.PAYMENT,
        marks or Marks(),
        transaction or payment(),
        PhoneNumber.parse(phone) if phone else None,
    )


def facts(
    one: RiskOrder,
    payer: PayerMemory | None = None,
    others: dict[SubjectKind, SubjectMemory] | None = None,
    answers: dict[LineQuestion, LineAnswer] | None = None,
) -> Facts:
    """The facts of an order."""
    memory = Memory(payer or PayerMemory(NOW), others or {})
    amount_minor = OwnCurrency(EXCHANGE).minor(one.transaction.total) if one.transaction else None
    return facts_of(one, subjects_of(one, KEYRING), memory, answers or {}, amount_minor=amount_minor)


def remembered(**known: Any) -> PayerMemory:
    """A payer with a history."""
    return PayerMemory(**{"now": NOW, "first_seen_at": NOW - 40 * 86_400, "approvals": 20} | known)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("49.99", "EUR", 4_999),
        ("10", "USD", 900),
        ("1000", "JPY", 600),
        ("1.000", "KWD", 300),
        ("0.01", "USD", 0),
        ("5", "CHF", None),
    ],
)
def test_an_amount_is_one_of_the_banks_own_currency(amount: str, currency: str, minor: int | None) -> None:
    """By the rates of suppliers.toml, rounded down; without a rate it is not supplied."""
    assert OwnCurrency(EXCHANGE).minor(Amount.parse(currency=currency, amount=amount)) == minor
    assert facts(order(transaction=payment(amount, currency))).amount_minor == minor


def test_without_an_own_currency_no_amount_is_supplied() -> None:
    """A table of rates in which nothing is worth one."""
    assert OwnCurrency({"EUR": 1_100_000}).minor(Amount("EUR", 100)) is None


def test_what_the_bank_marks_is_a_fact_as_it_stands() -> None:
    """And what it does not say is not supplied, an empty list being something said."""
    marks = Marks(malware=True, scenarios=(), payee_check="no_match", ip_country="FR")
    found = facts(order(marks))
    assert (found.malware, found.scenarios, found.payee_check, found.ip_country) == (
        True,
        (),
        "no_match",
        "FR",
    )
    bare = facts(order())
    assert {bare.malware, bare.scenarios, bare.payee_check, bare.ip_country, bare.compromised} == {None}


def test_a_payer_of_whom_nothing_is_known_has_nothing_new() -> None:
    """Nothing was ever approved, so there is nothing that another thing would be new to."""
    marks = Marks(device_id="d-1", user_agent="x", payer_country="DE", latitude=1.0, longitude=2.0)
    found = facts(order(marks))
    assert found.device_new is found.payee_new is found.agent_new is found.country_new is None
    assert found.amount_deviation is found.hour_unusual is found.distance_km is found.payer_age_days is None


def test_what_was_approved_before_is_not_new() -> None:
    """Device and payee by the beginning of their pseudonym."""
    one = order(Marks(device_id="d-1", payer_country="DE"))
    subjects = subjects_of(one, KEYRING)
    device = subjects.others[SubjectKind.DEVICE][:12]
    seen = {DEVICES: frozenset({device}), "p:": frozenset({"0" * 12}), "c:": frozenset({"FR"})}
    found = facts(one, remembered(seen=seen))
    assert (found.device_new, found.payee_new, found.country_new) == (False, True, True)
    assert facts(order(), remembered(seen=seen)).device_new is None


def test_a_country_is_new_only_to_somebody_whose_countries_are_known() -> None:
    """Who never sent one is not abroad with the first."""
    assert facts(order(Marks(payer_country="DE")), remembered()).country_new is None


@pytest.mark.parametrize(
    ("payments", "deviation_minor", "expected"),
    [
        (FEWEST_PAYMENTS - 1, 1_000.0, None),
        (FEWEST_PAYMENTS, 1_000.0, 2.999),
        (FEWEST_PAYMENTS, 0.0, 14.995),
    ],
)
def test_an_amount_is_held_against_the_payers_own(
    payments: int, deviation_minor: float, expected: float | None
) -> None:
    """In deviations above the mean; those who always pay alike may vary by a tenth of it."""
    payer = remembered(payments=payments, mean_minor=2_000.0, deviation_minor=deviation_minor)
    found = facts(order(), payer)
    assert found.amount_deviation == (None if expected is None else pytest.approx(expected))
    assert found.amount_ratio == (None if expected is None else pytest.approx(2.4995))


@pytest.mark.parametrize(
    ("away", "approvals", "unusual"),
    [(0, 10, False), (1, 10, False), (-1, 10, False), (2, 10, True), (12, 10, True), (12, 9, None)],
)
def test_an_hour_is_unusual_when_nothing_was_approved_near_it(
    away: int, approvals: int, unusual: bool | None
) -> None:
    """Round the clock, and only with enough of a history."""
    assert FEWEST_APPROVALS_FOR_HOURS == 10
    for now in (NOW, NOW - NOW % 86_400 + 60, NOW - NOW % 86_400 + 86_399):
        hours = 1 << (now // 3600 + away) % 24
        payer = remembered(now=now, approvals=approvals, hours=hours)
        found = facts(order(), payer)
        assert found.hour_unusual is unusual
        assert found.hour_utc == now // 3600 % 24


def test_a_journey_has_a_distance_and_a_speed() -> None:
    """Berlin to Paris in an hour, 878 km; at the same moment it is not divided by nothing."""
    marks = Marks(latitude=PARIS.latitude, longitude=PARIS.longitude)
    found = facts(order(marks), remembered(location=BERLIN, located_at=NOW - 3_600))
    assert found.distance_km == pytest.approx(878, abs=2)
    assert found.speed_kmh == pytest.approx(878, abs=2)
    at_once = facts(order(marks), remembered(location=BERLIN, located_at=NOW))
    assert at_once.speed_kmh == pytest.approx(878 * 60, rel=0.01)
    assert facts(order(), remembered(location=BERLIN)).distance_km is None
    assert facts(order(Marks(latitude=1.0)), remembered(location=BERLIN)).distance_km is None


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (Location(0, 0), Location(0, 180), 20_015),
        (Location(90, 0), Location(-90, 77), 20_015),
        (Location(0, 179.5), Location(0, -179.5), 111),
        (BERLIN, BERLIN, 0),
    ],
)
def test_distances_go_round_the_earth(one: Location, other: Location, km: float) -> None:
    """Antipodes, poles and the date line."""
    assert one.distance_km(other) == pytest.approx(km, abs=1)


def test_counters_of_device_payee_and_address_are_facts_where_they_were_given() -> None:
    """And what is listed is named by its kind."""
    others = {
        SubjectKind.DEVICE: SubjectMemory(requests_hour=3, payers=4, reports=1, is_listed=True),
        SubjectKind.IP: SubjectMemory(requests_hour=5, payers=6),
        SubjectKind.PHONE: SubjectMemory(is_listed=True),
    }
    found = facts(order(), remembered(is_listed=True, reports=2), others)
    assert (found.device_requests_hour, found.device_payers, found.device_reports) == (3, 4, 1)
    assert (found.ip_requests_hour, found.ip_payers, found.ip_reports) == (5, 6, 0)
    assert found.payee_payers is None
    assert found.listed == ("payer", "device", "phone")
    assert found.payer_reports == 2


def test_what_operators_say_and_do_not_say_is_a_fact() -> None:
    """A missing answer is one of its own."""
    answers = {
        LineQuestion.SIM_SWAP: LineAnswer(AnswerState.ANSWERED, True),
        LineQuestion.CALL_FORWARDING: LineAnswer(AnswerState.NO_ANSWER),
    }
    found = facts(order(), answers=answers)
    assert (found.sim_swapped, found.sim_swap_answer) == (True, "answered")
    assert (found.call_forwarded, found.call_forwarding_answer) == (None, "no_answer")
    assert (found.number_recycled, found.number_recycling_answer) == (None, "not_asked")


@pytest.mark.parametrize(
    ("transaction", "country", "phone", "expected"),
    [
        (payment(), None, "+4915112345678", ("DE", False)),
        (payment(), "IR", "+4915112345678", ("IR", True)),
        (payment(), None, "+33612345678", ("DE", True)),
        (payment(), None, None, ("DE", None)),
        (payment(iban=None), None, "+4915112345678", (None, None)),
        (batch(), None, "+4915112345678", (None, None)),
    ],
)
def test_the_payees_country_is_what_the_bank_says_else_the_ibans(
    transaction: Transaction, country: str | None, phone: str | None, expected: tuple[str | None, bool | None]
) -> None:
    """Abroad is what is not the country of the payer's phone number."""
    found = facts(order(Marks(payee_country=country), transaction, phone))
    assert (found.payee_country, found.payee_foreign) == expected


def test_of_a_batch_no_single_payee_is_learned() -> None:
    """It counts how many there are."""
    one = order(transaction=batch())
    assert SubjectKind.PAYEE not in subjects_of(one, KEYRING).others
    assert facts(one).payees == 2


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
    ],
)
def test_an_ipv6_address_is_its_64(first: str, second: str, same: bool) -> None:
    """A subscriber has a /64 of addresses, and an IPv4 address may be written as IPv6."""
    one, other = (subjects_of(order(Marks(ip=ip)), KEYRING).others[SubjectKind.IP] for ip in (first, second))
    assert (one == other) is same


def test_what_is_no_address_is_none() -> None:
    """Nothing is counted of it."""
    assert SubjectKind.IP not in subjects_of(order(Marks(ip="unknown")), KEYRING).others


def test_subjects_are_pseudonyms_within_their_client() -> None:
    """Nothing that was sent stands in them; another client's device of the same id is another one."""
    one = order(Marks(device_id="d-1", ip="203.0.113.7", user_agent="Safari"))
    subjects = subjects_of(one, KEYRING)
    told = repr(subjects) + repr(one)
    for personal in ("d-1", "203.0.113", "Safari", IBAN, "ACME", "15112345678"):
        assert personal not in told
    other = subjects_of(replace(one, client="other"), KEYRING)
    assert not set(subjects.others.values()) & set(other.others.values())
    assert set(subjects.others) == set(SubjectKind) - {SubjectKind.CARD}


def test_what_is_around_a_request_is_looked_up_on_lists_only() -> None:
    """The networks of the address, the card, and every payee of a batch, once each."""
    accounts = [Account.parse(iban=iban) for iban in (IBAN, "GB29NWBK60161331926819", IBAN)]
    shares = [PayeeShare(Payee("ACME", account), Amount("EUR", 100)) for account in accounts]
    batch = Transaction.batch(total=Amount("EUR", 300), shares=shares)
    one = replace(order(Marks(ip="203.0.113.7", card_ref="card-1")), transaction=batch)
    subjects = subjects_of(one, KEYRING)
    kinds = [kind for kind, _ in subjects.around]
    assert sorted(kinds) == ["card", "ip", "ip", "payee", "payee"]
    assert SubjectKind.PAYEE not in subjects.others
    for network in ("203.0.113.0/24", "203.0.0.0/16"):
        assert (SubjectKind.IP, network_pseudonym(KEYRING, one.client, network)) in subjects.around
    assert payee_subject(KEYRING, one.client, batch) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SubjectKind.DEVICE, "d-1"),
        (SubjectKind.PAYEE, IBAN),
        (SubjectKind.IP, "203.0.113.7"),
        (SubjectKind.PHONE, "+4915112345678"),
    ],
)
def test_what_is_reported_is_found_again(kind: SubjectKind, text: str) -> None:
    """The pseudonym of a report is that of the requests."""
    subjects = subjects_of(order(Marks(device_id="d-1", ip="203.0.113.7")), KEYRING)
    assert subjects.others[kind] == subject_pseudonym(KEYRING, "bank", kind, text)


@pytest.mark.parametrize(
    "body",
    [
        '{"ip": 7}',
        '{"colour": "red"}',
        '{"scenarios": ["Safe Account"]}',
        '{"scenarios": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]}',
        '{"ip_country": "de"}',
        '{"latitude": 91}',
        '{"longitude": -181}',
        '{"number_age_days": -1}',
        f'{{"device_id": "{"x" * 257}"}}',
        '{"malware": 1}',
    ],
)
def test_marks_out_of_bounds_are_refused(body: str) -> None:
    """Each has a bound: conditions work on what has one."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Marks)


def test_marks_are_shown_nowhere() -> None:
    """Their `repr` holds none of them, and a place is known to a hundredth of a degree."""
    marks = Marks(ip="203.0.113.7", latitude=52.51987, longitude=13.40496)
    assert repr(marks) == "Marks()"
    assert marks.location == Location(52.52, 13.4)
    assert "52" not in repr(marks.location)


def test_marks_end() -> None:
    """Reports and lists count until their time."""
    fields = {"r": "3", "u": str(NOW), "b": "2", "z": str(NOW), "l": str(NOW)}
    marks = [fields[name].encode() for name in MARK_FIELDS]
    for now, reports in ((NOW - 1, 5), (NOW, 0)):
        assert payer_memory(now, Counts(), fields).reports == reports
        assert payer_memory(now, Counts(), fields).is_listed is bool(reports)
        assert subject_memory(now, marks) == SubjectMemory(reports=reports, is_listed=bool(reports))
    assert subject_memory(NOW, [None] * len(marks), requests_hour=3, payers=2) == SubjectMemory(3, 2)


def test_a_payer_was_first_seen_when_it_first_asked_or_was_first_approved() -> None:
    """Whichever was earlier; an approval may come from a release that counted elsewhere."""
    for counted, learned, expected in ((5, "3", 3), (3, "5", 3), (0, "5", 5), (5, "0", 5), (0, "0", 0)):
        assert payer_memory(NOW, Counts(first_seen_at=counted), {"f": learned}).first_seen_at == expected


def test_subjects_without_anything_are_only_a_payer() -> None:
    """A login from nowhere."""
    bare = RiskOrder("bank", PAYER, Purpose.LOGIN, Marks())
    assert subjects_of(bare, KEYRING) == Subjects(PAYER, {})
    found = facts(bare)
    assert (found.purpose, found.payees, found.amount_minor, found.phone_country) == ("login", 0, None, None)
