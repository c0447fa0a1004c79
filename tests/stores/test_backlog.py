"""What is due and waits for a worker, as workers are scaled by it."""

from sca_service.challenges.backlog.redis_store import BacklogStore, Due
from sca_service.challenges.backlog.watch import BacklogWatch
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.telemetry import DELIVERIES_DUE, DELIVERIES_DUE_SECONDS
from tests.storeroom import issued, leased, new_payer

PARTITION, OTHER = 61, 62


async def made_due(redis: RedisConnection, store: ChallengeStore, partition: int, ago_ms: int) -> str:
    """A challenge that a worker should have taken up so long ago."""
    challenge = await issued(store, new_payer(partition))
    seconds, micros = await redis.command("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    await redis.command("ZADD", f"{{p{partition:02d}}}:due", now_ms - ago_ms, challenge.text)
    return challenge.text


async def test_what_is_due_is_counted_until_it_is_taken_up(
    redis: RedisConnection, store: ChallengeStore
) -> None:
    """Over all partitions; what waits for its time, and what a worker has leased, is not in it."""
    for partition in (PARTITION, OTHER):
        await redis.command("DEL", f"{{p{partition:02d}}}:due")
    backlog = BacklogStore(redis)
    await issued(store, new_payer(PARTITION))  # not yet on record, so not yet due
    assert await backlog.due((PARTITION, OTHER)) == Due(0, 0)
    await made_due(redis, store, PARTITION, 1_000)
    await made_due(redis, store, PARTITION, 7_000)
    await made_due(redis, store, OTHER, 3_000)
    found = await backlog.due((PARTITION, OTHER))
    assert found.number == 3
    assert found.waiting_ms >= 7_000

    await BacklogWatch(backlog, (PARTITION, OTHER)).count()
    assert DELIVERIES_DUE._value.get() == 3
    assert DELIVERIES_DUE_SECONDS._value.get() >= 7

    assert len(await leased(store, PARTITION, most=10)) == 2
    assert (await backlog.due((PARTITION, OTHER))).number == 1
