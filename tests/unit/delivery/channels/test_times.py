"""The times that suppliers write."""

import pytest

from sca_service.delivery.channels.times import time_ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.123456Z", 1_700_000_000_123),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000),
        ("Tue, 14 Nov 2023 22:13:20 +0000", 1_700_000_000_000),
        ("Tue, 14 Nov 2023 22:13:20 -0000", 1_700_000_000_000),
        ("", 0),
        ("soon", 0),
        ("Tue, 99 Nov 2023 22:13:20 +0000", 0),
        ("9" * 400, 0),
        ("0001-01-01T00:00:00+23:00", 0),
    ],
)
def test_a_time_is_read_whoever_wrote_it(text: str, at_ms: int) -> None:
    """As in JSON or as in mail, to the millisecond; anything else is no time."""
    assert time_ms(text) == at_ms
