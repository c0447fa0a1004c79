"""When a payer is not to be disturbed: quiet hours by the clock where they are, on the days it is put forward too.

A zone is an IANA name. Where the order names none it is that of the number's country, if the country has one, else the
policy's: a country whose zones agree on the time has one.
"""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from babel.core import get_global

from sca_service.policy.notice_rules import NoticeRules, QuietHours

_COMPARED_DAYS: Final = 370
_COMPARED_FROM: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


def quiet_until(hours: QuietHours, zone_name: str, now_ms: int) -> int | None:
    """When a payer may be disturbed again, None when they may be now.

    That is the first moment at which the clock there shows a time outside the quiet hours: also where the clock is put
    forward over their end. Where it is put back over it, the hour that comes twice is quiet the second time as well.
    """
    zone = _zone(zone_name)
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    if not hours.covers(now.time()):
        return None
    until = min(_loud_moments(hours, zone, now))
    if _shown(until, zone) != hours.ends:  # the clock jumps over it: the jump itself is the end
        until = _first_loud(hours, zone, now, until)
    return round(until.timestamp() * 1000)


def zone_of(rules: NoticeRules, named: str, country: str) -> str:
    """The zone of a payer: the one that the order names, their country's, or the policy's.

    A name that this machine does not know, other than the one that took the order, counts for nothing.
    """
    return (named if is_zone(named) else "") or zone_of_country(country) or rules.default_time_zone


@lru_cache(maxsize=512)
def zone_of_country(country: str) -> str:
    """The one time zone of a country (ISO 3166), "" for one with several times and for an unknown one."""
    zones = sorted(name for name, territory in get_global("zone_territories").items() if territory == country)
    clocks = {tuple(_offsets(name)) for name in zones if is_zone(name)}
    return zones[0] if len(clocks) == 1 else ""


def _offsets(name: str) -> list[timedelta | None]:
    """How far the clock is from UTC on each day of a year."""
    zone = _zone(name)
    days = range(_COMPARED_DAYS)
    return [(_COMPARED_FROM + timedelta(days=day)).astimezone(zone).utcoffset() for day in days]


def is_zone(name: str) -> bool:
    """Whether this machine knows a time zone by this name."""
    return name in _known_zones()


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    """Remembered because it is a look through hundreds of files."""
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _ends_at(hours: QuietHours, now: datetime) -> datetime:
    """The next end of the quiet hours as a clock shows it, without a zone."""
    ends = datetime.combine(now.date(), hours.ends)
    return ends if ends > now.replace(tzinfo=None, fold=0) else ends + timedelta(days=1)


def _loud_moments(hours: QuietHours, zone: ZoneInfo, now: datetime) -> list[datetime]:
    """When the clock next shows the end of the quiet hours, or what it shows instead where it jumps over that."""
    ends = _ends_at(hours, now)
    for days in range(3):
        shown = ends + timedelta(days=days)
        found = [
            moment
            for fold in (0, 1)
            if (moment := _instant(shown, zone, fold)) > now and not hours.covers(_shown(moment, zone))
        ]
        if found:
            return found
    return [now.astimezone(UTC) + timedelta(days=1)]  # quiet all day but for minutes that a clock jumps over


def _instant(shown: datetime, zone: ZoneInfo, fold: int) -> datetime:
    return shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _shown(moment: datetime, zone: ZoneInfo) -> time:
    return moment.astimezone(zone).time()


def _first_loud(hours: QuietHours, zone: ZoneInfo, quiet: datetime, loud: datetime) -> datetime:
    """The first second that is not quiet, between one that is and one that is not."""
    low, high = int(quiet.timestamp()), int(loud.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if hours.covers(_shown(datetime.fromtimestamp(middle, UTC), zone)):
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
