"""What is kept of an assessment from its beginning to the payment that was executed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from sca_service.exemptions.articles.counter import over_the_limits
from sca_service.exemptions.model import (
    Article,
    Assessment,
    Condition,
    Context,
    Counter,
    Facts,
    PaymentFacts,
    PaymentType,
    Risk,
)
from sca_service.kernel.money import Amount
from sca_service.policy.exemptions import ExemptionPolicy

SCA = "sca"
NEITHER = "none"
"""What a payment rested on when it was no exemption: authentication, or neither that nor an exemption."""

LOW_VALUE_COUNTER = "low_value"


class AssessmentState(StrEnum):
    """Where an assessment stands. An executed one stays so; any other may still turn out to be executed."""

    OPEN = "open"
    LAPSED = "lapsed"  # not executed in time: its place in the counter is free again
    CANCELLED = "cancelled"
    EXECUTED = "executed"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """When and by whom: what the events of a change say beside it. `at_ms` is since the epoch."""

    at_ms: int
    origin: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NewAssessment:
    """A case to be assessed. `psu` is the payer's pseudonym, `open_seconds` how long it holds a place in a counter.

    `policy` is the digest of the policy that decides, `transaction` the pseudonym of what would be paid.
    """

    id: str
    client: str
    psu: str
    facts: Facts
    open_seconds: int
    policy: str
    transaction: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A challenge that an execution is said to rest on; `transaction` is the pseudonym of what it was for."""

    challenge: str
    transaction: str


@dataclass(frozen=True, slots=True)
class AssessmentRow:
    """An assessment as it is stored. `amount` and `cents` (of a euro) are there for a payment.

    `payments` is how many individual payments that is: as many as a batch has payees (RTS Art. 21(1)).
    `aisp` is there for an access, empty for the payer's own; `basis` and what follows once it was executed.
    `transaction` is the pseudonym of what was assessed, `payee_subject` the payee as risk knows it; None where that was
    not kept.
    """

    id: str
    client: str
    psu: str
    state: AssessmentState
    assessment: Assessment
    risk: Risk
    policy: str
    payment_type: PaymentType | None
    context: Context | None
    amount: Amount | None = field(repr=False)
    cents: int | None = field(repr=False)
    payee: str | None
    instrument: str | None
    series: str | None
    aisp: str | None
    counter: str | None
    counted: bool
    basis: str | None
    authenticated_by: str | None
    created_at: datetime
    expires_at: datetime
    executed_on: date | None
    payments: int = 1
    transaction: str | None = None
    payee_subject: str | None = None

    @property
    def is_payment(self) -> bool:
        """Whether it is about a payment; else it is about an access to an account."""
        return self.payment_type is not None


def counter_of(article: Article | None, payment: PaymentFacts | None) -> str | None:
    """The counter in which an exempt payment takes a place: the payer's, or that of an instrument; None for none."""
    if article is Article.LOW_VALUE:
        return LOW_VALUE_COUNTER
    if article is Article.CONTACTLESS and payment is not None and payment.instrument is not None:
        return contactless_counter(payment.instrument)
    return None


def contactless_counter(instrument: str) -> str:
    """The counter of a contactless instrument, a pseudonym."""
    return f"contactless:{instrument}"


def basis_of(row: AssessmentRow, *, is_authenticated: bool, has_room: bool) -> str:
    """What a payment rests on: authentication, the article that exempts it, or neither.

    `has_room` claims that its counter still had a place for it, which one that waited too long may have lost.
    """
    if is_authenticated:
        return SCA
    if not row.assessment.exempt or row.assessment.article is None:
        return NEITHER
    if row.state is AssessmentState.OPEN:
        return row.assessment.article
    if (
        row.assessment.article is Article.RISK_ANALYSIS
    ):  # made in real time (Art. 18(2)(c)), it holds for its time only
        return NEITHER
    return row.assessment.article if row.counter is None or has_room else NEITHER


def has_room(row: AssessmentRow, counter: Counter, policy: ExemptionPolicy) -> bool:
    """Whether a counter takes a payment that gave up its place before."""
    rule = policy.contactless if row.assessment.article is Article.CONTACTLESS else policy.low_value
    return row.cents is not None and not over_the_limits(row.cents, rule, counter)


def reason_texts(assessment: Assessment) -> list[str]:
    """The reasons as the log and the table keep them: `16:single_amount`."""
    return [f"{reason.article}:{reason.obstacle}" for reason in assessment.reasons]


def conditions_of(risk: Risk) -> dict[str, str]:
    """Each condition of Art. 18(2)(c) by name: `found`, `excluded` or `not_supplied`."""
    words = {True: "found", False: "excluded", None: "not_supplied"}
    return {condition.value: words[risk.found(condition)] for condition in Condition}
