"""Two suppliers of texts, the cheaper of which fails in every way: through the HTTP API of a service for production."""

import asyncio
import base64
import hmac
import html
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conformance.end_to_end import (
    PAYMENT,
    Run,
    eventually,
    http_sms_section,
    running,
    section,
)
from tests.harness import Bank
from tests.ports import free_port
from tests.rude_server import RudeServer

KEY = "kolibri-api-key-8835"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the suppliers listen."""

    cheap: int
    dear: int
    calls: int


@pytest.fixture(scope="module")
def ports() -> Ports:
    """Chosen before the service starts."""
    return Ports(free_port(), free_port(), free_port())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[Run]:
    """The service; price alone decides between two suppliers of texts, and Twilio calls."""
    calls = (
        f'account_sid = "AC{"0" * 32}"\ncaller = "+4930000000"\nbase_url = "http://127.0.0.1:{ports.calls}"'
    )
    suppliers = [
        http_sms_section("dear", ports.dear, micros=90_000),
        http_sms_section("cheap", ports.cheap, micros=50_000),
        section("calls", "twilio-calls", "voice", calls),
    ]
    names = ("CHEAP_API_KEY", "DEAR_API_KEY", "CALLS_AUTH_TOKEN")
    environ = {f"SCA_SUPPLIER_{name}": f"{KEY}-{name.lower()}" for name in names}
    with running(tmp_path_factory.mktemp("routes"), suppliers, ["sms", "voice"], environ) as run:
        run.texts.add(KEY)
        yield run


@pytest.fixture
async def bank(run: Run) -> AsyncIterator[Bank]:
    """A bank that calls the service."""
    async with run.deployment.bank() as bank:
        yield bank


@pytest.fixture
async def cheap(ports: Ports) -> AsyncIterator[RudeServer]:
    """The supplier that is asked first."""
    async with RudeServer(port=ports.cheap) as server:
        server.answer(202, {"id": "c-1"})
        yield server


@pytest.fixture
async def dear(ports: Ports) -> AsyncIterator[RudeServer]:
    """The supplier that is asked otherwise."""
    async with RudeServer(port=ports.dear) as server:
        server.answer(202, {"id": "d-1"})
        yield server


@pytest.fixture
async def calls(ports: Ports) -> AsyncIterator[RudeServer]:
    """Twilio's API for calls, as far as it is asked."""
    async with RudeServer(port=ports.calls) as server:
        server.answer(201, {"sid": f"CA{'1' * 32}", "status": "queued"})
        yield server


async def sent(run: Run, bank: Bank, *channels: str) -> dict[str, Any]:
    """A challenge whose last delivery a supplier has taken."""
    challenge = await bank.issue(**run.order(*channels or ("sms",)))
    return await bank.settled(challenge["id"], status="sent")


async def test_the_cheaper_one_carries(run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer) -> None:
    """With its key, our sender and our id; the delivery tells the price, and why the other was passed over."""
    body = await sent(run, bank)
    (request,) = cheap.requests
    assert request.headers["authorization"] == f"Bearer {KEY}-cheap_api_key"
    message = request.json()
    (delivery,) = body["deliveries"]
    assert (message["from"], message["reference"]) == ("KOLIBRI", delivery["id"])
    assert (delivery["supplier"], delivery["route"]["price"]["amount"]) == ("cheap", "0.05")
    assert delivery["route"]["passed_over"] == {"dear": "outweighed"}
    assert dear.requests == []
    await run.approve(bank, body["id"], message["text"])


async def test_a_supplier_tells_what_became_of_it(
    run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer
) -> None:
    """At the URL that came with the message; for any other delivery that URL's proof is refused with 401."""
    first, second = [await sent(run, bank), await sent(run, bank)]
    ours, other = (request.json()["tell"] for request in cheap.requests)
    assert await _told(ours.replace(_delivery(first), _delivery(second)), "UNDELIV") == 401
    assert (await bank.get(second["id"]))["deliveries"][0]["status"] == "sent"
    assert await _told(ours, "ENROUTE") == 204
    for _ in range(2):  # told twice, it is no news the second time
        assert await _told(ours, "DELIVRD") == 204
    assert (await bank.get(first["id"]))["deliveries"][0]["status"] == "delivered"
    assert await _told(other, "UNDELIV") == 204
    await bank.reached(second["id"], "undeliverable")
    assert len(await run.events(first["id"], "delivery.settled", count=2)) == 2
    assert dear.requests == []


async def test_a_call_over_twilio(run: Run, bank: Bank, calls: RudeServer) -> None:
    """Twilio asks what to say once a person took the call, with its signature; 9 declines. A forger hears nothing."""
    body = await sent(run, bank, "voice")
    form = calls.requests[0].form()
    taken = {"CallStatus": "in-progress", "AnsweredBy": "human"}
    assert "Twiml" not in form
    forged = await _called(form["Url"], taken, key="another")
    assert (forged.status_code, b"Say" in forged.content) == (401, False)
    said = await _called(form["Url"], taken)
    assert said.status_code == 200
    code = run.code(said.text)
    assert (await bank.get(body["id"]))["deliveries"][0]["status"] == "answered"
    (action,) = re.findall(r'action="([^"]+)"', said.text)
    pressed = await _called(html.unescape(action), taken | {"Digits": "9"})
    assert b"Hangup" in pressed.content
    await bank.reached(body["id"], "declined")
    assert (await bank.verify(body["id"], code, PAYMENT))["outcome"] == "declined"


async def test_the_other_one_carries_what_the_first_surely_did_not_take(
    run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer
) -> None:
    """503: the second gets the same message at once, as its second try."""
    cheap.answer(503, "busy", {"Retry-After": "60"})
    body = await sent(run, bank)
    (delivery,) = body["deliveries"]
    assert (delivery["supplier"], delivery["route"]["passed_over"]) == ("dear", {"cheap": "tried_before"})
    (first,), (second,) = cheap.requests, dear.requests
    assert first.json() | {"tell": ""} == second.json() | {"tell": ""}
    assert first.json()["tell"] != second.json()["tell"]
    attempts = await run.events(body["id"], "delivery.attempted", count=2)
    assert sorted((one["try"], one["supplier"]) for one in attempts) == [(1, "cheap"), (2, "dear")]
    await run.approve(bank, body["id"], second.json()["text"])


async def test_a_reset_after_the_message_was_read(
    run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer, calls: RudeServer
) -> None:
    """It may have been taken: no other supplier gets it, the next channel follows, and its code is approved."""
    cheap.reset_next()
    body = await sent(run, bank, "sms", "voice")
    text, call = body["deliveries"]
    assert (text["status"], text["reason"]) == ("failed", "timeout")
    assert (call["channel"], call["supplier"]) == ("voice", "calls")
    assert (len(cheap.requests), len(dear.requests), len(calls.requests)) == (1, 0, 1)
    await run.approve(bank, body["id"], cheap.requests[0].json()["text"])


async def test_a_supplier_that_cannot_be_reached(run: Run, bank: Bank, dear: RudeServer) -> None:
    """Nobody listens there: the second carries it at once."""
    body = await sent(run, bank)
    assert body["deliveries"][0]["supplier"] == "dear"
    await run.approve(bank, body["id"], dear.requests[0].json()["text"])


@pytest.mark.long
async def test_a_supplier_that_hangs(
    run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer, calls: RudeServer
) -> None:
    """No answer in time: the next channel follows, and nobody gets it twice."""
    cheap.silence_next()
    body = await sent(run, bank, "sms", "voice")
    text, call = body["deliveries"]
    assert (text["status"], text["reason"], call["channel"]) == ("failed", "timeout", "voice")
    assert (len(cheap.requests), len(dear.requests), len(calls.requests)) == (1, 0, 1)
    await run.approve(bank, body["id"], cheap.requests[0].json()["text"])


async def test_a_message_that_is_refused_for_good(
    run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer
) -> None:
    """400 is the message's fault: nobody else is asked, and the challenge is undeliverable."""
    cheap.answer(400, {"error": "invalid number"})
    challenge = (await bank.issue(**run.order("sms")))["id"]
    (delivery,) = (await bank.reached(challenge, "undeliverable"))["deliveries"]
    assert (delivery["status"], delivery["reason"]) == ("failed", "rejected")
    assert (len(cheap.requests), dear.requests) == (1, [])


@pytest.mark.long
async def test_a_supplier_that_fails_often_is_left_alone(
    run: Run, bank: Bank, cheap: RudeServer, dear: RudeServer
) -> None:
    """Its breaker opens: it is not asked any more. Later one message of many tries it, then all go there again."""
    cheap.answer(503)
    assert await eventually(lambda: passed_over(run, bank), "the breaker is open") == "breaker_open"
    asked = len(cheap.requests)
    cheap.answer(202, {"id": "c-2"})
    cheap.delay_next(0.5)
    probes: list[dict[str, Any]] = []

    async def probed() -> bool:
        bodies = await asyncio.gather(*(sent(run, bank) for _ in range(4)))
        reasons = [body["deliveries"][-1]["route"]["reasons"] for body in bodies]
        probes.extend(body for body, why in zip(bodies, reasons, strict=True) if "probe" in why)
        return bool(probes)

    assert await eventually(probed, "one message tries it")
    (probe,) = probes
    assert probe["deliveries"][-1]["supplier"] == "cheap"
    assert len(cheap.requests) == asked + 1
    assert await eventually(lambda: carried_by_cheap(run, bank), "it carries messages again")


async def _told(url: str, status: str) -> int:
    """What the api answers a supplier that tells a status."""
    async with httpx.AsyncClient(trust_env=False) as supplier:
        return (await supplier.post(url, json={"status": status})).status_code


def _delivery(challenge: dict[str, Any]) -> str:
    return str(challenge["deliveries"][0]["id"])


async def _called(url: str, form: dict[str, str], *, key: str = f"{KEY}-calls_auth_token") -> httpx.Response:
    """What the api answers Twilio, which signs the URL and the form (https://www.twilio.com/docs/usage/security)."""
    whole = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    signature = base64.b64encode(hmac.digest(key.encode(), whole.encode(), "sha1")).decode()
    async with httpx.AsyncClient(trust_env=False) as twilio:
        return await twilio.post(url, data=form, headers={"X-Twilio-Signature": signature})


async def passed_over(run: Run, bank: Bank) -> str:
    """Why the cheaper supplier was not asked for one message more; nothing when it was."""
    (delivery,) = (await sent(run, bank))["deliveries"]
    why = str(delivery["route"]["passed_over"].get("cheap", ""))
    return "" if why == "tried_before" else why


async def carried_by_cheap(run: Run, bank: Bank) -> bool:
    """Whether the cheaper supplier carries one message more, as the cheaper one."""
    (delivery,) = (await sent(run, bank))["deliveries"]
    return bool(delivery["supplier"] == "cheap" and "cheapest" in delivery["route"]["reasons"])
