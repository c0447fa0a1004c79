"""A card processor asks a cardholder's app: signed by the secret of its webhook endpoint, and told of the result."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from standardwebhooks import Webhook

from tests.device import enrolled
from tests.harness import Bank, Deployment, unique_psu
from tests.rude_server import RudeServer
from tests.storeroom import eventually

AMOUNT, MERCHANT = {"currency": "EUR", "amount": "49.99"}, {"name": "ACME GmbH"}


@dataclass
class Processor:
    """Signs as Standard Webhooks' own library does, and listens at its endpoint."""

    bank: Bank
    endpoint: str
    secret: str
    listens: RudeServer

    async def ask(self, asked: str, *, message: str = "", **members: Any) -> httpx.Response:
        """Ask a cardholder, with `members` over the body."""
        body = {"reference": f"acs_{secrets.token_hex(6)}", "cardholder": asked}
        return await self.post(body | {"amount": AMOUNT, "merchant": MERCHANT} | members, message=message)

    async def post(
        self,
        body: dict[str, Any],
        *,
        message: str = "",
        at: datetime | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a signed body, with `headers` over its own."""
        text, message = json.dumps(body), message or f"req_{secrets.token_hex(8)}"
        at = at or datetime.now(UTC)
        said = {
            "webhook-id": message,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message, at, text),
            "content-type": "application/json",
        } | (headers or {})
        path = f"/issuer/v1/webhooks/{self.endpoint}/challenges"
        request = self.bank.http.build_request("POST", path, content=text, headers=said)
        del request.headers["authorization"]
        return await self.bank.http.send(request)


@pytest.fixture
async def processor(service: Deployment, bank: Bank) -> AsyncIterator[Processor]:
    """A processor whose endpoint the bank has added; the endpoint is gone afterwards."""
    async with RudeServer() as listens:
        yield await processor_of(bank, listens)
    async with asyncpg.create_pool(service.servers.postgres.url, min_size=1, max_size=1) as pool:
        await pool.execute("DELETE FROM webhook_endpoints")


async def processor_of(bank: Bank, listens: RudeServer, **members: Any) -> Processor:
    """A processor with an endpoint of its own."""
    made = await bank.http.post("/v1/webhooks", json={"url": f"{listens.url}/hook", **members})
    assert made.status_code == 201, made.text
    return Processor(bank, made.json()["id"], made.json().get("secret") or "whsec_QUFBQQ==", listens)


async def test_a_cardholder_is_asked_and_the_result_is_called_back(bank: Bank, processor: Processor) -> None:
    """The app shows amount and merchant; what the payer decides comes to the processor's endpoint, signed."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    response = await processor.ask(psu["id"])

    assert response.status_code == 200, response.text
    told = response.json()
    assert told["status"] == "pending"
    (shown,) = await device.asked()
    assert (shown["id"], "ACME GmbH" in shown["message_shown"]) == (told["challenge"], True)
    outcome, _ = await device.answered(told["challenge"], device.approval(shown, told["matching_digits"]))
    assert outcome == "approved"

    async def is_told() -> bool:
        return any(
            one.json()["type"] == "challenge.approved"
            and one.json()["data"]["challenge"] == told["challenge"]
            for one in processor.listens.requests
        )

    await eventually(is_told)
    for request in processor.listens.requests:
        Webhook(processor.secret).verify(request.body, dict(request.headers))


async def test_the_same_request_asks_once(bank: Bank, processor: Processor) -> None:
    """Also when it comes several times at once; with another body it is refused."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    sent = {"message": f"req_{secrets.token_hex(8)}", "reference": "acs_one"}
    responses = await asyncio.gather(*(processor.ask(psu["id"], **sent) for _ in range(5)))

    assert {one.status_code for one in responses} <= {200, 409}
    again = await processor.ask(psu["id"], **sent)
    assert {one.text for one in responses if one.status_code == 200} == {again.text}
    assert len(await device.asked()) == 1
    assert (await processor.ask(psu["id"], **sent | {"reference": "acs_two"})).status_code == 422


async def test_a_payer_without_an_app_is_told_so(processor: Processor) -> None:
    """The processor falls back to what it has; that is an outcome, and no error."""
    response = await processor.ask("nobody", reference="acs_7")

    assert response.status_code == 200
    assert response.json() == {"reference": "acs_7", "status": "refused", "reason": "no_device"}


@pytest.mark.parametrize(
    "forged",
    [
        {"webhook-signature": "v1," + "A" * 43 + "="},
        {"webhook-signature": ""},
        {"webhook-signature": "v1a,AAAA"},
        {"webhook-id": "req_another-than-signed"},
        {"webhook-id": ""},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "now"},
    ],
)
async def test_what_is_not_signed_is_refused(
    bank: Bank, processor: Processor, forged: dict[str, str]
) -> None:
    """Each part of what is signed counts, and nobody is asked."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    body = {"reference": "acs_8", "cardholder": psu["id"], "amount": AMOUNT, "merchant": MERCHANT}
    response = await processor.post(body, headers=forged)

    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert await device.asked() == []


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_an_old_request_is_refused(processor: Processor, minutes: int) -> None:
    """Rightly signed, but five minutes are over, or have not come: what is recorded is worth nothing later."""
    response = await processor.post(
        {"cardholder": "x"}, at=datetime.now(UTC) + timedelta(minutes=minutes), message="req_old-or-new"
    )

    assert response.status_code == 401


async def test_our_own_messages_are_no_requests(processor: Processor) -> None:
    """One secret signs both ways: what we sent may not come back as a request."""
    response = await processor.post({"type": "challenge.approved", "data": {}}, message="msg_0123456789")

    assert response.status_code == 401


async def test_an_endpoint_that_may_not_ask(bank: Bank, service: Deployment, processor: Processor) -> None:
    """With another's secret, unknown, of another scheme, of a client without the scope, or disabled."""
    other = await processor_of(bank, processor.listens)
    by_public_key = await processor_of(bank, processor.listens, scheme="v1a")
    async with service.bank(client="issuer") as issuer:
        without_scope = await processor_of(issuer, processor.listens)
        without_scope.bank = bank
    strangers = [
        Processor(bank, processor.endpoint, other.secret, processor.listens),
        Processor(bank, "whk_" + "0" * 32, processor.secret, processor.listens),
        Processor(bank, "x", processor.secret, processor.listens),
        by_public_key,
        without_scope,
    ]
    for one in strangers:
        assert (await one.ask("nobody")).status_code == 401
    assert (await processor.ask("nobody")).status_code == 200
    await bank.http.patch(f"/v1/webhooks/{processor.endpoint}", json={"status": "disabled"})
    assert (await processor.ask("nobody")).status_code == 401


async def test_the_secret_before_holds_while_it_is_replaced(bank: Bank, processor: Processor) -> None:
    """A processor changes its secret when it can."""
    rotated = await bank.http.post(f"/v1/webhooks/{processor.endpoint}/rotate")
    renewed = Processor(bank, processor.endpoint, rotated.json()["secret"], processor.listens)

    assert (await processor.ask("nobody")).status_code == 200
    assert (await renewed.ask("nobody")).status_code == 200


async def test_whoever_would_not_hear_of_it_may_not_ask(bank: Bank, processor: Processor) -> None:
    """An endpoint that is told of deliveries alone never learns what came of its request."""
    deaf = await processor_of(bank, processor.listens, types=["delivery.*"])

    assert (await deaf.ask("nobody")).status_code == 422


@pytest.mark.parametrize(
    "members",
    [
        {"amount": {"currency": "EUR", "amount": "1e3"}},
        {"merchant": {"name": ""}},
        {"cardholder": ""},
        {"code": "1"},
    ],
)
async def test_a_body_that_cannot_be_right(processor: Processor, members: dict[str, Any]) -> None:
    """422, with where it is wrong."""
    response = await processor.ask("nobody", **members)

    assert response.status_code == 422
    assert response.json()["errors"]
