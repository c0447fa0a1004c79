"""Keys pressed in a call, each press told once, whichever way it came. Pure."""

from dataclasses import dataclass, field

_KEYS = frozenset("0123456789*#ABCD")
_ECHO_MS = 400
"""A trunk that tells a press by RTP and by INFO as well does so within this; nobody presses a key again so soon."""


@dataclass(slots=True)
class Keypad:
    """Tells new presses from what belongs to an old one. A class because it remembers the last of each key."""

    _started: int | None = None
    _told_at_ms: dict[str, int] = field(default_factory=dict)

    def begins(self, started: int) -> bool:
        """Whether a telephone-event's packet is the first of its press, which many packets tell (RFC 4733 2.5.1)."""
        new = started != self._started
        self._started = started
        return new

    def is_echo(self, key: str, *, at_ms: int) -> bool:
        """Whether the same press was told before, the other way."""
        before_ms = self._told_at_ms.get(key)
        self._told_at_ms[key] = at_ms
        return before_ms is not None and at_ms - before_ms < _ECHO_MS


def key_of_info(content_type: str, body: str) -> str:
    """The key in the body of an INFO: `Signal=9` (application/dtmf-relay) or `9` (application/dtmf); or nothing."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/dtmf-relay":
        lines = (line.partition("=") for line in body.splitlines())
        found = next((value.strip() for name, _, value in lines if name.strip().lower() == "signal"), "")
    elif kind == "application/dtmf":
        found = body.strip()
    else:
        return ""
    return found if found in _KEYS else ""
