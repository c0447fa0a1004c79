"""Push subscriptions over HTTP: registered, listed without their addresses, removed; nobody sees another's."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest

from tests.devices import Browser
from tests.harness import Bank, unique_psu

ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/"


def path(psu: dict[str, str]) -> str:
    """Where a payer's devices are."""
    return f"/v1/psus/{psu['id']}/push-subscriptions"


def browser(**changes: Any) -> dict[str, Any]:
    """A browser that no other test has."""
    made = Browser()
    keys = {
        "p256dh": urlsafe_b64encode(made.public).decode().rstrip("="),
        "auth": urlsafe_b64encode(made.auth).decode().rstrip("="),
    }
    return {"kind": "web_push", "endpoint": ENDPOINT + keys["p256dh"], "keys": keys, **changes}


def app() -> dict[str, str]:
    """An app that no other test has."""
    return {"kind": "fcm", "registration": f"app:{unique_psu()['id']}-{unique_psu()['id']}"}


async def add(bank: Bank, psu: dict[str, str], device: dict[str, Any]) -> dict[str, Any]:
    """Register a device; asserts that it was."""
    response = await bank.http.post(path(psu), json=device)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def listed(bank: Bank, psu: dict[str, str]) -> list[dict[str, Any]]:
    """A payer's devices."""
    response = await bank.http.get(path(psu))
    assert response.status_code == 200, response.text
    assert response.json()["next_cursor"] is None
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def test_devices_are_registered_listed_and_removed(bank: Bank) -> None:
    """Every kind; an answer has an id, the kind and a masked address, never the address."""
    psu = unique_psu()
    devices = [browser(), app(), {"kind": "apns", "device": "AB" * 30 + "c0ffee42"}]
    added = [await add(bank, psu, device) for device in devices]
    found = await listed(bank, psu)
    assert found == added[::-1]
    assert [one["kind"] for one in added] == ["web_push", "fcm", "apns"]
    assert all(one["id"].startswith("psb_") and one["used_at"] is None for one in added)
    assert added[0]["to"].startswith("updates.push.services.mozilla.com …")
    assert added[2]["to"] == "…ee42"
    text = str(found)
    assert devices[0]["endpoint"] not in text
    assert devices[1]["registration"] not in text
    response = await bank.http.delete(f"{path(psu)}/{added[1]['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert [one["id"] for one in await listed(bank, psu)] == [added[2]["id"], added[0]["id"]]


async def test_the_same_device_keeps_its_id(bank: Bank) -> None:
    """With the same Idempotency-Key, with another and with none."""
    psu, device = unique_psu(), app()
    first = await add(bank, psu, device)
    keyed = [
        await bank.http.post(path(psu), json=device, headers={"Idempotency-Key": key})
        for key in (f"a-{psu['id']}", f"a-{psu['id']}", f"b-{psu['id']}")
    ]
    assert {response.json()["id"] for response in keyed} == {first["id"]}
    assert [response.headers.get("Idempotency-Replayed") for response in keyed] == [None, "true", None]
    other = await bank.http.post(path(psu), json=app(), headers={"Idempotency-Key": f"a-{psu['id']}"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(await listed(bank, psu)) == 1


async def test_a_device_moves_to_whoever_registers_it(bank: Bank) -> None:
    """A browser that another person logs in with tells the one before no more."""
    before, after, device = unique_psu(), unique_psu(), browser()
    first, second = await add(bank, before, device), await add(bank, after, device)
    assert first["id"] != second["id"]
    assert await listed(bank, before) == []
    assert [one["id"] for one in await listed(bank, after)] == [second["id"]]


async def test_at_most_ten(bank: Bank) -> None:
    """The eleventh puts the first one out."""
    psu = unique_psu()
    ids = [(await add(bank, psu, app()))["id"] for _ in range(11)]
    assert [one["id"] for one in await listed(bank, psu)] == ids[:0:-1]


async def test_nobody_sees_or_removes_anothers(bank: Bank, other_bank: Bank) -> None:
    """Another client's and another payer's device, and one that never was, all answer 404."""
    psu = unique_psu()
    device = await add(bank, psu, app())
    assert await listed(other_bank, psu) == []
    for who, where in (
        (other_bank, f"{path(psu)}/{device['id']}"),
        (bank, f"{path(unique_psu())}/{device['id']}"),
        (bank, f"{path(psu)}/psb_unknown"),
    ):
        response = await who.http.delete(where)
        assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert len(await listed(bank, psu)) == 1


async def test_the_scope_is_asked_for(operator: Bank, auditor: Bank) -> None:
    """Devices are authenticators: neither an operator nor an auditor touches them."""
    psu = unique_psu()
    for who in (operator, auditor):
        for response in (
            await who.http.post(path(psu), json=app()),
            await who.http.get(path(psu)),
            await who.http.delete(f"{path(psu)}/psb_1"),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "missing-scope")


@pytest.mark.parametrize(
    ("device", "pointers"),
    [
        ({}, ["/kind"]),
        ({"kind": "pager"}, ["/kind"]),
        ({"kind": "web_push"}, ["/endpoint", "/keys"]),
        ({"kind": "fcm", "device": "ab" * 32}, ["/registration", "/device"]),
        ({"kind": "apns", "device": "../" * 30}, ["/device"]),
        ({"kind": "fcm", "registration": "x" * 30, "more": 1}, ["/more"]),
        (browser(endpoint="https://169.254.169.254/latest"), ["/endpoint"]),
        (browser(endpoint="http://localhost:6379/"), ["/endpoint"]),
        (browser(keys={"p256dh": "AA", "auth": "AA"}), ["/keys/p256dh", "/keys/auth"]),
        (browser(keys={"p256dh": "AA"}), ["/keys/auth"]),
        (browser(registration="x" * 30), ["/registration"]),
    ],
)
async def test_what_is_no_device(bank: Bank, device: dict[str, Any], pointers: list[str]) -> None:
    """Refused with every mistake at its place; nothing is stored."""
    psu = unique_psu()
    response = await bank.http.post(path(psu), json=device)
    assert response.status_code == 422, response.text
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == pointers
    assert await listed(bank, psu) == []


async def test_changes_are_on_record(bank: Bank, auditor: Bank) -> None:
    """Who added and who removed a device, by its id; the address is not in it."""
    psu, device = unique_psu(), app()
    added = await add(bank, psu, device)
    await bank.http.delete(f"{path(psu)}/{added['id']}")
    response = await auditor.http.get("/v1/audit/events", params={"psu": psu["id"]})
    events = response.json()["data"]
    assert [(event["type"], event["actor"], event["subscription"]) for event in events] == [
        ("push_subscription.added", "client:bank", added["id"]),
        ("push_subscription.removed", "client:bank", added["id"]),
    ]
    assert all(event["request"].startswith("req_") for event in events)
    assert device["registration"] not in response.text
