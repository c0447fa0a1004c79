"""What analytics.toml says: for how long figures, and the list behind them, are kept."""

from dataclasses import dataclass

from sca_service.policy.bound import Bound

FILE = "analytics.toml"

ANALYTICS_BOUNDS = (
    Bound(FILE, "minute_days", 1, 14, "a minute tells of what goes wrong now; each is kept for every route"),
    Bound(FILE, "hour_days", 8, 400, "an hour is held against the same hour a week ago"),
    Bound(FILE, "day_days", 35, 3660, "two years show a season twice; ten are history"),
    Bound(FILE, "delivery_days", 8, 400, "receipts come within days; the log has the rest"),
)


@dataclass(frozen=True, slots=True)
class AnalyticsPolicy:
    """For how many days figures are kept by the minute, the hour and the day, and the list behind them."""

    minute_days: int
    hour_days: int
    day_days: int
    delivery_days: int
