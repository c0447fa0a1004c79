"""Answers to challenges over HTTP: every outcome, and the authentication code of the one that is approved."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from redis.asyncio import Redis

from tests.harness import TRANSACTION, Bank, unique_psu, wrong
from tests.service.situations import SITUATIONS, age

# The contract says EdDSA; RFC 9864 would have its Ed25519 called so.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")

OUTCOMES = {
    "approved": "already_used",
    "rejected": "transaction_mismatch",
    "blocked": "blocked",
    "expired": "expired",
    "cancelled": "cancelled",
    "undeliverable": "undeliverable",
    "refused": "refused",
}
"""What an answer to a challenge that is over comes to, by its status."""


async def claims_of(bank: Bank, authentication_code: str) -> dict[str, Any]:
    """The claims of an authentication code, verified by the published keys as a bank would."""
    published = await bank.http.get("/.well-known/jwks.json")
    signed = jwt.decode(authentication_code, KeySet.import_key_set(published.json()), algorithms=["EdDSA"])
    assert signed.header["alg"] == "EdDSA"
    return dict(signed.claims)


async def test_right_code_is_approved(bank: Bank) -> None:
    """The right code with the same transaction is approved, and the challenge says so."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]))

    assert set(verified) == {"outcome", "attempts_left", "authentication_code", "challenge"}
    assert verified["outcome"] == "approved"
    assert verified["attempts_left"] == 4
    assert verified["challenge"]["status"] == "approved"
    assert verified["challenge"]["settled_at"] is not None
    assert verified["challenge"]["id"] == challenge["id"]


async def test_authentication_code_proves_what_was_approved(bank: Bank, auditor: Bank) -> None:
    """The signed code says who approved what for whom, by which elements, and names the audit event."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, elements_presented=["knowledge"])
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]))
    claims = await claims_of(bank, verified["authentication_code"])
    lifetime_seconds = claims.pop("exp") - claims.pop("iat")
    events = await auditor.http.get("/v1/audit/events", params={"challenge": challenge["id"]})
    answered = [event["id"] for event in events.json()["data"] if event["type"] == "challenge.answered"]

    assert [claims.pop("jti")] == answered
    assert claims == {
        "iss": "https://sca.example",
        "aud": "bank",
        "sub": psu["id"],
        "challenge": challenge["id"],
        "purpose": "payment",
        "transaction": challenge["transaction"]["digest"],
        "elements": ["knowledge", "possession"],
        "sca": True,
    }
    assert 0 < lifetime_seconds <= 300


async def test_authentication_code_of_a_login_has_no_transaction(bank: Bank) -> None:
    """What has no transaction proves none."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, purpose="login", transaction=None)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]), None)
    claims = await claims_of(bank, verified["authentication_code"])

    assert claims["purpose"] == "login"
    assert "transaction" not in claims


async def test_second_answer_is_already_used(bank: Bank) -> None:
    """The right code is approved once: afterwards it, and any other code, is already_used and proves nothing."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    first = await bank.verify(challenge["id"], code)
    later = [await bank.verify(challenge["id"], presented) for presented in (code, wrong(code), code)]

    assert first["outcome"] == "approved"
    assert [one["outcome"] for one in later] == ["already_used"] * 3
    assert [one["authentication_code"] for one in later] == [None] * 3
    assert [one["challenge"]["status"] for one in later] == ["approved"] * 3


async def test_wrong_codes_count_down_and_block(bank: Bank) -> None:
    """Five wrong answers are incorrect with what is left; then even the right one is blocked."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    answers = [await bank.verify(challenge["id"], wrong(code)) for _ in range(5)]
    after = await bank.verify(challenge["id"], code)

    assert [one["outcome"] for one in answers] == ["incorrect"] * 5
    assert [one["attempts_left"] for one in answers] == [4, 3, 2, 1, 0]
    assert [one["authentication_code"] for one in answers] == [None] * 5
    assert [one["challenge"]["status"] for one in answers] == ["pending"] * 4 + ["blocked"]
    assert after["outcome"] == "blocked"
    assert after["attempts_left"] == 0
    assert after["authentication_code"] is None


async def test_right_code_after_a_wrong_one_is_approved(bank: Bank) -> None:
    """A wrong answer costs one attempt and no more."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await bank.verify(challenge["id"], wrong(code))
    verified = await bank.verify(challenge["id"], code)

    assert verified["outcome"] == "approved"
    assert verified["attempts_left"] == 3


async def test_new_challenge_tells_what_its_payer_has_left(bank: Bank) -> None:
    """Failures follow the payer: a new challenge begins with what is left, a right answer gives all back."""
    psu = unique_psu()
    first = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    for _ in range(3):
        await bank.verify(first["id"], wrong(code))
    second = await bank.issue(psu=psu)
    verified = await bank.verify(second["id"], await bank.code(psu["phone"], number=2))
    third = await bank.issue(psu=psu)

    assert second["attempts_left"] == 2
    assert verified["outcome"] == "approved"
    assert third["attempts_left"] == 5


async def test_open_challenge_of_a_blocked_payer_is_blocked(bank: Bank, redis: Redis) -> None:
    """A block holds for challenges that were open before it: the right code is blocked, whatever its challenge."""
    psu = unique_psu()
    open_before = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    other = await bank.issue(psu=psu)
    for _ in range(5):
        await bank.verify(other["id"], wrong(await bank.code(psu["phone"], number=2)))
    verified = await bank.verify(open_before["id"], code)

    assert verified["outcome"] == "blocked"
    assert verified["challenge"]["status"] == "blocked"
    assert verified["challenge"]["blocked_until"] is not None


@pytest.mark.parametrize("status", OUTCOMES)
async def test_answer_to_a_challenge_that_is_over(bank: Bank, redis: Redis, script: Any, status: str) -> None:
    """An answer that comes too late is a 200 with the outcome of its challenge's status, which stays."""
    challenge = await SITUATIONS[status](bank, redis)
    response = await bank.answer(challenge["id"], "123456")
    verified = response.json()

    assert response.status_code == 200
    assert verified["outcome"] == OUTCOMES[status]
    assert verified["authentication_code"] is None
    assert verified["attempts_left"] == challenge["attempts_left"]
    assert verified["challenge"] == challenge


async def test_right_code_that_comes_too_late_is_expired(bank: Bank, redis: Redis) -> None:
    """When the time is over the right code is expired, also before anybody else has noticed."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    await bank.settled(challenge["id"])
    await age(redis, challenge["id"], 300)
    verified = await bank.verify(challenge["id"], code)

    assert verified["outcome"] == "expired"
    assert verified["challenge"]["status"] == "expired"


def changed(**members: Any) -> dict[str, Any]:
    """The transaction with members changed; None takes one away."""
    return {name: value for name, value in {**TRANSACTION, **members}.items() if value is not None}


DIFFERENT = {
    "a cent": changed(amount={"currency": "EUR", "amount": "50.00"}),
    "currency": changed(amount={"currency": "USD", "amount": "49.99"}),
    "payee": changed(payee={"name": "ACNE GmbH", "account": {"iban": "DE89370400440532013000"}}),
    "account": changed(payee={"name": "ACME GmbH", "account": {"iban": "GB82WEST12345698765432"}}),
    "no account": changed(payee={"name": "ACME GmbH"}),
    "reference": changed(reference="pay_2026_002"),
    "no reference": changed(reference=None),
    "kind": changed(kind="preauthorisation"),
    "batch": {
        "total": TRANSACTION["amount"],
        "payees": [{"payee": TRANSACTION["payee"], "amount": TRANSACTION["amount"]}],
        "reference": TRANSACTION["reference"],
    },
}


@pytest.mark.parametrize("difference", DIFFERENT)
async def test_any_difference_voids_the_challenge(bank: Bank, difference: str) -> None:
    """The right code with another transaction is a mismatch; going back to the right one does not help."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    mismatched = await bank.verify(challenge["id"], code, DIFFERENT[difference])
    corrected = await bank.verify(challenge["id"], code)

    assert mismatched["outcome"] == "transaction_mismatch"
    assert mismatched["authentication_code"] is None
    assert mismatched["challenge"]["status"] == "rejected"
    assert corrected["outcome"] == "transaction_mismatch"
    assert corrected["challenge"]["status"] == "rejected"


async def test_same_transaction_may_be_spelled_otherwise(bank: Bank) -> None:
    """An IBAN with spaces, another order of members and the kind said aloud are the same transaction."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    spelled = {
        "kind": "payment",
        "reference": " pay_2026_001",
        "payee": {"account": {"iban": "DE89 3704 0044 0532 0130 00"}, "name": "ACME GmbH"},
        "amount": {"amount": "49.99", "currency": "EUR"},
    }
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]), spelled)

    assert verified["outcome"] == "approved"


@pytest.mark.parametrize(
    ("purpose", "issued_with", "answered_with"),
    [("payment", TRANSACTION, None), ("login", None, TRANSACTION)],
    ids=["payment without", "login with"],
)
async def test_transaction_belongs_to_payments(
    bank: Bank, purpose: str, issued_with: Any, answered_with: Any
) -> None:
    """An answer lacks a payment's transaction, or has one that nothing else has: 422, and no attempt is spent."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, purpose=purpose, transaction=issued_with)
    code = await bank.code(psu["phone"])
    refused = await bank.answer(challenge["id"], code, answered_with)
    verified = await bank.verify(challenge["id"], code, issued_with)

    assert refused.status_code == 422
    assert [mistake["pointer"] for mistake in refused.json()["errors"]] == ["/transaction"]
    assert verified["outcome"] == "approved"
    assert verified["attempts_left"] == 4


async def test_answers_tell_nothing_of_elements(bank: Bank) -> None:
    """A wrong code's answer has no member that says which element failed."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, elements_presented=["knowledge"])
    verified = await bank.verify(challenge["id"], wrong(await bank.code(psu["phone"])))

    assert set(verified) == {"outcome", "attempts_left", "authentication_code", "challenge"}
    assert verified["challenge"]["elements"] == challenge["elements"]
    assert verified["challenge"]["risk"] == challenge["risk"]
