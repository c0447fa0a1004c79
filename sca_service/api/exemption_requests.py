"""How the forms of exemptions become values, and values become answers; every mistake of a form is told at once."""

from sca_service.api.exemption_forms import (
    AssessForm,
    AssessmentBody,
    AssessmentRiskBody,
    BandBody,
    BeneficiaryBody,
    FraudReportBody,
    LineBody,
    PaymentForm,
    QuarterBody,
    RateBody,
    ReasonBody,
    WindowBody,
)
from sca_service.api.forms import PayeeForm
from sca_service.api.requests import Mistakes, checked_marks, psu_id_of, transaction_of
from sca_service.api.responses import AmountBody, PolicyBody
from sca_service.exemptions.beneficiaries.trusted import Beneficiary
from sca_service.exemptions.desk import AccessOrder, Order, PaymentOrder
from sca_service.exemptions.reports.figures import Line, QuarterlyReport
from sca_service.exemptions.reports.fraud import BandStanding, FraudKind, RateStanding, WithdrawalReason
from sca_service.exemptions.reports.fraud_rate import MILLION, FraudRate
from sca_service.exemptions.reports.postgres_store import FraudReportRow
from sca_service.exemptions.reports.written import euros
from sca_service.exemptions.rows import AssessmentRow, conditions_of
from sca_service.kernel.account import Account
from sca_service.kernel.clock import timestamp
from sca_service.kernel.text import clean_text
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.policy.exemptions import EURO
from sca_service.risk.facts import Marks


def order_of(form: AssessForm) -> tuple[str, Order]:
    """The payer's reference and the case that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    psu = mistakes.read("/psu/id", lambda: psu_id_of(form.psu.id)) or ""
    marks = mistakes.read("/signals", lambda: checked_marks(form.signals)) or Marks()
    access, payment = form.account_access, form.payment
    if access is not None:
        for pointer, given in (("/transaction", form.transaction), ("/payment", payment)):
            if given is not None:
                mistakes.note(pointer, "an access to an account has none")
        aisp = mistakes.read("/account_access/aisp", lambda: _reference(access.aisp))
        if access.justified_reason is not None and access.aisp is None:
            mistakes.note("/account_access/justified_reason", "is needed through a service only")
        mistakes.refuse()
        return psu, AccessOrder(access.shows, access.oldest_days, aisp, access.justified_reason)
    sent = form.transaction
    transaction = mistakes.read("/transaction", lambda: transaction_of(sent)) if sent else None
    if sent is None:
        mistakes.note("/transaction", "is required, or an account_access")
    if payment is None:
        mistakes.note("/payment", "is required, or an account_access")
    order = _payment(payment, transaction, marks, mistakes) if payment and transaction else None
    mistakes.refuse()
    assert order is not None  # noqa: S101 - or `refuse` would have raised
    return psu, order


def payee_of(form: PayeeForm) -> Payee:
    """The payee that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    name = mistakes.read("/name", lambda: clean_text(form.name, pointer="", most=140))
    written = form.account
    account = (
        mistakes.read("/account", lambda: Account.parse(iban=written.iban, bban=written.bban))
        if written
        else None
    )
    mistakes.refuse()
    return Payee(name or "", account)


def assessment_body(row: AssessmentRow) -> AssessmentBody:
    """An assessment as its client sees it."""
    risk = (
        AssessmentRiskBody(row.risk.score, conditions_of(row.risk), row.risk.decision)
        if row.is_payment
        else None
    )
    return AssessmentBody(
        id=row.id,
        exempt=row.assessment.exempt,
        article=row.assessment.article,
        reasons=tuple(ReasonBody(one.article, one.obstacle) for one in row.assessment.reasons),
        risk=risk,
        state=row.state,
        basis=row.basis,
        created_at=timestamp(int(row.created_at.timestamp() * 1000)),
        expires_at=timestamp(int(row.expires_at.timestamp() * 1000)),
        policy=PolicyBody(row.policy),
    )


def rate_body(standing: RateStanding, history_days: int) -> RateBody:
    """A fraud rate as its client sees it."""
    is_known = standing.days >= history_days
    return RateBody(
        type=standing.payment_type,
        window=WindowBody(standing.first.isoformat(), standing.last.isoformat()),
        days_on_record=standing.days,
        fraud_value_eur=euros(standing.rate.fraud_cents),
        value_eur=euros(standing.rate.total_cents),
        rate_percent=standing.rate.percent,
        bands=tuple(_band(one, is_known=is_known) for one in standing.bands),
    )


def fraud_report_body(row: FraudReportRow) -> FraudReportBody:
    """A fraud report as its client sees it."""
    return FraudReportBody(
        id=row.id,
        assessment=row.assessment,
        kind=FraudKind(row.kind),
        reported_at=timestamp(int(row.reported_at.timestamp() * 1000)),
        withdrawn_for=WithdrawalReason(row.withdrawn_for) if row.withdrawn_for else None,
    )


def quarter_body(report: QuarterlyReport) -> QuarterBody:
    """The figures of a quarter as its client sees them."""
    return QuarterBody(report.quarter.text, tuple(map(_line, report.lines)))


def beneficiary_body(beneficiary: Beneficiary) -> BeneficiaryBody:
    """A trusted beneficiary as its client sees it."""
    return BeneficiaryBody(
        id=beneficiary.id,
        name=beneficiary.name,
        account=f"…{beneficiary.account_end}",
        added_at=timestamp(beneficiary.added_at_ms),
    )


def _payment(form: PaymentForm, transaction: Transaction, marks: Marks, mistakes: Mistakes) -> PaymentOrder:
    series = form.recurring.series if form.recurring else None
    own, corporate = form.own_accounts, form.corporate
    return PaymentOrder(
        transaction=transaction,
        type=form.type,
        context=form.context,
        instrument=mistakes.read("/payment/instrument", lambda: _reference(form.instrument)),
        series=mistakes.read("/payment/recurring/series", lambda: _reference(series)),
        merchant_category=form.merchant_category,
        same_holder=own.same_holder if own else None,
        held_here=own.held_here if own else None,
        process=corporate.process if corporate else None,
        payer_is_consumer=corporate.payer_is_consumer if corporate else None,
        marks=marks,
    )


def _reference(text: str | None) -> str | None:
    return None if text is None else clean_text(text, pointer="", most=128)


def _band(standing: BandStanding, *, is_known: bool) -> BandBody:
    band = standing.band
    return BandBody(
        up_to=AmountBody(EURO, euros(band.most_cents)),
        reference_percent=FraudRate(band.reference_ppm, MILLION).percent or "",
        within=standing.is_within,
        ceased=standing.has_ceased,
        open=is_known and standing.is_within and not standing.has_ceased,
    )


def _line(line: Line) -> LineBody:
    sums = line.sums
    average = sums.average_cents
    return LineBody(
        payment_type=line.key.payment_type,
        remote=line.key.is_remote,
        basis=line.key.basis,
        payments=sums.payments,
        share_percent=sums.share_of(line.all_payments),
        value_eur=euros(sums.cents),
        average_eur=None if average is None else euros(average),
        fraud_payments=sums.fraud_payments,
        fraud_value_eur=euros(sums.fraud_cents),
        fraud_rate_percent=sums.rate.percent,
    )
