"""Many workers at one challenge: whatever they do at the same time, its message is sent once."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from sca_service.challenges.model import ChallengeId, decode_state
from sca_service.challenges.redis_store import SEND_LEASE_MS, ChallengeStore, Due
from sca_service.kernel.connections import RedisConnection
from tests.storeroom import HEAD, new_challenge, new_payer, over

pytestmark = pytest.mark.race

WORKERS = 50

Step = Callable[[Due], Awaitable[str]]


async def released(store: ChallengeStore) -> ChallengeId:
    """A challenge whose first message may go now."""
    challenge, new = new_challenge(new_payer())
    reply = await store.add(challenge, new, HEAD)
    assert reply.state is not None
    await store.release(reply.state)
    return challenge


async def lease(store: ChallengeStore, challenge: ChallengeId) -> Due:
    """The lease of a challenge that is due."""
    found = await store.claim(challenge.partition, most=1_000)
    return next(due for due in found if due.challenge == challenge.text)


async def sends(step: Step, due: Due) -> int:
    """How many of fifty workers that take the same step at once are told to send."""
    words = await asyncio.gather(*(step(due) for _ in range(WORKERS)))
    return words.count("send")


def by_script(store: ChallengeStore, challenge: ChallengeId) -> Step:
    """The step as it is: one script."""

    async def step(due: Due) -> str:
        reply = await store.advance(challenge, HEAD, over("sms"), leased_until=due.leased_until)
        return reply.word

    return step


def by_reading_and_writing(redis: RedisConnection, challenge: ChallengeId) -> Step:
    """The step as it must not be: the state is read, looked at, and written back."""
    key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    timers = f"{{p{challenge.partition:02d}}}:due"

    async def step(due: Due) -> str:
        state = decode_state(await redis.command("GET", key))
        if state.deliveries[-1].tries or not due.leased_until:
            return "idle"
        state.deliveries[-1].tries += 1
        await redis.command("SET", key, msgspec.msgpack.encode(state), "KEEPTTL")
        await redis.command("ZADD", timers, due.now_ms + SEND_LEASE_MS, challenge.text)
        return "send"

    return step


async def test_of_fifty_workers_at_one_challenge_one_sends(store: ChallengeStore) -> None:
    """They all hold a route for what is due, by the same lease: one attempt is recorded, one message goes."""
    challenge = await released(store)
    due = await lease(store, challenge)
    assert await sends(by_script(store, challenge), due) == 1
    state = await store.get(challenge)
    assert state is not None
    assert state.deliveries[0].tries == 1


async def test_reading_and_then_writing_would_send_more_than_once(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """What the test above is for: the same step in two commands is no step."""
    challenge = await released(store)
    due = await lease(store, challenge)
    assert await sends(by_reading_and_writing(redis, challenge), due) > 1


async def test_of_fifty_workers_that_lease_at_once_one_gets_it(store: ChallengeStore) -> None:
    """A lease is one worker's."""
    challenge = await released(store)
    claims = await asyncio.gather(*(store.claim(challenge.partition, most=1_000) for _ in range(WORKERS)))
    assert [due.challenge for found in claims for due in found].count(challenge.text) == 1


async def test_a_worker_whose_lease_is_over_sends_nothing(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """It was held up for longer than its lease while it looked for a route; another worker sends meanwhile."""
    challenge = await released(store)
    slow = await lease(store, challenge)
    await redis.command("ZADD", f"{{p{challenge.partition:02d}}}:due", 1, challenge.text)
    await asyncio.sleep(0.002)
    quick = await lease(store, challenge)
    assert quick.leased_until > slow.leased_until
    step = by_script(store, challenge)
    assert [await step(slow), await step(quick), await step(slow)] == ["idle", "send", "idle"]
    events = await redis.command("XRANGE", f"{{p{challenge.partition:02d}}}:outbox", "-", "+")
    told = [json.loads(text) for _, (_, text) in events]
    attempted = [one for one in told if one.get("challenge") == challenge.text and "try" in one]
    assert [one["try"] for one in attempted] == [1]
