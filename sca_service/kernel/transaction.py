"""What the payer agrees to (amount, currency, payee, reference), and the digest that binds a code to it."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput, Mistake
from sca_service.kernel.money import Amount

MOST_PAYEES: Final = 1000
"""The most payees that one batch may pay."""


class Payee(msgspec.Struct, frozen=True):
    """Who is meant to receive: a clean name and, where there is one, an account. Its `repr` shows neither."""

    name: str
    account: Account | None = None

    def __repr__(self) -> str:
        return "Payee()"


class PayeeShare(msgspec.Struct, frozen=True):
    """What one payee of a transaction receives."""

    payee: Payee
    amount: Amount


class TransactionKind(StrEnum):
    """What the total means."""

    PAYMENT = "payment"
    """It is paid, to one payee."""
    PREAUTHORISATION = "preauthorisation"
    """It is the most that is blocked on a card, for one payee (RTS Art. 5(3)(a))."""
    BATCH = "batch"
    """It is paid to all the payees together (RTS Art. 5(3)(b))."""


class Transaction(msgspec.Struct, frozen=True):
    """Amount, currency, payees and reference as the payer agreed to them (RTS Art. 5).

    Built by `payment`, `preauthorisation` or `batch` from values that are clean already; a single payment has
    one share, which is the total. The `repr` shows the kind only.
    """

    kind: TransactionKind
    total: Amount
    shares: tuple[PayeeShare, ...]
    reference: str | None = None

    def __repr__(self) -> str:
        return f"Transaction(kind={self.kind!r})"

    @classmethod
    def payment(cls, *, amount: Amount, payee: Payee, reference: str | None = None) -> "Transaction":
        """One amount to one payee."""
        return cls(TransactionKind.PAYMENT, amount, (PayeeShare(payee, amount),), reference)

    @classmethod
    def preauthorisation(cls, *, amount: Amount, payee: Payee, reference: str | None = None) -> "Transaction":
        """The highest amount to block for one payee."""
        return cls(TransactionKind.PREAUTHORISATION, amount, (PayeeShare(payee, amount),), reference)

    @classmethod
    def batch(
        cls, *, total: Amount, shares: Sequence[PayeeShare], reference: str | None = None
    ) -> "Transaction":
        """1 to 1,000 payees, all in the total's currency, whose shares add up to the total.

        Raises `InvalidInput` at `/payees`, `/payees/<n>/amount/currency` or `/total/amount`.
        """
        if not 1 <= len(shares) <= MOST_PAYEES:
            raise InvalidInput.at("/payees", f"must have 1 to {MOST_PAYEES} payees")
        foreign = [
            Mistake(f"/payees/{place}/amount/currency", "must be the currency of the total")
            for place, share in enumerate(shares)
            if share.amount.currency != total.currency
        ]
        if foreign:
            raise InvalidInput(*foreign)
        if sum(share.amount.minor for share in shares) != total.minor:
            raise InvalidInput.at("/total/amount", "must be the sum of what the payees receive")
        return cls(TransactionKind.BATCH, total, tuple(shares), reference)

    def canonical(self) -> bytes:
        """The transaction as JSON in the contract's shape and in canonical form (RFC 8785).

        Amounts carry all minor digits, absent members are left out, only a preauthorisation has a `kind`.
        """
        return _ENCODER.encode(_batch(self) if self.kind is TransactionKind.BATCH else _single(self))

    @classmethod
    def from_canonical(cls, canonical: bytes) -> "Transaction":
        """Read back what `canonical` wrote. Raises msgspec.DecodeError for anything else."""
        if canonical.startswith(b'{"payees":'):
            batch = msgspec.json.decode(canonical, type=_Batch)
            shares = tuple(PayeeShare(_payee_of(one.payee), _amount_of(one.amount)) for one in batch.payees)
            return cls(TransactionKind.BATCH, _amount_of(batch.total), shares, batch.reference)
        single = msgspec.json.decode(canonical, type=_Single)
        kind = TransactionKind(single.kind or TransactionKind.PAYMENT)
        amount = _amount_of(single.amount)
        return cls(kind, amount, (PayeeShare(_payee_of(single.payee), amount),), single.reference)

    def digest(self) -> str:
        """`sha256:` and the SHA-256 of `canonical()` in hexadecimal.

        It differs whenever amount, currency, a payee, their order, the reference or the kind differs: the
        dynamic link of RTS Art. 5(1)(d).
        """
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()


class _Money(msgspec.Struct, frozen=True):
    amount: str
    currency: str


class _Account(msgspec.Struct, frozen=True, omit_defaults=True):
    bban: str | None = None
    iban: str | None = None


class _Payee(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    account: _Account | None = None


class _Share(msgspec.Struct, frozen=True):
    amount: _Money
    payee: _Payee


class _Single(msgspec.Struct, frozen=True, omit_defaults=True):
    amount: _Money
    payee: _Payee
    kind: str | None = None
    reference: str | None = None


class _Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    payees: tuple[_Share, ...]
    total: _Money
    reference: str | None = None


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
"""RFC 8785 for what occurs here: strings, arrays, objects, and member names in ASCII, which sort alike."""


def _money(amount: Amount) -> _Money:
    return _Money(amount.text, amount.currency)


def _payee(payee: Payee) -> _Payee:
    account = payee.account
    return _Payee(payee.name, None if account is None else _Account(account.bban, account.iban))


def _single(transaction: Transaction) -> _Single:
    share = transaction.shares[0]
    kind = "preauthorisation" if transaction.kind is TransactionKind.PREAUTHORISATION else None
    return _Single(_money(transaction.total), _payee(share.payee), kind, transaction.reference)


def _batch(transaction: Transaction) -> _Batch:
    shares = tuple(_Share(_money(share.amount), _payee(share.payee)) for share in transaction.shares)
    return _Batch(shares, _money(transaction.total), transaction.reference)


def _amount_of(money: _Money) -> Amount:
    return Amount.parse(currency=money.currency, amount=money.amount)


def _payee_of(payee: _Payee) -> Payee:
    account = payee.account
    return Payee(payee.name, None if account is None else Account(iban=account.iban, bban=account.bban))
