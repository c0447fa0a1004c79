"""Time: milliseconds since the epoch, and how they are written."""

import time
from datetime import UTC, datetime

import pytest

from sca_service.kernel.clock import Clock, SystemClock, timestamp


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
    ],
)
def test_timestamps_are_rfc_3339_in_utc(at_ms: int, text: str) -> None:
    """Three digits of milliseconds, always, and `Z`."""
    assert timestamp(at_ms) == text


def test_a_timestamp_can_be_read_back() -> None:
    """No millisecond is lost to rounding."""
    for at_ms in range(1_790_000_000_000, 1_790_000_002_000, 7):
        read = datetime.fromisoformat(timestamp(at_ms))
        assert read.tzinfo == UTC
        assert round(read.timestamp() * 1000) == at_ms


def test_the_timestamp_does_not_follow_the_machines_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in Kolkata writes the same text."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_system_clock_tells_the_machines_time_in_milliseconds() -> None:
    """It lies between two readings of the machine's clock."""
    clock: Clock = SystemClock()
    before = time.time_ns() // 1_000_000
    now_ms = clock.now_ms()
    assert before <= now_ms <= time.time_ns() // 1_000_000
