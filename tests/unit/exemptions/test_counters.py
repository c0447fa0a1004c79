"""The counters of RTS Art. 11 and 16 at their edges, in both modes and both readings."""

import pytest

from sca_service.exemptions.articles.contactless import contactless
from sca_service.exemptions.articles.counter import over_the_limits
from sca_service.exemptions.articles.low_value import low_value
from sca_service.exemptions.model import Context, Counter, History, Obstacle
from sca_service.policy.exemptions import CounterMode, Counting
from tests.exemption_cases import cents, payment, policy

STRICT, LETTER = Counting.WITH_CURRENT, Counting.PREVIOUS_ONLY
AMOUNT, COUNT = CounterMode.AMOUNT, CounterMode.COUNT

LOW_VALUE = [
    (AMOUNT, STRICT, "30.00", "0", 0, ()),
    (AMOUNT, STRICT, "30.01", "0", 0, (Obstacle.SINGLE_AMOUNT,)),
    (AMOUNT, STRICT, "10.00", "90.00", 9, ()),
    (AMOUNT, STRICT, "10.00", "90.01", 9, (Obstacle.CUMULATIVE_AMOUNT,)),
    (AMOUNT, STRICT, "30.01", "100.00", 9, (Obstacle.SINGLE_AMOUNT, Obstacle.CUMULATIVE_AMOUNT)),
    (AMOUNT, STRICT, "0.01", "100.00", 4, (Obstacle.CUMULATIVE_AMOUNT,)),
    (AMOUNT, LETTER, "10.00", "100.00", 9, ()),
    (AMOUNT, LETTER, "10.00", "100.01", 9, (Obstacle.CUMULATIVE_AMOUNT,)),
    (COUNT, STRICT, "30.00", "500.00", 4, ()),
    (COUNT, STRICT, "30.00", "0", 5, (Obstacle.CONSECUTIVE_COUNT,)),
    (COUNT, LETTER, "10.00", "500.00", 5, ()),
    (COUNT, LETTER, "10.00", "0", 6, (Obstacle.CONSECUTIVE_COUNT,)),
]
CONTACTLESS = [
    (AMOUNT, STRICT, "50.00", "0", 0, ()),
    (AMOUNT, STRICT, "50.01", "0", 0, (Obstacle.SINGLE_AMOUNT,)),
    (AMOUNT, STRICT, "50.00", "100.00", 9, ()),
    (AMOUNT, STRICT, "50.00", "100.01", 9, (Obstacle.CUMULATIVE_AMOUNT,)),
    (AMOUNT, LETTER, "50.00", "150.00", 9, ()),
    (AMOUNT, LETTER, "50.00", "150.01", 9, (Obstacle.CUMULATIVE_AMOUNT,)),
    (COUNT, STRICT, "50.00", "500.00", 4, ()),
    (COUNT, STRICT, "50.00", "0", 5, (Obstacle.CONSECUTIVE_COUNT,)),
    (COUNT, LETTER, "50.00", "500.00", 5, ()),
    (COUNT, LETTER, "50.00", "0", 6, (Obstacle.CONSECUTIVE_COUNT,)),
]


@pytest.mark.parametrize(("mode", "counting", "euros", "before", "count", "expected"), LOW_VALUE)
def test_low_value(
    mode: CounterMode,
    counting: Counting,
    euros: str,
    before: str,
    count: int,
    expected: tuple[Obstacle, ...],
) -> None:
    """EUR 30 for one, EUR 100 or five for those since the last authentication."""
    history = History(low_value=Counter(cents(before), count))
    assert low_value(payment(euros), policy(mode=mode, counting=counting), history) == expected


@pytest.mark.parametrize(("mode", "counting", "euros", "before", "count", "expected"), CONTACTLESS)
def test_contactless(
    mode: CounterMode,
    counting: Counting,
    euros: str,
    before: str,
    count: int,
    expected: tuple[Obstacle, ...],
) -> None:
    """EUR 50 for one, EUR 150 or five for those since the last authentication."""
    facts = payment(euros, context=Context.CONTACTLESS, instrument="card-1")
    history = History(contactless=Counter(cents(before), count))
    assert contactless(facts, policy(mode=mode, counting=counting), history) == expected


@pytest.mark.parametrize("counting", Counting)
def test_a_batch_is_no_single_payment_of_five_in_a_row(counting: Counting) -> None:
    """Art. 11(c) and 16(c) count individual payments: two payees are two; by amount a batch is its total."""
    batch = payment("2.00", payees=("payee-a", "payee-b"))
    assert low_value(batch, policy(mode=COUNT, counting=counting), History()) == (Obstacle.CONSECUTIVE_COUNT,)
    assert low_value(batch, policy(mode=AMOUNT, counting=counting), History()) == ()
    terminal = payment("2.00", payees=("a", "b"), context=Context.CONTACTLESS, instrument="card-1")
    rules = policy(mode=COUNT, counting=counting)
    assert contactless(terminal, rules, History()) == (Obstacle.CONSECUTIVE_COUNT,)


def test_neither_counter_looks_at_the_other() -> None:
    """What was paid at a terminal is no remote payment, and the other way round."""
    full = Counter(10**9, 10**9)
    terminal = payment("10", context=Context.CONTACTLESS, instrument="card-1")
    assert low_value(payment("10"), policy(), History(contactless=full)) == ()
    assert contactless(terminal, policy(), History(low_value=full)) == ()


def test_a_contactless_payment_without_its_instrument_is_not_exempt() -> None:
    """Nobody knows whose counter it is."""
    facts = payment("1", context=Context.CONTACTLESS)
    assert contactless(facts, policy(), History()) == (Obstacle.FACT_MISSING,)


@pytest.mark.parametrize("context", [Context.CONTACTLESS, Context.UNATTENDED_TERMINAL])
def test_low_value_speaks_of_remote_payments_only(context: Context) -> None:
    """Art. 16: remote electronic payment transactions."""
    assert low_value(payment("1", context=context), policy(), History()) == (Obstacle.NOT_OF_THIS_KIND,)


@pytest.mark.parametrize("context", [Context.REMOTE, Context.UNATTENDED_TERMINAL])
def test_contactless_speaks_of_contactless_payments_only(context: Context) -> None:
    """Art. 11: contactless electronic payment transactions at a point of sale."""
    facts = payment("1", context=context, instrument="card-1")
    assert contactless(facts, policy(), History()) == (Obstacle.NOT_OF_THIS_KIND,)


def test_a_payment_is_one_unless_told() -> None:
    """One payee is within a counter of payments, two are a batch."""
    rule, counter = policy(mode=COUNT, counting=STRICT).low_value, Counter(0, 0)
    assert over_the_limits(1_000, rule, counter) == ()
    assert over_the_limits(1_000, rule, counter, payees=2) == (Obstacle.CONSECUTIVE_COUNT,)
