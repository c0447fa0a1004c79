"""Deliveries that nobody knows of, wait, or come from before: what seldom happens and must be right all the same."""

import asyncio

import msgspec
import pytest

from sca_service.challenges.attempt import AttemptRoute
from sca_service.challenges.model import ChallengeId, ChallengeState, Outcome, Status, decode_state
from sca_service.challenges.redis_store import ChallengeStore, Reply
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.kernel.connections import RedisConnection
from sca_service.policy.model import Channel, ResendPolicy, StepReason
from tests.storeroom import (
    CLIENT,
    HEAD,
    SMS_ONLY,
    THREE_STEPS,
    answered,
    issued,
    new_challenge,
    new_payer,
    taken_up,
)

RESEND = ResendPolicy(first_seconds=30, factor=2, most_seconds=120)
NO_ROUTE_NOW = AttemptRoute("sms", reason="supplier_down", may_pass=True)


def key_of(challenge: ChallengeId) -> str:
    """Where its state lies."""
    return f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"


async def due_at(redis: RedisConnection, challenge: ChallengeId) -> int:
    """When a worker looks at it next; 0 for never."""
    return int(await redis.command("ZSCORE", f"{{p{challenge.partition:02d}}}:due", challenge.text) or 0)


async def not_taken(store: ChallengeStore, sent: Reply, *, retry_ms: int = 0) -> Reply:
    """The supplier surely did not take a message that was just sent, and may later."""
    assert sent.state is not None
    delivery = sent.state.deliveries[-1]
    challenge = ChallengeId.parse(sent.state.id)
    assert challenge is not None
    word = Settlement(
        DeliveryStatus.FAILED,
        delivery.supplier,
        reason="supplier_down",
        transient=True,
        retry_ms=retry_ms,
        attempt=delivery.tries,
    )
    return await store.settle(challenge, HEAD, delivery.id, word)


def of(reply: Reply) -> ChallengeState:
    """The state that a script left."""
    assert reply.state is not None
    return reply.state


async def test_a_challenge_from_before_policies_named_reasons_is_delivered(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """Redis holds what an older version issued: it is sent, and goes on for every reason, as it did then."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    packed = msgspec.msgpack.decode(await redis.command("GET", key_of(challenge)))
    del packed["step_on"]
    await redis.command("SET", key_of(challenge), msgspec.msgpack.encode(packed), "KEEPTTL")
    sent = await taken_up(store, challenge)
    assert (sent.word, of(sent).next_at > 0) == ("send", True)
    word = Settlement(DeliveryStatus.UNDELIVERED, "sandbox")
    assert len(of(await store.settle(challenge, HEAD, of(sent).deliveries[0].id, word)).deliveries) == 2
    stepped = await store.step(challenge, HEAD, client=CLIENT, resend=RESEND, limits=())
    assert (stepped.word, len(of(stepped).deliveries)) == ("stepped", 3)


async def test_a_worker_lost_after_others_did_not_take_it_leaves_it_uncertain(store: ChallengeStore) -> None:
    """One supplier refused for now, then two workers died while sending: the message may have arrived."""
    challenge = await issued(store, new_payer())
    await not_taken(store, await taken_up(store, challenge))
    words = [(await taken_up(store, challenge)).word for _ in range(2)]
    last = await taken_up(store, challenge)
    assert (words, last.word) == (["send", "send"], "changed")
    assert (of(last).deliveries[0].reason, of(last).status) == ("worker_lost", Status.PENDING)


async def test_what_no_supplier_took_has_failed_for_sure(store: ChallengeStore) -> None:
    """Three tries, each surely not taken: nothing can arrive, and the bank is told at once."""
    challenge = await issued(store, new_payer())
    for _ in range(3):
        await not_taken(store, await taken_up(store, challenge))
    last = await taken_up(store, challenge)
    assert (of(last).deliveries[0].reason, of(last).status) == ("supplier_down", Status.UNDELIVERABLE)


@pytest.mark.parametrize("ends_by", ["next", "cancel", "answer"])
async def test_what_waits_for_another_try_is_taken_back(store: ChallengeStore, ends_by: str) -> None:
    """No worker holds it and no supplier took it: it is skipped at once, not lost half a minute later."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    await not_taken(store, await taken_up(store, challenge), retry_ms=8_000)
    if ends_by == "next":
        reply = await store.step(challenge, HEAD, client=CLIENT, resend=RESEND, limits=())
    elif ends_by == "cancel":
        reply = await store.cancel(challenge, HEAD, client=CLIENT)
    else:
        reply = await answered(store, challenge, right=True)
    assert of(reply).deliveries[0].status is DeliveryStatus.SKIPPED


async def test_what_a_worker_sends_is_not_taken_back(store: ChallengeStore) -> None:
    """After a try that failed another one is under way: what becomes of it is still heard."""
    challenge = await issued(store, new_payer())
    await not_taken(store, await taken_up(store, challenge))
    sent = await taken_up(store, challenge)
    cancelled = await store.cancel(challenge, HEAD, client=CLIENT)
    assert of(cancelled).deliveries[0].status is DeliveryStatus.QUEUED
    word = Settlement(DeliveryStatus.SENT, "sandbox")
    settled = await store.settle(challenge, HEAD, of(sent).deliveries[0].id, word)
    assert of(settled).deliveries[0].status is DeliveryStatus.SENT


async def test_a_try_that_failed_is_put_down_once(store: ChallengeStore, redis: RedisConnection) -> None:
    """Told twice, or when another try is under way: it counts once, and nobody is woken to send in between."""
    challenge = await issued(store, new_payer())
    first = await taken_up(store, challenge)
    assert (await not_taken(store, first)).word == "changed"
    assert (await not_taken(store, first)).word == "ignored"
    await taken_up(store, challenge)
    leased_until = await due_at(redis, challenge)
    assert (await not_taken(store, first)).word == "ignored"
    assert await due_at(redis, challenge) == leased_until
    state = await store.get(challenge)
    assert state is not None
    assert state.deliveries[0].suppliers_tried == ("sandbox",)


async def test_a_wait_for_another_try_ends_with_the_step(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """The next channel is due before the supplier wants to be asked again: it follows in time."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    waiting = await not_taken(store, await taken_up(store, challenge), retry_ms=600_000)
    assert await due_at(redis, challenge) == of(waiting).next_at


async def test_no_wait_outlasts_the_challenge(store: ChallengeStore, redis: RedisConnection) -> None:
    """Neither a worker's lease nor a supplier's wish keeps it from expiring in time."""
    challenge = await issued(store, new_payer(), lifetime_ms=7_000)
    sent = await taken_up(store, challenge)
    assert await due_at(redis, challenge) == of(sent).expires_at
    await not_taken(store, sent, retry_ms=8_000)
    assert await due_at(redis, challenge) == of(sent).expires_at


async def test_the_last_channel_waits_for_a_supplier_that_is_left_alone(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """Every breaker is open, no other channel follows: it is tried again until one lets it through."""
    challenge = await issued(store, new_payer())
    state = await store.get(challenge)
    assert state is not None
    reply = await store.advance(challenge, HEAD, NO_ROUTE_NOW)
    assert (reply.word, reply.events) == ("idle", ())
    assert 0 < await due_at(redis, challenge) - state.deliveries[0].queued_at < 11_000
    assert (await taken_up(store, challenge)).word == "send"


async def test_no_channel_waits_for_ever(store: ChallengeStore, redis: RedisConnection) -> None:
    """A minute after it was queued the bank is told that nothing can be sent."""
    challenge = await issued(store, new_payer())
    state = decode_state(await redis.command("GET", key_of(challenge)))
    state.deliveries[0].queued_at -= 60_000
    await redis.command("SET", key_of(challenge), msgspec.msgpack.encode(state), "KEEPTTL")
    reply = await store.advance(challenge, HEAD, NO_ROUTE_NOW)
    assert (of(reply).status, of(reply).why) == (Status.UNDELIVERABLE, "supplier_down")


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_channel_with_another_after_it_waits_for_no_supplier(
    store: ChallengeStore, goes_on: bool
) -> None:
    """The next channel is quicker than a breaker, where the policy goes on for that."""
    step_on = [each for each in StepReason if goes_on or each is not StepReason.SUPPLIER_DOWN]
    ladder = (*SMS_ONLY, THREE_STEPS[2])
    challenge, new = new_challenge(new_payer(), ladder=ladder, step_on=step_on)
    await store.add(challenge, new, HEAD)
    reply = await store.advance(challenge, HEAD, NO_ROUTE_NOW)
    state = await store.get(challenge)
    assert state is not None
    assert reply.word == ("changed" if goes_on else "idle")
    assert [one.channel for one in state.deliveries] == [Channel.SMS, Channel.VOICE][: 1 + goes_on]


async def test_a_state_that_cannot_be_read_holds_up_nobody_else(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """A channel of a version to come: its own challenge waits, those leased together with it are sent."""
    partition = 5
    odd, sound = await issued(store, new_payer(partition)), await issued(store, new_payer(partition))
    readable = await redis.command("GET", key_of(odd))
    packed = msgspec.to_builtins(decode_state(readable)) | {"status": "no_word_of_ours"}
    await redis.command("SET", key_of(odd), msgspec.msgpack.encode(packed), "KEEPTTL")
    for challenge in (odd, sound):
        await redis.command("ZADD", f"{{p{partition:02d}}}:due", 1, challenge.text)
    await asyncio.sleep(0.002)
    found = {due.challenge: due.state for due in await store.claim(partition, most=1_000)}
    await redis.command("SET", key_of(odd), readable, "KEEPTTL")  # other tests empty this outbox
    assert found[odd.text] is None
    assert found[sound.text] is not None


async def test_a_dead_workers_message_stays_uncertain_without_a_route(store: ChallengeStore) -> None:
    """It may have arrived before its worker died: that no supplier takes it now does not make it fail for sure."""
    challenge = await issued(store, new_payer())
    await taken_up(store, challenge)
    reply = await store.advance(challenge, HEAD, AttemptRoute("sms", reason="supplier_down"))
    assert (of(reply).deliveries[0].reason, of(reply).status) == ("worker_lost", Status.PENDING)
    assert (await answered(store, challenge, right=True)).word == Outcome.APPROVED


async def test_what_arrived_late_lets_the_next_message_be_the_last(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """The second message is queued when the first turns out to have arrived: it goes, and no third one follows it."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    sent = await taken_up(store, challenge)
    delivery = of(sent).deliveries[0].id
    await store.settle(
        challenge, HEAD, delivery, Settlement(DeliveryStatus.FAILED, "sandbox", reason="timeout")
    )
    await store.settle(challenge, HEAD, delivery, Settlement(DeliveryStatus.DELIVERED, "sandbox"))
    second = await taken_up(store, challenge)
    assert (second.word, len(of(second).deliveries), of(second).next_at) == ("send", 2, 0)


async def test_asking_for_another_message_lets_the_ladder_run_on(store: ChallengeStore) -> None:
    """The first arrived, the payer wants another all the same: when that one does not come, a third follows."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    sent = await taken_up(store, challenge)
    word = Settlement(DeliveryStatus.DELIVERED, "sandbox")
    await store.settle(challenge, HEAD, of(sent).deliveries[0].id, word)
    await store.step(challenge, HEAD, client=CLIENT, resend=RESEND, limits=())
    assert of(await taken_up(store, challenge)).next_at > 0
