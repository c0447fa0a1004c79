"""The way to a trunk: one socket for SIP over UDP or TCP, which brings every message to its call.

The socket is connected: what does not come from the trunk is dropped by the kernel (scanners find every open SIP port
within minutes), and a trunk that is not there is told at once where the network tells it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from aiosipua import SipRequest, SipResponse

from sca_service.delivery.channels.voice.sip import wire
from sca_service.delivery.channels.voice.sip.settings import Settings, Transport
from sca_service.delivery.supplier import FailureReason, SupplierFailure

CONNECT_SECONDS = 2.0
_MOST_BYTES = 65_536
"""Of one message, or of what waits for the rest of one."""


class Side(Protocol):
    """Our side of one call."""

    def receive(self, message: SipRequest | SipResponse) -> None:
        """Take in a message of the call."""

    def lost(self) -> None:
        """The trunk is not there (any more)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where our socket is: the address and port that the trunk sees, as far as we know."""

    host: str
    port: int
    trunk_host: str


class Trunk:
    """Sends messages and hands out what comes. A class because it holds the socket and who waits for what."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sides: dict[str, Side] = {}
        self._socket: asyncio.DatagramTransport | asyncio.Transport | None = None
        self._place: Place | None = None
        self._opening = asyncio.Lock()
        self._failed = False

    @property
    def reliable(self) -> bool:
        """Whether nothing is lost on the way, so that nothing is sent twice."""
        return self._settings.transport is Transport.TCP

    async def open(self) -> Place:
        """Connect unless it is connected. Raises SupplierFailure (transient) when the trunk cannot be reached."""
        async with self._opening:
            if self._failed and not self._sides:
                self._drop_socket()  # its name may lead elsewhere by now
            if self._place is None or self._socket is None or self._socket.is_closing():
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        self._place = await self._connect()
                except (OSError, TimeoutError) as error:
                    raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True) from error
            return self._place

    def attach(self, call_id: str, side: Side) -> None:
        """Bring a call's messages to its side from now on."""
        self._sides[call_id] = side

    def detach(self, call_id: str) -> None:
        """Nobody waits for a call's messages any more."""
        self._sides.pop(call_id, None)

    def send(self, message: bytes) -> None:
        """Send a message; over a lost connection it is lost, and the sides were told."""
        if self._socket is None or self._socket.is_closing():
            return
        if self.reliable:
            cast("asyncio.Transport", self._socket).write(message)
        else:
            cast("asyncio.DatagramTransport", self._socket).sendto(message)

    def close(self) -> None:
        """Close the socket."""
        self._sides.clear()
        self._drop_socket()

    async def _connect(self) -> Place:
        loop, settings = asyncio.get_running_loop(), self._settings
        remote = (settings.trunk_host, settings.trunk_port)
        local: tuple[str, int] | None = None
        if settings.local_address or settings.local_port:
            local = (settings.local_address or "0.0.0.0", settings.local_port)  # noqa: S104 - the route chooses
        if self.reliable:
            stream, _ = await loop.create_connection(
                lambda: _Stream(self._received, self._lost), *remote, local_addr=local
            )
            self._socket = stream
        else:
            datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._received, self._lost), local_addr=local, remote_addr=remote
            )
            self._socket = datagrams
        self._failed = False
        ours, theirs = self._socket.get_extra_info("sockname"), self._socket.get_extra_info("peername")
        return Place(str(ours[0]), int(ours[1]), str(theirs[0]))

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._place = None, None

    def _lost(self) -> None:
        self._failed = True
        for side in tuple(self._sides.values()):
            side.lost()

    def _received(self, data: bytes) -> None:
        message = wire.read(data)
        if message is None:
            return
        side = self._sides.get(message.call_id or "")
        if side is not None:
            side.receive(message)
        elif isinstance(message, SipRequest) and message.method != "ACK":
            self.send(bytes(_reply_to_stranger(message)))


def _reply_to_stranger(request: SipRequest) -> SipResponse:
    if request.method == "OPTIONS":  # a trunk asks so whether we live
        return wire.reply(request, 200, "OK")
    if request.method == "INVITE":
        return wire.reply(request, 403, "No calls are taken here")
    return wire.reply(request, 481, "Call Does Not Exist")


class _Datagrams(asyncio.DatagramProtocol):
    """One datagram is one message. Asks nothing of its transport's class: uvloop's is none of asyncio's on 3.11."""

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._received(data)

    def error_received(self, exc: Exception) -> None:
        self._lost()  # ICMP: nobody listens there


class _Stream(asyncio.Protocol):
    """Cuts a stream into messages by their Content-Length (18.3). A class because it holds what is not whole yet."""

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = (self._buffer + data).lstrip(b"\r\n")  # empty lines between messages keep alive (7.5)
        while (size := wire.message_size(self._buffer)) is not None and len(self._buffer) >= size:
            message, self._buffer = self._buffer[:size], self._buffer[size:].lstrip(b"\r\n")
            self._received(message)
        if len(self._buffer) > _MOST_BYTES and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
