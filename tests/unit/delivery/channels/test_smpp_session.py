"""SMPP: what a bind does with bytes, however they come in."""

import asyncio
import struct

import smpp34
from hypothesis import given
from hypothesis import strategies as st

from sca_service.delivery.channels.sms.smpp.session import PERMANENT_ERROR, TEMPORARY_ERROR, Answer, Session
from sca_service.delivery.channels.sms.smpp.settings import LongTexts, Settings
from sca_service.delivery.channels.sms.smpp.wire import Address, Inbound, Submit, parts_of
from sca_service.kernel.errors import ScaError

SETTINGS = Settings(host="smsc.example", port=2775, system_id="bank")
ENQUIRE = struct.pack("!IIII", 16, 0x15, 0, 3)
ENQUIRED = struct.pack("!IIII", 16, 0x8000_0015, 0, 3)
DELIVER = smpp34.DeliverSm("4915100000001", "MyBank", b"NO", sequence_number=9).encode()


class Wire(asyncio.Transport):
    """A connection whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._is_open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what was written."""
        self.written += bytes(data)

    def is_closing(self) -> bool:
        """Whether it was hung up."""
        return not self._is_open

    def close(self) -> None:
        """Hang up."""
        self._is_open = False

    def abort(self) -> None:
        """Hang up."""
        self._is_open = False

    def pause_reading(self) -> None:
        """Nothing more comes than the test sends."""

    def resume_reading(self) -> None:
        """As before."""


async def nobody(_inbound: Inbound) -> int:
    """Takes in everything."""
    return 0


def connected() -> tuple[Session, Wire]:
    """A session on a connection."""
    session, wire = Session(SETTINGS, nobody), Wire()
    session.connection_made(wire)
    return session, wire


def come_in(session: Session, chunk: bytes) -> None:
    """Bytes come in over the network."""
    session.get_buffer(-1)[: len(chunk)] = chunk
    session.buffer_updated(len(chunk))


def a_submit() -> Submit:
    """A short text."""
    (part,) = parts_of("Hello", long_texts=LongTexts.UDH, reference=0)
    return Submit(Address("MyBank", 5, 0), Address("4915100000001", 1, 1), part)


@given(st.lists(st.sampled_from([ENQUIRE, DELIVER]), max_size=6), st.lists(st.integers(1, 200), max_size=9))
def test_bytes_come_in_any_pieces(pdus: list[bytes], cuts: list[int]) -> None:
    """Each message is answered once, wherever the network cut."""

    async def play() -> bytes:
        session, wire = connected()
        rest = b"".join(pdus)
        for cut in cuts:
            come_in(session, rest[:cut])
            rest = rest[cut:]
        come_in(session, rest)
        for _ in range(5):
            await asyncio.sleep(0)
        return wire.written

    written = asyncio.run(play())
    assert written.count(ENQUIRED) == pdus.count(ENQUIRE)
    assert len(written) == 16 * pdus.count(ENQUIRE) + 17 * pdus.count(DELIVER)


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_no_bytes_are_a_fault(chunks: list[bytes]) -> None:
    """Whatever comes in, nothing is raised into the event loop."""

    async def play() -> None:
        session, _ = connected()
        waiting = session.submit(a_submit())
        for chunk in chunks:
            come_in(session, chunk)
            come_in(session, struct.pack("!I", 16 + len(chunk)) + chunk.ljust(12, b"\0") + b"\5\4\3\2")
        session.abort()
        assert waiting.done()

    asyncio.run(play())


@given(st.binary(max_size=200))
def test_no_delivery_is_a_fault(body: bytes) -> None:
    """One that cannot be read is refused for good, any other is taken in."""

    async def play() -> int:
        session, wire = connected()
        come_in(session, struct.pack("!IIII", 16 + len(body), 5, 0, 7) + body)
        for _ in range(5):
            await asyncio.sleep(0)
        length, command, status, sequence = struct.unpack_from("!IIII", wire.written)
        assert (length, command, sequence) == (17, 0x8000_0005, 7)
        return int(status)

    assert asyncio.run(play()) in {0, PERMANENT_ERROR}


async def test_a_fault_while_hearing_is_temporary() -> None:
    """The SMS centre keeps what we stumbled over, and the bind lives on."""

    async def stumbles(_inbound: Inbound) -> int:
        raise ScaError("Redis refused a command")

    session, wire = Session(SETTINGS, stumbles), Wire()
    session.connection_made(wire)
    come_in(session, DELIVER)
    for _ in range(5):
        await asyncio.sleep(0)
    assert struct.unpack_from("!IIII", wire.written) == (17, 0x8000_0005, TEMPORARY_ERROR, 9)
    assert session.is_open


async def test_answers_find_their_messages() -> None:
    """In whatever order they come; a stranger's is let go by, a nack is no success."""
    session, _ = connected()
    first, second, third = (session.submit(a_submit()) for _ in range(3))
    come_in(session, struct.pack("!IIII", 18, 0x8000_0004, 0, 2) + b"B\0")
    come_in(session, struct.pack("!IIII", 18, 0x8000_0004, 0, 77) + b"X\0")
    come_in(session, struct.pack("!IIII", 16, 0x8000_0000, 0, 3))
    come_in(session, struct.pack("!IIII", 16, 0x8000_0004, 0x58, 1))
    assert first.result() == Answer(0x58, "")
    assert second.result() == Answer(0, "B")
    assert third.result() == Answer(3, "")


async def test_what_leaves_in_one_turn_leaves_together() -> None:
    """And reads as what was meant."""
    session, wire = connected()
    for _ in range(3):
        session.submit(a_submit())
    assert not wire.written
    await asyncio.sleep(0)
    size = len(wire.written) // 3
    read = [smpp34.decode(wire.written[at : at + size]) for at in range(0, 3 * size, size)]
    assert all(isinstance(one, smpp34.SubmitSm) and one.short_message == b"Hello" for one in read)
    assert [one.sequence_number for one in read] == [1, 2, 3]


async def test_nothing_is_written_after_the_end() -> None:
    """Nobody waits for an answer to it either."""
    session, wire = connected()
    session.abort()
    assert await session.submit(a_submit()) is None
    assert not wire.written
