"""Idempotency keys on the real Redis: one request works, the others are told so or get its answer."""

import asyncio
import hashlib
import secrets

import msgspec
import pytest

from sca_service.api.answer import HttpAnswer
from sca_service.api.idempotency import Idempotency
from sca_service.api.redis_store import IdempotencyStore
from sca_service.challenges.issue import Caller
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import (
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    RequestInFlight,
    StoreUnavailable,
)
from sca_service.kernel.keyring import Keyring
from tests.harness import Deployment

BANK = Caller("bank", "req_1")


class Creation:
    """Something that is created under a name, and remembers under which. A class because it remembers."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.error: Exception | None = None
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, name: str | None) -> HttpAnswer:
        """Create it, or fail as wanted."""
        self.names.append(name)
        self.began.set()
        await self.may_end.wait()
        if self.error:
            raise self.error
        return HttpAnswer(201, b'{"number":%d}' % len(self.names), (("Location", "/v1/x"),))


@pytest.fixture
def creation() -> Creation:
    """What is created."""
    return Creation()


@pytest.fixture
def keyring(quiet_stores: Deployment) -> Keyring:
    """The keys."""
    return quiet_stores.keyring


@pytest.fixture
def idempotency(redis: RedisConnection, keyring: Keyring) -> Idempotency:
    """What runs a request once."""
    return Idempotency(IdempotencyStore(redis), keyring)


def new_key() -> str:
    """A key nobody has used."""
    return f"key-{secrets.token_hex(8)}"


async def sent_until_free(idempotency: Idempotency, key: str, creation: Creation) -> HttpAnswer:
    """A client that is told `request-in-flight` sends its request again."""
    for _ in range(500):
        try:
            return await idempotency.once(BANK, key, b"body", creation)
        except RequestInFlight:
            await asyncio.sleep(0.01)
    raise AssertionError("the key was never free")


async def forget(redis: RedisConnection, keyring: Keyring, key: str) -> None:
    """Let the 24 hours of a key go by."""
    name = keyring.pseudonym("idempotency key", BANK.client, key)
    assert await redis.command("DEL", f"idempotency:{name}") == 1


async def test_the_same_request_gets_the_same_answer(idempotency: Idempotency, creation: Creation) -> None:
    """Status, body and headers are those of the first, with a header that says so; nothing is done again."""
    key = new_key()
    first = await idempotency.once(BANK, key, b"body", creation)
    again = await idempotency.once(BANK, key, b"body", creation)
    assert len(creation.names) == 1
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers == (*first.headers, ("Idempotency-Replayed", "true"))


async def test_without_a_key_every_request_is_its_own(idempotency: Idempotency, creation: Creation) -> None:
    """Nobody is protected who does not ask for it."""
    for _ in range(2):
        await idempotency.once(BANK, None, b"body", creation)
    assert creation.names == [None, None]


async def test_another_body_under_the_same_key_is_refused(
    idempotency: Idempotency, creation: Creation
) -> None:
    """A key belongs to one request."""
    key = new_key()
    await idempotency.once(BANK, key, b"body", creation)
    with pytest.raises(IdempotencyKeyReused):
        await idempotency.once(BANK, key, b"another body", creation)
    assert len(creation.names) == 1


async def test_another_client_has_keys_of_its_own(idempotency: Idempotency, creation: Creation) -> None:
    """What one bank calls its requests says nothing about another's."""
    key = new_key()
    await idempotency.once(BANK, key, b"body", creation)
    await idempotency.once(Caller("other-bank", "req_2"), key, b"other", creation)
    assert len(set(creation.names)) == 2


@pytest.mark.race
async def test_while_one_works_the_others_are_told_so(idempotency: Idempotency, creation: Creation) -> None:
    """Of many at once one creates; nobody waits for it."""
    key = new_key()
    creation.may_end.clear()
    first = asyncio.create_task(idempotency.once(BANK, key, b"body", creation))
    await creation.began.wait()
    others = await asyncio.gather(
        *(idempotency.once(BANK, key, b"body", creation) for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(other, RequestInFlight) for other in others)
    creation.may_end.set()
    assert (await first).status == 201
    assert len(creation.names) == 1


async def test_a_refused_request_frees_its_key(idempotency: Idempotency, creation: Creation) -> None:
    """Nothing was done, so the corrected request may use the key."""
    key = new_key()
    creation.error = NotFound()
    with pytest.raises(NotFound):
        await idempotency.once(BANK, key, b"body", creation)
    creation.error = None
    assert (await idempotency.once(BANK, key, b"corrected body", creation)).status == 201


async def test_what_may_have_been_done_is_asked_for_by_the_same_name(
    idempotency: Idempotency, creation: Creation
) -> None:
    """A store that went away half-way: the repeated request finds what it had created."""
    key = new_key()
    creation.error = StoreUnavailable("away")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await sent_until_free(idempotency, key, creation)
    with pytest.raises(IdempotencyKeyReused):
        await idempotency.once(BANK, key, b"another body", creation)
    creation.error = None
    await sent_until_free(idempotency, key, creation)
    assert len(creation.names) == 3
    assert len(set(creation.names)) == 1


async def test_a_key_that_is_used_again_after_its_time_creates_something_new(
    idempotency: Idempotency, creation: Creation, redis: RedisConnection, keyring: Keyring
) -> None:
    """Under the old name it would get the old code, and its approval would count as a second one."""
    key = new_key()
    await idempotency.once(BANK, key, b"body", creation)
    await forget(redis, keyring, key)
    await asyncio.sleep(0.002)
    again = await idempotency.once(BANK, key, b"body", creation)
    assert again.body == b'{"number":2}'
    assert len(set(creation.names)) == 2


@pytest.mark.parametrize("key", ["", " ", "with space", "k" * 256, "schlüssel", "line\nbreak"])
async def test_a_key_that_is_none_is_refused(idempotency: Idempotency, creation: Creation, key: str) -> None:
    """Nothing is created under it."""
    with pytest.raises(InvalidInput):
        await idempotency.once(BANK, key, b"body", creation)
    assert creation.names == []


async def test_the_stored_answer_is_sealed(
    idempotency: Idempotency, creation: Creation, redis: RedisConnection, keyring: Keyring
) -> None:
    """It holds what the payer pays for and to whom."""
    key = new_key()
    await idempotency.once(BANK, key, b"body", creation)
    name = keyring.pseudonym("idempotency key", BANK.client, key)
    assert b"number" not in await redis.command("GET", f"idempotency:{name}")


async def test_what_is_created_is_named_in_the_order_of_its_time(
    idempotency: Idempotency, creation: Creation, redis: RedisConnection
) -> None:
    """By when its key was claimed first; what follows is a secret of the service's."""
    before_ms = await redis.now_ms()
    for _ in range(2):
        await idempotency.once(BANK, new_key(), b"body", creation)
    first, second = map(str, creation.names)
    assert before_ms <= int(first[:12], 16) <= int(second[:12], 16) <= await redis.now_ms()
    assert first[12:] != second[12:]


async def test_what_a_release_that_names_by_chance_may_have_created_is_found(
    idempotency: Idempotency, creation: Creation, redis: RedisConnection, keyring: Keyring
) -> None:
    """Its api was killed half-way, and the request comes to this one: as often as it is sent."""
    key = new_key()
    name = keyring.pseudonym("idempotency key", BANK.client, key)
    since_ms = await redis.now_ms() - 10_000
    fingerprint = keyring.pseudonym("request", hashlib.sha256(b"body").hexdigest())
    record = {"fingerprint": fingerprint, "since": since_ms, "lease_ends_at": 0}
    await redis.command("SET", f"idempotency:{name}", msgspec.msgpack.encode(record))
    creation.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await idempotency.once(BANK, key, b"body", creation)
    creation.error = None
    await sent_until_free(idempotency, key, creation)
    assert creation.names == [keyring.pseudonym("created under", name, str(since_ms))] * 2
