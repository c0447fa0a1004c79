"""Push to browsers and calls to a telephone, through the HTTP API of a service for production."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sca_service.delivery.channels.push.web_push.wire import Vapid
from tests.conformance.end_to_end import (
    SUPPLIER_SECRET,
    Run,
    eventually,
    running,
    section,
    smpp_section,
)
from tests.devices import pem_of
from tests.harness import Bank
from tests.peers import node_module, program
from tests.peers.push_service import PushService, SubscribedBrowser, running_push_service
from tests.peers.sms_centre import sms_centre
from tests.peers.telephones import Baresip, baresip
from tests.ports import free_port, free_ports

LINE = "+4915190835777"
VAPID_KEY = pem_of(ec.generate_private_key(ec.SECP256R1()))


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the peers listen."""

    centre: int
    push: int
    telephone: int


@pytest.fixture(scope="module")
def ports() -> Ports:
    """Chosen before the service starts."""
    for module in ("smpp", "web-push-testing"):
        node_module(module)
    program("espeak-ng")
    return Ports(free_port(), free_port(), free_ports(6))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[Run]:
    """The service, with a supplier for each channel."""
    first = free_ports(60)
    push = 'contact = "mailto:push@bank.example"\npush_services = ["127.0.0.1"]'
    voice = (
        f'trunk_host = "127.0.0.1"\ntrunk_port = {ports.telephone}\ncaller = "+4930000000"\nmost_calls = 10\n'
        f"rtp_port_first = {first}\nrtp_port_last = {first + 59}\nwords_per_minute = 240"
    )
    suppliers = [
        section("browsers", "web-push", "push", push, micros=0),
        smpp_section("centre", ports.centre),
        section("trunk", "sip", "voice", voice),
    ]
    environ = {"SCA_SUPPLIER_BROWSERS_VAPID_KEY": VAPID_KEY, "SCA_SUPPLIER_CENTRE_PASSWORD": SUPPLIER_SECRET}
    with running(tmp_path_factory.mktemp("channels"), suppliers, ["push", "sms", "voice"], environ) as run:
        run.texts |= set(VAPID_KEY.splitlines()[1:-1])
        yield run


@pytest.fixture
async def bank(run: Run) -> AsyncIterator[Bank]:
    """A bank that calls the service."""
    async with run.deployment.bank() as bank:
        yield bank


@pytest.fixture
async def push_service(ports: Ports) -> AsyncIterator[PushService]:
    """The push service, and browsers at it."""
    async with running_push_service(ports.push) as service:
        yield service


@pytest.fixture
async def telephone(ports: Ports, tmp_path: Path) -> AsyncIterator[Baresip]:
    """The payer's telephone."""
    async with baresip(tmp_path, number=LINE, port=ports.telephone) as telephone:
        yield telephone


async def registered(run: Run, bank: Bank, service: PushService, psu: str) -> SubscribedBrowser:
    """A browser that the bank has registered for a payer."""
    browser = await service.subscribe(Vapid.parse(VAPID_KEY).public)
    run.texts |= {browser.endpoint, browser.keys["auth"]}
    body = {"kind": "web_push", "endpoint": browser.endpoint, "keys": browser.keys}
    answer = await bank.http.post(f"/v1/psus/{psu}/push-subscriptions", json=body)
    assert answer.status_code == 201, answer.text
    return browser


async def pushed(service: PushService, browser: SubscribedBrowser) -> dict[str, Any]:
    """The one message that a browser received and decrypted."""
    (message,) = await eventually(lambda: service.messages(browser.name), "the browser has a message")
    return dict(message)


async def told(message: dict[str, Any], **members: str) -> int:
    """What the api answers a device that confirms its message."""
    body = {"delivery": message["delivery"], "mac": message["receipt"]["mac"], **members}
    async with httpx.AsyncClient(trust_env=False) as device:
        return (await device.post(message["receipt"]["url"], json=body)).status_code


async def test_a_code_that_a_browser_received_is_approved(
    run: Run, bank: Bank, push_service: PushService
) -> None:
    """Registered, sent, decrypted, confirmed with the message's MAC; a forged confirmation changes nothing."""
    order = run.order("push", "sms")
    browser = await registered(run, bank, push_service, order["psu"]["id"])
    challenge = (await bank.issue(**order))["id"]
    message = await pushed(push_service, browser)
    await bank.settled(challenge, status="sent")
    forged = message | {"receipt": message["receipt"] | {"mac": "A" * 43}}
    assert await told(forged) == 401
    assert (await bank.get(challenge))["deliveries"][0]["status"] == "sent"
    assert await told(message) == 204
    (delivery,) = (await bank.settled(challenge))["deliveries"]
    assert (delivery["channel"], delivery["supplier"]) == ("push", "browsers")
    await run.approve(bank, challenge, message["text"])


async def test_a_no_in_the_browser_declines(run: Run, bank: Bank, push_service: PushService) -> None:
    """The device says that the payer declined."""
    order = run.order("push", "sms")
    browser = await registered(run, bank, push_service, order["psu"]["id"])
    challenge = (await bank.issue(**order))["id"]
    message = await pushed(push_service, browser)
    run.code(message["text"])
    assert await told(message, decision="declined") == 204
    await bank.reached(challenge, "declined")
    (event,) = await run.events(challenge, "challenge.declined")
    assert event["reason"] == "payer_app"


async def test_a_browser_that_is_gone_is_forgotten_and_a_text_follows(
    run: Run, bank: Bank, push_service: PushService, ports: Ports
) -> None:
    """410 from the push service: the subscription is dropped, and the ladder goes on to SMS at once."""
    order = run.order("push", "sms")
    psu = order["psu"]["id"]
    browser = await registered(run, bank, push_service, psu)
    await push_service.expire(browser.name)
    async with sms_centre(port=ports.centre) as centre:
        await centre.next("bind")
        challenge = (await bank.issue(**order))["id"]
        submit = await centre.next("submit")
        await centre.receipt(submit, submit["id"])
        push, sms = (await bank.settled(challenge))["deliveries"]
    assert (push["status"], push["reason"]) == ("failed", "no_device")
    assert (sms["channel"], sms["status"]) == ("sms", "delivered")
    assert (await bank.http.get(f"/v1/psus/{psu}/push-subscriptions")).json()["data"] == []
    await run.approve(bank, challenge, submit["text"])


async def test_a_payer_without_a_browser_gets_a_text(run: Run, bank: Bank, ports: Ports) -> None:
    """No device at all: the same, and push is not charged."""
    async with sms_centre(port=ports.centre) as centre:
        await centre.next("bind")
        challenge = (await bank.issue(**run.order("push", "sms")))["id"]
        submit = await centre.next("submit")
        push, _ = (await bank.settled(challenge, status="sent"))["deliveries"]
    assert (push["status"], push["reason"]) == ("failed", "no_device")
    await run.approve(bank, challenge, submit["text"])


@pytest.mark.long
async def test_9_in_a_call_declines(run: Run, bank: Bank, telephone: Baresip) -> None:
    """The telephone takes the call: `answered`; 9, as a telephone-event in RTP, declines the payment."""
    challenge = (await bank.issue(**run.order("voice", psu=run.psu(phone=LINE))))["id"]
    await telephone.event("CALL_ESTABLISHED")
    (delivery,) = (await bank.settled(challenge, status="answered"))["deliveries"]
    assert (delivery["channel"], delivery["supplier"]) == ("voice", "trunk")
    await telephone.press("9")
    await bank.reached(challenge, "declined")
    await telephone.event("CALL_CLOSED")
    (event,) = await run.events(challenge, "challenge.declined")
    assert event["reason"] == "payer_call"


async def test_nobody_at_the_telephone(run: Run, bank: Bank, telephone: Baresip) -> None:
    """Who hangs up before a word was said has heard no code: the last channel failed, and the bank is told."""
    challenge = (await bank.issue(**run.order("voice", psu=run.psu(phone=LINE))))["id"]
    await telephone.event("CALL_ESTABLISHED")
    await telephone.hang_up()
    body = await bank.reached(challenge, "undeliverable")
    assert body["deliveries"][0]["status"] == "no_answer"
