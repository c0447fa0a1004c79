"""The keys in Redis: a script's lie on one slot, and all but the structural ones go away by themselves."""

import re
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot

from sca_service.api.redis_store import IdempotencyStore
from sca_service.challenges.model import partition_of
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.delivery.redis_store import REPLY_DAYS, SentTextStore
from sca_service.delivery.supplier import Message
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import TooEarly
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.secret import Secret
from sca_service.limits.model import Limit
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Channel, ResendPolicy
from tests.harness import Deployment
from tests.storeroom import (
    CLIENT,
    HEAD,
    LOCKOUT,
    THREE_STEPS,
    answered,
    forget_all,
    issued,
    keys_of,
    leased,
    new_challenge,
    new_payer,
    taken_up,
)
from tests.valkeys import raw_async_client

pytestmark = pytest.mark.one_server

STRUCTURAL = re.compile(r"\{p\d\d\}:(due|outbox)")
KINDS = {
    r"\{p\d\d\}:(due|outbox)",
    r"\{p\d\d\}:challenge:chl_[0-9a-f]{38}",
    r"\{p\d\d\}:(lockout|pending):[0-9a-f]{32}",
    r"\{p\d\d\}:limit:[a-z-]+:[0-9a-f]{32}",
    r"\{limit:[0-9a-f]{32}\}:[a-z-]+",
    r"idempotency:[0-9a-f]{32}",
    r"sent:[0-9a-f]{32}",
}
LONGEST_MS = max(1_000 * (LOCKOUT.window_seconds + LOCKOUT.block_seconds[-1]), REPLY_DAYS * 86_400_000)
TAGGED = re.compile(r'\{[^}"]+\}:')


@pytest.fixture
async def played(redis: RedisConnection) -> AsyncIterator[RedisConnection]:
    """A store in which every script has run, along each of its ways that touches other keys."""
    await forget_all(redis)
    await play(redis)
    yield redis
    await forget_all(redis)


async def play(redis: RedisConnection) -> None:
    """Run every script."""
    store, payer = ChallengeStore(redis), new_payer()
    limits = [Limit("issue-per-payer", payer, 1_000, 100), Limit("issue-per-day", payer, 2_000, 100)]
    resend = ResendPolicy(first_seconds=1, factor=2, most_seconds=4)
    challenges = []
    for _ in range(3):  # the third supersedes the first
        challenge, new = new_challenge(payer, ladder=THREE_STEPS, most_pending=2, limits=limits)
        reply = await store.add(challenge, new, HEAD)
        assert reply.state is not None
        assert await store.release(reply.state)
        challenges.append(challenge)
    assert (await store.add(challenges[-1], new, HEAD)).word == "exists"
    last, other = challenges[2], challenges[1]
    assert last.text in await leased(store, partition_of(payer), most=10)
    sent = await taken_up(store, last)
    assert sent.state is not None
    await store.settle(last, HEAD, sent.state.deliveries[0].id, Settlement(DeliveryStatus.SENT, "sandbox"))
    assert (await store.step(last, HEAD, client=CLIENT, resend=resend, limits=limits)).word == "stepped"
    for _ in range(LOCKOUT.most_failures):
        assert (await answered(store, last, right=False)).word == "incorrect"
    assert (await answered(store, other, right=True)).word == "blocked"
    refused, new = new_challenge(payer)
    assert (await store.add(refused, new, HEAD)).word == "refused"
    assert (await store.lockout(payer)).blocked_until > 0
    await store.unblock(payer, b'"actor":"client:operator"')
    cancelled, new = new_challenge(payer)
    await store.add(cancelled, new, HEAD)
    assert (await store.cancel(cancelled, HEAD, client=CLIENT)).word == "cancelled"
    approved, new = new_challenge(payer)
    await store.add(approved, new, HEAD)
    assert (await answered(store, approved, right=False)).word == "incorrect"
    assert (await answered(store, approved, right=True)).word == "approved"
    await answered(store, await issued(store, new_payer()), right=False)
    with pytest.raises(TooEarly):
        for _ in range(3):
            await LimitStore(redis).spend([Limit("a", payer, 60_000, 2), Limit("b", payer, 60_000, 9)])
    idempotency = IdempotencyStore(redis)
    await idempotency.claim(payer, "fingerprint")
    await idempotency.finish(payer, "fingerprint", "sealed")
    text = Message("dlv_1", Channel.SMS, Secret("+4915112345678"), Secret("text"), "en")
    await SentTextStore(redis, Keyring.parse(create_keyring_text())).note_sent(text, CLIENT)


async def test_every_key_but_the_structural_ones_goes_away_by_itself(played: RedisConnection) -> None:
    """Nothing about a payer stays in Redis for ever."""
    keys = [key.decode() for key in await keys_of(played, "*")]
    for key in keys:
        left_ms = await played.command("PTTL", key)
        if STRUCTURAL.fullmatch(key):
            assert left_ms == -1, "it holds what is still to be done"
        else:
            assert 0 < left_ms <= LONGEST_MS, key
    assert len(keys) > 8


async def test_every_key_is_of_a_kind_that_is_known_here(played: RedisConnection) -> None:
    """A new kind of key is looked at: its slot, its lifetime, and that its name holds nothing personal."""
    keys = [key.decode() for key in await keys_of(played, "*")]
    kinds = {kind for kind in KINDS for key in keys if re.fullmatch(kind, key)}
    assert [key for key in keys if not any(re.fullmatch(kind, key) for kind in KINDS)] == []
    assert kinds == KINDS


async def test_all_that_a_script_touches_lies_on_one_slot(
    redis: RedisConnection, quiet_stores: Deployment
) -> None:
    """Those named to it and those it finds by itself: a cluster runs every script."""
    await forget_all(redis)
    calls: list[set[int]] = []
    inside = 0
    async with raw_async_client(quiet_stores.servers.valkey.url) as client, client.monitor() as monitor:
        await play(redis)
        await redis.command("ECHO", "that was all")
        async for seen in monitor.listen():
            words = seen["command"].split(" ")
            if "that was all" in seen["command"]:
                break
            if seen["client_type"] != "lua" and words[0] == "EVALSHA":
                calls.append({key_slot(word.encode()) for word in words[3 : 3 + int(words[2])]})
            elif seen["client_type"] == "lua":
                inside += 1
                calls[-1] |= {key_slot(word.encode()) for word in words[1:] if TAGGED.match(word)}
    assert len(calls) > 20
    assert inside > 100
    assert [slots for slots in calls if len(slots) != 1] == []


def test_the_partitions_are_spread_over_the_slots() -> None:
    """64 partitions on 64 slots: a cluster of any sensible size shares the load."""
    assert len({key_slot(f"{{p{partition:02d}}}:due".encode()) for partition in range(64)}) == 64
    assert {partition_of(f"{number:02x}" + "0" * 30) for number in range(256)} == set(range(64))
