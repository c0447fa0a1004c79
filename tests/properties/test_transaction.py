"""The digest binds everything, and its input is RFC 8785 canonical JSON."""

import json
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from sca_service.kernel.account import Account
from sca_service.kernel.money import MINOR_DIGITS, Amount
from sca_service.kernel.transaction import Payee, PayeeShare, Transaction, TransactionKind

Json: TypeAlias = "str | list[Json] | dict[str, Json]"

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "jcs"
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
AMOUNTS = st.builds(Amount, st.sampled_from(sorted(MINOR_DIGITS)), st.integers(1, 10**20))
ACCOUNTS = st.builds(lambda iban: Account(iban=iban), TEXTS) | st.builds(
    lambda bban: Account(bban=bban), TEXTS
)
PAYEES = st.builds(Payee, TEXTS, st.none() | ACCOUNTS)
REFERENCES = st.none() | TEXTS
SINGLES = st.builds(Transaction.payment, amount=AMOUNTS, payee=PAYEES, reference=REFERENCES) | st.builds(
    Transaction.preauthorisation, amount=AMOUNTS, payee=PAYEES, reference=REFERENCES
)


@st.composite
def batches(draw: st.DrawFn) -> Transaction:
    """Batches that add up."""
    currency = draw(st.sampled_from(sorted(MINOR_DIGITS)))
    parts = draw(st.lists(st.tuples(PAYEES, st.integers(1, 10**12)), min_size=1, max_size=5))
    shares = [PayeeShare(payee, Amount(currency, minor)) for payee, minor in parts]
    total = Amount(currency, sum(minor for _, minor in parts))
    return Transaction.batch(total=total, shares=shares, reference=draw(REFERENCES))


TRANSACTIONS = SINGLES | batches()


def rfc8785(value: Json) -> str:
    """RFC 8785, sections 3.2.2 and 3.2.3, for strings, arrays and objects, written from its text."""
    if isinstance(value, str):
        return '"' + "".join(ESCAPES.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(rfc8785, value)) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{rfc8785(name)}:{rfc8785(value[name])}" for name in names) + "}"


def contract_shape(transaction: Transaction) -> Json:
    """The transaction as api.md shows it."""
    shape: dict[str, Json] = {}
    if transaction.kind is TransactionKind.BATCH:
        shape["total"] = amount_shape(transaction.total)
        shape["payees"] = [
            {"payee": payee_shape(share.payee), "amount": amount_shape(share.amount)}
            for share in transaction.shares
        ]
    else:
        shape["amount"] = amount_shape(transaction.total)
        shape["payee"] = payee_shape(transaction.shares[0].payee)
    if transaction.kind is TransactionKind.PREAUTHORISATION:
        shape["kind"] = "preauthorisation"
    if transaction.reference is not None:
        shape["reference"] = transaction.reference
    return shape


def amount_shape(amount: Amount) -> Json:
    """`{"currency", "amount"}`."""
    return {"currency": amount.currency, "amount": amount.text}


def payee_shape(payee: Payee) -> Json:
    """`{"name", "account"?}`."""
    shape: dict[str, Json] = {"name": payee.name}
    if payee.account is not None:
        kept = {"iban": payee.account.iban, "bban": payee.account.bban}
        shape["account"] = {name: text for name, text in kept.items() if text is not None}
    return shape


@pytest.mark.parametrize("name", ["french", "unicode", "weird"])
def test_the_reference_used_here_is_rfc_8785(name: str) -> None:
    """The published vectors that hold strings only come out byte for byte."""
    if not VECTORS.is_dir():
        pytest.skip("the published RFC 8785 vectors are not beside this checkout")
    value = json.loads((VECTORS / "input" / f"{name}.json").read_bytes())
    assert rfc8785(value).encode() == (VECTORS / "output" / f"{name}.json").read_bytes()


@given(TRANSACTIONS)
def test_the_canonical_form_is_rfc_8785_of_the_contracts_shape(transaction: Transaction) -> None:
    """For any text, control characters too, the fast encoder writes what RFC 8785 says."""
    assert transaction.canonical() == rfc8785(contract_shape(transaction)).encode()


@given(TRANSACTIONS, TRANSACTIONS)
def test_two_transactions_have_two_digests(one: Transaction, other: Transaction) -> None:
    """Equal transactions have one digest, different ones never share it."""
    assert (one.digest() == other.digest()) == (one == other)
    assert structs.replace(one).digest() == one.digest()


@given(SINGLES, AMOUNTS, TEXTS, st.none() | ACCOUNTS, REFERENCES)
def test_any_change_of_one_field_changes_the_digest(
    transaction: Transaction, amount: Amount, name: str, account: Account | None, reference: str | None
) -> None:
    """Amount, currency, payee's name and account, reference, kind: each alone counts (RTS Art. 5(1)(d))."""
    payee, total = transaction.shares[0].payee, transaction.total
    mutations = [
        single_like(transaction, amount=Amount(total.currency, amount.minor)),
        single_like(transaction, amount=Amount(total.currency, total.minor + 1)),
        single_like(transaction, amount=Amount(amount.currency, total.minor)),
        single_like(transaction, payee=Payee(name, payee.account)),
        single_like(transaction, payee=Payee(payee.name, account)),
        structs.replace(transaction, reference=reference),
        structs.replace(transaction, kind=TransactionKind.PREAUTHORISATION),
        structs.replace(transaction, kind=TransactionKind.PAYMENT),
    ]
    for mutated in mutations:
        assert (mutated.digest() == transaction.digest()) == (mutated == transaction)


def single_like(
    transaction: Transaction, *, amount: Amount | None = None, payee: Payee | None = None
) -> Transaction:
    """The single transaction with another amount or payee."""
    share = PayeeShare(payee or transaction.shares[0].payee, amount or transaction.total)
    return structs.replace(transaction, total=share.amount, shares=(share,))


@given(batches(), PAYEES, st.integers(1, 10**12), st.data())
def test_any_change_of_a_batch_changes_the_digest(
    batch: Transaction, payee: Payee, minor: int, draws: st.DataObject
) -> None:
    """A payee added, removed, replaced or moved, or a cent moved between two, counts (RTS Art. 5(3)(b))."""
    shares, currency = list(batch.shares), batch.total.currency
    place = draws.draw(st.integers(0, len(shares) - 1))
    replaced = PayeeShare(payee, shares[place].amount)
    assume(replaced != shares[place])
    changed = [
        [*shares, PayeeShare(payee, Amount(currency, minor))],
        [*shares[:place], replaced, *shares[place + 1 :]],
        [*shares[:place], *shares[place + 1 :]],
        shares[::-1],
    ]
    if len(shares) > 1 and shares[0].amount.minor > 1:
        first, last = shares[0], shares[-1]
        changed.append(
            [
                PayeeShare(first.payee, Amount(currency, first.amount.minor - 1)),
                *shares[1:-1],
                PayeeShare(last.payee, Amount(currency, last.amount.minor + 1)),
            ]
        )
    for mutated in changed:
        if mutated and mutated != shares:
            total = Amount(currency, sum(share.amount.minor for share in mutated))
            other = Transaction.batch(total=total, shares=mutated, reference=batch.reference)
            assert other.digest() != batch.digest()
