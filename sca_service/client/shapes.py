"""What several calls say and hear: payers, transactions, deliveries, risk."""

from collections.abc import Sequence
from typing import Required, TypedDict

import msgspec


class AccountForm(TypedDict, total=False):
    """A payee's account: an IBAN, or another number."""

    iban: str | None
    bban: str | None


class Amount(msgspec.Struct, frozen=True):
    """Money: a decimal number as text, and its currency."""

    currency: str
    amount: str


class AmountForm(TypedDict, total=False):
    """Money: a decimal number as text, and its currency."""

    currency: Required[str]
    amount: Required[str]


class Route(msgspec.Struct, frozen=True):
    """How a delivery went, and why so."""

    network: str | None
    sender: str | None
    price: Amount | None
    reasons: tuple[str, ...]
    passed_over: dict[str, str]


class Delivery(msgspec.Struct, frozen=True):
    """One message over one channel through one supplier."""

    id: str
    channel: str
    status: str
    to: str
    supplier: str | None
    reason: str | None
    segments: int | None
    cost: Amount | None
    queued_at: str
    sent_at: str | None
    final_at: str | None
    route: Route | None


class PayeeForm(TypedDict, total=False):
    """Who is meant to receive."""

    name: Required[str]
    account: AccountForm | None


class Policy(msgspec.Struct, frozen=True):
    """The policies that decided, by their digest."""

    digest: str


class Psu(msgspec.Struct, frozen=True):
    """The payer, by your own reference."""

    id: str


class PsuForm(TypedDict, total=False):
    """The payer: your own reference, and where policy allows it, the phone number."""

    id: Required[str]
    phone: str | None
    locale: str | None


class ShareForm(TypedDict, total=False):
    """What one payee of a batch is meant to receive."""

    payee: Required[PayeeForm]
    amount: Required[AmountForm]


class SignalsForm(TypedDict, total=False):
    """What you know of the payer's session."""

    ip: str | None
    device_id: str | None
    user_agent: str | None
    session_id: str | None
    malware: bool | None
    scenarios: Sequence[str] | None
    compromised: Sequence[str] | None
    payee_check: str | None
    payee_country: str | None
    device_tampered: bool | None
    remote_access: bool | None
    app_abnormal: bool | None
    ip_anonymous: bool | None
    ip_country: str | None
    payer_country: str | None
    number_age_days: int | None
    account_age_days: int | None
    latitude: float | None
    longitude: float | None
    card_ref: str | None


class TransactionForm(TypedDict, total=False):
    """Amount and payee, or the total and all payees of a batch."""

    amount: AmountForm | None
    payee: PayeeForm | None
    total: AmountForm | None
    payees: Sequence[ShareForm] | None
    reference: str | None
    kind: str | None
