"""Goes over everything once the faults are over: what is still open is brought to its end, and then nothing may be odd.

It adds to `checker.py` what only a whole run shows: that every challenge is final, every delivery settled, every key of
Redis mortal, the log the one that every checkpoint signed, each alert ordered once, and each webhook told.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from sca_service.challenges.model import PARTITIONS, Status
from sca_service.delivery.model import DeliveryStatus
from tests.faults.checker import Found, read, violations_in
from tests.faults.endpoints import Endpoints
from tests.faults.leases import due_key, endless_leases, states
from tests.faults.telling import are_told, badly_told
from tests.faults.traffic import Told
from tests.harness import Deployment
from tests.rfc6962 import Tree

_PATIENCE_SECONDS = 90.0
_TELLING = ("actor", "outcome", "attempts_left", "delivery", "status", "try", "reason", "request")
_IMMORTAL = {
    b":due": "timers: an entry goes when its challenge is settled",
    b":outbox": "events wait in it until they are committed",
    b"{risk}:copying": "how far a worker is with copying lists from PostgreSQL, one key",
    b"{risk}:copied": "how far that copying has come, one key",
}
"""What may be in Redis without a time to live: the ends of such keys' names, and why."""


async def audited(
    deployment: Deployment,
    told: Sequence[Told],
    dedupe_keys: Sequence[str],
    endpoints: Endpoints,
    api: str,
    *,
    has_lost_tail: bool = False,
    forgiven: set[str] | None = None,
) -> list[str]:
    """Bring everything to its end, then all that does not hold, in words.

    `has_lost_tail` claims that Redis came back older than it was: then it may count an attempt anew, and tell less than
    the record. What was there then is `forgiven` from then on, and put down as that.
    """
    forgiven = set() if forgiven is None else forgiven
    redis: Any = Redis.from_url(deployment.servers.valkey.url)
    postgres = await asyncpg.connect(deployment.servers.postgres.url)
    try:
        wrong = await endless_leases(redis, postgres)
        await _until(lambda: _is_quiet(redis, postgres), "nothing is being sent")
        await _expire_all(redis)
        await _until(lambda: _is_over(redis, postgres, deployment), "every challenge is final")
        await _until(lambda: are_told(postgres), "every webhook is told")
        found = await read(deployment)
        at_any_rate = violations_in(found, told, lost_tail=True)
        wrong += at_any_rate
        if has_lost_tail:
            forgiven |= {event["challenge"] for event in found.events if "challenge" in event}
        strictly = [*violations_in(found, told), *_not_final(found), *_attempts_counted_once(found)]
        wrong += [one for one in strictly if one not in at_any_rate and not forgiven & _named(one)]
        wrong += await _immortal_keys(redis)
        wrong += await _log_is_not_what_was_signed(postgres)
        wrong += await _alerts_ordered_twice(postgres, dedupe_keys)
        wrong += await badly_told(deployment, api, postgres, endpoints)
        return wrong
    except TimeoutError as late:
        return [f"it did not come to its end: {late}", *_open_ends(await read(deployment))]
    finally:
        await redis.aclose()
        await postgres.close()


def _named(sentence: str) -> set[str]:
    """The challenges that a sentence is about."""
    return {f"chl_{match[1]}" for match in re.finditer(r"(?:chl|dlv)_([0-9a-f]{38})", sentence)}


async def stories_of(deployment: Deployment, found: Sequence[str]) -> list[str]:
    """What is on record of each challenge that a sentence names, and how it stands in both stores."""
    named = {
        f"chl_{match[1][:38]}" for one in found for match in re.finditer(r"(?:chl|dlv)_([0-9a-f]{38})", one)
    }
    lines = []
    there = await read(deployment)
    for challenge in sorted(named)[:5]:
        lines.append(challenge)
        for event in there.events:
            if event.get("challenge") == challenge:
                at_ms, kind = event["at_ms"], event["type"]
                rest = {name: event[name] for name in _TELLING if name in event}
                lines.append(f"  {at_ms} {kind} {rest}")
        for where, known in (("Redis", there.hot), ("PostgreSQL", there.archive)):
            if state := known.get(challenge):
                deliveries = [
                    (one.id[-2:], str(one.status), one.reason, one.tries) for one in state.deliveries
                ]
                lines.append(f"  {where}: {state.status}, revision {state.revision}, {deliveries}")
    return lines


async def _until(holds: Any, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"waited in vain until {what}")
        await asyncio.sleep(0.1)


async def _is_quiet(redis: Any, postgres: asyncpg.Connection) -> bool:
    """Whether nothing is queued; what waits for a lease or a pause to end is brought forward."""
    queued = [
        challenge
        for challenge, state in (await states(redis)).items()
        if any(one.status is DeliveryStatus.QUEUED for one in state.deliveries)
    ]
    for challenge in queued:
        await redis.zadd(due_key(challenge), {challenge: 1}, xx=True)
    moved = await postgres.execute(
        "UPDATE alerts SET due_at = clock_timestamp() WHERE due_at > clock_timestamp()"
    )
    open_alerts = await postgres.fetchval("SELECT count(*) FROM alerts WHERE due_at IS NOT NULL")
    if queued or moved != "UPDATE 0":
        await asyncio.sleep(1.0)  # a worker takes it up
    return not queued and not open_alerts and not await _in_outboxes(redis)


async def _in_outboxes(redis: Any) -> int:
    async with redis.pipeline(transaction=False) as pipeline:
        for partition in range(PARTITIONS):
            pipeline.xlen(f"{{p{partition:02d}}}:outbox")
        return sum(await pipeline.execute())


async def _expire_all(redis: Any) -> None:
    """Move the end of every pending challenge into the past, and wake whoever sees to that."""
    for challenge, state in (await states(redis)).items():
        if state.status is Status.PENDING:
            state.expires_at = state.created_at
            key = f"{{p{int(challenge[4:6], 16):02d}}}:challenge:{challenge}"
            await redis.set(key, msgspec.msgpack.encode(state), keepttl=True)
            await redis.zadd(due_key(challenge), {challenge: 1})


async def _is_over(redis: Any, postgres: asyncpg.Connection, deployment: Deployment) -> bool:
    if any(state.status is Status.PENDING for state in (await states(redis)).values()):
        return False
    if await _in_outboxes(redis):
        return False
    events = await postgres.fetchval("SELECT count(*) FROM audit_events")
    return bool(await postgres.fetchval("SELECT count(*) FROM audit_leaves") == events)


def _open_ends(found: Found) -> Iterator[str]:
    for challenge, state in found.hot.items():
        if state.status is Status.PENDING:
            yield f"{challenge}: pending, {[(one.status, one.tries) for one in state.deliveries]}"
    if found.outbox:
        yield f"{found.outbox} events in the outbox"
    if len(found.events) != len(found.indexes):
        yield f"{len(found.events) - len(found.indexes)} events without an index"


def _not_final(found: Found) -> Iterator[str]:
    """Every challenge has come to its end, in both stores, and so has every delivery."""
    for where, known in (("Redis", found.hot), ("PostgreSQL", found.archive)):
        for challenge, state in known.items():
            if state.status is Status.PENDING:
                yield f"{challenge}: pending in {where}"
            for one in state.deliveries:
                if one.status is DeliveryStatus.QUEUED:
                    yield f"{one.id}: never settled, in {where}"


def _attempts_counted_once(found: Found) -> Iterator[str]:
    """Each wrong answer takes an attempt: no two leave as many (RTS Art. 4(3)(b))."""
    left = Counter(
        (event["challenge"], event["attempts_left"])
        for event in found.events
        if event["type"] == "challenge.answered" and event["outcome"] == "incorrect"
    )
    for (challenge, attempts_left), times in left.items():
        if times > 1:
            yield f"{challenge}: {times} wrong answers left {attempts_left} attempts each"


async def _immortal_keys(redis: Any) -> list[str]:
    keys = [key async for key in redis.scan_iter(count=1000)]
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.ttl(key)
        lives = await pipeline.execute()
    return [
        f"Redis keeps {key!r} for ever"
        for key, seconds in zip(keys, lives, strict=True)
        if seconds == -1 and not any(key.endswith(end) for end in _IMMORTAL)
    ]


async def _log_is_not_what_was_signed(postgres: asyncpg.Connection) -> list[str]:
    """The tree over what is on record is, at its size, the one of every checkpoint (RFC 6962, section 2.1)."""
    rows = await postgres.fetch(
        "SELECT event.body FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
        " ORDER BY leaf.index"
    )
    tree = Tree([row["body"].encode() for row in rows])
    signed = await postgres.fetch("SELECT size, root FROM log_checkpoints ORDER BY size")
    wrong = [
        f"the log of {row['size']} is not the one that was signed"
        for row in signed
        if row["size"] > len(tree.leaves) or tree.root(row["size"]) != bytes(row["root"])
    ]
    if not signed or signed[-1]["size"] != len(tree.leaves):
        wrong.append("the newest checkpoint is not over the whole log")
    return wrong


async def _alerts_ordered_twice(postgres: asyncpg.Connection, dedupe_keys: Collection[str]) -> list[str]:
    """Each key was taken once, and each alert is over."""
    rows = await postgres.fetch("SELECT id, status, reason FROM alerts")
    ordered = sum(row["reason"] != "duplicate" for row in rows)
    wrong = [] if ordered <= len(dedupe_keys) else [f"{ordered} alerts for {len(dedupe_keys)} keys"]
    wrong += [f"{row['id']}: {row['status']} in the end" for row in rows if row["status"] == "queued"]
    return wrong
