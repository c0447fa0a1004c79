"""Whatever payers and banks do to authenticators, in whatever order: PostgreSQL has what the model has."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.harness import Deployment
from tests.properties.authenticator_desk import Desk
from tests.properties.authenticator_machine import AuthenticatorMachine
from tests.properties.authenticator_model import (
    ACTIVE,
    DEVICE,
    HOTP,
    LOOK_AHEAD,
    PENDING,
    PHONE,
    PIN,
    RESYNCHRONISING,
    SUSPENDED,
    TOTP,
)


@pytest.fixture
def machine(quiet_stores: Deployment) -> Iterator[type[AuthenticatorMachine]]:
    """The machine at a desk with a PostgreSQL that no role works on."""

    class AtTheDesk(AuthenticatorMachine):
        """It works on one PostgreSQL."""

    desk = Desk(quiet_stores.servers.postgres.url, quiet_stores.keyring)
    AtTheDesk.desk = desk
    yield AtTheDesk
    desk.close()


@pytest.mark.long
def test_authenticators_are_what_the_model_has(machine: type[AuthenticatorMachine]) -> None:
    """What Hypothesis comes upon, it makes short: a failure here is a story of a few moves."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_authenticators_are_what_the_model_has_on_long_walks(
    machine: type[AuthenticatorMachine], seed: int
) -> None:
    """Some hundred moves by chance, of those that make sense: many codes of one generator, many renewals."""
    chance = random.Random(seed)
    walker = machine()
    walker.begin(chance.random() < 0.5, [TOTP, HOTP], leaves_one=True)
    try:
        for _ in range(150):
            move(walker, chance)
            walker.every_authenticator_stands_where_the_model_says()
            walker.each_payer_sees_what_the_model_has()
            walker.the_log_follows_each_life()
    finally:
        walker.teardown()


def move(walker: AuthenticatorMachine, chance: random.Random) -> None:
    """One move, of those that make sense now."""
    at, other = chance.choice([0, 0, 0, 1, 2]), chance.random() < 0.4
    offset = chance.choice([0, 0, 0, 0, 1, LOOK_AHEAD, LOOK_AHEAD + 1, -1, -2, None])
    pin = chance.choice(["493817", "493817", "271828"])
    seldom, wrong = chance.random() < 0.1, chance.random() < 0.15
    match chance.randrange(20):
        case 0 | 1 | 2 | 3:
            word = chance.choice(["fresh", "fresh", "fresh", "old", "none", "used"])
            walker.enrol(other, chance.choice([TOTP, HOTP, PIN, DEVICE, PHONE]), word, pin)
        case 4 | 5 | 6 if walker.has(PENDING):
            shower = chance.choice([None, None, None, 1])
            is_mistaken = chance.random() < 0.2
            key = chance.choice([0, 0, 1, 2])
            walker.activate(at // 2, max(offset or 0, -1), seldom, wrong, shower, is_mistaken, key)
        case 7 | 8 | 9 | 10 | 11 if walker.has(ACTIVE, TOTP, HOTP):
            challenge, waits = chance.choice(["chl_one", "chl_two", "chl_three"]), chance.choice([0, 1, 1, 2])
            walker.use(at, chance.choice([TOTP, HOTP]), offset, challenge, seldom, wrong, waits)
        case 12 | 13 if walker.has(ACTIVE, HOTP):
            gap = chance.choice([0, 1, 30, RESYNCHRONISING - 1, RESYNCHRONISING])
            walker.resynchronise(at // 2, gap, 2 if wrong else 1, seldom)
        case 14 if walker.has(ACTIVE, PIN):
            walker.give_a_pin(other, pin, at)
        case 15 if chance.random() < 0.5:
            kind, key = chance.choice([PIN, PHONE, DEVICE]), chance.choice([0, 0, 1, 2])
            walker.get_one_more(other, kind, pin, key)
        case 16 if wrong and walker.has(ACTIVE, DEVICE):
            walker.sign(at, "chl_one")
        case 16:
            walker.note_use(other, "chl_one", pin=wrong)
        case 17:
            walker.periods_pass(chance.choice([1, 2, -1]))
        case _ if walker.book.kept:
            seldom_move(walker, chance, at)


def seldom_move(walker: AuthenticatorMachine, chance: random.Random, at: int) -> None:
    """What happens now and then: somebody guesses, a bank revokes or repeats itself, or much time goes by."""
    match chance.randrange(10):
        case 0 if walker.has(PENDING):
            walker.guess_at_an_activation(0, chance.choice([2, 5, 6]))
        case 1 if walker.has(ACTIVE, HOTP):
            walker.guess_at_a_counter(0, chance.choice([2, 4, 6]))
        case 2 | 3:
            walker.revoke(at, another=False, wanted=True)
        case 4:
            walker.revoke(at, another=True, wanted=True)
        case 5:
            walker.enrol_the_same_again(at)
        case 6 if walker.has(ACTIVE):
            then = chance.choice(["", "old", "none", "again", "resume"])
            walker.suspend(at, another=chance.random() < 0.1, then=then)
        case 7 if walker.has(SUSPENDED):
            walker.resume(at // 2, another=chance.random() < 0.1, is_word_sent=chance.random() < 0.3)
        case _:
            walker.minutes_pass(chance.choice([1, 3]))
