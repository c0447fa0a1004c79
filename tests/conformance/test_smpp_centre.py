"""SMPP against node-smpp as the SMS centre: what we write, it reads; what it says, we understand."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sca_service.delivery.channels.sms.smpp.supplier import SmppSupplier
from sca_service.delivery.supplier import (
    Accepted,
    FailureReason,
    Message,
    Receipt,
    ReceiptStatus,
    SupplierFailure,
    Word,
)
from sca_service.kernel.connections import RedisConnection
from sca_service.policy.model import Channel, Occasion
from sca_service.policy.supply import SenderKind, SenderRule
from tests.harness import Deployment
from tests.peers.sms_centre import SmsCentre, sms_centre
from tests.ports import free_port
from tests.smpp_setup import NUMBER, PASSWORD, KeptEar, smpp_supplier, sms

Make = Callable[..., SmppSupplier]


@pytest.fixture
async def redis(quiet_stores: Deployment) -> AsyncIterator[RedisConnection]:
    """A connection to the embedded Valkey."""
    connection = RedisConnection(quiet_stores.servers.valkey.url)
    yield connection
    await connection.close()


@pytest.fixture
async def centre() -> AsyncIterator[SmsCentre]:
    """An SMS centre without TLS."""
    async with sms_centre() as centre:
        yield centre


@pytest.fixture
def ear() -> KeptEar:
    """What the supplier tells."""
    return KeptEar()


@pytest.fixture
async def make(redis: RedisConnection, ear: KeptEar) -> AsyncIterator[Make]:
    """Makes suppliers that are closed after the test."""
    made: list[SmppSupplier] = []

    def one(port: int, **options: Any) -> SmppSupplier:
        made.append(smpp_supplier(port, redis, ear, **options))
        return made[-1]

    yield one
    await asyncio.gather(*(supplier.close() for supplier in made))


async def failure_of(sending: Awaitable[Accepted]) -> SupplierFailure:
    """Why a message was not taken."""
    with pytest.raises(SupplierFailure) as caught:
        await sending
    return caught.value


async def taken(centre: SmsCentre, sending: Awaitable[Accepted], id: str) -> dict[str, Any]:  # noqa: A002
    """Let the centre take a message under an id; the submit as it came in."""
    centre.answers_all = False
    task = asyncio.ensure_future(sending)
    submit = await centre.next("submit")
    await centre.answer(submit, id=id)
    assert (await task).reference == id
    return submit


async def test_binds_sends_and_unbinds(centre: SmsCentre, make: Make) -> None:
    """One transceiver bind of version 3.4, a text as it was written, and a proper end."""
    supplier = make(centre.port)
    accepted = await supplier.send(sms("Your code: 123456 [€] ~ ü"))
    bound, submit = await centre.next("bind"), await centre.next("submit")
    assert (bound["system_id"], bound["password"], bound["version"]) == ("bank", PASSWORD, 0x34)
    assert accepted == Accepted(reference=submit["id"], segments=1, cost=None)
    assert (submit["text"], submit["data_coding"]) == ("Your code: 123456 [€] ~ ü", 0)
    assert (submit["destination_addr"], submit["dest_addr_ton"], submit["dest_addr_npi"]) == (
        NUMBER[1:],
        1,
        1,
    )
    assert submit["registered_delivery"] == 1
    await supplier.close()
    await centre.next("unbind")


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        (SenderRule("*", Channel.SMS, "MyBank", SenderKind.ALPHANUMERIC), ("MyBank", 5, 0)),
        (SenderRule("US", Channel.SMS, "72255", SenderKind.SHORT_CODE), ("72255", 3, 0)),
        (SenderRule("US", Channel.SMS, "+12065550100", SenderKind.TEN_DLC), ("12065550100", 1, 1)),
    ],
)
async def test_shows_the_sender(
    centre: SmsCentre, make: Make, sender: SenderRule, expected: tuple[str, int, int]
) -> None:
    """With the type of number and the numbering plan of its kind."""
    await make(centre.port).send(sms(sender=sender))
    submit = await centre.next("submit")
    assert (submit["source_addr"], submit["source_addr_ton"], submit["source_addr_npi"]) == expected


async def test_india_sees_entity_and_template(centre: SmsCentre, make: Make) -> None:
    """As TLVs beside the message, with the telemarketer chain where it is configured."""
    sender = SenderRule(
        "IN",
        Channel.SMS,
        "MYBANK",
        SenderKind.DLT,
        entity="1101234567890123456",
        templates={Occasion.PAYMENT: "1107234567890123456"},
    )
    await make(centre.port, dlt_telemarketer="1102000000000000001").send(sms(sender=sender))
    submit = await centre.next("submit")
    assert submit["dlt_entity"] == sender.entity
    assert submit["dlt_template"] == sender.template_for(Occasion.PAYMENT)
    assert submit["dlt_telemarketer"] == "1102000000000000001"


async def test_says_how_long_it_is_of_use(centre: SmsCentre, make: Make) -> None:
    """As a relative time, from which the SMS centre makes the moment that we mean."""
    expires_at = datetime.now(UTC) + timedelta(days=2, hours=3, minutes=5)
    await make(centre.port).send(sms(expires_at_ms=int(expires_at.timestamp() * 1_000)))
    understood = datetime.fromisoformat((await centre.next("submit"))["validity_period"])
    assert abs(understood - expires_at) < timedelta(seconds=60)


@pytest.mark.parametrize("text", ["€" * 200, "0123456789" * 31, "😀ü漢" * 60])
async def test_long_texts_come_together_again(centre: SmsCentre, make: Make, text: str) -> None:
    """Parts with a header, each of which the centre can read by itself."""
    accepted = await make(centre.port).send(sms(text))
    submits = [await centre.next("submit") for _ in range(accepted.segments)]
    assert not centre.has("submit")
    assert "".join(submit["text"] for submit in submits) == text
    headers = [submit["header"][0] for submit in submits]
    assert len({header[:6] for header in headers}) == 1, "one reference"
    assert [header[6:] for header in headers] == [
        f"{len(submits):02x}{number:02x}" for number in range(1, len(submits) + 1)
    ]
    assert all(submit["esm_class"] == 0x40 for submit in submits)


async def test_long_texts_travel_whole_where_configured(centre: SmsCentre, make: Make) -> None:
    """In `message_payload`, charged for all parts."""
    text = "0123456789" * 31
    accepted = await make(centre.port, long_texts="message_payload").send(sms(text))
    submit = await centre.next("submit")
    assert (submit["payload"], submit["text"] or "", accepted.segments) == (text, "", 3)


FORMS = [
    ("0A1F2B3C", "0A1F2B3C"),
    ("0A1F2B3C", "a1f2b3c"),  # another case, no zero before it
    ("0A1F2B3C", str(0x0A1F2B3C)),  # answered in hexadecimal, told in decimal
    ("0169814844", "A1F2B3C"),  # answered in decimal, told in hexadecimal
    ("169814844", "00000169814844"),
    ("6f0c1d9e-13d0-4c6e", "6F0C1D9E-13D0-4C6E"),
]


@pytest.mark.parametrize(("answered", "told"), FORMS)
@pytest.mark.parametrize("form", ["text", "parameters"])
async def test_understands_receipts(
    centre: SmsCentre, make: Make, ear: KeptEar, answered: str, told: str, form: str
) -> None:
    """Whatever the form of the id, in the text or in TLVs."""
    supplier, message = make(centre.port), sms()
    submit = await taken(centre, supplier.send(message), answered)
    if form == "text":
        assert await centre.receipt(submit, told) == 0
    else:
        only: dict[str, Any] = {"short_message": "", "receipted_message_id": told, "message_state": 2}
        assert await centre.receipt(submit, "", **only) == 0
    (receipt,) = (await ear.next()).receipts
    at_ms = int(datetime(2026, 11, 22, 10, 16, tzinfo=UTC).timestamp() * 1_000) if form == "text" else 0
    assert receipt == Receipt(supplier.name, message.delivery_id, ReceiptStatus.DELIVERED, at_ms)


@pytest.mark.parametrize("stat", ["UNDELIV", "EXPIRED", "REJECTD", "DELETED"])
async def test_understands_what_did_not_arrive(
    centre: SmsCentre, make: Make, ear: KeptEar, stat: str
) -> None:
    """A final state that is none of arrival, after one that is not final and says nothing."""
    supplier = make(centre.port)
    submit = await taken(centre, supplier.send(sms()), "77")
    assert await centre.receipt(submit, "77", "ENROUTE") == 0
    assert await centre.receipt(submit, "77", stat) == 0
    (receipt,) = (await ear.next()).receipts
    assert receipt.status is ReceiptStatus.UNDELIVERED
    assert ear.words.empty()


async def test_ids_in_two_bases_are_told_apart_by_number(centre: SmsCentre, make: Make, ear: KeptEar) -> None:
    """A centre that answers 10 and 16 in hexadecimal and tells 16 in decimal means the first."""
    supplier = make(centre.port)
    first, second = sms(to="+4915100000001"), sms(to="+4915100000002")
    submit = await taken(centre, supplier.send(first), "10")
    await taken(centre, supplier.send(second), "16")
    assert await centre.receipt(submit, "16") == 0
    assert (await ear.next()).receipts[0].delivery_id == first.delivery_id


async def test_a_receipt_on_another_bind(centre: SmsCentre, make: Make, ear: KeptEar) -> None:
    """Another worker understands it: what was sent stands in the store."""
    one = make(centre.port, name="smpp-shared")
    message = sms()
    submit = await taken(centre, one.send(message), "C0FFEE")
    make(centre.port, name="smpp-shared")
    bound = [(await centre.next("bind"))["session"] for _ in range(2)]
    other = next(session for session in bound if session != submit["session"])
    assert await centre.receipt(submit | {"session": other}, "12648430") == 0
    assert (await ear.next()).receipts[0].delivery_id == message.delivery_id


async def test_a_receipt_before_the_answer(centre: SmsCentre, make: Make, ear: KeptEar) -> None:
    """It waits for the answer, and is told once."""
    centre.answers_all = False
    supplier, message = make(centre.port), sms()
    sending = asyncio.ensure_future(supplier.send(message))
    submit = await centre.next("submit")
    assert await centre.receipt(submit, "255") == 0
    assert ear.words.empty()
    await centre.answer(submit, id="FF")
    await sending
    assert (await ear.next()).receipts[0].delivery_id == message.delivery_id


async def test_a_long_text_is_delivered_with_its_last_part(
    centre: SmsCentre, make: Make, ear: KeptEar
) -> None:
    """And not before."""
    supplier = make(centre.port)
    await supplier.send(sms("x" * 300))
    first, last = await centre.next("submit"), await centre.next("submit")
    assert await centre.receipt(last, last["id"]) == 0
    assert ear.words.empty()
    assert await centre.receipt(first, first["id"]) == 0
    assert (await ear.next()).receipts[0].status is ReceiptStatus.DELIVERED


async def test_a_receipt_is_kept_by_the_centre_until_it_is_on_record(
    centre: SmsCentre, make: Make, ear: KeptEar
) -> None:
    """While the store is away the answer is a temporary error; told again, it is understood."""
    supplier, message = make(centre.port), sms()
    submit = await taken(centre, supplier.send(message), "1")
    ear.deaf = 1
    assert await centre.receipt(submit, "1") == 0x64
    assert await centre.receipt(submit, "1") == 0
    assert (await ear.next()).receipts[0].delivery_id == message.delivery_id
    assert await centre.receipt(submit, "1") == 0
    assert (await ear.next()).receipts[0].delivery_id == message.delivery_id


async def test_replies_are_heard(centre: SmsCentre, make: Make, ear: KeptEar) -> None:
    """Also one that is written like a receipt: a payer's word settles nothing."""
    supplier = make(centre.port)
    submit = await taken(centre, supplier.send(sms()), "5")
    for text in ("NO", "nein, 漢字", "id:5 stat:DELIVRD"):
        fields = {"source_addr": NUMBER[1:], "destination_addr": "72255", "short_message": text}
        assert await centre.deliver(submit["session"], **fields) == 0
        word: Word = await ear.next()
        assert not word.receipts
        assert (word.replies[0].sender.reveal(), word.replies[0].text.reveal()) == (NUMBER, text)


@pytest.mark.parametrize("status", [0x58, 0x14])
async def test_throttling_slows_down_and_tries_again(centre: SmsCentre, make: Make, status: int) -> None:
    """The same message is offered until the centre takes it."""
    centre.answers_all = False
    sending = asyncio.ensure_future(make(centre.port).send(sms()))
    for _ in range(2):
        await centre.answer(await centre.next("submit"), status=status)
    await centre.answer(await centre.next("submit"), id="9")
    assert (await sending).reference == "9"


async def test_throttling_without_end(centre: SmsCentre, make: Make) -> None:
    """Is left to another supplier: nothing was sent."""
    centre.answers_all = False
    sending = asyncio.ensure_future(make(centre.port, throttle_retries=1).send(sms()))
    for _ in range(2):
        await centre.answer(await centre.next("submit"), status=0x58)
    failure = await failure_of(sending)
    assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert failure.retry_after_ms > 0


@pytest.mark.parametrize(
    ("status", "reason", "transient"),
    [
        (0x0B, FailureReason.REJECTED, False),  # invalid destination
        (0x0A, FailureReason.REJECTED, False),  # invalid source
        (0x45, FailureReason.REJECTED, False),  # submit failed
        (0x410, FailureReason.REJECTED, False),  # the centre's own
        (0x08, FailureReason.SUPPLIER_DOWN, True),  # system error
    ],
)
async def test_refusals(
    centre: SmsCentre, make: Make, status: int, reason: FailureReason, transient: bool
) -> None:
    """What a status says of the message ends it; what it says of the centre does not."""
    centre.answers_all = False
    sending = asyncio.ensure_future(make(centre.port).send(sms()))
    await centre.answer(await centre.next("submit"), status=status)
    failure = await failure_of(sending)
    assert (failure.reason, failure.transient) == (reason, transient)


async def test_a_later_part_refused(centre: SmsCentre, make: Make) -> None:
    """Nobody else sends it again: a part of it is on its way."""
    centre.answers_all = False
    sending = asyncio.ensure_future(make(centre.port, throttle_retries=0).send(sms("x" * 300)))
    await centre.answer(await centre.next("submit"), id="1")
    await centre.answer(await centre.next("submit"), status=0x58)
    assert not (await failure_of(sending)).transient


async def test_a_connection_that_drops(centre: SmsCentre, make: Make) -> None:
    """What was written may have been taken; what comes later goes over a new bind."""
    centre.answers_all = False
    supplier = make(centre.port)
    sending = asyncio.ensure_future(supplier.send(sms()))
    submit = await centre.next("submit")
    await centre.drop(submit["session"])
    failure = await failure_of(sending)
    assert (failure.reason, failure.transient) == (FailureReason.TIMEOUT, False)
    centre.answers_all = True
    assert (await centre.next("bind"))["session"] == submit["session"]
    assert (await centre.next("bind"))["session"] != submit["session"]
    assert (await sent_at_last(supplier, sms())).reference


async def sent_at_last(supplier: SmppSupplier, message: Message) -> Accepted:
    """Send until the supplier is up."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await supplier.send(message)
            except SupplierFailure as failure:
                assert failure.transient
                await asyncio.sleep(0.02)


async def test_the_centre_ends_the_bind(centre: SmsCentre, make: Make) -> None:
    """It is answered, and a new one made."""
    supplier = make(centre.port)
    await supplier.send(sms())
    await centre.do("unbind", session=(await centre.next("bind"))["session"])
    await centre.next("closed")
    await centre.next("bind")
    assert (await sent_at_last(supplier, sms())).reference


async def test_a_centre_that_forgot_the_bind(centre: SmsCentre, make: Make) -> None:
    """Is bound to anew; the message was not taken."""
    centre.answers_all = False
    supplier = make(centre.port)
    sending = asyncio.ensure_future(supplier.send(sms()))
    await centre.answer(await centre.next("submit"), status=0x04)
    failure = await failure_of(sending)
    assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
    await centre.next("closed")
    centre.answers_all = True
    assert (await sent_at_last(supplier, sms())).reference


async def test_nobody_there(make: Make) -> None:
    """Nothing is sent, at once, and it says when to try again; the end does not wait for a bind."""
    supplier = make(free_port(), backoff_seconds=20, most_backoff_seconds=20)
    failure = await failure_of(supplier.send(sms()))
    assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
    assert 0 < failure.retry_after_ms <= 20_000


class HangsUp(asyncio.Protocol):
    """Lets in and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came (asyncio)."""
        transport.close()


@pytest.mark.parametrize("stranger", [asyncio.Protocol, HangsUp])
async def test_somebody_else_is_there(make: Make, stranger: type[asyncio.Protocol]) -> None:
    """A server that never answers a bind, and one that hangs up, are no SMS centres."""
    server = await asyncio.get_running_loop().create_server(stranger, "127.0.0.1", 0)
    supplier = make(server.sockets[0].getsockname()[1], connect_seconds=0.1)
    assert (await failure_of(supplier.send(sms()))).transient
    await supplier.close()
    server.close()


async def test_a_refused_bind(centre: SmsCentre, make: Make) -> None:
    """Nothing is sent, at once; it is tried again until it is let in."""
    await centre.rules(bind_status=0x0E)
    supplier = make(centre.port)
    failure = await failure_of(supplier.send(sms()))
    assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
    await centre.rules(bind_status=0)
    assert (await sent_at_last(supplier, sms())).reference


async def test_a_centre_that_falls_silent(centre: SmsCentre, make: Make) -> None:
    """It is asked, and left when it does not answer."""
    make(centre.port, enquire_seconds=0.2)
    await centre.next("enquire")
    await centre.rules(mute=True)
    await centre.next("closed")
    assert (await centre.next("bind"))["session"] == 1
    assert (await centre.next("bind"))["session"] == 2


async def test_a_centre_that_asks_is_answered(centre: SmsCentre, make: Make) -> None:
    """Else it would hang up on us."""
    make(centre.port)
    await centre.do("enquire", session=(await centre.next("bind"))["session"])
    assert (await centre.next("enquired"))["status"] == 0


@pytest.mark.parametrize("garbage", ["ffffffff00000000", "00000004", "474554202f20485454502f312e310d0a"])
async def test_garbage_is_hung_up_on(centre: SmsCentre, make: Make, garbage: str) -> None:
    """What is no SMPP is not waited for."""
    supplier = make(centre.port)
    await centre.do("garble", session=(await centre.next("bind"))["session"], hex=garbage.ljust(32, "0"))
    await centre.next("closed")
    assert (await sent_at_last(supplier, sms())).reference


async def test_a_malformed_delivery_is_refused_for_good(centre: SmsCentre, make: Make, ear: KeptEar) -> None:
    """The bind lives on."""
    supplier = make(centre.port)
    session = (await centre.next("bind"))["session"]
    await centre.do("garble", session=session, hex="00000014000000050000000000000009" + "41414141")
    assert (await supplier.send(sms())).reference
    assert ear.words.empty()


async def test_an_answer_that_comes_too_late(centre: SmsCentre, make: Make, ear: KeptEar) -> None:
    """The dispatcher gave up on it, but its receipt is understood."""
    centre.answers_all = False
    supplier, message = make(centre.port), sms()
    sending = asyncio.ensure_future(supplier.send(message))
    submit = await centre.next("submit")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await centre.answer(submit, id="3E8")
    assert await centre.receipt(submit, "1000") == 0
    assert (await ear.next()).receipts[0].delivery_id == message.delivery_id


async def test_no_answer_in_time_is_a_timeout(centre: SmsCentre, make: Make) -> None:
    """While the bind is alive; the place in the window is free again."""
    centre.answers_all = False
    supplier = make(centre.port, answer_seconds=0.1, window=1)
    failure = await failure_of(supplier.send(sms()))
    assert (failure.reason, failure.transient) == (FailureReason.TIMEOUT, False)
    centre.answers_all = True
    assert (await supplier.send(sms())).reference


async def test_the_window_is_kept(centre: SmsCentre, make: Make) -> None:
    """No more messages are outstanding than the contract allows."""
    centre.answers_all = False
    supplier = make(centre.port, window=3)
    sendings = [asyncio.ensure_future(supplier.send(sms())) for _ in range(10)]
    outstanding = [await centre.next("submit") for _ in range(3)]
    assert not centre.has("submit")
    for number in range(10):
        await centre.answer(outstanding.pop(0), id=f"1{number}")
        if number < 7:
            outstanding.append(await centre.next("submit"))
            assert not centre.has("submit")
    await asyncio.gather(*sendings)


def certificate_for(name: str) -> tuple[str, str]:
    """A key and a certificate that vouches for itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SMS centre of the tests")])
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    ]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


async def test_tls(make: Make, ear: KeptEar, tmp_path: Path) -> None:
    """With an authority of its own, under the name in its certificate; any other is not spoken to."""
    key, certificate = certificate_for("smsc.example")
    file = tmp_path / "centre.pem"
    file.write_text(certificate)
    async with sms_centre(key=key, certificate=certificate) as centre:
        right = make(centre.port, tls=True, ca_file=str(file), tls_name="smsc.example")
        submit = await taken(centre, right.send(sms()), "1")
        assert await centre.receipt(submit, "1") == 0
        assert (await ear.next()).receipts
        wrong_name = make(centre.port, tls=True, ca_file=str(file))
        unknown = make(centre.port, tls=True, tls_name="smsc.example")
        for supplier in (wrong_name, unknown):
            failure = await failure_of(supplier.send(sms()))
            assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
        await centre.next("bind")
        assert not centre.has("bind")
