"""Reads Redis, PostgreSQL and the sandbox's mailbox after a fault, and tells what does not hold together.

It shares nothing with the service but the shape of a challenge's state: what it compares are the stores themselves,
with what clients were told and with each other.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from sca_service.challenges.model import PARTITIONS, ChallengeState, Status, decode_state
from sca_service.delivery.model import DeliveryStatus
from sca_service.sandbox.mailbox import MAILBOX_FILE, Mailbox
from tests.faults.traffic import Told
from tests.harness import Deployment
from tests.valkeys import raw_async_client

_DRAINED_SECONDS = 60.0
_GRACE_MS = 5_000

_EXPLAINED_BY = {
    Status.APPROVED: {"challenge.answered approved"},
    Status.REJECTED: {"challenge.answered transaction_mismatch"},
    Status.BLOCKED: {"challenge.answered incorrect", "challenge.answered blocked"},
    Status.EXPIRED: {"challenge.expired", "challenge.answered expired"},
    Status.CANCELLED: {"challenge.cancelled"},
    Status.UNDELIVERABLE: {"challenge.undeliverable"},
    Status.REFUSED: {"challenge.refused"},
    Status.DECLINED: {"challenge.declined"},
}
"""The events of which one must be on record for a challenge to stand where it stands."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the stores hold, read once."""

    events: list[dict[str, Any]]
    indexes: list[int]
    acceptances: dict[str, str]
    archive: dict[str, ChallengeState]
    hot: dict[str, ChallengeState]
    due: set[str]
    outbox: int
    now_ms: int
    messages: Counter[str]


async def violations(
    deployment: Deployment, told: Sequence[Told] = (), *, lost_tail: bool = False
) -> list[str]:
    """Everything that does not hold, in words; empty when all does.

    Waits for the worker to drain the outbox and for the log to be numbered. `lost_tail` says that Redis was given
    back an older state: then it may show a challenge as it stood before, but still nothing may be accepted twice.
    """
    return violations_in(await settled(deployment), told, lost_tail=lost_tail)


def violations_in(found: Found, told: Sequence[Told] = (), *, lost_tail: bool = False) -> list[str]:
    """The same for what was read, settled or not."""
    return [
        *_not_drained(found),
        *_not_on_record(found, told),
        *_accepted_twice(found, told),
        *_gaps(found),
        *_disagreements(found, lost_tail=lost_tail),
        *_stuck(found),
        *_messages_beyond_the_log(found, lost_tail=lost_tail),
    ]


async def read(deployment: Deployment) -> Found:
    """What is there now: messages first, then Redis, then PostgreSQL.

    What is on record before it is acted on is so found by whoever finds the act, while a worker goes on working.
    """
    messages = _messages(deployment)
    redis: Any = raw_async_client(deployment.servers.valkey.url)
    postgres = await asyncpg.connect(deployment.servers.postgres.url)
    try:
        hot, due, outbox = {}, set(), 0
        for partition in range(PARTITIONS):
            due |= {one.decode() for one in await redis.zrange(f"{{p{partition:02d}}}:due", 0, -1)}
            outbox += await redis.xlen(f"{{p{partition:02d}}}:outbox")
        async for key in redis.scan_iter("*:challenge:*", count=1000):
            packed = await redis.get(key)
            if packed:
                state = decode_state(packed)
                hot[state.id] = state
        seconds, microseconds = await redis.time()
        async with postgres.transaction(isolation="repeatable_read", readonly=True):
            bodies = await postgres.fetch("SELECT body FROM audit_events ORDER BY txid, position")
            leaves = await postgres.fetch("SELECT index FROM audit_leaves ORDER BY index")
            acceptances = await postgres.fetch("SELECT challenge_id, event_id FROM acceptances")
            archive = [decode_state(row[0]) for row in await postgres.fetch("SELECT state FROM challenges")]
        return Found(
            events=[msgspec.json.decode(row[0]) for row in bodies],
            indexes=[row[0] for row in leaves],
            acceptances={row[0]: row[1] for row in acceptances},
            archive={state.id: state for state in archive},
            hot=hot,
            due=due,
            outbox=outbox,
            now_ms=seconds * 1000 + microseconds // 1000,
            messages=messages,
        )
    finally:
        await redis.aclose()
        await postgres.close()


def issued_more_than_once(found: Found) -> list[str]:
    """Payers (by pseudonym) with several challenges on record: wrong where each asked for one, however often."""
    issued = Counter(event["psu"] for event in found.events if event["type"] == "challenge.issued")
    return [payer for payer, times in issued.items() if times > 1]


async def events_of(deployment: Deployment, challenge: str) -> list[dict[str, Any]]:
    """The events of one challenge that are on record now."""
    postgres = await asyncpg.connect(deployment.servers.postgres.url)
    try:
        rows = await postgres.fetch("SELECT body FROM audit_events WHERE challenge_id = $1", challenge)
        return [msgspec.json.decode(row[0]) for row in rows]
    finally:
        await postgres.close()


async def settled(deployment: Deployment) -> Found:
    """What is there once the outbox is drained and the log is numbered, or the time for that is over."""
    deadline = time.monotonic() + _DRAINED_SECONDS
    while True:
        found = await read(deployment)
        is_settled = found.outbox == 0 and len(found.indexes) == len(found.events)
        if is_settled or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


def _messages(deployment: Deployment) -> Counter[str]:
    """How many messages arrived for each delivery."""
    mailbox = Mailbox(deployment.folder / MAILBOX_FILE)
    try:
        arrived: Counter[str] = Counter()
        after = "msg_0"
        while page := mailbox.messages(after=after):
            arrived.update(message.delivery_id for message in page)
            after = page[-1].id
        return arrived
    finally:
        mailbox.close()


def _not_drained(found: Found) -> Iterator[str]:
    if found.outbox:
        yield f"{found.outbox} events stayed in the outbox"


def _not_on_record(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """An answer that was sent is in the log (decision 5)."""
    by_request = {(one.get("request"), one.get("challenge"), _said(one)) for one in found.events}
    by_challenge = {(one.get("challenge"), _said(one)) for one in found.events}
    for one in told:
        said = "challenge.issued" if one.said == "issued" else f"challenge.answered {one.said}"
        if one.request is None:
            recorded = (one.challenge, said) in by_challenge
        else:
            recorded = (one.request, one.challenge, said) in by_request
        if not recorded:
            yield f"{one.challenge}: a client was told `{one.said}` and the log does not say so"


def _accepted_twice(found: Found, told: Sequence[Told]) -> Iterator[str]:
    """A challenge is approved once, told once, and its acceptance is held by the event that says so (decision 6)."""
    events = [one for one in found.events if _said(one) == "challenge.answered approved"]
    for challenge, times in Counter(one["challenge"] for one in events).items():
        if times > 1:
            yield f"{challenge}: {times} approvals in the log"
    for challenge, times in Counter(one.challenge for one in told if one.said == "approved").items():
        if times > 1:
            yield f"{challenge}: clients were told {times} times that it is approved"
    if {one["challenge"]: one["id"] for one in events} != found.acceptances:
        yield "the acceptances are not those of the approvals in the log"


def _gaps(found: Found) -> Iterator[str]:
    """The log is numbered 0, 1, 2, … and every event has its number."""
    if found.indexes != list(range(len(found.indexes))):
        yield "the indexes of the log have a gap"
    if len(found.indexes) != len(found.events):
        yield f"{len(found.events) - len(found.indexes)} events have no index"


def _disagreements(found: Found, *, lost_tail: bool) -> Iterator[str]:
    """Both stores and the log tell the same of each challenge."""
    said: dict[str, set[str]] = {}
    for event in found.events:
        said.setdefault(event.get("challenge", ""), set()).add(_said(event))
    for challenge, state in (*found.hot.items(), *found.archive.items()):
        events = said.get(challenge, set())
        recorded = found.archive.get(challenge, state)
        if lost_tail and recorded.status.is_final and recorded.status is not state.status:
            continue  # Redis has forgotten that it is over; the record has not, and goes before it (decision 6)
        if not events & {"challenge.issued", "challenge.refused"}:
            yield f"{challenge}: there without having been issued"
        elif state.status is not Status.PENDING and not events & _EXPLAINED_BY[state.status]:
            yield f"{challenge}: {state.status}, and the log does not say why"
    for challenge, state in found.hot.items():
        archived = found.archive.get(challenge)
        if archived is None:
            yield f"{challenge}: in Redis alone"
        elif archived.status is not state.status and not (lost_tail and archived.status.is_final):
            yield f"{challenge}: {state.status} in Redis, {archived.status} in PostgreSQL"
    for challenge in found.acceptances:
        if challenge not in found.archive or found.archive[challenge].status is not Status.APPROVED:
            yield f"{challenge}: accepted, and PostgreSQL does not show it as approved"


def _stuck(found: Found) -> Iterator[str]:
    """Nothing waits without a timer that will wake it, and nothing is pending when its time is over."""
    for challenge, state in found.hot.items():
        if state.status is Status.PENDING and found.now_ms > state.expires_at + _GRACE_MS:
            yield f"{challenge}: still pending though its time is over"
        open_deliveries = [one for one in state.deliveries if one.status is DeliveryStatus.QUEUED]
        if (state.status is Status.PENDING or open_deliveries) and challenge not in found.due:
            yield f"{challenge}: {state.status} with {len(open_deliveries)} open deliveries, and no timer"


def _messages_beyond_the_log(found: Found, *, lost_tail: bool) -> Iterator[str]:
    """Every message was on record before it was sent, and a repeated one is marked by its `try`."""
    tries: dict[str, list[int]] = {}
    for event in found.events:
        if event["type"] in ("delivery.attempted", "alert.attempted"):
            tries.setdefault(event["delivery"], []).append(event["try"])
    for event in found.events:
        if event["type"] == "delivery.postponed":  # it was not sent, and its number is given out again
            tries[event["delivery"]].remove(event["try"])
    for delivery, count in found.messages.items():
        if count > len(tries.get(delivery, [])):
            yield f"{delivery}: {count} messages, {len(tries.get(delivery, []))} tries in the log"
    for delivery, numbers in tries.items():
        if not lost_tail and sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield f"{delivery}: its tries are numbered {sorted(numbers)}"


def _said(event: dict[str, Any]) -> str:
    outcome = event.get("outcome")
    return f"{event['type']} {outcome}" if outcome else str(event["type"])
