"""What happens in a call, one after the other: told by SIP, by the sound, and by our own speech."""

from dataclasses import dataclass

from sca_service.delivery.channels.voice.sip.wire import Sound


@dataclass(frozen=True, slots=True)
class Trying:
    """The trunk has the INVITE."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """The trunk is on its way to the telephone, or it rings."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Somebody, or something, took the call."""

    sound: Sound


@dataclass(frozen=True, slots=True)
class Refused:
    """The trunk's last word: there will be no call."""

    status: int
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The trunk is not there, or said nothing at all."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key, by RTP or by INFO; a trunk that tells both ways tells it twice."""

    key: str


@dataclass(frozen=True, slots=True)
class Said:
    """Our speech is over."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """They ended the call."""


Event = Trying | Ringing | Answered | Refused | Unreachable | Pressed | Said | HungUp
