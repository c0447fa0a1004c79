"""SMPP: how fast an SMS centre is written to, and how that changes when it wants less."""

import math

from sca_service.delivery.channels.sms.smpp.pace import Pace


def sent_in(pace: Pace, *, start: float, seconds: float) -> int:
    """How many messages get a turn in that time, by somebody who takes every turn."""
    now, sent = start, 0
    while now < start + seconds:
        now += pace.spend(now)
        pace.taken(now)
        sent += 1
        if math.isinf(pace.rate):
            now += 0.001
    return sent


def test_no_rate_never_waits() -> None:
    """Without a contract's rate everybody goes at once."""
    pace = Pace(math.inf)
    assert [pace.spend(0.0) for _ in range(1_000)] == [0.0] * 1_000


def test_the_contracts_rate_is_kept() -> None:
    """Over any time, with a tenth of a second's turns at once."""
    assert 990 <= sent_in(Pace(100.0), start=50.0, seconds=10.0) <= 1_020


def test_a_look_takes_no_turn() -> None:
    """Whoever will not wait does not lengthen the queue."""
    pace = Pace(10.0)
    pace.spend(0.0)
    pace.spend(0.0)
    before = pace.wait(0.0)
    assert before > 0
    assert pace.wait(0.0) == before


def test_throttling_halves_what_was_taken() -> None:
    """Not what was allowed: without a contract's rate that is no number."""
    pace = Pace(math.inf)
    for message in range(200):
        pace.taken(10.0 + message / 200)
    pace.throttled(11.0)
    assert pace.rate == 100.0


def test_one_second_counts_once() -> None:
    """A window full of refusals is one event."""
    pace = Pace(800.0)
    for message in range(800):
        pace.taken(10.0 + message / 800)
    for _ in range(50):
        pace.throttled(11.0)
    assert pace.rate == 400.0
    pace.throttled(12.5)
    assert pace.rate < 400.0


def test_it_never_stops() -> None:
    """One message a second is the least."""
    pace = Pace(math.inf)
    for second in range(100):
        pace.throttled(float(second * 2))
    assert pace.rate == 1.0


def test_it_comes_back() -> None:
    """A tenth of the rate a second, up to the contract's."""
    pace = Pace(100.0)
    for message in range(100):
        pace.taken(10.0 + message / 100)
    pace.throttled(11.0)
    assert pace.rate == 50.0
    assert 50 < sent_in(pace, start=11.0, seconds=1.0) < 70
    sent_in(pace, start=12.0, seconds=20.0)
    assert pace.rate == 100.0


def test_without_a_contract_it_is_free_again() -> None:
    """Once it goes at four times the rate that was too fast."""
    pace = Pace(math.inf)
    for message in range(100):
        pace.taken(10.0 + message / 100)
    pace.throttled(11.0)
    sent_in(pace, start=11.0, seconds=120.0)
    assert math.isinf(pace.rate)


def test_it_finds_the_rate_of_a_centre() -> None:
    """One that takes a hundred messages a second gets about as many, and few that it has to refuse."""
    pace, now = Pace(math.inf), 100.0
    taken, refused = dict.fromkeys(range(100, 165), 0), dict.fromkeys(range(100, 165), 0)
    while now < 164:
        now += max(pace.spend(now), 0.0001)
        second = int(now)
        if taken[second] < 100:
            taken[second] += 1
            pace.taken(now)
        else:
            refused[second] += 1
            pace.throttled(now)
    steady = range(110, 164)
    assert min(taken[second] for second in steady) >= 40
    assert sum(taken[second] for second in steady) >= 70 * len(steady)
    assert sum(refused[second] for second in steady) <= 10 * len(steady)
