"""Whether every lease ends: what a dead worker had in its hands is some other's before long.

Looked at in the stores as they stand when the faults are over, before anything is brought forward.
"""

from typing import Any

import asyncpg
import msgspec

from sca_service.challenges.model import ChallengeState, Status, decode_state
from sca_service.delivery.model import DeliveryState, DeliveryStatus

_LONGEST_MS = 20_000
"""The longest that anything waits with which something is to be sent: a lease, or the wait for another try."""
_LONGEST_OF_ALERTS_MS = 30_000
_LONGEST_OF_SETTLED_MS = 30_000
"""Of a challenge that is over while a worker still sends for it."""
_LONGEST_OF_WEBHOOKS_MS = 32_000
"""The longest call that an endpoint may take, a margin of 20 s, and what waits behind another message."""
_GRACE_MS = 2_000
_decode_deliveries = msgspec.json.Decoder(list[DeliveryState]).decode


async def endless_leases(redis: Any, postgres: asyncpg.Connection) -> list[str]:
    """Challenges, alerts and webhooks that nobody takes up in time, in words."""
    return [
        *await _of_challenges(redis),
        *await _of_alerts(postgres),
        *await _of_webhooks(postgres),
    ]


async def states(redis: Any) -> dict[str, ChallengeState]:
    """Every challenge that is in Redis."""
    keys = [key async for key in redis.scan_iter("*:challenge:*", count=1000)]
    packed = [one for one in (await redis.mget(keys) if keys else []) if one]
    return {state.id: state for state in map(decode_state, packed)}


def due_key(challenge: str) -> str:
    """Where a challenge's timer stands."""
    return f"{{p{int(challenge[4:6], 16):02d}}}:due"


async def _of_challenges(redis: Any) -> list[str]:
    return [
        f"{challenge}: its lease does not end"
        for challenge in await states(redis)
        if not await _ends(redis, challenge)
    ]


async def _ends(redis: Any, challenge: str) -> bool:
    """Whether what is queued of a challenge is taken up in time: its state and its timer of one moment."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.get(f"{due_key(challenge).removesuffix('due')}challenge:{challenge}")
        pipeline.zscore(due_key(challenge), challenge)
        pipeline.time()
        packed, at_ms, (seconds, _) = await pipeline.execute()
    state = decode_state(packed) if packed else None
    if state is None or all(one.status is not DeliveryStatus.QUEUED for one in state.deliveries):
        return True
    longest_ms = _LONGEST_MS if state.status is Status.PENDING else _LONGEST_OF_SETTLED_MS
    return at_ms is not None and at_ms <= seconds * 1000 + longest_ms + _GRACE_MS


async def _of_alerts(postgres: asyncpg.Connection) -> list[str]:
    rows = await postgres.fetch(
        "SELECT id, deliveries FROM alerts WHERE status = 'queued'"
        " AND (due_at IS NULL OR due_at > clock_timestamp() + $1 * interval '1 ms')",
        _LONGEST_OF_ALERTS_MS + _GRACE_MS,
    )
    return [f"{row['id']}: its lease does not end" for row in rows if _is_in_hand(row["deliveries"])]


def _is_in_hand(deliveries: str) -> bool:
    """Whether a worker has begun to send: an alert that waits for the morning is in nobody's hands."""
    return any(one.status is DeliveryStatus.QUEUED and one.tries for one in _decode_deliveries(deliveries))


async def _of_webhooks(postgres: asyncpg.Connection) -> list[str]:
    rows = await postgres.fetch(
        "SELECT id FROM webhook_messages WHERE due_at > clock_timestamp() + $1 * interval '1 ms'",
        _LONGEST_OF_WEBHOOKS_MS + _GRACE_MS,
    )
    return [f"{row['id']}: its lease does not end" for row in rows]
