"""Cards over HTTP, from the balance to the handset: warned once, in time, and not when it is enough again."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from sca_service.kernel.ids import new_id
from tests.alerts import alert_events
from tests.harness import Bank, Deployment, unique_psu
from tests.storeroom import eventually


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


def euro(amount: str) -> dict[str, str]:
    """An amount."""
    return {"currency": "EUR", "amount": amount}


def in_days(days: int) -> str:
    """The day in so many days."""
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def balance(psu: dict[str, str], amount: str, *, back_s: float = 0, **members: Any) -> dict[str, Any]:
    """A balance of so many seconds ago."""
    as_of = datetime.now(UTC) - timedelta(seconds=back_s)
    return {"psu": psu, "balance": euro(amount), "as_of": as_of.isoformat()} | members


async def put(issuer: Bank, card: str, body: dict[str, Any]) -> dict[str, Any]:
    """A balance that was taken in, by a machine that is busy too."""
    while True:
        response = await issuer.http.put(f"/v1/cards/{card}/balance", json=body)
        if response.status_code != 503:
            break
        await asyncio.sleep(0.1)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


async def expect(issuer: Bank, card: str, amount: str, days: int, **members: Any) -> dict[str, Any]:
    """A charge to come that was taken in."""
    body = {"merchant": "Streaming AG", "amount": euro(amount), "expected_date": in_days(days)} | members
    response = await issuer.http.post(f"/v1/cards/{card}/upcoming-charges", json=body)
    assert response.status_code == 201, response.text
    told: dict[str, Any] = response.json()
    return told


async def alert(issuer: Bank, alert_id: str, status: str) -> dict[str, Any]:
    """An alert once it has come to a status."""
    body: dict[str, Any] = {}

    async def there() -> bool:
        nonlocal body
        body = (await issuer.http.get(f"/v1/alerts/{alert_id}")).json()
        return bool(body["status"] == status)

    await eventually(there)
    return body


async def test_a_holder_hears_once_that_the_balance_is_low(issuer: Bank, pool: asyncpg.Pool) -> None:
    """However it wobbles: one text in the holder's language, on record with its reason and without the card."""
    psu, card = unique_psu(), new_id("card")
    first = await put(issuer, card, balance(psu, "50.00", back_s=9, threshold=euro("20.00")))
    assert (first["state"], first["applied"], first["alerts"]) == ("sufficient", True, [])
    low = await put(issuer, card, balance(psu, "19.99", back_s=8, threshold=euro("20.00")))
    for seconds, amount in ((7, "20.01"), (6, "19.00"), (5, "23.99"), (4, "-5.00")):
        body = await put(issuer, card, balance(psu, amount, back_s=seconds, threshold=euro("20.00")))
        assert (body["state"], body["alerts"]) == ("below", [])
    (alert_id,) = low["alerts"]
    told = await alert(issuer, alert_id, "delivered")
    assert (told["kind"], told["template"], told["psu"]) == ("low_balance", "low_balance", {"id": psu["id"]})
    (message,) = await issuer.messages(psu["phone"])
    assert message["text"].startswith("Das Guthaben Ihrer Karte beträgt 19,99 €, weniger als 20,00 €.")
    queued = (await alert_events(pool, alert_id))[0]
    assert (queued["type"], queued["kind"], queued["episode"]) == ("alert.queued", "low_balance", 1)
    assert not any(text in str(queued) for text in (card, psu["id"], psu["phone"][1:], "19.99", "1999"))
    recovered = await put(issuer, card, balance(psu, "24.00", back_s=3, threshold=euro("20.00")))
    assert (recovered["state"], recovered["suppressed"]) == ("recovered", [])
    again = await put(issuer, card, balance(psu, "3.00", back_s=2, threshold=euro("20.00")))
    assert len(again["alerts"]) == 1


async def test_a_charge_that_will_fail_is_told_before_it_does(issuer: Bank, pool: asyncpg.Pool) -> None:
    """Once for its day; the list says what is predicted, and an event why."""
    psu, card = unique_psu(), new_id("card")
    await put(issuer, card, balance(psu, "30.00", back_s=5))
    rent = await expect(issuer, card, "25.00", 1, merchant="Gym", confidence=90)
    assert (rent["short"], rent["predicted_balance"]) == (False, euro("30.00"))
    short = await expect(issuer, card, "9.99", 2)
    assert (short["short"], short["predicted_balance"], short["warned"]) == (True, euro("5.00"), True)
    await alert(issuer, short["alert"], "delivered")
    (message,) = await issuer.messages(psu["phone"])
    assert message["text"].startswith("Streaming AG wird am ")
    assert "9,99 €" in message["text"]
    assert (await expect(issuer, card, "9.99", 2))["id"] == short["id"]
    await put(issuer, card, balance(psu, "31.00", back_s=4))
    queued = (await alert_events(pool, short["alert"]))[0]
    assert (queued["kind"], queued["charge"], queued["confidence"]) == ("upcoming_charge", short["id"], 100)
    assert "Streaming" not in str(queued)
    assert len(await issuer.messages(psu["phone"])) == 1
    page = (await issuer.http.get(f"/v1/cards/{card}/upcoming-charges?limit=1")).json()
    rest = (
        await issuer.http.get(f"/v1/cards/{card}/upcoming-charges?limit=1&cursor={page['next_cursor']}")
    ).json()
    assert [one["merchant"] for one in (*page["data"], *rest["data"])] == ["Gym", "Streaming AG"]
    assert rest["next_cursor"] is None


async def test_the_worker_warns_when_a_charge_comes_into_its_days(issuer: Bank, pool: asyncpg.Pool) -> None:
    """Without any call; nobody had to be told of it on the day it became known."""
    psu, card = unique_psu(), new_id("card")
    await put(issuer, card, balance(psu, "1.00", back_s=5))
    charge = await expect(issuer, card, "9.99", 9)
    assert (charge["short"], charge["warned"]) == (True, False)
    await pool.execute(
        "UPDATE upcoming_charges SET expected_on = expected_on - 8 WHERE id = $1", charge["id"]
    )
    await pool.execute(
        "UPDATE cards SET next_check_at = now() WHERE id = (SELECT card_id FROM upcoming_charges WHERE id = $1)",
        charge["id"],
    )

    async def arrived() -> bool:
        return bool(await issuer.messages(psu["phone"]))

    await eventually(arrived)
    (one,) = (await issuer.http.get(f"/v1/cards/{card}/upcoming-charges")).json()["data"]
    assert one["warned"]
    events = await alert_events(pool, one["alert"])
    assert (events[0]["actor"], events[0]["kind"]) == ("worker", "upcoming_charge")


async def test_regular_charges_are_recognised_and_expected(issuer: Bank) -> None:
    """Three of them are one to come; the next that is made is expected no more, and told twice counts once."""
    psu, card = unique_psu(), new_id("card")
    await put(issuer, card, balance(psu, "100.00"))
    days = [-85, -57, -29]
    made = [
        {"merchant": merchant, "amount": euro("9.99"), "date": in_days(day)}
        for day in days
        for merchant in ("Weekly? No", "STREAMING  ag")
    ]
    response = await issuer.http.post(f"/v1/cards/{card}/charges", json={"charges": made})
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["new"] == 6
    assert {one["source"] for one in body["recognised"]} <= {"recognised"}
    again = (await issuer.http.post(f"/v1/cards/{card}/charges", json={"charges": made})).json()
    assert again["new"] == 0
    assert again["recognised"] == body["recognised"]


async def test_what_has_come_is_expected_no_more(issuer: Bank) -> None:
    """A charge that was told and made; a cancelled one neither; unknown ones are 404."""
    psu, card = unique_psu(), new_id("card")
    await put(issuer, card, balance(psu, "100.00"))
    await expect(issuer, card, "9.99", 1)
    other = await expect(issuer, card, "5.00", 1, merchant="Gym")
    made = {"merchant": "streaming ag", "amount": euro("9.50"), "date": in_days(0)}
    await issuer.http.post(f"/v1/cards/{card}/charges", json={"charges": [made]})
    listed = (await issuer.http.get(f"/v1/cards/{card}/upcoming-charges")).json()["data"]
    assert [one["id"] for one in listed] == [other["id"]]
    path = f"/v1/cards/{card}/upcoming-charges/{other['id']}"
    assert [(await issuer.http.delete(path)).status_code for _ in range(2)] == [204, 404]
    assert (await issuer.http.delete(f"{path}0")).status_code == 404
    assert (await issuer.http.get(f"/v1/cards/{card}")).json()["upcoming_charges"] == 0


async def test_an_older_balance_is_said_to_change_nothing(issuer: Bank) -> None:
    """The same once more is as once; another one of an earlier or of the same moment is not applied."""
    psu, card = unique_psu(), new_id("card")
    body = balance(psu, "50.00", back_s=5)
    assert (await put(issuer, card, body))["applied"]
    assert (await put(issuer, card, body))["applied"]
    other = {
        "threshold": {"threshold": euro("70.00")},
        "number": {"psu": body["psu"] | {"phone": unique_psu()["phone"]}},
        "holder": {"psu": unique_psu()},
        "balance": {"balance": euro("1.00")},
    }
    for late in (*(body | members for members in other.values()), balance(psu, "1.00", back_s=60)):
        told = await put(issuer, card, late)
        assert (told["applied"], told["balance"], told["threshold"]) == (False, euro("50.00"), None)


async def test_a_card_belongs_to_the_client_that_told_of_it(issuer: Bank, service: Deployment) -> None:
    """Another client's is unknown, under the same reference too; and a forgotten one is."""
    psu, card = unique_psu(), new_id("card")
    await put(issuer, card, balance(psu, "50.00"))
    assert (await issuer.http.get(f"/v1/cards/{card}")).json()["psu"] == {"id": psu["id"]}
    deleted = [(await issuer.http.delete(f"/v1/cards/{card}")).status_code for _ in range(2)]
    assert deleted == [204, 404]
    unknown = {"merchant": "Gym", "amount": euro("5.00")}
    for response in (
        await issuer.http.get(f"/v1/cards/{card}"),
        await issuer.http.get(f"/v1/cards/{card}/upcoming-charges"),
        await issuer.http.post(
            f"/v1/cards/{card}/upcoming-charges", json=unknown | {"expected_date": in_days(1)}
        ),
        await issuer.http.post(
            f"/v1/cards/{card}/charges", json={"charges": [unknown | {"date": in_days(0)}]}
        ),
    ):
        assert response.status_code == 404


PSU = {"id": "cust_1", "phone": "+4915112345678"}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (balance(PSU, "12.345"), ["/balance/amount"]),
        (balance(PSU, "+1"), ["/balance/amount"]),
        (balance(PSU, "1" * 15), ["/balance/amount"]),
        (balance(PSU, "1", balance={"currency": "XXX", "amount": "1"}), ["/balance/currency"]),
        (balance(PSU, "1", threshold={"currency": "USD", "amount": "1"}), ["/threshold/currency"]),
        (balance(PSU, "1", threshold=euro("0")), ["/threshold/amount"]),
        (balance({"id": " ", "phone": "+49110"}, "1"), ["/psu/id", "/psu/phone"]),
        (balance({"id": "a"}, "1"), ["/psu/phone"]),
        (balance(PSU, "1", as_of="2026-11-28"), ["/as_of"]),
        (balance(PSU, "1", back_s=-3600), ["/as_of"]),
        (balance(PSU, "1", colour="red"), ["/colour"]),
    ],
)
async def test_a_balance_that_cannot_be_is_refused(
    issuer: Bank, body: dict[str, Any], pointers: list[str]
) -> None:
    """With all that is wrong with it."""
    response = await issuer.http.put(f"/v1/cards/{new_id('card')}/balance", json=body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == pointers


@pytest.mark.parametrize("card", ["4111111111111111", "4111 1111-1111 1111", "x" * 129])
async def test_a_card_s_number_is_no_reference(issuer: Bank, card: str) -> None:
    """It would stand in the logs of whatever lies between."""
    response = await issuer.http.put(f"/v1/cards/{card}/balance", json=balance(PSU, "1"))
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/card_ref"]
    assert card not in response.json()["detail"]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"amount": {"currency": "USD", "amount": "1"}}, "/amount/currency"),
        ({"amount": euro("0")}, "/amount/amount"),
        ({"expected_date": in_days(-1)}, "/expected_date"),
        ({"expected_date": in_days(500)}, "/expected_date"),
        ({"confidence": 0}, "/confidence"),
        ({"source": "recognised"}, "/source"),
        ({"merchant": "x" * 71}, "/merchant"),
    ],
)
async def test_a_charge_that_cannot_be_is_refused(
    issuer: Bank, members: dict[str, Any], pointer: str
) -> None:
    """With where the mistake is."""
    card = new_id("card")
    await put(issuer, card, balance(PSU, "1.00"))
    body = {"merchant": "Gym", "amount": euro("1"), "expected_date": in_days(1)} | members
    response = await issuer.http.post(f"/v1/cards/{card}/upcoming-charges", json=body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_a_repeated_request_expects_one_charge(issuer: Bank) -> None:
    """With its Idempotency-Key it hears what it heard before."""
    card, headers = new_id("card"), {"Idempotency-Key": secrets.token_hex(8)}
    await put(issuer, card, balance(PSU, "100.00"))
    body = {"merchant": "Gym", "amount": euro("1"), "expected_date": in_days(1)}

    async def ask() -> httpx.Response:
        return await issuer.http.post(f"/v1/cards/{card}/upcoming-charges", json=body, headers=headers)

    first, second = await ask(), await ask()
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert (await issuer.http.get(f"/v1/cards/{card}")).json()["upcoming_charges"] == 1


async def test_two_processes_put_balances_of_one_card(
    service: Deployment, issuer: Bank, pool: asyncpg.Pool
) -> None:
    """Two api roles, each with every second of forty wobbles, the newest first: one alert, and the newest stands."""
    psu, card = unique_psu(), new_id("card")
    other = service.start("api")
    try:
        async with service.bank(url=other.url, client="issuer") as second:
            bodies = [
                balance(psu, f"{18 + (at + 1) % 5}.00", back_s=100 - at, threshold=euro("20.00"))
                for at in range(40)
            ]
            await asyncio.gather(
                *(put((issuer, second)[at % 2], card, body) for at, body in reversed(list(enumerate(bodies))))
            )
    finally:
        other.stop()
        service.forget(other)
    assert (await issuer.http.get(f"/v1/cards/{card}")).json()["balance"] == bodies[-1]["balance"]
    key = service.keyring.pseudonym("payer", "issuer", psu["id"])
    assert await pool.fetchval("SELECT count(*) FROM alerts WHERE psu = $1", key) == 1
