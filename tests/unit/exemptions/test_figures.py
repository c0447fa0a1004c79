"""The figures of RTS Art. 21: recomputed from leaves, added up, and written."""

import csv
import io
from datetime import date
from typing import Any

import pytest

from sca_service.exemptions.model import PaymentType
from sca_service.exemptions.reports.figures import ALL, Key, Recomputation, Sums, report_of
from sca_service.exemptions.reports.quarter import Quarter, day_of
from sca_service.exemptions.reports.written import COLUMNS, csv_text, euros, page
from sca_service.kernel.errors import InvalidInput

QUARTER = Quarter(2026, 4)


def leaf(kind: str, number: int, cents: int, **members: Any) -> dict[str, Any]:
    """A leaf of the log as the figures need it."""
    return {
        "id": f"evt_{number}",
        "type": kind,
        "client": "bank",
        "payment_type": "card",
        "context": "remote",
        "basis": "16",
        "euro_cents": str(cents),
        "executed_on": "2026-11-28",
    } | members


def recomputed(*leaves: dict[str, Any]) -> dict[Key, Sums]:
    """What the leaves come to in the quarter."""
    made = Recomputation("bank", QUARTER.first, QUARTER.last)
    for one in leaves:
        made.add(one)
    return made.sums


CARD_16 = Key(PaymentType.CARD, True, "16")


def test_payments_and_fraud_are_summed_by_what_they_rest_on() -> None:
    """Each by type, remote or not, and basis."""
    sums = recomputed(
        leaf("payment.executed", 1, 1_000),
        leaf("payment.executed", 2, 2_001),
        leaf("fraud.reported", 3, 2_001),
        leaf("payment.executed", 4, 50_000, basis="sca", payment_type="credit_transfer"),
        leaf("payment.executed", 5, 4_000, basis="11", context="contactless"),
        leaf("payment.executed", 6, 300, basis="12", context="unattended_terminal"),
    )
    assert sums == {
        CARD_16: Sums(2, 3_001, 1, 2_001),
        Key(PaymentType.CREDIT_TRANSFER, True, "sca"): Sums(1, 50_000),
        Key(PaymentType.CARD, False, "11"): Sums(1, 4_000),
        Key(PaymentType.CARD, False, "12"): Sums(1, 300),
    }


def test_what_is_not_of_this_client_and_quarter_is_passed_over() -> None:
    """Other clients, other events, other days; the first and the last day count."""
    sums = recomputed(
        {"id": "evt_0", "type": "challenge.issued", "client": "bank"},
        leaf("payment.executed", 1, 1, client="other-bank"),
        leaf("payment.executed", 2, 10, executed_on="2026-09-30"),
        leaf("payment.executed", 3, 100, executed_on="2026-10-01"),
        leaf("payment.executed", 4, 1_000, executed_on="2026-12-31"),
        leaf("payment.executed", 5, 10_000, executed_on="2027-01-01"),
    )
    assert sums == {CARD_16: Sums(2, 1_100)}


def test_a_leaf_that_comes_twice_counts_once() -> None:
    """Exports may overlap."""
    one = leaf("payment.executed", 1, 500)
    assert recomputed(one, one) == {CARD_16: Sums(1, 500)}


def test_a_leaf_without_its_amount_is_not_guessed() -> None:
    """It is no leaf of ours."""
    broken = leaf("payment.executed", 1, 500)
    del broken["euro_cents"]
    with pytest.raises(KeyError):
        recomputed(broken)


def test_amounts_beyond_64_bits_add_up_exactly() -> None:
    """Text carries them, and integers have no end."""
    huge = 10**20 + 1
    sums = recomputed(leaf("payment.executed", 1, huge), leaf("payment.executed", 2, huge))
    assert sums[CARD_16].cents == 2 * 10**20 + 2


def test_a_report_has_a_total_for_each_type_remote_and_not() -> None:
    """And shares are those within it."""
    report = report_of(
        "bank", QUARTER, {CARD_16: Sums(3, 900, 1, 300), Key(PaymentType.CARD, True, "sca"): Sums(1, 100)}
    )
    lines = {(line.key.payment_type, line.key.is_remote, line.key.basis): line for line in report.lines}
    assert len([basis for *_, basis in lines if basis == ALL]) == 4
    total = lines[PaymentType.CARD, True, ALL]
    assert (total.sums, total.sums.rate.percent) == (Sums(4, 1_000, 1, 300), "30.000000")
    assert lines[PaymentType.CARD, True, "16"].sums.share_of(total.all_payments) == "75.000000"
    assert lines[PaymentType.CARD, True, "16"].sums.average_cents == 300
    empty = lines[PaymentType.CREDIT_TRANSFER, False, ALL]
    assert (empty.sums, empty.sums.average_cents, empty.sums.rate.percent) == (Sums(), None, None)


@pytest.mark.parametrize(("payments", "cents", "average"), [(2, 3, 2), (3, 4, 1), (3, 5, 2), (1, 7, 7)])
def test_averages_are_rounded_half_up(payments: int, cents: int, average: int) -> None:
    """To the cent."""
    assert Sums(payments, cents).average_cents == average


def test_csv_and_page_say_the_same() -> None:
    """Every figure of the one stands in the other, and the client's name is escaped."""
    report = report_of("bank", QUARTER, {CARD_16: Sums(3, 123_456, 1, 1_000)})
    text = csv_text(report)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS
    assert [row["basis"] for row in rows] == ["16", "all", "all", "all", "all"]
    assert rows[0] == {
        "client": "bank",
        "quarter": "2026Q4",
        "payment_type": "card",
        "remote": "yes",
        "basis": "16",
        "payments": "3",
        "share_percent": "100.000000",
        "value_eur": "1234.56",
        "average_eur": "411.52",
        "fraud_payments": "1",
        "fraud_value_eur": "10.00",
        "fraud_rate_percent": "0.810005",
    }
    html = page(report)
    for row in rows:
        for name in COLUMNS[5:]:
            assert f"<td>{row[name] or '–'}</td>" in html
    assert "<script" not in page(report_of("<script>", QUARTER, {}))


def test_euros() -> None:
    """Always two digits after the point."""
    assert [euros(cents) for cents in (0, 5, 100, 123_456)] == ["0.00", "0.05", "1.00", "1234.56"]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026Q1", date(2026, 1, 1), date(2026, 3, 31)),
        ("2024Q1", date(2024, 1, 1), date(2024, 3, 31)),
        ("2026Q2", date(2026, 4, 1), date(2026, 6, 30)),
        ("2026Q3", date(2026, 7, 1), date(2026, 9, 30)),
        ("2026Q4", date(2026, 10, 1), date(2026, 12, 31)),
    ],
)
def test_quarters(text: str, first: date, last: date) -> None:
    """Both days lie in it, and the next begins after it."""
    quarter = Quarter.parse(text)
    assert (quarter.text, quarter.first, quarter.last) == (text, first, last)
    assert Quarter.of(first) == Quarter.of(last) == quarter
    assert quarter.next > quarter


@pytest.mark.parametrize("text", ["", "2026", "2026Q0", "2026Q5", "1999Q1", "2026q4", "2026Q4 ", "२०२६Q4"])
def test_what_is_no_quarter_is_refused(text: str) -> None:
    """With the pointer to it."""
    with pytest.raises(InvalidInput) as caught:
        Quarter.parse(text)
    assert caught.value.mistakes[0].pointer == "/quarter"


def test_days_are_those_of_utc() -> None:
    """A payment a millisecond before midnight is the day before's."""
    midnight = 1_795_910_400_000
    assert day_of(midnight) == date(2026, 11, 29)
    assert day_of(midnight - 1) == date(2026, 11, 28)
