"""Webhooks over HTTP, from the endpoint to what arrives there: signed, thin, in order, also past a killed worker."""

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook

from tests.harness import Bank, Deployment, unique_psu, wrong
from tests.rude_server import RudeRequest, RudeServer
from tests.storeroom import eventually


@pytest.fixture
async def receiver() -> AsyncIterator[RudeServer]:
    """A bank that listens."""
    async with RudeServer() as server:
        yield server


@pytest.fixture
async def pool(service: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the service's PostgreSQL; what the test made of endpoints is gone afterwards."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=2) as pool:
        yield pool
        await pool.execute("DELETE FROM webhook_endpoints")


async def added(bank: Bank, url: str, **members: Any) -> dict[str, Any]:
    """A new endpoint, as it is answered."""
    response = await bank.http.post("/v1/webhooks", json={"url": url, **members})
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/webhooks/{response.json()['id']}"
    body: dict[str, Any] = response.json()
    return body


async def got(bank: Bank, path: str) -> dict[str, Any]:
    """What a GET answers, which has to be 200."""
    response = await bank.http.get(path)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def about(receiver: RudeServer, challenge: str) -> list[RudeRequest]:
    """The calls that tell of a challenge."""
    return [one for one in receiver.requests if one.json()["data"].get("challenge") == challenge]


async def told(receiver: RudeServer, challenge: str, kind: str) -> list[RudeRequest]:
    """The calls that tell of a challenge, once one is of this type."""

    async def is_there() -> bool:
        return any(one.json()["type"] == kind for one in about(receiver, challenge))

    await eventually(is_there)
    return about(receiver, challenge)


async def test_a_payment_is_told_step_by_step(bank: Bank, pool: asyncpg.Pool, receiver: RudeServer) -> None:
    """Issued, sent, delivered, approved, in the order of the log, signed for the bank's secret, and thin."""
    endpoint = await added(bank, receiver.url + "/hook", types=["challenge.*", "delivery.*"])
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await bank.settled(challenge["id"])
    await bank.verify(challenge["id"], wrong(code))
    await bank.verify(challenge["id"], code)
    calls = await told(receiver, challenge["id"], "challenge.approved")
    assert [one.json()["type"] for one in calls] == [
        "challenge.issued",
        "delivery.sent",
        "delivery.delivered",
        "challenge.approved",
    ]
    indexes = [one.json()["data"]["index"] for one in calls]
    assert indexes == sorted(indexes)
    for one in calls:
        Webhook(endpoint["secret"]).verify(one.body, dict(one.headers))
        assert one.headers["webhook-id"].startswith("msg_")
        for private in (psu["id"], psu["phone"], psu["phone"][1:], code, "ACME", "DE8937", "49.99"):
            assert private not in one.body.decode()
    shown = await got(bank, f"/v1/webhooks/{endpoint['id']}/messages?type=challenge.approved")
    assert shown["data"][0]["payload"] == calls[-1].json()
    seen = await got(bank, f"/v1/webhooks/{endpoint['id']}/messages/{shown['data'][0]['id']}")
    assert [(one["number"], one["outcome"], one["http_status"]) for one in seen["attempts"]] == [
        (1, "delivered", 200)
    ]


async def test_a_secret_is_told_once(bank: Bank, pool: asyncpg.Pool) -> None:
    """In the answer that made it; a public key may be read by anybody who may read the endpoint."""
    made = await added(
        bank, "https://bank.example/webhooks", description="ours", types=["challenge.approved"]
    )
    shown = await got(bank, f"/v1/webhooks/{made['id']}")
    assert made["secret"].startswith("whsec_")
    assert "secret" not in shown
    assert {name: shown[name] for name in ("url", "types", "description", "scheme", "status", "reason")} == {
        "url": "https://bank.example/webhooks",
        "types": ["challenge.approved"],
        "description": "ours",
        "scheme": "v1",
        "status": "active",
        "reason": None,
    }
    rotated = (await bank.http.post(f"/v1/webhooks/{made['id']}/rotate")).json()
    assert rotated["secret"] != made["secret"]
    assert rotated["before_ends_at"]
    asymmetric = await added(bank, "https://bank.example/webhooks", scheme="v1a")
    assert asymmetric["secret"] is None
    assert (await got(bank, f"/v1/webhooks/{asymmetric['id']}"))["public_key"].startswith("whpk_")
    listed = (await got(bank, "/v1/webhooks"))["data"]
    assert [one["id"] for one in listed] == [made["id"], asymmetric["id"]]
    stored = str(await pool.fetch("SELECT * FROM webhook_endpoints"))
    assert made["secret"].removeprefix("whsec_") not in stored


async def test_the_same_request_makes_one_endpoint(bank: Bank, pool: asyncpg.Pool) -> None:
    """With its Idempotency-Key it hears what it heard before, the secret too."""
    key, body = {"Idempotency-Key": secrets.token_hex(8)}, {"url": "https://bank.example/webhooks"}
    first, second = [await bank.http.post("/v1/webhooks", json=body, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert len((await got(bank, "/v1/webhooks"))["data"]) == 1


async def test_a_rotation_whose_answer_was_lost_is_asked_for_again(bank: Bank, pool: asyncpg.Pool) -> None:
    """With its Idempotency-Key it tells the same secret, so the one that the bank knows goes on signing."""
    place = f"/v1/webhooks/{(await added(bank, 'https://bank.example/webhooks'))['id']}"
    key = {"Idempotency-Key": secrets.token_hex(8)}
    first, second = [await bank.http.post(f"{place}/rotate", headers=key) for _ in range(2)]
    assert (first.status_code, second.json()) == (200, first.json())
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "http://bank.example/"}, "/url"),
        ({"url": "https://10.0.0.1/"}, "/url"),
        ({"url": "https://169.254.169.254/latest"}, "/url"),
        ({"url": "https://bank.example/", "types": ["challenge.nothing"]}, "/types/0"),
        ({"url": "https://bank.example/", "types": ["challenge.*", "alert.*"]}, "/types/1"),
        ({"url": "https://bank.example/", "types": ["block.set"]}, "/types/0"),
        ({"url": "https://bank.example/", "scheme": "v2"}, "/scheme"),
        ({"url": "https://bank.example/", "description": "a\u0000b"}, "/description"),
    ],
)
async def test_what_an_endpoint_cannot_be(bank: Bank, body: dict[str, Any], pointer: str) -> None:
    """Inside our network, without TLS, or of types that the bank's scopes do not allow: 422, and nothing is stored."""
    response = await bank.http.post("/v1/webhooks", json=body)
    assert response.status_code == 422
    assert [one["pointer"] for one in response.json()["errors"]] == [pointer]


async def test_another_clients_endpoint_is_unknown(
    bank: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """404 for each call, as for an id that never was."""
    made = await added(bank, "https://bank.example/webhooks")
    place = f"/v1/webhooks/{made['id']}"
    async with service.bank(client="other-bank") as other:
        for method, path, body in (
            ("GET", place, None),
            ("PATCH", place, {"status": "disabled"}),
            ("DELETE", place, None),
            ("POST", f"{place}/rotate", None),
            ("POST", f"{place}/test", None),
            ("GET", f"{place}/messages", None),
            ("GET", f"{place}/messages/msg_1", None),
            ("POST", f"{place}/replay", {"message": "msg_1"}),
        ):
            response = await other.http.request(method, path, json=body)
            assert response.status_code == 404, path
        assert (await got(other, "/v1/webhooks"))["data"] == []
    assert (await got(bank, place))["status"] == "active"


async def test_what_no_id_holds_is_unknown(bank: Bank, pool: asyncpg.Pool) -> None:
    """A NUL in an id is a 404 for each call, and in a type a 422: it never comes to PostgreSQL."""
    place = f"/v1/webhooks/{(await added(bank, 'https://bank.example/webhooks'))['id']}"
    for method, path, body in (
        ("GET", f"{place}%00", None),
        ("PATCH", f"{place}%00", {"status": "disabled"}),
        ("DELETE", f"{place}%00", None),
        ("POST", f"{place}%00/rotate", None),
        ("POST", f"{place}%00/test", None),
        ("GET", f"{place}/messages/msg_%00", None),
        ("POST", f"{place}/replay", {"message": "msg_\0"}),
    ):
        response = await bank.http.request(method, path, json=body)
        assert response.status_code == 404, path
    assert (await bank.http.get(f"{place}/messages?type=challenge.%00")).status_code == 422


async def test_a_test_message_a_change_and_an_end(
    bank: Bank, service: Deployment, pool: asyncpg.Pool, receiver: RudeServer
) -> None:
    """A test arrives whatever the filter; disabled nothing is sent, enabled again it is; all of it is on record."""
    made = await added(bank, receiver.url, types=["challenge.approved"])
    place = f"/v1/webhooks/{made['id']}"
    tested = await bank.http.post(f"{place}/test")
    assert tested.status_code == 202
    (call,) = await receiver.received(1)
    assert call.json()["type"] == "webhook.test"
    assert call.headers["webhook-id"] == tested.json()["id"]
    changed = await bank.http.patch(place, json={"status": "disabled", "types": []})
    assert (changed.json()["status"], changed.json()["reason"]) == ("disabled", "client")
    assert changed.json()["types"] == []
    assert (await bank.http.post(f"{place}/test")).json()["code"] == "webhook-disabled"
    assert (await bank.http.patch(place, json={"status": "active"})).json()["reason"] is None
    assert (await bank.http.post(f"{place}/test")).status_code == 202
    await receiver.received(2)
    assert (await bank.http.delete(place)).status_code == 204
    assert (await bank.http.get(place)).status_code == 404
    rows = await pool.fetch(
        "SELECT body FROM audit_events WHERE type LIKE 'webhook.%' ORDER BY txid, position"
    )
    events = [event for row in rows if (event := json.loads(row["body"]))["webhook"] == made["id"]]
    assert [event["type"] for event in events] == [
        "webhook.created",
        "webhook.disabled",
        "webhook.enabled",
        "webhook.deleted",
    ]
    assert {event["actor"] for event in events} == {"client:bank"}
    assert made["secret"] not in str(events)


async def test_replay_of_a_message_and_of_a_time(
    bank: Bank, pool: asyncpg.Pool, receiver: RudeServer
) -> None:
    """Under the id that it had; a form that says neither or both is 422."""
    made = await added(bank, receiver.url)
    place = f"/v1/webhooks/{made['id']}"
    sent = (await bank.http.post(f"{place}/test")).json()

    async def is_delivered() -> bool:
        return bool((await got(bank, f"{place}/messages/{sent['id']}"))["status"] == "delivered")

    await eventually(is_delivered)
    again = await bank.http.post(f"{place}/replay", json={"message": sent["id"]})
    assert (again.status_code, again.json()) == (202, {"replayed": 1})
    await receiver.received(2)
    await eventually(is_delivered)
    time = {"from": sent["timestamp"], "to": "2099-01-01T00:00:00Z", "status": "delivered"}
    assert (await bank.http.post(f"{place}/replay", json=time)).json() == {"replayed": 1}
    calls = await receiver.received(3)
    assert {one.headers["webhook-id"] for one in calls} == {sent["id"]}
    for form, pointers in (
        ({}, ["/from", "/to"]),
        ({"message": "msg_1", "from": sent["timestamp"]}, ["/message"]),
        ({"from": "yesterday", "to": "2099-01-01T00:00:00Z"}, ["/from"]),
    ):
        response = await bank.http.post(f"{place}/replay", json=form)
        assert [one["pointer"] for one in response.json()["errors"]] == pointers
    assert (await bank.http.post(f"{place}/replay", json={"message": "msg_1"})).status_code == 404


async def test_a_killed_worker_is_made_up_for(
    service: Deployment, bank: Bank, pool: asyncpg.Pool, receiver: RudeServer
) -> None:
    """Killed while the bank reads a message: the next worker sends it again under its id, and then what follows."""
    receiver.silence_next()
    await added(bank, receiver.url, types=["challenge.*"])
    challenge = await bank.issue()
    (held,) = await receiver.received(1)
    worker = next(role for role in service.roles if role.name == "worker")
    worker.kill()
    service.forget(worker)
    service.start("worker")
    assert (await bank.http.post(f"/v1/challenges/{challenge['id']}/cancel", json={})).status_code == 200
    await pool.execute("UPDATE webhook_messages SET due_at = now() WHERE due_at IS NOT NULL")
    calls = await told(receiver, challenge["id"], "challenge.cancelled")
    assert [one.json()["type"] for one in calls] == [
        "challenge.issued",
        "challenge.issued",
        "challenge.cancelled",
    ]
    assert {one.headers["webhook-id"] for one in calls[:2]} == {held.headers["webhook-id"]}


async def test_nothing_of_an_erased_payer_is_in_the_outbox(
    bank: Bank, service: Deployment, pool: asyncpg.Pool, receiver: RudeServer
) -> None:
    """There never was: neither the payer's reference nor its pseudonym is written there."""
    await added(bank, receiver.url)
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    await told(receiver, challenge["id"], "delivery.delivered")
    pseudonym = service.keyring.pseudonym("payer", "bank", psu["id"])
    known = await pool.fetchval("SELECT count(*) FROM audit_events WHERE psu = $1", pseudonym)
    assert known
    for table in ("webhook_endpoints", "webhook_messages", "webhook_attempts"):
        stored = str(await pool.fetch(f"SELECT * FROM {table}"))  # noqa: S608 - names of ours
        assert psu["id"] not in stored
        assert pseudonym not in stored
        assert psu["phone"] not in stored
