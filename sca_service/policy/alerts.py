"""What alerts.toml says: when a card's holder is warned, and what makes a charge a regular one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sca_service.policy.notice_rules import NoticeRules


class Interval(StrEnum):
    """How far apart regular charges are."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class CardPolicy:
    """When a card's holder is warned.

    Of a charge: `days_ahead` days before it, from `from_hour_utc` on. Predictions below `least_confidence_percent`
    count for nothing. `approaching_percent` and `recovered_percent` are shares of a card's threshold. A charge that was
    made is the expected one within `match_days`.
    """

    days_ahead: int
    from_hour_utc: int
    least_confidence_percent: int
    approaching_percent: int
    recovered_percent: int
    lifetime_hours: int
    match_days: int
    most_upcoming: int


@dataclass(frozen=True, slots=True)
class RecognitionPolicy:
    """What makes charges of one merchant regular: how many, how far off their time (days) and amount (per cent).

    Charges are kept for `history_days`, and the newest `most_charges` of a card.
    """

    least_charges: int
    tolerance_days: Mapping[Interval, int]
    amount_band_percent: int
    history_days: int
    most_charges: int


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """Everything that alerts.toml says."""

    cards: CardPolicy
    recognition: RecognitionPolicy
    notices: NoticeRules
