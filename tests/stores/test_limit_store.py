"""Limits that span payers, on the real Redis: all of a subject's or none, and what only observes lets through."""

import asyncio

import pytest
from structlog.testing import capture_logs

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import TooEarly
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from tests.storeroom import new_payer

HOUR_MS = 3_600_000


@pytest.fixture
def limits(redis: RedisConnection) -> LimitStore:
    """What spends."""
    return LimitStore(redis)


async def passed(limits: LimitStore, wanted: list[Limit]) -> bool:
    """Whether one more is allowed."""
    try:
        await limits.spend(wanted)
    except TooEarly:
        return False
    return True


async def test_of_many_at_once_exactly_the_limit_passes(limits: LimitStore) -> None:
    """Whoever asks in parallel is counted as if one after the other."""
    wanted = [Limit("calls", new_payer(), HOUR_MS, 7)]
    results = await asyncio.gather(*(passed(limits, wanted) for _ in range(100)))
    assert results.count(True) == 7


async def test_a_refusal_says_when_one_more_is_allowed(limits: LimitStore) -> None:
    """In whole seconds, rounded up: whoever waits so long passes."""
    wanted = [Limit("calls", new_payer(), 10_500, 1)]
    await limits.spend(wanted)
    with pytest.raises(TooEarly) as refused:
        await limits.spend(wanted)
    assert 1 <= refused.value.retry_after_seconds <= 11
    assert "calls" in str(refused.value)


async def test_a_refused_action_spends_nothing(limits: LimitStore, redis: RedisConnection) -> None:
    """Neither of the limit that refuses nor of those beside it."""
    subject = new_payer()
    narrow, wide = Limit("narrow", subject, HOUR_MS, 1), Limit("wide", subject, HOUR_MS, 10)
    await limits.spend([narrow, wide])
    before = await redis.command("MGET", f"{{limit:{subject}}}:narrow", f"{{limit:{subject}}}:wide")
    assert not await passed(limits, [narrow, wide])
    assert await redis.command("MGET", f"{{limit:{subject}}}:narrow", f"{{limit:{subject}}}:wide") == before


async def test_a_limit_that_observes_is_logged_and_lets_through(limits: LimitStore) -> None:
    """How a new limit is tried out before it bites; its log line names no subject."""
    subject = new_payer()
    wanted = [Limit("tried-out", subject, HOUR_MS, 2, refuses=False)]
    with capture_logs() as logs:
        assert [await passed(limits, wanted) for _ in range(5)] == [True] * 5
    assert [line for line in logs if line["event"] == "limit.observed"] == [
        {"event": "limit.observed", "limit": "tried-out", "log_level": "info"}
    ] * 3


async def test_each_subject_has_a_limit_of_its_own(limits: LimitStore) -> None:
    """One payer's calls are never counted against another."""
    results = [await passed(limits, [Limit("calls", new_payer(), HOUR_MS, 1)]) for _ in range(5)]
    assert results == [True] * 5


async def test_where_no_limit_is_set_everything_passes(limits: LimitStore) -> None:
    """No rule, no refusal."""
    assert [await passed(limits, []) for _ in range(3)] == [True] * 3
