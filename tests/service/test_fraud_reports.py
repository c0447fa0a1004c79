"""Fraud reports over HTTP: they speak against the payee, and can be withdrawn as if they had never been made."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.harness import TRANSACTION, Bank, unique_psu
from tests.service.test_exemptions import assess, executed, rate

QUARTER = f"{datetime.now(UTC).year}Q{(datetime.now(UTC).month + 2) // 3}"


def paying(iban: str, euros: str = "5.00") -> dict[str, Any]:
    """A payment to one account."""
    amount = {"currency": "EUR", "amount": euros}
    return TRANSACTION | {"amount": amount, "payee": {"name": "Shop", "account": {"iban": iban}}}


async def reported(bank: Bank, iban: str, psu: dict[str, str] | None = None) -> dict[str, Any]:
    """A payment that was executed and is reported."""
    body = await assess(bank, transaction=paying(iban), psu=psu or unique_psu())
    await executed(bank, body["id"])
    return await report(bank, body["id"])


async def report(bank: Bank, assessment: str) -> dict[str, Any]:
    """Report a payment; asserts that it was taken."""
    sent = {"assessment": assessment, "kind": "unauthorised"}
    response = await bank.http.post("/v1/fraud-reports", json=sent)
    assert response.status_code == 201, response.text
    told: dict[str, Any] = response.json()
    return told


async def withdraw(bank: Bank, report_id: str, reason: str = "mistake") -> dict[str, Any]:
    """Withdraw a report; asserts that it was done."""
    response = await bank.http.post(f"/v1/fraud-reports/{report_id}/withdraw", json={"reason": reason})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


async def speaks_against(
    bank: Bank, transaction: dict[str, Any], psu: dict[str, str] | None = None
) -> set[str]:
    """Why the next payment would be weighed, of a payer who was never seen unless said otherwise."""
    challenge = await bank.issue(transaction=transaction, psu=psu or unique_psu())
    await bank.http.post(f"/v1/challenges/{challenge['id']}/cancel")
    return set(challenge["risk"]["reasons"])


async def test_a_report_speaks_against_the_payee_until_it_is_withdrawn(bank: Bank) -> None:
    """For other payers too; of two reports one is enough, and the payer's own mark goes with the last."""
    iban, psu = "DE75512108001245126199", unique_psu()
    assert "payee_reported" not in await speaks_against(bank, paying(iban))
    first, second = await reported(bank, iban, psu), await reported(bank, iban)
    assert "payee_reported" in await speaks_against(bank, paying(iban))
    assert "payer_was_defrauded" in await speaks_against(bank, paying(iban), psu)
    assert (await withdraw(bank, first["id"], "payer_agreed"))["withdrawn_for"] == "payer_agreed"
    assert "payee_reported" in await speaks_against(bank, paying(iban))
    assert "payer_was_defrauded" not in await speaks_against(bank, paying(iban), psu)
    await withdraw(bank, second["id"])
    assert "payee_reported" not in await speaks_against(bank, paying(iban))


async def test_the_figures_follow_a_withdrawal_to_the_cent(bank: Bank) -> None:
    """The rate and the quarter are as before; again is as once, and reported anew it counts anew."""
    body = await assess(bank, transaction=paying("FR7630006000011234567890189", "7.77"))
    await executed(bank, body["id"])
    before = await rate(bank), await quarter(bank)
    made = await report(bank, body["id"])
    assert made["withdrawn_for"] is None
    assert (await rate(bank))["fraud_value_eur"] != before[0]["fraud_value_eur"]
    told = [await withdraw(bank, made["id"]), await withdraw(bank, made["id"], "other")]
    assert told[0] == told[1] == made | {"withdrawn_for": "mistake"}
    assert (await bank.http.get(f"/v1/fraud-reports/{made['id']}")).json() == told[0]
    assert (await rate(bank), await quarter(bank)) == before
    anew = await report(bank, body["id"])
    assert anew["id"] != made["id"]
    assert await report(bank, body["id"]) == anew
    assert (await rate(bank))["fraud_value_eur"] != before[0]["fraud_value_eur"]
    await asyncio.gather(*(withdraw(bank, anew["id"]) for _ in range(4)))
    assert (await rate(bank), await quarter(bank)) == before


async def quarter(bank: Bank) -> Any:
    """The figures of this quarter."""
    response = await bank.http.get("/v1/reports/quarterly", params={"quarter": QUARTER})
    return response.json()["lines"]


@pytest.mark.parametrize("report_id", ["frd_1", f"frd_{'0' * 32}"])
async def test_an_unknown_report_is_not_found(bank: Bank, report_id: str) -> None:
    """Neither to read nor to withdraw."""
    path = f"/v1/fraud-reports/{report_id}"
    assert (await bank.http.get(path)).status_code == 404
    assert (await bank.http.post(f"{path}/withdraw", json={"reason": "mistake"})).status_code == 404


async def test_another_bank_s_report_is_not_found_and_a_reason_is_one_of_three(
    bank: Bank, other_bank: Bank
) -> None:
    """404, and 422 for a reason of one's own."""
    made = await reported(bank, "DE75512108001245126199")
    path = f"/v1/fraud-reports/{made['id']}"
    assert (await other_bank.http.get(path)).status_code == 404
    assert (await other_bank.http.post(f"{path}/withdraw", json={"reason": "mistake"})).status_code == 404
    odd = await bank.http.post(f"{path}/withdraw", json={"reason": "bored"})
    assert (odd.status_code, odd.json()["errors"][0]["pointer"]) == (422, "/reason")
    await withdraw(bank, made["id"])
