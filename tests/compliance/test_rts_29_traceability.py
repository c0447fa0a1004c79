"""RTS Art. 29: traceability."""

import asyncio
import re
from typing import Any

from tests.harness import Bank, Deployment, unique_psu, wrong

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def _story(bank: Bank, service: Deployment) -> list[dict[str, Any]]:
    """The events of a payment that was issued, delivered, answered wrongly and rightly."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, signals={"session_id": "s-1", "ip": "203.0.113.7"})
    right = await bank.code(psu["phone"])
    async with service.bank(client="auditor") as auditor:
        while len(await _events(auditor, challenge["id"])) < 4:  # until the receipt is on record
            await asyncio.sleep(0.05)
        await bank.verify(challenge["id"], wrong(right))
        await bank.verify(challenge["id"], right)
        return await _events(auditor, challenge["id"])


async def _events(auditor: Bank, challenge: str) -> list[dict[str, Any]]:
    response = await auditor.http.get("/v1/audit/events", params={"challenge": challenge})
    events: list[dict[str, Any]] = response.json()["data"]
    return events


async def test_29_1_every_step_is_traceable(bank: Bank, service: Deployment) -> None:
    """Issue, attempt and settling of the delivery, and each answer are in the log, in the order they happened."""
    events = await _story(bank, service)
    assert [event["type"] for event in events] == [
        "challenge.issued",
        "delivery.attempted",
        "delivery.settled",
        "delivery.settled",
        "challenge.answered",
        "challenge.answered",
    ]
    assert [event["outcome"] for event in events[4:]] == ["incorrect", "approved"]


async def test_29_2_a_events_carry_session_request_and_policy(bank: Bank, service: Deployment) -> None:
    """Each event names client, payer, actor and policy, and its request; the issue names session and payment."""
    events = await _story(bank, service)
    for event in events:
        assert event["client"] == "bank"
        assert re.fullmatch(r"[0-9a-f]{32}", event["psu"])
        assert event["actor"] in ("client:bank", "worker", "api")
        assert event["policy"].startswith("sha256:")
        assert event["actor"] != "client:bank" or event["request"].startswith("req_")
    assert re.fullmatch(r"[0-9a-f]{32}", events[0]["session"])
    assert events[0]["transaction"].startswith("sha256:")


async def test_29_2_b_time_stamps_are_utc_from_one_clock(bank: Bank, service: Deployment) -> None:
    """Times are RFC 3339 in UTC and never go back within one challenge: Redis dates them all."""
    times = [event["at"] for event in await _story(bank, service)]
    assert all(_TIME.fullmatch(time) for time in times)
    assert times == sorted(times)
