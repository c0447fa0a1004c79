"""What time it is, as an argument: the service never reads the clock where it decides."""

import time
from datetime import UTC, datetime
from functools import lru_cache
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
    return f"{_whole_second(at_ms // 1000)}.{at_ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _whole_second(at_seconds: int) -> str:
    """Remembered because a response names the same few seconds several times, and strftime takes 3 µs."""
    return f"{datetime.fromtimestamp(at_seconds, UTC):%Y-%m-%dT%H:%M:%S}"
