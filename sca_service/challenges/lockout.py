"""Where a payer stands after wrong answers (RTS Art. 4(3)(b))."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lockout:
    """Where a payer stands: failures in a row, and until when blocked (0 when not), in ms since the epoch."""

    failures: int
    blocked_until: int
