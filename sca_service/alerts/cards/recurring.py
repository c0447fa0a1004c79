"""Which charges of one merchant come regularly, when the next one will, and how sure that is. Pure.

A regular charge is a chain: from the newest charge back, each about one interval before the one after it, and about as
much. Months and years are those of the calendar: what is charged on the 31st is charged on the last day of a shorter
month, and what is charged on 29 February on the 28th of a year without one.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sca_service.policy.alerts import Interval, RecognitionPolicy

MOST_CONFIDENCE_PERCENT = 95
"""Nobody knows the future."""
_NEWEST = 3
"""The predicted amount is the highest of so many: who is warned of a little too much has money left."""
MOST_LOOKED_AT = 200
"""Of one merchant's charges the newest so many."""
_ORDER = {interval: at for at, interval in enumerate(Interval)}
_LONGEST = {Interval.WEEKLY: 7, Interval.MONTHLY: 34, Interval.QUARTERLY: 95, Interval.YEARLY: 367}
_MONTHS = {Interval.MONTHLY: 1, Interval.QUARTERLY: 3, Interval.YEARLY: 12}
_WEEK = 7


@dataclass(frozen=True, slots=True)
class PastCharge:
    """A charge that was made; `merchant` is a pseudonym."""

    merchant: str
    currency: str
    amount_minor: int
    made_on: date


@dataclass(frozen=True, slots=True)
class Regular:
    """A charge that comes regularly: the next one, how sure that is, and the least and the most it was."""

    interval: Interval
    next_on: date
    amount_minor: int
    confidence_percent: int
    least_minor: int
    most_minor: int


def recognise(charges: Sequence[PastCharge], today: date, policy: RecognitionPolicy) -> list[Regular]:
    """What comes regularly among the charges of one merchant in one currency, and has not stopped.

    Charges that are alike in amount are looked at together, so a merchant may have several regular ones beside what is
    bought there now and then. Of several intervals the surest, then the longest.
    """
    rest = sorted(charges, key=lambda one: (one.made_on, one.amount_minor))[-MOST_LOOKED_AT:]
    found = []
    while rest:
        newest = rest[-1].amount_minor
        alike = [one for one in rest if is_alike(one.amount_minor, newest, policy)]
        rest = [one for one in rest if not is_alike(one.amount_minor, newest, policy)]
        regular = [
            one for interval in Interval if (one := _regular(alike, interval, today, policy)) is not None
        ]
        if regular:
            found.append(max(regular, key=lambda one: (one.confidence_percent, _ORDER[one.interval])))
    return found


def is_alike(amount_minor: int, usual_minor: int, policy: RecognitionPolicy) -> bool:
    """Whether an amount is about as much as the usual one."""
    return abs(amount_minor - usual_minor) * 100 <= usual_minor * policy.amount_band_percent


def shifted(day: date, months: int, *, day_of_month: int) -> date:
    """The day so many months away: on `day_of_month`, or on the last day of a month that is shorter.

    Raises ValueError beyond the calendar's years.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day_of_month, last))


def _regular(
    alike: Sequence[PastCharge], interval: Interval, today: date, policy: RecognitionPolicy
) -> Regular | None:
    tolerance = policy.tolerance_days[interval]
    chain = _chain(alike, interval, tolerance)
    if len(chain) < policy.least_charges:
        return None
    days = [one.made_on for one in chain]
    next_on, off_days = _next(days, interval)
    if next_on < today:  # it has stopped
        return None
    amounts = [one.amount_minor for one in chain]
    confidence = _confidence(
        amounts,
        among=sum(days[0] <= one.made_on <= days[-1] for one in alike),
        off_days=off_days,
        tolerance=tolerance,
    )
    return Regular(interval, next_on, max(amounts[-_NEWEST:]), confidence, min(amounts), max(amounts))


def _chain(alike: Sequence[PastCharge], interval: Interval, tolerance: int) -> list[PastCharge]:
    """From the newest charge back: each time the one that is nearest to an interval before. The oldest comes first."""
    chain = [alike[-1]]
    at = len(alike) - 1
    while True:
        last = chain[-1].made_on
        offs = []
        for before in range(at - 1, -1, -1):
            off = _off(alike[before].made_on, last, interval)
            if off <= tolerance:
                offs.append((off, -before))
            elif offs or (last - alike[before].made_on).days > _LONGEST[interval] + tolerance:
                break  # the charges are in the order of their days
        if not offs:
            return chain[::-1]
        at = -min(offs)[1]
        chain.append(alike[at])


def _off(day: date, later: date, interval: Interval) -> int:
    """By how many days the two are more or less than an interval apart.

    28 February and 31 March are a month apart, as 31 January and 28 February are.
    """
    if interval is Interval.WEEKLY:
        return abs((later - day).days - _WEEK)
    months = _MONTHS[interval]
    return min(
        abs((later - shifted(day, months, day_of_month=day.day)).days),
        abs((day - shifted(later, -months, day_of_month=later.day)).days),
    )


def _next(days: Sequence[date], interval: Interval) -> tuple[date, int]:
    """The day after the last of the days, by the day of the week or month that fits them best; how far off they are."""
    if interval is Interval.WEEKLY:
        offs = {weekday: sum(abs(_to_weekday(day, weekday)) for day in days) for weekday in range(_WEEK)}
        usual = min(offs, key=lambda one: (offs[one], one != days[-1].weekday(), one))
        return days[-1] + timedelta(days=_to_weekday(days[-1], usual) + _WEEK), offs[usual]
    offs = {number: sum(abs((_nearest(day, number) - day).days) for day in days) for number in range(1, 32)}
    usual = min(offs, key=lambda one: (offs[one], one))
    nominal = _nearest(days[-1], usual)
    return shifted(nominal, _MONTHS[interval], day_of_month=usual), offs[usual]


def _to_weekday(day: date, weekday: int) -> int:
    """How many days it is to the nearest such day of the week; negative for one before."""
    return (weekday - day.weekday() + 3) % _WEEK - 3


def _nearest(day: date, day_of_month: int) -> date:
    """The nearest such day of a month."""
    return min(
        (shifted(day, months, day_of_month=day_of_month) for months in (0, -1, 1)),
        key=lambda one: abs((one - day).days),
    )


def _confidence(amounts: Sequence[int], *, among: int, off_days: int, tolerance: int) -> int:
    """How sure a chain is, in per cent: the longer the surer, less where days or amounts are off.

    `among` counts the chain's charges and those that are alike and lie between them: who buys coffee every day is not
    charged weekly.
    """
    charges = len(amounts)
    percent: int = min(100 - 100 // 2 ** (charges - 1), MOST_CONFIDENCE_PERCENT)
    percent -= 20 * off_days // (charges * max(tolerance, 1))
    percent -= 20 * (max(amounts) - min(amounts)) // max(amounts)
    return max(percent, 0) * charges // among
