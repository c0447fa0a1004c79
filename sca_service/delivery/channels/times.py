"""The times that suppliers write, as Unix time."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def time_ms(text: str) -> int:
    """A time stamp in ms since the epoch: RFC 3339 or RFC 5322 (mail), UTC without a zone; 0 for anything else."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = read(text)
            return max(int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000), 0)
        except (ValueError, OverflowError):
            continue
    return 0
