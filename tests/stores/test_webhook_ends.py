"""Endpoints that are called no more: disabled or deleted with many messages, of a revoked client, or moved away."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sca_service.audit.model import AuditEvent
from sca_service.kernel.errors import NotFound
from sca_service.kernel.keyring import Keyring
from sca_service.webhooks.desk import Opened, Wanted
from sca_service.webhooks.model import EndpointStatus, MessageStatus
from sca_service.webhooks.outbox.postgres_store import AT_ONCE, OutboxStore
from tests.rude_server import Answer, RudeRequest, RudeServer
from tests.webhooks import CLIENT, ORIGIN, POLICY, PostRoom, settled, told_in

MANY = 2 * AT_ONCE + 1
DISABLED = Wanted(status=EndpointStatus.DISABLED)

_FILL = """
    INSERT INTO webhook_messages (id, endpoint_id, type, subject, at, body, status, due_at)
    SELECT 'msg_' || $1 || number, $1, 'delivery.sent', 'chl_' || number, now(), '{}', 'waiting', now()
    FROM generate_series(1, $2::integer) AS number
"""


@pytest.fixture
async def room(pool: asyncpg.Pool, keyring: Keyring) -> AsyncIterator[PostRoom]:
    """No endpoint but those of the test, of a client that is there."""
    await pool.execute("DELETE FROM webhook_endpoints")
    yield PostRoom(pool, keyring)
    await pool.execute("UPDATE clients SET revoked_at = NULL WHERE id = $1", CLIENT)
    await pool.execute("DELETE FROM webhook_endpoints")


@pytest.fixture
async def receiver() -> AsyncIterator[RudeServer]:
    """A bank that listens."""
    async with RudeServer() as server:
        yield server


async def waiting_in(room: PostRoom, endpoint: Opened) -> int:
    """How many messages wait for an endpoint, whoever may see it."""
    return int(
        await room.pool.fetchval(
            "SELECT count(*) FROM webhook_messages WHERE endpoint_id = $1 AND due_at IS NOT NULL",
            endpoint.endpoint.id,
        )
    )


async def clear_up(room: PostRoom) -> int:
    """Do what a worker does for endpoints that are called no more; in how many parts that was."""
    store, parts = OutboxStore(room.pool), 0
    while await store.clear():
        parts += 1
    return parts


async def test_an_endpoint_with_many_messages_is_deleted_in_parts(
    room: PostRoom, receiver: RudeServer
) -> None:
    """It is gone for its client at once and is called no more; a worker deletes the rest, and leaves others alone."""
    endpoint, other = await room.endpoint(receiver.url), await room.endpoint(receiver.url)
    await room.pool.execute(_FILL, endpoint.endpoint.id, MANY)
    await room.tell(settled("a", 1))
    await room.desk.delete(CLIENT, endpoint.endpoint.id, ORIGIN)
    for attempt in (room.desk.get, room.desk.test):
        with pytest.raises(NotFound):
            await attempt(CLIENT, endpoint.endpoint.id)
    with pytest.raises(NotFound):
        await room.desk.change(CLIENT, endpoint.endpoint.id, DISABLED, ORIGIN)
    with pytest.raises(NotFound):
        await room.desk.delete(CLIENT, endpoint.endpoint.id, ORIGIN)
    assert [one.endpoint.id for one in await room.desk.all_of(CLIENT)] == [other.endpoint.id]
    async with room.sender() as sender:
        await room.send_all(sender)
    assert len(receiver.requests) == 1
    assert await clear_up(room) == 2
    assert await room.pool.fetchval("SELECT array_agg(id) FROM webhook_endpoints") == [other.endpoint.id]
    assert await room.statuses(other) == ["delivered"]
    assert [event["type"] for event in await room.events(endpoint)] == ["webhook.created", "webhook.deleted"]


async def test_what_waits_in_great_number_dies_in_parts(room: PostRoom, receiver: RudeServer) -> None:
    """A client that disables its endpoint waits for no more than the first part; none of the rest is sent."""
    endpoint = await room.endpoint(receiver.url)
    await room.pool.execute(_FILL, endpoint.endpoint.id, MANY)
    changed = await room.desk.change(CLIENT, endpoint.endpoint.id, DISABLED, ORIGIN)
    assert (changed.endpoint.status, changed.endpoint.reason) == ("disabled", "client")
    assert await waiting_in(room, endpoint) == MANY - AT_ONCE
    async with room.sender() as sender:
        assert await sender.begin() == 0
    assert await clear_up(room) == 2
    assert await waiting_in(room, endpoint) == 0
    assert {one.reason for one in await room.messages(endpoint)} == {"endpoint_disabled"}


async def test_a_revoked_client_is_told_nothing_more(room: PostRoom, receiver: RudeServer) -> None:
    """Not even what was in the outbox before: whoever had its key may have named the URL."""
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1))
    await room.pool.execute("UPDATE clients SET revoked_at = now() WHERE id = $1", CLIENT)
    async with room.sender() as sender:
        await room.send_all(sender)
    assert not receiver.requests
    assert await clear_up(room) == 1
    assert await room.statuses(endpoint) == ["dead"]


@pytest.mark.parametrize("status", [410, 500])
async def test_a_url_that_was_left_says_nothing_of_the_next(
    room: PostRoom, receiver: RudeServer, status: int
) -> None:
    """A call that is under way while a bank moves its endpoint neither disables it, nor lets it seem to fail."""
    endpoint = await room.endpoint(receiver.url + "/old")
    await room.pool.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '20 days'")
    await room.tell(settled("a", 1))

    def answer(request: RudeRequest) -> Answer:
        return Answer(status if request.path == "/old" else 200)

    receiver.answer_by(answer)
    (claimed,) = await OutboxStore(room.pool).claim(
        at_once=POLICY.most_at_once, busy={}, most=1, lease_seconds=60
    )
    moved = await room.desk.change(CLIENT, endpoint.endpoint.id, Wanted(url=receiver.url + "/new"), ORIGIN)
    assert moved.endpoint.failing_since is None
    async with room.sender() as sender:
        await sender.send(claimed)
        stands = (await room.desk.get(CLIENT, endpoint.endpoint.id)).endpoint
        assert (stands.status, stands.failing_since) == ("active", None)
        await room.let_time_pass()
        await room.send_all(sender)
    late = AuditEvent.create(event_id="evt_late", kind="webhook.disabled", at_ms=1, members={})
    assert not await OutboxStore(room.pool).disable(endpoint.endpoint.id, claimed.url, "gone", late)
    assert [one.path for one in receiver.requests] == ["/old", "/new"]
    assert await room.statuses(endpoint) == ["delivered"]


async def test_what_arrived_is_delivered_though_it_was_given_up(room: PostRoom, receiver: RudeServer) -> None:
    """A message whose endpoint is disabled while it is called is dead until the call ends well."""
    endpoint = await room.endpoint(receiver.url)
    await room.tell(settled("a", 1))
    (claimed,) = await OutboxStore(room.pool).claim(
        at_once=POLICY.most_at_once, busy={}, most=1, lease_seconds=60
    )
    await room.desk.change(CLIENT, endpoint.endpoint.id, DISABLED, ORIGIN)
    assert await room.statuses(endpoint) == ["dead"]
    async with room.sender() as sender:
        await sender.send(claimed)
    assert [told_in(one) for one in receiver.requests] == [("a", "dlv_001")]
    assert [one.id for one in await room.messages(endpoint, MessageStatus.DELIVERED)] == [claimed.id]
