"""The sandbox's endpoints over HTTP: what suppliers received, how they are scripted, and what is refused."""

from typing import Any

import pytest

from tests.harness import Bank, Deployment, unique_psu
from tests.service.conftest import Script


async def test_messages_show_what_suppliers_received(bank: Bank, service: Deployment) -> None:
    """The sandbox lists messages with every member, newest last, without a key."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    message = await bank.message(psu["phone"])
    response = await bank.http.get(
        "/sandbox/messages", params={"to": psu["phone"]}, headers={"Authorization": ""}
    )

    assert response.json() == {"data": [message], "next_cursor": None}
    assert set(message) >= {"id", "channel", "to", "text", "at", "delivery", "supplier", "sender"}
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
        ("GET", "/sandbox/messages?channel=fax", None, 422, "/channel"),
        ("GET", "/sandbox/messages?after=first", None, 422, "/after"),
        ("GET", "/sandbox/messages?from=me", None, 422, "/from"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "explode"}, 422, "/behaviour"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "slow", "delay_ms": -1}, 422, "/delay_ms"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "slow", "next": 0}, 422, "/next"),
        ("POST", "/sandbox/suppliers/sms", {"behaviour": "slow", "delay": 5}, 422, "/delay"),
        ("POST", "/sandbox/suppliers/sms", {}, 422, "/behaviour"),
        ("POST", "/sandbox/suppliers/fax", {"behaviour": "deliver"}, 404, None),
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
