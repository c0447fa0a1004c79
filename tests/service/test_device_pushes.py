"""What wakes a payer's devices, over HTTP: a push that may fail, carries no code, and is not sent for ever."""

import pytest
from redis.asyncio import Redis

from sca_service.challenges.model import decode_state
from tests.device import asked, enrolled
from tests.harness import Bank, order, unique_psu
from tests.service.conftest import Script
from tests.service.situations import challenge_key, partition_tag
from tests.storeroom import eventually


@pytest.mark.parametrize("behaviour", ["error", "undelivered", "no_receipt"])
async def test_a_push_that_fails_ends_nothing(bank: Bank, script: Script, behaviour: str) -> None:
    """The app asks by itself, woken or not: still pending, and answered."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    await script("push", behaviour)
    issued = await asked(bank, psu)
    status = {"error": "failed", "undelivered": "undelivered", "no_receipt": "sent"}[behaviour]
    settled = await bank.settled(issued["id"], status=status)
    assert (settled["status"], [one["channel"] for one in settled["deliveries"]]) == ("pending", ["push"])
    assert await device.approve(issued) == "approved"


async def test_a_push_wakes_and_carries_no_code(bank: Bank) -> None:
    """Only push is taken as a channel; the message says what it is about, and neither code nor digits."""
    psu = unique_psu()
    await enrolled(bank, psu)
    issued = await asked(bank, psu)
    await bank.settled(issued["id"])
    sent = (await bank.http.get("/sandbox/messages")).json()["data"]
    (message,) = [one for one in sent if one["delivery"] == issued["deliveries"][0]["id"]]
    assert message["channel"] == "push"
    assert message["text"] == issued["message_shown"]
    for channels in ([{"channel": "sms"}], [{"channel": "push"}, {"channel": "voice"}]):
        body = order(psu=psu, method="device_signature", channels=channels)
        refused = await bank.http.post("/v1/challenges", json=body)
        at = len(channels) - 1
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
            422,
            f"/channels/{at}/channel",
        )
    woken = await asked(bank, psu, channels=[{"channel": "push"}])
    assert woken["channel"] == "push"
    none_left = await bank.http.post(f"/v1/challenges/{woken['id']}/next", json={})
    assert (none_left.status_code, none_left.json()["code"]) == (409, "no-more-channels")


async def test_devices_are_asked_five_times_and_no_more(bank: Bank) -> None:
    """Push bombing: after five without an approval the sixth is 429; other methods go on, an approval begins anew."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    issued = [await asked(bank, psu) for _ in range(5)]
    for declined in issued[1:3]:  # saying no is no approval
        await device.answered(declined["id"], device.refusal(declined, "not_me"))
    body = order(psu=psu, method="device_signature", channels=None)
    refused = await bank.http.post("/v1/challenges", json=body)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
    assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
    assert (await bank.issue(psu=psu))["status"] == "pending"
    assert await device.approve(issued[0]) == "approved"
    assert (await bank.http.post("/v1/challenges", json=body)).status_code == 201


async def test_unanswered_pushes_are_forgotten_in_time(bank: Bank, redis: Redis) -> None:
    """They count for an hour from the first on."""
    psu = unique_psu()
    await enrolled(bank, psu)
    first = await asked(bank, psu)
    for _ in range(4):
        await asked(bank, psu)
    body = order(psu=psu, method="device_signature", channels=None)
    assert (await bank.http.post("/v1/challenges", json=body)).status_code == 429
    key = f"{partition_tag(first['id'])}:pushes:{await payer_of(redis, first['id'])}"
    assert 3_500_000 < await redis.pttl(key) <= 3_600_000
    assert await redis.pexpire(key, 1)

    async def is_forgotten() -> bool:
        return not await redis.exists(key)

    await eventually(is_forgotten)
    assert (await bank.http.post("/v1/challenges", json=body)).status_code == 201


async def test_a_repeated_request_asks_once(bank: Bank) -> None:
    """An Idempotency-Key counts as one push, and hears the same digits."""
    psu = unique_psu()
    await enrolled(bank, psu)
    body = order(psu=psu, method="device_signature", channels=None)
    key = {"Idempotency-Key": f"push-{psu['id']}"}
    answers = [await bank.http.post("/v1/challenges", json=body, headers=key) for _ in range(8)]
    assert len({(one.status_code, one.json()["id"], one.json()["matching_digits"]) for one in answers}) == 1
    more = [(await bank.http.post("/v1/challenges", json=body)).status_code for _ in range(5)]
    assert more == [201] * 4 + [429]


async def payer_of(redis: Redis, challenge: str) -> str:
    """The pseudonym that a challenge's payer has in the store."""
    packed = await redis.get(challenge_key(challenge))
    assert isinstance(packed, bytes)
    return decode_state(packed).payer
