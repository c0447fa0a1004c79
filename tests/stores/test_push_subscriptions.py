"""Push subscriptions in PostgreSQL: sealed, at most ten for a payer whoever adds at once, one payer for a device."""

import asyncio
import secrets
from dataclasses import dataclass

import asyncpg
import msgspec
import pytest

from sca_service.delivery.channels.push.model import (
    MOST_SUBSCRIPTIONS,
    Address,
    ApnsAddress,
    FcmAddress,
    WebPushAddress,
)
from sca_service.delivery.channels.push.postgres_store import SubscriptionStore
from sca_service.delivery.channels.push.subscriptions import (
    USED_EVERY_MS,
    PushSubscriptions,
    Registration,
)
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring, create_keyring_text
from tests.harness import Deployment

CLIENT = "bank"
ORIGIN = {"actor": "client:bank", "request": "req_test"}


@dataclass
class Jumped:
    """A clock that is ahead by some time."""

    ahead_ms: int = 0

    def now_ms(self) -> int:
        """The time there."""
        return SystemClock().now_ms() + self.ahead_ms


@pytest.fixture
def clock() -> Jumped:
    """A clock that a test may set ahead."""
    return Jumped()


@pytest.fixture
def keyring(quiet_stores: Deployment) -> Keyring:
    """The keys."""
    return quiet_stores.keyring


@pytest.fixture
def subscriptions(pool: asyncpg.Pool, keyring: Keyring, clock: Jumped) -> PushSubscriptions:
    """What the api and the push suppliers work with."""
    return PushSubscriptions(store=SubscriptionStore(pool), keyring=keyring, clock=clock)


@pytest.fixture
def psu() -> str:
    """A payer that no other test has."""
    return f"cust_{secrets.token_hex(6)}"


def app(name: str = "") -> FcmAddress:
    """An app's registration that no other test has."""
    return FcmAddress(f"{name or 'app'}:{secrets.token_hex(20)}")


async def add(subscriptions: PushSubscriptions, psu: str, address: Address) -> str:
    """Register a device and tell its id."""
    return (await subscriptions.add(Registration(CLIENT, psu, address), ORIGIN)).id


async def events(pool: asyncpg.Pool, payer: str) -> list[dict[str, str]]:
    """What is on record about a payer, in its order."""
    rows = await pool.fetch("SELECT body FROM audit_events WHERE psu = $1 ORDER BY txid, position", payer)
    return [msgspec.json.decode(row["body"]) for row in rows]


async def test_what_is_registered_is_read_back(
    subscriptions: PushSubscriptions, keyring: Keyring, psu: str
) -> None:
    """Every kind with all it needs, the newest first; a supplier finds its own kind by the payer's pseudonym."""
    addresses: list[Address] = [
        WebPushAddress("https://push.example/send/abc", b"\4" * 65, b"a" * 16),
        app(),
        ApnsAddress("ab" * 32),
    ]
    ids = [await add(subscriptions, psu, address) for address in addresses]
    found = await subscriptions.all_of(CLIENT, psu)
    assert [(one.id, one.address) for one in found] == list(zip(ids, addresses, strict=True))[::-1]
    payer = keyring.pseudonym("payer", CLIENT, psu)
    (fcm,) = await subscriptions.of(payer, FcmAddress)
    assert (fcm.id, fcm.address, fcm.used_at_ms) == (ids[1], addresses[1], 0)
    assert await subscriptions.all_of("other-bank", psu) == []


async def test_no_address_is_stored_in_clear(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, psu: str
) -> None:
    """Neither in the table nor in the log."""
    address = app("readable")
    await add(subscriptions, psu, address)
    stored = await pool.fetch("SELECT * FROM push_subscriptions") + await pool.fetch(
        "SELECT body FROM audit_events"
    )
    assert not any(address.registration in str(tuple(row)) for row in stored)
    assert address.registration not in repr(await subscriptions.all_of(CLIENT, psu))


async def test_the_same_device_again_is_the_same_subscription(
    subscriptions: PushSubscriptions, psu: str
) -> None:
    """An app registers whenever it starts; a browser's new keys replace the old ones."""
    old = WebPushAddress(f"https://push.example/{psu}", b"\4" * 65, b"a" * 16)
    new = WebPushAddress(old.endpoint, b"\4" * 65, b"b" * 16)
    first = await add(subscriptions, psu, old)
    other = await add(subscriptions, psu, app())
    assert await add(subscriptions, psu, new) == first
    found = await subscriptions.all_of(CLIENT, psu)
    assert [one.id for one in found] == [first, other]
    assert found[0].address == new


async def test_a_device_has_one_payer(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, keyring: Keyring, psu: str
) -> None:
    """Whoever registers it last has it, and the log says that it moved; another client's device is another one."""
    address, heir = app(), psu + "-heir"
    before = await add(subscriptions, psu, address)
    after = await add(subscriptions, heir, address)
    elsewhere = await subscriptions.add(Registration("other-bank", psu, address), ORIGIN)
    assert len({before, after, elsewhere.id}) == 3
    assert await subscriptions.all_of(CLIENT, psu) == []
    assert [one.id for one in await subscriptions.all_of(CLIENT, heir)] == [after]
    assert [one.id for one in await subscriptions.all_of("other-bank", psu)] == [elsewhere.id]
    told = await events(pool, keyring.pseudonym("payer", CLIENT, psu))
    assert [(one["type"], one["subscription"], one.get("reason")) for one in told] == [
        ("push_subscription.added", before, None),
        ("push_subscription.removed", before, "moved"),
    ]
    assert told[0]["actor"] == "client:bank"
    assert not await subscriptions.remove(CLIENT, heir, before, ORIGIN)


async def test_the_eleventh_device_puts_the_oldest_out(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, keyring: Keyring, psu: str
) -> None:
    """Registering anew makes young again; what is put out is on record."""
    addresses = [app() for _ in range(MOST_SUBSCRIPTIONS)]
    ids = [await add(subscriptions, psu, address) for address in addresses]
    await add(subscriptions, psu, addresses[0])
    newest = await add(subscriptions, psu, app())
    found = [one.id for one in await subscriptions.all_of(CLIENT, psu)]
    assert found == [newest, ids[0], *reversed(ids[2:])]
    (removed,) = [
        event
        for event in await events(pool, keyring.pseudonym("payer", CLIENT, psu))
        if event["type"] == "push_subscription.removed"
    ]
    assert (removed["subscription"], removed["reason"]) == (ids[1], "replaced")


@pytest.mark.race
async def test_parallel_additions_leave_at_most_ten(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, keyring: Keyring, psu: str
) -> None:
    """Thirty devices at once over six connections: ten stay, and the table agrees with the log."""
    await asyncio.gather(*(add(subscriptions, psu, app()) for _ in range(30)))
    payer = keyring.pseudonym("payer", CLIENT, psu)
    rows = await pool.fetch("SELECT id FROM push_subscriptions WHERE psu = $1", payer)
    assert len(rows) == MOST_SUBSCRIPTIONS
    told = await events(pool, payer)
    added = {event["subscription"] for event in told if event["type"] == "push_subscription.added"}
    removed = {event["subscription"] for event in told if event["type"] == "push_subscription.removed"}
    assert len(added) == 30
    assert added - removed == {row["id"] for row in rows}


@pytest.mark.race
async def test_parallel_additions_of_one_device_make_one(subscriptions: PushSubscriptions, psu: str) -> None:
    """The same registration ten times at once."""
    address = app()
    ids = await asyncio.gather(*(add(subscriptions, psu, address) for _ in range(10)))
    assert len(set(ids)) == 1
    assert len(await subscriptions.all_of(CLIENT, psu)) == 1


async def test_only_its_payer_can_remove_a_device(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, keyring: Keyring, psu: str
) -> None:
    """An unknown id, another payer's and another client's are all no device; removing is on record once."""
    device = await add(subscriptions, psu, app())
    assert not await subscriptions.remove(CLIENT, psu + "-other", device, ORIGIN)
    assert not await subscriptions.remove("other-bank", psu, device, ORIGIN)
    assert not await subscriptions.remove(CLIENT, psu, "psb_unknown", ORIGIN)
    assert await subscriptions.remove(CLIENT, psu, device, ORIGIN)
    assert not await subscriptions.remove(CLIENT, psu, device, ORIGIN)
    told = await events(pool, keyring.pseudonym("payer", CLIENT, psu))
    assert [event["type"] for event in told] == ["push_subscription.added", "push_subscription.removed"]
    assert told[1]["reason"] == "removed"


async def test_a_device_that_is_gone_is_forgotten(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, keyring: Keyring, psu: str
) -> None:
    """The worker says so, and the log knows that it was not the client."""
    device = await add(subscriptions, psu, app())
    await subscriptions.gone(device)
    await subscriptions.gone(device)
    assert await subscriptions.all_of(CLIENT, psu) == []
    told = await events(pool, keyring.pseudonym("payer", CLIENT, psu))
    assert [(event["actor"], event.get("reason")) for event in told] == [
        ("client:bank", None),
        ("worker", "gone"),
    ]


async def test_use_is_noted_once_an_hour(subscriptions: PushSubscriptions, clock: Jumped, psu: str) -> None:
    """Not every message costs a write."""
    await add(subscriptions, psu, app())
    await subscriptions.used(await subscriptions.all_of(CLIENT, psu))
    (first,) = await subscriptions.all_of(CLIENT, psu)
    assert first.used_at_ms >= first.registered_at_ms
    await subscriptions.used([first])
    (second,) = await subscriptions.all_of(CLIENT, psu)
    assert second == first
    clock.ahead_ms = USED_EVERY_MS + 60_000
    await subscriptions.used([second])
    (third,) = await subscriptions.all_of(CLIENT, psu)
    assert third.used_at_ms > second.used_at_ms


async def test_a_device_whose_key_is_gone_does_not_hide_the_others(
    subscriptions: PushSubscriptions, pool: asyncpg.Pool, psu: str
) -> None:
    """What no longer opens is left out."""
    kept = await add(subscriptions, psu, app())
    lost = await add(subscriptions, psu, app())
    sealed = Keyring.parse(create_keyring_text()).seal(b"x", lost)
    await pool.execute("UPDATE push_subscriptions SET address = $2 WHERE id = $1", lost, sealed)
    assert [one.id for one in await subscriptions.all_of(CLIENT, psu)] == [kept]


async def test_a_store_that_is_away_is_said_so(keyring: Keyring, quiet_stores: Deployment, psu: str) -> None:
    """Closed connections are StoreUnavailable, not a device less."""
    pool = await asyncpg.create_pool(quiet_stores.servers.postgres.url, min_size=1, max_size=1)
    away = PushSubscriptions(store=SubscriptionStore(pool), keyring=keyring, clock=SystemClock())
    await pool.close()
    with pytest.raises(StoreUnavailable):
        await away.of(keyring.pseudonym("payer", CLIENT, psu), FcmAddress)
    with pytest.raises(StoreUnavailable):
        await add(away, psu, app())
