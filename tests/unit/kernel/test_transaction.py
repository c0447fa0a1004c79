"""Transactions: their canonical form, their digest, and batches that do not add up."""

import hashlib

import pytest

from sca_service.kernel.account import Account
from sca_service.kernel.errors import InvalidInput
from sca_service.kernel.money import Amount
from sca_service.kernel.transaction import MOST_PAYEES, Payee, PayeeShare, Transaction, TransactionKind

ACME = Payee("ACME GmbH", Account(iban="DE89370400440532013000"))
CINEMA = Payee("Kino Köln")


def euros(cents: int) -> Amount:
    """An amount in EUR."""
    return Amount("EUR", cents)


def pointers_of_batch(total: Amount, shares: list[PayeeShare]) -> list[str]:
    """Where a batch is wrong."""
    with pytest.raises(InvalidInput) as caught:
        Transaction.batch(total=total, shares=shares)
    return [mistake.pointer for mistake in caught.value.mistakes]


def test_canonical_payment_has_the_contracts_shape() -> None:
    """Members in order of their names, no spaces, the amount with all minor digits."""
    transaction = Transaction.payment(
        amount=Amount.parse(currency="EUR", amount="49.9"), payee=ACME, reference="pay_2026_001"
    )
    assert transaction.canonical() == (
        b'{"amount":{"amount":"49.90","currency":"EUR"},'
        b'"payee":{"account":{"iban":"DE89370400440532013000"},"name":"ACME GmbH"},'
        b'"reference":"pay_2026_001"}'
    )


def test_absent_members_are_left_out_and_text_is_utf_8() -> None:
    """A payment without account and reference has neither member; letters are not escaped."""
    transaction = Transaction.payment(amount=Amount("JPY", 10), payee=CINEMA)
    assert transaction.canonical() == (
        '{"amount":{"amount":"10","currency":"JPY"},"payee":{"name":"Kino Köln"}}'.encode()
    )


def test_canonical_preauthorisation_names_its_kind() -> None:
    """The highest amount to block is another agreement than a payment of it (RTS Art. 5(3)(a))."""
    transaction = Transaction.preauthorisation(amount=euros(100), payee=Payee("Hotel", Account(bban="12ab")))
    assert transaction.kind is TransactionKind.PREAUTHORISATION
    assert transaction.canonical() == (
        b'{"amount":{"amount":"1.00","currency":"EUR"},"kind":"preauthorisation",'
        b'"payee":{"account":{"bban":"12ab"},"name":"Hotel"}}'
    )


def test_canonical_batch_lists_its_payees_in_order() -> None:
    """Total, payees and reference (RTS Art. 5(3)(b))."""
    transaction = Transaction.batch(
        total=euros(300),
        shares=[PayeeShare(ACME, euros(100)), PayeeShare(CINEMA, euros(200))],
        reference="salaries",
    )
    assert transaction.kind is TransactionKind.BATCH
    assert (
        transaction.canonical()
        == (
            '{"payees":['
            '{"amount":{"amount":"1.00","currency":"EUR"},'
            '"payee":{"account":{"iban":"DE89370400440532013000"},"name":"ACME GmbH"}},'
            '{"amount":{"amount":"2.00","currency":"EUR"},"payee":{"name":"Kino Köln"}}],'
            '"reference":"salaries","total":{"amount":"3.00","currency":"EUR"}}'
        ).encode()
    )


def test_digest_is_sha_256_of_the_canonical_form() -> None:
    """Anyone who has the canonical JSON can recompute the digest, in every version of the service."""
    transaction = Transaction.payment(amount=euros(4999), payee=ACME, reference="pay_2026_001")
    assert transaction.digest() == "sha256:" + hashlib.sha256(transaction.canonical()).hexdigest()
    assert transaction.digest() == "sha256:3cfce6f1a60c5d62e9a9acbb278252bea3c089f4b15459e790bab5d14781c445"


def test_payment_preauthorisation_and_batch_of_the_same_differ() -> None:
    """What the amount means is part of what the payer agreed to."""
    digests = {
        Transaction.payment(amount=euros(100), payee=ACME).digest(),
        Transaction.preauthorisation(amount=euros(100), payee=ACME).digest(),
        Transaction.batch(total=euros(100), shares=[PayeeShare(ACME, euros(100))]).digest(),
    }
    assert len(digests) == 3


def test_the_same_iban_and_national_number_are_two_accounts() -> None:
    """The kind of account is bound, not only its characters."""
    as_iban = Payee("X", Account(iban="NO9386011117947"))
    as_bban = Payee("X", Account(bban="NO9386011117947"))
    assert (
        Transaction.payment(amount=euros(1), payee=as_iban).digest()
        != Transaction.payment(amount=euros(1), payee=as_bban).digest()
    )


def test_a_batch_that_does_not_add_up_is_refused() -> None:
    """The total is the sum of the shares, to the cent."""
    shares = [PayeeShare(ACME, euros(100)), PayeeShare(CINEMA, euros(200))]
    assert pointers_of_batch(euros(299), shares) == ["/total/amount"]
    assert pointers_of_batch(euros(301), shares) == ["/total/amount"]


def test_a_batch_of_two_currencies_is_refused() -> None:
    """Every share in another currency than the total's is told, by its place."""
    shares = [
        PayeeShare(ACME, Amount("USD", 100)),
        PayeeShare(CINEMA, euros(100)),
        PayeeShare(CINEMA, Amount("CHF", 100)),
    ]
    assert pointers_of_batch(euros(300), shares) == ["/payees/0/amount/currency", "/payees/2/amount/currency"]


def test_an_empty_batch_is_refused() -> None:
    """Nobody to pay is no transaction."""
    assert pointers_of_batch(euros(0), []) == ["/payees"]


def test_a_batch_pays_at_most_a_thousand() -> None:
    """1,000 payees pass, one more is refused."""
    shares = [PayeeShare(ACME, euros(1))] * MOST_PAYEES
    assert len(Transaction.batch(total=euros(1000), shares=shares).shares) == 1000
    assert pointers_of_batch(euros(1001), [*shares, PayeeShare(ACME, euros(1))]) == ["/payees"]


def test_no_form_for_people_shows_payee_amount_or_reference() -> None:
    """`repr` of a transaction and its parts shows no name, account or reference."""
    transaction = Transaction.payment(amount=euros(4999), payee=ACME, reference="pay_2026_001")
    for shown in (repr(transaction), f"{transaction}", repr(transaction.shares), repr(ACME)):
        assert "ACME" not in shown
        assert "DE89" not in shown
        assert "pay_2026" not in shown
    assert "49" not in repr(transaction)
