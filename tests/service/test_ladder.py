"""The ladder on the real worker and the sandbox's suppliers: on by time, by failure, by request, or not at all."""

from typing import Any

import pytest
from redis.asyncio import Redis

from tests.harness import Bank, code_in, unique_psu
from tests.record import recorded
from tests.service.conftest import Script
from tests.service.situations import age
from tests.storeroom import eventually

SMS_THEN_VOICE = [{"channel": "sms", "timeout_s": 300}, {"channel": "voice"}]


async def step(bank: Bank, redis: Redis, challenge_id: str) -> None:
    """Ask for the next channel, after any cool-down."""
    await age(redis, challenge_id, 120)
    response = await bank.http.post(f"/v1/challenges/{challenge_id}/next", json={"reason": "user_request"})
    assert response.status_code == 200, response.text


async def messages_by_challenge(bank: Bank, challenge: dict[str, Any]) -> list[dict[str, Any]]:
    """What the suppliers received for one challenge, devices included."""
    mine = {delivery["id"] for delivery in (await bank.get(challenge["id"]))["deliveries"]}
    response = await bank.http.get("/sandbox/messages")
    return [message for message in response.json()["data"] if message["delivery"] in mine]


async def receipt(bank: Bank, delivery: str, status: str) -> int:
    """Send a receipt by hand; the status of the answer."""
    response = await bank.http.post("/sandbox/receipts", json={"delivery": delivery, "status": status})
    return response.status_code


async def worker_has_swept(bank: Bank) -> None:
    """Wait until the worker has stepped on a newer challenge by time: what was due before it was looked at, too."""
    await bank.script("push", "no_receipt")
    psu = unique_psu()
    await bank.issue(psu=psu, channels=[{"channel": "push", "timeout_s": 1}, {"channel": "voice"}])
    await bank.message(psu["phone"])


async def test_same_code_over_push_sms_and_voice(bank: Bank, redis: Redis) -> None:
    """Whichever channel carries it, a challenge has one code; each message also has amount and payee."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, channels=None)
    await bank.settled(challenge["id"])
    for status in ("delivered", "answered"):
        await step(bank, redis, challenge["id"])
        await bank.settled(challenge["id"], status=status)
    messages = await messages_by_challenge(bank, challenge)

    assert [message["channel"] for message in messages] == ["push", "sms", "voice"]
    assert len({code_in(message["text"]) for message in messages}) == 1
    assert all("49,99 €" in message["text"] and "ACME GmbH" in message["text"] for message in messages)
    assert (await bank.verify(challenge["id"], code_in(messages[0]["text"])))["outcome"] == "approved"


async def test_steps_on_by_time(bank: Bank, auditor: Bank, script: Script) -> None:
    """No receipt in time: the next channel follows with the same code, and the log says why."""
    await script("sms", "no_receipt")
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=[{"channel": "sms", "timeout_s": 1}, {"channel": "voice"}])
    first, second = await bank.message(psu["phone"]), await bank.message(psu["phone"], number=2)
    challenge = await bank.settled(issued["id"], status="answered")
    events = await auditor.http.get(
        "/v1/audit/events", params={"challenge": issued["id"], "type": "challenge.stepped"}
    )

    assert [first["channel"], second["channel"]] == ["sms", "voice"]
    assert code_in(first["text"]) == code_in(second["text"])
    assert [delivery["status"] for delivery in challenge["deliveries"]] == ["sent", "answered"]
    assert challenge["deliveries"][0]["reason"] == "timeout"
    assert [(event["reason"], event["channel"]) for event in events.json()["data"]] == [("timeout", "voice")]


@pytest.mark.parametrize(
    ("behaviour", "status"), [("undelivered", "undelivered"), ("error", "failed"), ("timeout", "failed")]
)
async def test_steps_on_by_a_failed_delivery(bank: Bank, script: Script, behaviour: str, status: str) -> None:
    """A supplier that loses, refuses or keeps waiting: the next channel follows long before the time is over."""
    await script("sms", behaviour, delay_ms=0)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    challenge = await bank.settled(issued["id"], status="answered")
    messages = await bank.messages(psu["phone"])

    assert challenge["channel"] == "voice"
    assert challenge["deliveries"][0]["status"] == status
    assert challenge["deliveries"][0]["final_at"] is not None
    assert [message["channel"] for message in messages] == ["voice"]
    assert (await bank.verify(issued["id"], code_in(messages[0]["text"])))["outcome"] == "approved"


async def test_passing_failure_is_tried_again_over_the_same_channel(
    bank: Bank, auditor: Bank, script: Script
) -> None:
    """A supplier that fails once gets the same delivery again, and the ladder stays where it is."""
    await script("sms", "throttle", delay_ms=0, next=1)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=SMS_THEN_VOICE)
    challenge = await bank.settled(issued["id"])
    events = await auditor.http.get(
        "/v1/audit/events", params={"challenge": issued["id"], "type": "delivery.attempted"}
    )

    assert [delivery["channel"] for delivery in challenge["deliveries"]] == ["sms"]
    assert len(await bank.messages(psu["phone"])) == 1
    assert [event["try"] for event in events.json()["data"]] == [1, 2]


async def test_stops_when_delivered(bank: Bank, redis: Redis, script: Script) -> None:
    """A message that arrived ends the ladder: the time goes by and nothing further is sent."""
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=[{"channel": "sms", "timeout_s": 30}, {"channel": "voice"}])
    delivered = await bank.settled(issued["id"])
    await age(redis, issued["id"], 60)
    await worker_has_swept(bank)
    challenge = await bank.get(issued["id"])

    assert issued["next_channel_at"] is not None
    assert delivered["next_channel_at"] is None
    assert challenge["status"] == "pending"
    assert [delivery["channel"] for delivery in challenge["deliveries"]] == ["sms"]
    assert len(await bank.messages(psu["phone"])) == 1


@pytest.mark.parametrize("status", ["approved", "cancelled", "rejected"])
async def test_stops_when_the_challenge_is_over(
    bank: Bank, redis: Redis, script: Script, status: str
) -> None:
    """Once it is answered or cancelled nothing further is sent, though the first message is still on its way."""
    await script("sms", "no_receipt")
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=[{"channel": "sms", "timeout_s": 30}, {"channel": "voice"}])
    code = await bank.code(psu["phone"])
    await bank.settled(issued["id"], status="sent")
    if status == "cancelled":
        await bank.http.post(f"/v1/challenges/{issued['id']}/cancel")
    else:
        other = {"amount": {"currency": "EUR", "amount": "1"}, "payee": {"name": "Someone else"}}
        await (
            bank.verify(issued["id"], code, other)
            if status == "rejected"
            else bank.verify(issued["id"], code)
        )
    await age(redis, issued["id"], 60)
    await worker_has_swept(bank)
    challenge = await bank.get(issued["id"])

    assert challenge["status"] == status
    assert challenge["next_channel_at"] is None
    assert len(challenge["deliveries"]) == len(await bank.messages(psu["phone"])) == 1


async def test_undeliverable_when_every_channel_failed(bank: Bank, auditor: Bank, script: Script) -> None:
    """Every channel failed: the challenge is undeliverable, on record, and so is every answer to it."""
    for supplier, behaviour in (("push", "error"), ("sms", "undelivered"), ("voice", "undelivered")):
        await script(supplier, behaviour)
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=None)
    challenge = await bank.reached(issued["id"], "undeliverable")
    events = await recorded(auditor, issued["id"], "challenge.undeliverable")

    assert [one["status"] for one in challenge["deliveries"]] == ["failed", "undelivered", "no_answer"]
    assert all(one["reason"] for one in challenge["deliveries"] if one["status"] == "failed")
    assert [event["type"] for event in events].count("challenge.undeliverable") == 1
    assert (await bank.verify(issued["id"], "123456"))["outcome"] == "undeliverable"
    assert await bank.messages(psu["phone"]) == []


async def test_waits_for_the_last_channel_after_an_earlier_one_may_have_arrived(
    bank: Bank, script: Script
) -> None:
    """A channel without a receipt may have arrived: the last one's failure does not make it undeliverable."""
    await script("sms", "no_receipt")
    await script("voice", "undelivered")
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=[{"channel": "sms", "timeout_s": 1}, {"channel": "voice"}])
    challenge = await bank.settled(issued["id"], status="no_answer")

    assert challenge["status"] == "pending"
    assert (await bank.verify(issued["id"], await bank.code(psu["phone"])))["outcome"] == "approved"


async def test_late_receipt_triggers_no_further_message(bank: Bank, redis: Redis, script: Script) -> None:
    """A good receipt for a channel that was given up is put down, and ends the ladder where it stands."""
    await script("sms", "no_receipt")
    await script("voice", "no_receipt")
    psu = unique_psu()
    issued = await bank.issue(
        psu=psu,
        channels=[
            {"channel": "sms", "timeout_s": 1},
            {"channel": "voice", "timeout_s": 30},
            {"channel": "push"},
        ],
    )
    await bank.message(psu["phone"], number=2)
    stepped = await bank.settled(issued["id"], status="sent")
    assert await receipt(bank, stepped["deliveries"][0]["id"], "delivered") == 202
    await age(redis, issued["id"], 60)
    await worker_has_swept(bank)
    challenge = await bank.get(issued["id"])

    assert stepped["next_channel_at"] is not None
    assert challenge["next_channel_at"] is None
    assert [delivery["status"] for delivery in challenge["deliveries"]] == ["delivered", "sent"]


@pytest.mark.parametrize("second", ["delivered", "undelivered"])
async def test_second_receipt_changes_nothing(bank: Bank, auditor: Bank, second: str) -> None:
    """A supplier's first word on a delivery holds; a repeated or contrary one changes nothing and is no event."""
    issued = await bank.issue(channels=SMS_THEN_VOICE)
    challenge = await bank.settled(issued["id"])
    asked = {"challenge": issued["id"]}

    async def is_on_record() -> bool:
        told = (await auditor.http.get("/v1/audit/events", params=asked)).json()["data"]
        return [event["status"] for event in told if event["type"] == "delivery.settled"].count(
            "delivered"
        ) == 1

    await eventually(is_on_record)
    before = (await auditor.http.get("/v1/audit/events", params=asked)).json()["data"]
    answered = await receipt(bank, challenge["deliveries"][0]["id"], second)
    after = (await auditor.http.get("/v1/audit/events", params=asked)).json()["data"]

    assert answered == 202
    assert await bank.get(issued["id"]) == challenge
    assert [event["id"] for event in after] == [event["id"] for event in before]


async def test_receipt_after_the_answer_leaves_the_challenge(bank: Bank, script: Script) -> None:
    """A receipt that comes after the approval is put down; the challenge stays approved, whatever it says."""
    await script("sms", "no_receipt")
    psu = unique_psu()
    issued = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    sent = await bank.settled(issued["id"], status="sent")
    await bank.verify(issued["id"], code)
    assert await receipt(bank, sent["deliveries"][0]["id"], "undelivered") == 202
    challenge = await bank.get(issued["id"])

    assert challenge["status"] == "approved"
    assert [delivery["status"] for delivery in challenge["deliveries"]] == ["undelivered"]
    assert (await bank.verify(issued["id"], code))["outcome"] == "already_used"
