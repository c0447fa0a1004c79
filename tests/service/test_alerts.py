"""Alerts over HTTP, from the order to the handset: sent once, suppressed where they must be, on record."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from tests.alerts import alert_events
from tests.harness import Bank, Deployment, unique_psu
from tests.service.conftest import Script
from tests.service.test_replies import reply
from tests.signed import AT, post_receipt
from tests.storeroom import eventually

CHARGE = {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."}
SMS = [{"channel": "sms"}]


@pytest.fixture
async def issuer(service: Deployment) -> AsyncIterator[Bank]:
    """A client with the scope alerts."""
    async with service.bank(client="issuer") as issuer:
        yield issuer


@pytest.fixture
async def pool(service: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the service's PostgreSQL."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=2) as pool:
        yield pool


def notice(psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """An order of a notice."""
    return {"psu": psu, "template": "upcoming_charge", "variables": CHARGE, "channels": SMS} | members


async def ordered(issuer: Bank, psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """A notice that was taken in."""
    response = await issuer.http.post("/v1/alerts", json=notice(psu, **members))
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def seen(issuer: Bank, alert: str) -> dict[str, Any]:
    """An alert as it stands."""
    response = await issuer.http.get(f"/v1/alerts/{alert}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def becomes(issuer: Bank, alert: str, status: str) -> dict[str, Any]:
    """An alert once it has come to a status."""

    async def there() -> bool:
        return bool((await seen(issuer, alert))["status"] == status)

    await eventually(there)
    return await seen(issuer, alert)


async def kinds(pool: asyncpg.Pool, alert: str) -> list[str]:
    """The types of the events on record about an alert, in their order."""
    return [event["type"] for event in await alert_events(pool, alert)]


async def test_a_notice_is_delivered_once_and_on_record(issuer: Bank, pool: asyncpg.Pool) -> None:
    """Its text is the policy's, its status what the receipt says, its events say neither number nor text."""
    psu = unique_psu()
    made = await ordered(issuer, psu)
    assert (made["status"], made["deliveries"], made["psu"]) == ("queued", [], {"id": psu["id"]})
    body = await becomes(issuer, made["id"], "delivered")
    (message,) = await issuer.messages(psu["phone"])
    assert message["text"].startswith("Streaming AG wird am 1.12. 9,99 € abbuchen.")
    (delivery,) = body["deliveries"]
    assert (delivery["status"], delivery["supplier"]) == ("delivered", "sandbox-sms")
    assert (delivery["id"], delivery["to"][-4:]) == (message["delivery"], psu["phone"][-4:])
    events = await alert_events(pool, made["id"])
    assert [event["type"] for event in events][:2] == ["alert.queued", "alert.attempted"]
    assert events[-1]["type"] in ("alert.sent", "alert.delivered")
    assert events[0]["actor"] == "client:issuer"
    assert not any(text in str(events) for text in (psu["phone"][1:], "Streaming", psu["id"]))


async def test_a_notice_that_is_over_holds_no_number(
    issuer: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """What is sealed keeps the masked number, and neither the number nor the text."""
    psu = unique_psu()
    made = await ordered(issuer, psu)
    await becomes(issuer, made["id"], "delivered")
    held = await pool.fetchval("SELECT sealed FROM alerts WHERE id = $1", made["id"])
    plain = service.keyring.open(held, made["id"])
    assert psu["id"].encode() in plain
    assert psu["phone"].encode() not in plain and b"Streaming" not in plain


async def test_one_of_a_dedupe_key_is_sent(issuer: Bank, pool: asyncpg.Pool) -> None:
    """Twenty at once: one message, the others suppressed as duplicates, each to be read."""
    psu, key = unique_psu(), secrets.token_hex(8)
    made = await asyncio.gather(*(ordered(issuer, psu, dedupe_key=key) for _ in range(20)))
    (first,) = [one for one in made if one["status"] == "queued"]
    others = [one for one in made if one["id"] != first["id"]]
    assert {(one["status"], one["reason"]) for one in others} == {("suppressed", "duplicate")}
    await becomes(issuer, first["id"], "delivered")
    assert await seen(issuer, others[0]["id"]) == others[0]
    assert others[0]["dedupe_key"] == key
    assert len(await issuer.messages(psu["phone"])) == 1
    assert await kinds(pool, others[0]["id"]) == ["alert.suppressed"]


async def test_a_repeated_request_sends_once(issuer: Bank) -> None:
    """With its Idempotency-Key it hears the same; another body with that key is refused."""
    psu, headers = unique_psu(), {"Idempotency-Key": secrets.token_hex(8)}
    first = await issuer.http.post("/v1/alerts", json=notice(psu), headers=headers)
    again = await issuer.http.post("/v1/alerts", json=notice(psu), headers=headers)
    other = await issuer.http.post("/v1/alerts", json=notice(psu, expires_in_s=60), headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    await becomes(issuer, first.json()["id"], "delivered")
    assert len(await issuer.messages(psu["phone"])) == 1


async def test_stop_suppresses_notices(issuer: Bank, service: Deployment, pool: asyncpg.Pool) -> None:
    """From the payer's reply on; START brings them back."""
    psu = unique_psu()
    await becomes(issuer, (await ordered(issuer, psu))["id"], "delivered")
    assert await reply(issuer, service, psu["phone"], "STOP") == 204
    stopped = await ordered(issuer, psu)
    body = await becomes(issuer, stopped["id"], "suppressed")
    assert (body["reason"], body["deliveries"]) == ("opted_out", [])
    assert await kinds(pool, stopped["id"]) == ["alert.queued", "alert.suppressed"]
    assert len(await issuer.messages(psu["phone"])) == 1
    assert await reply(issuer, service, psu["phone"], "START") == 204
    await becomes(issuer, (await ordered(issuer, psu))["id"], "delivered")


async def test_the_ladder_goes_on_where_a_message_does_not_arrive(
    issuer: Bank, script: Script, pool: asyncpg.Pool
) -> None:
    """A receipt says so, or the supplier refuses it: then the call; and no further when that was answered."""
    await script("sms", "undelivered", next=1)
    psu = unique_psu()
    made = await ordered(issuer, psu, channels=[{"channel": "sms"}, {"channel": "voice"}])
    body = await becomes(issuer, made["id"], "delivered")
    told = [(one["channel"], one["status"]) for one in body["deliveries"]]
    assert told == [("sms", "undelivered"), ("voice", "answered")]
    assert "alert.stepped" in await kinds(pool, made["id"])


async def test_a_notice_that_nobody_gets_has_failed(issuer: Bank, script: Script) -> None:
    """With the reason of its last delivery."""
    await script("sms", "undelivered", next=1)
    body = await becomes(issuer, (await ordered(issuer, unique_psu()))["id"], "failed")
    assert (body["reason"], body["deliveries"][0]["status"]) == ("undelivered", "undelivered")


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"template": "line_replaced", "variables": {}}, "/template"),
        ({"template": "unheard_of"}, "/template"),
        ({"template": "../notices"}, "/template"),
        ({"variables": {}}, "/variables"),
        ({"variables": {**CHARGE, "bank": "Another bank"}}, "/variables"),
        ({"variables": {**CHARGE, "merchant": "a\u202eb"}}, "/variables/merchant"),
        ({"variables": {**CHARGE, "merchant": "x" * 71}}, "/variables/merchant"),
        ({"channels": [{"channel": "email"}]}, "/channels"),
        ({"channels": [*SMS, *SMS]}, "/channels"),
        ({"channels": []}, "/channels"),
        ({"psu": {"id": "p"}}, "/psu/phone"),
        ({"psu": {"id": "p", "phone": "+4930123456"}}, "/psu/phone"),
        ({"psu": {"id": "p", "phone": "no number"}}, "/psu/phone"),
        ({"kind": "security"}, "/kind"),
        ({"expires_in_s": 59}, "/expires_in_s"),
        ({"expires_in_s": 604_801}, "/expires_in_s"),
        ({"dedupe_key": " "}, "/dedupe_key"),
        ({"due_at": 7}, "/due_at"),
    ],
)
async def test_what_is_no_notice_is_refused(issuer: Bank, members: dict[str, Any], pointer: str) -> None:
    """422 at the member; a client cannot say what only the service may."""
    refused = await issuer.http.post("/v1/alerts", json=notice(unique_psu()) | members)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_an_alert_is_its_clients(issuer: Bank, bank: Bank) -> None:
    """Without the scope 403; an unknown id and one that cannot be are 404."""
    made = await ordered(issuer, unique_psu())
    assert (await bank.http.get(f"/v1/alerts/{made['id']}")).status_code == 403
    for unknown in (f"alt_{'0' * 32}", "alt_1", "%00"):
        assert (await issuer.http.get(f"/v1/alerts/{unknown}")).status_code == 404


async def test_a_receipt_of_an_unknown_alert_is_404(issuer: Bank, service: Deployment) -> None:
    """As for any other delivery."""
    body = msgspec.json.encode({"delivery": f"dlv_alt{'0' * 34}", "status": "delivered", "at": AT})
    assert await post_receipt(issuer, service, body) == 404


async def test_a_landline_is_called(issuer: Bank) -> None:
    """Where the order names no channels the number decides."""
    psu = unique_psu() | {"phone": f"+4930{secrets.randbelow(10**6) + 10**6}"}
    await becomes(issuer, (await ordered(issuer, psu, channels=None))["id"], "delivered")
    (message,) = await issuer.messages(psu["phone"])
    assert message["channel"] == "voice"
