"""Replies over the real stores: the newest text to a number, and opt-outs with their events."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from msgspec import structs

from sca_service.delivery.inbox import SentText
from sca_service.delivery.postgres_store import EVERY_CLIENT, OptOutStore
from sca_service.delivery.redis_store import REPLY_DAYS, SentTextStore
from sca_service.delivery.supplier import Message
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.policy.words import Channel, Occasion
from tests.harness import unique_psu
from tests.storeroom import an_event, new_payer

KEYRING = Keyring.parse(create_keyring_text())


@pytest.fixture
def sent(redis: RedisConnection) -> SentTextStore:
    """The texts that were sent."""
    return SentTextStore(redis, KEYRING)


@pytest.fixture
def opt_outs(pool: asyncpg.Pool) -> OptOutStore:
    """The opt-outs."""
    return OptOutStore(pool)


def a_message(delivery_id: str = "dlv_1", occasion: Occasion | None = Occasion.PAYMENT) -> Message:
    """A text to a number that no other test uses."""
    return Message(
        delivery_id, Channel.SMS, Secret(unique_psu()["phone"]), Secret("text"), "en", occasion=occasion
    )


def pseudonym(message: Message) -> str:
    """What its number is called in the stores."""
    return KEYRING.pseudonym("phone", message.to.reveal())


async def test_a_reply_finds_the_newest_text(sent: SentTextStore) -> None:
    """Of any client."""
    first = a_message()
    assert await sent.newest(pseudonym(first)) is None
    await sent.note_sent(first, "bank")
    assert await sent.newest(pseudonym(first)) == SentText("dlv_1", "bank", Occasion.PAYMENT)
    await sent.note_sent(replace(first, delivery_id="dlv_2", occasion=None), "other-bank")
    assert await sent.newest(pseudonym(first)) == SentText("dlv_2", "other-bank", None)


@pytest.mark.parametrize("channel", [Channel.VOICE, Channel.PUSH, Channel.EMAIL])
async def test_what_is_no_text_is_not_remembered(sent: SentTextStore, channel: Channel) -> None:
    """Nobody replies to a call."""
    message = replace(a_message(), channel=channel)
    await sent.note_sent(message, "bank")
    assert await sent.newest(pseudonym(message)) is None


async def test_a_note_holds_no_number_and_goes_away(sent: SentTextStore, redis: RedisConnection) -> None:
    """Redis knows the number's pseudonym only, and that for a week."""
    message = a_message()
    await sent.note_sent(message, "bank")
    key = f"sent:{pseudonym(message)}"
    assert 0 < await redis.command("PTTL", key) <= REPLY_DAYS * 86_400_000
    assert message.to.reveal()[1:].encode() not in key.encode() + await redis.command("GET", key)


async def events(pool: asyncpg.Pool, *ids: str) -> list[str]:
    """Which of these events are on record."""
    rows = await pool.fetch("SELECT id FROM audit_events WHERE id = ANY($1::text[])", list(ids))
    return [row["id"] for row in rows]


async def test_an_opt_out_holds_until_it_is_lifted(opt_outs: OptOutStore, pool: asyncpg.Pool) -> None:
    """For that client's alerts and no other's; what changes nothing leaves no event."""
    phone, stop, again, start = new_payer(), an_event(), an_event(), an_event()
    assert not await opt_outs.is_opted_out(phone, "bank")
    assert await opt_outs.opt_out(phone, "bank", stop)
    assert not await opt_outs.opt_out(phone, "bank", again)
    assert await opt_outs.is_opted_out(phone, "bank")
    assert not await opt_outs.is_opted_out(phone, "other-bank")
    assert await opt_outs.opt_in(phone, "bank", start)
    assert not await opt_outs.opt_in(phone, "bank", again)
    assert not await opt_outs.is_opted_out(phone, "bank")
    assert await opt_outs.opt_out(phone, "bank", an_event())
    assert await opt_outs.is_opted_out(phone, "bank")
    assert sorted(await events(pool, stop.head.id, again.head.id, start.head.id)) == sorted(
        [stop.head.id, start.head.id]
    )


async def test_an_opt_out_for_every_client_is_lifted_by_any(opt_outs: OptOutStore) -> None:
    """START answers one text, and whoever sends it wants alerts again."""
    phone = new_payer()
    await opt_outs.opt_out(phone, EVERY_CLIENT, an_event())
    assert await opt_outs.is_opted_out(phone, "bank")
    assert await opt_outs.is_opted_out(phone, "other-bank")
    assert await opt_outs.opt_in(phone, "bank", an_event())
    assert not await opt_outs.is_opted_out(phone, "other-bank")


async def test_an_opt_in_lifts_both_kinds_at_once(opt_outs: OptOutStore) -> None:
    """One event for both."""
    phone = new_payer()
    await opt_outs.opt_out(phone, EVERY_CLIENT, an_event())
    await opt_outs.opt_out(phone, "bank", an_event())
    assert await opt_outs.opt_in(phone, "bank", an_event())
    assert not await opt_outs.is_opted_out(phone, "bank")


@pytest.mark.race
async def test_the_same_reply_told_many_times_at_once_is_one_opt_out(
    opt_outs: OptOutStore, pool: asyncpg.Pool
) -> None:
    """A supplier repeats what it believes unheard; the log has one event for it."""
    phone, told = new_payer(), [an_event() for _ in range(20)]
    results = await asyncio.gather(*(opt_outs.opt_out(phone, "bank", event) for event in told))
    assert sum(results) == 1
    assert len(await events(pool, *(event.head.id for event in told))) == 1


async def test_without_its_event_nobody_is_opted_out(opt_outs: OptOutStore, pool: asyncpg.Pool) -> None:
    """What is not on record did not happen: both are one commit."""
    phone = new_payer()
    unstorable = structs.replace(an_event(), body="\x00")  # PostgreSQL holds no NUL in a text
    with pytest.raises(asyncpg.PostgresError):
        await opt_outs.opt_out(phone, "bank", unstorable)
    assert not await opt_outs.is_opted_out(phone, "bank")
