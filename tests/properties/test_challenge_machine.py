"""Whatever payers, banks, workers and suppliers do, and in whatever order: the scripts decide as the model does."""

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from sca_service.delivery.model import DeliveryStatus, Settlement
from tests.properties.challenge_machine import LADDERS, ChallengeMachine
from tests.properties.line import Line

WORDS = (
    DeliveryStatus.SENT,
    DeliveryStatus.DELIVERED,
    DeliveryStatus.UNDELIVERED,
    DeliveryStatus.FAILED,
    DeliveryStatus.ANSWERED,
    DeliveryStatus.NO_ANSWER,
)


@pytest.fixture
def machine(line: Line) -> type[ChallengeMachine]:
    """The machine on this line."""

    class OnTheLine(ChallengeMachine):
        """It works on one Valkey."""

    OnTheLine.line = line
    return OnTheLine


@pytest.mark.long
def test_the_scripts_decide_as_the_model(machine: type[ChallengeMachine]) -> None:
    """What Hypothesis comes upon, it makes short: a failure here is a story of a few moves."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_the_scripts_decide_as_the_model_on_long_walks(machine: type[ChallengeMachine], seed: int) -> None:
    """Some hundred moves by chance: blocks that grow, ladders to their end, days that go by."""
    chance = random.Random(seed)
    walker = machine()
    for _ in range(150):
        move(walker, chance)
        walker.every_challenge_stands_where_the_model_says()
        walker.no_pending_challenge_is_stuck()
        walker.the_payer_stands_where_the_model_says()
    walker.everything_that_was_decided_is_in_the_outbox()


def move(walker: ChallengeMachine, chance: random.Random) -> None:
    """One move, of those that make sense now."""
    at = chance.choice([0, 0, 0, 1, 1, 2, 3])
    seldom = chance.random() < 0.12
    if not walker.ids:
        walker.issue(chance.choice(LADDERS), 300_000, is_recorded=True)
        return
    match chance.randrange(20):
        case 0 | 1 | 2 | 3:
            walker.issue(chance.choice(LADDERS), chance.choice([60_000, 300_000]), is_recorded=not seldom)
        case 4 | 5:
            walker.wrong_answers(at, chance.choice([1, 1, 2, 4, 5]), another=seldom)
        case 6:
            walker.the_right_answer(at, chance.choice(["", "one", "two"]), another=seldom)
        case 7 | 8 | 9 | 10:
            walker.work(dies=seldom, backwards=chance.random() < 0.5, has_route=chance.random() < 0.9)
        case 11 | 12 | 13:
            retry_ms = chance.choice([0, 1_000, 8_000])
            walker.settle(
                at, Settlement(chance.choice(WORDS), "sandbox", transient=seldom, retry_ms=retry_ms)
            )
        case 14 | 15:
            walker.ask_next(at, is_recorded=not seldom)
        case 16:
            walker.time_passes_until_something_is_due()
        case 17 | 18:
            walker.time_passes(chance.choice([1_000, 10_000, 25_000, 50_000]))
        case _:
            seldom_move(walker, chance, at)


def seldom_move(walker: ChallengeMachine, chance: random.Random, at: int) -> None:
    """What happens now and then: somebody steps in, or much time goes by."""
    match chance.randrange(8):
        case 0:
            walker.cancel(at, wanted=True)
        case 1:
            walker.decline(at, wanted=True)
        case 2:
            walker.postpone(at, 1)
        case 3:
            walker.unblock(wanted=True)
        case _:
            walker.time_passes(chance.choice([130_000, 301_000, 901_000, 3_700_000, 20_000_000, 90_000_000]))
