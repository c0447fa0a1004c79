"""exemptions.toml: nothing in it goes beyond RTS chapter III, and every mistake is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sca_service.kernel.money import Amount
from sca_service.policy.bounds import bound_for
from sca_service.policy.exemption_bounds import REFERENCES, most_reference_ppm
from sca_service.policy.exemptions import Article, Band, PaymentType
from sca_service.policy.load import load

Edit = Callable[[str, str, str], list[str]]
FILE = "exemptions.toml"


def test_the_shipped_policy_uses_the_whole_of_the_law(shipped: Path) -> None:
    """Every limit is the law's; the corporate exemption waits for its evidence."""
    policy = load(shipped).exemptions
    assert set(Article) - set(policy.order) == {Article.CORPORATE}
    assert (policy.access.sca_every_days, policy.access.oldest_days) == (180, 90)
    assert (policy.contactless.single_cents, policy.contactless.cumulative_cents) == (5_000, 15_000)
    assert (policy.low_value.single_cents, policy.low_value.cumulative_cents) == (3_000, 10_000)
    assert policy.contactless.count == policy.low_value.count == 5
    assert policy.risk_analysis.bands == REFERENCES


@pytest.mark.parametrize(
    ("key", "most"),
    [
        ("account_access.sca_every_days", 180),
        ("account_access.oldest_days", 90),
        ("contactless.single_cents", 5_000),
        ("contactless.cumulative_cents", 15_000),
        ("contactless.count", 5),
        ("low_value.single_cents", 3_000),
        ("low_value.cumulative_cents", 10_000),
        ("low_value.count", 5),
        ("risk_analysis.card[].most_cents", 50_000),
        ("risk_analysis.card[].reference_ppm", 1_300),
        ("risk_analysis.credit_transfer[].reference_ppm", 150),
    ],
)
def test_the_bounds_are_those_of_the_regulation(key: str, most: int) -> None:
    """RTS Art. 10, 10a, 11, 16 and the Annex."""
    bound = bound_for(FILE, key)
    assert bound.most == most
    assert "RTS" in bound.article


@pytest.mark.parametrize(
    ("kind", "cents", "most"),
    [
        (PaymentType.CARD, 1, 1_300),
        (PaymentType.CARD, 10_000, 1_300),
        (PaymentType.CARD, 10_001, 600),
        (PaymentType.CARD, 25_001, 100),
        (PaymentType.CARD, 50_001, 0),
        (PaymentType.CREDIT_TRANSFER, 10_000, 150),
        (PaymentType.CREDIT_TRANSFER, 25_000, 100),
        (PaymentType.CREDIT_TRANSFER, 50_000, 50),
    ],
)
def test_a_band_of_one_s_own_keeps_the_reference_of_its_amount(
    kind: PaymentType, cents: int, most: int
) -> None:
    """A band that ends between two thresholds has the rate of the higher one."""
    assert most_reference_ppm(kind, cents) == most


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sca_every_days = 180", "sca_every_days = 181", "account_access.sca_every_days: 181 is too much"),
        ("oldest_days = 90", "oldest_days = 91", "account_access.oldest_days: 91 is too much"),
        ("single_cents = 5_000", "single_cents = 5_001", "contactless.single_cents: 5001 is too much"),
        ("single_cents = 3_000", "single_cents = 3_001", "low_value.single_cents: 3001 is too much"),
        ("cumulative_cents = 15_000", "cumulative_cents = 15_001", "contactless.cumulative_cents: 15001"),
        ("cumulative_cents = 10_000", "cumulative_cents = 10_001", "low_value.cumulative_cents: 10001"),
        ("open_seconds = 3_600", "open_seconds = 0", "open_seconds: 0 is too little"),
        ("history_days = 90", "history_days = 0", "risk_analysis.history_days: 0 is too little"),
        ('order = ["10a", ', "order = [", 'order: lacks "10a"'),
        ('"16", "18"]', '"16", "17", "18"]', 'order: holds "17" without processes and evidence'),
        ('"16", "18"]', '"16", "19"]', 'order: "19" is not allowed'),
        ('"16", "18"]', '"16", "16"]', 'order: "16" stands there twice'),
        ('"4112", ', '"5541", ', 'unattended_terminals.merchant_categories: "5541" is neither'),
        ("reference_ppm = 600 }", "reference_ppm = 601 }", "reference_ppm: 601 is too much for 25000 cents"),
        ("reference_ppm = 1_300 }", "reference_ppm = 1_301 }", "reference_ppm: 1301 is too much"),
        (
            "most_cents = 25_000, reference_ppm = 600",
            "most_cents = 9_000, reference_ppm = 600",
            "most_cents: does not ascend; allowed: more than 10000",
        ),
        ('currency = "GBP"', 'currency = "EUR"', "rate[EUR].currency: is no other active currency"),
        ('currency = "GBP"', 'currency = "XXX"', "rate[XXX].currency: is no other active currency"),
        ('currency = "GBP"', 'currency = "USD"', "rate[USD].currency: has a rate already"),
        ("micros = 1_170_000", "micros = 0", "rate[GBP].micros: 0 is too little"),
        ("[low_value]\n", "[low_values]\n", "low_value: missing"),
        ('"4111", "4112", "4131", "4784", "7523"]', "]", "merchant_categories: has 0 entries"),
    ],
)
def test_every_mistake_is_told_where_it_stands(edit: Edit, old: str, new: str, expected: str) -> None:
    """With what is allowed."""
    found = edit(FILE, old, new)
    assert any(expected in line for line in found), found
    assert all(line.startswith(f"{FILE}:") for line in found)


@pytest.mark.parametrize("section", ["contactless", "low_value"])
def test_a_counter_counts_amounts_or_payments(folder: Path, section: str) -> None:
    """One of the two, and nothing else."""
    path = folder / FILE
    head = f"[{section}]\n"
    before, _, after = path.read_text("utf-8").partition(head)
    after = after.replace('counter = "amount"', 'counter = "count"', 1)
    path.write_text(before + head + after, "utf-8")
    policy = load(folder).exemptions
    assert getattr(policy, section).mode == "count"


@pytest.mark.parametrize(
    ("section", "mistakes"),
    [
        ('processes = ["host-to-host"]\nevidence = "letter of 2026-03-01"', []),
        ('processes = []\nevidence = "letter of 2026-03-01"', ["corporate.processes", "order"]),
        ('processes = ["host-to-host"]\nevidence = ""', ["corporate.evidence", "order"]),
        ('processes = ["host-to-host"]\nevidence = " "', ["order"]),
    ],
)
def test_corporate_processes_need_their_evidence(
    edit: Edit, folder: Path, section: str, mistakes: list[str]
) -> None:
    """With both, Art. 17 may be used."""
    edit(FILE, '"16", "18"]', '"16", "17", "18"]')
    found = edit(FILE, "[risk_analysis]\n", f"[corporate]\n{section}\n\n[risk_analysis]\n")
    assert [line.split(": ")[0] for line in found] == [f"{FILE}:{place}" for place in mistakes]
    if not found:
        assert Article.CORPORATE in load(folder).exemptions.order


@pytest.mark.parametrize(
    ("currency", "minor", "cents"),
    [
        ("EUR", 1_234, 1_234),
        ("GBP", 100, 117),
        ("GBP", 1, 2),  # 1.17 cents
        ("USD", 100, 91),
        ("SEK", 1, 1),  # 0.091 cents
        ("SEK", 1_000, 91),
        ("GBP", 10**20, 117 * 10**18),
        ("JPY", 100, None),
    ],
)
def test_amounts_become_cents_of_a_euro(shipped: Path, currency: str, minor: int, cents: int | None) -> None:
    """Rounded up, so that no limit is passed by rounding; without a rate they are not known."""
    assert load(shipped).exemptions.cents(Amount(currency, minor)) == cents


@pytest.mark.parametrize(("currency", "minor", "cents"), [("JPY", 1_000, 610), ("KWD", 1_000, 300)])
def test_minor_units_are_those_of_the_currency(
    edit: Edit, folder: Path, currency: str, minor: int, cents: int
) -> None:
    """A yen has none, a dinar a thousand."""
    micros = {"JPY": 6_100, "KWD": 3_000_000}[currency]
    edit(FILE, 'currency = "GBP"\nmicros = 1_170_000', f'currency = "{currency}"\nmicros = {micros}')
    assert load(folder).exemptions.cents(Amount(currency, minor)) == cents


def test_the_band_of_an_amount(shipped: Path) -> None:
    """The lowest that it lies in."""
    rule = load(shipped).exemptions.risk_analysis
    assert rule.band(PaymentType.CARD, 10_000) == Band(10_000, 1_300)
    assert rule.band(PaymentType.CARD, 10_001) == Band(25_000, 600)
    assert rule.band(PaymentType.CARD, 50_001) is None
