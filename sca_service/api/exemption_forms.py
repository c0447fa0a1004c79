"""Exemptions, fraud and trusted beneficiaries as clients send and get them: the shapes of the contract."""

from typing import Annotated

from msgspec import Meta, Struct

from sca_service.api.forms import PayeeForm, PsuForm, SignalsForm, TransactionForm
from sca_service.api.responses import AmountBody, PolicyBody
from sca_service.exemptions.model import Article, Context, Obstacle, PaymentType, Shown
from sca_service.exemptions.reports.fraud import FraudKind, WithdrawalReason
from sca_service.exemptions.rows import AssessmentState
from sca_service.policy.risk import Decision

_Reference = Annotated[str, Meta(min_length=1, max_length=128)]
_Authorisation = Annotated[
    str,
    Meta(
        max_length=4096,
        description="The `authentication_code` of an approved challenge for the purpose `other`, at most five minutes "
        "old and used once (RTS Art. 13).",
    ),
]


class RecurringForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A payment of a series (RTS Art. 14)."""

    series: Annotated[
        _Reference, Meta(examples=["sub-77"], description="Your own reference of the series, for this payer.")
    ]


class OwnAccountsForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What you know of both accounts of a credit transfer (RTS Art. 15)."""

    same_holder: Annotated[bool, Meta(description="The payer and the payee are the same person.")]
    held_here: Annotated[bool, Meta(description="You hold both accounts.")]


class CorporateForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A dedicated payment process (RTS Art. 17)."""

    process: Annotated[str, Meta(min_length=1, max_length=128, description="As the policy names it.")]
    payer_is_consumer: bool | None = None


class PaymentForm(Struct, frozen=True, forbid_unknown_fields=True):
    """How a transaction is paid. What is left out is not known, and speaks against an exemption that needs it."""

    type: PaymentType
    context: Context
    instrument: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                description="Your own reference of the card or device; needed for contactless payments, which are "
                "counted for each. Never a card number.",
            ),
        ]
        | None
    ) = None
    recurring: RecurringForm | None = None
    merchant_category: (
        Annotated[str, Meta(pattern="^[0-9]{4}$", examples=["4111"], description="ISO 18245.")] | None
    ) = None
    own_accounts: OwnAccountsForm | None = None
    corporate: CorporateForm | None = None


class AccessForm(Struct, frozen=True, forbid_unknown_fields=True):
    """An access to an account (RTS Art. 10 and 10a)."""

    shows: Annotated[
        Shown, Meta(description="The balance, recent transactions, or `more`, which is never exempt.")
    ]
    oldest_days: (
        Annotated[
            int,
            Meta(ge=0, le=36_500, description="For `transactions`: how many days the oldest goes back."),
        ]
        | None
    ) = None
    aisp: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                description="Your own reference of the account information service; left out when the payer looks.",
            ),
        ]
        | None
    ) = None
    justified_reason: (
        Annotated[
            str,
            Meta(
                pattern="^[a-z][a-z0-9_]{0,39}$",
                examples=["suspected_fraud"],
                description="Through a service: why you authenticate all the same, as a code of yours. Goes on record "
                "(RTS Art. 10a(3)).",
            ),
        ]
        | None
    ) = None


class AssessForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be exempt: a `transaction` with its `payment`, or an `account_access`."""

    psu: PsuForm
    transaction: TransactionForm | None = None
    payment: PaymentForm | None = None
    account_access: AccessForm | None = None
    signals: Annotated[
        SignalsForm | None, Meta(description="What you know of the payer's session; for the risk analysis.")
    ] = None


class ReasonBody(Struct, frozen=True):
    """Why one article does not exempt."""

    article: Article
    obstacle: Obstacle


class AssessmentRiskBody(Struct, frozen=True):
    """What the risk analysis knew: each condition of RTS Art. 18(2)(c) is `found`, `excluded` or `not_supplied`."""

    score: int | None
    conditions: dict[str, str]
    decision: Annotated[
        Decision | None,
        Meta(
            description="What the score comes to; Art. 18 exempts with `allow` only. Null where none was made."
        ),
    ]


class AssessmentBody(Struct, frozen=True):
    """An assessment."""

    id: str
    exempt: Annotated[bool, Meta(description="Whether authentication may be left out.")]
    article: Annotated[Article | None, Meta(description="By which article of the RTS.")]
    reasons: Annotated[
        tuple[ReasonBody, ...],
        Meta(description="What stood against the articles that were tried before, or against all of them."),
    ]
    risk: Annotated[AssessmentRiskBody | None, Meta(description="For a payment.")]
    state: AssessmentState
    basis: Annotated[
        str | None,
        Meta(
            description="Once it was executed: what it rested on, an article, `sca`, or `none` for neither. A payment "
            "that was executed too late may have lost its exemption."
        ),
    ]
    created_at: str
    expires_at: Annotated[
        str, Meta(description="Until then the exemption holds; execute it before, or assess anew.")
    ]
    policy: PolicyBody


class ExecutedForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What was executed rests on the exemption, or on a challenge."""

    challenge: (
        Annotated[
            str,
            Meta(
                pattern="^chl_[0-9a-f]{1,64}$",
                description="The approved challenge that the payer was authenticated by; it sets the counters back.",
            ),
        ]
        | None
    ) = None


class CancelAssessmentForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing has to be said to cancel."""


class FraudReportForm(Struct, frozen=True, forbid_unknown_fields=True):
    """An executed payment that turned out to be fraudulent, whether the money came back or not."""

    assessment: Annotated[
        str, Meta(pattern="^ass_[0-9a-f]{32}$", description="The payment's assessment, `ass_…`.")
    ]
    kind: FraudKind


class FraudReportBody(Struct, frozen=True):
    """A fraud report; a payment has one that counts."""

    id: str
    assessment: str
    kind: FraudKind
    reported_at: str
    withdrawn_for: Annotated[
        WithdrawalReason | None, Meta(description="Why it counts no more; null while it counts.")
    ]


class WithdrawForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a payment was not fraudulent after all."""

    reason: WithdrawalReason


class WindowBody(Struct, frozen=True):
    """The first and the last day that count, in UTC."""

    first: str
    last: str


class BandBody(Struct, frozen=True):
    """A threshold of transaction risk analysis, and whether it is open now."""

    up_to: AmountBody
    reference_percent: str
    within: Annotated[bool, Meta(description="The rate is at or below the reference.")]
    ceased: Annotated[
        bool,
        Meta(description="Two quarters in a row were above it, and none since at or below (RTS Art. 20)."),
    ]
    open: Annotated[bool, Meta(description="Payments may be exempt: `within`, not `ceased`, and known.")]


class RateBody(Struct, frozen=True):
    """The fraud rate of remote payments of a type over the last 90 days (RTS Art. 19), without what rests on `none`."""

    type: PaymentType
    window: WindowBody
    days_on_record: int
    fraud_value_eur: str
    value_eur: str
    rate_percent: Annotated[str | None, Meta(description="Null without payments.")]
    bands: tuple[BandBody, ...]


class RateListBody(Struct, frozen=True):
    """The rate of each type."""

    data: tuple[RateBody, ...]
    next_cursor: None = None


class LineBody(Struct, frozen=True):
    """One line of the quarterly figures. Values are euros, each payment converted and rounded up to the cent."""

    payment_type: PaymentType
    remote: bool
    basis: Annotated[str, Meta(description="An article, `sca`, `none` for neither, or `all` of them.")]
    payments: int
    share_percent: str | None
    value_eur: str
    average_eur: str | None
    fraud_payments: int
    fraud_value_eur: str
    fraud_rate_percent: str | None


class QuarterBody(Struct, frozen=True):
    """The figures of a quarter (RTS Art. 21)."""

    quarter: str
    lines: tuple[LineBody, ...]


class BeneficiaryForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A payee whom the payer trusts, known by the account."""

    payee: PayeeForm
    authorisation: _Authorisation | None = None


class RemoveBeneficiaryForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A list changes with authentication, whichever way."""

    authorisation: _Authorisation | None = None


class BeneficiaryBody(Struct, frozen=True):
    """A trusted beneficiary; of the account only its end is told."""

    id: str
    name: str
    account: Annotated[str, Meta(examples=["…3000"])]
    added_at: str


class BeneficiaryListBody(Struct, frozen=True):
    """All trusted beneficiaries of a payer, the oldest first."""

    data: tuple[BeneficiaryBody, ...]
    next_cursor: None = None
