"""Challenges put straight into the stores: what tests of stores and scripts share."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import msgspec

from sca_service.audit.model import AuditEvent
from sca_service.audit.private.commitments import PrivateValues
from sca_service.challenges.attempt import NOTHING_DUE, AttemptRoute
from sca_service.challenges.model import (
    ChallengeId,
    ChallengeState,
    Element,
    Fixed,
    LadderState,
    Method,
    Status,
    decode_state,
    partition_of,
)
from sca_service.challenges.redis_store import (
    MOST_TRIES,
    ChallengeStore,
    EventMembers,
    Reply,
)
from sca_service.challenges.script_input import NewChallenge
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.ids import new_id
from sca_service.kernel.redis.commands import Command
from sca_service.limits.model import Limit
from sca_service.policy.model import Channel, LockoutPolicy, Purpose, StepReason
from tests.harness import PATIENCE_SECONDS, Deployment

CLIENT = "bank"
DIGEST = "sha256:" + "0" * 64
HEAD = EventMembers(f"client:{CLIENT}", "req_storeroom", "sha256:" + "1" * 64)
LOCKOUT = LockoutPolicy(most_failures=5, window_seconds=86_400, block_seconds=(900, 3_600, 14_400, 86_400))
SMS_ONLY = (LadderState(Channel.SMS, 0, "delivered"),)
THREE_STEPS = (
    LadderState(Channel.PUSH, 20_000, "delivered"),
    LadderState(Channel.SMS, 45_000, "sent"),
    LadderState(Channel.VOICE, 0, "delivered"),
)


def over(channel: str, supplier: str = "sandbox") -> AttemptRoute:
    """A route for what is due over a channel."""
    return AttemptRoute(
        channel,
        supplier,
        record=b'{"supplier":"%s"}' % supplier.encode(),
        members=b',"supplier":"x"',
        segments=1,
    )


def new_payer(partition: int | None = None) -> str:
    """A pseudonym that no other test has, in a partition of one's choice."""
    first = secrets.randbelow(256) if partition is None else partition
    return f"{first:02x}{secrets.token_hex(15)}"


def new_challenge(
    payer: str,
    *,
    ladder: Sequence[LadderState] = SMS_ONLY,
    lifetime_ms: int = 300_000,
    most_pending: int = 20,
    limits: Sequence[Limit] = (),
    client: str = CLIENT,
    step_on: Sequence[StepReason] = tuple(StepReason),
) -> tuple[ChallengeId, NewChallenge]:
    """A challenge that is ready to be added. What is sealed in it nobody opens."""
    challenge = ChallengeId.new(
        partition=partition_of(payer), purpose=Purpose.PAYMENT, key_version=1, digits=6
    )
    fixed = Fixed(Purpose.PAYMENT, Method.ONE_TIME_CODE, (Element.POSSESSION,), HEAD.policy or "", "sealed")
    state = ChallengeState(
        id=challenge.text,
        client=client,
        payer=payer,
        status=Status.PENDING,
        revision=0,
        digest=DIGEST,
        created_at=0,
        expires_at=0,
        attempts_left=LOCKOUT.most_failures,
        ladder=list(ladder),
        step=0,
        deliveries=[],
        fixed=msgspec.json.encode(fixed).decode(),
        step_on=" ".join(step_on),
    )
    return challenge, NewChallenge(
        state=state,
        event=b'{"purpose":"payment"}',
        lifetime_ms=lifetime_ms,
        most_pending=most_pending,
        most_failures=LOCKOUT.most_failures,
        limits=limits,
    )


async def issued(store: ChallengeStore, payer: str, *, lifetime_ms: int = 300_000) -> ChallengeId:
    """A pending challenge."""
    challenge, new = new_challenge(payer, lifetime_ms=lifetime_ms)
    reply = await store.add(challenge, new, HEAD)
    assert reply.word == "issued"
    return challenge


async def taken_up(store: ChallengeStore, challenge: ChallengeId, *, supplier: str = "sandbox") -> Reply:
    """What a worker is told that has just leased a challenge, with a route for what is due."""
    state = await store.get(challenge)
    now_ms = time.time_ns() // 1_000_000
    channel = state.channel_due(now_ms, most_tries=MOST_TRIES) if state else None
    return await store.advance(challenge, HEAD, over(channel, supplier) if channel else NOTHING_DUE)


async def leased(store: ChallengeStore, partition: int, *, most: int) -> list[str]:
    """Which challenges a worker leases."""
    return [due.challenge for due in await store.claim(partition, most=most)]


async def answered(
    store: ChallengeStore,
    challenge: ChallengeId,
    *,
    right: bool,
    digest: str = DIGEST,
    key: str = "",
    client: str = CLIENT,
    lockout: LockoutPolicy = LOCKOUT,
) -> Reply:
    """What one answer comes to."""
    return await store.answer(
        challenge,
        HEAD,
        client=client,
        code_matches=right,
        digest=digest,
        answer_key=key,
        lockout=lockout,
    )


def an_event(kind: str = "challenge.answered", **members: object) -> AuditEvent:
    """An event nobody else has."""
    return AuditEvent.create(
        event_id=new_id("evt"), kind=kind, at_ms=time.time_ns() // 1_000_000, members=members
    )


def values_of(payer: str, event_id: str | None = None) -> PrivateValues:
    """Personal values that stand nowhere else."""
    return PrivateValues(
        event_id or new_id("evt"),
        payer,
        secrets.token_bytes(32),
        {"phone": f"+4915{secrets.randbelow(10**8):08}"},
    )


async def events_of(pool: asyncpg.Pool, challenge: str) -> list[AuditEvent]:
    """The events on record about a challenge, in the order they were put there."""
    rows = await pool.fetch(
        "SELECT body FROM audit_events WHERE challenge_id = $1 ORDER BY txid, position", challenge
    )
    return [AuditEvent.parse(row["body"]) for row in rows]


async def keys_of(redis: RedisConnection, pattern: str = "*") -> list[bytes]:
    """The keys of this form, wherever they lie."""
    return sorted({key async for some in redis.find_keys(pattern, at_once=1_000) for key in some})


async def forget_all(redis: RedisConnection) -> None:
    """Remove every key, wherever it lies."""
    await redis.all([Command(("DEL", key)) for key in await keys_of(redis)])


async def now_ms(redis: RedisConnection) -> int:
    """The time by Redis."""
    seconds, microseconds = await redis.command("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


async def eventually(claim: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a claim holds. Raises AssertionError when it does not, in time."""
    deadline = time.monotonic() + seconds
    while not await claim():
        assert time.monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.01)


async def is_waiting(pool: asyncpg.Pool) -> bool:
    """Whether somebody waits for a lock that another transaction holds. The pool's connection must be in none."""
    count: int = await pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return count > 0


async def let_expire(service: Deployment, challenge: str) -> None:
    """Move a challenge's end into the past: Redis tells the time itself."""
    redis = RedisConnection(service.servers.valkey.url)
    try:
        key = f"{{p{int(challenge[4:6], 16):02d}}}:challenge:{challenge}"
        state = decode_state(await redis.command("GET", key))
        state.expires_at = state.created_at
        await redis.command("SET", key, msgspec.msgpack.encode(state), "KEEPTTL")
    finally:
        await redis.close()
