"""What a release has put into the stores, this one reads: kept as it was, and never written anew.

`tests/golden/<release>.json` holds one of each thing that lasts longer than a restart. A change that cannot read it
would lose what is under way in an upgrade. A new release adds a file; none is changed, and none taken out but one
that no upgrade starts from any more.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sca_service.audit.model import AuditEvent
from sca_service.challenges.model import ChallengeId, ChallengeState, Status, decode_state
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.connections import RedisConnection
from tests.harness import Deployment
from tests.storeroom import HEAD, answered
from tests.valkeys import raw_async_client

_SCRIPTS_ALONE = ("epoch",)
_GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.json"))


@pytest.fixture(params=_GOLDEN, ids=[path.stem for path in _GOLDEN])
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a release has stored."""
    stored: dict[str, Any] = json.loads(request.param.read_text("utf-8"))
    return stored


def test_there_is_a_golden_file() -> None:
    """Without one nothing below would be tested."""
    assert _GOLDEN


def test_a_stored_challenge_is_read(golden: dict[str, Any]) -> None:
    """Every member that was there has the value that it had, but for what scripts alone read."""
    stored = {name: value for name, value in golden["challenge"].items() if name not in _SCRIPTS_ALONE}
    state = decode_state(msgspec.msgpack.encode(golden["challenge"]))
    back = msgspec.to_builtins(state)
    told = [msgspec.to_builtins(one) for one in state.deliveries]
    assert {name: back[name] for name in stored} | {"deliveries": []} == stored | {"deliveries": []}
    for delivery, was in zip(told, stored["deliveries"], strict=True):
        assert {name: delivery[name] for name in was} == was
    assert state.details.purpose == golden["fixed"]["purpose"]
    details = msgspec.json.decode(msgspec.json.encode(state.details))
    assert {name: details[name] for name in golden["fixed"]} == golden["fixed"]


def test_an_entry_of_the_outbox_is_read(golden: dict[str, Any]) -> None:
    """The worker commits what a killed api of the release before has left behind."""
    for entry in golden["outbox"]:
        event = AuditEvent.parse(entry["event"].encode())
        told = json.loads(entry["event"])
        assert (event.head.id, event.head.type, event.head.challenge) == (
            told["id"],
            told["type"],
            told["challenge"],
        )
        assert json.loads(event.body) == told


@pytest.mark.parametrize("action", ["approve", "cancel"])
async def test_the_scripts_go_on_with_a_stored_challenge(
    quiet_stores: Deployment, golden: dict[str, Any], action: str
) -> None:
    """A challenge that was issued before the upgrade is answered, or cancelled, after it."""
    url = quiet_stores.servers.valkey.url
    redis, plain = RedisConnection(url), raw_async_client(url)
    try:
        stored = golden["challenge"]
        seconds, _ = await plain.time()
        now_ms = seconds * 1000
        stored |= {"created_at": now_ms - 1_000, "expires_at": now_ms + 200_000}
        key = f"{{p{int(stored['id'][4:6], 16):02d}}}:challenge:{stored['id']}"
        await plain.set(key, msgspec.msgpack.encode(stored))
        challenge = ChallengeId.parse(stored["id"])
        assert challenge is not None
        store = ChallengeStore(redis)
        if action == "approve":
            reply = await answered(
                store, challenge, right=True, digest=stored["digest"], client=stored["client"]
            )
            wanted = Status.APPROVED
        else:
            reply = await store.cancel(challenge, HEAD, client=stored["client"])
            wanted = Status.CANCELLED
        assert isinstance(reply.state, ChallengeState)
        assert reply.state.status is wanted, reply.word
        await plain.delete(key)
    finally:
        await redis.close()
        await plain.aclose()
