"""The thresholds that were collected from the regulation: its boundary cases come out as they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from sca_service.exemptions.articles.contactless import contactless
from sca_service.exemptions.articles.low_value import low_value
from sca_service.exemptions.articles.risk_analysis import risk_analysis
from sca_service.exemptions.model import Context, Counter, FraudStanding, History, PaymentType
from sca_service.policy.exemption_bounds import REFERENCES
from sca_service.policy.exemptions import CounterMode, Counting
from tests.exemption_cases import ALL_EXCLUDED, cents, payment, policy


@pytest.fixture
def published(shared: Path) -> dict[str, Any]:
    """The file with the thresholds."""
    thresholds: dict[str, Any] = json.loads(
        (shared / "requirements" / "rts_thresholds.json").read_text("utf-8")
    )
    return thresholds


def is_exempt(case: dict[str, Any]) -> bool:
    """What a case comes to, read to the letter: only previous payments count."""
    by_letter = policy(mode=CounterMode(case.get("mode", "amount")), counting=Counting.PREVIOUS_ONLY)
    counter = Counter(cents(case.get("cum_before", 0)), case.get("count_before", 0))
    history = History(contactless=counter, low_value=counter)
    euros = case["amount"]
    match case["art"]:
        case 11:
            facts = payment(euros, context=Context.CONTACTLESS, instrument="card-1")
            return not contactless(facts, by_letter, history)
        case 16:
            return not low_value(payment(euros), by_letter, history)
    fraud = FraudStanding(cents(case["fraud_rate_percent"] * 100), 1_000_000, 90)
    facts = payment(euros, type=PaymentType(case["type"]), risk=ALL_EXCLUDED, fraud=fraud)
    return not risk_analysis(facts, by_letter, History())


def test_every_boundary_case(published: dict[str, Any]) -> None:
    """Art. 11, 16 and 18, at each edge and beside it."""
    cases = published["boundary_cases"]
    assert len(cases) >= 13
    assert [case for case in cases if is_exempt(case) is not case["exempt"]] == []


def test_the_references_are_those_of_the_annex(published: dict[str, Any]) -> None:
    """Per cent there, millionths here."""
    annex = published["tra_reference_fraud_rates_percent"]
    for kind, name in (
        (PaymentType.CARD, "remote_electronic_card_based_payments"),
        (PaymentType.CREDIT_TRANSFER, "remote_electronic_credit_transfers"),
    ):
        told = {str(band.most_cents // 100): band.reference_ppm for band in REFERENCES[kind]}
        assert told == {euros: round(percent * 10_000) for euros, percent in annex[name].items()}
