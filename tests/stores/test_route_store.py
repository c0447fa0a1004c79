"""What all workers know of the suppliers, on the real Redis: one probe at a time, counters that go away."""

import asyncio
import re
import secrets
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from redis.crc import key_slot

import sca_service.routing
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.redis.commands import Script
from sca_service.policy.supply import BreakerRule
from sca_service.policy.words import Channel
from sca_service.routing.breaker import BreakerState
from sca_service.routing.model import Route, SendOutcome
from sca_service.routing.redis_store import NetworkStore, RouteStore
from sca_service.routing.scorecard import OVERALL, bucket_of, scores_of
from tests.storeroom import eventually, keys_of

RULE = BreakerRule(failures=3, window=6, open_seconds=30)
RACERS = 50


@pytest.fixture
def store(redis: RedisConnection) -> RouteStore:
    """What counts."""
    return RouteStore(redis, RULE)


@pytest.fixture
def name() -> str:
    """A supplier that no other test has."""
    return f"s-{secrets.token_hex(8)}"


def route(supplier: str, *, segments: int = 1, with_code: bool = True, network: str = "262-01") -> Route:
    """A route over a supplier."""
    return Route(supplier, Channel.SMS, network, None, None, (), segments, with_code)


async def open_breaker(store: RouteStore, supplier: str) -> None:
    """Fail as often as it takes."""
    for _ in range(RULE.failures):
        await store.observe(route(supplier), SendOutcome.FAILED, probe=0)


async def let_open(redis: RedisConnection, supplier: str) -> None:
    """Let the time pass for which it is left alone."""
    await redis.command("HINCRBY", f"{{route:{supplier}}}:breaker", "u", -30_001)


async def test_a_supplier_is_left_alone_by_all_workers(
    store: RouteStore, redis: RedisConnection, name: str
) -> None:
    """One worker's failures are known to every other, and so is the end of it."""
    other = RouteStore(redis, RULE)
    assert (await other.glance(name, steps=1)).breaker is BreakerState.CLOSED
    await open_breaker(store, name)
    assert (await other.glance(name, steps=1)).breaker is BreakerState.OPEN
    assert await other.claim_probe(name) == 0
    await let_open(redis, name)
    assert (await store.glance(name, steps=1)).breaker is BreakerState.HALF_OPEN
    probe = await other.claim_probe(name)
    assert (await store.glance(name, steps=1)).breaker is BreakerState.OPEN
    await other.observe(route(name), SendOutcome.TAKEN, probe=probe)
    assert (await store.glance(name, steps=1)).breaker is BreakerState.CLOSED


async def read_then_write(redis: RedisConnection, supplier: str) -> int:
    """A probe as it must not be claimed: what decides is read first and written afterwards."""
    key = f"{{route:{supplier}}}:breaker"
    opens, probe, until = await redis.command("HMGET", key, "u", "n", "p")
    seconds, _ = await redis.command("TIME")
    if int(opens) >= int(seconds) * 1000 or int(until or 0) > int(seconds) * 1000:
        return 0
    number = int(probe or 0) + 1
    await redis.command("HSET", key, "n", number, "p", int(seconds) * 1000 + 30_000)
    return number


@pytest.mark.parametrize("is_atomic", [True, False])
@pytest.mark.race
async def test_of_fifty_at_once_exactly_one_sends_the_probe(
    store: RouteStore, redis: RedisConnection, name: str, is_atomic: bool
) -> None:
    """The step is atomic; without that, the same race lets more than one through."""
    await open_breaker(store, name)
    await let_open(redis, name)
    claims = [store.claim_probe(name) if is_atomic else read_then_write(redis, name) for _ in range(RACERS)]
    won = [number for number in await asyncio.gather(*claims) if number]
    assert (len(won) == 1) is is_atomic


@pytest.mark.race
async def test_of_fifty_outcomes_at_once_none_is_lost(store: RouteStore, name: str) -> None:
    """All counters of one send go up in one step."""
    await asyncio.gather(
        *(store.observe(route(name, segments=2), SendOutcome.TAKEN, probe=0) for _ in range(RACERS))
    )
    await asyncio.gather(
        *(store.received(name, "262-01", arrived=True, latency_ms=1_500) for _ in range(30)),
        *(store.received(name, "262-01", arrived=False, latency_ms=0) for _ in range(10)),
        *(store.converted(name, "262-01") for _ in range(20)),
    )
    glance = await store.glance(name, steps=2)
    totals = [counted["262-01"] for counted in glance.steps if counted]
    assert glance.volume == 2 * RACERS
    assert sum(one.sent for one in totals) == sum(one.codes for one in totals) == RACERS
    assert sum(one.delivered for one in totals) == 30
    assert sum(one.undelivered for one in totals) == 10
    assert sum(one.approved for one in totals) == 20
    assert sum(one.latencies[bucket_of(1_500)] for one in totals) == 30
    assert scores_of(enumerate(glance.steps))[OVERALL].samples >= RACERS - 15


async def test_what_was_not_taken_is_no_volume(store: RouteStore, name: str) -> None:
    """A message that a supplier refuses costs nothing; it speaks neither for nor against its route."""
    for outcome in (SendOutcome.REFUSED, SendOutcome.FAILED, SendOutcome.TIMED_OUT):
        await store.observe(route(name), outcome, probe=0)
    await store.observe(route(name, with_code=False), SendOutcome.TAKEN, probe=0)
    glance = await store.glance(name, steps=1)
    assert glance.volume == 1
    assert (glance.steps[0]["262-01"].sent, glance.steps[0]["262-01"].codes) == (1, 0)


async def test_every_key_goes_away_by_itself_and_lies_on_one_slot(
    store: RouteStore, redis: RedisConnection, name: str
) -> None:
    """Nothing but the supplier's name stands in a key; a volume outlives its month."""
    await store.observe(route(name), SendOutcome.TAKEN, probe=0)
    await store.converted(name, "262-01")
    keys = sorted(key.decode() for key in await keys_of(redis, f"{{route:{name}}}:*"))
    assert [re.sub(r"\d+$", "", key.partition("}:")[2]) for key in keys] == ["breaker", "count:", "volume:"]
    assert len({key_slot(key.encode()) for key in keys}) == 1
    ends = [await redis.command("TTL", key) for key in keys]
    assert ends[0] <= 86_400
    assert ends[1] <= 3_900
    assert 61 * 86_400 < ends[2] <= 62 * 86_400


@pytest.mark.parametrize(
    "moment",
    [
        "1999-12-31T23:59:59", "2000-01-01T00:00:00", "2000-02-29T12:00:00", "2000-03-01T00:00:00",
        "2024-02-29T23:59:59", "2026-01-31T23:59:59", "2026-02-01T00:00:00", "2026-11-22T18:00:00",
        "2026-12-31T23:59:59", "2027-01-01T00:00:00", "2100-02-28T23:59:59", "2100-03-01T00:00:00",
    ],
)  # fmt: skip
async def test_the_month_is_the_calendars(redis: RedisConnection, moment: str) -> None:
    """The script works it out from the seconds, leap years and ends of months included."""
    source = (Path(sca_service.routing.__file__).parent / "breaker.lua").read_text("utf-8")
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    fixed = source.replace("tonumber(time[1])", f"{int(at.timestamp())}", 1)
    assert fixed != source
    script = Script("month", fixed + "\nreturn month()", "")
    found = await redis.command("EVAL", script.source, 0)
    assert found.decode() == f"{at:%Y%m}"


async def test_more_networks_than_there_can_be_count_as_one(
    store: RouteStore, redis: RedisConnection, name: str
) -> None:
    """A look-up that answers nonsense fills no memory."""
    await store.converted(name, "262-01")
    (key,) = await keys_of(redis, f"{{route:{name}}}:count:*")
    fields = [text for number in range(8_192) for text in (f"999-{number}|s", "1")]
    await redis.command("HSET", key, *fields)
    await store.converted(name, "262-02")
    await store.converted(name, "262-01")
    assert await redis.command("HGET", key, "262-02|a") is None
    assert int(await redis.command("HGET", key, "*|a")) == 1
    assert int(await redis.command("HGET", key, "262-01|a")) == 2


async def remembers(memory: NetworkStore, pseudonym: str, network: str) -> bool:
    """Whether this is what is remembered."""
    return await memory.find(pseudonym) == network


async def test_a_looked_up_network_is_remembered_for_its_time(redis: RedisConnection) -> None:
    """The answer that there is none is one too."""
    memory, pseudonym = NetworkStore(redis), secrets.token_hex(16)
    assert await memory.find(pseudonym) is None
    for network in ("262-01", ""):
        memory.remember(pseudonym, network, seconds=60)
        await eventually(partial(remembers, memory, pseudonym, network))
    assert 0 < await redis.command("TTL", f"network:{pseudonym}") <= 60
