"""Calls over SIP against SIPp as the trunk: every message of ours is one it expects, and every answer is understood."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sca_service.delivery.channels.voice.sip import call, rtp, speech
from sca_service.delivery.channels.voice.sip import supplier as sip
from sca_service.delivery.channels.voice.sip.settings import Codec
from sca_service.delivery.supplier import FailureReason, ReceiptStatus, Supplier, SupplierFailure, Word
from sca_service.kernel.secret import Secret
from tests.peers import telephones
from tests.peers.telephones import (
    ANSWER,
    HANG_UP,
    INVITE,
    OK,
    RINGING,
    answer,
    in_sip,
    key_by_info,
    pause,
    sipp,
    wanted,
)
from tests.ports import free_port
from tests.sip_setup import CallEar, sip_supplier, voice_message

Make = Callable[..., Supplier]


@pytest.fixture
def ear() -> CallEar:
    """What the supplier tells."""
    return CallEar()


@pytest.fixture
async def make(ear: CallEar) -> AsyncIterator[Make]:
    """Makes suppliers that are closed after the test."""
    made: list[Supplier] = []

    def one(port: int, **options: Any) -> Supplier:
        made.append(sip_supplier(port, ear, **options))
        return made[-1]

    yield one
    await asyncio.gather(*(supplier.close() for supplier in made))


async def failure_of(supplier: Supplier) -> SupplierFailure:
    """Why a message was not taken."""
    with pytest.raises(SupplierFailure) as caught:
        await supplier.send(voice_message())
    return caught.value


async def declined_call(folder: Path, transport: str) -> None:
    """A call that is answered, where 9 comes by INFO while we speak, and that ends with our BYE."""
    ear = CallEar()
    steps = (RINGING, ANSWER, pause(3.5), key_by_info("9"), HANG_UP)
    async with sipp(folder, *steps, transport=transport) as trunk:
        supplier, message = sip_supplier(trunk.port, ear, transport=transport), voice_message()
        accepted = await supplier.send(message)
        assert accepted.reference.startswith(message.delivery_id)
        assert await ear.status() is ReceiptStatus.ANSWERED
        assert await ear.next() == Word(declined=(message.delivery_id,))
        assert await trunk.kept()
        await supplier.close()


async def test_nine_declines_and_ends_the_call(tmp_path: Path) -> None:
    """9 in an INFO request is the payer's no, over TCP, on asyncio's own loop."""
    await declined_call(tmp_path, "tcp")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_worker_calls_on_its_own_loop(tmp_path: Path, transport: str) -> None:
    """The same on uvloop, where the worker runs and whose sockets are none of asyncio's classes on Python 3.11."""
    uvloop.run(declined_call(tmp_path, transport))


async def test_a_receipt_outlasts_a_store_that_is_away(make: Make, ear: CallEar, tmp_path: Path) -> None:
    """Busy is told as no answer, and again when the ear could not take it in."""
    ear.deaf = 2
    async with sipp(tmp_path, RINGING, answer(486, "Busy Here"), wanted("ACK")) as trunk:
        await make(trunk.port).send(voice_message())
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        assert await trunk.kept()


async def test_a_call_that_nobody_takes_is_taken_back(make: Make, ear: CallEar, tmp_path: Path) -> None:
    """After `ring_seconds` the INVITE is cancelled, its 487 acknowledged, and no answer told."""
    terminated = answer(487, "Request Terminated").replace("[last_CSeq:]", "CSeq: 1 INVITE")
    steps = (RINGING, wanted("CANCEL"), OK, terminated, wanted("ACK"))
    async with sipp(tmp_path, *steps) as trunk:
        await make(trunk.port, ring_seconds=5).send(voice_message())
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        assert await trunk.kept()


@pytest.mark.parametrize(
    ("status", "reason", "transient", "retry_after_ms"),
    [
        (503, FailureReason.SUPPLIER_DOWN, True, 7_000),
        (500, FailureReason.SUPPLIER_DOWN, True, 7_000),
        (404, FailureReason.REJECTED, False, 0),
        (484, FailureReason.REJECTED, False, 0),
        (403, FailureReason.REJECTED, False, 0),
    ],
)
async def test_a_refusal_says_whether_another_try_helps(
    make: Make, tmp_path: Path, *, status: int, reason: FailureReason, transient: bool, retry_after_ms: int
) -> None:
    """Even after 100 Trying: the trunk's fault is transient, the number's and ours are not; all are acknowledged."""
    steps = (answer(100, "Trying"), answer(status, "No", "Retry-After: 7"), wanted("ACK"))
    async with sipp(tmp_path, *steps) as trunk:
        failure = await failure_of(make(trunk.port))
        assert (failure.reason, failure.transient) == (reason, transient)
        assert failure.retry_after_ms == retry_after_ms
        assert await trunk.kept()


CHALLENGE = answer(
    407,
    "Proxy Authentication Required",
    'Proxy-Authenticate: Digest realm="trunk.example", nonce="47364c23432d2e131a5fb210812c", qop="auth"',
)
VERIFIED = (
    wanted(
        "INVITE",
        '<action><verifyauth assign_to="known" username="bank" password="swordfish"/></action>',
    )
    + '<nop test="known" next="1"/>'
)


async def test_a_challenge_is_answered(make: Make, ear: CallEar, tmp_path: Path) -> None:
    """SIPp finds the digest right: the same call with the next CSeq and the password's proof."""
    challenge = CHALLENGE.replace("407 Proxy Authentication Required", "401 Unauthorized")
    challenge = challenge.replace("Proxy-Authenticate", "WWW-Authenticate")
    forbidden = answer(403, "Forbidden") + wanted("ACK") + '<nop next="2"/>'
    busy = '<label id="1"/>' + answer(486, "Busy Here") + wanted("ACK") + '<label id="2"/>'
    async with sipp(tmp_path, wanted("INVITE"), challenge, wanted("ACK"), VERIFIED, forbidden, busy) as trunk:
        await make(trunk.port, auth_user="bank", password="swordfish").send(voice_message())
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        assert await trunk.kept()


async def test_a_wrong_password_is_not_tried_again(make: Make, tmp_path: Path) -> None:
    """Challenged twice, we give up for good: another try would be as wrong."""
    steps = (INVITE, CHALLENGE, wanted("ACK"), INVITE, CHALLENGE, wanted("ACK"))
    async with sipp(tmp_path, *steps) as trunk:
        failure = await failure_of(make(trunk.port, auth_user="bank", password="wrong"))
        assert (failure.reason, failure.transient) == (FailureReason.REJECTED, False)
        assert await trunk.kept()


async def test_a_machine_hears_no_code(make: Make, ear: CallEar, tmp_path: Path) -> None:
    """A greeting of several seconds is a machine's: the call ends before a word of ours, as not answered."""
    program = speech.find_program()
    speaker = speech.Speaker(program, speech.voices(program), words_per_minute=170, places=1)
    greeting = await speaker.speak(
        Secret("Hello and thank you for calling I am not at home right now so leave your message"), "en-GB"
    )
    sound = tmp_path / "greeting.alaw"
    await asyncio.to_thread(sound.write_bytes, rtp.encode(Codec.PCMA, greeting))
    steps = (RINGING, ANSWER, telephones.speaks(sound), HANG_UP)
    async with sipp(tmp_path, *steps) as trunk:
        await make(trunk.port).send(voice_message())
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        assert await trunk.kept()
        assert ear.words.empty()


async def test_what_is_more_than_the_most_calls_goes_elsewhere(make: Make, tmp_path: Path) -> None:
    """With one call under way and room for one, the next message is refused as transient, and nothing is dialled."""
    terminated = answer(487, "Request Terminated").replace("[last_CSeq:]", "CSeq: 1 INVITE")
    async with sipp(tmp_path, RINGING, wanted("CANCEL"), OK, terminated, wanted("ACK")) as trunk:
        supplier = make(trunk.port, most_calls=1, ring_seconds=5)
        await supplier.send(voice_message())
        failure = await failure_of(supplier)
        assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
        assert await trunk.kept()


async def test_a_trunk_that_is_not_there_is_down_at_once(make: Make) -> None:
    """Nobody listens on the port: the network says so, and the message goes to another supplier."""
    failure = await failure_of(make(free_port()))
    assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)


class SilentTrunk(asyncio.DatagramProtocol):
    """Takes every message and answers only when the test does."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep a message and where it came from."""
        self.received.put_nowait((data, addr))


@contextlib.asynccontextmanager
async def silent_trunk() -> AsyncIterator[tuple[int, SilentTrunk, asyncio.DatagramTransport]]:
    """A socket that takes what comes."""
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        SilentTrunk, local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1], protocol, transport
    finally:
        transport.close()


async def test_an_answer_that_comes_too_late_is_hung_up(make: Make) -> None:
    """A silent trunk is asked several times, then it is down; when it answers after all, the call ends at once."""
    async with silent_trunk() as (port, trunk, transport):
        failure = await failure_of(make(port))
        assert (failure.reason, failure.transient) == (FailureReason.SUPPLIER_DOWN, True)
        sent = [trunk.received.get_nowait() for _ in range(trunk.received.qsize())]
        assert len({data for data, _ in sent}) == 1 and len(sent) >= 3  # the very same INVITE again
        invite, place = sent[0]
        lines = [f"{name}: {in_sip(invite, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
        late = ["SIP/2.0 200 OK", *lines, f"To: {in_sip(invite, 'To')};tag=late", "Content-Length: 0", "", ""]
        transport.sendto("\r\n".join(late).encode(), place)
        ack, _ = await trunk.received.get()
        bye, _ = await trunk.received.get()
        assert ack.startswith(b"ACK ") and bye.startswith(b"BYE ")
        transport.sendto(b"SIP/2.0 200 OK\r\n" + bye.partition(b"\r\n")[2], place)


async def test_garbage_from_the_trunk_harms_no_call(make: Make) -> None:
    """Whatever the trunk sends, the socket lives on and the call is made when an answer can be read."""
    async with silent_trunk() as (port, trunk, transport):
        sending = asyncio.ensure_future(make(port).send(voice_message()))
        invite, place = await trunk.received.get()
        call_id = in_sip(invite, "Call-ID").encode()
        for garbage in (
            b"",
            b"\x00" * 40,
            b"SIP/2.0",
            b"SIP/2.0 OK\r\n\r\n",
            b"SIP/2.0 180 Ringing\r\nCall-ID: " + call_id + b"\r\nCSeq: x INVITE\r\nVia: x\r\n\r\n",
            b"SIP/2.0 180 Ringing\r\nCall-ID: "
            + call_id
            + b"\r\nVia: ;\r\nFrom: <\r\nTo: >\r\nCSeq: 1\r\n\r\n",
        ):
            transport.sendto(garbage, place)
        lines = [f"{name}: {in_sip(invite, name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        busy = ["SIP/2.0 486 Busy Here", *lines, "Content-Length: 0", "", ""]
        transport.sendto("\r\n".join(busy).encode(), place)
        assert (await sending).segments == 1


async def test_no_code_is_said_before_a_key_where_one_is_asked_for(
    make: Make, ear: CallEar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `press_any_key` a call that nobody presses a key in is not answered."""
    monkeypatch.setattr(call, "KEY_SECONDS", 1.0)
    async with sipp(tmp_path, RINGING, ANSWER, HANG_UP) as trunk:
        await make(trunk.port, press_any_key=True).send(voice_message())
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        assert await trunk.kept()
        assert ear.words.empty()


async def test_a_worker_that_stops_leaves_no_telephone_ringing(
    make: Make, ear: CallEar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waits for calls under way; what still rings then is cancelled, and told."""
    monkeypatch.setattr(sip, "STOP_SECONDS", 1.0)
    terminated = answer(487, "Request Terminated").replace("[last_CSeq:]", "CSeq: 1 INVITE")
    async with sipp(tmp_path, RINGING, wanted("CANCEL"), OK, terminated, wanted("ACK")) as trunk:
        supplier = make(trunk.port)
        await supplier.send(voice_message())
        await supplier.close()
        assert await ear.status() is ReceiptStatus.NO_ANSWER
        assert await trunk.kept()
