"""Receipts and the sandbox's endpoints over HTTP: who is believed, what is shown, and what is refused."""

from typing import Any

import msgspec
import pytest

from sca_service.kernel.secret import Secret
from sca_service.sandbox.suppliers import SIGNATURE_HEADER, ReceiptBody, signature
from tests.harness import Bank, Deployment, unique_psu
from tests.service.conftest import Script

AT = "2026-11-22T10:15:00.123Z"


def body_of(delivery: str, status: str = "undelivered") -> bytes:
    """A sandbox receipt's bytes."""
    return msgspec.json.encode({"delivery": delivery, "status": status, "at": AT})


def signed(service: Deployment, body: bytes) -> dict[str, str]:
    """The header that the sandbox's suppliers put on these bytes."""
    secret = Secret(service.keyring.channel_key("sandbox receipts"))
    return {SIGNATURE_HEADER: signature(secret, body), "Content-Type": "application/json"}


async def waiting_delivery(bank: Bank, script: Script) -> tuple[str, str]:
    """A challenge and its delivery, sent and without a receipt."""
    await script("sms", "no_receipt")
    challenge = await bank.settled(
        (await bank.issue(channels=[{"channel": "sms", "timeout_s": 300}, {"channel": "voice"}]))["id"],
        status="sent",
    )
    return challenge["id"], challenge["deliveries"][0]["id"]


async def test_signed_receipt_settles_the_delivery(bank: Bank, service: Deployment, script: Script) -> None:
    """A receipt that its supplier signed is taken without a body in the answer, and needs no API key."""
    challenge_id, delivery = await waiting_delivery(bank, script)
    body = body_of(delivery, "delivered")
    response = await bank.http.post(
        "/receipts/sandbox-sms", content=body, headers=signed(service, body) | {"Authorization": ""}
    )
    challenge = await bank.get(challenge_id)

    assert response.status_code == 204
    assert response.content == b""
    assert challenge["deliveries"][0]["status"] == "delivered"


@pytest.mark.parametrize("forgery", ["unsigned", "other key", "other body", "cut", "not hex"])
async def test_forged_receipt_changes_nothing(
    bank: Bank, service: Deployment, script: Script, forgery: str
) -> None:
    """A receipt that its supplier did not sign is 401, and the delivery stays as it was."""
    challenge_id, delivery = await waiting_delivery(bank, script)
    before = await bank.get(challenge_id)
    body = body_of(delivery)
    genuine = signed(service, body)[SIGNATURE_HEADER]
    header = {
        "unsigned": "",
        "other key": signature(Secret(b"another key of 32 bytes exactly.."), body),
        "other body": signed(service, body_of(delivery, "delivered"))[SIGNATURE_HEADER],
        "cut": genuine[:-2],
        "not hex": "sha256=" + "z" * 64,
    }[forgery]
    response = await bank.http.post("/receipts/sandbox-sms", content=body, headers={SIGNATURE_HEADER: header})

    assert response.status_code == 401
    assert response.json()["code"] == "unauthorized"
    assert await bank.get(challenge_id) == before


@pytest.mark.parametrize(
    ("supplier", "body", "status"),
    [
        ("nobody", {"delivery": "dlv_" + "0" * 40, "status": "delivered", "at": AT}, 404),
        ("sandbox-sms", {"delivery": "dlv_" + "0" * 40, "status": "delivered", "at": AT}, 404),
        ("sandbox-sms", {"delivery": "dlv_x", "status": "delivered", "at": AT}, 404),
        ("sandbox-sms", {"delivery": "", "status": "delivered", "at": AT}, 404),
        ("sandbox-sms", {"delivery": "dlv_x", "status": "lost", "at": AT}, 422),
        ("sandbox-sms", {"delivery": "dlv_x", "status": "delivered", "at": "today"}, 422),
        ("sandbox-sms", {"delivery": "dlv_x", "status": "delivered", "at": "9999-12-31T23:59:59-23:59"}, 404),
        ("sandbox-sms", {"delivery": "dlv_x"}, 422),
        ("sandbox-sms", [], 422),
    ],
)
async def test_receipt_of_nothing_we_know(
    bank: Bank, service: Deployment, supplier: str, body: Any, status: int
) -> None:
    """A signed receipt for an unknown supplier or delivery is 404, one that cannot be read 422."""
    raw = msgspec.json.encode(body)
    response = await bank.http.post(f"/receipts/{supplier}", content=raw, headers=signed(service, raw))

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_receipt_is_not_taken_from_another_challenge(
    bank: Bank, service: Deployment, script: Script
) -> None:
    """A delivery's id with another number names no delivery, though its challenge exists."""
    challenge_id, delivery = await waiting_delivery(bank, script)
    before = await bank.get(challenge_id)
    raw = body_of(delivery[:-2] + "02")
    response = await bank.http.post("/receipts/sandbox-sms", content=raw, headers=signed(service, raw))

    assert response.status_code == 404
    assert await bank.get(challenge_id) == before


async def test_receipt_body_is_what_suppliers_send() -> None:
    """The bytes these tests sign have the shape that the sandbox's suppliers send."""
    assert msgspec.json.decode(body_of("dlv_x"), type=ReceiptBody).delivery == "dlv_x"


async def test_messages_show_what_suppliers_received(bank: Bank, service: Deployment) -> None:
    """The sandbox lists messages with every member, newest last, without a key."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    message = await bank.message(psu["phone"])
    response = await bank.http.get(
        "/sandbox/messages", params={"to": psu["phone"]}, headers={"Authorization": ""}
    )

    assert response.json() == {"data": [message], "next_cursor": None}
    assert set(message) >= {"id", "channel", "to", "text", "at", "delivery", "supplier"}
    assert message["to"] == psu["phone"]
    assert message["channel"] == "sms"
    assert message["supplier"] == "sandbox-sms"
    assert message["delivery"] == challenge["deliveries"][0]["id"]


async def test_messages_are_filtered(bank: Bank) -> None:
    """By number, channel and the last one seen; a new message is behind the one seen before."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, channels=[{"channel": "sms"}, {"channel": "voice"}])
    first = await bank.message(psu["phone"])
    await bank.http.post(f"/v1/challenges/{challenge['id']}/next")
    second = await bank.message(psu["phone"], number=2)

    async def listed(**filters: str) -> list[str]:
        response = await bank.http.get("/sandbox/messages", params={"to": psu["phone"], **filters})
        assert response.status_code == 200, response.text
        return [message["id"] for message in response.json()["data"]]

    assert await listed() == [first["id"], second["id"]]
    assert await listed(channel="voice") == [second["id"]]
    assert await listed(channel="push") == []
    assert await listed(after=first["id"]) == [second["id"]]
    assert await listed(after=second["id"]) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "pointer"),
    [
        ("GET", "/sandbox/messages?channel=email", None, 422, "/channel"),
        ("GET", "/sandbox/messages?after=first", None, 422, "/after"),
        ("GET", "/sandbox/messages?from=me", None, 422, "/from"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "explode"}, 422, "/behaviour"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "slow", "delay_ms": -1}, 422, "/delay_ms"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "slow", "next": 0}, 422, "/next"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "slow", "delay": 5}, 422, "/delay"),
        ("POST", "/sandbox/suppliers/sms", {}, 422, "/behaviour"),
        ("POST", "/sandbox/suppliers/email", {"behaviour": "deliver"}, 404, None),
        ("POST", "/sandbox/receipts", {"delivery": "dlv_x", "status": "lost"}, 422, "/status"),
        ("POST", "/sandbox/receipts", {"delivery": "dlv_x", "status": "delivered"}, 404, None),
    ],
)
async def test_sandbox_refuses_what_it_does_not_know(
    bank: Bank, method: str, path: str, body: Any, status: int, pointer: str | None
) -> None:
    """The sandbox is as strict as the rest: unknown suppliers are 404, impossible values 422 with their place."""
    response = await bank.http.request(method, path, json=body)

    assert response.status_code == status
    assert [mistake["pointer"] for mistake in response.json().get("errors", [])] == (
        [pointer] if pointer else []
    )


async def test_script_holds_for_as_many_messages_as_it_says(bank: Bank, script: Script) -> None:
    """A behaviour for the next message only: the first fails, the second is delivered."""
    await script("sandbox-sms", "error", next=1)
    failed = await bank.settled((await bank.issue())["id"], status="failed")
    delivered = await bank.settled((await bank.issue())["id"], status="delivered")

    assert failed["status"] == "undeliverable"
    assert delivered["status"] == "pending"


async def test_slow_supplier_still_delivers(bank: Bank, script: Script) -> None:
    """A supplier that takes its time is waited for, and its message counts."""
    await script("sms", "slow", delay_ms=300)
    challenge = await bank.settled((await bank.issue())["id"], status="delivered")

    assert challenge["deliveries"][0]["reason"] is None
