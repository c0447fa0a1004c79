"""The scripts of a challenge, case by case: what seldom happens and must be right all the same."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

import sca_service.challenges
from sca_service.challenges.attempt import AttemptRoute
from sca_service.challenges.model import (
    ChallengeId,
    ChallengeState,
    Outcome,
    Status,
    decode_state,
    partition_of,
)
from sca_service.challenges.redis_store import RECORD_MS, ChallengeStore, Reply
from sca_service.delivery.model import DeliveryStatus, Settlement
from sca_service.kernel.connections import RedisConnection
from sca_service.policy.model import LockoutPolicy, ResendPolicy, StepReason
from tests.storeroom import (
    CLIENT,
    DIGEST,
    HEAD,
    LOCKOUT,
    THREE_STEPS,
    answered,
    issued,
    leased,
    new_challenge,
    new_payer,
    over,
    taken_up,
)

RESEND = ResendPolicy(first_seconds=30, factor=2, most_seconds=120)
UNKNOWN = ChallengeId.parse("chl_002016" + "0" * 32)


async def alter(redis: RedisConnection, challenge: ChallengeId, **changes: object) -> ChallengeState:
    """Write another state, as if time had gone by."""
    key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    state = msgspec.structs.replace(decode_state(await redis.command("GET", key)), **changes)
    await redis.command("SET", key, msgspec.msgpack.encode(state), "KEEPTTL")
    return state


async def climbed(store: ChallengeStore, redis: RedisConnection) -> tuple[ChallengeId, ChallengeState]:
    """A challenge on the last of its three channels, each of which a worker has taken up."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    for _ in range(2):
        assert (await taken_up(store, challenge)).word == "send"
        await alter(redis, challenge, resend_at=0)
        await store.step(challenge, HEAD, client=CLIENT, resend=RESEND, limits=())
    reply = await taken_up(store, challenge)
    assert reply.word == "send"
    assert reply.state is not None
    return challenge, reply.state


def settled(
    store: ChallengeStore, challenge: ChallengeId, delivery: str, status: DeliveryStatus
) -> "asyncio.Future[Reply]":
    """Put down what became of a delivery."""
    word = Settlement(status, "sandbox")
    return asyncio.ensure_future(store.settle(challenge, HEAD, delivery, word))


def kinds(reply: Reply) -> list[str]:
    """The types of the events of a reply."""
    return [event.head.type for event in reply.events]


@pytest.mark.parametrize(
    ("right", "digest", "key"),
    [(True, DIGEST, "another"), (True, DIGEST, ""), (False, DIGEST, "key"), (True, "sha256:other", "key")],
)
async def test_only_the_very_same_answer_is_approved_again(
    store: ChallengeStore, right: bool, digest: str, key: str
) -> None:
    """A client that heard nothing asks again under its key; whatever differs is a second use."""
    challenge = await issued(store, new_payer())
    first = await answered(store, challenge, right=True, key="key")
    again = await answered(store, challenge, right=True, key="key")
    assert (first.word, again.word, again.events) == (Outcome.APPROVED, Outcome.APPROVED, ())
    assert again.state == first.state
    other = await answered(store, challenge, right=right, digest=digest, key=key)
    assert (other.word, kinds(other)) == (Outcome.ALREADY_USED, ["challenge.answered"])


async def test_answers_without_a_key_are_never_the_same(store: ChallengeStore) -> None:
    """No name, no repetition."""
    challenge = await issued(store, new_payer())
    words = [(await answered(store, challenge, right=True)).word for _ in range(3)]
    assert words == [Outcome.APPROVED, Outcome.ALREADY_USED, Outcome.ALREADY_USED]


async def test_nobody_can_do_anything_to_an_unknown_challenge(store: ChallengeStore) -> None:
    """No script makes one up, and none puts an event on record."""
    assert UNKNOWN is not None
    replies = [
        await answered(store, UNKNOWN, right=True),
        await store.cancel(UNKNOWN, HEAD, client=CLIENT),
        await store.step(UNKNOWN, HEAD, client=CLIENT, resend=RESEND, limits=()),
        await settled(store, UNKNOWN, f"dlv_{UNKNOWN.text[4:]}01", DeliveryStatus.DELIVERED),
    ]
    assert [(reply.word, reply.state, reply.events) for reply in replies] == [("not_found", None, ())] * 4
    assert (await taken_up(store, UNKNOWN)).word == "idle"
    assert await store.get(UNKNOWN) is None


async def test_another_client_can_neither_step_nor_cancel(store: ChallengeStore) -> None:
    """An id alone opens nothing."""
    challenge = await issued(store, new_payer())
    before = await store.get(challenge)
    for reply in (
        await store.cancel(challenge, HEAD, client="other-bank"),
        await store.step(challenge, HEAD, client="other-bank", resend=RESEND, limits=()),
    ):
        assert (reply.word, reply.events) == ("not_found", ())
    assert await store.get(challenge) == before


async def test_cancelling_too_late_finds_it_expired(store: ChallengeStore, redis: RedisConnection) -> None:
    """Whoever notices first that its time is over puts that on record, not what was asked for."""
    challenge = await issued(store, new_payer())
    await alter(redis, challenge, expires_at=1)
    reply = await store.cancel(challenge, HEAD, client=CLIENT)
    assert reply.state is not None
    assert (reply.state.status, kinds(reply)) == (Status.EXPIRED, ["challenge.expired"])


async def test_the_last_word_that_was_outstanding_makes_it_undeliverable(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """The last channel failed while an earlier message was still on its way; then that fails too."""
    challenge, state = await climbed(store, redis)
    first, second, third = (delivery.id for delivery in state.deliveries)
    await settled(store, challenge, first, DeliveryStatus.SENT)
    await settled(store, challenge, second, DeliveryStatus.FAILED)
    waiting = await settled(store, challenge, third, DeliveryStatus.NO_ANSWER)
    assert waiting.state is not None
    assert waiting.state.status is Status.PENDING
    last = await settled(store, challenge, first, DeliveryStatus.UNDELIVERED)
    assert last.state is not None
    assert last.state.status is Status.UNDELIVERABLE
    assert kinds(last) == ["delivery.settled", "challenge.undeliverable"]


async def test_a_receipt_that_comes_late_sends_nothing_more(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """The ladder went on, then the first message arrives after all: it rests where it is."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    await taken_up(store, challenge)
    state = await alter(redis, challenge, next_at=1)
    second = await taken_up(store, challenge)
    assert (second.word, kinds(second)) == ("send", ["challenge.stepped", "delivery.attempted"])
    await settled(store, challenge, state.deliveries[0].id, DeliveryStatus.DELIVERED)
    reply = await taken_up(store, challenge)
    assert reply.state is None or len(reply.state.deliveries) == 2
    after = await store.get(challenge)
    assert after is not None
    assert (after.next_at, len(after.deliveries)) == (0, 2)


async def test_a_word_that_is_told_twice_changes_nothing(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """Suppliers repeat their receipts, and contradict them."""
    challenge, state = await climbed(store, redis)
    delivery = state.deliveries[-1].id
    await settled(store, challenge, delivery, DeliveryStatus.ANSWERED)
    before = await store.get(challenge)
    for status in (DeliveryStatus.ANSWERED, DeliveryStatus.NO_ANSWER, DeliveryStatus.FAILED):
        assert (await settled(store, challenge, delivery, status)).word == "ignored"
    assert await store.get(challenge) == before


async def test_a_receipt_may_overtake_the_answer_to_the_submit(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """Delivered stays delivered; when it was sent is known all the same."""
    challenge, state = await climbed(store, redis)
    delivery = state.deliveries[-1].id
    await settled(store, challenge, delivery, DeliveryStatus.ANSWERED)
    await settled(store, challenge, delivery, DeliveryStatus.SENT)
    after = await store.get(challenge)
    assert after is not None
    assert after.deliveries[-1].status is DeliveryStatus.ANSWERED
    assert 0 < after.deliveries[-1].sent_at <= after.deliveries[-1].final_at


async def test_a_delivery_is_tried_three_times_and_no_more(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """A worker that dies each time: after the third lease the delivery has failed; one of them may have arrived."""
    challenge = await issued(store, new_payer())
    tries = [await taken_up(store, challenge) for _ in range(4)]
    assert [reply.word for reply in tries] == ["send", "send", "send", "changed"]
    numbers = [json.loads(reply.events[-1].body).get("try") for reply in tries[:3]]
    assert numbers == [1, 2, 3]
    assert kinds(tries[3]) == ["delivery.settled"]
    assert tries[3].state is not None
    assert tries[3].state.status is Status.PENDING
    assert (tries[3].state.deliveries[0].status, tries[3].state.deliveries[0].reason) == (
        DeliveryStatus.FAILED,
        "worker_lost",
    )


async def test_what_a_dead_worker_held_is_settled(store: ChallengeStore) -> None:
    """The challenge is over, its message in the hands of a worker that never speaks again."""
    challenge = await issued(store, new_payer())
    await taken_up(store, challenge)
    await answered(store, challenge, right=True)
    reply = await taken_up(store, challenge)
    assert (reply.word, kinds(reply)) == ("changed", ["delivery.settled"])
    assert reply.state is not None
    assert (reply.state.deliveries[0].status, reply.state.deliveries[0].reason) == (
        DeliveryStatus.FAILED,
        "worker_lost",
    )
    assert reply.state.status is Status.APPROVED


async def test_no_delivery_goes_before_its_decision_is_on_record(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """It waits for its release, or for so long that the drain has put the decision on record."""
    payer = new_payer()
    challenge, new = new_challenge(payer)
    reply = await store.add(challenge, new, HEAD)
    assert reply.state is not None
    due = f"{{p{challenge.partition:02d}}}:due"
    assert await redis.command("ZSCORE", due, challenge.text) == b"%d" % (reply.state.created_at + RECORD_MS)
    assert challenge.text not in await leased(store, challenge.partition, most=1_000)
    assert await store.release(reply.state)
    assert not await store.release(reply.state)
    assert challenge.text in await leased(store, challenge.partition, most=1_000)
    assert challenge.text not in await leased(store, challenge.partition, most=1_000)


def test_the_script_waits_as_long_as_the_store_says() -> None:
    """Two numbers that must agree."""
    state = Path(sca_service.challenges.__file__).with_name("queue.lua").read_text("utf-8")
    assert f"local RECORD_MS = {RECORD_MS} " in state


async def test_the_events_of_one_call_have_names_of_their_own(store: ChallengeStore) -> None:
    """The fifth failure is an answer and a block: two events, in this order."""
    challenge = await issued(store, new_payer())
    replies = [await answered(store, challenge, right=False) for _ in range(LOCKOUT.most_failures)]
    last = replies[-1]
    assert kinds(last) == ["challenge.answered", "payer.blocked"]
    assert last.events[1].head.id == last.events[0].head.id + "01"
    assert len({event.head.id for reply in replies for event in reply.events}) == 6
    blocked = json.loads(last.events[1].body)
    assert last.state is not None
    assert blocked["until_ms"] == last.state.blocked_until


async def test_fewer_failures_may_be_allowed_from_one_day_to_the_next(store: ChallengeStore) -> None:
    """A stricter policy counts what happened before: the next failure blocks, no attempt is owed."""
    payer = new_payer()
    challenge = await issued(store, payer)
    for _ in range(3):
        await answered(store, challenge, right=False)
    strict = LockoutPolicy(most_failures=2, window_seconds=86_400, block_seconds=(900,))
    reply = await answered(store, challenge, right=False, lockout=strict)
    assert reply.state is not None
    assert (reply.word, reply.state.attempts_left, reply.state.status) == ("incorrect", 0, Status.BLOCKED)
    assert (await store.lockout(payer)).blocked_until > 0


async def test_a_lifted_block_leaves_other_payers_alone(store: ChallengeStore) -> None:
    """Each payer has a count of their own, also within a partition."""
    first, second = new_payer(7), new_payer(7)
    for payer in (first, second):
        challenge = await issued(store, payer)
        for _ in range(LOCKOUT.most_failures):
            await answered(store, challenge, right=False)
    await store.unblock(first, b'"actor":"client:operator"')
    assert (await store.lockout(first)).blocked_until == 0
    assert (await store.lockout(second)).blocked_until > 0


async def test_a_receipt_for_what_was_never_sent_says_nothing(store: ChallengeStore) -> None:
    """A delivery that no worker has taken up cannot have arrived: it is still sent."""
    challenge = await issued(store, new_payer())
    delivery = f"dlv_{challenge.text[4:]}01"
    assert (await settled(store, challenge, delivery, DeliveryStatus.DELIVERED)).word == "ignored"
    assert (await taken_up(store, challenge)).word == "send"


async def test_a_receipt_of_another_supplier_says_nothing(store: ChallengeStore) -> None:
    """Only the supplier that took a message tells what became of it."""
    challenge = await issued(store, new_payer())
    sent = await taken_up(store, challenge)
    assert sent.state is not None
    delivery = sent.state.deliveries[0].id
    assert (await settled(store, challenge, delivery, DeliveryStatus.SENT)).word == "changed"
    foreign = Settlement(DeliveryStatus.UNDELIVERED, "another")
    assert (await store.settle(challenge, HEAD, delivery, foreign)).word == "ignored"
    state = await store.get(challenge)
    assert state is not None
    assert (state.deliveries[0].status, state.deliveries[0].supplier) == (DeliveryStatus.SENT, "sandbox")


async def test_what_is_pending_is_known_as_long_as_what_lives_longest(
    store: ChallengeStore, redis: RedisConnection
) -> None:
    """Issued first, last or between; it goes away by itself. One that superseded all others leaves it so too."""
    for lifetimes in ((60_000,), (60_000, 90_000), (90_000, 60_000), (60_000, 90_000, 70_000)):
        payer = new_payer()
        for lifetime_ms in lifetimes:
            await issued(store, payer, lifetime_ms=lifetime_ms)
        most, new = new_challenge(payer, lifetime_ms=80_000, most_pending=1 if len(lifetimes) == 1 else 20)
        await store.add(most, new, HEAD)
        left_ms = await redis.command("PTTL", f"{{p{partition_of(payer):02d}}}:pending:{payer}")
        longest = 80_000 if len(lifetimes) == 1 else max(*lifetimes, 80_000)
        assert longest - 10_000 < left_ms <= longest


async def test_a_stricter_policy_leaves_a_payer_one_attempt(store: ChallengeStore) -> None:
    """Whoever has failed more often than a new policy allows has one attempt left, never less than none."""
    payer = new_payer()
    challenge = await issued(store, payer)
    for _ in range(4):
        await answered(store, challenge, right=False)
    stricter, new = new_challenge(payer)
    reply = await store.add(stricter, msgspec.structs.replace(new, most_failures=3), HEAD)
    assert reply.state is not None
    assert reply.state.attempts_left == 1


async def test_only_the_supplier_it_was_given_to_can_tell_of_it(store: ChallengeStore) -> None:
    """Also before that supplier has answered the submit."""
    challenge = await issued(store, new_payer())
    sent = await taken_up(store, challenge, supplier="chosen")
    assert sent.state is not None
    foreign = Settlement(DeliveryStatus.DELIVERED, "another")
    assert (await store.settle(challenge, HEAD, sent.state.deliveries[0].id, foreign)).word == "ignored"


async def test_a_try_that_was_not_put_on_record_is_given_back(store: ChallengeStore) -> None:
    """The worker did not send: however often that happens, three tries are left for when the log is back."""
    challenge = await issued(store, new_payer())
    for _ in range(5):
        sent = await taken_up(store, challenge)
        assert sent.word == "send"
        assert sent.state is not None
        delivery = sent.state.deliveries[0]
        given_back = await store.postpone(challenge, HEAD, delivery.id, attempt=delivery.tries, wait_ms=0)
        assert kinds(given_back) == ["delivery.postponed"]
        again = await store.postpone(challenge, HEAD, delivery.id, attempt=delivery.tries, wait_ms=0)
        assert again.word == "ignored"
    assert [(await taken_up(store, challenge)).word for _ in range(4)] == ["send", "send", "send", "changed"]


async def test_nothing_is_sent_over_a_channel_without_a_route(store: ChallengeStore) -> None:
    """The payer stepped on while a worker chose a route for the channel before."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    assert (await store.step(challenge, HEAD, client=CLIENT, resend=RESEND, limits=())).word == "stepped"
    assert (await store.advance(challenge, HEAD, over("push"))).word == "idle"
    assert (await store.advance(challenge, HEAD, over("sms"))).word == "send"


async def test_without_any_route_the_next_channel_follows(store: ChallengeStore) -> None:
    """No supplier may carry it: that costs nothing, and is on record with its reason."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS)
    await store.add(challenge, new, HEAD)
    reply = await store.advance(challenge, HEAD, AttemptRoute("push", reason="sender_unregistered"))
    assert kinds(reply) == ["delivery.settled"]
    assert reply.state is not None
    assert [(one.channel, one.status, one.reason, one.tries) for one in reply.state.deliveries] == [
        ("push", DeliveryStatus.FAILED, "sender_unregistered", 0),
        ("sms", DeliveryStatus.QUEUED, "", 0),
    ]


@pytest.mark.parametrize(
    ("status", "reason", "named"),
    [
        (DeliveryStatus.UNDELIVERED, "", StepReason.UNDELIVERED),
        (DeliveryStatus.NO_ANSWER, "", StepReason.NO_ANSWER),
        (DeliveryStatus.FAILED, "no_device", StepReason.NO_DEVICE),
        (DeliveryStatus.FAILED, "rejected", StepReason.SUPPLIER_DOWN),
        (DeliveryStatus.FAILED, "supplier_down", StepReason.SUPPLIER_DOWN),
    ],
)
@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_policy_says_for_which_reasons_the_ladder_goes_on(
    store: ChallengeStore, status: DeliveryStatus, reason: str, named: StepReason, goes_on: bool
) -> None:
    """For one of these reasons the next channel follows; else the challenge ends, and says why."""
    step_on = [each for each in StepReason if (each is named) == goes_on]
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS, step_on=step_on)
    await store.add(challenge, new, HEAD)
    sent = await taken_up(store, challenge)
    assert sent.state is not None
    reply = await store.settle(
        challenge, HEAD, sent.state.deliveries[0].id, Settlement(status, "sandbox", reason=reason)
    )
    assert reply.state is not None
    assert (len(reply.state.deliveries), reply.state.status) == (
        (2, Status.PENDING) if goes_on else (1, Status.UNDELIVERABLE)
    )
    assert reply.state.why == ("" if goes_on else named)


async def test_a_ladder_that_does_not_go_on_by_time_arms_no_timer(store: ChallengeStore) -> None:
    """It rests on its channel until the answer, the receipt, or its end."""
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS, step_on=[StepReason.UNDELIVERED])
    await store.add(challenge, new, HEAD)
    sent = await taken_up(store, challenge)
    assert sent.state is not None
    assert sent.state.next_at == 0
    assert (await store.step(challenge, HEAD, client=CLIENT, resend=RESEND, limits=())).word == "no_more"


async def test_a_payer_can_say_no_once(store: ChallengeStore) -> None:
    """To something that was sent, while the challenge is open; after that the right code is declined too."""
    challenge = await issued(store, new_payer())
    delivery = f"dlv_{challenge.text[4:]}01"
    assert (await store.decline(challenge, HEAD, delivery, "")).word == "ignored"
    await taken_up(store, challenge)
    reply = await store.decline(challenge, HEAD, delivery, "")
    assert kinds(reply) == ["challenge.declined"]
    assert reply.state is not None
    assert (reply.state.status, reply.state.why) == (Status.DECLINED, "payer_reply")
    assert (await store.decline(challenge, HEAD, delivery, "")).word == "ignored"
    assert (await answered(store, challenge, right=True)).word == Outcome.DECLINED


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_message_of_which_nobody_knows_may_have_arrived(store: ChallengeStore, arrived: bool) -> None:
    """A supplier that gave no answer in time: the challenge waits; a late receipt settles it and sends nothing."""
    challenge = await issued(store, new_payer())
    delivery = f"dlv_{challenge.text[4:]}01"
    await taken_up(store, challenge)
    timed_out = Settlement(DeliveryStatus.FAILED, "sandbox", reason="timeout")
    reply = await store.settle(challenge, HEAD, delivery, timed_out)
    assert reply.state is not None
    assert (reply.state.status, kinds(reply)) == (Status.PENDING, ["delivery.settled"])
    told = DeliveryStatus.DELIVERED if arrived else DeliveryStatus.UNDELIVERED
    late = await settled(store, challenge, delivery, told)
    assert late.state is not None
    assert (late.state.deliveries[0].status, len(late.state.deliveries)) == (told, 1)
    assert late.state.status is (Status.PENDING if arrived else Status.UNDELIVERABLE)
    word = (await answered(store, challenge, right=True)).word
    assert word == (Outcome.APPROVED if arrived else Outcome.UNDELIVERABLE)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_policy_may_rest_on_a_message_of_which_nobody_knows(
    store: ChallengeStore, goes_on: bool
) -> None:
    """For `timeout` the next channel follows, or the challenge waits where it is."""
    step_on = [each for each in StepReason if (each is StepReason.TIMEOUT) == goes_on]
    challenge, new = new_challenge(new_payer(), ladder=THREE_STEPS, step_on=step_on)
    await store.add(challenge, new, HEAD)
    await taken_up(store, challenge)
    timed_out = Settlement(DeliveryStatus.FAILED, "sandbox", reason="timeout")
    reply = await store.settle(challenge, HEAD, f"dlv_{challenge.text[4:]}01", timed_out)
    assert reply.state is not None
    assert (reply.state.status, len(reply.state.deliveries)) == (Status.PENDING, 2 if goes_on else 1)


async def test_a_price_that_is_told_last_is_kept(store: ChallengeStore) -> None:
    """Some suppliers tell what they charged only when all is over; that is no event, and told again it is no news."""
    challenge = await issued(store, new_payer())
    delivery = f"dlv_{challenge.text[4:]}01"
    await taken_up(store, challenge)
    await settled(store, challenge, delivery, DeliveryStatus.DELIVERED)
    priced = Settlement(DeliveryStatus.DELIVERED, "sandbox", cost="EUR 0.0531")
    replies = [await store.settle(challenge, HEAD, delivery, priced) for _ in range(2)]
    assert [(reply.word, reply.events) for reply in replies] == [("changed", ()), ("ignored", ())]
    state = await store.get(challenge)
    assert state is not None
    assert (state.deliveries[0].cost, state.deliveries[0].status) == ("EUR 0.0531", DeliveryStatus.DELIVERED)
