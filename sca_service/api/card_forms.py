"""Cards as clients tell of them: the shapes of the contract, and how they become values."""

import re
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sca_service.alerts.cards.model import Balance, ChargeSource
from sca_service.alerts.cards.orders import BalanceOrder, PastOrder, UpcomingOrder
from sca_service.api.forms import AmountForm
from sca_service.api.requests import Mistakes, locale_of, moment_of, psu_id_of
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import MINOR_DIGITS, Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.text import clean_text

MOST_DIGITS = 14
"""Before the decimal point of a balance or a charge: in minor units of any currency it fits into 64 bits."""
MOST_OF_A_MERCHANT = 70
MOST_CHARGES = 200

_BALANCE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_CARD_NUMBER = re.compile(r"[0-9]{12,19}", re.ASCII)
_Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description="Your own reference of it. Without one it is known by its merchant.",
    ),
]
_Merchant = Annotated[str, Meta(min_length=1, max_length=280, examples=["Streaming AG"])]


class BalanceForm(Struct, frozen=True, forbid_unknown_fields=True, rename={"minor": "amount"}):
    """Money on a card, which may be nothing or less."""

    currency: Annotated[str, Meta(max_length=8, examples=["EUR"], description="ISO 4217.")]
    minor: Annotated[
        str,
        Meta(
            max_length=32,
            examples=["12.50"],
            description="A decimal number, with a minus where it is less than zero.",
        ),
    ]


class HolderForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Who holds the card, and hears of it."""

    id: Annotated[str, Meta(min_length=1, max_length=512, examples=["cust_8841"])]
    phone: Annotated[str, Meta(max_length=64, examples=["+4915112345678"], description="E.164.")]
    locale: Annotated[str, Meta(max_length=35, examples=["de-DE"])] | None = None


class PutBalanceForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A card's balance, and whom it belongs to."""

    psu: HolderForm
    balance: BalanceForm
    as_of: Annotated[
        str,
        Meta(
            max_length=64,
            examples=["2026-11-28T10:15:00Z"],
            description="When this was the balance. One that is not newer than what is known changes nothing.",
        ),
    ]
    threshold: (
        Annotated[
            AmountForm,
            Meta(description="Below it the holder is warned. Without it: of charges to come only."),
        ]
        | None
    ) = None


class UpcomingChargeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A charge that will come."""

    merchant: _Merchant
    amount: AmountForm
    expected_date: Annotated[date, Meta(description="The day on which it is expected.")]
    confidence: Annotated[int, Meta(ge=1, le=100, description="How sure that is, in per cent.")] = 100
    source: Annotated[
        Literal["issuer", "merchant", "payer"], Meta(description="Who says that it will come.")
    ] = "issuer"
    reference: _Reference | None = None


class PastChargeForm(Struct, frozen=True, forbid_unknown_fields=True, rename={"made_on": "date"}):
    """A charge that was made."""

    merchant: _Merchant
    amount: AmountForm
    made_on: date
    reference: _Reference | None = None


class PastChargesForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Charges that were made."""

    charges: Annotated[list[PastChargeForm], Meta(min_length=1, max_length=MOST_CHARGES)]


def card_ref_of(text: str) -> str:
    """A client's reference of a card. Raises InvalidInput, also for a card's number: a URL is no place for it."""
    ref = clean_text(text, pointer="/card_ref", most=128)
    digits = re.sub(r"[ -]", "", ref)
    if _CARD_NUMBER.fullmatch(digits) and _has_check_digit(digits):
        raise InvalidInput.at("/card_ref", "must be your own reference, never the card's number")
    return ref


def balance_order_of(form: PutBalanceForm) -> BalanceOrder:
    """The balance that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    wanted = form.threshold
    money = mistakes.read("/balance", lambda: _balance(form.balance))
    threshold = mistakes.read("/threshold", lambda: _amount(wanted)) if wanted else None
    if money and threshold and threshold.currency != money[0]:
        mistakes.note("/threshold/currency", "must be that of the balance")
    psu_id = mistakes.read("/psu/id", lambda: psu_id_of(form.psu.id))
    phone = mistakes.read("/psu/phone", lambda: PhoneNumber.parse(form.psu.phone))
    locale = mistakes.read("/psu/locale", lambda: locale_of(form.psu.locale))
    as_of = mistakes.read("", lambda: moment_of(form.as_of, "/as_of"))
    mistakes.refuse()
    assert money and psu_id and phone and as_of  # noqa: S101 - or `refuse` would have raised
    balance = Balance(*money, as_of, threshold.minor if threshold else None)
    return BalanceOrder(psu_id, phone, locale or "", balance)


def upcoming_order_of(form: UpcomingChargeForm) -> UpcomingOrder:
    """The charge to come that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    merchant = mistakes.read("/merchant", lambda: _merchant(form.merchant))
    amount = mistakes.read("/amount", lambda: _amount(form.amount))
    reference = mistakes.read("/reference", lambda: _reference(form.reference))
    mistakes.refuse()
    assert merchant and amount  # noqa: S101 - or `refuse` would have raised
    source = ChargeSource(form.source)
    return UpcomingOrder(merchant, amount, form.expected_date, form.confidence, source, reference or "")


def past_orders_of(form: PastChargesForm) -> list[PastOrder]:
    """The charges that a form stands for. Raises InvalidInput with every mistake."""
    mistakes = Mistakes()
    orders = []
    for at, one in enumerate(form.charges):
        merchant = mistakes.read(f"/charges/{at}/merchant", lambda one=one: _merchant(one.merchant))  # type: ignore[misc]
        amount = mistakes.read(f"/charges/{at}/amount", lambda one=one: _amount(one.amount))  # type: ignore[misc]
        reference = mistakes.read(f"/charges/{at}/reference", lambda one=one: _reference(one.reference))  # type: ignore[misc]
        if merchant and amount:
            orders.append(PastOrder(merchant, amount, one.made_on, reference or ""))
    mistakes.refuse()
    return orders


def _balance(form: BalanceForm) -> tuple[str, int]:
    """Currency and minor units. Raises InvalidInput."""
    digits = MINOR_DIGITS.get(form.currency)
    if digits is None:
        raise InvalidInput.at("/currency", "is not an active ISO 4217 currency")
    if not _BALANCE.fullmatch(form.minor):
        raise InvalidInput.at(
            "/amount", "must be a decimal number: ASCII digits, a point, a minus where it is less than zero"
        )
    whole, _, fraction = form.minor.removeprefix("-").partition(".")
    if len(whole) > MOST_DIGITS or len(fraction) > digits:
        raise InvalidInput.at(
            "/amount", f"must have at most {MOST_DIGITS} digits before the point and {digits} after it"
        )
    minor = int(whole + fraction.ljust(digits, "0"))
    return form.currency, -minor if form.minor.startswith("-") else minor


def _amount(form: AmountForm) -> Amount:
    """An amount that fits into a table. Raises InvalidInput."""
    amount = Amount.parse(currency=form.currency, amount=form.minor)
    if amount.minor >= 10 ** (MOST_DIGITS + MINOR_DIGITS[amount.currency]):
        raise InvalidInput.at("/amount", f"must have at most {MOST_DIGITS} digits before the decimal point")
    return amount


def _merchant(text: str) -> str:
    return clean_text(text, pointer="", most=MOST_OF_A_MERCHANT)


def _reference(text: str | None) -> str:
    return clean_text(text, pointer="", most=128) if text is not None else ""


def _has_check_digit(digits: str) -> bool:
    """Whether the last digit is the one that ISO/IEC 7812-1 annex B (Luhn) makes of the others."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
