"""Replies to texts, from the supplier's call-back to the record: NO, STOP, START, and everything else."""

from typing import Any

import asyncpg
import msgspec
import pytest

from tests.harness import Bank, Deployment, code_in, unique_psu
from tests.signed import AT, post_receipt

SMS = [{"channel": "sms"}]


async def reply(bank: Bank, service: Deployment, phone: str, text: str, **signing: Any) -> int:
    """The payer answers a text; the supplier tells us. The status of our answer."""
    body = msgspec.json.encode({"at": AT, "reply": {"from": phone, "text": text}})
    return await post_receipt(bank, service, body, **signing)


async def waiting(bank: Bank, psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """A challenge whose text is on the handset."""
    challenge = await bank.issue(psu=psu, channels=SMS, **members)
    return await bank.settled(challenge["id"], status="delivered")


async def opt_outs(service: Deployment, phone: str) -> list[dict[str, Any]]:
    """The events about a number's opt-outs, the oldest first."""
    connection = await asyncpg.connect(service.servers.postgres.url)
    try:
        rows = await connection.fetch(
            "SELECT body FROM audit_events WHERE type LIKE 'opt_out.%' ORDER BY txid, position"
        )
    finally:
        await connection.close()
    events = [msgspec.json.decode(row["body"]) for row in rows]
    return [event for event in events if event["phone"] == service.keyring.pseudonym("phone", phone)]


@pytest.mark.parametrize("text", ["NO", "nein.", "नहीं"])
async def test_no_declines_the_payment_it_answers(
    bank: Bank, auditor: Bank, service: Deployment, text: str
) -> None:
    """The right code is of no use any more, and the log says how the payer said no."""
    psu = unique_psu()
    challenge = await waiting(bank, psu)
    code = code_in((await bank.message(psu["phone"]))["text"])
    assert await reply(bank, service, psu["phone"], text) == 204
    assert (await bank.get(challenge["id"]))["status"] == "declined"
    verified = await bank.verify(challenge["id"], code)
    assert (verified["outcome"], verified["authentication_code"]) == ("declined", None)
    events = (await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"]})).json()
    (declined,) = [event for event in events["data"] if event["type"] == "challenge.declined"]
    assert declined["reason"] == "payer_reply"
    assert declined["delivery"] == challenge["deliveries"][0]["id"]


async def test_no_declines_the_newest_payment_only(bank: Bank, service: Deployment) -> None:
    """A reply names no payment: it is the last that the payer was asked about."""
    psu = unique_psu()
    first, second = await waiting(bank, psu), await waiting(bank, psu)
    await reply(bank, service, psu["phone"], "NO")
    assert (await bank.get(second["id"]))["status"] == "declined"
    assert (await bank.get(first["id"]))["status"] == "pending"


@pytest.mark.parametrize("text", ["HELP", "YES", "no, I did not do this", "693554", "START"])
async def test_other_words_leave_the_payment_as_it_is(bank: Bank, service: Deployment, text: str) -> None:
    """Nobody reads sentences here, and nothing is ever approved by a reply."""
    psu = unique_psu()
    challenge = await waiting(bank, psu)
    assert await reply(bank, service, psu["phone"], text) == 204
    assert await bank.get(challenge["id"]) == challenge


async def test_no_to_a_login_leaves_it_as_it_is(bank: Bank, service: Deployment) -> None:
    """Only a payment can be declined by text."""
    psu = unique_psu()
    challenge = await waiting(bank, psu, purpose="login", transaction=None)
    assert await reply(bank, service, psu["phone"], "NO") == 204
    assert (await bank.get(challenge["id"]))["status"] == "pending"


async def test_a_forged_reply_changes_nothing(bank: Bank, service: Deployment) -> None:
    """It is 401 unless the supplier signed it."""
    psu = unique_psu()
    challenge = await waiting(bank, psu)
    assert await reply(bank, service, psu["phone"], "NO", key="another channel") == 401
    assert (await bank.get(challenge["id"]))["status"] == "pending"


async def test_a_number_nobody_wrote_to_changes_nothing(bank: Bank, service: Deployment) -> None:
    """Whatever it says; the supplier is told that all is well."""
    stranger = unique_psu()["phone"]
    for text in ("NO", "STOP", "START"):
        assert await reply(bank, service, stranger, text) == 204
    assert await opt_outs(service, stranger) == []


async def test_stop_is_on_record_and_codes_are_sent_all_the_same(bank: Bank, service: Deployment) -> None:
    """An opt-out is for alerts: a payer asks for each code, and would be locked out without them."""
    psu = unique_psu()
    challenge = await waiting(bank, psu)
    for _ in range(2):
        assert await reply(bank, service, psu["phone"], "STOP") == 204
    assert (await bank.get(challenge["id"]))["status"] == "pending"
    await waiting(bank, psu)
    assert await reply(bank, service, psu["phone"], "Start!") == 204
    events = await opt_outs(service, psu["phone"])
    assert [event["type"] for event in events] == ["opt_out.received", "opt_out.lifted"]
    assert {event["client"] for event in events} == {"bank"}
    assert {event["actor"] for event in events} == {"supplier:sandbox-sms"}
    assert psu["phone"][1:] not in str(events)
