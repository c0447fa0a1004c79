"""The scripts that join an SMS centre's receipts to deliveries, on the real Valkey."""

import asyncio
import itertools
import secrets
from typing import Any

import pytest
from redis.crc import key_slot

from sca_service.delivery.channels.sms.smpp import redis_store
from sca_service.delivery.channels.sms.smpp.receipts import Heard, MessageId
from sca_service.delivery.channels.sms.smpp.redis_store import ReceiptStore, Taken
from sca_service.delivery.supplier import Receipt, ReceiptStatus
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring, create_keyring_text
from tests.storeroom import keys_of

NUMBER, OTHER = "4915100000001", "4915100000002"
KEYRING = Keyring.parse(create_keyring_text())
KEEP_MS = 3_600_000
SPELLINGS = [
    ("1A2B", "1A2B"),
    ("1A2B", "1a2b"),
    ("1A2B", "00001a2b"),
    ("1A2B", "6699"),
    ("6699", "1A2B"),
    ("0006699", "1A2B"),
    ("0", "00"),
    ("f" * 32, str(int("f" * 32, 16))),
]


@pytest.fixture
def store(redis: RedisConnection) -> ReceiptStore:
    """The receipts of a supplier that no other test has."""
    return a_store(redis)


def a_store(redis: RedisConnection) -> ReceiptStore:
    """As the fixture."""
    return ReceiptStore(f"smpp-{secrets.token_hex(8)}", redis, KEYRING, keep_ms=KEEP_MS)


def taken(message_id: str, number: str = NUMBER, **fields: Any) -> Taken:
    """A message that an SMS centre took, of a delivery that nobody else has."""
    own: dict[str, Any] = {"delivery_id": f"dlv_{secrets.token_hex(16)}", "attempt": 1}
    return Taken(MessageId.read(message_id), number=number, **(own | fields))


def heard(
    message_id: str, *numbers: str, status: ReceiptStatus = ReceiptStatus.DELIVERED, at_ms: int = 7
) -> Heard:
    """A receipt, by default to `NUMBER`."""
    return Heard(MessageId.read(message_id), status, at_ms, numbers or (NUMBER, "MyBank"))


async def all_keys(redis: RedisConnection, store: ReceiptStore) -> list[str]:
    """Every key of a store's supplier."""
    found = await keys_of(redis, store._tag.replace("{", "\\{") + "*")
    return [key.decode() for key in found]


@pytest.mark.parametrize(("answered", "told"), SPELLINGS)
@pytest.mark.parametrize("early", [False, True])
async def test_finds_the_delivery(store: ReceiptStore, answered: str, told: str, early: bool) -> None:
    """Whatever the spelling of the id, before the answer and after it, and as often as it is told afterwards."""
    message = taken(answered)
    expected = Receipt(store._supplier, message.delivery_id, ReceiptStatus.DELIVERED, 7)
    if early:
        assert await store.take(heard(told)) is None
        assert await store.register(message) == expected
    else:
        assert await store.register(message) is None
    assert await store.take(heard(told)) == expected
    assert await store.take(heard(told)) == expected


@pytest.mark.parametrize(
    "numbers",
    [
        (OTHER, "MyBank"),
        ("", ""),
        ("MyBank", "12345"),
    ],
)
@pytest.mark.parametrize("early", [False, True])
async def test_the_other_base_needs_the_number(
    store: ReceiptStore, numbers: tuple[str, str], early: bool
) -> None:
    """Without one that agrees it is the id of some other message."""
    if early:
        assert await store.take(heard("6699", *numbers)) is None
        assert await store.register(taken("1A2B")) is None
    else:
        await store.register(taken("1A2B"))
        assert await store.take(heard("6699", *numbers)) is None


async def test_the_number_decides_before_the_spelling(store: ReceiptStore) -> None:
    """One message's id in hexadecimal is another's in decimal."""
    first, second = taken("10", NUMBER), taken("16", OTHER)
    await store.register(first)
    await store.register(second)
    found = [await store.take(heard("16", NUMBER)), await store.take(heard("22", OTHER))]
    assert [receipt and receipt.delivery_id for receipt in found] == [first.delivery_id, second.delivery_id]


@pytest.mark.parametrize("numbers", [("", ""), ("491510000xxxx", "MyBank"), ("MyBank", "72255")])
async def test_no_number_to_compare(store: ReceiptStore, numbers: tuple[str, str]) -> None:
    """The spelling decides: a receipt may hide the number, or not have it."""
    message = taken("1A2B")
    await store.register(message)
    receipt = await store.take(heard("1a2b", *numbers))
    assert receipt
    assert receipt.delivery_id == message.delivery_id


@pytest.mark.parametrize("number", ["+4915100000001", "004915100000001", "015100000001", " 4915100000001 "])
async def test_numbers_are_written_in_many_ways(store: ReceiptStore, number: str) -> None:
    """And in either field: some centres swap sender and destination."""
    await store.register(taken("1A2B"))
    assert await store.take(heard("6699", number, "MyBank"))
    assert await store.take(heard("6699", "MyBank", number))


async def test_two_that_could_be_meant_are_none(store: ReceiptStore) -> None:
    """A receipt that fits two messages settles neither."""
    await store.register(taken("0AB"))
    await store.register(taken("00AB"))
    assert await store.take(heard("AB")) is None
    assert await store.take(heard("0AB"))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("early", [0, 1, 3])
async def test_a_long_text_is_delivered_with_its_last_part(
    store: ReceiptStore, order: tuple[int, ...], early: int
) -> None:
    """In whatever order its parts' receipts come, and however many of them before their answers."""
    parts = [taken(f"A{part}", delivery_id="dlv_1", part=part + 1, of=3) for part in range(3)]
    verdicts = [await store.take(heard(f"A{part}")) for part in order[:early]]
    verdicts += [await store.register(part) for part in parts]
    verdicts += [await store.take(heard(f"A{part}")) for part in order[early:]]
    assert [verdict.status for verdict in verdicts if verdict] == [ReceiptStatus.DELIVERED]


async def test_a_long_text_is_undelivered_with_one_part(store: ReceiptStore) -> None:
    """Whatever becomes of the others, and although it is told twice."""
    for part in range(3):
        await store.register(taken(f"A{part}", delivery_id="dlv_1", part=part + 1, of=3))
    assert await store.take(heard("A0")) is None
    assert await store.take(heard("A0")) is None, "the same part again"
    lost = await store.take(heard("A1", status=ReceiptStatus.UNDELIVERED))
    late = await store.take(heard("A2"))
    assert lost
    assert late
    assert lost.status is late.status is ReceiptStatus.UNDELIVERED


async def test_a_second_try_counts_its_own_parts(store: ReceiptStore) -> None:
    """A part of the first and one of the second are no whole text."""
    for attempt in (1, 2):
        for part in (1, 2):
            message = taken(f"{attempt}B{part}", delivery_id="dlv_1", part=part, of=2, attempt=attempt)
            await store.register(message)
    assert await store.take(heard("1B1")) is None
    assert await store.take(heard("2B2")) is None
    assert await store.take(heard("2B1"))


async def test_keys_have_one_slot_a_limit_and_no_numbers(redis: RedisConnection, store: ReceiptStore) -> None:
    """All of a supplier's go away by themselves, and none holds a number."""
    await store.register(taken("1A2B"))
    await store.take(heard("1A2B"))
    await store.take(heard("99999"))
    await store.register(taken("A0", part=1, of=2))
    await store.take(heard("A0"))
    keys = await all_keys(redis, store)
    assert len(keys) == 5
    assert len({key_slot(key.encode()) for key in keys}) == 1
    for key in keys:
        assert 0 < await redis.command("PTTL", key) <= KEEP_MS, key
        assert NUMBER[-8:].encode() not in await redis.command("DUMP", key)
    settled = next(key for key in keys if key.endswith(":sent:1a2b"))
    assert await redis.command("PTTL", settled) <= redis_store.SETTLED_MS


async def test_few_receipts_wait(
    redis: RedisConnection, store: ReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest give way, so that receipts of nothing never fill the store."""
    monkeypatch.setattr(redis_store, "MOST_EARLY", 5)
    for number in range(20):
        await store.take(heard(f"E{number:02d}"))
        await redis.command("PING")
    assert len(await all_keys(redis, store)) == 5 + 1
    for spelling in range(20):
        await store.take(heard("0" * spelling + "7"))
    assert await redis.command("HLEN", f"{store._tag}:early:7") <= 8


class ReadThenWrite:
    """The same without a script: look first, then write. Only the race test uses it, to show that it can lose."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._name = f"smpp-{secrets.token_hex(8)}"

    async def register(self, message: Taken) -> object | None:
        """As ReceiptStore."""
        early = await self._redis.command("GET", f"{self._name}:early:{message.message.plain}")
        await self._redis.command("SET", f"{self._name}:sent:{message.message.plain}", message.delivery_id)
        return early or None

    async def take(self, receipt: Heard) -> object | None:
        """As ReceiptStore."""
        sent = await self._redis.command("GET", f"{self._name}:sent:{receipt.message.plain}")
        if sent:
            return sent or None
        await self._redis.command("SET", f"{self._name}:early:{receipt.message.plain}", "delivered")
        return None


async def lost_of(store: ReceiptStore | ReadThenWrite) -> int:
    """How many receipts get lost of 500 that come in the moment of the answer."""

    async def one(number: int) -> bool:
        message_id = f"{number:06X}"
        steps = [store.take(heard(str(number))), store.register(taken(message_id))]
        if isinstance(store, ReadThenWrite):
            steps[0].close()
            steps[0] = store.take(heard(message_id))
        if number % 2:
            steps.reverse()
        return not any(await asyncio.gather(*steps))

    return sum(await asyncio.gather(*(one(number) for number in range(100_000, 100_500))))


async def test_a_receipt_in_the_moment_of_the_answer_is_never_lost(redis: RedisConnection) -> None:
    """One script each; without them some are."""
    assert await lost_of(ReadThenWrite(redis)) > 0, "the test can tell the difference"
    assert await lost_of(a_store(redis)) == 0
