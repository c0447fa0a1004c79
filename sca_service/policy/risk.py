"""What a bank decides about risk: signals, thresholds, and what is left out of a stronger way. Read by risk_reader.py.

Here also stand the facts that conditions may speak of, and the factors that the law wants looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sca_service.policy.conditions import Condition, ConditionLanguage
from sca_service.policy.verdicts import FactKind
from sca_service.policy.words import Channel


class Factor(StrEnum):
    """What a signal, and the facts it looks at, speak to (RTS Art. 2(2) and 18(2)(c)).

    `line` is the phone line; `trust` is what speaks for the payer: the weight of such a signal is taken off.
    """

    COMPROMISED_ELEMENTS = "compromised_elements"
    AMOUNT = "amount"
    KNOWN_SCENARIO = "known_scenario"
    MALWARE = "malware"
    DEVICE_USE = "device_use"
    SPENDING = "spending"
    DEVICE_ACCESS = "device_access"
    PAYER_LOCATION = "payer_location"
    PAYEE_LOCATION = "payee_location"
    LINE = "line"
    TRUST = "trust"


FACTOR_ARTICLES: Final[Mapping[Factor, str]] = MappingProxyType(
    {
        Factor.COMPROMISED_ELEMENTS: "RTS Art. 2(2)(a): lists of compromised or stolen authentication elements",
        Factor.AMOUNT: "RTS Art. 2(2)(b): the amount of each payment transaction",
        Factor.KNOWN_SCENARIO: "RTS Art. 2(2)(c) and 18(2)(c)(iv): known fraud scenarios",
        Factor.MALWARE: "RTS Art. 2(2)(d) and 18(2)(c)(iii): signs of malware in any session",
        Factor.DEVICE_USE: "RTS Art. 2(2)(e): abnormal use of a device or software that the bank gave out",
        Factor.SPENDING: "RTS Art. 18(2)(c)(i): abnormal spending or behaviour of the payer",
        Factor.DEVICE_ACCESS: "RTS Art. 18(2)(c)(ii): unusual device or software access",
        Factor.PAYER_LOCATION: "RTS Art. 18(2)(c)(v): abnormal location of the payer",
        Factor.PAYEE_LOCATION: "RTS Art. 18(2)(c)(vi): high-risk location of the payee",
    }
)
"""The factors that every policy has to look at; for `line` and `trust` no article asks."""

TRA_CONDITIONS: Final = (
    Factor.SPENDING,
    Factor.DEVICE_ACCESS,
    Factor.MALWARE,
    Factor.KNOWN_SCENARIO,
    Factor.PAYER_LOCATION,
    Factor.PAYEE_LOCATION,
)
"""The six of RTS Art. 18(2)(c), in its order: with any of them found, nobody is let through without being asked."""


class Decision(StrEnum):
    """What follows from a score, from the least to the most."""

    ALLOW = "allow"
    CHALLENGE = "challenge"
    STEP_UP = "step_up"
    REFUSE = "refuse"

    @property
    def rank(self) -> int:
        """Its place in this order."""
        return _RANKS[self]


_RANKS: Final = {decision: rank for rank, decision in enumerate(Decision)}


class AnswerMethod(StrEnum):
    """How a payer may answer, as the contract names it, as far as a step-up can leave it out."""

    ONE_TIME_CODE = "one_time_code"
    DEVICE_SIGNATURE = "device_signature"
    TOTP = "totp"
    HOTP = "hotp"
    OCRA = "ocra"
    PASSKEY = "passkey"


class LineQuestion(StrEnum):
    """What the operator of a phone line is asked about it (CAMARA)."""

    SIM_SWAP = "sim_swap"
    DEVICE_SWAP = "device_swap"
    CALL_FORWARDING = "call_forwarding"
    NUMBER_RECYCLING = "number_recycling"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its type, what it speaks to, and whether it is always there."""

    kind: FactKind
    factor: Factor
    always: bool = False


_BOOL, _INT, _DOUBLE, _STRING, _LIST = FactKind
FACTS: Final[Mapping[str, Fact]] = MappingProxyType(
    {
        # Of the order.
        "purpose": Fact(_STRING, Factor.SPENDING, always=True),
        "hour_utc": Fact(_INT, Factor.SPENDING, always=True),
        "amount_minor": Fact(_INT, Factor.AMOUNT),
        "payees": Fact(_INT, Factor.AMOUNT, always=True),
        "payee_country": Fact(_STRING, Factor.PAYEE_LOCATION),
        "payee_foreign": Fact(_BOOL, Factor.PAYEE_LOCATION),
        "payer_failures": Fact(_INT, Factor.SPENDING),
        # Marks of the bank.
        "malware": Fact(_BOOL, Factor.MALWARE),
        "scenarios": Fact(_LIST, Factor.KNOWN_SCENARIO),
        "compromised": Fact(_LIST, Factor.COMPROMISED_ELEMENTS),
        "payee_check": Fact(_STRING, Factor.KNOWN_SCENARIO),
        "device_tampered": Fact(_BOOL, Factor.DEVICE_USE),
        "remote_access": Fact(_BOOL, Factor.DEVICE_USE),
        "app_abnormal": Fact(_BOOL, Factor.DEVICE_USE),
        "ip_anonymous": Fact(_BOOL, Factor.DEVICE_ACCESS),
        "ip_country": Fact(_STRING, Factor.PAYER_LOCATION),
        "payer_country": Fact(_STRING, Factor.PAYER_LOCATION),
        "phone_country": Fact(_STRING, Factor.PAYER_LOCATION),
        "number_age_days": Fact(_INT, Factor.LINE),
        "account_age_days": Fact(_INT, Factor.SPENDING),
        # What the service remembers.
        "listed": Fact(_LIST, Factor.COMPROMISED_ELEMENTS, always=True),
        "payer_age_days": Fact(_INT, Factor.SPENDING),
        "payer_payments": Fact(_INT, Factor.SPENDING, always=True),
        "payer_requests_hour": Fact(_INT, Factor.SPENDING, always=True),
        "payer_requests_day": Fact(_INT, Factor.SPENDING, always=True),
        "payer_amount_day_minor": Fact(_INT, Factor.SPENDING, always=True),
        "payer_ips": Fact(_INT, Factor.DEVICE_ACCESS, always=True),
        "payer_reports": Fact(_INT, Factor.KNOWN_SCENARIO, always=True),
        "amount_deviation": Fact(_DOUBLE, Factor.SPENDING),
        "amount_ratio": Fact(_DOUBLE, Factor.SPENDING),
        "hour_unusual": Fact(_BOOL, Factor.SPENDING),
        "device_new": Fact(_BOOL, Factor.DEVICE_ACCESS),
        "agent_new": Fact(_BOOL, Factor.DEVICE_ACCESS),
        "device_payers": Fact(_INT, Factor.DEVICE_ACCESS),
        "device_requests_hour": Fact(_INT, Factor.DEVICE_ACCESS),
        "device_reports": Fact(_INT, Factor.KNOWN_SCENARIO),
        "payee_new": Fact(_BOOL, Factor.SPENDING),
        "payee_payers": Fact(_INT, Factor.KNOWN_SCENARIO),
        "payee_requests_hour": Fact(_INT, Factor.KNOWN_SCENARIO),
        "payee_reports": Fact(_INT, Factor.KNOWN_SCENARIO),
        "ip_payers": Fact(_INT, Factor.DEVICE_ACCESS),
        "ip_requests_hour": Fact(_INT, Factor.DEVICE_ACCESS),
        "ip_reports": Fact(_INT, Factor.KNOWN_SCENARIO),
        "country_new": Fact(_BOOL, Factor.PAYER_LOCATION),
        "distance_km": Fact(_DOUBLE, Factor.PAYER_LOCATION),
        "speed_kmh": Fact(_DOUBLE, Factor.PAYER_LOCATION),
        # What the operator says of the phone line, and whether it says anything.
        "sim_swapped": Fact(_BOOL, Factor.LINE),
        "sim_swap_answer": Fact(_STRING, Factor.LINE, always=True),
        "device_swapped": Fact(_BOOL, Factor.LINE),
        "device_swap_answer": Fact(_STRING, Factor.LINE, always=True),
        "call_forwarded": Fact(_BOOL, Factor.LINE),
        "call_forwarding_answer": Fact(_STRING, Factor.LINE, always=True),
        "number_recycled": Fact(_BOOL, Factor.LINE),
        "number_recycling_answer": Fact(_STRING, Factor.LINE, always=True),
    }
)
"""Every fact that a condition may speak of. docs/risk.md says what each means; `risk.model.Facts` holds them."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One judgement on facts: where its condition holds, or cannot be told, its weight is added to the score.

    `when_missing` is added instead where a fact that decides it was not supplied. With the factor `trust` the weight is
    taken off, and only where the condition surely holds. `reason` goes to the bank, and into the record.
    """

    name: str
    factor: Factor
    condition: Condition
    weight: int
    reason: str
    when_missing: int = 0


@dataclass(frozen=True, slots=True)
class StepUpRule:
    """Where its condition holds, or cannot be told, the decision is at least step_up, without these ways."""

    name: str
    condition: Condition
    leave_out_channels: tuple[Channel, ...]
    leave_out_methods: tuple[AnswerMethod, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which score on what follows; each is more than the one before."""

    challenge: int
    step_up: int
    refuse: int

    def decision(self, score: int) -> Decision:
        """What follows from a score."""
        if score >= self.refuse:
            return Decision.REFUSE
        if score >= self.step_up:
            return Decision.STEP_UP
        return Decision.CHALLENGE if score >= self.challenge else Decision.ALLOW


@dataclass(frozen=True, slots=True)
class LineRule:
    """What operators are asked, where (empty: nobody is asked), and how long an answer is waited for and believed."""

    asks: tuple[LineQuestion, ...]
    timeout_ms: int
    remember_seconds: int
    remember_unknown_seconds: int
    sim_swap_hours: int
    device_swap_hours: int
    base_url: str = ""
    access_url: str = ""


@dataclass(frozen=True, slots=True)
class MemoryRule:
    """How long what was learned is kept: of a payer, of a device, payee, address or line, and of what was reported.

    `listed_days` is the most for which one stands on a list unless it is put there again.
    """

    payer_days: int
    subject_days: int
    report_days: int
    listed_days: int = 730


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    """Everything that risk.toml says. `language` made its conditions; `digest` names this one file."""

    thresholds: Thresholds
    signals: tuple[Signal, ...]
    step_up: tuple[StepUpRule, ...]
    line: LineRule
    memory: MemoryRule
    language: ConditionLanguage
    digest: str = ""
