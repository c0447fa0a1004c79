"""Policies and facts that the tests of this room share."""

from pathlib import Path
from typing import Any
from zlib import crc32

from sca_service.policy.conditions import ConditionLanguage
from sca_service.policy.load import load
from sca_service.policy.risk import (
    FACTS,
    AnswerMethod,
    Factor,
    LineRule,
    MemoryRule,
    RiskPolicy,
    Signal,
    StepUpRule,
    Thresholds,
)
from sca_service.policy.words import Channel
from sca_service.risk.model import Facts

POLICIES = Path(__file__).resolve().parents[3] / "policies"
SHIPPED = load(POLICIES)
LANGUAGE = ConditionLanguage({name: fact.kind for name, fact in FACTS.items()})
LINE = LineRule((), 300, 1_800, 60, 72, 72)
MEMORY = MemoryRule(payer_days=90, subject_days=30, report_days=180)


def signal(
    condition: str,
    weight: int = 10,
    *,
    factor: Factor = Factor.SPENDING,
    name: str = "",
    when_missing: int = 0,
) -> Signal:
    """A signal whose reason is its name."""
    named = name or f"s{crc32(f'{condition}{weight}'.encode())}"
    return Signal(named, factor, LANGUAGE.compile(condition), weight, named, when_missing)


def step_up(condition: str, *channels: Channel, methods: tuple[AnswerMethod, ...] = ()) -> StepUpRule:
    """A rule that leaves these out."""
    return StepUpRule("rule", LANGUAGE.compile(condition), channels, methods, "rule_reason")


def policy(*signals: Signal, rules: tuple[StepUpRule, ...] = ()) -> RiskPolicy:
    """A policy of these signals: challenge from 10, step_up from 50, refuse from 100."""
    return RiskPolicy(Thresholds(10, 50, 100), signals, rules, LINE, MEMORY, LANGUAGE, "sha256:example")


def facts(**known: Any) -> Facts:
    """Facts of a payment of which nothing is known but this."""
    values: dict[str, Any] = {"purpose": "payment", "hour_utc": 12, "payees": 1}
    return Facts(**values | known)


def harmless(**known: Any) -> Facts:
    """Facts of a payment of which everything is known, and nothing speaks against it."""
    return facts(
        **{
            "amount_minor": 2_500,
            "payee_country": "DE",
            "payee_foreign": False,
            "payer_failures": 0,
            "malware": False,
            "scenarios": (),
            "compromised": (),
            "payee_check": "match",
            "device_tampered": False,
            "remote_access": False,
            "app_abnormal": False,
            "ip_anonymous": False,
            "ip_country": "DE",
            "payer_country": "DE",
            "phone_country": "DE",
            "number_age_days": 900,
            "account_age_days": 900,
            "payer_age_days": 60,
            "payer_payments": 12,
            "amount_deviation": 0.1,
            "amount_ratio": 1.0,
            "hour_unusual": False,
            "device_new": False,
            "agent_new": False,
            "device_payers": 1,
            "device_requests_hour": 1,
            "device_reports": 0,
            "payee_new": False,
            "payee_payers": 2,
            "payee_requests_hour": 2,
            "payee_reports": 0,
            "ip_payers": 1,
            "ip_requests_hour": 1,
            "ip_reports": 0,
            "country_new": False,
            "distance_km": 3.0,
            "speed_kmh": 1.0,
            "sim_swapped": False,
            "sim_swap_answer": "answered",
            "device_swapped": False,
            "device_swap_answer": "answered",
            "call_forwarded": False,
            "call_forwarding_answer": "answered",
            "number_recycled": False,
            "number_recycling_answer": "answered",
        }
        | known
    )
