"""RTS Art. 29: traceability."""

import re
from pathlib import Path
from typing import Any

import sca_service.challenges
from sca_service.core import open_core
from sca_service.settings import read_settings
from tests.harness import Bank, Deployment, unique_psu, wrong
from tests.storeroom import eventually, let_expire

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def _story(bank: Bank, service: Deployment) -> list[dict[str, Any]]:
    """The events of a payment that was issued, delivered, answered wrongly and rightly."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, signals={"session_id": "s-1", "ip": "203.0.113.7"})
    right = await bank.code(psu["phone"])
    async with service.bank(client="auditor") as auditor:

        async def receipt_is_on_record() -> bool:
            return len(await _events(auditor, challenge["id"])) == 4

        await eventually(receipt_is_on_record)
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
    """Each event names client, payer, actor and policy, session and payment, and its request."""
    events = await _story(bank, service)
    for event in events:
        assert event["client"] == "bank"
        assert re.fullmatch(r"[0-9a-f]{32}", event["psu"])
        assert event["actor"] in ("client:bank", "worker", "api")
        assert event["policy"].startswith("sha256:")
        assert event["actor"] != "client:bank" or event["request"].startswith("req_")
        assert re.fullmatch(r"[0-9a-f]{32}", event["session"])
        assert event["transaction"] == events[0]["commitments"]["transaction"]


async def test_29_2_b_time_stamps_are_utc_from_one_clock(bank: Bank, service: Deployment) -> None:
    """Times are RFC 3339 in UTC and never go back within one challenge: Redis dates them all."""
    times = [event["at"] for event in await _story(bank, service)]
    assert all(_TIME.fullmatch(time) for time in times)
    assert times == sorted(times)


_EVERY = {"id", "index", "at", "at_ms", "type", "client", "actor", "policy"}
_OWN = {
    "challenge.issued": {
        "purpose",
        "method",
        "channels",
        "elements",
        "sca",
        "commitments",
        "risk",
        "expires_at_ms",
    },
    "challenge.refused": {
        "purpose",
        "method",
        "channels",
        "elements",
        "sca",
        "commitments",
        "risk",
        "reason",
    },
    "challenge.answered": {"outcome", "attempts_left"},
    "challenge.cancelled": {"reason"},
    "challenge.stepped": {"reason", "channel"},
    "challenge.expired": set(),
    "challenge.undeliverable": {"reason"},
    "challenge.declined": {"reason", "delivery", "channel"},
    "delivery.attempted": {"delivery", "channel", "try", "supplier", "price", "reasons", "purpose"},
    "delivery.settled": {"delivery", "channel", "status"},
    "delivery.retried": {"delivery", "channel", "reason", "supplier"},
    "payer.blocked": {"until_ms"},
    "payer.unblocked": {"reason"},
}
"""What each type of event says besides what every event says; a settled delivery may name a reason and a supplier, or
for what and where to it found none; a route its country, its network, its sender and those passed over."""
_WHILE_THE_LOG_IS_AWAY = {"delivery.postponed"}
"""Written in an outage only: tests/faults looks at these."""


async def _everything(bank: Bank, service: Deployment) -> list[dict[str, Any]]:
    """The events of two payers to whom everything happens that can."""
    psu, other = unique_psu(), unique_psu()
    ladder = [{"channel": "push"}, {"channel": "sms"}]
    first = await bank.issue(psu=psu, channels=ladder)
    await bank.http.post(f"/v1/challenges/{first['id']}/next", json={})
    for _ in range(21):  # one more than may be pending: it supersedes the first
        last = await bank.issue(psu=psu)
    await bank.http.post(f"/v1/challenges/{last['id']}/cancel", json={})
    answered = await bank.issue(psu=psu)
    await bank.message(psu["phone"])
    for _ in range(5):
        await bank.verify(answered["id"], "abcdef")
    await bank.issue(psu=psu)
    async with service.bank(client="operator") as operator:
        unblock = {"reason": "called back", "client": "bank"}
        await operator.http.post(f"/v1/psus/{psu['id']}/unblock", json=unblock)
    try:
        await bank.script("sms", "throttle", delay_ms=0)
        await bank.issue(psu=other)
        await _on_record(service, other, "delivery.retried")
        await bank.script("sms", "error")
        await bank.issue(psu=other)
        await _on_record(service, other, "challenge.undeliverable")
    finally:
        await bank.script("sms", "deliver")
    no = await bank.issue(psu=other, channels=[{"channel": "voice"}])
    attempted = (await bank.settled(no["id"], status="answered"))["deliveries"][0]
    await _decline(service, attempted["id"])
    late = await bank.issue(psu=other)
    await let_expire(service, late["id"])
    await bank.http.post(f"/v1/challenges/{late['id']}/cancel", json={})
    return await _log(service, psu) + await _on_record(service, other, "challenge.expired")


async def _decline(service: Deployment, delivery: str) -> None:
    """The payer presses 9 in the call."""
    async with open_core(read_settings(service.config(service.api.port))) as core:
        assert await core.book("api").decline(delivery)


async def _log(service: Deployment, psu: dict[str, str]) -> list[dict[str, Any]]:
    async with service.bank(client="auditor") as auditor:
        response = await auditor.http.get("/v1/audit/events", params={"psu": psu["id"], "limit": "200"})
    events: list[dict[str, Any]] = response.json()["data"]
    return events


async def _on_record(service: Deployment, psu: dict[str, str], kind: str) -> list[dict[str, Any]]:
    """A payer's events, once there is one of this type."""

    async def is_there() -> bool:
        return any(event["type"] == kind for event in await _log(service, psu))

    await eventually(is_there)
    return await _log(service, psu)


async def test_29_2_every_type_of_event_says_all_that_is_relevant(bank: Bank, service: Deployment) -> None:
    """Whatever happens to a challenge, its event has the members that are written down here, and no others."""
    events = await _everything(bank, service)
    assert {event["type"] for event in events} == set(_OWN)
    for event in events:
        expected = _EVERY | _OWN[event["type"]] | {"psu"}
        if event["type"] != "payer.unblocked":
            expected |= {"challenge", "transaction"}
        if event["actor"] != "worker":
            expected |= {"request"}
        if event["type"] == "delivery.settled":
            expected |= set(event) & {"reason", "supplier", "purpose", "country"}
        if event["type"] == "delivery.attempted":
            expected |= set(event) & {"network", "sender", "passed_over", "country"}
        if event["actor"] == "api":
            expected -= {"request"}
        assert set(event) == expected, event["type"]


def test_29_2_every_type_that_a_script_can_write_is_looked_at_here() -> None:
    """A new one is written down above before it is put on record."""
    folder = Path(sca_service.challenges.__file__).parent
    scripts = "\n".join(path.read_text("utf-8") for path in folder.glob("*.lua"))
    written = re.findall(r"emit\([^']*'([a-z.]+)'", scripts) + re.findall(r'"type":"([a-z.]+)"', scripts)
    assert set(written) == set(_OWN) | _WHILE_THE_LOG_IS_AWAY
