"""What is learned of payers and devices, on the real Valkey: exact under parallel load, small, and gone by itself."""

import asyncio
import secrets
import statistics

import pytest
from redis.crc import key_slot

from sca_service.challenges.redis_store import _challenge_key
from sca_service.kernel.connections import RedisConnection
from sca_service.policy.risk import LineQuestion, MemoryRule
from sca_service.risk.memory import (
    AGENTS,
    COUNTRIES,
    DEVICES,
    MOST_REMEMBERED,
    PAYEES,
    Location,
    SubjectMemory,
)
from sca_service.risk.model import AnswerState, LineAnswer, MarkedKind, Standing
from sca_service.risk.redis_store import (
    MOST_AMOUNT_MINOR,
    LineStore,
    RiskStore,
    SubjectKind,
    Subjects,
    short,
)
from tests.storeroom import eventually, keys_of, new_challenge, new_payer

RULE = MemoryRule(payer_days=90, subject_days=30, report_days=180)
DAY = 86_400
MOST_BYTES = 2_048
RACERS = 50
COUNTED = tuple(kind for kind in SubjectKind if kind is not SubjectKind.PHONE)
BERLIN = Location(52.52, 13.4)


@pytest.fixture
def store(redis: RedisConnection) -> RiskStore:
    """What learns."""
    return RiskStore(redis, RULE)


def pseudonym() -> str:
    """A name that no other test has."""
    return secrets.token_hex(16)


def subjects(payer: str | None = None, **others: str) -> Subjects:
    """A payer with a device, a payee and an address of their own."""
    held = {kind: others.get(kind.value, pseudonym()) for kind in SubjectKind}
    return Subjects(payer or new_payer(), held, agent=others.get("agent", pseudonym()), country="DE")


async def keys_about(redis: RedisConnection, one: Subjects) -> list[str]:
    """Every key of a payer and of what the requests came from."""
    found = []
    for name in (one.payer, *one.others.values()):
        found += [key.decode() for key in await keys_of(redis, f"*{name}*")]
    return sorted(found)


async def test_what_was_never_seen_is_not_remembered(store: RiskStore) -> None:
    """Nothing is counted, nothing known."""
    memory = await store.recall(subjects())
    assert memory.payer.first_seen_at == memory.payer.approvals == memory.payer.requests_day == 0
    assert set(memory.others) == set(SubjectKind)
    assert all(one.payers == one.requests_hour == one.reports == 0 for one in memory.others.values())


async def test_a_request_is_counted_with_all_it_comes_from(store: RiskStore) -> None:
    """Payer, device, payee and address, and no line; a request is no reason to trust any of them."""
    one = subjects()
    await store.meet(one, amount_minor=4_999)
    await store.meet(one, amount_minor=1)
    await store.meet(one, amount_minor=None)
    memory = await store.recall(one)
    payer = memory.payer
    assert (payer.requests_hour, payer.requests_day, payer.amount_day_minor, payer.ips) == (3, 3, 5_000, 1)
    assert (payer.approvals, payer.payments) == (0, 0)
    assert payer.now - payer.first_seen_at <= 5
    assert not any(payer.seen.values())
    for kind in COUNTED:
        assert (memory.others[kind].requests_hour, memory.others[kind].payers) == (3, 1)
    assert memory.others[SubjectKind.PHONE] == SubjectMemory()


async def test_an_approval_is_what_the_payer_is_used_to(store: RiskStore) -> None:
    """Amount, device, payee, agent, country, hour and place are learned from nothing else."""
    one = subjects()
    await store.approved(one, amount_minor=4_999, location=BERLIN)
    payer = (await store.recall(one)).payer
    assert (payer.approvals, payer.payments, payer.mean_minor, payer.deviation_minor) == (1, 1, 4_999, 0)
    assert payer.knows(DEVICES, short(one.others[SubjectKind.DEVICE]))
    assert payer.knows(PAYEES, short(one.others[SubjectKind.PAYEE]))
    assert payer.knows(AGENTS, short(one.agent))
    assert payer.knows(COUNTRIES, "DE")
    assert payer.hours in (1 << payer.now // 3600 % 24, 1 << (payer.now - 60) // 3600 % 24)
    assert payer.location == BERLIN
    assert payer.now - payer.located_at <= 5
    assert payer.requests_day == 0


async def test_what_was_not_given_is_not_learned(store: RiskStore) -> None:
    """A login without a device leaves nothing but that it was approved."""
    one = Subjects(new_payer(), {})
    await store.approved(one, amount_minor=None, location=None)
    payer = (await store.recall(one)).payer
    assert (payer.approvals, payer.payments, payer.location) == (1, 0, None)
    assert not any(payer.seen.values())


async def test_the_one_not_seen_longest_makes_place(store: RiskStore, redis: RedisConnection) -> None:
    """So many devices are remembered; the oldest goes, whichever came first."""
    payer = new_payer()
    devices = [subjects(payer, payee="p" * 32, agent="a" * 32) for _ in range(MOST_REMEMBERED[DEVICES] + 1)]
    names = [short(one.others[SubjectKind.DEVICE]) for one in devices]
    for at, one in enumerate(devices[:-1]):
        await store.approved(one, amount_minor=None, location=None)
        key = f"{{p{int(payer[:2], 16) % 64:02d}}}:risk:{payer}"
        await redis.command("HINCRBY", key, f"{DEVICES}{names[at]}", -1_000 if at == 3 else -100 - at)
    await store.approved(devices[-1], amount_minor=None, location=None)
    known = (await store.recall(devices[0])).payer.seen[DEVICES]
    assert known == set(names) - {names[3]}
    await store.approved(devices[0], amount_minor=None, location=None)
    assert (await store.recall(devices[0])).payer.seen[DEVICES] == known


async def read_then_write(redis: RedisConnection, one: Subjects, amount_minor: int) -> None:
    """An approval as it must not be learned: what decides is read first and written afterwards."""
    key = f"{{p{int(one.payer[:2], 16) % 64:02d}}}:risk:{one.payer}"
    count, mean, squares, approvals = (
        float(kept or 0) for kept in await redis.command("HMGET", key, "n", "m", "q", "a")
    )
    delta = amount_minor - mean
    mean += delta / (count + 1)
    squares += delta * (amount_minor - mean)
    await redis.command("HSET", key, "n", int(count) + 1, "m", repr(mean), "q", repr(squares))
    await redis.command("HSET", key, "a", int(approvals) + 1)


@pytest.mark.parametrize("is_atomic", [True, False])
@pytest.mark.race
async def test_of_fifty_approvals_at_once_none_is_lost(
    store: RiskStore, redis: RedisConnection, is_atomic: bool
) -> None:
    """Mean and deviation are those of all of them; without the atomic step, the same race loses some."""
    one = subjects()
    amounts = [100 + 37 * number % 1_009 for number in range(RACERS)]
    await asyncio.gather(
        *(
            store.approved(one, amount_minor=amount, location=None)
            if is_atomic
            else read_then_write(redis, one, amount)
            for amount in amounts
        )
    )
    payer = (await store.recall(one)).payer
    exact = (payer.approvals, payer.payments) == (RACERS, RACERS)
    exact = exact and payer.mean_minor == pytest.approx(statistics.fmean(amounts))
    exact = exact and payer.deviation_minor == pytest.approx(statistics.stdev(amounts))
    assert exact is is_atomic


@pytest.mark.race
async def test_of_fifty_requests_at_once_none_is_lost(store: RiskStore) -> None:
    """Counts and sums, of every one that they come from."""
    one = subjects()
    await asyncio.gather(*(store.meet(one, amount_minor=number) for number in range(RACERS)))
    memory = await store.recall(one)
    assert memory.payer.requests_day == RACERS
    assert memory.payer.amount_day_minor == sum(range(RACERS))
    assert all(memory.others[kind].requests_hour == RACERS for kind in COUNTED)


async def test_amounts_of_any_size_are_learned(store: RiskStore) -> None:
    """More than the scripts' numbers hold exactly counts as the most that they do."""
    one = subjects()
    for _ in range(3):
        await store.meet(one, amount_minor=10**30)
        await store.approved(one, amount_minor=10**30, location=None)
    payer = (await store.recall(one)).payer
    assert payer.amount_day_minor == 3 * MOST_AMOUNT_MINOR
    assert (payer.mean_minor, payer.deviation_minor) == (MOST_AMOUNT_MINOR, 0)


async def fill(store: RiskStore, redis: RedisConnection, payer: str) -> Subjects:
    """A payer of whom as much is remembered as there can be."""
    one = subjects(payer)
    for _ in range(max(MOST_REMEMBERED.values()) + 2):
        one = subjects(payer)
        await store.meet(one, amount_minor=MOST_AMOUNT_MINOR - 1)
        await store.approved(one, amount_minor=123_456, location=Location(-52.52, -113.41))
        await store.approved(one, amount_minor=7, location=Location(-52.52, -113.41))
    for country in ("FR", "IT", "ES", "US", "JP"):
        abroad = Subjects(payer, {}, country=country)
        await store.approved(abroad, amount_minor=None, location=None)
    await store.report_payer(payer)
    await store.copy(Standing(MarkedKind.PAYER, payer, 2**40, 2**33, 1_000, 2**33))
    return one


async def test_every_key_goes_away_by_itself_and_holds_no_name(
    store: RiskStore, redis: RedisConnection
) -> None:
    """A payer's after 90 days; what is counted of others after two, since no fact looks farther back."""
    one = subjects()
    await store.meet(one, amount_minor=1)
    await store.approved(one, amount_minor=1, location=BERLIN)
    keys = await keys_about(redis, one)
    assert len(keys) == 2 + len(COUNTED)
    for key in keys:
        ttl = await redis.command("TTL", key)
        days = 90 if ":risk:" in key else 2
        assert (days - 1) * DAY < ttl <= days * DAY, key


async def test_a_payers_keys_lie_with_the_payers_challenges(store: RiskStore, redis: RedisConnection) -> None:
    """One slot; everything else has a slot of its own, which its own keys share."""
    one = subjects()
    await store.meet(one, amount_minor=1)
    challenge, _ = new_challenge(one.payer)
    slots = {key_slot(key) for key in await keys_of(redis, f"*{one.payer}*")}
    assert slots == {key_slot(_challenge_key(challenge).encode())}
    for kind in COUNTED:
        name = one.others[kind]
        assert len({key_slot(key) for key in await keys_of(redis, f"*{kind}:{name}*")}) == 1


async def test_a_report_counts_for_its_time_and_outlives_the_rest(
    store: RiskStore, redis: RedisConnection
) -> None:
    """Reports add up; what is learned afterwards does not shorten them, and the last of them starts the time anew."""
    one = subjects()
    payee = one.others[SubjectKind.PAYEE]
    assert await store.report(SubjectKind.PAYEE, payee) == 1
    assert await store.report(SubjectKind.PAYEE, payee) == 2
    await store.meet(one, amount_minor=1)
    key = f"{{risk:payee:{payee}}}"
    assert await redis.command("TTL", key) > 179 * DAY
    assert (await store.recall(one)).others[SubjectKind.PAYEE].reports == 2
    await redis.command("HINCRBY", key, "u", -180 * DAY - 1)
    assert (await store.recall(one)).others[SubjectKind.PAYEE].reports == 0
    assert await store.report(SubjectKind.PAYEE, payee) == 1


async def test_one_payer_s_word_on_an_address_counts_once(store: RiskStore) -> None:
    """Whoever says "not me" again and again has said it once: others share the address, and would be let down."""
    one, others = subjects(), [new_payer() for _ in range(3)]
    address = one.others[SubjectKind.IP]
    marks = [store.report(SubjectKind.IP, address, by=one.payer) for _ in range(RACERS)]
    assert set(await asyncio.gather(*marks)) == {1}
    for payer in others:
        await store.report(SubjectKind.IP, address, by=payer)
    assert (await store.recall(one)).others[SubjectKind.IP].reports == 4


async def test_a_word_counts_again_after_its_time(store: RiskStore, redis: RedisConnection) -> None:
    """Once the reports are over, the same payer may report anew."""
    payer, device = new_payer(), pseudonym()
    key = f"{{risk:device:{device}}}"
    await store.report(SubjectKind.DEVICE, device, by=payer)
    assert 0 < await redis.command("TTL", f"{key}:by") <= 180 * DAY
    await redis.command("HINCRBY", key, "u", -180 * DAY - 1)
    assert await store.report(SubjectKind.DEVICE, device, by=payer) == 1


@pytest.mark.race
async def test_fifty_reports_at_once_are_fifty(store: RiskStore) -> None:
    """None is lost."""
    payer = new_payer()
    await asyncio.gather(*(store.report_payer(payer) for _ in range(RACERS)))
    assert (await store.recall(Subjects(payer, {}))).payer.reports == RACERS


async def test_of_two_copies_the_later_standing_counts(store: RiskStore) -> None:
    """Whichever comes last: an entry that was taken off stays off, and "not me" adds to what was reported."""
    one = subjects()
    phone, far = one.others[SubjectKind.PHONE], 2**33
    await store.report(SubjectKind.PHONE, phone)
    for standing, expected in (
        (Standing(MarkedKind.PHONE, phone, 5, listed_until=far, reports=3, reports_until=far), (True, 4)),
        (Standing(MarkedKind.PHONE, phone, 7, reports=1, reports_until=far), (False, 2)),
        (Standing(MarkedKind.PHONE, phone, 6, listed_until=far, reports=9, reports_until=far), (False, 2)),
        (Standing(MarkedKind.PHONE, phone, 8, listed_until=1, reports=4, reports_until=1), (False, 1)),
    ):
        await store.copy(standing)
        found = (await store.recall(one)).others[SubjectKind.PHONE]
        assert (found.is_listed, found.reports) == expected


async def test_a_copy_lives_as_long_as_it_counts(store: RiskStore, redis: RedisConnection) -> None:
    """And what is over for two days, so that no older one takes its place."""
    now = (await store.recall(subjects())).payer.now
    for until, days in ((now + 400 * DAY, 400), (now - 9, 2)):
        device = pseudonym()
        await store.copy(Standing(MarkedKind.DEVICE, device, 1, listed_until=until))
        ttl = await redis.command("TTL", f"{{risk:device:{device}}}")
        assert abs(ttl - days * DAY) < 600


async def test_a_payer_can_be_forgotten(store: RiskStore, redis: RedisConnection) -> None:
    """Nothing of the payer is left (GDPR Art. 17); the device's counters hold no payer that could be read."""
    payer = new_payer()
    await fill(store, redis, payer)
    await store.forget(payer)
    assert await keys_of(redis, f"*{payer}*") == []


async def remembers(memory: LineStore, name: str, expected: dict[LineQuestion, LineAnswer]) -> bool:
    """Whether these are the answers that are remembered."""
    return dict(await memory.find(name, tuple(LineQuestion))) == expected


async def test_an_operators_answer_is_remembered_for_its_time(redis: RedisConnection) -> None:
    """Yes, no, and that there was none; each question by itself."""
    memory, name = LineStore(redis), pseudonym()
    assert await memory.find(name, tuple(LineQuestion)) == {}
    assert await memory.find(name, ()) == {}
    expected = {
        LineQuestion.SIM_SWAP: LineAnswer(AnswerState.ANSWERED, True),
        LineQuestion.DEVICE_SWAP: LineAnswer(AnswerState.ANSWERED, False),
        LineQuestion.CALL_FORWARDING: LineAnswer(AnswerState.NO_ANSWER),
        LineQuestion.NUMBER_RECYCLING: LineAnswer(AnswerState.NOT_APPLICABLE),
    }
    for question, answer in expected.items():
        memory.remember(name, question, answer, seconds=60)

    async def is_kept() -> bool:
        return await remembers(memory, name, expected)

    await eventually(is_kept)
    keys = await keys_of(redis, f"*{name}*")
    assert len({key_slot(key) for key in keys}) == 1
    assert all([0 < await redis.command("TTL", key) <= 60 for key in keys])
