"""Generators that sign (OCRA), over HTTP: a payment approved by the answer to its own question, and by no other."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections import Counter
from typing import Any

import pytest

from sca_service.authenticators.enrolment.model import Whose, Wish
from sca_service.authenticators.model import AuthenticatorType, SigningQuestion
from sca_service.authenticators.ocra.suite import OcraSuite
from sca_service.core import open_core
from sca_service.kernel.secret import Secret
from sca_service.settings import read_settings
from tests.generator import activate, login, path
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu, wrong
from tests.signer import COUNTING, Device, enrol, enrolled, payment

TIMED = "OCRA-1:HOTP-SHA1-6:QN08-T30S"
BOTH = "OCRA-1:HOTP-SHA512-8:C-QA10-T30S"
OTHER_AMOUNT = TRANSACTION | {"amount": {"currency": "EUR", "amount": "50.00"}}


async def word_of(bank: Bank, psu: dict[str, str], device: Device) -> str:
    """What an approved enrolment challenge gives: it has no transaction."""
    challenge = await login(bank, psu, "ocra", purpose="enrolment")
    question = (await bank.get(challenge))["ocra_question"]
    verified = await bank.verify(challenge, device.answer(question), None)
    assert verified["outcome"] == "approved", verified
    word: str = verified["authentication_code"]
    return word


def let_no_step_end() -> None:
    """A time step of 30 seconds that goes on for ten more."""
    left = 30 - time.time() % 30
    if left < 10:
        time.sleep(left + 0.1)


async def test_a_payment_is_signed(bank: Bank) -> None:
    """The whole way: the key once, pending, its question answered, active; a payment approved by two elements."""
    psu = unique_psu()
    response = await enrol(bank, psu)
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    body = response.json()
    assert body["otpauth_uri"] is None
    device = Device(COUNTING, body["ocra_key"])
    assert len(device.key) == 32
    assert len(body["activation_question"]) == 40
    one = body["authenticator"]
    assert (one["type"], one["state"], one["element"]) == ("ocra", "pending", "possession")
    answer = device.answer(body["activation_question"])
    assert (await activate(bank, psu, one["id"], answer)).json()["outcome"] == "activated"

    challenge, question = await payment(bank, psu)
    issued = await bank.get(challenge)
    assert (issued["ocra_question"], issued["channel"]) == (question, None)
    assert (issued["elements"], issued["sca"]) == (["knowledge", "possession"], True)
    verified = await bank.verify(challenge, device.answer(question))
    assert verified["outcome"] == "approved"
    assert verified["authentication_code"].count(".") == 2
    assert await bank.messages(psu["phone"]) == []
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert seen["used_at"] is not None


async def test_a_question_is_made_from_the_transaction(bank: Bank) -> None:
    """As it is documented, so that anybody can make it again: from the challenge's id and the transaction's digest.

    A challenge without a transaction has the SHA-256 of its id in place of the digest.
    """
    psu = unique_psu()
    await enrolled(bank, psu)
    paid, question = await payment(bank, psu)
    login_id = await login(bank, psu, "ocra")
    digest = (await bank.get(paid))["transaction"]["digest"]
    for challenge, asked, of in (
        (paid, question, digest),
        (
            login_id,
            (await bank.get(login_id))["ocra_question"],
            f"sha256:{hashlib.sha256(login_id.encode()).hexdigest()}",
        ),
    ):
        hashed = hashlib.sha512(b"\0".join((b"ocra-question", challenge.encode(), of.encode()))).hexdigest()
        assert asked == hashed[-40:].upper()


async def test_an_answer_is_of_one_challenge(bank: Bank) -> None:
    """RTS Art. 5(1)(b): the same payment again is another question, and an answer to the first is none to it."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    (first, first_question), (second, second_question) = await payment(bank, psu), await payment(bank, psu)
    assert first_question != second_question
    answer = device.answer(first_question)
    refused = await bank.verify(second, answer)
    assert (refused["outcome"], refused["attempts_left"]) == ("incorrect", 4)
    assert (await bank.verify(first, answer))["outcome"] == "approved"


async def test_an_answer_for_another_amount_is_refused(bank: Bank) -> None:
    """RTS Art. 5(1)(b): the codes are specific to the amount."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    _, other_question = await payment(bank, psu, transaction=OTHER_AMOUNT)
    challenge, question = await payment(bank, psu)
    assert (await bank.verify(challenge, device.answer(other_question)))["outcome"] == "incorrect"
    assert (await bank.verify(challenge, device.answer(question)))["outcome"] == "approved"


async def test_a_changed_cent_voids_it(bank: Bank) -> None:
    """RTS Art. 5(1)(d): another amount than the one that was signed; going back does not help."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    challenge, question = await payment(bank, psu)
    answer = device.answer(question)
    mismatch = await bank.verify(challenge, answer, OTHER_AMOUNT)
    assert (mismatch["outcome"], mismatch["challenge"]["status"]) == ("transaction_mismatch", "rejected")
    assert (await bank.verify(challenge, answer))["outcome"] == "transaction_mismatch"


async def test_an_answer_is_accepted_once(bank: Bank) -> None:
    """RTS Art. 4(1); repeated under its key, as a client does that heard nothing, it hears the same."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    challenge, question = await payment(bank, psu)
    answer = device.answer(question)
    body = {"code": answer, "transaction": TRANSACTION}
    answers = [
        await bank.http.post(
            f"/v1/challenges/{challenge}/verify", json=body, headers={"Idempotency-Key": "again"}
        )
        for _ in range(2)
    ]
    assert [answer.json()["outcome"] for answer in answers] == ["approved"] * 2
    assert (await bank.verify(challenge, answer))["outcome"] == "already_used"


@pytest.mark.race
async def test_one_answer_sent_many_times_at_once_is_approved_once(bank: Bank) -> None:
    """RTS Art. 4(1), whatever arrives in parallel."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    for _ in range(10):
        challenge, question = await payment(bank, psu)
        answer = device.answer(question)
        verified = await asyncio.gather(*(bank.verify(challenge, answer) for _ in range(4)))
        assert Counter(one["outcome"] for one in verified) == {"approved": 1, "already_used": 3}


async def test_a_few_answers_may_be_skipped_and_none_goes_back(bank: Bank) -> None:
    """Five (RFC 4226 section 7.4); a counter behind the last is refused though its question is the right one."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    challenge, question = await payment(bank, psu)
    device.counter += 5
    assert (await bank.verify(challenge, device.answer(question)))["outcome"] == "approved"
    last = device.counter - 1
    challenge, question = await payment(bank, psu)
    for counter in (last - 1, last, last + 7):
        device.counter = counter
        assert (await bank.verify(challenge, device.answer(question)))["outcome"] == "incorrect"
    device.counter = last + 1
    assert (await bank.verify(challenge, device.answer(question)))["outcome"] == "approved"


async def test_one_that_goes_by_the_time(bank: Bank) -> None:
    """The step before now activates it; the present one answers one challenge, and the next has to wait."""
    psu = unique_psu()
    let_no_step_end()
    _, device = await enrolled(bank, psu, TIMED)
    assert len(device.key) == 20
    first, first_question = await payment(bank, psu)
    second, second_question = await payment(bank, psu)
    assert (await bank.verify(first, device.answer(first_question, steps_back=1)))["outcome"] == "incorrect"
    assert (await bank.verify(first, device.answer(first_question)))["outcome"] == "approved"
    assert (await bank.verify(second, device.answer(second_question)))["outcome"] == "incorrect"


async def test_one_that_counts_and_goes_by_the_time(bank: Bank) -> None:
    """Its counter is used up, so that two payments within a time step are signed; too old a step is refused."""
    psu = unique_psu()
    let_no_step_end()
    _, device = await enrolled(bank, psu, BOTH)
    assert len(device.key) == 64
    for steps_back in (0, 1):
        challenge, question = await payment(bank, psu)
        verified = await bank.verify(challenge, device.answer(question, steps_back=steps_back))
        assert verified["outcome"] == "approved"
    challenge, question = await payment(bank, psu)
    assert (await bank.verify(challenge, device.answer(question, steps_back=2)))["outcome"] == "incorrect"


@pytest.mark.parametrize(
    ("members", "pointer", "detail"),
    [
        ({"suite": "OCRA-1:HOTP-SHA256-8:QN08"}, "/suite", "counter (C-) or the time (-T…)"),
        ({"suite": "OCRA-1:HOTP-SHA256-8:C-QN06"}, "/suite", "longer question"),
        ({"suite": "OCRA-1:HOTP-SHA256-8:C-QN08-S064"}, "/suite", "no session (-S…)"),
        ({"suite": "OCRA-1:HOTP-SHA256-8:C-QN08-PSHA1"}, "/suite", "no PIN (-P…)"),
        ({"suite": "OCRA-1:HOTP-SHA256-4:C-QN08"}, "/suite", "6 to 10 digits"),
        ({"suite": "OCRA-1:HOTP-SHA256-0:C-QN08"}, "/suite", "6 to 10 digits"),
        ({"suite": "OCRA-1:HOTP-SHA256-8:QN08-T1H"}, "/suite", "at most 60 seconds"),
        ({"suite": "OCRA-1:HOTP-MD5-8:C-QN08"}, "/suite", "must be an OCRA suite"),
        ({"suite": "x" * 65}, "/suite", ""),
        ({"suite": None}, "/suite", "is required for ocra"),
        ({"key": "A" * 24}, "/key", "16 to 64 bytes in base32"),
        ({"key": base64.b32encode(bytes(65)).decode()}, "/key", "16 to 64 bytes in base32"),
        ({"key": "0189" * 10}, "/key", "16 to 64 bytes in base32"),
        ({"key": ""}, "/key", "16 to 64 bytes in base32"),
        ({"type": "totp"}, "/suite", "is not a member of totp"),
        ({"type": "totp", "suite": None, "key": "A" * 32}, "/key", "is not a member of totp"),
        ({"pin": "493817"}, "/pin", "is not a member of ocra"),
    ],
)
async def test_what_cannot_be_enrolled_is_named(
    bank: Bank, members: dict[str, Any], pointer: str, detail: str
) -> None:
    """A 422 with its place and its reason; nothing is stored, and no key is repeated."""
    psu = unique_psu()
    body = {"type": "ocra", "label": "Anna", "suite": COUNTING} | members
    response = await bank.http.post(
        path(psu), json={name: value for name, value in body.items() if value is not None}
    )
    assert response.status_code == 422, response.text
    (mistake,) = response.json()["errors"]
    assert mistake["pointer"] == pointer
    assert detail in mistake["detail"]
    assert not members.get("key") or members["key"] not in response.text
    assert (await bank.http.get(path(psu))).json()["data"] == []


async def test_a_device_brings_its_own_key(bank: Bank) -> None:
    """Imported by the bank: it signs, and no answer ever repeats the key."""
    psu = unique_psu()
    key = base64.b32encode(secrets.token_bytes(24)).decode().rstrip("=")
    response = await enrol(bank, psu, key=key)
    body = response.json()
    assert (body["ocra_key"], body["otpauth_uri"]) == (None, None)
    device = Device(COUNTING, key)
    activated = await activate(
        bank, psu, body["authenticator"]["id"], device.answer(body["activation_question"])
    )
    assert activated.json()["outcome"] == "activated"
    challenge, question = await payment(bank, psu)
    verified = await bank.answer(challenge, device.answer(question))
    assert verified.json()["outcome"] == "approved"
    listed = await bank.http.get(path(psu))
    for told in (response, activated, verified, listed):
        assert key not in told.text


async def test_the_key_leaves_once(bank: Bank) -> None:
    """The same request under its key is the same authenticator and question, without the key."""
    psu = unique_psu()
    body, name = {"type": "ocra", "label": "Anna", "suite": COUNTING}, {"Idempotency-Key": f"own-{psu['id']}"}
    first = await bank.http.post(path(psu), json=body, headers=name)
    again = await bank.http.post(path(psu), json=body, headers=name)
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json()["ocra_key"] is not None
    assert again.json() == first.json() | {"ocra_key": None}


async def test_the_answer_that_activated_is_used_up_and_wrong_ones_are_counted(bank: Bank) -> None:
    """Its counter counts as used; five wrong answers, of whatever length, revoke what is pending."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    challenge, question = await payment(bank, psu)
    device.counter = 0
    assert (await bank.verify(challenge, device.answer(question)))["outcome"] == "incorrect"
    other = unique_psu()
    body = (await enrol(bank, other)).json()
    right = Device(COUNTING, body["ocra_key"]).answer(body["activation_question"])
    tried = [
        (await activate(bank, other, body["authenticator"]["id"], code)).json()
        for code in (wrong(right), "123456", "1234567890", wrong(right), wrong(right), right)
    ]
    assert [one["outcome"] for one in tried] == ["incorrect"] * 5 + ["not_pending"]


async def test_the_newest_is_asked_and_no_other_answers(bank: Bank) -> None:
    """A challenge is bound to one generator when it is issued, also when the payer has a newer one since."""
    psu = unique_psu()
    _, older = await enrolled(bank, psu)
    before, question_before = await payment(bank, psu)
    _, newer = await enrolled(bank, psu, authorisation=await word_of(bank, psu, older))
    after, question_after = await payment(bank, psu)
    assert (await bank.verify(after, older.answer(question_after)))["outcome"] == "incorrect"
    assert (await bank.verify(before, newer.answer(question_before)))["outcome"] == "incorrect"
    assert (await bank.verify(after, newer.answer(question_after)))["outcome"] == "approved"
    assert (await bank.verify(before, older.answer(question_before)))["outcome"] == "approved"


async def test_a_revoked_one_answers_nothing(bank: Bank) -> None:
    """RTS Art. 27: its pending challenges are cancelled, and no further one is issued."""
    psu = unique_psu()
    authenticator, device = await enrolled(bank, psu)
    challenge, question = await payment(bank, psu)
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
    assert (await bank.verify(challenge, device.answer(question)))["outcome"] == "cancelled"
    response = await bank.http.post("/v1/challenges", json=order(psu=psu, method="ocra", channels=None))
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": "/method", "detail": "the payer has no active authenticator of this type"}
    ]


async def test_a_pending_one_is_asked_nothing(bank: Bank) -> None:
    """Nobody has proved to hold it."""
    psu = unique_psu()
    await enrol(bank, psu)
    response = await bank.http.post("/v1/challenges", json=order(psu=psu, method="ocra", channels=None))
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/method")


async def test_the_pin_is_asked_beside_it(bank: Bank) -> None:
    """Neither is enough; after a wrong PIN the same answer still stands for its challenge."""
    psu = unique_psu()
    _, device = await enrolled(bank, psu)
    word = await word_of(bank, psu, device)
    pin = {"type": "pin", "label": "Anna", "pin": "493817", "authorisation": word}
    enrolled_pin = (await bank.http.post(path(psu), json=pin)).json()["authenticator"]["id"]
    await bank.http.post(f"{path(psu)}/{enrolled_pin}/activate", json={"pin": "493817"})
    challenge, question = await payment(bank, psu, elements_presented=None)
    right = device.answer(question)
    outcomes = []
    for code, known in ((right, "493818"), (wrong(right), "493817"), (right, "493817")):
        body = {"code": code, "pin": known, "transaction": TRANSACTION}
        answer = await bank.http.post(f"/v1/challenges/{challenge}/verify", json=body)
        outcomes.append(answer.json()["outcome"])
    assert outcomes == ["incorrect", "incorrect", "approved"]


async def test_only_such_a_challenge_has_a_question(bank: Bank) -> None:
    """Null for a code that is sent; and nothing is sent for one, so no channel is taken."""
    psu = unique_psu()
    await enrolled(bank, psu)
    assert (await bank.issue(psu=psu))["ocra_question"] is None
    response = await bank.http.post("/v1/challenges", json=order(psu=psu, method="ocra"))
    assert response.json()["errors"][0]["pointer"] == "/channels"


async def test_a_revoked_one_is_refused_also_while_its_challenge_is_pending(
    bank: Bank, service: Deployment
) -> None:
    """Between a revocation and the end of its challenges; nor does one answer for another payer."""
    psu, other = unique_psu(), unique_psu()
    authenticator, device = await enrolled(bank, psu)
    challenge, text = await payment(bank, psu)
    question = SigningQuestion(authenticator, text)
    settings = read_settings(service.config(service.api.port))
    payer, stranger = (settings.keyring.pseudonym("payer", "bank", one["id"]) for one in (psu, other))
    code = Secret(device.answer(text))
    async with open_core(settings) as core:
        generators = core.generators()
        assert not await generators.signed(stranger, question, code, challenge=challenge)
        assert await generators.signed(payer, question, code, challenge=challenge)
        assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
        assert not await generators.signed(payer, question, code, challenge=challenge)


async def test_what_is_enrolled_again_under_its_name_tells_no_key(service: Deployment) -> None:
    """When the first answer was lost: the question again, for the same authenticator, and no key.

    Once that is revoked nothing is asked any more.
    """
    whose = Whose("bank", unique_psu()["id"], {"actor": "client:bank", "request": "req_1", "policy": ""})
    wish = Wish(AuthenticatorType.OCRA, "Anna", unique=secrets.token_hex(16), suite=OcraSuite.parse(COUNTING))
    async with open_core(read_settings(service.config(service.api.port))) as core:
        enrolment = core.enrolment()
        first, again = [await enrolment.enrol(whose, wish) for _ in range(2)]
        await enrolment.revoke(whose, first.authenticator.id)
        late = await enrolment.enrol(whose, wish)
    assert first.key is not None
    assert (again.authenticator.id, again.question) == (first.authenticator.id, first.question)
    assert again.key is None
    assert (late.authenticator.state, late.key, late.question) == ("revoked", None, None)
