"""A calendar quarter, in UTC: `2026Q4`."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sca_service.kernel.errors import InvalidInput

_FORM = re.compile(r"(20[0-9]{2})Q([1-4])", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Quarter:
    """A year and a quarter from 1 to 4."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str, pointer: str = "/quarter") -> "Quarter":
        """Read `2026Q4`. Raises InvalidInput at `pointer`."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise InvalidInput.at(pointer, "must be a quarter such as 2026Q4")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, day: date) -> "Quarter":
        """The quarter that a day lies in."""
        return cls(day.year, (day.month + 2) // 3)

    @property
    def text(self) -> str:
        """`2026Q4`."""
        return f"{self.year}Q{self.number}"

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, 3 * self.number - 2, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        return self.next.first - timedelta(days=1)

    @property
    def next(self) -> "Quarter":
        """The one after it."""
        return Quarter(self.year + 1, 1) if self.number == 4 else Quarter(self.year, self.number + 1)


def day_of(at_ms: int) -> date:
    """The day in UTC of a time in ms since the epoch."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()
