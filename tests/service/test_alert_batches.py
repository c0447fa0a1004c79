"""Alerts by the batch over HTTP, from the order to the handset: each by itself, sent once, wanted, when it may be."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.alerts import alert_events
from tests.harness import Bank, Deployment, unique_psu
from tests.service.test_alerts import becomes, notice, ordered, seen
from tests.service.test_replies import reply
from tests.storeroom import eventually

TAP = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Mobile/15E148 Safari/604.1"}
TARGET = "https://bank.example/top-up?card=7"


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


async def batch(issuer: Bank, alerts: list[Any], **headers: str) -> httpx.Response:
    """What is answered to a batch."""
    return await issuer.http.post("/v1/alerts/batch", json={"alerts": alerts}, headers=headers)


def offer(psu: dict[str, str], **members: Any) -> dict[str, Any]:
    """A notice with a link, for which consent is needed."""
    said = {"template": "offer", "variables": {"offer": "Neu: die Karte aus Holz."}, "link": TARGET}
    return notice(psu) | said | members


async def agreed(issuer: Bank, psu: dict[str, str], **topics: bool) -> dict[str, bool]:
    """What is known of a payer's consent after they said something."""
    response = await issuer.http.put(f"/v1/psus/{psu['id']}/alert-consent", json={"topics": topics})
    assert response.status_code == 200, response.text
    return {one["topic"]: one["granted"] for one in response.json()["topics"]}


async def test_a_bad_item_stops_no_other(issuer: Bank, pool: asyncpg.Pool) -> None:
    """A tenth is wrong, each in its own way: the others are all delivered, once."""
    good = notice(unique_psu())
    wrong: list[Any] = [
        7,
        None,
        {},
        good | {"variables": {}},
        good | {"psu": {"id": "p", "phone": "no number"}},
    ]
    psus = [unique_psu() for _ in range(50)]
    alerts: list[Any] = [wrong[at // 10] if at % 10 == 0 else notice(psu) for at, psu in enumerate(psus)]
    response = await batch(issuer, alerts)
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["accepted"], body["refused"], len(body["results"])) == (45, 5, 50)
    for at, result in enumerate(body["results"]):
        assert (result["status"] == "refused") is ("id" not in result) is (at % 10 == 0)
    pointers = [result["errors"][0]["pointer"] for result in body["results"][::10]]
    assert pointers == ["", "", "/psu", "/variables", "/psu/phone"]
    ids = [result["id"] for result in body["results"] if "id" in result]

    async def all_delivered() -> bool:
        delivered = "SELECT count(*) FROM alerts WHERE id = ANY($1) AND status = 'delivered'"
        return bool(await pool.fetchval(delivered, ids) == 45)

    await eventually(all_delivered)
    for at, psu in enumerate(psus):
        assert len(await issuer.messages(psu["phone"])) == (at % 10 != 0)


async def test_a_batch_sends_one_of_a_key(issuer: Bank) -> None:
    """In it, beside it and after it."""
    psu, key = unique_psu(), secrets.token_hex(8)
    told = await asyncio.gather(
        *(batch(issuer, [notice(psu, dedupe_key=key), notice(psu, dedupe_key=key)]) for _ in range(5))
    )
    results = [result for one in told for result in one.json()["results"]]
    (first,) = [one for one in results if one["status"] == "queued"]
    others = [(one["status"], one["reason"]) for one in results if one is not first]
    assert others == [("suppressed", "duplicate")] * 9
    assert (await ordered(issuer, psu, dedupe_key=key))["reason"] == "duplicate"
    await becomes(issuer, first["id"], "delivered")
    assert len(await issuer.messages(psu["phone"])) == 1


async def test_a_repeated_batch_is_answered_alike(issuer: Bank) -> None:
    """With its Idempotency-Key, mistakes and all, though the answer is long; another body with that key is refused."""
    alerts = [notice(unique_psu()) for _ in range(150)] + [{}]
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first, again = await batch(issuer, alerts, **headers), await batch(issuer, alerts, **headers)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json() and first.json()["refused"] == 1
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await batch(issuer, alerts[1:], **headers)).status_code == 422


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_has_one_to_a_thousand(issuer: Bank, count: int) -> None:
    """As one mistake of the whole."""
    refused = await batch(issuer, [{}] * count)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/alerts"]


async def test_a_batch_of_more_than_two_mebibytes_is_413(issuer: Bank) -> None:
    """And one of more than 64 KiB is none too long: single requests alone are short."""
    long = notice(unique_psu(), dedupe_key="x" * 129)
    assert (await batch(issuer, [long] * 400)).json()["refused"] == 400
    assert (await batch(issuer, [{"x": "x" * 3_000}] * 1_000)).status_code == 413


async def test_alerts_are_listed_the_newest_first(issuer: Bank) -> None:
    """By payer and status, page by page; an unknown status and a cursor of another list are refused."""
    psu = unique_psu()
    made = [(await ordered(issuer, psu))["id"] for _ in range(3)]
    for one in made:
        await becomes(issuer, one, "delivered")
    listed, query = [], {"psu": psu["id"], "limit": "2"}
    while True:
        page = (await issuer.http.get("/v1/alerts", params=query)).json()
        listed += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert listed == made[::-1]
    found = (await issuer.http.get("/v1/alerts", params={"psu": psu["id"], "status": "queued"})).json()
    assert found["data"] == []
    unsaid = base64.urlsafe_b64encode(b"1 alt_" + bytes(32)).decode()  # what no text of a database holds
    for wrong in ({"status": "unheard_of"}, {"cursor": "nonsense"}, {"cursor": unsaid}, {"limit": "0"}):
        assert (await issuer.http.get("/v1/alerts", params=wrong)).status_code == 422


async def test_what_is_ordered_for_later_goes_when_its_time_has_come(
    issuer: Bank, service: Deployment
) -> None:
    """Not before; and not at all by another road."""
    psu = unique_psu()
    at = datetime.now(UTC) + timedelta(seconds=2)
    made = await ordered(issuer, psu, send_at=at.isoformat())
    assert (made["status"], made["send_at"]) == (
        "queued",
        f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
    )
    body = await becomes(issuer, made["id"], "delivered")
    assert datetime.fromisoformat(body["deliveries"][0]["queued_at"]) >= at.replace(microsecond=0)
    far = datetime.now(UTC) + timedelta(days=91)
    refused = await issuer.http.post("/v1/alerts", json=notice(psu, send_at=far.isoformat()))
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/send_at"]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"link": "http://bank.example/"}, "/link"),
        ({"link": "https://evil.example/"}, "/link"),
        ({"link": None}, "/link"),
        ({"psu": {"id": "p", "phone": "+4915112345678", "time_zone": "Mars/Phobos"}}, "/psu/time_zone"),
        ({"send_at": "2026-12-01T08:00:00"}, "/send_at"),
    ],
)
async def test_what_does_not_fit_is_refused(issuer: Bank, members: dict[str, Any], pointer: str) -> None:
    """422 at the member."""
    refused = await issuer.http.post("/v1/alerts", json=offer(unique_psu()) | members)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_a_link_leads_on_and_is_counted(issuer: Bank, service: Deployment, pool: asyncpg.Pool) -> None:
    """From the handset's text to the client's page, without a key; taps count, looks ahead do not."""
    psu = unique_psu()
    assert (await agreed(issuer, psu, offer=True))["offer"]
    made = await ordered(issuer, psu, **{key: value for key, value in offer(psu).items() if key != "psu"})
    assert made["topic"] == "offer" and made["link"]["clicks"] == 0
    await becomes(issuer, made["id"], "delivered")
    (message,) = await issuer.messages(psu["phone"])
    assert TARGET not in message["text"] and psu["id"] not in message["text"]
    (url,) = [word for word in message["text"].split() if "/l/" in word]
    path = url[url.index("/l/") :]
    async with httpx.AsyncClient(base_url=service.api.url, trust_env=False) as anybody:
        looked = [
            await anybody.head(path, headers=TAP),
            await anybody.get(path, headers=TAP | {"Sec-Purpose": "prefetch"}),
            await anybody.get(path, headers={"User-Agent": "WhatsApp/2.23"}),
        ]
        assert (await seen(issuer, made["id"]))["link"]["clicks"] == 0
        tapped = [await anybody.get(path, headers=TAP) for _ in range(2)]
        for one in (*looked, *tapped):
            assert (one.status_code, one.headers["location"]) == (302, TARGET)
            assert one.headers["cache-control"] == "no-store"
        for wrong in (f"/l/{'A' * 20}", "/l/x", f"{path[:-1]}!", "/l/%00"):
            assert (await anybody.get(wrong, headers=TAP)).status_code == 404
    body = (await seen(issuer, made["id"]))["link"]
    assert body["clicks"] == 2 and body["first_clicked_at"]
    kinds = [event["type"] for event in await alert_events(pool, made["id"])]
    assert kinds.count("alert.clicked") == 1


async def test_a_topic_is_stopped_by_text_and_others_go_on(issuer: Bank, service: Deployment) -> None:
    """STOP CHARGES ends warnings of charges to this number; notices of a balance still come, and START brings all."""
    psu = unique_psu()
    await becomes(issuer, (await ordered(issuer, psu))["id"], "delivered")
    assert await reply(issuer, service, psu["phone"], "Stop charges!") == 204
    stopped = await becomes(issuer, (await ordered(issuer, psu))["id"], "suppressed")
    assert stopped["reason"] == "opted_out"
    balance = {"template": "low_balance", "variables": {"balance": "3 €", "threshold": "5 €"}}
    await becomes(issuer, (await ordered(issuer, psu, **balance))["id"], "delivered")
    assert await reply(issuer, service, psu["phone"], "START") == 204
    await becomes(issuer, (await ordered(issuer, psu))["id"], "delivered")


async def test_without_consent_no_offer(issuer: Bank) -> None:
    """Where the topic takes it; a topic that the policy does not have is refused."""
    psu = unique_psu()
    members = {key: value for key, value in offer(psu).items() if key != "psu"}
    refused = await becomes(issuer, (await ordered(issuer, psu, **members))["id"], "suppressed")
    assert refused["reason"] == "opted_out"
    told = (await issuer.http.get(f"/v1/psus/{psu['id']}/alert-consent")).json()["topics"]
    assert {one["topic"]: (one["granted"], one["said_at"]) for one in told} == {
        "charge": (True, None),
        "balance": (True, None),
        "offer": (False, None),
    }
    wrong = await issuer.http.put(
        f"/v1/psus/{psu['id']}/alert-consent", json={"topics": {"unheard_of": True}}
    )
    assert wrong.status_code == 422
    assert not (await agreed(issuer, psu, charge=False))["charge"]
    body = await becomes(issuer, (await ordered(issuer, psu))["id"], "suppressed")
    assert body["reason"] == "opted_out"
