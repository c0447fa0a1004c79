"""Fraud: what was reported, the rates and reports that the law asks for, and what you list as stolen or abused."""

from typing import TypedDict

import msgspec

from sca_service.client.call import NOTHING, Call, Page, quoted
from sca_service.client.shapes import AccountForm, Amount


class Band(msgspec.Struct, frozen=True):
    """The fraud rate held against one exemption threshold value (RTS Annex)."""

    up_to: Amount
    reference_percent: str
    within: bool
    ceased: bool
    open: bool


class ElementForm(TypedDict, total=False):
    """An element that was stolen or lost."""

    psu_id: str | None
    device_id: str | None
    ip: str | None
    account: AccountForm | None
    phone: str | None
    card_ref: str | None


class FraudReport(msgspec.Struct, frozen=True):
    """A fraud that was reported."""

    id: str
    assessment: str
    kind: str
    reported_at: str
    withdrawn_for: str | None


class Line(msgspec.Struct, frozen=True):
    """One line of the quarterly report (RTS Art. 21)."""

    payment_type: str
    remote: bool
    basis: str
    payments: int
    share_percent: str | None
    value_eur: str
    average_eur: str | None
    fraud_payments: int
    fraud_value_eur: str
    fraud_rate_percent: str | None


class Listing(msgspec.Struct, frozen=True):
    """What is listed as stolen, abused or watched."""

    id: str
    kind: str
    shown: str
    reason: str
    since: str
    until: str


class Quarter(msgspec.Struct, frozen=True):
    """A quarter's report (RTS Art. 21)."""

    quarter: str
    lines: tuple[Line, ...]


class Window(msgspec.Struct, frozen=True):
    """The ninety days that a rate counts (RTS Art. 19)."""

    first: str
    last: str


class Rate(msgspec.Struct, frozen=True):
    """The fraud rate of one kind of payment (RTS Art. 19)."""

    type: str
    window: Window
    days_on_record: int
    fraud_value_eur: str
    value_eur: str
    rate_percent: str | None
    bands: tuple[Band, ...]


def report(*, assessment: str, kind: str) -> Call[FraudReport]:
    """A payment turned out to be fraudulent.

    Its whole value counts, recovered or not, on the day on which it was executed (RTS Art. 19). A payment
    has one report that counts: another one answers with the first. It speaks against the payee from now
    on. Accepts an `Idempotency-Key`.
    """
    return Call("POST", "/v1/fraud-reports", FraudReport, body={"assessment": assessment, "kind": kind})


def read(report_id: str) -> Call[FraudReport]:
    """A fraud report as it stands."""
    return Call("GET", f"/v1/fraud-reports/{quoted(report_id)}", FraudReport)


def withdraw(report_id: str, *, reason: str) -> Call[FraudReport]:
    """A payment was not fraudulent after all.

    Neither the rate nor the report of its quarter counts it any more, and it speaks against nobody. Goes
    on record. Again is as once; the payment can be reported anew.
    """
    return Call(
        "POST", f"/v1/fraud-reports/{quoted(report_id)}/withdraw", FraudReport, body={"reason": reason}
    )


def rates() -> Call[Page[Rate]]:
    """The fraud rates of the last 90 days.

    Of the remote payments of a type that were authenticated or exempt (RTS Art. 19), and which thresholds
    of Art. 18 they leave open.
    """
    return Call("GET", "/v1/reports/fraud-rates", Page[Rate])


def quarter(*, quarter: str) -> Call[Quarter]:
    """The figures of a quarter.

    By type, remote or not, by authentication and by each exemption (RTS Art. 21). `format` is `json`,
    `csv`, or `html` for a page to print.
    """
    return Call("GET", "/v1/reports/quarterly", Quarter, query={"quarter": quarter})


def listings(*, kind: str | None = None, limit: int | None = None) -> Call[Page[Listing]]:
    """What is on your list. What counts now, in no order of time; `kind` narrows it."""
    return Call("GET", "/v1/risk-listings", Page[Listing], query={"kind": kind, "limit": limit})


def put_listing(*, element: ElementForm, reason: str, days: int | None = None) -> Call[Listing]:
    """Put an element on the list of compromised or stolen ones.

    Requests in which it occurs are weighed by it (RTS Art. 2(2)(a)), yours only. It holds as soon as it is
    answered. Once more replaces reason and end. Accepts an `Idempotency-Key`.
    """
    return Call(
        "POST", "/v1/risk-listings", Listing, body={"element": element, "reason": reason, "days": days}
    )


def remove_listing(listing_id: str, *, reason: str) -> Call[None]:
    """Take an element off the list. Goes on record with the reason. Again is as once."""
    return Call("POST", f"/v1/risk-listings/{quoted(listing_id)}/remove", NOTHING, body={"reason": reason})


def quarter_file(quarter: str, format_: str) -> Call[str]:
    """The same as a file (`csv`) or a page to print (`html`)."""
    return Call("GET", "/v1/reports/quarterly", str, query={"quarter": quarter, "format": format_})
