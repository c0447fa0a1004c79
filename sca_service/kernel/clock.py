"""What time it is, as an argument: the service never reads the clock where it decides."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Redis `TIME` decides expiry and limits; this clock stamps what Redis does not see."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


def timestamp(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`: `2026-11-22T10:15:00.123Z`."""
    whole = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
