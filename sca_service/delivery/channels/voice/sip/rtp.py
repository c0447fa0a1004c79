"""Sound on the wire: RTP packets with G.711 (RFC 3550, 3551) and pressed keys among them (RFC 4733). Pure."""

import struct
from dataclasses import dataclass
from typing import Final

from aiortp.codecs.base import Codec as Coder
from aiortp.codecs.g711 import PcmaCodec, PcmuCodec
from aiortp.dtmf import EVENT_TO_DIGIT, DtmfEvent
from aiortp.packet import RtpPacket

from sca_service.delivery.channels.voice.sip.settings import Codec

SAMPLE_RATE = 8_000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1_000
FRAME_BYTES = 2 * FRAME_SAMPLES
"""Of sound as the coders take it: 16 bits a sample, little-endian."""

PAYLOAD_TYPES: Final = {Codec.PCMA: 8, Codec.PCMU: 0}
"""Static payload types (RFC 3551 table 4)."""

_CODERS: Final[dict[Codec, Coder]] = {Codec.PCMA: PcmaCodec(), Codec.PCMU: PcmuCodec()}

_HEADER = struct.Struct("!BBHII")
_MARKER = 0x80
_OTHER_SIGN = bytes(byte ^ 0x80 for byte in range(256))
"""aiortp writes A-law upside down: G.711 has the first bit set for what is positive, and aiortp for what is negative.
An ear does not notice, an echo canceller may."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet of theirs: sound (`payload` in `codec`'s bytes), or a key.

    `started` tells presses apart: it is the same in every packet of one press, and `key` is `""` for sound.
    """

    payload: bytes
    key: str
    started: int


def packet(payload_type: int, *, number: int, stamp: int, source: int, first: bool, payload: bytes) -> bytes:
    """One RTP packet; `first` marks the first sound after a silence, `stamp` counts samples."""
    marked = payload_type | (_MARKER if first else 0)
    return _HEADER.pack(0x80, marked, number & 0xFFFF, stamp & 0xFFFF_FFFF, source) + payload


def read(data: bytes, *, sound: int, events: int | None) -> Heard | None:
    """What a packet brings; None for other payload types, RTCP, and what is no RTP at all.

    `sound` and `events` are the payload types agreed on for sound and for telephone-events.
    """
    try:
        packet = RtpPacket.parse(data)
        if packet.payload_type == sound:
            return Heard(packet.payload, "", packet.timestamp)
        if packet.payload_type == events:
            digit = EVENT_TO_DIGIT.get(DtmfEvent.parse(packet.payload).event, "")
            return Heard(b"", digit, packet.timestamp) if digit else None
    except (ValueError, struct.error, IndexError):
        pass
    return None


def encode(codec: Codec, sound: bytes) -> bytes:
    """16-bit samples, little-endian, as G.711 bytes."""
    coded = _CODERS[codec].encode(sound)
    return coded.translate(_OTHER_SIGN) if codec is Codec.PCMA else coded


def loudness(codec: Codec, payload: bytes) -> int:
    """The mean square of a packet's samples, of at most 2^30; 0 for an empty one."""
    if not payload:
        return 0
    return sum(map(_SQUARES[codec].__getitem__, payload)) // len(payload)


def _squares(coder: Coder) -> tuple[int, ...]:
    samples = struct.unpack("<256h", coder.decode(bytes(range(256))))
    return tuple(sample * sample for sample in samples)


_SQUARES: Final = {codec: _squares(coder) for codec, coder in _CODERS.items()}
SILENCE: Final = {codec: encode(codec, bytes(FRAME_BYTES)) for codec in Codec}
"""One frame of it: sent whenever nothing is said, so that firewalls and trunks keep the way open."""
