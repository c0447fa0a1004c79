"""The outbox of webhooks: in order, at least once, and no endpoint waits for another."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sca_service.kernel.keyring import Keyring
from sca_service.webhooks.model import AttemptOutcome, MessageStatus
from sca_service.webhooks.outbox.postgres_store import OutboxStore
from tests.harness import Deployment
from tests.logs import own_schema
from tests.rude_server import Answer, RudeRequest, RudeServer
from tests.storeroom import eventually
from tests.webhooks import CLIENT, ORIGIN, POLICY, PostRoom, happened, settled, told_in


@pytest.fixture
async def room(pool: asyncpg.Pool, keyring: Keyring) -> AsyncIterator[PostRoom]:
    """No endpoint but those of the test, of a client that is there."""
    await pool.execute("DELETE FROM webhook_endpoints")
    yield PostRoom(pool, keyring)
    await pool.execute("DELETE FROM webhook_endpoints")


@pytest.fixture
async def receiver() -> AsyncIterator[RudeServer]:
    """A bank that listens."""
    async with RudeServer() as server:
        yield server


async def test_the_next_one_waits_for_the_one_before_of_its_challenge(
    room: PostRoom, receiver: RudeServer
) -> None:
    """And for no other challenge's; each call of a message has the same id."""
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1), settled("a", 2), settled("b", 1))
    receiver.answer_by(lambda request: Answer(500 if told_in(request) == ("a", "dlv_001") else 200))
    async with room.sender() as sender:
        await room.send_all(sender)
        assert sorted(map(told_in, receiver.requests)) == [("a", "dlv_001"), ("b", "dlv_001")]
        assert await room.statuses(endpoint) == ["waiting", "waiting", "delivered"]
        receiver.answer(200)
        await room.let_time_pass()
        await room.send_all(sender)
    assert [told_in(one) for one in receiver.requests[2:]] == [("a", "dlv_001"), ("a", "dlv_002")]
    ids = {told_in(one): one.headers["webhook-id"] for one in receiver.requests[:2]}
    assert receiver.requests[2].headers["webhook-id"] == ids["a", "dlv_001"]
    assert await room.statuses(endpoint) == ["delivered"] * 3


async def test_order_holds_whatever_fails_in_between(room: PostRoom, receiver: RudeServer) -> None:
    """Calls fail as chance has it, and two workers call: of each challenge everything arrives, in its order."""
    chance = random.Random(7)
    arrived: list[tuple[str, str]] = []

    def answer(request: RudeRequest) -> Answer:
        if chance.random() < 0.35:
            return Answer(503)
        arrived.append(told_in(request))
        return Answer(200)

    receiver.answer_by(answer)
    endpoint = await room.endpoint(receiver.url)
    await room.tell(*(settled(challenge, number) for number in range(5) for challenge in "abcd"))
    async with room.sender() as first, room.sender() as second:
        for _ in range(200):
            await asyncio.gather(room.send_all(first), room.send_all(second))
            if set(await room.statuses(endpoint)) == {"delivered"}:
                break
            await room.let_time_pass()
    assert len(receiver.requests) > 20
    for challenge in "abcd":
        assert [one for one in arrived if one[0] == challenge] == [
            (challenge, f"dlv_{number:03d}") for number in range(5)
        ]


async def test_an_endpoint_is_told_before_a_worker_ever_ran(
    quiet_stores: Deployment, keyring: Keyring
) -> None:
    """The log is followed from the first endpoint on, not from the first worker's start on."""
    async with own_schema(quiet_stores) as pool:
        await pool.execute("INSERT INTO clients (id, scopes) VALUES ($1, '{challenges}')", CLIENT)
        await pool.execute("UPDATE log_state SET size = 7")
        await PostRoom(pool, keyring).endpoint("https://bank.example/webhooks")
        await pool.execute("UPDATE log_state SET size = 9")
        await PostRoom(pool, keyring).endpoint("https://bank.example/webhooks")
        assert await pool.fetchval("SELECT next_index FROM followers WHERE name = 'webhooks'") == 7


async def test_a_slow_endpoint_delays_no_other(room: PostRoom, receiver: RudeServer) -> None:
    """It has its own few calls and no more, however much waits for it; the other gets everything meanwhile."""
    async with room.sender(most_at_once=POLICY.most_at_once + 2) as sender:
        async with RudeServer() as slow:
            for _ in range(POLICY.most_at_once + 2):
                slow.silence_next()
            held = await room.endpoint(slow.url)
            swift = await room.endpoint(receiver.url)
            await room.tell(*(settled(f"c{number}", number) for number in range(20)))

            async def all_arrived() -> bool:
                await sender.begin()
                return await room.statuses(swift) == ["delivered"] * 20

            async def all_are_held() -> bool:
                await sender.begin()
                return len(slow.requests) >= POLICY.most_at_once

            await eventually(all_arrived)
            await eventually(all_are_held)
            await sender.begin()
            assert len(slow.requests) == POLICY.most_at_once
            assert await room.statuses(held) == ["waiting"] * 20
        await sender.finish()


async def test_one_that_fails_is_called_one_at_a_time(room: PostRoom, receiver: RudeServer) -> None:
    """Until it answers well."""
    receiver.answer(500)
    await room.endpoint(receiver.url)
    await room.tell(settled("first", 0))
    async with room.sender() as sender:
        await room.send_all(sender)
        await room.tell(*(settled(f"c{number}", number) for number in range(6)))
        assert await sender.begin() == 1
        await sender.finish()
        receiver.answer(200)
        assert await sender.begin() == 1
        await sender.finish()
        assert await sender.begin() == POLICY.most_at_once
        await sender.finish()


async def test_two_workers_never_send_the_same_at_once(room: PostRoom, receiver: RudeServer) -> None:
    """When nothing fails each message is sent once."""
    await room.endpoint(receiver.url)
    await room.tell(*(settled(f"c{number}", number) for number in range(40)))
    async with room.sender() as first, room.sender() as second:
        await asyncio.gather(room.send_all(first), room.send_all(second))
    assert len(receiver.requests) == 40
    assert len({one.headers["webhook-id"] for one in receiver.requests}) == 40


async def test_what_a_dead_worker_held_is_sent_by_another(room: PostRoom, receiver: RudeServer) -> None:
    """When its lease is over, under the same id; what the dead one says late changes nothing."""
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1))
    store = OutboxStore(room.pool)
    (held,) = await store.claim(at_once=4, busy={}, most=9, lease_seconds=60)
    async with room.sender() as sender:
        assert await sender.begin() == 0
        await room.let_time_pass()
        await room.send_all(sender)
        assert [one.headers["webhook-id"] for one in receiver.requests] == [held.id]
    (message,) = await room.messages(endpoint)
    assert (message.status, message.tries) == (MessageStatus.DELIVERED, 2)


async def test_gone_disables_and_what_was_missed_is_replayed(room: PostRoom, receiver: RudeServer) -> None:
    """410 ends it, on record; what waits and what comes is dead; a time is replayed, under the ids that it had."""
    receiver.answer(410)
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1), settled("a", 2))
    async with room.sender() as sender:
        await room.send_all(sender)
        assert len(receiver.requests) == 1
        await room.tell(settled("b", 1))
        assert await room.statuses(endpoint) == ["dead"] * 3
        assert {message.reason for message in await room.messages(endpoint)} == {"endpoint_disabled"}
        stands = (await room.desk.get(CLIENT, endpoint.endpoint.id)).endpoint
        assert (stands.status, stands.reason) == ("disabled", "gone")
        events = await room.events(endpoint)
        assert [(event["type"], event.get("reason")) for event in events] == [
            ("webhook.created", None),
            ("webhook.disabled", "gone"),
        ]
        await room.pool.execute("UPDATE webhook_endpoints SET status = 'active', reason = ''")
        receiver.answer(200)
        assert await sender.begin() == 0
        messages = await room.messages(endpoint)
        since, until = messages[0].at, messages[-1].at.replace(year=messages[-1].at.year + 1)
        assert await room.desk.replay_range(CLIENT, endpoint.endpoint.id, since, until, None) == 3
        await room.send_all(sender)
    again = [one.headers["webhook-id"] for one in receiver.requests[1:]]
    assert sorted(again) == sorted(message.id for message in messages)
    assert [told_in(one) for one in receiver.requests[1:] if told_in(one)[0] == "a"] == [
        ("a", "dlv_001"),
        ("a", "dlv_002"),
    ]


async def test_days_of_failure_disable(room: PostRoom, receiver: RudeServer) -> None:
    """By the policy's days, on record; a success begins them anew."""
    receiver.answer(500)
    endpoint = await room.endpoint(receiver.url)
    later = "UPDATE webhook_endpoints SET failing_since = now() - make_interval(days => $1, mins => 1)"
    async with room.sender() as sender:
        await room.tell(settled("a", 1))
        await room.send_all(sender)
        await room.pool.execute(later, POLICY.disable_after_days - 1)
        await room.let_time_pass()
        await room.send_all(sender)
        assert (await room.desk.get(CLIENT, endpoint.endpoint.id)).endpoint.failing_since
        receiver.answer(200)
        await room.let_time_pass()
        await room.send_all(sender)
        assert (await room.desk.get(CLIENT, endpoint.endpoint.id)).endpoint.failing_since is None
        receiver.answer(500)
        await room.tell(settled("a", 2))
        await room.send_all(sender)
        await room.pool.execute(later, POLICY.disable_after_days)
        await room.let_time_pass()
        await room.send_all(sender)
    stands = (await room.desk.get(CLIENT, endpoint.endpoint.id)).endpoint
    assert (stands.status, stands.reason) == ("disabled", "failing")
    assert (await room.events(endpoint))[-1]["reason"] == "failing"


async def test_after_the_last_call_a_message_is_dead_and_may_be_replayed(
    room: PostRoom, receiver: RudeServer
) -> None:
    """Each call is on record; the next message of its challenge goes on; a replay begins the schedule anew."""
    policy = replace(POLICY, retry_after_seconds=(5, 300))
    receiver.answer_by(lambda request: Answer(500 if told_in(request)[1] == "dlv_001" else 200))
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1), settled("a", 2))
    async with room.sender(policy=policy) as sender:
        for _ in range(3):
            await room.send_all(sender)
            await room.let_time_pass()
        await room.send_all(sender)
        assert await room.statuses(endpoint) == ["dead", "delivered"]
        (dead,) = await room.messages(endpoint, MessageStatus.DEAD)
        assert dead.reason == "exhausted"
        receiver.answers([Answer(500)])
        receiver.answer(200)
        assert await room.desk.replay(CLIENT, endpoint.endpoint.id, dead.id) == 1
        assert await room.desk.replay(CLIENT, endpoint.endpoint.id, dead.id) == 0
        await room.send_all(sender)
        assert await room.statuses(endpoint) == ["waiting", "delivered"]
        await room.let_time_pass()
        await room.send_all(sender)
    _, attempts = await room.desk.message(CLIENT, endpoint.endpoint.id, dead.id)
    assert [(one.number, one.outcome, one.http_status) for one in attempts] == [
        *((number, AttemptOutcome.REFUSED, 500) for number in (1, 2, 3, 4)),
        (5, AttemptOutcome.DELIVERED, 200),
    ]


async def test_both_secrets_verify_after_a_rotation(room: PostRoom, receiver: RudeServer) -> None:
    """With the official package, on what arrived; and the old one alone no more once its time is over."""
    first = await room.endpoint(receiver.url)
    second = await room.desk.rotate(CLIENT, first.endpoint.id, ORIGIN)
    secrets = [one.keys.secret.reveal() for one in (first, second) if one.keys.secret]
    assert len(set(secrets)) == 2
    await room.tell(settled("a", 1))
    async with room.sender() as sender:
        await room.send_all(sender)
    (request,) = receiver.requests
    for secret in secrets:
        Webhook(secret).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 44).verify(request.body, dict(request.headers))
    assert [event["type"] for event in await room.events(first)] == ["webhook.created", "webhook.rotated"]
    on_record = str(await room.events(first))
    assert not any(secret in on_record for secret in secrets)


async def test_an_end_is_told_once(room: PostRoom, receiver: RudeServer) -> None:
    """However often a blocked challenge is answered."""
    endpoint = await room.endpoint(receiver.url)
    for _ in range(3):
        await room.tell(*(happened("challenge.answered", "a", outcome="blocked") for _ in range(2)))
    assert await room.statuses(endpoint) == ["waiting"]


async def test_a_filter_and_another_client(room: PostRoom, receiver: RudeServer) -> None:
    """An endpoint hears of what it asked for, and of nothing that happened to another client's payers."""
    endpoint = await room.endpoint(receiver.url, "challenge.*", "payer.blocked")
    await room.tell(
        settled("a", 1),
        happened("challenge.issued", "a", purpose="payment"),
        happened("payer.blocked", "a", until_ms=1),
        happened("challenge.issued", "b", client="other-bank"),
    )
    assert [message.type for message in await room.messages(endpoint)] == [
        "challenge.issued",
        "payer.blocked",
    ]


async def test_a_checkpoint_is_told_once_a_while(
    quiet_stores: Deployment, keyring: Keyring, receiver: RudeServer
) -> None:
    """To those who may read the log, by one worker, and the next one not before the policy's time."""
    publish = "INSERT INTO log_checkpoints (size, root, note, published_at) VALUES ($1, $2, 'note', now())"
    long_ago = "UPDATE webhook_endpoints SET checkpoint_at = now() - interval '1 day'"
    async with own_schema(quiet_stores) as pool:
        await pool.execute("INSERT INTO clients (id, scopes) VALUES ($1, '{audit,challenges}')", CLIENT)
        room = PostRoom(pool, keyring)
        endpoint = await room.endpoint(receiver.url, "checkpoint.published")
        await room.endpoint(receiver.url, "challenge.*")
        async with room.sender() as first, room.sender() as second:
            assert await first.tell_checkpoint() == 0
            await pool.execute(publish, 70, b"\x01" * 32)
            assert sorted(await asyncio.gather(first.tell_checkpoint(), second.tell_checkpoint())) == [0, 1]
            await pool.execute(publish, 90, b"\x02" * 32)
            assert await first.tell_checkpoint() == 0
            await pool.execute(long_ago)
            assert await first.tell_checkpoint() == 1
            await pool.execute(long_ago)
            assert await first.tell_checkpoint() == 0
        told = [json.loads(message.body)["data"]["size"] for message in await room.messages(endpoint)]
        assert told == [70, 90]


async def test_what_is_over_is_pruned(room: PostRoom, receiver: RudeServer) -> None:
    """With its calls, after the policy's days; what waits never is."""
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1), settled("b", 1))
    async with room.sender() as sender:
        receiver.answer_by(lambda request: Answer(200 if told_in(request)[0] == "a" else 500))
        await room.send_all(sender)
    await room.pool.execute("UPDATE webhook_messages SET settled_at = settled_at - interval '15 days'")
    store = OutboxStore(room.pool)
    assert await store.prune(days=POLICY.kept_days, most=10) == 1
    assert await room.statuses(endpoint) == ["waiting"]
    assert await room.pool.fetchval("SELECT count(*) FROM webhook_attempts") == 1
