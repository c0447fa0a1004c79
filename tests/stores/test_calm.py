"""Answers are looked at before they are counted while no limit is near: when that ends, and when it comes back."""

import asyncio
import secrets

import pytest

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable, TooEarly
from sca_service.kernel.keyring import Keyring
from sca_service.limits.calm import TRUSTED_SECONDS, Calm
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.limits.subjects import answers_slot
from tests.storeroom import eventually, keys_of

HOUR_MS = 3_600_000
ROOM = 8


class Asked:
    """Counts how often it is asked, and answers when it is let."""

    def __init__(self, *, is_pressed: bool = False) -> None:
        self.count = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.pressed: bool | None = is_pressed

    async def is_pressed(self, slot: str) -> bool:
        """As it was told to say; away where it was told nothing."""
        self.count += 1
        pressed = self.pressed
        await self.answers.wait()
        if pressed is None:
            raise StoreUnavailable("away")
        return pressed


@pytest.fixture
def client() -> str:
    """One that no other test has."""
    return f"bank-{secrets.token_hex(4)}"


@pytest.fixture
def limits(redis: RedisConnection) -> LimitStore:
    """What spends."""
    return LimitStore(redis)


def answers(keyring: Keyring, client: str, *, name: str = "verify-per-client") -> list[Limit]:
    """A limit on the client's answers, of eight."""
    slot = answers_slot(keyring, client)
    return [Limit(name, slot if name.endswith("client") else name, HOUR_MS, ROOM, slot=slot)]


async def spent(limits: LimitStore, wanted: list[Limit], times: int) -> list[bool]:
    """Of each that was spent, whether the process that spent it was told that this is more than half."""
    return [(await limits.spend(wanted)).is_pressed for _ in range(times)]


async def test_it_ends_when_more_than_half_is_spent(
    limits: LimitStore, keyring: Keyring, client: str
) -> None:
    """Every process hears of it from Redis, the one that spent it at once."""
    wanted, slot = answers(keyring, client), answers_slot(keyring, client)
    assert await spent(limits, wanted, 4) == [False] * 4
    assert not await limits.is_pressed(slot)
    assert await spent(limits, wanted, 1) == [True]
    assert await limits.is_pressed(slot)
    assert not await limits.is_pressed(answers_slot(keyring, "another")), "another bank's is its own"


async def test_what_is_given_back_brings_it_back_once_no_other_limit_is_near(
    limits: LimitStore, keyring: Keyring, client: str
) -> None:
    """Each limit that lies there counts by itself: an address that is near its end keeps all answers counted."""
    slot = answers_slot(keyring, client)
    ours, address = answers(keyring, client), answers(keyring, client, name="verify-per-ip")
    await spent(limits, ours, 6)
    await spent(limits, address, 5)
    limits.give_back(ours, times=2)
    assert await limits.is_pressed(slot)
    limits.give_back(address)

    async def is_calm() -> bool:
        return not await limits.is_pressed(slot)

    await eventually(
        is_calm
    )  # nobody waits for what is given back, and a server may have to be told the script


async def test_time_brings_it_back_and_nothing_is_left(
    limits: LimitStore, redis: RedisConnection, keyring: Keyring, client: str
) -> None:
    """What says so in Redis goes by itself when the limit is half spent only."""
    wanted, slot = answers(keyring, client), answers_slot(keyring, client)
    await spent(limits, wanted, 7)
    left_ms = await redis.command("PTTL", f"{{limit:{slot}}}:pressed")
    assert 2 * HOUR_MS < left_ms <= 3 * HOUR_MS
    limits.give_back(wanted, times=7)

    async def is_gone() -> bool:
        return bool(await redis.command("EXISTS", f"{{limit:{slot}}}:pressed") == 0)

    await eventually(is_gone)


async def test_a_limit_of_another_room_keeps_no_note(limits: LimitStore, redis: RedisConnection) -> None:
    """Only limits that lie together have it: nobody asks after the others."""
    limit = Limit("calls", secrets.token_hex(8), HOUR_MS, 1)
    await limits.spend([limit])
    assert await keys_of(redis, f"*{limit.subject}*") == [f"{{limit:{limit.subject}}}:calls".encode()]


async def test_who_asks_at_once_asks_once(keyring: Keyring) -> None:
    """Sixty-four answers in one moment cost one question, and none when the one who began to ask goes away."""
    store = Asked()
    store.answers.clear()
    calm = Calm(store, keyring)
    first, *others = [asyncio.create_task(calm.holds("bank")) for _ in range(64)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    store.answers.set()
    assert await asyncio.gather(*others) == [True] * 63
    assert store.count == 1


async def test_it_is_believed_for_a_moment_only(keyring: Keyring) -> None:
    """What was true before is asked anew."""
    store = Asked()
    calm = Calm(store, keyring)
    assert await calm.holds("bank")
    store.pressed = True
    await asyncio.sleep(TRUSTED_SECONDS)
    assert not await calm.holds("bank")


async def test_it_is_asked_anew_before_it_is_over(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where answers keep coming, none of them waits for what is asked: one begins to ask while it still holds."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    store = Asked()
    calm = Calm(store, keyring)
    assert await calm.holds("bank")
    store.answers.clear()
    now += TRUSTED_SECONDS * 0.7
    assert [await calm.holds("bank") for _ in range(3)] == [True] * 3, "nobody waits"
    await asyncio.sleep(0)
    assert store.count == 2, "one has asked anew"
    store.answers.set()
    await asyncio.sleep(0)
    now += TRUSTED_SECONDS * 0.4
    store.answers.clear()
    assert await calm.holds("bank"), "it is known as of when it was asked anew"


async def test_what_was_asked_before_it_ended_brings_nothing_back(keyring: Keyring) -> None:
    """The answer was on its way when an answer of this process spent the second half."""
    store = Asked()
    store.answers.clear()
    calm = Calm(store, keyring)
    asking = asyncio.create_task(calm.holds("bank"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calm.ends("bank")
    store.answers.set()
    await asking
    assert not await calm.holds("bank")


async def test_without_redis_nothing_is_known(keyring: Keyring) -> None:
    """Nobody is let through on what cannot be asked; the next one asks again."""
    store = Asked()
    store.pressed = None
    calm = Calm(store, keyring)
    with pytest.raises(StoreUnavailable):
        await calm.holds("bank")
    store.pressed = False
    assert await calm.holds("bank")


async def test_refused_is_pressed(limits: LimitStore, keyring: Keyring, client: str) -> None:
    """Who is refused had spent all of it, so all who ask hear that."""
    wanted = answers(keyring, client)
    await spent(limits, wanted, ROOM)
    with pytest.raises(TooEarly):
        await limits.spend(wanted)
    assert await limits.is_pressed(answers_slot(keyring, client))
