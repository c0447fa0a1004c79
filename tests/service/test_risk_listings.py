"""Lists of compromised or stolen elements over HTTP (RTS Art. 2(2)(a)): what is on one is weighed, and no more."""

import asyncio
import json
import secrets
from typing import Any

import pytest

from tests.harness import TRANSACTION, Bank, Deployment, unique_psu
from tests.service.test_exemptions import CARD, assess

IBAN = "GB29NWBK60161331926819"


def unique() -> str:
    """A reference that no other test has."""
    return f"ref-{secrets.token_hex(8)}"


async def put(bank: Bank, element: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Put one on the list; asserts that it was done."""
    body = {"element": element, "reason": "stolen"} | members
    response = await bank.http.post("/v1/risk-listings", json=body)
    assert response.status_code == 201, response.text
    entry: dict[str, Any] = response.json()
    return entry


async def remove(bank: Bank, entry: str) -> int:
    """Take one off the list; the status."""
    path = f"/v1/risk-listings/{entry}/remove"
    return (await bank.http.post(path, json={"reason": "found_again"})).status_code


async def entries(bank: Bank, **parameters: str) -> list[dict[str, Any]]:
    """The whole list, page by page."""
    found: list[dict[str, Any]] = []
    wanted = {"limit": "3", **parameters}
    while True:
        page = (await bank.http.get("/v1/risk-listings", params=wanted)).json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        wanted["cursor"] = page["next_cursor"]


def cases() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Of each kind: what is put on the list, and a challenge in which it occurs."""
    psu, device, card = unique_psu(), unique(), unique()
    lists_payee = TRANSACTION | {
        "payee": {"name": "Mule", "account": {"iban": "FR1420041010050500013M02606"}}
    }
    return {
        "payer": ({"psu_id": psu["id"]}, {"psu": psu}),
        "device": ({"device_id": device}, {"signals": {"device_id": device}}),
        "ip": ({"ip": "198.51.100.9"}, {"signals": {"ip": "198.51.100.9"}}),
        "network": ({"ip": "192.0.2.0/24"}, {"signals": {"ip": "192.0.2.77"}}),
        "site": ({"ip": "2001:db8:7::/48"}, {"signals": {"ip": "2001:db8:7:9::1"}}),
        "payee": (
            {"account": {"iban": "fr14 2004 1010 0505 0001 3M02 606"}},
            {"transaction": lists_payee},
        ),
        "phone": ({"phone": psu["phone"]}, {"psu": {"id": unique(), "phone": psu["phone"]}}),
        "card": ({"card_ref": card}, {"signals": {"card_ref": card}}),
    }


@pytest.mark.parametrize("kind", cases())
async def test_what_is_on_the_list_is_weighed_until_it_is_off(bank: Bank, kind: str) -> None:
    """At once, in both directions; put there again it counts again."""
    element, members = cases()[kind]
    members = {"channels": None, **members} if kind == "phone" else members

    async def is_listed() -> bool:
        challenge = await bank.issue(**members)
        await bank.http.post(f"/v1/challenges/{challenge['id']}/cancel")
        return "element_listed" in challenge["risk"]["reasons"]

    assert not await is_listed()
    entry = await put(bank, element)
    assert await is_listed()
    assert await remove(bank, entry["id"]) == await remove(bank, entry["id"]) == 204
    assert not await is_listed()
    assert (await put(bank, element))["id"] == entry["id"]
    assert await is_listed()
    assert await remove(bank, entry["id"]) == 204


async def test_a_stolen_card_exempts_nothing_and_a_mule_is_found_in_a_batch(bank: Bank) -> None:
    """With what the bank calls the card; with a batch every payee is looked up."""
    card = unique()
    tap = {"payment": CARD | {"context": "contactless", "instrument": card}}
    await put(bank, {"card_ref": card})
    assessed = await assess(bank, "5.00", **tap)
    assert (assessed["risk"]["decision"], assessed["risk"]["score"]) == ("step_up", 60)
    entry = await put(bank, {"account": {"iban": IBAN}}, reason="mule_account")
    amount = {"currency": "EUR", "amount": "5.00"}
    payees = [TRANSACTION["payee"], {"name": "Mule", "account": {"iban": IBAN}}]
    batch = {
        "total": {"currency": "EUR", "amount": "10.00"},
        "payees": [{"payee": payee, "amount": amount} for payee in payees],
    }
    challenge = await bank.issue(transaction=batch)
    assert "element_listed" in challenge["risk"]["reasons"]
    await remove(bank, entry["id"])


async def test_a_bank_sees_its_own_list(bank: Bank, other_bank: Bank) -> None:
    """All pages, by kind, with reason and end and no more of an element than its end; another's is another's."""
    devices = [unique() for _ in range(7)]
    put_there = [await put(bank, {"device_id": one}, reason="compromised", days=9) for one in devices]
    mine = await entries(bank, kind="device")
    assert [entry for entry in mine if entry in put_there] == sorted(put_there, key=lambda one: one["id"])
    assert len({entry["id"] for entry in mine}) == len(mine)
    assert {entry["kind"] for entry in mine} == {"device"}
    assert put_there[0]["shown"] == f"…{devices[0][-4:]}"
    assert not set(devices) & set(json.dumps(mine))
    theirs = await put(other_bank, {"device_id": devices[0]})
    assert theirs["id"] not in {entry["id"] for entry in put_there}
    assert put_there[0]["id"] not in {entry["id"] for entry in await entries(other_bank)}
    assert await remove(other_bank, put_there[0]["id"]) == 404
    for entry in put_there:
        await remove(bank, entry["id"])
    left = {entry["id"] for entry in await entries(bank, kind="device")}
    assert not left & {entry["id"] for entry in put_there}
    assert await remove(other_bank, theirs["id"]) == 204


async def test_a_change_is_on_record_without_what_was_listed(bank: Bank, service: Deployment) -> None:
    """Who, which entry, why and until when; never the element."""
    device = unique()
    entry = await put(bank, {"device_id": device}, reason="malware_found", days=30)
    await remove(bank, entry["id"])
    async with service.bank(client="auditor") as auditor:

        async def told(kind: str) -> list[dict[str, Any]]:
            page = await auditor.http.get("/v1/audit/events", params={"type": kind, "limit": "200"})
            return [one for one in page.json()["data"] if one["listing"] == entry["id"]]

        for _ in range(400):
            listed, unlisted = await told("risk.listed"), await told("risk.unlisted")
            if listed and unlisted:
                break
            await asyncio.sleep(0.05)
    assert (listed[0]["kind"], listed[0]["reason"]) == ("device", "malware_found")
    assert listed[0]["actor"] == "client:bank"
    assert listed[0]["until"][:10] == entry["until"][:10]
    assert unlisted[0]["reason"] == "found_again"
    assert device not in json.dumps([*listed, *unlisted])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"element": {}}, "/element"),
        ({"element": {"device_id": "d", "phone": "+4915112345678"}}, "/element"),
        ({"element": {"phone": "12"}}, "/element/phone"),
        ({"element": {"ip": "203.0.113.0/25"}}, "/element/ip"),
        ({"element": {"ip": "203.0.113.9/24"}}, "/element/ip"),
        ({"element": {"ip": "0.0.0.0/0"}}, "/element/ip"),
        ({"element": {"account": {"iban": "DE00370400440532013000"}}}, "/element/account/iban"),
        ({"element": {"card_ref": "a\u0000b"}}, "/element/card_ref"),
        ({"reason": "A sentence."}, "/reason"),
        ({"days": 0}, "/days"),
        ({"days": 731}, "/days"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_odd_entries_are_refused(bank: Bank, body: dict[str, Any], pointer: str) -> None:
    """By their place."""
    whole = {"element": {"device_id": unique()}, "reason": "stolen"} | body
    response = await bank.http.post("/v1/risk-listings", json=whole)
    assert response.status_code == 422, response.text
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == [pointer]


async def test_an_unknown_entry_and_an_odd_cursor(bank: Bank) -> None:
    """404 and 422."""
    for entry in ("lst_1", f"lst_{'0' * 32}"):
        assert await remove(bank, entry) == 404
    response = await bank.http.get("/v1/risk-listings", params={"cursor": "x"})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/cursor")


async def test_the_same_request_again_is_told_the_same(bank: Bank) -> None:
    """By its Idempotency-Key."""
    body = {"element": {"device_id": unique()}, "reason": "stolen"}
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first, again = [await bank.http.post("/v1/risk-listings", json=body, headers=headers) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    await remove(bank, first.json()["id"])
