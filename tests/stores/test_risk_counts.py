"""What is counted of payers and of what they come from, on the real Valkey: windows, different others, size."""

import asyncio
import secrets
import struct

import pytest

from sca_service.kernel.connections import RedisConnection
from sca_service.policy.risk import MemoryRule
from sca_service.risk.memory import MOST_REMEMBERED, Location
from sca_service.risk.model import MarkedKind, Standing
from sca_service.risk.redis_store import (
    _MEET,
    MOST_AMOUNT_MINOR,
    Memory,
    RiskStore,
    SubjectKind,
    Subjects,
)
from tests.storeroom import keys_of, new_payer

RULE = MemoryRule(payer_days=90, subject_days=30, report_days=180)
DAY = 86_400
MOST_BYTES = 2_048
MOST_EXACT = 40
RACERS = 50
HEAD, DAYS = struct.Struct(">10IB"), struct.Struct(">I")
"""How a string of counts begins, and what follows of a payer: when, which hour and day; the day's bucket."""
DEVICE = SubjectKind.DEVICE


@pytest.fixture
def store(redis: RedisConnection) -> RiskStore:
    """What learns."""
    return RiskStore(redis, RULE)


def pseudonym() -> str:
    """A name that no other test has."""
    return secrets.token_hex(16)


def payer_key(payer: str) -> str:
    """The hash of a payer."""
    return f"{{p{int(payer[:2], 16) % 64:02d}}}:risk:{payer}"


def device_key(one: Subjects) -> str:
    """The hash of a device."""
    return f"{{risk:device:{one.others[DEVICE]}}}"


def visit(device: str, payer: str | None = None) -> Subjects:
    """A payer with this device."""
    return Subjects(payer or new_payer(), {DEVICE: device})


async def pass_by(
    redis: RedisConnection, key: str, *, buckets: int = 0, days: int = 0, long_buckets: int = 0
) -> None:
    """Time goes by: what is counted is moved into the past, and what HyperLogLog counts with it."""
    kept = await redis.command("GET", f"{key}:n")
    first, hour, *requests, day, fresh = HEAD.unpack_from(kept)
    moved = HEAD.pack(first, hour - buckets, *requests, day - days, fresh)
    rest = kept[HEAD.size :]
    if long_buckets:
        moved += DAYS.pack(DAYS.unpack_from(rest)[0] - long_buckets)
        rest = rest[DAYS.size :]
    await redis.command("SET", f"{key}:n", moved + rest, "KEEPTTL")
    for of in (day, day + 1):
        if days and await redis.command("EXISTS", f"{key}:{of}:two"):
            await redis.command("RENAME", f"{key}:{of}:two", f"{key}:{of - days}:two")


async def payers_of(store: RiskStore, one: Subjects) -> int:
    """How many different payers are counted of a device."""
    return (await store.recall(one)).others[DEVICE].payers


async def test_an_hour_counts_the_buckets_that_are_within_it(
    store: RiskStore, redis: RedisConnection
) -> None:
    """The bucket under way and six before it; what is older, or counted by a clock far ahead, counts no more."""
    one = visit(pseudonym())
    for requests in (1, 2, 3):
        for _ in range(requests):
            await store.meet(one, amount_minor=None)
        await pass_by(redis, device_key(one), buckets=2)
    found = [(await store.recall(one)).others[DEVICE].requests_hour]
    for _ in range(6):
        await pass_by(redis, device_key(one), buckets=1)
        found.append((await store.recall(one)).others[DEVICE].requests_hour)
    assert found in ([6, 5, 5, 3, 3, 0, 0], [5, 5, 3, 3, 0, 0, 0])  # a bucket may have ended meanwhile
    await store.meet(one, amount_minor=None)
    await pass_by(redis, device_key(one), buckets=-1)
    assert (await store.recall(one)).others[DEVICE].requests_hour == 1
    await pass_by(redis, device_key(one), buckets=-9)
    assert (await store.recall(one)).others[DEVICE].requests_hour == 0


async def test_a_day_counts_requests_and_their_amounts(store: RiskStore, redis: RedisConnection) -> None:
    """The bucket of three hours under way and eight before it."""
    payer = new_payer()
    one, key = Subjects(payer, {}), payer_key(payer)
    await store.meet(one, amount_minor=500)
    await pass_by(redis, key, buckets=18, long_buckets=1)
    memory = await store.meet(one, amount_minor=700, sees_itself=True)
    payer_memory = memory.payer
    assert (payer_memory.requests_day, payer_memory.amount_day_minor, payer_memory.requests_hour) == (
        2,
        1_200,
        1,
    )
    await pass_by(redis, key, buckets=18 * 7, long_buckets=7)
    later = (await store.recall(one)).payer
    assert (later.requests_day, later.amount_day_minor) in ((2, 1_200), (1, 700))
    await pass_by(redis, key, long_buckets=1)
    later = (await store.recall(one)).payer
    assert (later.requests_day, later.amount_day_minor, later.requests_hour) in ((1, 700, 0), (0, 0, 0))
    await pass_by(redis, key, long_buckets=1)
    assert (await store.recall(one)).payer.requests_day == 0


async def test_different_payers_are_counted_once_each(store: RiskStore) -> None:
    """Exactly while they are few, to about a hundredth by HyperLogLog where they are many."""
    shared = pseudonym()
    payers = [visit(shared) for _ in range(400)]
    for count in (MOST_EXACT, MOST_EXACT + 1, 400):
        await asyncio.gather(
            *(store.meet(one, amount_minor=None) for one in payers[:count] for _ in range(2))
        )
        assert await payers_of(store, payers[0]) == pytest.approx(count, rel=0.05, abs=1)
    found = await store.meet(visit(shared), amount_minor=None, sees_itself=True)
    assert found.others[DEVICE].payers == pytest.approx(401, rel=0.05)
    assert found.others[DEVICE].requests_hour == 2 * (MOST_EXACT + MOST_EXACT + 1 + 400) + 1


async def test_one_is_not_taken_for_the_end_and_the_beginning_of_two_others(store: RiskStore) -> None:
    """Different others stand one after the other without anything between them."""
    shared = pseudonym()
    ends = ("010203", "040506", "050601", "060102", "010203")
    for end in ends:
        await store.meet(visit(shared, f"{new_payer()[:-6]}{end}"), amount_minor=None)
    assert await payers_of(store, visit(shared)) == 4


@pytest.mark.parametrize("many", [0, 2 * MOST_EXACT])
async def test_who_came_yesterday_still_counts_today_and_not_tomorrow(
    store: RiskStore, redis: RedisConnection, many: int
) -> None:
    """Once only, however often; few are told apart by name, many are not."""
    one, other = visit(shared := pseudonym()), visit(shared)
    key = device_key(one)
    await asyncio.gather(*(store.meet(visit(shared), amount_minor=None) for _ in range(many)))
    await store.meet(one, amount_minor=None)
    await pass_by(redis, key, days=1)
    found = [await payers_of(store, one)]
    for _ in range(3):
        for who in (one, other):
            await store.meet(who, amount_minor=None)
        found.append(await payers_of(store, one))
    assert found == pytest.approx([many + 1, many + 2, many + 2, many + 2], abs=many // 20)
    await pass_by(redis, key, days=1)
    assert await payers_of(store, one) == 2
    await store.meet(one, amount_minor=None)
    await pass_by(redis, key, days=1)
    assert await payers_of(store, one) == 1
    await pass_by(redis, key, days=1)
    assert await payers_of(store, one) == 0
    await store.meet(one, amount_minor=None)
    await pass_by(redis, key, days=2)
    assert await payers_of(store, one) == 0


async def test_what_counts_many_goes_away_by_itself(store: RiskStore, redis: RedisConnection) -> None:
    """Also where a day begins with a request that has nobody to count."""
    payer = new_payer()
    key = payer_key(payer)
    for _ in range(MOST_EXACT + 1):
        await store.meet(Subjects(payer, {SubjectKind.IP: pseudonym()}), amount_minor=None)
    await pass_by(redis, key, days=1)
    await store.meet(Subjects(payer, {}), amount_minor=None)
    await store.meet(Subjects(payer, {SubjectKind.IP: pseudonym()}), amount_minor=None)
    counting = await keys_of(redis, f"*{payer}:*:two")
    assert len(counting) >= 2
    assert all([0 < await redis.command("TTL", one) <= 2 * DAY for one in counting])


async def fill(store: RiskStore, payer: str, *, addresses: int) -> None:
    """A payer of whom as much is remembered as there can be, with so many addresses."""
    for number in range(addresses):
        held = {kind: pseudonym() for kind in SubjectKind}
        one = Subjects(payer, held, agent=pseudonym(), country="DE")
        await store.meet(one, amount_minor=MOST_AMOUNT_MINOR - 1)
        if number <= max(MOST_REMEMBERED.values()):
            await store.approved(one, amount_minor=123_456, location=Location(-52.52, -113.41))
            await store.approved(one, amount_minor=7, location=Location(-52.52, -113.41))
    for country in ("FR", "IT", "ES", "US", "JP"):
        await store.approved(Subjects(payer, {}, country=country), amount_minor=None, location=None)
    await store.report_payer(payer)
    await store.copy(Standing(MarkedKind.PAYER, payer, 2**40, 2**33, 1_000, 2**33))


@pytest.mark.parametrize(("addresses", "keys"), [(MOST_EXACT, 2), (MOST_EXACT + 3, 4)])
async def test_an_active_payer_takes_less_than_two_kib(
    store: RiskStore, redis: RedisConnection, addresses: int, keys: int
) -> None:
    """Everything full: all windows, all devices and payees, as many addresses as are told apart, and more."""
    payer = new_payer()
    await fill(store, payer, addresses=addresses)
    held = [key.decode() for key in await keys_of(redis, f"*{payer}*")]
    assert len(held) == keys
    taken = [int(await redis.command("MEMORY", "USAGE", key)) for key in held]
    assert sum(taken) < MOST_BYTES, taken


async def test_a_device_of_many_takes_less_than_a_kib(store: RiskStore, redis: RedisConnection) -> None:
    """Marked, and with as many payers as are told apart."""
    one = visit(pseudonym())
    await store.report(DEVICE, one.others[DEVICE])
    await store.copy(Standing(MarkedKind.DEVICE, one.others[DEVICE], 2**40, 2**33, 1_000, 2**33))
    for _ in range(MOST_EXACT):
        await store.meet(visit(one.others[DEVICE]), amount_minor=None)
    keys = [key.decode() for key in await keys_of(redis, f"{device_key(one)}*")]
    assert len(keys) == 2
    taken = [int(await redis.command("MEMORY", "USAGE", key)) for key in keys]
    assert sum(taken) < MOST_BYTES / 2, taken


async def test_what_an_earlier_release_kept_is_no_obstacle(store: RiskStore, redis: RedisConnection) -> None:
    """Its windows are forgotten; reports, and when the payer was first seen, are not; erasure takes all of it."""
    payer = new_payer()
    key, now = payer_key(payer), (await store.recall(Subjects(payer, {}))).payer.now
    old = f"{now // 600}:3:900"
    await redis.command(
        "HSET", key, f"h{now // 600 % 7}", old, "d3", old, "f", now - DAY, "r", 2, "u", now + DAY
    )
    await redis.command("PFADD", f"{key}:{now // DAY}", pseudonym())
    found = (await store.meet(Subjects(payer, {}), amount_minor=1, sees_itself=True)).payer
    assert (found.requests_hour, found.reports, found.first_seen_at) == (1, 2, now - DAY)
    await store.forget(payer)
    assert await keys_of(redis, f"*{payer}*") == []


async def meet_in_two_steps(redis: RedisConnection, store: RiskStore, one: Subjects) -> Memory:
    """A request as it must not be met: recalled first, and counted afterwards."""
    found = await store.recall(one)
    await redis.call(_MEET, (device_key(one),), ("last", 1, 2 * DAY, "", "", b"abc", "S", ""))
    return found


@pytest.mark.parametrize("is_atomic", [True, False])
@pytest.mark.race
async def test_of_many_at_once_each_sees_the_others(
    store: RiskStore, redis: RedisConnection, is_atomic: bool
) -> None:
    """None before the first, forty-nine before the last; in two steps, the same race has some that see too few."""
    one = visit(pseudonym())
    met = await asyncio.gather(
        *(
            store.meet(one, amount_minor=None) if is_atomic else meet_in_two_steps(redis, store, one)
            for _ in range(RACERS)
        )
    )
    seen = sorted(memory.others[DEVICE].requests_hour for memory in met)
    assert (seen == list(range(RACERS))) is is_atomic
