"""Whether a person or a machine took the call, judged by how long they speak before they pause. Pure.

People say a short hello and wait; machines greet for several seconds. This is a guess: where it must be sure,
`press_any_key` asks.
"""

from dataclasses import dataclass
from enum import StrEnum

LISTEN_MS = 4_000
"""Who has not been found a machine by then is a person."""

MACHINE_SPEECH_MS = 2_500
"""Nobody says hello for so long."""

SILENCE_MS = 2_500
"""A machine would have begun to greet by then."""

PAUSE_MS = 1_000
"""So much silence after the first words ends a hello."""

_WORD_MS = 80
"""Shorter sounds are clicks."""

_LOUD = 328 * 328
"""Mean square of a sound at -40 dB of full scale: speech on a telephone line is well above, its noise below."""


class Verdict(StrEnum):
    """Who took the call."""

    PERSON = "person"
    MACHINE = "machine"


@dataclass(slots=True)
class Listener:
    """Hears the first seconds of a call. A class because it adds up what it heard; times count from the answer."""

    speech_ms: int = 0
    last_speech_at_ms: int = 0

    def hear(self, loudness: int, *, length_ms: int, at_ms: int) -> None:
        """Take in a packet: its mean square and how long it sounds."""
        if loudness >= _LOUD:
            self.speech_ms += length_ms
            self.last_speech_at_ms = at_ms

    def judge(self, at_ms: int) -> Verdict | None:
        """Who it is by what was heard until now; None while that is open."""
        if self.speech_ms >= MACHINE_SPEECH_MS:
            return Verdict.MACHINE
        if self.speech_ms < _WORD_MS:
            return Verdict.PERSON if at_ms >= SILENCE_MS else None
        paused = at_ms - self.last_speech_at_ms >= PAUSE_MS
        return Verdict.PERSON if paused or at_ms >= LISTEN_MS else None
