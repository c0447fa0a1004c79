"""Holds what came to endpoints against the log: each event told at least once and in order, or dead and said so.

It shares nothing with the service: what is told of which event is put down here once more.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import asyncpg
import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.faults.endpoints import LEAVING, REFUSING, Endpoint, Endpoints, refuses
from tests.harness import Deployment
from tests.rude_server import RudeRequest

_BY_OUTCOME = {
    "approved": "challenge.approved",
    "transaction_mismatch": "challenge.rejected",
    "blocked": "challenge.blocked",
    "expired": "challenge.expired",
}
_BY_STATUS = {"sent": "delivery.sent", "delivered": "delivery.delivered", "answered": "delivery.answered"}
_AS_IT_IS = frozenset(
    {
        *(
            f"challenge.{how}"
            for how in ("issued", "refused", "declined", "expired", "cancelled", "undeliverable")
        ),
        *(f"alert.{how}" for how in ("queued", "sent", "delivered", "failed", "suppressed")),
        "payer.blocked",
    }
)
_CALLS = 4
"""A message is dead after so many calls, or more where a lease ended amid one."""
_LEAVES = """
    SELECT leaf.index, event.body FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id
    ORDER BY leaf.index
"""
_MESSAGES = """
    SELECT message.id, message.endpoint_id, message.type, message.body, message.status, message.reason, message.tries
    FROM webhook_messages AS message ORDER BY message.place
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as the service has it: to whom, of which event of the log, about what, and how it stands."""

    id: str
    endpoint: str
    type: str
    index: int
    subject: str
    body: str
    status: str
    reason: str
    tries: int


async def are_told(postgres: asyncpg.Connection) -> bool:
    """Whether nothing waits to be told; what waits for a lease or for another try is brought forward."""
    waiting = await postgres.fetchval(
        "SELECT state.size - follower.next_index FROM log_state AS state, followers AS follower"
        " WHERE follower.name = 'webhooks'"
    )
    await postgres.execute("UPDATE webhook_messages SET due_at = now() WHERE due_at > now()")
    return not waiting and not await postgres.fetchval(
        "SELECT count(*) FROM webhook_messages WHERE due_at IS NOT NULL"
    )


async def badly_told(
    deployment: Deployment, api: str, postgres: asyncpg.Connection, endpoints: Endpoints
) -> list[str]:
    """All that does not hold of what endpoints were told, in words."""
    log = [(row["index"], json.loads(row["body"])) for row in await postgres.fetch(_LEAVES)]
    messages = [_sent(row) for row in await postgres.fetch(_MESSAGES)]
    wrong = [*_not_ours(endpoints, messages), *_disabled(endpoints, log)]
    for endpoint in endpoints.known.values():
        own = [one for one in messages if one.endpoint == endpoint.id]
        wrong += [
            *_not_of_the_log(endpoint, log, own),
            *_not_settled(endpoint, endpoints, own),
            *_out_of_order(endpoint, endpoints, own),
            *await _dead_in_silence(deployment, api, endpoint, own),
        ]
    return wrong


def _sent(row: Any) -> Sent:
    said = json.loads(row["body"])["data"]
    subject = said.get("challenge") or said.get("alert") or said["event"]
    return Sent(
        row["id"],
        row["endpoint_id"],
        row["type"],
        said["index"],
        subject,
        row["body"],
        row["status"],
        row["reason"],
        row["tries"],
    )


def _told_as(event: dict[str, Any]) -> str | None:
    """The type under which an event is told; None where it is not."""
    kind: str = event["type"]
    if kind == "challenge.answered":
        outcome = event["outcome"]
        is_last = outcome == "incorrect" and event.get("attempts_left") == 0
        return "challenge.blocked" if is_last else _BY_OUTCOME.get(outcome)
    if kind == "delivery.settled":
        return _BY_STATUS.get(event["status"], "delivery.failed")
    return kind if kind in _AS_IT_IS else None


def _expected(endpoint: Endpoint, log: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, str]]:
    """Index and type of what the endpoint has to hear of, since it was there."""
    is_there, ended = False, set()
    for index, event in log:
        is_there = is_there or (event["type"] == "webhook.created" and event["webhook"] == endpoint.id)
        kind = _told_as(event)
        if not is_there or kind is None or event["client"] != endpoint.client or not _wants(endpoint, kind):
            continue
        once = (event.get("challenge"), kind)
        if not kind.startswith("challenge.") or once not in ended:  # how one ends is told once
            ended.add(once)
            yield index, kind


def _wants(endpoint: Endpoint, kind: str) -> bool:
    return any(kind == one or (one.endswith(".*") and kind.startswith(one[:-1])) for one in endpoint.types)


def _not_of_the_log(
    endpoint: Endpoint, log: Sequence[tuple[int, dict[str, Any]]], own: Sequence[Sent]
) -> Iterator[str]:
    """Each event that the endpoint wants is one message, and each message is such an event."""
    events = dict(log)
    written = Counter((one.index, one.type) for one in own)
    for index, kind in _expected(endpoint, log):
        if written[index, kind] != 1:
            yield f"{_about(events[index])}: {kind} is {written[index, kind]} messages to {endpoint.path}"
    for one in own:
        event = events.get(one.index)
        said = json.loads(one.body)["data"]
        if event is None or event["id"] != said["event"] or _told_as(event) != one.type:
            yield f"{one.subject}: {one.id} to {endpoint.path} tells of nothing that is on the log"


def _about(event: dict[str, Any]) -> str:
    return str(event.get("challenge") or event.get("alert") or event["id"])


def _not_settled(endpoint: Endpoint, endpoints: Endpoints, own: Sequence[Sent]) -> Iterator[str]:
    """What is called delivered was taken; what is dead had a reason to die."""
    for one in own:
        was_taken = (endpoint.path, one.id) in endpoints.taken
        where = f"{one.subject}: {one.id} to {endpoint.path}"
        if one.status == "delivered" and not was_taken:
            yield f"{where} is called delivered, and was never taken"
        elif one.status == "dead" and not _may_be_dead(endpoint, endpoints, one):
            yield f"{where} is dead ({one.reason})"
        elif one.status not in ("delivered", "dead"):
            yield f"{where} is {one.status} in the end"
        elif endpoint.path == REFUSING and refuses(one.subject) and one.status != "dead":
            yield f"{where} was refused each time, and is {one.status}"


def _may_be_dead(endpoint: Endpoint, endpoints: Endpoints, one: Sent) -> bool:
    if one.reason == "endpoint_disabled":
        return endpoint.path == LEAVING and endpoints.is_leaving
    return one.reason == "exhausted" and one.tries >= _CALLS


def _out_of_order(endpoint: Endpoint, endpoints: Endpoints, own: Sequence[Sent]) -> Iterator[str]:
    """What tells of the same comes in the order of the log: nothing before the last was taken, or was dead."""
    first: dict[str, int] = {}
    for number, call in enumerate(endpoints.server.requests):
        if call.path == endpoint.path:
            first.setdefault(call.headers["webhook-id"], number)
    by_subject: dict[str, list[Sent]] = defaultdict(list)
    for one in sorted(own, key=lambda one: one.index):
        by_subject[one.subject].append(one)
    for subject, told in by_subject.items():
        for before, after in pairwise(told):
            taken = endpoints.taken.get((endpoint.path, before.id))
            if before.status == "delivered" and after.id in first and (taken or 0) > first[after.id]:
                yield f"{subject}: {endpoint.path} heard of {after.type} before it took {before.type}"


def _not_ours(endpoints: Endpoints, messages: Sequence[Sent]) -> Iterator[str]:
    """Each call is signed for its endpoint, and says what its message says."""
    bodies = {(one.endpoint, one.id): one.body for one in messages}
    for call in endpoints.server.requests:
        endpoint = endpoints.known.get(call.path)
        name = call.headers["webhook-id"]
        if endpoint is None:
            yield f"{name}: came to {call.path}, where nobody listens"
        elif not is_signed(endpoint.key, call):
            yield f"{name}: is not signed for {call.path}"
        elif bodies.get((endpoint.id, name)) != call.body.decode():
            yield f"{name}: came to {call.path} with another text than is on record"


def is_signed(key: str, call: RudeRequest) -> bool:
    """Whether one of a call's signatures is the endpoint's; its time is not looked at, for clocks were moved."""
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    for one in call.headers["webhook-signature"].split(" "):
        scheme, _, text = one.partition(",")
        signature = base64.b64decode(text)
        if scheme == "v1" and key.startswith("whsec_"):
            secret = base64.b64decode(key.removeprefix("whsec_"))
            if hmac.compare_digest(hmac.digest(secret, signed, hashlib.sha256), signature):
                return True
        elif scheme == "v1a" and key.startswith("whpk_"):
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
            try:
                public.verify(signature, signed)
            except InvalidSignature:
                continue
            return True
    return False


def _disabled(endpoints: Endpoints, log: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[str]:
    """The one that answered 410, and no other, is disabled; the log says so once."""
    said = Counter(event["webhook"] for _, event in log if event["type"] == "webhook.disabled")
    for endpoint in endpoints.known.values():
        calls = sum(one.path == endpoint.path for one in endpoints.server.requests)
        taken = sum(path == endpoint.path for path, _ in endpoints.taken)
        has_left = endpoint.path == LEAVING and endpoints.is_leaving and calls > taken
        if said[endpoint.id] > has_left:
            yield f"{endpoint.path} was disabled {said[endpoint.id]} times"


async def _dead_in_silence(
    deployment: Deployment, api: str, endpoint: Endpoint, own: Sequence[Sent]
) -> list[str]:
    """Each dead letter is listed for its client."""
    dead, listed = {one.id for one in own if one.status == "dead"}, set()
    bearer = {"Authorization": f"Bearer {deployment.keys[endpoint.client]}"}
    path, wanted = f"/v1/webhooks/{endpoint.id}/messages", {"status": "dead", "limit": "200"}
    async with httpx.AsyncClient(base_url=api, headers=bearer, trust_env=False, timeout=30) as http:
        while "cursor" not in wanted or wanted["cursor"]:
            page = (await http.get(path, params=wanted)).raise_for_status().json()
            listed |= {one["id"] for one in page["data"]}
            wanted["cursor"] = page["next_cursor"] or ""
    return [f"{one}: dead at {endpoint.path}, and not listed" for one in sorted(dead - listed)]
