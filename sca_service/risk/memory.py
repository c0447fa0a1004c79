"""What the service remembers of payers, devices, payees, addresses and lines: values, read from a hash's fields."""

import math
from collections.abc import Mapping, Sequence, Set
from typing import Final

import msgspec

MARK_FIELDS: Final = ("r", "u", "b", "z", "l")
"""Reports by payers and until when they count, the same on payments, until when listed; mark.lua and copy.lua too."""

DEVICES, PAYEES, AGENTS, COUNTRIES = "v:", "p:", "g:", "c:"
MOST_REMEMBERED: Final[Mapping[str, int]] = {DEVICES: 8, PAYEES: 16, AGENTS: 4, COUNTRIES: 6}
"""How many of each are remembered of one payer; the one not seen longest makes place."""


class Location(msgspec.Struct, frozen=True):
    """Degrees, to a hundredth (about a kilometre): nearer is not needed to tell a journey."""

    latitude: float
    longitude: float

    def __repr__(self) -> str:
        return "Location()"

    def distance_km(self, other: "Location") -> float:
        """The distance along a great circle (haversine, mean earth radius)."""
        first, second = math.radians(self.latitude), math.radians(other.latitude)
        across = math.radians(other.longitude - self.longitude)
        half = (
            math.sin((second - first) / 2) ** 2
            + math.cos(first) * math.cos(second) * math.sin(across / 2) ** 2
        )
        return 2 * 6371.0 * math.asin(min(1.0, math.sqrt(half)))


class SubjectMemory(msgspec.Struct, frozen=True):
    """A device, payee or address: requests of the last hour, different payers of the last one to two days; marks."""

    requests_hour: int = 0
    payers: int = 0
    reports: int = 0
    is_listed: bool = False


class PayerMemory(msgspec.Struct, frozen=True):
    """One payer. `now` and `first_seen_at` are seconds since the epoch by Redis; amounts are minor units.

    `mean_minor` and `deviation_minor` (of the sample) are of `payments` approved amounts. `hours` is a bit for each
    hour (UTC) in which something was approved. `seen` are names by prefix (`DEVICES`, …).
    """

    now: int
    first_seen_at: int = 0
    requests_hour: int = 0
    requests_day: int = 0
    amount_day_minor: int = 0
    ips: int = 0
    approvals: int = 0
    payments: int = 0
    mean_minor: float = 0.0
    deviation_minor: float = 0.0
    hours: int = 0
    seen: Mapping[str, Set[str]] = msgspec.field(default_factory=dict)
    location: Location | None = None
    located_at: int = 0
    reports: int = 0
    is_listed: bool = False

    def knows(self, prefix: str, name: str) -> bool:
        """Whether this one was seen with something that was approved."""
        return name in self.seen.get(prefix, ())


class Counts(msgspec.Struct, frozen=True):
    """How often a payer asked, and by how many addresses; as meet.lua counts it. Amounts are minor units."""

    requests_hour: int = 0
    ips: int = 0
    requests_day: int = 0
    amount_day_minor: int = 0
    first_seen_at: int = 0


def subject_memory(
    now: int, marks: Sequence[bytes | None], *, requests_hour: int = 0, payers: int = 0
) -> SubjectMemory:
    """What is known of anything but a payer; `marks` are the values of MARK_FIELDS."""
    if not any(marks):
        return SubjectMemory(requests_hour, payers)
    return SubjectMemory(requests_hour, payers, *_marks(now, *(int(kept or 0) for kept in marks)))


def payer_memory(now: int, counts: Counts, fields: Mapping[str, str]) -> PayerMemory:
    """What was counted of a payer and what a hash says."""
    payments = int(fields.get("n", 0))
    variance = float(fields.get("q", 0)) / (payments - 1) if payments > 1 else 0.0
    reports, is_listed = _marks(now, *(int(fields.get(name, 0)) for name in MARK_FIELDS))
    seen_at = [at for at in (counts.first_seen_at, int(fields.get("f", 0))) if at]
    return PayerMemory(
        now=now,
        first_seen_at=min(seen_at, default=0),
        requests_hour=counts.requests_hour,
        requests_day=counts.requests_day,
        amount_day_minor=counts.amount_day_minor,
        ips=counts.ips,
        approvals=int(fields.get("a", 0)),
        payments=payments,
        mean_minor=float(fields.get("m", 0)),
        deviation_minor=math.sqrt(max(variance, 0.0)),
        hours=int(fields.get("o", 0)),
        seen=_seen(fields),
        location=Location(float(fields["y"]), float(fields["x"])) if "y" in fields else None,
        located_at=int(fields.get("t", 0)),
        reports=reports,
        is_listed=is_listed,
    )


def _seen(fields: Mapping[str, str]) -> Mapping[str, Set[str]]:
    found: dict[str, set[str]] = {}
    for name in fields:
        if name[1:2] == ":":
            found.setdefault(name[:2], set()).add(name[2:])
    return found


def _marks(now: int, by_payers: int, until: int, on_payments: int, end: int, listed: int) -> tuple[int, bool]:
    """Reports by payers ("not me") and on payments, as far as they count still; and whether it is on a list."""
    return (by_payers if until > now else 0) + (on_payments if end > now else 0), listed > now
