"""The sound of one call: sends a frame every 20 ms, speech or silence, and hears what comes back."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

from sca_service.delivery.channels.voice.sip import rtp
from sca_service.delivery.channels.voice.sip.settings import Codec
from sca_service.delivery.channels.voice.sip.wire import Sound
from sca_service.delivery.supplier import FailureReason, SupplierFailure

_LATEST_SECONDS = 0.1
"""A loop that was held up longer does not send the missed frames in a heap: the speech waits instead."""

Ear = Callable[[rtp.Heard], None]


class Ports:
    """The ports that sound may use, one a call; the one that rested longest is next. A class because it lends them."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._free = deque(ports)

    async def open(self, host: str) -> "Media":
        """A socket for one call. Raises SupplierFailure (transient) when there is no free port."""
        loop = asyncio.get_running_loop()
        for _ in range(len(self._free)):
            port = self._free.popleft()
            media = Media(port, self._free.append)
            try:
                await loop.create_datagram_endpoint(partial(_the_same, media), local_addr=(host, port))
            except OSError:
                media.close()  # another worker of this machine has the port
            except BaseException:
                media.close()
                raise
            else:
                return media
        raise SupplierFailure(FailureReason.SUPPLIER_DOWN, transient=True)


class Media(asyncio.DatagramProtocol):
    """One call's sound. A class because it holds the socket and what is still to be said."""

    def __init__(self, port: int, give_back: Callable[[int], None]) -> None:
        self.port = port
        self._give_back = give_back
        self._socket: asyncio.DatagramTransport | None = None
        self._sound: Sound | None = None
        self._hosts: frozenset[str] = frozenset()
        self._heard: Ear | None = None
        self._speech = b""
        self._said: Callable[[], None] | None = None
        self._position = 0
        self._number = secrets.randbelow(1 << 16)
        self._stamp = secrets.randbelow(1 << 32)
        self._source = secrets.randbelow(1 << 32)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._socket = cast("asyncio.DatagramTransport", transport)

    def start(self, sound: Sound, *, trunk_host: str, heard: Ear) -> None:
        """Send silence from now on, and tell what is heard; only the sound's host and the trunk are listened to."""
        self._sound, self._heard = sound, heard
        self._hosts = frozenset({sound.host, trunk_host})
        self._tick(asyncio.get_running_loop().time())

    def say(self, speech: bytes, said: Callable[[], None] | None = None) -> None:
        """Say this next, instead of what is being said: 16-bit samples at 8 kHz. `said` is called at its end."""
        self._speech, self._position, self._said = speech, 0, said

    def close(self) -> None:
        """Stop, and give the port back. May be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._speech, self._said, self._heard = b"", None, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if not self._closed:
            self._closed = True
            self._give_back(self.port)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hear a packet. Whoever else sends something to our port is not listened to: a key declines a payment."""
        if self._sound is None or self._heard is None or addr[0] not in self._hosts:
            return
        payload_type = rtp.PAYLOAD_TYPES[self._sound.codec]
        heard = rtp.read(data, sound=payload_type, events=self._sound.events)
        if heard is not None:
            self._heard(heard)

    def error_received(self, exc: Exception) -> None:
        """Nothing: who does not listen to our sound yet may do so later."""

    def _tick(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._send_frame()
        due += rtp.FRAME_MS / 1_000
        now = loop.time()
        if due < now - _LATEST_SECONDS:
            due = now
        self._timer = loop.call_at(due, self._tick, due)

    def _send_frame(self) -> None:
        if self._socket is None or self._sound is None:
            return
        codec, first = self._sound.codec, bool(self._speech) and self._position == 0
        packet = rtp.packet(
            rtp.PAYLOAD_TYPES[codec],
            number=self._number,
            stamp=self._stamp,
            source=self._source,
            first=first,
            payload=self._next_frame(codec),
        )
        self._number += 1
        self._stamp += rtp.FRAME_SAMPLES
        self._socket.sendto(packet, (self._sound.host, self._sound.port))

    def _next_frame(self, codec: Codec) -> bytes:
        if not self._speech:
            return rtp.SILENCE[codec]
        frame = self._speech[self._position : self._position + rtp.FRAME_BYTES]
        self._position += rtp.FRAME_BYTES
        if self._position >= len(self._speech):
            self._speech = b""
            if self._said is not None:
                self._said()
        return rtp.encode(codec, frame.ljust(rtp.FRAME_BYTES, b"\0"))


def _the_same(media: Media) -> Media:
    return media
