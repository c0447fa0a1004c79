"""Reads alerts.toml: when a card's holder is warned, and what makes a charge a regular one."""

from types import MappingProxyType

from sca_service.policy.alerts import AlertPolicy, CardPolicy, Interval, RecognitionPolicy
from sca_service.policy.model import Texts
from sca_service.policy.notice_rules_reader import read_notice_rules
from sca_service.policy.reader import Table


def read_alerts(table: Table, texts: Texts) -> AlertPolicy:
    """Everything the file says; notes at the table what is wrong with it. `texts` are what it speaks of."""
    policy = AlertPolicy(
        cards=_cards(table.table("cards")),
        recognition=_recognition(table.table("recognition")),
        notices=read_notice_rules(
            table.table("notices"),
            notices=texts.languages[0].notices if texts.languages else None,
            replies=texts.replies.words,
        ),
    )
    table.close()
    return policy


def _cards(table: Table) -> CardPolicy:
    cards = CardPolicy(
        days_ahead=table.integer("days_ahead"),
        from_hour_utc=table.integer("from_hour_utc"),
        least_confidence_percent=table.integer("least_confidence_percent"),
        approaching_percent=table.integer("approaching_percent"),
        recovered_percent=table.integer("recovered_percent"),
        lifetime_hours=table.integer("lifetime_hours"),
        match_days=table.integer("match_days"),
        most_upcoming=table.integer("most_upcoming"),
    )
    table.close()
    is_sound = table.is_sound("approaching_percent", "recovered_percent")
    if is_sound and cards.recovered_percent < cards.approaching_percent:
        table.note(
            "recovered_percent",
            f"is less than approaching_percent; allowed: {cards.approaching_percent} or more, or what has recovered "
            "would be approaching at once",
        )
    return cards


def _recognition(table: Table) -> RecognitionPolicy:
    recognition = RecognitionPolicy(
        least_charges=table.integer("least_charges"),
        tolerance_days=MappingProxyType(
            {interval: table.integer(f"{interval}_tolerance_days") for interval in Interval}
        ),
        amount_band_percent=table.integer("amount_band_percent"),
        history_days=table.integer("history_days"),
        most_charges=table.integer("most_charges"),
    )
    table.close()
    return recognition
