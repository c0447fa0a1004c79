"""Texts over a real SMS centre, through the HTTP API of a service for production."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sca_service.kernel.keyring import write_keyring
from sca_service.settings import Environment
from tests.certificates import make_certificate
from tests.conformance.end_to_end import (
    IBAN,
    LINE,
    PAYEE,
    PAYMENT,
    SUPPLIER_SECRET,
    Run,
    eventually,
    running,
    smpp_section,
    write_policies,
)
from tests.harness import READY_SECONDS, Bank, Deployment
from tests.peers import node_module
from tests.peers.sms_centre import SmsCentre, sms_centre
from tests.ports import free_port

ENVIRON = {"SCA_SUPPLIER_CENTRE_PASSWORD": SUPPLIER_SECRET}
HINDI = "भारतीय राष्ट्रीय पुस्तक न्यास प्रकाशन"


@pytest.fixture(scope="module")
def port() -> int:
    """Where the SMS centre listens."""
    node_module("smpp")
    return free_port()


@pytest.fixture(scope="module")
def certificate_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SMS centre's certificate and key, in one PEM file."""
    return make_certificate(tmp_path_factory.mktemp("centre")).path


@pytest.fixture(scope="module")
def certificate(certificate_file: Path) -> str:
    """What stands in it."""
    return certificate_file.read_text("ascii")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, port: int, certificate_file: Path) -> Iterator[Run]:
    """The service; the one supplier is an SMS centre, over TLS."""
    folder = tmp_path_factory.mktemp("sms")
    with running(folder, [smpp_section("centre", port, ca_file=certificate_file)], ["sms"], ENVIRON) as run:
        run.texts.add(HINDI)
        yield run


@pytest.fixture
async def centre(port: int, certificate: str) -> AsyncIterator[SmsCentre]:
    """The SMS centre, once the service has bound to it."""
    async with sms_centre(key=certificate, certificate=certificate, port=port) as centre:
        bind = await centre.next("bind")
        assert (bind["system_id"], bind["password"]) == ("bank", SUPPLIER_SECRET)
        yield centre


@pytest.fixture
async def bank(run: Run) -> AsyncIterator[Bank]:
    """A bank that calls the service."""
    async with run.deployment.bank() as bank:
        yield bank


async def test_a_code_that_the_centre_carried_is_approved(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """Issue, submit_sm, deliver_sm, verify; the delivery tells its route, its sender and its price."""
    order = run.order("sms", psu=run.psu(phone="+4917190835001"))
    run.texts.add("4917190835001")
    challenge = (await bank.issue(**order))["id"]
    submit = await centre.next("submit")
    assert (submit["destination_addr"], submit["source_addr"]) == (order["psu"]["phone"][1:], "KOLIBRI")
    assert (await bank.settled(challenge, status="sent"))["status"] == "pending"
    assert await centre.receipt(submit, submit["id"]) == 0
    (delivery,) = (await bank.settled(challenge))["deliveries"]
    assert (delivery["supplier"], delivery["segments"]) == ("centre", 1)
    assert delivery["cost"] == delivery["route"]["price"] == {"currency": "EUR", "amount": "0.07"}
    assert (delivery["route"]["network"], delivery["route"]["sender"]) == ("262-01", "KOLIBRI")
    assert delivery["route"]["reasons"] == ["only_route"]
    await run.approve(bank, challenge, submit["text"])
    assert await run.tries(challenge, count=1) == [1]


async def test_a_long_hindi_text_arrives_whole(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """In parts that join again, with amount, payee and code; it is delivered once all parts are."""
    payee = {"name": HINDI, "account": {"iban": IBAN}}
    order = run.order("sms", psu=run.psu(locale="hi-IN"), transaction=PAYMENT | {"payee": payee})
    challenge = (await bank.issue(**order))["id"]
    body = await bank.settled(challenge, status="sent")
    parts = [await centre.next("submit") for _ in range(body["deliveries"][0]["segments"])]
    assert len(parts) > 1
    assert not centre.has("submit")
    text = "".join(part["text"] for part in sorted(parts, key=lambda part: part["header"][0][-2:]))
    assert HINDI in text
    for part in parts[:-1]:
        await centre.receipt(part, part["id"])
    assert (await bank.get(challenge))["deliveries"][0]["status"] == "sent"
    await centre.receipt(parts[-1], parts[-1]["id"])
    await bank.settled(challenge)
    answer = await bank.verify(challenge, run.code(text), order["transaction"])
    assert answer["outcome"] == "approved"


async def test_a_payers_no_declines_the_payment(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """NO as a deliver_sm from the payer's number; the bank finds the challenge declined, and so does the log."""
    order = run.order("sms")
    challenge = (await bank.issue(**order))["id"]
    submit = await centre.next("submit")
    code = run.code(submit["text"])
    fields = {"source_addr": order["psu"]["phone"][1:], "destination_addr": "72255", "short_message": "NO"}
    assert await centre.deliver(submit["session"], **fields) == 0
    assert (await bank.reached(challenge, "declined"))["status"] == "declined"
    assert (await bank.verify(challenge, code, PAYMENT))["outcome"] == "declined"
    (event,) = await run.events(challenge, "challenge.declined")
    assert event["reason"] == "payer_reply"


async def test_a_text_that_the_centre_cannot_deliver(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """A receipt of failure over the last channel: the challenge is undeliverable, and the bank is told why."""
    challenge = (await bank.issue(**run.order("sms")))["id"]
    submit = await centre.next("submit")
    run.code(submit["text"])
    await centre.receipt(submit, submit["id"], "UNDELIV")
    body = await bank.reached(challenge, "undeliverable")
    assert body["deliveries"][0]["status"] == "undelivered"
    (event,) = await run.events(challenge, "challenge.undeliverable")
    assert event["reason"] == "undelivered"


async def test_messages_flow_again_when_the_centre_is_back(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """The connection is cut and binds are refused: a message waits, and goes out over the next bind, once."""
    first = (await bank.issue(**run.order("sms")))["id"]
    submit = await centre.next("submit")
    run.code(submit["text"])
    await bank.settled(first, status="sent")
    await centre.rules(bind_status=0x0D)
    await centre.drop(submit["session"])
    await centre.next("bind")
    challenge = (await bank.issue(**run.order("sms")))["id"]
    (retried,) = await run.events(challenge, "delivery.retried")
    assert (retried["reason"], retried["supplier"]) == ("supplier_down", "centre")
    await centre.rules()
    again = await centre.next("submit")
    assert again["session"] != submit["session"]
    await centre.receipt(submit | {"session": again["session"]}, submit["id"])  # of before the cut
    await centre.receipt(again, again["id"])
    await bank.settled(first)
    body = await bank.settled(challenge)
    await run.approve(bank, challenge, again["text"])
    assert len(body["deliveries"]) == 1
    assert not centre.has("submit")


async def test_production_has_no_sandbox(bank: Bank) -> None:
    """Nobody reads a code where the sandbox shows them."""
    assert (await bank.http.get("/sandbox/messages")).status_code == 404
    answer = await bank.http.post("/sandbox/suppliers/sms", json={"behaviour": "deliver"})
    assert answer.status_code == 404


@pytest.mark.parametrize("role", ["api", "worker"])
def test_production_refuses_a_ladder_without_a_supplier(
    run: Run, tmp_path: Path, port: int, role: str
) -> None:
    """A ladder that names voice, which nobody carries: every role ends and says which file and which channel."""
    policies = write_policies(tmp_path, [smpp_section("centre", port)], ["sms", "voice"])
    said = _refusal(run, tmp_path, policies, role, ENVIRON)
    assert "ladder.toml:payment: names voice, which no supplier of suppliers.toml carries" in said


def test_production_refuses_the_shipped_policies(run: Run, tmp_path: Path) -> None:
    """They have the sandbox's suppliers alone."""
    said = _refusal(run, tmp_path, None, "worker", {})
    assert "the sandbox's suppliers are not for production" in said


def test_production_refuses_a_supplier_without_its_secret(run: Run, tmp_path: Path, port: int) -> None:
    """The worker says which environment variable is missing."""
    policies = write_policies(tmp_path, [smpp_section("centre", port)], ["sms"])
    said = _refusal(run, tmp_path, policies, "worker", {})
    assert "SCA_SUPPLIER_CENTRE_PASSWORD" in said


def _refusal(run: Run, folder: Path, policies: Path | None, role: str, environ: dict[str, str]) -> str:
    """What a role says that does not start, with the stores of the service; asserts that it ends with a status."""
    refused = Deployment(folder, environment=Environment.PRODUCTION)
    refused.policies = policies or refused.policies
    refused.servers = run.deployment.servers
    write_keyring(refused.keyring_file)
    command = [sys.executable, "-m", "sca_service", role, "--config", str(refused.config(free_port()))]
    ended = subprocess.run(
        command, capture_output=True, check=False, timeout=READY_SECONDS, text=True, env=environ
    )
    assert ended.returncode not in (0, -9)
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


async def test_a_message_of_an_unregistered_sender_costs_nothing(
    run: Run, bank: Bank, centre: SmsCentre
) -> None:
    """India wants a registered header; without one nothing is sent, and the bank is told why."""
    number = "+919190835001"
    run.texts.add(number[1:])
    challenge = (await bank.issue(**run.order("sms", psu=run.psu(phone=number))))["id"]
    (delivery,) = (await bank.reached(challenge, "undeliverable"))["deliveries"]
    assert (delivery["reason"], delivery["cost"]) == ("sender_unregistered", None)
    assert not centre.has("submit")


async def test_a_receipt_before_the_answer_counts(run: Run, bank: Bank, centre: SmsCentre) -> None:
    """The centre tells of a message whose submit it has not answered yet."""
    centre.answers_all = False
    challenge = (await bank.issue(**run.order("sms")))["id"]
    submit = await centre.next("submit")
    assert await centre.receipt(submit, "0000AB12") == 0
    await centre.answer(submit, id="0000AB12")
    await bank.settled(challenge)
    await run.approve(bank, challenge, submit["text"])
    assert await eventually(lambda: run.events(challenge, "delivery.settled"), "it is settled")


def test_the_watch_finds_what_it_looks_for(run: Run) -> None:
    """A number, a code and a secret, planted in a log for a moment; without them nothing is found."""
    assert run.leaks() == []
    planted = run.deployment.folder / "planted.log"
    run.codes.add("735918")
    for leak in (f"+49{LINE}001", "code=735918", SUPPLIER_SECRET, PAYEE):
        planted.write_text(f'{{"event": "{leak}"}}\n', "utf-8")
        assert len(run.leaks()) == 1
    planted.unlink()
