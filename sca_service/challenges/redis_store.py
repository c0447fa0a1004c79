"""Challenges in Redis: the scripts that change them, and what they return.

All keys of a payer carry the hash tag of the payer's partition, so each call runs on one slot of a cluster.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from sca_service.audit.model import AuditEvent
from sca_service.audit.redis_store import outbox_key
from sca_service.challenges.attempt import AttemptRoute
from sca_service.challenges.lockout import Lockout
from sca_service.challenges.model import (
    ChallengeId,
    ChallengeState,
    LadderState,
    PushRule,
    decode_state,
    partition_of,
)
from sca_service.challenges.script_input import UNSIGNED, KeptAnswer, NewChallenge
from sca_service.challenges.scripts import (
    ADVANCE,
    CANCEL,
    CLAIM,
    DECLINE,
    ISSUE,
    NEXT,
    POSTPONE,
    RELEASE,
    SETTLE,
    UNBLOCK,
    VERIFY,
)
from sca_service.delivery.model import Settlement
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.ids import new_id
from sca_service.limits.model import Limit
from sca_service.policy.model import LockoutPolicy, ResendPolicy

log = structlog.get_logger()

CLAIM_LEASE_MS = 10_000
"""To choose a route in, with a look-up; a worker with thousands to do at once gets to all of them."""
SEND_LEASE_MS = 20_000
MOST_TRIES = 3
RECORD_MS = 4_500
"""How long a new delivery waits to be released; queue.lua holds the same number."""


class EventMembers(msgspec.Struct, frozen=True, omit_defaults=True):
    """The members that are the same for all events of one call; client, payer and challenge the script knows."""

    actor: str
    request: str | None = None
    policy: str | None = None
    certificate: str = ""
    organisation: str = ""

    def as_head(self) -> bytes:
        """JSON members without their braces, as the scripts take them."""
        return msgspec.json.encode(self)[1:-1]


class Reply(msgspec.Struct, frozen=True):
    """What a script decided: a word of its own, the state it left, and the events it put into the outbox."""

    word: str
    state: ChallengeState | None = None
    events: tuple[AuditEvent, ...] = ()
    places: tuple[bytes, ...] = ()
    wait_ms: int = 0
    superseded: ChallengeState | None = None
    ahead_ms: tuple[int, ...] = ()  # how far ahead of the clock each limit is spent that it was given


@dataclass(frozen=True, slots=True)
class Due:
    """A challenge whose time has come, as it stood when it was leased at `now_ms`.

    `state` is None when it is gone, or nothing that could be read. The lease holds until `leased_until`.
    """

    challenge: str
    state: ChallengeState | None
    now_ms: int
    leased_until: int


class ChallengeStore:
    """Runs the scripts. A class because it holds the connection."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis

    async def add(self, challenge: ChallengeId, new: NewChallenge, head: EventMembers) -> Reply:
        """Issue: `issued`, `refused` (payer blocked), `exists`; with `wait_ms` `limited` or `unanswered` (devices)."""
        limits, pushes = new.limits, new.pushes or PushRule(0, 0)
        reply = await self._redis.call(
            ISSUE[self._redis.may_lose],
            (*_keys(challenge), *(_limit_key(challenge.partition, limit) for limit in limits)),
            (
                new_id("evt"),
                head.as_head(),
                b"," + new.event[1:-1],
                msgspec.msgpack.encode(new.state),
                new.lifetime_ms,
                new.most_pending,
                new.most_failures,
                pushes.most,
                pushes.counted_ms,
                new.refused_for,
                *_numbers(limits),
            ),
        )
        word, ahead, *rest = reply
        ahead_ms = tuple(map(int, ahead.split()))
        if word in (b"limited", b"unanswered"):
            return Reply(word.decode(), wait_ms=rest[0], ahead_ms=ahead_ms)
        superseded = decode_state(rest.pop(1)) if word == b"superseding" else None
        decided = b"issued" if superseded else word
        return _reply([decided, *rest], superseded=superseded, ahead_ms=ahead_ms)

    async def answer(  # noqa: PLR0913 - one for each thing that the script weighs
        self,
        challenge: ChallengeId,
        head: EventMembers,
        *,
        client: str,
        code_matches: bool,
        digest: str,
        answer_key: str,
        lockout: LockoutPolicy,
        device: str = "",
        signed: KeptAnswer = UNSIGNED,
    ) -> Reply:
        """Answer: the outcome, `not_found` (unknown, or another client's), or `withdrawn` for a `device` that is."""
        blocks = " ".join(str(seconds * 1000) for seconds in lockout.block_seconds)
        reply = await self._redis.call(
            VERIFY[self._redis.may_lose],
            _keys(challenge),
            (
                new_id("evt"),
                head.as_head(),
                client,
                int(code_matches),
                digest,
                answer_key,
                lockout.most_failures,
                lockout.window_seconds * 1000,
                blocks,
                device,
                *signed,
            ),
            lasts=True,
        )
        return _reply(reply)

    async def step(
        self,
        challenge: ChallengeId,
        head: EventMembers,
        *,
        client: str,
        resend: ResendPolicy,
        limits: Sequence[Limit],
        over: LadderState | None = None,
    ) -> Reply:
        """Send over the next channel or this one: `stepped`, `cooldown`, `limited`, `no_more`, `final`, `not_found`."""
        reply = await self._redis.call(
            NEXT,
            (*_keys(challenge), *(_limit_key(challenge.partition, limit) for limit in limits)),
            (
                new_id("evt"),
                head.as_head(),
                client,
                *(resend.first_seconds * 1000, resend.factor, resend.most_seconds * 1000),
                *((over.channel, over.timeout_ms, over.until_status) if over else ("", 0, "")),
                *_numbers(limits),
            ),
        )
        if reply[0] in (b"cooldown", b"limited"):
            return Reply(reply[0].decode(), wait_ms=reply[1])
        return _reply(reply)

    async def cancel(
        self, challenge: ChallengeId, head: EventMembers, *, client: str, why: str = "client_request"
    ) -> Reply:
        """Cancel: `cancelled`, `final` when it was final before, or `not_found`."""
        return _reply(
            await self._redis.call(
                CANCEL, _keys(challenge), (new_id("evt"), head.as_head(), client, why), lasts=True
            )
        )

    async def withdraw(self, payer: str, device: str, *, seconds: int) -> None:
        """Let no answer of a payer's device through for so long, 0: let them again. Raises StoreUnavailable."""
        key = f"{{p{partition_of(payer):02d}}}:withdrawn:{device}"
        command = ("SET", key, 1, "EX", seconds) if seconds else ("DEL", key)
        await self._redis.command(*command, lasts=True)

    async def pending_of(self, payer: str) -> list[ChallengeId]:
        """A payer's challenges that are pending, or were a moment ago; the oldest first."""
        members = await self._redis.command(
            "ZRANGE", f"{{p{partition_of(payer):02d}}}:pending:{payer}", 0, -1
        )
        return [one for member in members if (one := ChallengeId.parse(member.decode()))]

    async def get(self, challenge: ChallengeId) -> ChallengeState | None:
        """The state, or None when Redis holds none (any more)."""
        packed = await self._redis.command("GET", _challenge_key(challenge))
        return decode_state(packed) if packed else None

    async def first_of(self, challenges: Sequence[ChallengeId]) -> ChallengeState | None:
        """The state of the first of these, all of one partition, that is there. Raises StoreUnavailable."""
        found = await self._redis.command("MGET", *map(_challenge_key, challenges))
        return next((decode_state(packed) for packed in found if packed), None)

    async def forget(self, challenge: ChallengeId) -> None:
        """Let go of a challenge: PostgreSQL answers for it from now on. Raises StoreUnavailable."""
        await self._redis.command("DEL", _challenge_key(challenge))

    async def claim(self, partition: int, *, most: int) -> list[Due]:
        """Lease the challenges of a partition whose time has come."""
        now_ms, *found = await self._redis.call(CLAIM, (_due_key(partition),), (CLAIM_LEASE_MS, most))
        return [
            Due(owner.decode(), _readable(owner, packed), now_ms, now_ms + CLAIM_LEASE_MS)
            for owner, packed in zip(found[::2], found[1::2], strict=True)
        ]

    async def advance(
        self, challenge: ChallengeId, head: EventMembers, route: AttemptRoute, *, leased_until: int = 0
    ) -> Reply:
        """What is to be done now: `send` the current delivery, `changed` (stepped on or final), or `idle`.

        `route` is for the channel that was due when the challenge was leased. When another is due by now, or the lease
        until `leased_until` (0: none is asked for) is not the caller's any more, nothing is sent, and the challenge's
        timer brings it up again.
        """
        return _reply(
            await self._redis.call(
                ADVANCE,
                _keys(challenge),
                (
                    new_id("evt"),
                    head.as_head(),
                    SEND_LEASE_MS,
                    MOST_TRIES,
                    challenge.text,
                    route.channel,
                    route.supplier,
                    route.reason,
                    route.record,
                    route.members,
                    route.cost,
                    route.segments,
                    leased_until,
                    int(route.may_pass),
                ),
            )
        )

    async def postpone(
        self, challenge: ChallengeId, head: EventMembers, delivery: str, *, attempt: int, wait_ms: int
    ) -> Reply:
        """Give back a try that was not used, because it could not be put on record: `changed` or `ignored`."""
        return _reply(
            await self._redis.call(
                POSTPONE, _keys(challenge), (new_id("evt"), head.as_head(), delivery, attempt, wait_ms)
            )
        )

    async def decline(
        self,
        challenge: ChallengeId,
        head: EventMembers,
        delivery: str,
        how: str,
        signed: KeptAnswer = UNSIGNED,
    ) -> Reply:
        """The payer says no: `changed`, `ignored` when it is over or nothing was sent, or `not_found`.

        With no `delivery` a device said it, which fetched the challenge by itself.
        """
        return _reply(
            await self._redis.call(
                DECLINE,
                _keys(challenge),
                (new_id("evt"), head.as_head(), delivery, how, *signed),
                lasts=True,
            )
        )

    async def settle(
        self,
        challenge: ChallengeId,
        head: EventMembers,
        delivery: str,
        settlement: Settlement,
    ) -> Reply:
        """Put down what became of a delivery: `changed`, `ignored` when it is no news, or `not_found`."""
        return _reply(
            await self._redis.call(
                SETTLE,
                _keys(challenge),
                (
                    new_id("evt"),
                    head.as_head(),
                    delivery,
                    settlement.status,
                    settlement.reason,
                    settlement.supplier,
                    settlement.segments,
                    settlement.cost,
                    int(settlement.transient),
                    settlement.retry_ms,
                    settlement.attempt,
                ),
            )
        )

    def release(self, state: ChallengeState) -> "asyncio.Future[Any]":
        """The newest delivery is on record and may be sent now; does nothing when a worker has it already.

        Nobody has to wait for it: the future is done when Redis has heard. Raises StoreUnavailable.
        """
        challenge_id, queued_at = state.id, state.deliveries[-1].queued_at
        due_key = _due_key(int(challenge_id[4:6], 16))
        return self._redis.submit(RELEASE, (due_key,), (challenge_id, queued_at, RECORD_MS))

    async def lockout(self, payer: str) -> Lockout:
        """Where a payer stands (a block that is over counts as none)."""
        key = _lockout_key(payer)
        (failures, blocked_until), now_ms = await asyncio.gather(
            self._redis.command("HMGET", key, "failures", "blocked_until"), self._redis.now_ms(key)
        )
        until = int(blocked_until or 0)
        return Lockout(int(failures or 0), until if until > now_ms else 0)

    def failures_at(self, payer: str) -> tuple[str, str]:
        """Where it is counted how many wrong answers a payer gave in a row: a hash on the payer's slot, its field."""
        return _lockout_key(payer), "failures"

    async def unblock(self, payer: str, members: bytes) -> Reply:
        """Lift a payer's block; `members` are the event's, as JSON without braces."""
        keys = (_lockout_key(payer), outbox_key(partition_of(payer)))
        return _reply(await self._redis.call(UNBLOCK, keys, (new_id("evt"), members)))


def _readable(owner: bytes, packed: bytes) -> ChallengeState | None:
    """The state, or None: what cannot be read must not hold up what was leased together with it."""
    if not packed:
        return None
    try:
        return decode_state(packed)
    except msgspec.DecodeError as error:
        log.error("challenge.unreadable", challenge=owner.decode(), exc=error)
        return None


def _reply(
    raw: list[bytes], *, superseded: ChallengeState | None = None, ahead_ms: tuple[int, ...] = ()
) -> Reply:
    state = decode_state(raw[1]) if len(raw) > 1 and raw[1] else None
    events = tuple(AuditEvent.parse(event) for event in raw[2::2])
    return Reply(raw[0].decode(), state, events, tuple(raw[3::2]), superseded=superseded, ahead_ms=ahead_ms)


def _challenge_key(challenge: ChallengeId) -> str:
    return f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"


def _due_key(partition: int) -> str:
    return f"{{p{partition:02d}}}:due"


def _lockout_key(payer: str) -> str:
    return f"{{p{partition_of(payer):02d}}}:lockout:{payer}"


def _limit_key(partition: int, limit: Limit) -> str:
    return f"{{p{partition:02d}}}:limit:{limit.name}:{limit.subject}"


def _keys(challenge: ChallengeId) -> tuple[str, str, str]:
    return _challenge_key(challenge), _due_key(challenge.partition), outbox_key(challenge.partition)


def _numbers(limits: Sequence[Limit]) -> list[int]:
    return [number for limit in limits for number in (limit.interval_ms, limit.burst)]
