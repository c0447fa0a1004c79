"""Exemptions: when strong customer authentication may be left out (RTS chapter III), and trusted beneficiaries."""

from typing import Required, TypedDict

import msgspec

from sca_service.client.call import NOTHING, Call, Page, quoted
from sca_service.client.shapes import PayeeForm, Policy, PsuForm, SignalsForm, TransactionForm


class AccessForm(TypedDict, total=False):
    """What an access to an account shows (RTS Art. 10)."""

    shows: Required[str]
    oldest_days: int | None
    aisp: str | None
    justified_reason: str | None


class AssessmentRisk(msgspec.Struct, frozen=True):
    """What transaction risk analysis makes of a payment."""

    score: int | None
    conditions: dict[str, str]
    decision: str | None


class Reason(msgspec.Struct, frozen=True):
    """Why an exemption applies or does not."""

    article: str
    obstacle: str


class Assessment(msgspec.Struct, frozen=True):
    """Whether a payment needs strong customer authentication."""

    id: str
    exempt: bool
    article: str | None
    reasons: tuple[Reason, ...]
    risk: AssessmentRisk | None
    state: str
    basis: str | None
    created_at: str
    expires_at: str
    policy: Policy


class Beneficiary(msgspec.Struct, frozen=True):
    """A payee that a payer trusts (RTS Art. 13)."""

    id: str
    name: str
    account: str
    added_at: str


class CorporateForm(TypedDict, total=False):
    """A corporate payer's process (RTS Art. 17)."""

    process: Required[str]
    payer_is_consumer: bool | None


class OwnAccountsForm(TypedDict, total=False):
    """Both accounts of one holder (RTS Art. 15)."""

    same_holder: Required[bool]
    held_here: Required[bool]


class RecurringForm(TypedDict, total=False):
    """A payment of a series (RTS Art. 14)."""

    series: Required[str]


class PaymentForm(TypedDict, total=False):
    """How a payment is made."""

    type: Required[str]
    context: Required[str]
    instrument: str | None
    recurring: RecurringForm | None
    merchant_category: str | None
    own_accounts: OwnAccountsForm | None
    corporate: CorporateForm | None


def assess(
    *,
    psu: PsuForm,
    transaction: TransactionForm | None = None,
    payment: PaymentForm | None = None,
    account_access: AccessForm | None = None,
    signals: SignalsForm | None = None,
) -> Call[Assessment]:
    """Whether authentication may be left out.

    For a payment or an access to an account, by the exemptions of RTS chapter III that the policy uses.
    What is not known cannot be excluded, so it never makes an exemption. An exempt payment holds its place
    in the counters of Art. 11 and 16 until `expires_at`: say before that it was `executed`, or `cancel`
    it. Accepts an `Idempotency-Key`.
    """
    return Call(
        "POST",
        "/v1/exemptions/assess",
        Assessment,
        body={
            "psu": psu,
            "transaction": transaction,
            "payment": payment,
            "account_access": account_access,
            "signals": signals,
        },
    )


def read(assessment_id: str) -> Call[Assessment]:
    """An assessment as it stands."""
    return Call("GET", f"/v1/exemptions/{quoted(assessment_id)}", Assessment)


def executed(assessment_id: str, *, challenge: str | None = None) -> Call[Assessment]:
    """What was assessed was executed.

    Only executed payments count, and all of them do: report each, exempt or not. With the `challenge` that
    the payer was authenticated by, the counters begin anew. Again is as once.
    """
    return Call(
        "POST", f"/v1/exemptions/{quoted(assessment_id)}/executed", Assessment, body={"challenge": challenge}
    )


def cancel(assessment_id: str) -> Call[Assessment]:
    """What was assessed will not be executed.

    Its place in a counter is free again at once. Again is as once; an executed one stays executed.
    """
    return Call("POST", f"/v1/exemptions/{quoted(assessment_id)}/cancel", Assessment, body={})


def trusted_beneficiaries(psu_id: str) -> Call[Page[Beneficiary]]:
    """Whom a payer trusts. All of them, the oldest first."""
    return Call("GET", f"/v1/psus/{quoted(psu_id)}/trusted-beneficiaries", Page[Beneficiary])


def add_trusted_beneficiary(
    psu_id: str, *, payee: PayeeForm, authorisation: str | None = None
) -> Call[Beneficiary]:
    """Trust a payee.

    Payments to a payee on the list are exempt (RTS Art. 13). A list changes with the payer's
    authentication only, so `authorisation` is needed. A payee who is there already stays as it is. Accepts
    an `Idempotency-Key`.
    """
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/trusted-beneficiaries",
        Beneficiary,
        body={"payee": payee, "authorisation": authorisation},
    )


def remove_trusted_beneficiary(
    psu_id: str, beneficiary_id: str, *, authorisation: str | None = None
) -> Call[None]:
    """Trust a payee no more. Needs an `authorisation` as well. Again is as once."""
    return Call(
        "POST",
        f"/v1/psus/{quoted(psu_id)}/trusted-beneficiaries/{quoted(beneficiary_id)}/remove",
        NOTHING,
        body={"authorisation": authorisation},
    )
