"""Limits that span payers, on the real Redis: all of a subject's or none, and what only observes lets through."""

import asyncio
import time
from collections.abc import Callable, Iterable

import pytest
from structlog.testing import capture_logs

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import Subjects, limits_on
from sca_service.policy.load import load
from sca_service.policy.model import LimitedAction
from sca_service.settings import shipped_policies
from tests.ports import free_port
from tests.racing_limits import RacingLimits
from tests.storeroom import eventually, new_payer, now_ms

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


@pytest.mark.race
async def test_of_many_at_once_exactly_the_limit_passes(limits: LimitStore) -> None:
    """Whoever asks in parallel is counted as if one after the other."""
    wanted = [Limit("calls", new_payer(), HOUR_MS, 7)]
    results = await asyncio.gather(*(passed(limits, wanted) for _ in range(100)))
    assert results.count(True) == 7


async def test_read_then_write_lets_more_pass(redis: RedisConnection) -> None:
    """What is asserted above does not hold without the script."""
    wanted = [Limit("calls", new_payer(), HOUR_MS, 7)]
    broken = RacingLimits(redis)
    results = await asyncio.gather(*(passed(broken, wanted) for _ in range(100)))
    assert results.count(True) > 7


async def two_processes(monkeypatch: pytest.MonkeyPatch, here: LimitStore, there: LimitStore) -> int:
    """How many of two pass a limit of one in twenty seconds, of two processes whose clocks are 30 seconds apart."""
    wanted = [Limit("calls", new_payer(), 20_000, 1)]
    first = await passed(here, wanted)
    with monkeypatch.context() as ahead:
        now_ns = time.time_ns
        ahead.setattr(time, "time_ns", lambda: now_ns() + 30 * 10**9)
        second = await passed(there, wanted)
    return first + second


async def test_clocks_that_are_apart_make_no_difference(
    redis: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis `TIME` decides; by their own clocks the second process would take the limit for whole again."""
    assert await two_processes(monkeypatch, LimitStore(redis), LimitStore(redis)) == 1
    broken = RacingLimits(redis)
    assert await two_processes(monkeypatch, broken, broken) == 2


async def test_a_limit_is_whole_again_at_the_edge_of_its_window(
    limits: LimitStore, redis: RedisConnection
) -> None:
    """One more passes when its interval is over, and not a burst: there is no window to straddle."""
    limit = Limit("calls", new_payer(), HOUR_MS, 5)
    key = f"{{limit:{limit.subject}}}:{limit.name}"
    assert [await passed(limits, [limit]) for _ in range(6)] == [True] * 5 + [False]

    async def let_pass(ms: int) -> None:
        left = int(await redis.command("GET", key)) - ms
        await redis.command("SET", key, left, "PXAT", left)

    await let_pass(HOUR_MS - 30_000)
    assert not await passed(limits, [limit])
    await let_pass(30_000)
    assert [await passed(limits, [limit]) for _ in range(3)] == [True, False, False]


async def test_limits_of_several_subjects_are_spent_all_or_none(
    limits: LimitStore, redis: RedisConnection
) -> None:
    """They lie on slots of their own: what was spent beside the one that refuses is given back."""
    narrow, wide = Limit("narrow", new_payer(), HOUR_MS, 1), Limit("wide", new_payer(), HOUR_MS, 10)
    await limits.spend([narrow])
    for _ in range(30):
        assert not await passed(limits, [wide, narrow])
    assert await redis.command("EXISTS", f"{{limit:{wide.subject}}}:wide") == 0
    assert [await passed(limits, [wide]) for _ in range(11)] == [True] * 10 + [False]


async def test_without_giving_back_a_refused_flood_spends_what_is_others(redis: RedisConnection) -> None:
    """What is asserted above does not hold where nothing is given back."""

    class Keeps(LimitStore):
        def give_back(self, limits: Iterable[Limit], *, times: int = 1) -> None:
            """Keep it."""

    narrow, wide = Limit("narrow", new_payer(), HOUR_MS, 1), Limit("wide", new_payer(), HOUR_MS, 10)
    broken = Keeps(redis)
    await broken.spend([narrow])
    for _ in range(30):
        await passed(broken, [wide, narrow])
    assert not await passed(broken, [wide])


async def test_what_came_to_nothing_is_given_back(limits: LimitStore) -> None:
    """Once for each time that it was spent; an observed limit that was not spent is not given back either."""
    subject = new_payer()
    wanted = [Limit("calls", subject, HOUR_MS, 2), Limit("tried-out", subject, HOUR_MS, 1, refuses=False)]
    first, second = await limits.spend(wanted), await limits.spend(wanted)
    assert ([one.name for one in first.limits], [one.name for one in second.limits]) == (
        ["calls", "tried-out"],
        ["calls"],
    )

    async def passes() -> (
        bool
    ):  # nobody waits for what is given back, and a server may have to be told the script
        return await passed(limits, wanted)

    limits.give_back(second.limits)
    await eventually(passes)
    assert not await passes()
    limits.give_back(wanted)
    limits.give_back(wanted)
    limits.give_back(wanted)  # once more than was spent makes no room that there never was
    assert [await passes() for _ in range(3)] == [True, True, False]


async def test_one_code_over_ten_thousand_payers_meets_the_shipped_limits(
    limits: LimitStore, keyring: Keyring, redis: RedisConnection
) -> None:
    """Each payer once, so that no lockout sees it: what passes is what the policy has for an address, and for a bank.

    An approval takes back what was spent for it and one wrong answer, whatever address that came from.
    """
    policy, client = load(shipped_policies()), f"bank-{new_payer()}"
    per_ip, per_client = (
        Limit.of(rule, "")
        for rule in policy.limits_on(LimitedAction.VERIFY)
        if rule.name in ("verify-per-ip", "verify-per-client")
    )
    began = await now_ms(redis)

    async def passing(count: int, address: Callable[[int], str]) -> int:
        wanted = [
            limits_on(policy, keyring, LimitedAction.VERIFY, Subjects(client, ip=address(at)))
            for at in range(count)
        ]
        return sum(await asyncio.gather(*(passed(limits, list(one)) for one in wanted)))

    async def most(limit: Limit) -> int:
        return limit.burst + (await now_ms(redis) - began) // limit.interval_ms

    of_one = await passing(1_000, lambda _: "203.0.113.7")
    assert per_ip.burst <= of_one <= await most(per_ip)
    of_all = of_one + await passing(9_000, lambda at: f"2001:db8:{at:x}::1")
    assert per_client.burst <= of_all <= await most(per_client)
    limits.give_back(limits_on(policy, keyring, LimitedAction.VERIFY, Subjects(client)), times=2)
    of_all += await passing(9, lambda at: f"203.0.113.{at + 8}")
    assert per_client.burst + 2 <= of_all <= await most(per_client) + 2


async def test_what_an_action_costs_is_counted(limits: LimitStore) -> None:
    """In money: three at 0.30 of one, and then one at 0.10."""
    subject = new_payer()

    def cents(cost: int) -> list[Limit]:
        return [Limit("money", subject, HOUR_MS, 1, cost_ms=HOUR_MS * cost // 100)]

    assert [await passed(limits, cents(cost)) for cost in (30, 30, 30, 30, 10, 10)] == [
        True,
        True,
        True,
        False,
        True,
        False,
    ]


async def test_without_redis_nothing_is_allowed() -> None:
    """A limit that cannot be asked refuses: 503, and giving back raises nothing."""
    away = RedisConnection(f"redis://127.0.0.1:{free_port()}/0")
    limits, wanted = LimitStore(away), [Limit("calls", new_payer(), HOUR_MS, 7)]
    with pytest.raises(StoreUnavailable):
        await limits.spend(wanted)
    limits.give_back(wanted)
    await away.close()


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
    ], "once a second at most: a flood of requests is no flood of lines"


async def test_each_subject_has_a_limit_of_its_own(limits: LimitStore) -> None:
    """One payer's calls are never counted against another."""
    results = [await passed(limits, [Limit("calls", new_payer(), HOUR_MS, 1)]) for _ in range(5)]
    assert results == [True] * 5


async def test_where_no_limit_is_set_everything_passes(limits: LimitStore) -> None:
    """No rule, no refusal."""
    assert [await passed(limits, []) for _ in range(3)] == [True] * 3
