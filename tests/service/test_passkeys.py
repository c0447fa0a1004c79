"""Passkeys over HTTP: made once, asked by challenges, answered by a signature over exactly one of them."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.generator import path
from tests.harness import TRANSACTION, Bank, Deployment, Role, unique_psu
from tests.passkey import (
    Passkey,
    activate,
    enrol,
    enrolled,
    login,
    payment,
    start_api,
    verify,
    word_of,
)
from tests.soft_passkey import AT, RP_ID, UP, SoftPasskey

OTHER_AMOUNT = TRANSACTION | {"amount": {"currency": "EUR", "amount": "50.00"}}
Change = Callable[[Passkey, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def api(service: Deployment) -> Iterator[Role]:
    """An api that takes passkeys, beside the one that takes none."""
    role = start_api(service)
    yield role
    role.stop()
    service.forget(role)


@pytest.fixture
async def bank(service: Deployment, api: Role) -> AsyncIterator[Bank]:
    """A bank that calls it."""
    async with service.bank(url=api.url) as bank:
        yield bank


async def listed(bank: Bank, psu: dict[str, str]) -> list[dict[str, Any]]:
    """A payer's authenticators."""
    found: list[dict[str, Any]] = (await bank.http.get(path(psu))).json()["data"]
    return found


async def states(bank: Bank, psu: dict[str, str]) -> list[str]:
    """Where a payer's authenticators stand, the oldest first."""
    return [one["state"] for one in await listed(bank, psu)]


def claims_of(code: str) -> dict[str, Any]:
    """What an authentication code says."""
    payload = code.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_a_passkey_is_made_and_confirms_a_login(bank: Bank) -> None:
    """The whole way: options, pending, the browser's answer, active, a login approved by two elements."""
    psu = unique_psu()
    body = (await enrol(bank, psu)).json()
    options, one = body["passkey_options"], body["authenticator"]
    assert (options["rp"]["id"], options["user"]["name"], options["excludeCredentials"]) == (
        RP_ID,
        "Anna",
        [],
    )
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert "extensions" not in options
    assert (one["state"], one["element"], one["unlocked_by"]) == ("pending", "possession", "inherence")
    passkey = Passkey()
    activated = (await activate(bank, psu, one["id"], passkey.made(options))).json()
    assert (activated["outcome"], activated["authenticator"]["state"]) == ("activated", "active")

    challenge = await login(bank, psu)
    assert (challenge["elements"], challenge["sca"]) == (["possession", "inherence"], True)
    request = challenge["passkey_request"]
    assert (request["rpId"], request["userVerification"], len(request["allowCredentials"])) == (
        RP_ID,
        "required",
        1,
    )
    assert (challenge["payment_request"], challenge["deliveries"]) == (None, [])
    assert (await verify(bank, challenge, passkey.answer(request), None))["outcome"] == "approved"
    (seen,) = await listed(bank, psu)
    assert seen["used_at"] is not None


@pytest.mark.parametrize("member", ["inherence", "knowledge"])
async def test_a_payment_is_confirmed(bank: Bank, member: str) -> None:
    """RTS Art. 5(1): signed for this amount and payee; the authentication code carries the elements."""
    psu = unique_psu()
    key = ed25519.Ed25519PrivateKey.generate() if member == "knowledge" else None
    _, passkey = await enrolled(bank, psu, Passkey(key), unlocked_by=member)
    challenge = await payment(bank, psu)
    told = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]))
    assert told["outcome"] == "approved"
    claims = claims_of(told["authentication_code"])
    assert (sorted(claims["elements"]), claims["sca"]) == (sorted(["possession", member]), True)


async def test_options_for_payments_ask_for_a_passkey_of_the_device(bank: Bank) -> None:
    """SPC section 5: the extension, and a platform authenticator; a long label is cut to what fits."""
    response = await enrol(bank, unique_psu(), for_payments=True, label="ä" * 64)
    options = response.json()["passkey_options"]
    assert options["extensions"] == {"payment": {"isPayment": True}}
    assert options["authenticatorSelection"]["authenticatorAttachment"] == "platform"
    assert options["user"]["name"] == "ä" * 32
    assert len(base64.urlsafe_b64decode(options["user"]["id"] + "=")) == 32


MAKES: dict[str, Change] = {
    "other challenge": lambda passkey, options: passkey.made(options, challenge="A" * 43),
    "other origin": lambda passkey, options: passkey.made(options, origin="https://bank.example.evil"),
    "in a frame": lambda passkey, options: passkey.made(options, crossOrigin=True),
    "other kind": lambda passkey, options: passkey.made(options, type="webauthn.get"),
    "payer not verified": lambda passkey, options: passkey.made(options, flags=UP | AT),
    "other domain": lambda passkey, options: _elsewhere(passkey).made(
        options
    ),  # its hash is in what is signed
    "an answer to a challenge": lambda passkey, options: (
        passkey.made(options) | {"response": passkey.made(options)["response"] | {"attestationObject": "oA"}}
    ),
}


def _elsewhere(passkey: Passkey) -> Passkey:
    """The same passkey, made for another domain."""
    other = Passkey()
    other.soft = SoftPasskey(passkey.soft.key, rp_id="evil.example", identifier=passkey.soft.identifier)
    return other


@pytest.mark.parametrize("change", MAKES.values(), ids=MAKES)
async def test_what_the_browser_did_not_make_for_these_options_is_wrong(bank: Bank, change: Change) -> None:
    """WebAuthn section 7.1: a try is spent, and it stays pending; the right answer still activates it."""
    psu, passkey = unique_psu(), Passkey()
    body = (await enrol(bank, psu)).json()
    authenticator, options = body["authenticator"]["id"], body["passkey_options"]
    wrong = (await activate(bank, psu, authenticator, change(passkey, options))).json()
    assert (wrong["outcome"], wrong["tries_left"], wrong["authenticator"]["state"]) == (
        "incorrect",
        4,
        "pending",
    )
    right = (await activate(bank, psu, authenticator, passkey.made(options))).json()
    assert right["outcome"] == "activated"


async def test_five_wrong_answers_end_an_enrolment(bank: Bank) -> None:
    """RTS Art. 4(3)(b) for activations: the right one is not looked at after that."""
    psu, passkey = unique_psu(), Passkey()
    body = (await enrol(bank, psu)).json()
    authenticator, options = body["authenticator"]["id"], body["passkey_options"]
    for _ in range(5):
        await activate(bank, psu, authenticator, passkey.made(options, challenge="A" * 43))
    late = (await activate(bank, psu, authenticator, passkey.made(options))).json()
    assert late["outcome"] == "not_pending"
    assert await listed(bank, psu) == []


async def test_the_same_request_is_told_the_same_options(bank: Bank) -> None:
    """Under its key: one authenticator, one challenge to the browser."""
    psu, key = unique_psu(), {"Idempotency-Key": "passkey-once-more"}
    told = [
        await bank.http.post(path(psu), json={"type": "passkey", "label": "Anna"}, headers=key)
        for _ in range(2)
    ]
    assert told[0].json() == told[1].json()
    assert await states(bank, psu) == ["pending"]


async def test_options_are_answered_once(bank: Bank) -> None:
    """The same answer again finds it active; the next options name it, so that no second is made in one place."""
    psu, passkey = unique_psu(), Passkey()
    body = (await enrol(bank, psu)).json()
    authenticator, made = body["authenticator"]["id"], passkey.made(body["passkey_options"])
    told = [(await activate(bank, psu, authenticator, made)).json()["outcome"] for _ in range(2)]
    assert told == ["activated", "not_pending"]
    word = await word_of(bank, psu, passkey)
    options = (await enrol(bank, psu, authorisation=word)).json()["passkey_options"]
    (known,) = options["excludeCredentials"]
    assert known["id"] == made["id"]


async def test_a_passkey_is_nobody_elses_too(bank: Bank) -> None:
    """One that another payer has, or had, is a 409, and nothing is stored (WebAuthn section 7.1, step 26)."""
    one, other = unique_psu(), unique_psu()
    authenticator, passkey = await enrolled(bank, one)
    body = (await enrol(bank, other)).json()
    for _ in range(2):
        response = await activate(
            bank, other, body["authenticator"]["id"], passkey.made(body["passkey_options"])
        )
        assert (response.status_code, response.json()["code"]) == (409, "key-already-enrolled")
        assert await states(bank, other) == ["pending"]
        await bank.http.delete(f"{path(one)}/{authenticator}")
    refused = await bank.http.post(
        "/v1/challenges", json={"psu": {"id": other["id"]}, "purpose": "login", "method": "passkey"}
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/method")


async def test_without_a_domain_there_are_no_passkeys(bank: Bank, service: Deployment) -> None:
    """A deployment without `[passkeys]` enrols none, and asks none that another configuration let in."""
    psu, other = unique_psu(), unique_psu()
    await enrolled(bank, psu)
    async with service.bank() as plain:
        refused = await enrol(plain, other)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/type")
        assert await listed(plain, other) == []
        wanted = {"psu": {"id": psu["id"]}, "purpose": "login", "method": "passkey"}
        unasked = await plain.http.post("/v1/challenges", json=wanted)
        assert (unasked.status_code, unasked.json()["errors"][0]["pointer"]) == (422, "/method")


async def test_a_changed_transaction_voids_the_challenge(bank: Bank) -> None:
    """RTS Art. 5(1)(d): what was signed for one amount confirms no other, and going back does not help."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge = await payment(bank, psu)
    answer = passkey.answer(challenge["passkey_request"])
    told = await verify(bank, challenge, answer, OTHER_AMOUNT)
    assert (told["outcome"], told["challenge"]["status"]) == ("transaction_mismatch", "rejected")
    assert (await verify(bank, challenge, answer))["outcome"] == "transaction_mismatch"
    assert await states(bank, psu) == ["active"]


async def test_two_challenges_for_one_transaction_are_signed_apart(bank: Bank) -> None:
    """The nonce: an answer to one is wrong for the other, and shows no copy of the passkey."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    first, second = await payment(bank, psu), await payment(bank, psu)
    answer = passkey.answer(first["passkey_request"])
    assert (await verify(bank, first, answer))["outcome"] == "approved"
    told = await verify(bank, second, answer)
    assert (told["outcome"], told["attempts_left"]) == ("incorrect", 4)
    assert await states(bank, psu) == ["active"]
    assert (await verify(bank, second, passkey.answer(second["passkey_request"])))["outcome"] == "approved"


async def test_an_answer_counts_once_and_is_heard_again_under_its_key(bank: Bank) -> None:
    """A client that heard nothing asks again: the same code; without the key, or with another answer, it is used."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge = await payment(bank, psu)
    answer = passkey.answer(challenge["passkey_request"])
    first = await verify(bank, challenge, answer, key="once")
    again = await verify(bank, challenge, answer, key="once")
    assert (first["outcome"], again["outcome"]) == ("approved", "approved")
    assert first["authentication_code"] == again["authentication_code"]
    assert (await verify(bank, challenge, answer))["outcome"] == "already_used"
    fresh = passkey.answer(challenge["passkey_request"])
    assert (await verify(bank, challenge, fresh, key="once"))["outcome"] == "already_used"
    assert await states(bank, psu) == ["active"]


async def test_a_counter_that_goes_back_suspends(bank: Bank, auditor: Bank) -> None:
    """WebAuthn section 6.1.1: two may hold the key, so none is heard until the bank has looked into it."""
    psu = unique_psu()
    authenticator, passkey = await enrolled(bank, psu)
    challenge = await login(bank, psu)
    assert (await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None))[
        "outcome"
    ] == "approved"
    passkey.soft.sign_count -= 1  # as a copy made before would
    challenge = await login(bank, psu)
    told = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None)
    assert (told["outcome"], await states(bank, psu)) == ("incorrect", ["suspended"])
    found = await auditor.http.get("/v1/audit/events", params={"psu": psu["id"], "limit": "200"})
    (event,) = [one for one in found.json()["data"] if one["type"] == "authenticator.suspended"]
    assert (event["authenticator"], event["reason"]) == (authenticator, "counter_went_back")
    again = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None)
    assert again["outcome"] == "incorrect"
    resumed = await bank.http.post(f"{path(psu)}/{authenticator}/resume", json={})
    assert resumed.json()["state"] == "active"
    challenge = await login(bank, psu)
    assert (await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None))[
        "outcome"
    ] == "approved"


async def test_a_passkey_that_does_not_count_is_no_copy(bank: Bank) -> None:
    """Those that are copied between a payer's devices say 0 for ever; one that counted has to go on."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu, Passkey(counts=False))
    for _ in range(2):
        challenge = await login(bank, psu)
        told = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None)
        assert told["outcome"] == "approved"
    passkey.soft.sign_count = 7
    for count, outcome, state in ((7, "approved", "active"), (0, "incorrect", "suspended")):
        passkey.soft.sign_count = count
        challenge = await login(bank, psu)
        told = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None)
        assert (told["outcome"], await states(bank, psu)) == (outcome, [state])


ANSWERS: dict[str, Change] = {
    "other origin": lambda passkey, request: passkey.answer(request, origin="https://pay.bank.example.evil"),
    "plain http": lambda passkey, request: passkey.answer(request, origin="http://pay.bank.example"),
    "in a frame": lambda passkey, request: passkey.answer(
        request, crossOrigin=True, topOrigin="https://evil.example"
    ),
    "other kind": lambda passkey, request: passkey.answer(request, kind="webauthn.create"),
    "no instrument was given": lambda passkey, request: passkey.answer(
        request, kind="payment.get", payment={}
    ),
    "payer not verified": lambda passkey, request: passkey.answer(request, flags=UP),
    "other domain": lambda passkey, request: _elsewhere(passkey).answer(request),
    "other key": lambda passkey, request: _forged(passkey).answer(request),
    "other passkey": lambda _, request: Passkey().answer(request),
}


def _forged(passkey: Passkey) -> Passkey:
    """Another key under the name of this one."""
    other = Passkey()
    other.soft.identifier = passkey.soft.identifier
    return other


@pytest.mark.parametrize("change", ANSWERS.values(), ids=ANSWERS)
async def test_what_the_passkey_did_not_sign_for_this_challenge_is_wrong(bank: Bank, change: Change) -> None:
    """WebAuthn section 7.2: each costs an attempt, none suspends, and the right answer is approved after it."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge = await login(bank, psu)
    told = await verify(bank, challenge, change(passkey, challenge["passkey_request"]), None)
    assert (told["outcome"], told["attempts_left"]) == ("incorrect", 4)
    assert await states(bank, psu) == ["active"]
    right = await verify(bank, challenge, passkey.answer(challenge["passkey_request"]), None)
    assert right["outcome"] == "approved"


async def test_wrong_answers_block_the_payer(bank: Bank) -> None:
    """RTS Art. 4(3)(b): five in a row, then the right one is blocked too, also for another challenge."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge, other = await login(bank, psu), await login(bank, psu)
    for _ in range(5):
        told = await verify(bank, challenge, Passkey().answer(challenge["passkey_request"]), None)
        assert told["outcome"] == "incorrect"
    for one in (challenge, other):
        told = await verify(bank, one, passkey.answer(one["passkey_request"]), None)
        assert told["outcome"] == "blocked"


@pytest.mark.parametrize("verb", ["revoke", "suspend"])
async def test_one_of_two_that_is_withdrawn_answers_nothing(bank: Bank, verb: str) -> None:
    """RTS Art. 27: the challenge goes on with the other; once both are gone it is void."""
    psu = unique_psu()
    first, lost = await enrolled(bank, psu)
    second, kept = await enrolled(bank, psu, authorisation=await word_of(bank, psu, lost))
    challenge, other = await login(bank, psu), await login(bank, psu)
    assert len(challenge["passkey_request"]["allowCredentials"]) == 2
    await withdraw(bank, psu, first, verb)
    told = await verify(bank, challenge, lost.answer(challenge["passkey_request"]), None)
    assert told["outcome"] == "incorrect"
    told = await verify(bank, challenge, kept.answer(challenge["passkey_request"]), None)
    assert told["outcome"] == "approved"
    await withdraw(bank, psu, second, verb)
    assert (await bank.get(other["id"]))["status"] == "cancelled"


async def withdraw(bank: Bank, psu: dict[str, str], authenticator: str, verb: str) -> None:
    """Revoke or suspend one."""
    place = f"{path(psu)}/{authenticator}"
    response = (
        await bank.http.delete(place)
        if verb == "revoke"
        else await bank.http.post(f"{place}/suspend", json={})
    )
    assert response.status_code in (200, 204), response.text


async def test_one_that_came_after_the_challenge_is_not_asked(bank: Bank) -> None:
    """Only those that stand in the request may answer it; the next challenge asks both."""
    psu = unique_psu()
    _, first = await enrolled(bank, psu)
    challenge = await login(bank, psu)
    _, late = await enrolled(bank, psu, authorisation=await word_of(bank, psu, first))
    told = await verify(bank, challenge, late.answer(challenge["passkey_request"]), None)
    assert told["outcome"] == "incorrect"
    challenge = await login(bank, psu)
    told = await verify(bank, challenge, late.answer(challenge["passkey_request"]), None)
    assert told["outcome"] == "approved"
