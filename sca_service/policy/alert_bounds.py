"""What alerts.toml may not exceed: no law speaks of it, so each bound has its reason."""

from sca_service.policy.bound import Bound

FILE = "alerts.toml"

ALERT_BOUNDS = (
    Bound(FILE, "cards.days_ahead", 1, 14, "a day to top up; what is two weeks off is forgotten again"),
    Bound(FILE, "cards.from_hour_utc", 0, 23, "an hour of the day"),
    Bound(FILE, "cards.least_confidence_percent", 1, 100, "who is warned wrongly twice reads no third one"),
    Bound(FILE, "cards.approaching_percent", 100, 1_000, "of the threshold; at 100 nothing approaches"),
    Bound(FILE, "cards.recovered_percent", 100, 1_000, "of the threshold; at 100 each wobble is news"),
    Bound(FILE, "cards.lifetime_hours", 1, 168, "a balance of last week is no news"),
    Bound(FILE, "cards.match_days", 0, 7, "a bank's weekend and a holiday; a week is another weekly charge"),
    Bound(FILE, "cards.most_upcoming", 1, 200, "all of a card's are looked at with each balance"),
    Bound(FILE, "recognition.least_charges", 3, 12, "two charges have one interval, which proves nothing"),
    Bound(FILE, "recognition.weekly_tolerance_days", 0, 2, "less than half of the interval"),
    Bound(FILE, "recognition.monthly_tolerance_days", 0, 7, "a weekend and holidays"),
    Bound(FILE, "recognition.quarterly_tolerance_days", 0, 14, "as much of the interval as for a month"),
    Bound(FILE, "recognition.yearly_tolerance_days", 0, 30, "as much of the interval as for a month"),
    Bound(FILE, "recognition.amount_band_percent", 0, 100, "more than twice as much is another charge"),
    Bound(FILE, "recognition.history_days", 60, 1_500, "GDPR Art. 5(1)(e): no longer than needed"),
    Bound(FILE, "recognition.most_charges", 12, 2_000, "all of a card's are looked at when new ones come"),
)
