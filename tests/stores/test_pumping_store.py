"""The pumping guard in the real store: exact under parallel load, all subjects or none, gone by itself, on one slot."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest

from sca_service.kernel.connections import RedisConnection
from sca_service.limits.pumping.model import DAY_SECONDS, Asked, Entry, Passed, Subject
from sca_service.limits.pumping.redis_store import EntryKind, PumpingStore
from sca_service.policy.load import load
from sca_service.policy.pumping import AtBlock, PumpingPolicy, PumpingScope
from sca_service.settings import shipped_policies
from tests.harness import Deployment
from tests.storeroom import forget_all, keys_of

SHIPPED = load(shipped_policies()).pumping
FLOOR = SHIPPED.budgets[PumpingScope.PREFIX].floor
Lines = Callable[[int], Asked]


@pytest.fixture
def guard(redis: RedisConnection) -> PumpingStore:
    """The shipped policy's counters."""
    return PumpingStore(redis, SHIPPED)


@pytest.fixture
def lines() -> Lines:
    """Lines of one prefix in a country of its own, each with neighbours of its own, from one client."""
    run = secrets.token_hex(6)

    def line(at: int, *, address: str = "") -> Asked:
        subjects = [
            Subject(PumpingScope.NEIGHBOURS, f"+{run}-{at}"),
            Subject(PumpingScope.PREFIX, f"+{run}"),
            Subject(PumpingScope.COUNTRY, run),
        ]
        if address:
            subjects.append(Subject(PumpingScope.IP, f"{run}-{address}"))
        subjects.append(Subject(PumpingScope.CLIENT, run))
        return Asked(f"{run}{at}", run, tuple(subjects))

    return line


async def ask(guard: PumpingStore, asked: Asked, at_block: AtBlock = AtBlock.REFUSE) -> Passed | Entry:
    """Ask for one message."""
    one = secrets.token_hex(16)
    return await guard.ask(asked, at_block, block_id=f"blk_{one}", event_id=f"evt_{one}")


@pytest.mark.race
async def test_a_hundred_at_once_from_two_connections_are_exactly_the_budget(
    quiet_stores: Deployment, redis: RedisConnection, lines: Lines
) -> None:
    """However they interleave, as many pass as may be unanswered, and one block is put."""
    other = RedisConnection(quiet_stores.servers.valkey.url)
    guards = [PumpingStore(connection, SHIPPED) for connection in (redis, other)]
    found = await asyncio.gather(*(ask(guards[at % 2], lines(at)) for at in range(100)))
    await other.close()
    assert sum(isinstance(one, Passed) for one in found) == FLOOR
    assert len({one.id for one in found if isinstance(one, Entry)}) == 1


async def test_what_one_subject_stops_is_counted_under_none(redis: RedisConnection, lines: Lines) -> None:
    """A country is not charged with messages that the block of a prefix has stopped."""
    guard = PumpingStore(redis, _with(waiting=0))
    for at in range(FLOOR + 50):
        await ask(guard, lines(at))
    country = SHIPPED.budgets[PumpingScope.COUNTRY].floor
    others = [elsewhere(lines(1_000 + at), f"-{at}") for at in range(country)]
    found = [await ask(guard, one) for one in others]
    assert sum(isinstance(one, Passed) for one in found) == country - FLOOR


def elsewhere(asked: Asked, suffix: str) -> Asked:
    """The same line in another prefix of the same country."""
    subjects = [
        replace(one, name=one.name + suffix) if one.scope is PumpingScope.PREFIX else one
        for one in asked.subjects
    ]
    return replace(asked, subjects=tuple(subjects))


async def test_what_waits_is_not_judged_until_it_had_its_time(
    guard: PumpingStore, redis: RedisConnection, lines: Lines
) -> None:
    """Answered or given back it waits no more; in an earlier minute, it counts against its country."""
    country = SHIPPED.budgets[PumpingScope.COUNTRY].floor
    found = [await ask(guard, elsewhere(lines(at), f"-{at}")) for at in range(country + 9)]
    passed = [one for one in found if isinstance(one, Passed)]
    assert passed == found
    await guard.approve(passed[0].asked, over_line=True)
    await guard.give_back(passed[1])
    key = f"{{pumping}}:count:{lines(0).subjects[2].scope}:{lines(0).subjects[2].name}"
    held = await redis.command("HGETALL", key)
    minutes = {name: value for name, value in zip(held[::2], held[1::2], strict=True) if name[:1] == b"m"}
    assert sum(int(value.split(b":")[1]) for value in minutes.values()) == country + 7
    for name, value in minutes.items():
        at, messages = value.split(b":")
        await redis.command("HSET", key, name, b"%d:%s" % (int(at) - SHIPPED.answer_minutes - 1, messages))
    stopped = await ask(guard, elsewhere(lines(500), "-500"))
    assert isinstance(stopped, Entry)
    assert (stopped.scope, stopped.why) == (PumpingScope.COUNTRY, "budget")
    await guard.lift(EntryKind.BLOCK, stopped.id)
    assert not [name for name in await redis.command("HKEYS", key) if name[:1] == b"m"], (
        "nothing waits any more"
    )


async def test_answers_make_room_and_raise_the_budget(guard: PumpingStore, lines: Lines) -> None:
    """A line that answers gives back all that it was sent; many approvals make a larger budget."""
    for _ in range(FLOOR):
        assert isinstance(await ask(guard, lines(1)), Passed)
    await guard.approve(lines(1), over_line=True)
    for at in range(20):
        await guard.approve(lines(100 + at), over_line=True)
    found = [await ask(guard, lines(200 + at)) for at in range(10)]
    assert sum(isinstance(one, Passed) for one in found) == 21 * 30 // 100


async def test_an_approval_over_another_channel_gives_back_and_makes_nobody_known(
    guard: PumpingStore, lines: Lines
) -> None:
    """The line of a ladder that was not used: its message does not count, and it has proven nothing."""
    for at in range(FLOOR):
        await ask(guard, lines(at))
    await guard.approve(lines(0), over_line=False)
    assert not await guard.knows(lines(0).line)
    assert isinstance(await ask(guard, lines(9)), Passed)
    assert isinstance(await ask(guard, lines(10)), Entry)


async def test_what_is_given_back_was_not_sent(redis: RedisConnection, lines: Lines) -> None:
    """It spends no budget, and it does not make a conversion look better either."""
    guard = PumpingStore(redis, _with(floor=30, waiting=0))
    for at in range(40):
        passed = await ask(guard, lines(at))
        assert isinstance(passed, Passed)
        await guard.give_back(passed)
    least = SHIPPED.budgets[PumpingScope.PREFIX].least_sent
    found = [await ask(guard, lines(500 + at)) for at in range(least + 1)]
    assert [isinstance(one, Passed) for one in found] == [True] * least + [False]
    assert isinstance(found[-1], Entry)
    assert found[-1].why == "conversion"


async def test_a_known_line_stays_known_as_long_as_the_policy_says(
    guard: PumpingStore, redis: RedisConnection, lines: Lines
) -> None:
    """And no longer."""
    assert not await guard.knows(lines(1).line)
    await guard.approve(lines(1), over_line=True)
    assert await guard.knows(lines(1).line)
    left = await redis.command("TTL", f"{{line:{lines(1).line}}}:approved")
    assert SHIPPED.known_days * DAY_SECONDS - 60 < left <= SHIPPED.known_days * DAY_SECONDS


async def test_every_key_goes_away_by_itself(
    guard: PumpingStore, redis: RedisConnection, lines: Lines
) -> None:
    """Counters, blocks, what is allowed, and their indexes: none is kept for longer than its history or its end."""
    await forget_all(redis)
    prefix = Subject(PumpingScope.PREFIX, "+49151777")
    for at in range(FLOOR + 1):
        await ask(guard, lines_with_address(lines, at))
    await guard.approve(lines_with_address(lines, 0), over_line=True)
    await guard.allow(prefix, entry_id=f"alw_{'0' * 32}", why="known", seconds=90 * DAY_SECONDS)
    keys = [key.decode() for key in await keys_of(redis, "*")]
    assert len(keys) >= 12
    for key in keys:
        left = await redis.command("TTL", key)
        longest = SHIPPED.known_days if key.endswith(":approved") else 90 if "allow" in key else 15
        if "neighbours" in key or ":ip:" in key or ":asked:" in key or ":waits:" in key:
            longest = 2
        assert 0 < left <= longest * DAY_SECONDS, key


def lines_with_address(lines: Callable[..., Asked], at: int) -> Asked:
    """A line that is asked for from an address."""
    return lines(at, address="somewhere")


async def test_a_block_tells_what_it_is_and_counts_what_it_stops(guard: PumpingStore, lines: Lines) -> None:
    """Scope, subject, reason, times, its event until that is on record; lifted once, its subject begins anew."""
    found = [await ask(guard, lines(at)) for at in range(FLOOR + 3)]
    block = found[FLOOR]
    assert isinstance(block, Entry)
    assert (block.scope, block.subject, block.why) == (
        PumpingScope.PREFIX,
        lines(0).subjects[1].name,
        "budget",
    )
    assert block.until - block.since == SHIPPED.block_seconds
    assert (block.is_recorded, block.refused) == (False, 1)
    await guard.mark_recorded(block.id)
    held = await guard.find(EntryKind.BLOCK, block.id)
    assert held == replace(block, is_recorded=True, refused=3)
    assert await guard.lift(EntryKind.BLOCK, block.id) == held
    assert await guard.lift(EntryKind.BLOCK, block.id) is None
    assert await guard.find(EntryKind.BLOCK, block.id) is None
    assert isinstance(await ask(guard, lines(90)), Passed)


async def test_the_list_is_told_in_pages_what_ends_last_first(guard: PumpingStore) -> None:
    """What ends later stands first, one that is put for shorter drops none; one of the same subject has given way."""
    run = secrets.token_hex(4)
    subjects = [Subject(PumpingScope.PREFIX, f"+{run}{at}") for at in range(3)]
    for at, subject in enumerate([*subjects, subjects[0]]):
        await guard.allow(subject, entry_id=f"alw_{run}{at}", why="known", seconds=(600, 400, 800, 300)[at])
    pages = [await guard.entries(EntryKind.ALLOW, most=2, skip=skip) for skip in (0, 2)]
    ours = [one.id for page in pages for one in page if one.id.startswith(f"alw_{run}")]
    assert ours == [f"alw_{run}{at}" for at in (2, 1, 3)]


async def test_who_observes_sends_and_says_what_it_would_have_stopped(
    guard: PumpingStore, lines: Lines
) -> None:
    """No block is put, so that a policy can be tried out."""
    before = len(await guard.entries(EntryKind.BLOCK, most=200))
    found = [await ask(guard, lines(at), AtBlock.OBSERVE) for at in range(FLOOR + 2)]
    assert all(isinstance(one, Passed) for one in found)
    assert [isinstance(one, Passed) and one.observed for one in found] == [None] * FLOOR + ["budget"] * 2
    assert len(await guard.entries(EntryKind.BLOCK, most=200)) == before


async def test_a_stricter_scope_is_told_first(redis: RedisConnection, lines: Lines) -> None:
    """Where several would stop a message, the block is put on the narrowest, which hurts the fewest."""
    guard = PumpingStore(redis, _with(floor=1))
    assert isinstance(await ask(guard, lines(1)), Passed)
    block = await ask(guard, lines(1))
    assert isinstance(block, Entry)
    assert block.scope is PumpingScope.NEIGHBOURS


def _with(**numbers: int) -> PumpingPolicy:
    budgets = {scope: replace(rule, **numbers) for scope, rule in SHIPPED.budgets.items()}
    return replace(SHIPPED, budgets=MappingProxyType(budgets))


async def test_a_payers_second_try_that_is_not_sent_leaves_the_first_one_counted(
    guard: PumpingStore, lines: Lines
) -> None:
    """Four tries count as one, so what is given back of them is the one only when nothing else is left."""
    await ask(guard, lines(0))
    second = await ask(guard, lines(0))
    assert isinstance(second, Passed)
    await guard.give_back(second)
    others = [await ask(guard, lines(at)) for at in range(1, FLOOR + 1)]
    assert [isinstance(one, Passed) for one in others] == [True] * (FLOOR - 1) + [False]


async def test_a_block_stands_against_what_nobody_answers(guard: PumpingStore, lines: Lines) -> None:
    """Asking counts nothing but what the block stops, and what is allowed stands free."""
    assert [await guard.standing(lines(at)) for at in range(3 * FLOOR)] == [None] * (3 * FLOOR)
    assert isinstance(await ask(guard, lines(0)), Passed), "nothing was counted"
    for at in range(1, FLOOR + 1):
        found = await ask(guard, lines(at))
    assert isinstance(found, Entry)
    assert await guard.standing(lines(99)) == "budget"
    block = await guard.find(EntryKind.BLOCK, found.id)
    assert block is not None
    assert block.refused == 2
    await guard.allow(lines(0).subjects[1], entry_id=f"alw_{secrets.token_hex(16)}", why="ours", seconds=60)
    assert await guard.standing(lines(99)) is None
