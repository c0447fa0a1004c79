"""Every other article at its edges; what is not known cannot be excluded."""

from dataclasses import replace
from typing import Any

import pytest

from sca_service.exemptions.articles.account_access import account_access
from sca_service.exemptions.articles.aisp_access import aisp_access
from sca_service.exemptions.articles.corporate import corporate
from sca_service.exemptions.articles.own_accounts import own_accounts
from sca_service.exemptions.articles.recurring import recurring
from sca_service.exemptions.articles.trusted_beneficiary import trusted_beneficiary
from sca_service.exemptions.articles.unattended_terminal import unattended_terminal
from sca_service.exemptions.model import Context, History, Obstacle, PaymentType, Series, Shown
from sca_service.kernel.money import Amount
from sca_service.policy.exemptions import CorporateRule
from tests.exemption_cases import DAY_MS, NOW_MS, POLICY, access, payment

OTHER = (Obstacle.NOT_OF_THIS_KIND,)
MISSING = (Obstacle.FACT_MISSING,)
YESTERDAY = History(authenticated_at_ms=NOW_MS - DAY_MS)


@pytest.mark.parametrize(
    ("ms_ago", "expected"),
    [
        (None, (Obstacle.FIRST_ACCESS,)),
        (0, ()),
        (179 * DAY_MS, ()),
        (180 * DAY_MS, ()),
        (180 * DAY_MS + 1, (Obstacle.AUTHENTICATED_TOO_LONG_AGO,)),
        (181 * DAY_MS, (Obstacle.AUTHENTICATED_TOO_LONG_AGO,)),
    ],
)
def test_access_needs_an_authentication_of_the_last_180_days(
    ms_ago: int | None, expected: tuple[Obstacle, ...]
) -> None:
    """Art. 10(2) and 10a(2): the first access never, day 180 still, day 181 no more."""
    history = History(authenticated_at_ms=None if ms_ago is None else NOW_MS - ms_ago)
    assert account_access(access(), POLICY, history) == expected
    assert aisp_access(access(aisp="aisp-1"), POLICY, history) == expected


@pytest.mark.parametrize(
    ("shows", "oldest_days", "expected"),
    [
        (Shown.BALANCE, None, ()),
        (Shown.TRANSACTIONS, 0, ()),
        (Shown.TRANSACTIONS, 90, ()),
        (Shown.TRANSACTIONS, 91, (Obstacle.SHOWS_TOO_MUCH,)),
        (Shown.TRANSACTIONS, None, MISSING),
        (Shown.MORE, None, (Obstacle.SHOWS_TOO_MUCH,)),
        (Shown.MORE, 1, (Obstacle.SHOWS_TOO_MUCH,)),
    ],
)
def test_access_shows_the_balance_or_the_last_90_days(
    shows: Shown, oldest_days: int | None, expected: tuple[Obstacle, ...]
) -> None:
    """Art. 10(1) and 10a(1), and nothing else."""
    assert account_access(access(shows, oldest_days=oldest_days), POLICY, YESTERDAY) == expected
    by_aisp = access(shows, oldest_days=oldest_days, aisp="aisp-1")
    assert aisp_access(by_aisp, POLICY, YESTERDAY) == expected


def test_each_access_has_its_own_article() -> None:
    """Art. 10 is the payer's own access, Art. 10a that of a service; neither is a payment."""
    assert account_access(access(aisp="aisp-1"), POLICY, YESTERDAY) == OTHER
    assert aisp_access(access(), POLICY, YESTERDAY) == OTHER
    for judge in (account_access, aisp_access):
        assert judge(payment(), POLICY, YESTERDAY) == OTHER


def test_a_service_may_be_refused_for_a_justified_reason_only() -> None:
    """Art. 10a(3): with a reason it is authenticated; without one it is exempt."""
    assert aisp_access(access(aisp="aisp-1", reason="suspected_fraud"), POLICY, YESTERDAY) == (
        Obstacle.JUSTIFIED_REASON,
    )


@pytest.mark.parametrize(
    ("context", "category", "expected"),
    [
        (Context.UNATTENDED_TERMINAL, "4111", ()),
        (Context.UNATTENDED_TERMINAL, "7523", ()),
        (Context.UNATTENDED_TERMINAL, "5541", (Obstacle.MERCHANT_CATEGORY,)),
        (Context.UNATTENDED_TERMINAL, None, MISSING),
        (Context.CONTACTLESS, "4111", OTHER),
        (Context.REMOTE, "4111", OTHER),
    ],
)
def test_unattended_terminals(context: Context, category: str | None, expected: tuple[Obstacle, ...]) -> None:
    """Art. 12: a fare or a parking fee, whatever the amount."""
    facts = payment("5000", context=context, merchant_category=category)
    assert unattended_terminal(facts, POLICY, History()) == expected


@pytest.mark.parametrize(
    ("payees", "trusted", "expected"),
    [
        (("a",), {"a"}, ()),
        (("a",), {"b"}, (Obstacle.NOT_TRUSTED,)),
        (("a",), set(), (Obstacle.NOT_TRUSTED,)),
        (("a", "b"), {"a", "b"}, ()),
        (("a", "b"), {"a"}, (Obstacle.NOT_TRUSTED,)),
        ((None,), {"a"}, MISSING),
        (("a", None), {"a"}, MISSING),
        ((), {"a"}, MISSING),
    ],
)
def test_trusted_beneficiaries(
    payees: tuple[str | None, ...], trusted: set[str], expected: tuple[Obstacle, ...]
) -> None:
    """Art. 13: every payee on the list, known by the account."""
    history = History(trusted=frozenset(trusted))
    assert trusted_beneficiary(payment("5000", payees=payees), POLICY, history) == expected


_SERIES = Series(Amount("EUR", 1000), "payee-a")


@pytest.mark.parametrize(
    ("members", "series", "expected"),
    [
        ({"series": "s"}, _SERIES, ()),
        ({"series": "s"}, None, (Obstacle.FIRST_OF_SERIES,)),
        ({"series": None}, _SERIES, OTHER),
        ({"series": "s", "payees": ("payee-b",)}, _SERIES, (Obstacle.SERIES_CHANGED,)),
        ({"series": "s", "payees": (None,)}, _SERIES, MISSING),
        ({"series": "s", "payees": ("payee-a", "payee-b")}, _SERIES, OTHER),
        ({"series": "s", "amount": Amount("EUR", 1001)}, _SERIES, (Obstacle.SERIES_CHANGED,)),
        ({"series": "s", "amount": Amount("EUR", 999)}, _SERIES, (Obstacle.SERIES_CHANGED,)),
        ({"series": "s", "amount": Amount("USD", 1000)}, _SERIES, (Obstacle.SERIES_CHANGED,)),
    ],
)
def test_recurring(members: dict[str, Any], series: Series | None, expected: tuple[Obstacle, ...]) -> None:
    """Art. 14: not the first, and not a cent more or less, in another currency or to another payee."""
    assert recurring(payment("10", **members), POLICY, History(series=series)) == expected


@pytest.mark.parametrize(
    ("kind", "same_holder", "held_here", "expected"),
    [
        (PaymentType.CREDIT_TRANSFER, True, True, ()),
        (PaymentType.CREDIT_TRANSFER, False, True, (Obstacle.NOT_THE_SAME_PERSON,)),
        (PaymentType.CREDIT_TRANSFER, True, False, (Obstacle.HELD_ELSEWHERE,)),
        (
            PaymentType.CREDIT_TRANSFER,
            False,
            False,
            (Obstacle.NOT_THE_SAME_PERSON, Obstacle.HELD_ELSEWHERE),
        ),
        (PaymentType.CREDIT_TRANSFER, None, True, MISSING),
        (PaymentType.CREDIT_TRANSFER, True, None, MISSING),
        (PaymentType.CARD, True, True, OTHER),
    ],
)
def test_own_accounts(
    kind: PaymentType, same_holder: bool | None, held_here: bool | None, expected: tuple[Obstacle, ...]
) -> None:
    """Art. 15: a credit transfer, one person, one bank."""
    facts = payment("5000", type=kind, same_holder=same_holder, held_here=held_here)
    assert own_accounts(facts, POLICY, History()) == expected


@pytest.mark.parametrize(
    ("process", "consumer", "evidence", "expected"),
    [
        ("host-to-host", False, "BaFin 2026-03", ()),
        ("host-to-host", True, "BaFin 2026-03", (Obstacle.NO_CORPORATE_PROCESS,)),
        ("host-to-host", None, "BaFin 2026-03", MISSING),
        ("host-to-host", False, " ", (Obstacle.NO_CORPORATE_PROCESS,)),
        ("web", False, "BaFin 2026-03", (Obstacle.NO_CORPORATE_PROCESS,)),
        (None, False, "BaFin 2026-03", OTHER),
    ],
)
def test_corporate(
    process: str | None, consumer: bool | None, evidence: str, expected: tuple[Obstacle, ...]
) -> None:
    """Art. 17: a named process, evidence of the authority's satisfaction, and no consumer."""
    policy = replace(POLICY, corporate=CorporateRule(("host-to-host",), evidence))
    facts = payment("5000", process=process, payer_is_consumer=consumer)
    assert corporate(facts, policy, History()) == expected


@pytest.mark.parametrize(
    "judge", [unattended_terminal, trusted_beneficiary, recurring, own_accounts, corporate]
)
def test_an_access_is_no_payment(judge: Any) -> None:
    """Art. 12 to 17 speak of payments."""
    assert judge(access(), POLICY, History()) == OTHER
