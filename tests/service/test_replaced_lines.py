"""A phone line that another one replaces is told so, once, whatever is repeated, and on record."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from tests.alerts import alert_events
from tests.generator import activate
from tests.harness import Bank, Deployment, unique_psu
from tests.service.conftest import Script
from tests.service.test_phone_lines import LANDLINE, enrol, enrolled, word
from tests.service.test_replies import reply
from tests.signed import AT, post_receipt
from tests.storeroom import eventually

CHANGED = "Ihre Telefonnummer für Bestätigungen bei"


@pytest.fixture
async def pool(service: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the service's PostgreSQL."""
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=2) as pool:
        yield pool


async def alerts_of(pool: asyncpg.Pool, service: Deployment, psu: dict[str, str]) -> list[Any]:
    """What was queued to a payer."""
    payer = service.keyring.pseudonym("payer", "bank", psu["id"])
    return list(await pool.fetch("SELECT * FROM alerts WHERE psu = $1 ORDER BY created_at", payer))


async def settled(pool: asyncpg.Pool, service: Deployment, psu: dict[str, str], status: str) -> Any:
    """The one alert of a payer, once it has this status."""

    async def there() -> bool:
        return [one["status"] for one in await alerts_of(pool, service, psu)] == [status]

    await eventually(there)
    (alert,) = await alerts_of(pool, service, psu)
    return alert


async def texts(bank: Bank, phone: str) -> list[str]:
    """The notices that a handset has received."""
    return [one["text"] for one in await bank.messages(phone) if one["text"].startswith(CHANGED)]


async def replaced(bank: Bank, psu: dict[str, str], old: str, new: str) -> tuple[str, str, str]:
    """A payer whose line is replaced: the ids of the old and the new one, and the code that activated the new."""
    first = await enrolled(bank, psu, old)
    authorisation = await word(bank, psu, old)
    second = (await enrol(bank, psu, new, authorisation=authorisation)).json()["authenticator"]["id"]
    code = await bank.code(new)
    assert (await activate(bank, psu, second, code)).json()["outcome"] == "activated"
    return first, second, code


async def test_the_old_line_is_told_and_the_new_one_is_not(
    bank: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """Once, in the payer's language, without a number or a link; its status is what the receipt says."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    await replaced(bank, psu, old, new)
    alert = await settled(pool, service, psu, "delivered")
    (text,) = await texts(bank, old)
    assert "rufen Sie sofort Ihre Bank an" in text
    assert not any(character.isdigit() for character in text) and "://" not in text
    assert await texts(bank, new) == []
    events = await alert_events(pool, alert["id"])
    assert {event["type"] for event in events} >= {"alert.queued", "alert.attempted", "alert.delivered"}
    assert (events[0]["kind"], events[0]["actor"]) == ("security", "client:bank")
    assert old[1:] not in str(events) and new[1:] not in str(events)


async def test_it_is_told_once_whatever_is_repeated(
    bank: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """The activation again, with the right code and a wrong one, and the revocation of what is revoked."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    first, second, code = await replaced(bank, psu, old, new)
    for presented in (code, code, "000000"):
        assert (await activate(bank, psu, second, presented)).json()["outcome"] == "not_pending"
    assert (await bank.http.delete(f"/v1/psus/{psu['id']}/authenticators/{first}")).status_code == 204
    await settled(pool, service, psu, "delivered")
    assert len(await texts(bank, old)) == 1


async def test_it_is_on_record_with_the_revocation(
    bank: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """In one transaction: there is no moment in which the line is gone and the notice is not there."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    first, second, _ = await replaced(bank, psu, old, new)
    (alert,) = await alerts_of(pool, service, psu)
    rows = await pool.fetch(
        "SELECT type, txid FROM audit_events WHERE psu = $1 AND (type = 'alert.queued'"
        " OR (type IN ('authenticator.activated', 'authenticator.revoked')"
        "     AND body::jsonb ->> 'authenticator' = ANY($2::text[])))",
        alert["psu"],
        [first, second],
    )
    last = {row["txid"] for row in rows if row["type"] != "authenticator.activated"}
    assert len(last) == 1
    assert sorted(row["type"] for row in rows if row["txid"] in last) == [
        "alert.queued",
        "authenticator.activated",
        "authenticator.revoked",
    ]


async def test_stop_does_not_silence_it(bank: Bank, service: Deployment, pool: asyncpg.Pool) -> None:
    """Whoever holds the line could send it: a warning of a change is no message that one consents to."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    await enrolled(bank, psu, old)
    assert await reply(bank, service, old, "STOP") == 204
    authorisation = await word(bank, psu, old)
    await enrolled(bank, psu, new, authorisation=authorisation)
    await settled(pool, service, psu, "delivered")
    assert len(await texts(bank, old)) == 1


async def test_the_same_number_once_more_is_no_change(
    bank: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """A renewed enrolment of the line (RTS Art. 26) tells nobody that it was replaced."""
    psu, phone = unique_psu(), unique_psu()["phone"]
    await enrolled(bank, psu, phone)
    authorisation = await word(bank, psu, phone)
    await enrolled(bank, psu, phone, authorisation=authorisation)
    assert await alerts_of(pool, service, psu) == []


async def test_a_line_that_is_revoked_and_not_replaced_is_told_nothing(
    bank: Bank, service: Deployment, pool: asyncpg.Pool
) -> None:
    """The bank did that, and tells its payer by itself."""
    psu, old = unique_psu(), unique_psu()["phone"]
    first = await enrolled(bank, psu, old)
    await bank.http.delete(f"/v1/psus/{psu['id']}/authenticators/{first}")
    assert await alerts_of(pool, service, psu) == []


async def test_a_text_that_does_not_arrive_is_followed_by_a_call(
    bank: Bank, service: Deployment, pool: asyncpg.Pool, script: Script
) -> None:
    """And the payer's 9 in that call is on record for the bank, once."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    await enrolled(bank, psu, old)
    authorisation = await word(bank, psu, old)
    second = (await enrol(bank, psu, new, authorisation=authorisation)).json()["authenticator"]["id"]
    code = await bank.code(new)
    await script("sms", "undelivered", next=1)
    await activate(bank, psu, second, code)
    alert = await settled(pool, service, psu, "delivered")
    deliveries = msgspec.json.decode(alert["deliveries"])
    assert [one["channel"] for one in deliveries] == ["sms", "voice"]
    assert (await bank.messages(old))[-1]["channel"] == "voice"
    assert len(await texts(bank, old)) == 1
    nine = msgspec.json.encode({"delivery": deliveries[1]["id"], "declined": True, "at": AT})
    for _ in range(2):
        assert await post_receipt(bank, service, nine, supplier="sandbox-voice") == 204
    kinds = [event["type"] for event in await alert_events(pool, alert["id"])]
    assert kinds.count("payer.not_me") == 1


async def test_a_landline_is_called(bank: Bank, service: Deployment, pool: asyncpg.Pool) -> None:
    """No text arrives there."""
    psu, old, new = unique_psu(), LANDLINE + unique_psu()["phone"][-3:], unique_psu()["phone"]
    await enrolled(bank, psu, old)
    body = {"id": psu["id"], "locale": "de-DE"}
    before = len(await bank.messages(old))
    issued = await bank.issue(
        psu=body,
        purpose="enrolment",
        transaction=None,
        channels=[{"channel": "voice"}],
        elements_presented=["knowledge"],
    )
    verified = await bank.verify(issued["id"], await bank.code(old, number=before + 1), None)
    await enrolled(bank, psu, new, authorisation=verified["authentication_code"])
    alert = await settled(pool, service, psu, "delivered")
    assert list(alert["channels"]) == ["voice"]
    assert len(await texts(bank, old)) == 1
