"""One bind to an SMS centre: what is written and read on its connection, from the bind to the unbind.

The bytes of messages are packed and read by `smpp34`, which nothing else here knows. Its own client is not used: it
answers a `deliver_sm` before we have put it on record, takes no authority of its own for TLS and loses a bind's status.
"""

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

import smpp34
import structlog

from sca_service.delivery.channels.sms.smpp.settings import Settings
from sca_service.delivery.channels.sms.smpp.wire import HAS_HEADER, MESSAGE_PAYLOAD, Inbound, Submit
from sca_service.kernel.errors import ScaError
from sca_service.kernel.secret import Secret

ROK: Final = 0x00
INVALID_COMMAND: Final = 0x03
TEMPORARY_ERROR: Final = 0x64
"""ESME_RX_T_APPN: the SMS centre keeps the message and tells it again."""
PERMANENT_ERROR: Final = 0x65
"""ESME_RX_P_APPN: it need not be told again."""

_ANSWER = 0x8000_0000
_NACK, _SUBMIT, _DELIVER, _UNBIND, _BIND = 0x8000_0000, 0x04, 0x05, 0x06, 0x09
_ENQUIRE, _OUTBIND, _ALERT = 0x15, 0x0B, 0x102
_HEAD = struct.Struct("!IIII")
_VERSION = 0x34
_LONGEST_PDU = 70_000
_ROOM = 65_536
_LONGEST_ID = 65
_MOST_HEARING = 200
_UNBIND_SECONDS = 2.0

log = structlog.get_logger()


class BindRefused(ScaError):
    """The SMS centre does not let us in: wrong name or password, bound too often, or it has no room."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the SMS centre refused the bind with status 0x{status:02x}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """What the SMS centre says to a `submit_sm`: a status (SMPP 3.4, 5.1.3) and its name for the message."""

    status: int
    message_id: str


Hears = Callable[[Inbound], Awaitable[int]]
"""Takes in a `deliver_sm`; returns the status it is answered with."""


async def open_session(
    settings: Settings, password: Secret[str], tls: ssl.SSLContext | None, hears: Hears
) -> "Session":
    """Connect and bind. Raises BindRefused, OSError (no connection, no TLS) or TimeoutError."""
    loop = asyncio.get_running_loop()
    session = Session(settings, hears)
    try:
        async with asyncio.timeout(settings.connect_seconds):
            await loop.create_connection(
                lambda: session,
                settings.host,
                settings.port,
                ssl=tls,
                server_hostname=(settings.tls_name or settings.host) if tls else None,
            )
            answer = await session.bind(password)
    except BaseException:
        session.abort()
        raise
    if answer is None:
        raise ConnectionResetError("the SMS centre hung up during the bind")
    if answer.status != ROK:
        session.abort()
        raise BindRefused(answer.status)
    session.watch()
    return session


class Session(asyncio.BufferedProtocol):
    """A connection to an SMS centre, and what waits for an answer on it.

    What is written in one turn of the event loop leaves in one system call. Nothing here is bounded by itself but what
    comes in: the link's window bounds what goes out.
    """

    def __init__(self, settings: Settings, hears: Hears) -> None:
        self.ended = asyncio.Event()
        self._settings = settings
        self._hears = hears
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._sequence = 0
        self._waiting: dict[int, tuple[asyncio.Future[Answer | None], float]] = {}
        self._hearing: set[asyncio.Task[None]] = set()
        self._is_paused = False
        self._room = bytearray(_ROOM)
        self._received = bytearray()
        self._to_write: list[bytes] = []
        self._heard_at = self._loop.time()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether something can be written."""
        return self._transport is not None and not self._transport.is_closing()

    async def bind(self, password: Secret[str]) -> Answer | None:
        """Bind as transceiver; None when the connection ended instead of an answer."""
        own = self._settings
        names = (own.system_id, password.reveal(), own.system_type)
        body = b"".join(name.encode("latin-1", "replace") + b"\0" for name in names)
        return await self._ask(
            _BIND, body + bytes((_VERSION, 0, 0)) + own.address_range.encode("ascii") + b"\0"
        )

    def watch(self) -> None:
        """From now on ask the silent SMS centre whether it is there, and give up on answers that never come."""
        self._watcher = self._loop.create_task(self._watch())

    def submit(self, submit: Submit) -> "asyncio.Future[Answer | None]":
        """Write a message; None is the answer when the connection ended or time passed before there was one.

        Whoever does not want the answer any more lets it go by (`asyncio.shield`): it is never cancelled.
        """
        sequence = self._next_sequence()
        self._write(_submit_pdu(submit, sequence))
        return self._wait_for(sequence)

    async def close(self) -> None:
        """Unbind, once what was written is answered or cannot be any more."""
        if self.is_open and self._waiting:
            await asyncio.wait([future for future, _ in self._waiting.values()], timeout=_UNBIND_SECONDS)
        if self.is_open:
            await asyncio.wait({self._loop.create_task(self._ask(_UNBIND, b""))}, timeout=_UNBIND_SECONDS)
        if self._hearing:
            await asyncio.wait(self._hearing, timeout=_UNBIND_SECONDS)
        self._hang_up()

    def abort(self) -> None:
        """Hang up, whatever is under way."""
        if self._transport:
            self._transport.abort()
        self._end()

    def _hang_up(self) -> None:
        """Hang up once everything is written."""
        if self._transport:
            self._flush()
            self._transport.close()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none of asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone (asyncio): nobody will answer any more."""
        self._end()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go (asyncio)."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came in (asyncio)."""
        self._heard_at = self._loop.time()
        received = self._received
        received += memoryview(self._room)[:nbytes]
        start = 0
        while len(received) - start >= _HEAD.size:
            length, command, status, sequence = _HEAD.unpack_from(received, start)
            if not _HEAD.size <= length <= _LONGEST_PDU:
                log.warning("smpp.garbled", supplier_host=self._settings.host)
                self.abort()
                return
            if len(received) - start < length:
                break
            pdu = bytes(received[start : start + length])
            start += length
            self._take(command, status, sequence, pdu)
        del received[:start]

    def _take(self, command: int, status: int, sequence: int, pdu: bytes) -> None:
        if command & _ANSWER:
            found = self._waiting.pop(sequence, None)
            if found and not found[0].done():
                message_id = pdu[_HEAD.size :].split(b"\0", 1)[0][:_LONGEST_ID].decode("latin-1")
                # A nack without a status would read as a success.
                failed = status or (INVALID_COMMAND if command == _NACK else ROK)
                found[0].set_result(Answer(failed, message_id))
        elif command == _DELIVER:
            self._hear(sequence, pdu)
        elif command == _ENQUIRE:
            self._write(_HEAD.pack(_HEAD.size, _ENQUIRE | _ANSWER, ROK, sequence))
        elif command == _UNBIND:
            self._write(_HEAD.pack(_HEAD.size, _UNBIND | _ANSWER, ROK, sequence))
            self._hang_up()
        elif command not in {_OUTBIND, _ALERT}:  # those two have no answer
            self._write(_HEAD.pack(_HEAD.size, _NACK, INVALID_COMMAND, sequence))

    def _hear(self, sequence: int, pdu: bytes) -> None:
        task = self._loop.create_task(self._answer_deliver(sequence, pdu))
        self._hearing.add(task)
        task.add_done_callback(self._heard)
        if len(self._hearing) >= _MOST_HEARING and not self._is_paused and self._transport:
            self._is_paused = True
            self._transport.pause_reading()

    def _heard(self, task: "asyncio.Task[None]") -> None:
        self._hearing.discard(task)
        if self._is_paused and len(self._hearing) < _MOST_HEARING // 2:
            self._is_paused = False
            self._heard_at = self._loop.time()
            if self.is_open and self._transport:
                self._transport.resume_reading()

    async def _answer_deliver(self, sequence: int, pdu: bytes) -> None:
        try:
            inbound = _inbound(pdu)
            status = PERMANENT_ERROR if inbound is None else await self._hears(inbound)
        except Exception as error:  # the worker loop lives on (style, rule 10); it is told again
            log.error("smpp.hearing_failed", exc=error)
            status = TEMPORARY_ERROR
        self._write(_HEAD.pack(_HEAD.size + 1, _DELIVER | _ANSWER, status, sequence) + b"\0")

    async def _ask(self, command: int, body: bytes) -> Answer | None:
        sequence = self._next_sequence()
        self._write(_HEAD.pack(_HEAD.size + len(body), command, ROK, sequence) + body)
        return await self._wait_for(sequence)

    def _wait_for(self, sequence: int) -> "asyncio.Future[Answer | None]":
        future: asyncio.Future[Answer | None] = self._loop.create_future()
        if self.ended.is_set() or not self.is_open:
            future.set_result(None)
        else:
            self._waiting[sequence] = (future, self._loop.time())
        return future

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % 0x7FFF_FFFF + 1
        return self._sequence

    def _write(self, pdu: bytes) -> None:
        if not self._to_write:
            self._loop.call_soon(self._flush)
        self._to_write.append(pdu)

    def _flush(self) -> None:
        if self._to_write and self.is_open and self._transport:
            self._transport.write(b"".join(self._to_write))
        self._to_write.clear()

    async def _watch(self) -> None:
        quiet, patience = self._settings.enquire_seconds, self._settings.answer_seconds
        while not self.ended.is_set():
            await asyncio.sleep(min(quiet, patience) / 2)
            now = self._loop.time()
            if not self._is_paused:
                if now - self._heard_at > 2 * quiet:
                    log.warning("smpp.silent", supplier_host=self._settings.host)
                    self.abort()
                elif now - self._heard_at > quiet:
                    self._write(_HEAD.pack(_HEAD.size, _ENQUIRE, ROK, self._next_sequence()))
            overdue = [number for number, (_, since) in self._waiting.items() if now - since > patience]
            for number in overdue:
                _give_up(self._waiting.pop(number)[0])

    def _end(self) -> None:
        self.ended.set()
        if self._watcher:
            self._watcher.cancel()
        for future, _ in self._waiting.values():
            _give_up(future)
        self._waiting.clear()


def _give_up(future: "asyncio.Future[Answer | None]") -> None:
    if not future.done():
        future.set_result(None)


def _submit_pdu(submit: Submit, sequence: int) -> bytes:
    part = submit.part
    parameters = submit.parameters
    if part.in_payload:
        parameters = (*parameters, (MESSAGE_PAYLOAD, part.body))
    return smpp34.SubmitSm(
        submit.source.text,
        submit.destination.text,
        b"" if part.in_payload else part.body,
        source_addr_ton=submit.source.ton,
        source_addr_npi=submit.source.npi,
        dest_addr_ton=submit.destination.ton,
        dest_addr_npi=submit.destination.npi,
        esm_class=HAS_HEADER if part.has_header else 0,
        validity_period=submit.validity_period,
        registered_delivery=1,
        data_coding=part.coding,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in parameters],
        sequence_number=sequence,
    ).encode()


def _inbound(pdu: bytes) -> Inbound | None:
    """A `deliver_sm` read; None for one that cannot be."""
    try:
        read = smpp34.decode(pdu)
    except smpp34.SmppError:
        return None
    if not isinstance(read, smpp34.DeliverSm):
        return None
    return Inbound(
        source=read.source_addr,
        destination=read.destination_addr,
        esm_class=read.esm_class,
        coding=read.data_coding,
        short_message=read.short_message,
        parameters={tlv.tag: tlv.value for tlv in read.tlvs},
    )
