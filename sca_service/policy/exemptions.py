"""What a bank decides about leaving strong customer authentication out (RTS chapter III).

`exemptions.toml` holds these; `exemptions_reader.py` reads them, and what the law lets them be stands in
`exemption_bounds.py`. Money is counted in cents of a euro.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sca_service.kernel.money import MICROS, MINOR_DIGITS, Amount
from sca_service.policy.risk import Decision

EURO = "EUR"


class Article(StrEnum):
    """The exemptions, by the article of the RTS that grants them."""

    ACCOUNT_ACCESS = "10"
    AISP_ACCESS = "10a"
    CONTACTLESS = "11"
    UNATTENDED_TERMINAL = "12"
    TRUSTED_BENEFICIARY = "13"
    RECURRING = "14"
    OWN_ACCOUNTS = "15"
    LOW_VALUE = "16"
    CORPORATE = "17"
    RISK_ANALYSIS = "18"


class PaymentType(StrEnum):
    """The types of payment that have a fraud rate of their own (RTS Art. 19 and Annex)."""

    CARD = "card"
    CREDIT_TRANSFER = "credit_transfer"


class CounterMode(StrEnum):
    """What a counter counts since the last strong customer authentication: one of the two (RTS Art. 11 and 16)."""

    AMOUNT = "amount"
    COUNT = "count"


class Counting(StrEnum):
    """Whether the payment that is judged counts with the previous ones."""

    WITH_CURRENT = "with_current"  # strict: what was paid before and this payment together keep the limit
    PREVIOUS_ONLY = "previous_only"  # the letter: "the cumulative amount of previous … transactions"


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Access to an account (RTS Art. 10 and 10a): authentication again after so many days.

    `oldest_days` is how far back the transactions may go that are shown without it.
    """

    sca_every_days: int
    oldest_days: int


@dataclass(frozen=True, slots=True)
class CounterRule:
    """Small payments (RTS Art. 11 and 16): the most for one, and for those since the last authentication."""

    single_cents: int
    mode: CounterMode
    cumulative_cents: int
    count: int
    counting: Counting


@dataclass(frozen=True, slots=True)
class CorporateRule:
    """Secure corporate payments (RTS Art. 17): the processes, and where the authority's satisfaction is on file."""

    processes: tuple[str, ...]
    evidence: str


@dataclass(frozen=True, slots=True)
class Band:
    """Payments up to `most_cents` are exempt while the fraud rate is at most `reference_ppm` (millionths)."""

    most_cents: int
    reference_ppm: int


@dataclass(frozen=True, slots=True)
class RiskAnalysisRule:
    """Transaction risk analysis (RTS Art. 18): bands by type, ascending.

    A fraud rate counts as known once payments of its type are on record for `history_days`.
    """

    history_days: int
    bands: Mapping[PaymentType, tuple[Band, ...]]

    def band(self, kind: PaymentType, cents: int) -> Band | None:
        """The band that an amount lies in, or None for more than any has."""
        return next((band for band in self.bands[kind] if cents <= band.most_cents), None)


@dataclass(frozen=True, slots=True)
class ExemptionPolicy:
    """Which exemptions a bank uses, in the order in which they are tried, and how.

    An assessment holds its place in a counter for `open_seconds`. No article exempts a payment on which risk decides
    `none_from` or worse. Assessments are kept for `executed_days` after they were executed, others for
    `unexecuted_days`. `unattended_categories` are merchant category
    codes (ISO 18245). `rates` says what a unit of a currency is worth in millionths of a euro.
    """

    order: tuple[Article, ...]
    open_seconds: int
    access: AccessRule
    contactless: CounterRule
    low_value: CounterRule
    unattended_categories: frozenset[str]
    corporate: CorporateRule
    risk_analysis: RiskAnalysisRule
    rates: Mapping[str, int]
    none_from: Decision = Decision.REFUSE
    executed_days: int = 760
    unexecuted_days: int = 90

    def cents(self, amount: Amount) -> int | None:
        """The amount in cents of a euro, rounded up, so that no limit is passed by rounding; None without a rate."""
        if amount.currency == EURO:
            return amount.minor
        micros = self.rates.get(amount.currency)
        if micros is None:
            return None
        whole: int = 10 ** MINOR_DIGITS[amount.currency] * MICROS
        return -(-amount.minor * micros * 100 // whole)
