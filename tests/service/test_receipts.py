"""Receipts over HTTP: who is believed, how often, and what a receipt can and cannot change."""

import asyncio
from typing import Any

import msgspec
import pytest

from sca_service.sandbox.supplier.wire import FRESH_MS, SIGNATURE_HEADER, ReceiptBody
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, code_in, unique_psu
from tests.record import recorded
from tests.service.conftest import Script
from tests.signed import AT, body_of, now_ms, post_receipt, signed

SMS_THEN_VOICE = [{"channel": "sms", "timeout_s": 300}, {"channel": "voice"}]


async def waiting_delivery(bank: Bank, auditor: Bank, script: Script) -> tuple[str, str]:
    """A challenge and its delivery, sent and without a receipt."""
    await script("sms", "no_receipt")
    challenge = await bank.settled((await bank.issue(channels=SMS_THEN_VOICE))["id"], status="sent")
    await recorded(auditor, challenge["id"], "delivery.settled")
    return challenge["id"], challenge["deliveries"][0]["id"]


async def sent_and_settled(bank: Bank, challenge: str) -> Any:
    """The only delivery of a challenge, once the supplier's answer to the submit is put down too."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            (delivery,) = (await bank.get(challenge))["deliveries"]
            if delivery["sent_at"]:
                return delivery
            await asyncio.sleep(0.03)


async def declined_on_record(auditor: Bank, challenge: str) -> int:
    """How many events say that the payer said no, once there is one: it is decided a moment before it is committed."""
    asked = {"challenge": challenge, "type": "challenge.declined"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            response = await auditor.http.get("/v1/audit/events", params=asked)
            if events := response.json()["data"]:
                return len(events)
            await asyncio.sleep(0.03)


async def told_of(auditor: Bank, challenge: str) -> list[str]:
    """The audit events of a challenge, by id."""
    response = await auditor.http.get("/v1/audit/events", params={"challenge": challenge})
    return [event["id"] for event in response.json()["data"]]


async def test_signed_receipt_settles_the_delivery(
    bank: Bank, auditor: Bank, service: Deployment, script: Script
) -> None:
    """A receipt that its supplier signed is taken without a body in the answer, and needs no API key."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    body = body_of(delivery, "delivered")
    response = await bank.http.post(
        "/receipts/sandbox-sms", content=body, headers=signed(service, body) | {"Authorization": ""}
    )
    challenge = await bank.get(challenge_id)

    assert response.status_code == 204
    assert response.content == b""
    assert challenge["deliveries"][0]["status"] == "delivered"


@pytest.mark.parametrize(
    "forgery", ["unsigned", "other key", "other body", "other supplier", "old", "ahead", "other time", "cut"]
)
async def test_forged_receipt_changes_nothing(
    bank: Bank, auditor: Bank, service: Deployment, script: Script, forgery: str
) -> None:
    """A receipt that its supplier did not sign, or not lately, is 401; the delivery and the log stay as they were."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    before, events = await bank.get(challenge_id), await told_of(auditor, challenge_id)
    body = body_of(delivery)
    genuine = signed(service, body)[SIGNATURE_HEADER]
    header = {
        "unsigned": "",
        "other key": signed(service, body, key="another channel")[SIGNATURE_HEADER],
        "other body": signed(service, body_of(delivery, "delivered"))[SIGNATURE_HEADER],
        "other supplier": signed(service, body, supplier="sandbox-voice")[SIGNATURE_HEADER],
        "old": signed(service, body, at_ms=now_ms() - FRESH_MS - 1_000)[SIGNATURE_HEADER],
        "ahead": signed(service, body, at_ms=now_ms() + FRESH_MS + 60_000)[SIGNATURE_HEADER],
        "other time": f"t={now_ms() + 1_000},{genuine.partition(',')[2]}",
        "cut": genuine[:-2],
    }[forgery]
    response = await bank.http.post("/receipts/sandbox-sms", content=body, headers={SIGNATURE_HEADER: header})

    assert response.status_code == 401
    assert response.json()["code"] == "unauthorized"
    assert await bank.get(challenge_id) == before
    assert await told_of(auditor, challenge_id) == events


@pytest.mark.parametrize("replayed", ["in time", "late"])
async def test_replayed_receipt_changes_nothing(
    bank: Bank, auditor: Bank, service: Deployment, script: Script, replayed: str
) -> None:
    """The very bytes and signature once more: taken and without effect for five minutes, refused after that."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    body = body_of(delivery, "delivered")
    age_ms = FRESH_MS - 5_000 if replayed == "in time" else FRESH_MS + 5_000
    assert await post_receipt(bank, service, body) == 204
    before, events = await bank.get(challenge_id), await told_of(auditor, challenge_id)
    answered = await post_receipt(bank, service, body, at_ms=now_ms() - age_ms)

    assert answered == (204 if replayed == "in time" else 401)
    assert await bank.get(challenge_id) == before
    assert await told_of(auditor, challenge_id) == events


@pytest.mark.race
async def test_receipt_sent_many_times_at_once_is_one_event(
    bank: Bank, auditor: Bank, service: Deployment, script: Script
) -> None:
    """Twenty copies at once, of two minds: the first word holds, the log has it once, and nothing follows twice."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    statuses = ("delivered", "undelivered") * 10
    answered = await asyncio.gather(
        *(post_receipt(bank, service, body_of(delivery, status)) for status in statuses)
    )
    challenge = await bank.get(challenge_id)
    settled = await auditor.http.get(
        "/v1/audit/events", params={"challenge": challenge_id, "type": "delivery.settled"}
    )
    of_this = [event["status"] for event in settled.json()["data"] if event["delivery"] == delivery]

    assert set(answered) == {204}
    assert of_this == ["sent", challenge["deliveries"][0]["status"]]
    assert len(challenge["deliveries"]) == (1 if of_this[1] == "delivered" else 2)


async def test_another_suppliers_receipt_changes_nothing(
    bank: Bank, auditor: Bank, service: Deployment, script: Script
) -> None:
    """A supplier cannot speak for a delivery that was given to another, though it signs what it says."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    before, events = await bank.get(challenge_id), await told_of(auditor, challenge_id)
    for status in ("answered", "undelivered", "delivered"):
        await post_receipt(bank, service, body_of(delivery, status), supplier="sandbox-voice")

    assert await bank.get(challenge_id) == before
    assert await told_of(auditor, challenge_id) == events


async def test_receipt_for_another_clients_delivery_touches_no_other(
    bank: Bank, other_bank: Bank, service: Deployment, script: Script
) -> None:
    """Two banks, one payer's reference, one supplier: a receipt settles the delivery it names and nothing else."""
    psu = unique_psu()
    await script("sms", "no_receipt")
    ours, theirs = [
        await one.settled((await one.issue(psu=psu, channels=SMS_THEN_VOICE))["id"], status="sent")
        for one in (bank, other_bank)
    ]
    assert await post_receipt(bank, service, body_of(theirs["deliveries"][0]["id"], "delivered")) == 204

    assert await bank.get(ours["id"]) == ours
    assert (await other_bank.get(theirs["id"]))["deliveries"][0]["status"] == "delivered"
    assert (await bank.http.get(f"/v1/challenges/{theirs['id']}")).status_code == 404


@pytest.mark.parametrize("behaviour", ["early_receipt", "duplicate_receipt"])
async def test_receipt_early_or_twice(bank: Bank, auditor: Bank, script: Script, behaviour: str) -> None:
    """Before the supplier's answer, or twice after it: delivered once, one message, and its cost is known."""
    await script("sms", behaviour)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    await bank.settled(issued["id"])
    delivery = await sent_and_settled(bank, issued["id"])
    words = 1 if behaviour == "early_receipt" else 2  # what was delivered is not told to be sent any more
    events = await recorded(auditor, issued["id"], "delivery.settled", count=words)

    assert delivery["status"] == "delivered"
    assert delivery["cost"]["currency"] == "EUR"
    assert delivery["segments"] >= 1
    assert [event.get("status") for event in events].count("delivered") == 1
    assert len(await bank.messages(psu["phone"])) == 1


async def test_supplier_that_accepts_and_then_times_out(bank: Bank, auditor: Bank, script: Script) -> None:
    """It took the message and never said so: it is not sent again there, the ladder goes on once, any code counts."""
    await script("sms", "accept_timeout", delay_ms=0)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    challenge = await bank.settled(issued["id"], status="answered")
    messages = await bank.messages(psu["phone"])
    tried = await auditor.http.get(
        "/v1/audit/events", params={"challenge": issued["id"], "type": "delivery.attempted"}
    )

    assert [message["channel"] for message in messages] == ["sms", "voice"]
    assert [(event["channel"], event["try"]) for event in tried.json()["data"]] == [("sms", 1), ("voice", 1)]
    assert challenge["deliveries"][0]["status"] in ("failed", "delivered")
    assert (await bank.verify(issued["id"], code_in(messages[0]["text"])))["outcome"] == "approved"


@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
async def test_payer_who_says_no(bank: Bank, auditor: Bank, script: Script, channel: str) -> None:
    """A reply of NO, 9 in a call or no in the app: declined, on record, nothing further sent, and no code counts."""
    await script(channel, "decline")
    ladder = [{"channel": one} for one in ("push", "sms", "voice")]
    issued = await bank.issue(channels=ladder[[one["channel"] for one in ladder].index(channel) :])
    challenge = await bank.reached(issued["id"], "declined")

    assert await declined_on_record(auditor, issued["id"]) == 1
    assert [delivery["channel"] for delivery in challenge["deliveries"]] == [channel]
    assert (await bank.verify(issued["id"], "123456"))["outcome"] == "declined"


@pytest.mark.parametrize("forged", [True, False])
async def test_no_of_a_forger_declines_nothing(
    bank: Bank, auditor: Bank, service: Deployment, script: Script, forged: bool
) -> None:
    """Only the supplier itself can say that the payer said no; said twice it is said once."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    raw = msgspec.json.encode(ReceiptBody(delivery, None, AT, declined=True))
    key = "another channel" if forged else "sandbox receipts"
    answered = [await post_receipt(bank, service, raw, key=key) for _ in range(2)]
    challenge = await bank.get(challenge_id)

    assert answered == ([401, 401] if forged else [204, 204])
    assert challenge["status"] == ("pending" if forged else "declined")
    assert len(challenge["deliveries"]) == 1


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
    headers = signed(service, raw, supplier=supplier)
    response = await bank.http.post(f"/receipts/{supplier}", content=raw, headers=headers)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_receipt_is_not_taken_from_another_challenge(
    bank: Bank, auditor: Bank, service: Deployment, script: Script
) -> None:
    """A delivery's id with another number names no delivery, though its challenge exists."""
    challenge_id, delivery = await waiting_delivery(bank, auditor, script)
    before = await bank.get(challenge_id)
    raw = body_of(delivery[:-2] + "02")
    response = await bank.http.post("/receipts/sandbox-sms", content=raw, headers=signed(service, raw))

    assert response.status_code == 404
    assert await bank.get(challenge_id) == before


async def test_receipt_body_is_what_suppliers_send() -> None:
    """The bytes these tests sign have the shape that the sandbox's suppliers send."""
    told = msgspec.json.decode(body_of("dlv_x"), type=ReceiptBody)
    assert msgspec.json.encode(told) == body_of("dlv_x")
