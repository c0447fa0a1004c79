"""What an assessment is made of: facts of the case, what is on record of the payer, and what comes of both.

A fact that is None is not known. What is not known cannot be excluded, so it always speaks against an exemption.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sca_service.kernel.money import Amount
from sca_service.policy.exemptions import Article, PaymentType
from sca_service.policy.risk import Decision
from sca_service.risk.record import RiskMembers

__all__ = ["Article", "PaymentType"]
"""Named here too: whoever assesses knows them from here."""


class Context(StrEnum):
    """Where the payer and the payee meet."""

    REMOTE = "remote"
    CONTACTLESS = "contactless"  # at a point of sale
    UNATTENDED_TERMINAL = "unattended_terminal"


class Shown(StrEnum):
    """What an access to an account shows."""

    BALANCE = "balance"
    TRANSACTIONS = "transactions"
    MORE = "more"  # anything else: never exempt


class Condition(StrEnum):
    """What transaction risk analysis has to rule out, each by itself (RTS Art. 18(2)(c))."""

    ABNORMAL_SPENDING = "abnormal_spending"  # (i)
    UNUSUAL_DEVICE = "unusual_device"  # (ii) unusual device or software of the payer
    MALWARE = "malware"  # (iii)
    KNOWN_FRAUD_SCENARIO = "known_fraud_scenario"  # (iv)
    ABNORMAL_PAYER_LOCATION = "abnormal_payer_location"  # (v)
    HIGH_RISK_PAYEE_LOCATION = "high_risk_payee_location"  # (vi)


class Obstacle(StrEnum):
    """Why an article does not exempt."""

    NOT_OF_THIS_KIND = "not_of_this_kind"  # the article speaks of something else
    FACT_MISSING = "fact_missing"  # cannot be excluded
    FIRST_ACCESS = "first_access"
    AUTHENTICATED_TOO_LONG_AGO = "authenticated_too_long_ago"
    SHOWS_TOO_MUCH = "shows_too_much"
    JUSTIFIED_REASON = "justified_reason"
    SINGLE_AMOUNT = "single_amount"
    CUMULATIVE_AMOUNT = "cumulative_amount"
    CONSECUTIVE_COUNT = "consecutive_count"
    MERCHANT_CATEGORY = "merchant_category"
    NOT_TRUSTED = "not_trusted"
    FIRST_OF_SERIES = "first_of_series"
    SERIES_CHANGED = "series_changed"
    NOT_THE_SAME_PERSON = "not_the_same_person"
    HELD_ELSEWHERE = "held_elsewhere"
    NO_CORPORATE_PROCESS = "no_corporate_process"
    AMOUNT_OVER_ALL_BANDS = "amount_over_all_bands"
    FRAUD_RATE_UNKNOWN = "fraud_rate_unknown"
    FRAUD_RATE = "fraud_rate"
    STOPPED = "stopped"
    RISK_REFUSED = "risk_refused"  # the article holds, and the risk analysis says that nothing may go on
    RISK_SCORE = "risk_score"  # no condition was found, and the score asks for a challenge all the same
    ABNORMAL_SPENDING = "abnormal_spending"
    UNUSUAL_DEVICE = "unusual_device"
    MALWARE = "malware"
    KNOWN_FRAUD_SCENARIO = "known_fraud_scenario"
    ABNORMAL_PAYER_LOCATION = "abnormal_payer_location"
    HIGH_RISK_PAYEE_LOCATION = "high_risk_payee_location"


@dataclass(frozen=True, slots=True)
class Risk:
    """What the analysis of a payment came to: True where a condition was found, False where it is excluded.

    `score` is the risk score of the transaction (RTS Art. 18(3)) and `decision` what follows from it, None where none
    was made. `record` is all that the log says of the analysis; the table does not keep it.
    """

    conditions: Mapping[Condition, bool | None] = field(default_factory=dict)
    score: int | None = None
    decision: Decision | None = None
    record: RiskMembers | None = field(default=None, compare=False)

    def found(self, condition: Condition) -> bool | None:
        """Whether a condition holds; None when nothing was supplied."""
        return self.conditions.get(condition)


@dataclass(frozen=True, slots=True)
class FraudStanding:
    """Where a bank's fraud rate of one type stands, in cents of a euro (RTS Art. 19 and 20).

    `fraud_cents` and `total_cents` are those of the last 90 days; `days` is how long payments of the type are on
    record. `stopped` are the bands, by their amount in cents, in which the exemption has ceased.
    """

    fraud_cents: int = 0
    total_cents: int = 0
    days: int = 0
    stopped: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Series:
    """What recurs: the same amount to the same payee, a pseudonym (RTS Art. 14). Its `repr` shows neither."""

    amount: Amount = field(repr=False)
    payee: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """A payment. `cents` are those of a euro; `payees` are pseudonyms, None for one without an account.

    `instrument` is the pseudonym of the card or device, `series` that of a recurring payment, `process` the name of
    a corporate's. `payee_subject` is the one payee as risk knows it, None for a batch.
    """

    type: PaymentType
    context: Context
    amount: Amount = field(repr=False)
    cents: int = field(repr=False)
    payees: tuple[str | None, ...] = field(repr=False)
    instrument: str | None = None
    series: str | None = None
    merchant_category: str | None = None
    same_holder: bool | None = None
    held_here: bool | None = None
    process: str | None = None
    payer_is_consumer: bool | None = None
    risk: Risk = Risk()
    fraud: FraudStanding = FraudStanding()
    payee_subject: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """An access to an account: by the payer, or through an account information service (`aisp`, a pseudonym).

    `oldest_days` is how far back the transactions go that are shown. `reason` is the bank's objectively justified
    reason to authenticate all the same (RTS Art. 10a(3)).
    """

    shows: Shown
    oldest_days: int | None = None
    aisp: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The case: a payment or an access, one of the two, and when (ms since the epoch)."""

    at_ms: int
    payment: PaymentFacts | None = None
    access: AccessFacts | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """What was paid under an article since the last strong customer authentication, or is about to be.

    `cents` and `count` hold what was executed and what other assessments have reserved.
    """

    cents: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What is on record of the payer. `authenticated_at_ms` is the last authenticated access of this kind."""

    contactless: Counter = Counter()
    low_value: Counter = Counter()
    trusted: frozenset[str] = frozenset()
    series: Series | None = None
    authenticated_at_ms: int | None = None


Obstacles = tuple[Obstacle, ...]
"""Why an article does not exempt; none when it does."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What stands against one article."""

    article: Article
    obstacle: Obstacle


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether authentication may be left out, by which article, and what stood against those tried before it."""

    exempt: bool
    article: Article | None
    reasons: tuple[Reason, ...]
