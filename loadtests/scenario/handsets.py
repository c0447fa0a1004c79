"""The payers' handsets: what the sandbox's suppliers received, followed in their mailbox without asking the api."""

import re
import sqlite3
import time
from dataclasses import dataclass, field

import gevent
from gevent.event import Event

from loadtests.scenario.plan import Notes

POLL_SECONDS = 0.05
_CODE = re.compile(r"(?<!\d)\d{6}(?!\d)")
_SPELLED = re.compile(r"(?:\d, ){5}\d")
_ROWS = "SELECT id, body, at_ms, delivery FROM messages WHERE id > ? ORDER BY id LIMIT 2000"


@dataclass(frozen=True, slots=True)
class Shown:
    """A message on a handset: its code, and when it came, in seconds since the epoch."""

    code: str
    at: float


@dataclass(slots=True)
class Handsets:
    """All handsets. A class because it follows the file and wakes who waits for a message."""

    mailbox: str
    notes: Notes
    shown: dict[str, list[Shown]] = field(default_factory=dict)
    waiting: dict[str, Event] = field(default_factory=dict)

    def follow(self) -> None:
        """Count and show every message, until killed."""
        file = sqlite3.connect(f"file:{self.mailbox}?mode=ro", uri=True, timeout=5)
        while True:
            for number, text, at_ms, delivery in file.execute(_ROWS, (self.notes.last_message,)).fetchall():
                self.notes.last_message = number
                self.notes.messages[delivery] = self.notes.messages.get(delivery, 0) + 1
                if found := _CODE.findall(text) or _SPELLED.findall(text):
                    challenge = f"chl_{delivery[4:-2]}"
                    self.shown.setdefault(challenge, []).append(
                        Shown(found[-1].replace(", ", ""), at_ms / 1000)
                    )
                    if event := self.waiting.get(challenge):
                        event.set()
            gevent.sleep(POLL_SECONDS)

    def wait(self, challenge: str, *, number: int = 1, seconds: float) -> Shown | None:
        """The challenge's message number 1, 2, …, once it is there; None when it is not, in time."""
        deadline = time.monotonic() + seconds
        while len(found := self.shown.get(challenge, [])) < number:
            event = self.waiting.setdefault(challenge, Event())
            event.clear()
            if not event.wait(max(deadline - time.monotonic(), 0)):
                return None
        return found[number - 1]

    def forget(self, challenge: str) -> None:
        """Nobody looks at this challenge's messages any more."""
        self.shown.pop(challenge, None)
        self.waiting.pop(challenge, None)
