"""Idempotency keys over HTTP: sent twice, done once; and a verify that is repeated under its key."""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from sca_service.api.redis_store import IdempotencyStore
from sca_service.kernel.connections import RedisConnection
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu, wrong


def new_key() -> str:
    """A key that nobody else uses."""
    return unique_psu()["id"]


async def create(bank: Bank, key: str, body: Any) -> httpx.Response:
    """Issue a challenge under a key; `body` is JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await bank.http.post("/v1/challenges", content=content, headers={"Idempotency-Key": key})


async def claim_by_hand(service: Deployment, key: str, body: bytes) -> None:
    """Claim a key as a request of the bank's does that is still being worked on."""
    name = service.keyring.pseudonym("idempotency key", "bank", key)
    connection = RedisConnection(service.servers.valkey.url)
    digest = hashlib.sha256(b"/v1/challenges\0" + body).hexdigest()
    fingerprint = service.keyring.pseudonym("request", digest)
    claim = await IdempotencyStore(connection).claim(name, fingerprint)
    await connection.close()
    assert claim.word == "claimed"


async def test_same_request_is_answered_again(bank: Bank) -> None:
    """The second answer is the first, byte for byte, marked as replayed; one challenge exists, one message is sent."""
    key, body = new_key(), order()
    first = await create(bank, key, body)
    second = await create(bank, key, body)
    await bank.settled(first.json()["id"])
    listed = await bank.http.get("/v1/challenges", params={"psu": body["psu"]["id"]})

    assert first.status_code == second.status_code == 201
    assert second.content == first.content
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(listed.json()["data"]) == 1
    assert len(await bank.messages(body["psu"]["phone"])) == 1


async def test_stored_answer_outlives_the_change(bank: Bank) -> None:
    """What is replayed is the answer of then, whatever became of the challenge since."""
    key, body = new_key(), order()
    first = await create(bank, key, body)
    await bank.verify(first.json()["id"], await bank.code(body["psu"]["phone"]))
    second = await create(bank, key, body)

    assert second.json()["status"] == "pending"
    assert second.content == first.content
    assert (await bank.get(first.json()["id"]))["status"] == "approved"


async def test_other_body_is_refused(bank: Bank) -> None:
    """The same key with another body is 422, and nothing is issued for it."""
    key, body = new_key(), order()
    other = body | {"psu": unique_psu()}
    await create(bank, key, body)
    response = await create(bank, key, other)
    listed = await bank.http.get("/v1/challenges", params={"psu": other["psu"]["id"]})

    assert response.status_code == 422
    assert response.json()["code"] == "idempotency-key-reused"
    assert listed.json()["data"] == []


async def test_request_in_flight_is_told_so(bank: Bank, service: Deployment) -> None:
    """While a request with the key is being worked on, the same again is 409 and another body 422."""
    key, body = new_key(), json.dumps(order()).encode()
    await claim_by_hand(service, key, body)
    same, other = await create(bank, key, body), await create(bank, key, order())

    assert (same.status_code, same.json()["code"]) == (409, "request-in-flight")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.race
async def test_parallel_requests_create_one_challenge(bank: Bank) -> None:
    """Of twenty equal requests at once one creates, and the others are told to wait or get the same answer."""
    key, body = new_key(), order()
    answers = await asyncio.gather(*(create(bank, key, body) for _ in range(20)))
    created = [answer for answer in answers if answer.status_code == 201]
    after = await create(bank, key, body)
    await bank.settled(after.json()["id"])

    assert set(Counter(answer.status_code for answer in answers)) <= {201, 409}
    assert {answer.json()["id"] for answer in created} == {after.json()["id"]}
    assert sum("idempotency-replayed" not in answer.headers for answer in created) == 1
    assert len(await bank.messages(body["psu"]["phone"])) == 1


async def test_keys_belong_to_their_client(bank: Bank, other_bank: Bank) -> None:
    """Two banks may use the same key and the same body: each gets a challenge of its own."""
    key, body = new_key(), order()
    ours, theirs = await create(bank, key, body), await create(other_bank, key, body)

    assert ours.status_code == theirs.status_code == 201
    assert ours.json()["id"] != theirs.json()["id"]
    assert "idempotency-replayed" not in theirs.headers


@pytest.mark.parametrize("key", ["", "two words", "umlaut-ü", "tab\there", "x" * 256])
async def test_key_that_is_none_is_refused(bank: Bank, key: str) -> None:
    """A key that is empty, too long or not visible ASCII is 422, and nothing is issued."""
    body = order()
    response = await bank.http.post(
        "/v1/challenges",
        json=body,
        headers={b"Idempotency-Key": key.encode()},
    )
    listed = await bank.http.get("/v1/challenges", params={"psu": body["psu"]["id"]})

    assert response.status_code == 422
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == ["/Idempotency-Key"]
    assert listed.json()["data"] == []


async def test_longest_key_is_fine(bank: Bank) -> None:
    """255 characters are a key."""
    key = new_key().ljust(255, "~")
    answers = [await create(bank, key, body) for body in [order()] * 2]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "members",
    [
        b"{",
        {"extra": 1},
        {"purpose": "shopping"},
        {"expires_in_s": 601},
        {"channels": [{"channel": "sms"}] * 2},
    ],
    ids=["malformed", "unknown member", "no such value", "beyond the policy", "against the ladder"],
)
async def test_refused_request_leaves_its_key_free(bank: Bank, members: Any) -> None:
    """A request that is refused as invalid does not use up its key: the corrected one is created under it."""
    key, body = new_key(), order()
    refused = await create(bank, key, members if isinstance(members, bytes) else body | members)
    corrected = await create(bank, key, body)

    assert refused.status_code == 422
    assert corrected.status_code == 201
    assert "idempotency-replayed" not in corrected.headers


async def test_limited_request_leaves_its_key_free(bank: Bank) -> None:
    """A request at a limit is told 429 each time: the answer of a limit is not stored."""
    body = order(channels=[{"channel": "push"}])
    await asyncio.gather(*(bank.http.post("/v1/challenges", json=body) for _ in range(30)))
    key = new_key()
    answers = [await create(bank, key, body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [429, 429]
    assert all("idempotency-replayed" not in answer.headers for answer in answers)


async def answer(bank: Bank, challenge: str, code: str, key: str | None) -> dict[str, Any]:
    """Answer a challenge, under a key or without one."""
    response = await bank.http.post(
        f"/v1/challenges/{challenge}/verify",
        json={"code": code, "transaction": TRANSACTION},
        headers={"Idempotency-Key": key} if key else {},
    )
    assert response.status_code == 200, response.text
    verified: dict[str, Any] = response.json()
    return verified


async def test_repeated_answer_is_approved_again_with_the_same_proof(bank: Bank) -> None:
    """A bank that heard nothing sends its right answer again under its key and gets the same authentication code."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code, key = await bank.code(psu["phone"]), new_key()
    await bank.settled(challenge["id"])
    first, second = [await answer(bank, challenge["id"], code, key) for _ in range(2)]

    assert first["outcome"] == second["outcome"] == "approved"
    assert first["authentication_code"] == second["authentication_code"]
    assert first == second


@pytest.mark.parametrize("how", ["without a key", "another key", "another code"])
async def test_answer_that_is_not_the_same_is_already_used(bank: Bank, how: str) -> None:
    """Without the key, under another one, or with another code, a second answer is already_used and proves nothing."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code, key = await bank.code(psu["phone"]), new_key()
    first = await answer(bank, challenge["id"], code, key)
    second = await answer(
        bank,
        challenge["id"],
        wrong(code) if how == "another code" else code,
        {"without a key": None, "another key": new_key()}.get(how, key),
    )

    assert first["outcome"] == "approved"
    assert second["outcome"] == "already_used"
    assert second["authentication_code"] is None


async def test_repeated_answer_under_anothers_key(bank: Bank, other_bank: Bank) -> None:
    """Another client that knows the id, the code and the key is told that there is no such challenge."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code, key = await bank.code(psu["phone"]), new_key()
    await answer(bank, challenge["id"], code, key)
    response = await other_bank.http.post(
        f"/v1/challenges/{challenge['id']}/verify",
        json={"code": code, "transaction": TRANSACTION},
        headers={"Idempotency-Key": key},
    )

    assert response.status_code == 404
