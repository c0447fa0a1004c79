"""Limits: the scripts decide as the model does, over several limits at once; and the model keeps what it promises."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import sca_service.limits
from sca_service.kernel.redis.commands import Script
from sca_service.limits.model import Limit, give_back, spend
from tests.properties.line import Line
from tests.storeroom import HEAD, new_challenge, new_payer

_HERE = Path(sca_service.limits.__file__).parent
SPEND, GIVE_BACK = (
    Script.read(_HERE / "pressed.lua", _HERE / f"{name}.lua") for name in ("spend", "give_back")
)
INTERVALS = st.integers(1, 100_000)
WAITS = st.lists(st.integers(0, 200_000), min_size=1, max_size=12)
SHAPES = st.lists(st.tuples(INTERVALS, st.integers(1, 4), st.booleans()), min_size=1, max_size=3)
COSTS = st.integers(0, 150_000)


def numbers_of(limits: Sequence[Limit]) -> list[int]:
    """The limits as the script takes them."""
    return [number for one in limits for number in (one.spent_ms, one.room_ms, int(one.refuses))]


Outcome = tuple[int, list[int]]
"""Milliseconds to wait (0: allowed), and what each limit keeps."""


def limits_of(shapes: Sequence[tuple[int, int, bool]], subject: str, *, refuse: bool = False) -> list[Limit]:
    """Limits on one subject."""
    return [
        Limit(f"limit-{chr(97 + at)}", subject, interval_ms, burst, refuses or refuse)
        for at, (interval_ms, burst, refuses) in enumerate(shapes)
    ]


def expected(limits: Sequence[Limit], tats: Sequence[int], now_ms: int) -> Outcome:
    """What the model says of several limits: each lets one more pass, or none is spent."""
    decisions = [spend(limit, tat, now_ms) for limit, tat in zip(limits, tats, strict=True)]
    waits = [
        one.retry_after_ms
        for limit, one in zip(limits, decisions, strict=True)
        if limit.refuses and not one.allowed
    ]
    if waits:
        return max(waits), list(tats)
    return 0, [one.tat_ms for one in decisions]


def kept(line: Line, keys: Sequence[str]) -> list[int]:
    """What the limits keep."""
    return [int(value or 0) for value in line.command("MGET", *keys)]


def assert_agreed(
    line: Line, limits: Sequence[Limit], keys: Sequence[str], before: tuple[int, list[int]], wait: int
) -> None:
    """There is a moment between asking and answer at which the model says the same, to the millisecond.

    A limit is forgotten when it is not spent at all any more: neither earlier nor never.
    """
    asked_ms, tats = before
    answered_ms = line.now_ms()
    found = kept(line, keys)
    read_ms = line.now_ms()

    def agrees(outcome: Outcome) -> bool:
        told, wanted = outcome
        return told == wait and all(
            one == other or (one == 0 and other <= read_ms) for one, other in zip(found, wanted, strict=True)
        )

    assert any(agrees(expected(limits, tats, now_ms)) for now_ms in range(asked_ms, answered_ms + 1))
    for key, tat in zip(keys, found, strict=True):
        if tat > tats[keys.index(key)]:
            assert line.command("PEXPIRETIME", key) in (tat, -2)


@settings(max_examples=60, deadline=None)
@given(SHAPES, WAITS)
def test_the_script_for_shared_limits_decides_as_the_model(
    line: Line, shapes: list[tuple[int, int, bool]], waits: list[int]
) -> None:
    """Of several limits all are spent or none is; one that only observes never holds anybody up."""
    subject = secrets.token_hex(16)
    limits = limits_of(shapes, subject)
    keys = [f"{{limit:{subject}}}:{limit.name}" for limit in limits]
    for wait_ms in waits:
        line.let_pass(wait_ms)
        before = line.now_ms(), kept(line, keys)
        refusing, told_ms, *each = line.run(line.redis.call(SPEND, keys, numbers_of(limits)))
        assert_agreed(line, limits, keys, before, told_ms)
        assert bool(refusing) == (told_ms > 0)
        after, answered_ms = kept(line, keys), line.now_ms()
        for spent, tat_before, tat in zip(each[::2], before[1], after, strict=True):
            assert tat <= tat_before or spent  # what was spent may be whole again by now
        for ahead_ms, tat in zip(each[1::2], after, strict=True):
            assert tat == 0 or tat - answered_ms <= ahead_ms <= max(tat - before[0], 0)
    line.command("DEL", *keys)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(INTERVALS, st.integers(2, 5), COSTS),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 2)), max_size=10),
)
def test_what_is_given_back_was_never_spent(
    line: Line, shape: tuple[int, int, int], steps: list[tuple[int, int]]
) -> None:
    """Giving back, once or twice, is the model's, whatever came in between; it never makes more room than there was."""
    interval_ms, burst, cost_ms = shape
    limit = Limit("limit", secrets.token_hex(16), interval_ms, burst, cost_ms=cost_ms)
    keys = [f"{{limit:{limit.subject}}}:{limit.name}"]
    for wait_ms, times in steps:
        line.let_pass(wait_ms)
        asked_ms, (tat_ms,) = line.now_ms(), kept(line, keys)
        if times:
            line.run(line.redis.call(GIVE_BACK, keys, [times * limit.spent_ms, limit.room_ms]))
        else:
            line.run(line.redis.call(SPEND, keys, numbers_of([limit])))
        answered_ms, (found_ms,) = line.now_ms(), kept(line, keys)
        moments = range(asked_ms, answered_ms + 1)
        agreed = (
            give_back(limit, tat_ms, now_ms, times=times) if times else spend(limit, tat_ms, now_ms).tat_ms
            for now_ms in moments
        )
        assert found_ms in agreed or (found_ms == 0 and tat_ms <= answered_ms + 2 * limit.spent_ms)
        assert found_ms <= answered_ms + limit.room_ms
    line.command("DEL", *keys)


@settings(max_examples=60, deadline=None)
@given(SHAPES, WAITS)
def test_the_script_that_issues_decides_as_the_model(
    line: Line, shapes: list[tuple[int, int, bool]], waits: list[int]
) -> None:
    """A payer's limits are spent in the step that issues, or nothing is issued."""
    payer = new_payer()
    limits = limits_of(shapes, payer, refuse=True)
    for wait_ms in waits:
        challenge, new = new_challenge(payer, limits=limits)
        keys = [f"{{p{challenge.partition:02d}}}:limit:{limit.name}:{payer}" for limit in limits]
        line.let_pass(wait_ms)
        before = line.now_ms(), kept(line, keys)
        reply = line.run(line.store.add(challenge, new, HEAD))
        assert_agreed(line, limits, keys, before, reply.wait_ms)
        assert (reply.word == "issued") == (reply.wait_ms == 0)
        assert (line.state(challenge.partition, challenge.text) is None) == (reply.word == "limited")
    line.command("FLUSHDB")


@given(INTERVALS, st.integers(1, 20), st.lists(st.integers(0, 100_000), min_size=1, max_size=200))
def test_no_stretch_of_time_lets_more_pass_than_promised(
    interval_ms: int, burst: int, waits: list[int]
) -> None:
    """In any stretch at most the burst and one for each interval in it, whatever the callers do."""
    limit = Limit("limit", "subject", interval_ms, burst)
    tat_ms, now_ms, passed = 0, 1_700_000_000_000, []
    for wait_ms in waits:
        now_ms += wait_ms
        decision = spend(limit, tat_ms, now_ms)
        tat_ms = decision.tat_ms
        if decision.allowed:
            passed.append(now_ms)
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - began) // interval_ms


@given(INTERVALS, st.integers(1, 20), st.integers(0, 1_000_000))
def test_whoever_waits_as_told_passes(interval_ms: int, burst: int, ahead_ms: int) -> None:
    """Not a millisecond earlier, and for certain then."""
    now_ms = 1_700_000_000_000
    limit = Limit("limit", "subject", interval_ms, burst)
    refused = spend(limit, now_ms + ahead_ms, now_ms)
    if refused.allowed:
        return
    at_ms = now_ms + refused.retry_after_ms
    assert spend(limit, refused.tat_ms, at_ms).allowed
    assert not spend(limit, refused.tat_ms, at_ms - 1).allowed
