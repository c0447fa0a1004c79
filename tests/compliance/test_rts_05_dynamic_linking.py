"""RTS Art. 5: dynamic linking."""

from typing import Any

import pytest

from tests.device import asked, enrolled
from tests.harness import TRANSACTION, Bank, unique_psu

Transaction = dict[str, Any]
OTHER_IBAN = "GB82WEST12345698765432"
BATCH: Transaction = {
    "total": {"currency": "EUR", "amount": "30.00"},
    "payees": [
        {"payee": {"name": "ACME GmbH"}, "amount": {"currency": "EUR", "amount": "10.00"}},
        {"payee": {"name": "Bolt AG"}, "amount": {"currency": "EUR", "amount": "20.00"}},
    ],
}


def _with(**members: Any) -> Transaction:
    return TRANSACTION | members


async def _issued(bank: Bank, transaction: Transaction) -> tuple[str, str]:
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, transaction=transaction)
    return challenge["id"], await bank.code(psu["phone"])


async def test_5_1_a_the_payer_is_shown_amount_and_payee(bank: Bank) -> None:
    """Amount and payee stand in the message, before the code, and in what the bank is told the payer sees."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    text = (await bank.message(psu["phone"]))["text"]
    code = await bank.code(psu["phone"])
    assert text.index("49,99 €") < text.index("ACME GmbH") < text.index(code)
    assert challenge["message_shown"] == "49,99 € an ACME GmbH …3000"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(_with(amount={"currency": "EUR", "amount": "49.98"}), id="amount"),
        pytest.param(_with(amount={"currency": "USD", "amount": "49.99"}), id="currency"),
        pytest.param(_with(payee=TRANSACTION["payee"] | {"name": "ACME Ltd"}), id="payee"),
        pytest.param(_with(payee={"name": "ACME GmbH", "account": {"iban": OTHER_IBAN}}), id="account"),
        pytest.param(_with(payee={"name": "ACME GmbH"}), id="account left out"),
        pytest.param(_with(reference="pay_2026_002"), id="reference"),
        pytest.param({n: v for n, v in TRANSACTION.items() if n != "reference"}, id="reference left out"),
        pytest.param(_with(kind="preauthorisation"), id="kind"),
    ],
)
async def test_5_1_d_any_change_invalidates_the_code(bank: Bank, changed: Transaction) -> None:
    """A changed transaction voids the challenge for good: going back to what was agreed does not help."""
    challenge, code = await _issued(bank, TRANSACTION)
    first = await bank.verify(challenge, code, changed)
    assert (first["outcome"], first["challenge"]["status"]) == ("transaction_mismatch", "rejected")
    assert first["authentication_code"] is None
    again = await bank.verify(challenge, code)
    assert (again["outcome"], again["authentication_code"]) == ("transaction_mismatch", None)


@pytest.mark.parametrize("spelling", ["10", "10.0", "10.00"])
async def test_5_1_c_spellings_of_one_amount_are_one_amount(bank: Bank, spelling: str) -> None:
    """`10`, `10.0` and `10.00` EUR are the same amount, so each answers a challenge issued for another spelling."""
    issued = _with(amount={"currency": "EUR", "amount": "10.00" if spelling != "10.00" else "10"})
    challenge, code = await _issued(bank, issued)
    answered = _with(amount={"currency": "EUR", "amount": spelling})
    assert (await bank.verify(challenge, code, answered))["outcome"] == "approved"


async def test_5_1_b_the_same_payment_again_has_another_code(bank: Bank) -> None:
    """Codes are specific: of ten challenges for one payment no more than two share their six digits by chance."""
    psu = unique_psu()
    for _ in range(10):
        await bank.issue(psu=psu)
    codes = [await bank.code(psu["phone"], number=number) for number in range(1, 11)]
    assert len(set(codes)) >= 9


async def test_5_1_c_an_answer_without_the_transaction_is_refused(bank: Bank) -> None:
    """A payment's answer must name the payment again; without it nothing is decided and no attempt is spent."""
    challenge, code = await _issued(bank, TRANSACTION)
    response = await bank.answer(challenge, code, None)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/transaction"
    assert (await bank.get(challenge))["attempts_left"] == 5


async def test_5_3_a_a_preauthorisation_is_for_the_highest_amount_and_the_payee(bank: Bank) -> None:
    """A code for a blocked amount answers for that amount, and not for a higher one."""
    blocked = _with(kind="preauthorisation", amount={"currency": "EUR", "amount": "200.00"})
    challenge, code = await _issued(bank, blocked)
    higher = blocked | {"amount": {"currency": "EUR", "amount": "200.01"}}
    assert (await bank.verify(challenge, code, higher))["outcome"] == "transaction_mismatch"
    challenge, code = await _issued(bank, blocked)
    assert (await bank.verify(challenge, code, blocked))["outcome"] == "approved"


async def test_5_3_b_a_batch_is_for_its_total_and_its_payees(bank: Bank) -> None:
    """A batch is approved as it was agreed, and not with a payee left out, added, swapped or paid otherwise."""
    first, second = BATCH["payees"]
    changes = [
        {"total": {"currency": "EUR", "amount": "10.00"}, "payees": [first]},
        {"total": {"currency": "EUR", "amount": "40.00"}, "payees": [first, second, first]},
        BATCH | {"payees": [first, second | {"payee": {"name": "Bold AG"}}]},
        BATCH
        | {
            "payees": [
                first | {"amount": {"currency": "EUR", "amount": "11.00"}},
                second | {"amount": {"currency": "EUR", "amount": "19.00"}},
            ]
        },
    ]
    for changed in changes:
        challenge, code = await _issued(bank, BATCH)
        assert (await bank.verify(challenge, code, changed))["outcome"] == "transaction_mismatch"
    challenge, code = await _issued(bank, BATCH)
    assert (await bank.verify(challenge, code, BATCH))["outcome"] == "approved"


async def test_5_1_a_a_batch_shows_its_total_and_its_payees(bank: Bank) -> None:
    """The payer of a batch reads its total and who is paid."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, transaction=BATCH)
    for shown in (challenge["message_shown"], (await bank.message(psu["phone"]))["text"]):
        assert all(part in shown for part in ("30,00 €", "ACME GmbH", "Bolt AG"))


async def test_5_1_a_a_device_is_told_amount_and_payee(bank: Bank) -> None:
    """What the app shows before the payer signs: the text of the bank's page, and the transaction itself."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    challenge = await asked(bank, psu)
    (shown,) = await device.asked()
    assert shown["message_shown"] == challenge["message_shown"] == "49,99 € an ACME GmbH …3000"
    assert shown["transaction"]["amount"] == TRANSACTION["amount"]
    assert shown["transaction"]["payee"] == TRANSACTION["payee"]


async def test_5_1_b_a_signature_is_for_one_payment(bank: Bank) -> None:
    """What was signed for one challenge answers no other, even when payer and payment are the same."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    first, second = await asked(bank, psu), await asked(bank, psu)
    assert first["transaction"]["digest"] == second["transaction"]["digest"]
    signed = device.approval(first, first["matching_digits"])
    assert (await device.answer(second["id"], signed)).status_code == 422
    assert (await device.answered(first["id"], signed))[0] == "approved"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(_with(amount={"currency": "EUR", "amount": "49.98"}), id="amount"),
        pytest.param(_with(payee=TRANSACTION["payee"] | {"name": "ACME Ltd"}), id="payee"),
        pytest.param(_with(payee={"name": "ACME GmbH", "account": {"iban": OTHER_IBAN}}), id="account"),
    ],
)
async def test_5_1_d_a_signature_over_another_payment_voids(bank: Bank, changed: Transaction) -> None:
    """The app was shown something else than the bank is about to execute: going back does not help."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    challenge, other = await asked(bank, psu), await asked(bank, psu, transaction=changed)
    digits = challenge["matching_digits"]
    signed = device.approval(challenge, digits, transaction=other["transaction"]["digest"])
    assert (await device.answered(challenge["id"], signed))[0] == "transaction_mismatch"
    read = await bank.get(challenge["id"])
    assert (read["status"], read["authentication_code"]) == ("rejected", None)
    right = device.approval(challenge, digits)
    assert (await device.answered(challenge["id"], right))[0] == "transaction_mismatch"
