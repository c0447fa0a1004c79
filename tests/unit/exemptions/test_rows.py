"""What an executed payment rests on, and what is kept of an assessment."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sca_service.exemptions.events import assessed_event
from sca_service.exemptions.model import (
    Article,
    Assessment,
    Condition,
    Context,
    Counter,
    Obstacle,
    PaymentType,
    Reason,
    Risk,
)
from sca_service.exemptions.rows import (
    AssessmentRow,
    AssessmentState,
    Occurrence,
    basis_of,
    conditions_of,
    counter_of,
    has_room,
)
from sca_service.exemptions.told import Told, pack, unpack
from sca_service.kernel.money import Amount
from tests.exemption_cases import NOW_MS, POLICY, payment

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ROW = AssessmentRow(
    id="ass_1",
    client="bank",
    psu="00",
    state=AssessmentState.OPEN,
    assessment=Assessment(exempt=True, article=Article.LOW_VALUE, reasons=()),
    risk=Risk(),
    policy="sha256:0",
    payment_type=PaymentType.CARD,
    context=Context.REMOTE,
    amount=Amount("EUR", 1_000),
    cents=1_000,
    payee=None,
    instrument=None,
    series=None,
    aisp=None,
    counter="low_value",
    counted=True,
    basis=None,
    authenticated_by=None,
    created_at=NOW,
    expires_at=NOW,
    executed_on=None,
)
TRUSTED = Assessment(exempt=True, article=Article.TRUSTED_BENEFICIARY, reasons=())
ANALYSED = Assessment(exempt=True, article=Article.RISK_ANALYSIS, reasons=())
REFUSED = Assessment(exempt=False, article=None, reasons=())
OPEN, LAPSED, CANCELLED = AssessmentState.OPEN, AssessmentState.LAPSED, AssessmentState.CANCELLED


@pytest.mark.parametrize(
    ("row", "authenticated", "room", "basis"),
    [
        (ROW, False, False, "16"),
        (ROW, True, True, "sca"),
        (replace(ROW, state=LAPSED), False, True, "16"),
        (replace(ROW, state=LAPSED), False, False, "none"),
        (replace(ROW, state=CANCELLED), False, False, "none"),
        (replace(ROW, assessment=TRUSTED, counter=None, state=LAPSED), False, False, "13"),
        (replace(ROW, assessment=TRUSTED, counter=None, state=CANCELLED), False, False, "13"),
        (replace(ROW, assessment=ANALYSED, counter=None), False, False, "18"),
        (replace(ROW, assessment=ANALYSED, counter=None, state=LAPSED), False, True, "none"),
        (replace(ROW, assessment=ANALYSED, counter=None, state=CANCELLED), False, True, "none"),
        (replace(ROW, assessment=REFUSED, counter=None), False, True, "none"),
        (replace(ROW, assessment=REFUSED, counter=None), True, True, "sca"),
    ],
)
def test_what_a_payment_rests_on(row: AssessmentRow, authenticated: bool, room: bool, basis: str) -> None:
    """Authentication before all, then the exemption while its place is held or there is one again."""
    assert basis_of(row, is_authenticated=authenticated, has_room=room) == basis


@pytest.mark.parametrize(
    ("row", "counter", "room"),
    [
        (ROW, Counter(9_000, 3), True),
        (ROW, Counter(9_001, 3), False),
        (
            replace(ROW, assessment=replace(ROW.assessment, article=Article.CONTACTLESS)),
            Counter(14_000),
            True,
        ),
        (
            replace(ROW, assessment=replace(ROW.assessment, article=Article.CONTACTLESS)),
            Counter(14_001),
            False,
        ),
        (replace(ROW, cents=None), Counter(), False),
    ],
)
def test_room_is_that_of_the_article_s_own_counter(row: AssessmentRow, counter: Counter, room: bool) -> None:
    """EUR 100 for remote payments, EUR 150 for contactless ones."""
    assert has_room(row, counter, POLICY) is room


def test_only_two_articles_count() -> None:
    """Art. 16 for the payer, Art. 11 for each instrument."""
    card = payment(instrument="card-1").payment
    assert counter_of(Article.LOW_VALUE, card) == "low_value"
    assert counter_of(Article.CONTACTLESS, card) == "contactless:card-1"
    others = set(Article) - {Article.LOW_VALUE, Article.CONTACTLESS}
    assert {counter_of(article, card) for article in others} == {None}
    assert counter_of(None, card) is None


@pytest.mark.parametrize("exempt", [True, False])
def test_what_is_told_is_told_again(exempt: bool) -> None:
    """Every condition and every obstacle comes back as it was."""
    reasons = tuple(Reason(Article.RISK_ANALYSIS, obstacle) for obstacle in Obstacle)
    article = Article.RECURRING if exempt else None
    known = dict(zip(Condition, [True, False] * 3, strict=True))
    told = Told(Assessment(exempt, article, reasons), Risk(known, 17), "sha256:0")
    assert unpack(pack(told), exempt=exempt, article=article) == told


def test_a_condition_is_found_excluded_or_not_supplied() -> None:
    """What is left out was not supplied."""
    risk = Risk({Condition.MALWARE: True, Condition.UNUSUAL_DEVICE: False, Condition.ABNORMAL_SPENDING: None})
    words = conditions_of(risk)
    assert set(words) == {condition.value for condition in Condition}
    assert (words["malware"], words["unusual_device"]) == ("found", "excluded")
    assert list(words.values()).count("not_supplied") == 4


def test_an_event_has_no_number_that_json_cannot_hold() -> None:
    """Amounts are text, whatever they come to."""
    huge = 10**20
    row = replace(ROW, amount=Amount("EUR", huge), cents=huge)
    body = assessed_event(row, payment(), Occurrence(NOW_MS, {})).body
    assert f'"minor":"{huge}"' in body
    assert f'"euro_cents":"{huge}"' in body
