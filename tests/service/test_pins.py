"""A PIN beside a code, over HTTP: asked where it is needed, both evaluated, never told which was wrong."""

import asyncio
import base64
import json
import secrets
from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from sca_service.authenticators.pin.hashing import Argon2Parameters, PinHasher
from sca_service.authenticators.sealed import PinSealed, sealed
from sca_service.challenges.issue import Caller
from sca_service.challenges.order import ChallengeOrder
from sca_service.core import open_core
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.policy.model import Purpose
from sca_service.settings import read_settings
from sca_service.web import issuer
from tests.generator import enrolled, login, path, pin_enrolled
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu, wrong

PIN = "493817"
OTHER = "493818"


async def answer(bank: Bank, challenge: str, code: str, pin: str | None, **members: Any) -> httpx.Response:
    """Answer with a code and a PIN, whatever comes of it."""
    body = {"code": code, "transaction": TRANSACTION, "pin": pin} | members
    return await bank.http.post(
        f"/v1/challenges/{challenge}/verify",
        json={name: value for name, value in body.items() if value is not None},
    )


async def payment(bank: Bank, psu: dict[str, str]) -> tuple[str, str]:
    """A payment that asks for the PIN too, and its code."""
    issued = await bank.issue(psu=psu)
    assert (issued["pin_asked"], issued["elements"], issued["sca"]) == (
        True,
        ["knowledge", "possession"],
        True,
    )
    return issued["id"], await bank.code(psu["phone"], of=issued["id"])


async def test_a_code_and_the_pin_make_strong_authentication(bank: Bank) -> None:
    """PSD2 Art. 4(30): knowledge and possession; both are right, so it is approved."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, PIN)
    challenge, code = await payment(bank, psu)
    verified = (await answer(bank, challenge, code, PIN)).json()
    assert verified["outcome"] == "approved"
    assert verified["challenge"]["sca"] is True
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert (seen["type"], seen["element"]) == ("pin", "knowledge")
    assert seen["used_at"] is not None


async def test_whichever_is_wrong_the_answer_is_the_same(bank: Bank) -> None:
    """RTS Art. 4(3)(a): nothing tells the code from the PIN; each wrong answer counts once."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, PIN)
    challenge, code = await payment(bank, psu)
    told = []
    for shown, known in ((code, OTHER), (wrong(code), PIN), (wrong(code), OTHER)):
        body = (await answer(bank, challenge, shown, known)).json()
        told.append((body["outcome"], body["attempts_left"], body["authentication_code"]))
    assert told == [("incorrect", 4, None), ("incorrect", 3, None), ("incorrect", 2, None)]
    assert (await answer(bank, challenge, code, PIN)).json()["outcome"] == "approved"


async def test_a_pin_is_asked_only_where_nothing_else_is_known(bank: Bank) -> None:
    """Where the bank answers for knowledge, or the payer has no PIN, an answer with one is refused."""
    psu = unique_psu()
    without = await bank.issue(psu=psu)
    assert (without["pin_asked"], without["sca"]) == (False, False)
    await pin_enrolled(bank, psu, PIN)
    answered_for = await bank.issue(psu=psu, elements_presented=["knowledge"])
    assert (answered_for["pin_asked"], answered_for["sca"]) == (False, True)
    response = await answer(bank, answered_for["id"], "123456", PIN)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/pin")
    asked = await bank.issue(psu=psu)
    response = await answer(bank, asked["id"], "123456", None)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/pin")
    assert (await bank.get(asked["id"]))["attempts_left"] == 5


async def test_a_generator_and_a_pin_go_together(bank: Bank) -> None:
    """A login by both; a wrong PIN uses up the code all the same, so that it tells nothing."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    challenge = await login(bank, psu, "hotp", purpose="enrolment")
    word = (await bank.verify(challenge, generator.code(), None))["authentication_code"]
    await pin_enrolled(bank, psu, PIN, authorisation=word)
    challenge = await login(bank, psu, "hotp", elements_presented=None)
    code = generator.code()
    assert (await answer(bank, challenge, code, OTHER, transaction=None)).json()["outcome"] == "incorrect"
    assert (
        await answer(
            bank, await login(bank, psu, "hotp", elements_presented=None), code, PIN, transaction=None
        )
    ).json()["outcome"] == "incorrect"
    verified = (await answer(bank, challenge, generator.code(), PIN, transaction=None)).json()
    assert (verified["outcome"], verified["challenge"]["sca"]) == ("approved", True)


async def test_a_revoked_pin_voids_what_asked_for_it(bank: Bank) -> None:
    """RTS Art. 27; a challenge that rests on the code alone stays."""
    psu = unique_psu()
    authenticator = await pin_enrolled(bank, psu, PIN)
    asked = await bank.issue(psu=psu)
    alone = await bank.issue(psu=psu, elements_presented=["knowledge"])
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
    assert (await bank.get(asked["id"]))["status"] == "cancelled"
    assert (await bank.get(alone["id"]))["status"] == "pending"
    assert (await bank.issue(psu=psu))["pin_asked"] is False


@pytest.mark.parametrize(
    "pin",
    [
        "12345",
        "123456",
        "111111",
        "1212121212",
        "١٢٣٤٥٦",
        "49 3817",
        "493817\n",
        "abcdef",
        "4938171234567",
        "",
    ],
)
async def test_a_pin_that_is_short_trivial_or_no_digits_is_refused(bank: Bank, pin: str) -> None:
    """NIST SP 800-63B-4 section 3.1.1.2: a blocklist; the answer does not repeat it, and nothing is stored."""
    psu = unique_psu()
    response = await bank.http.post(path(psu), json={"type": "pin", "label": "Anna", "pin": pin})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/pin")
    assert not pin.strip() or pin.strip() not in response.text
    assert (await bank.http.get(path(psu))).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"type": "pin", "label": "Anna"}, "/pin"), ({"type": "totp", "label": "Anna", "pin": PIN}, "/pin")],
)
async def test_a_pin_is_a_member_of_a_pin_only(bank: Bank, body: dict[str, Any], pointer: str) -> None:
    """What is missing or superfluous is named."""
    response = await bank.http.post(path(unique_psu()), json=body)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_another_kind_of_proof_activates_nothing(bank: Bank) -> None:
    """A code for a PIN is a wrong one; neither and both are refused."""
    psu = unique_psu()
    made = (await bank.http.post(path(psu), json={"type": "pin", "label": "Anna", "pin": PIN})).json()
    place = f"{path(psu)}/{made['authenticator']['id']}/activate"
    assert (await bank.http.post(place, json={"code": PIN})).json()["outcome"] == "incorrect"
    for body in ({}, {"code": PIN, "pin": PIN}):
        assert (await bank.http.post(place, json=body)).status_code == 422
    assert (await bank.http.post(place, json={"pin": PIN})).json()["outcome"] == "activated"


async def test_more_pins_than_can_be_checked_are_turned_away_at_once(bank: Bank, service: Deployment) -> None:
    """503 with Retry-After for what finds no place; the others are decided, and none of the refused counts.

    One PIN was kept at such a cost that its check goes on while the others come.
    """
    payers = [unique_psu() for _ in range(7)]
    dear, *_ = [await pin_enrolled(bank, psu, PIN) for psu in payers]
    await keep_dearly(service, dear)
    issued = [(await bank.issue(psu=psu))["id"] for psu in payers]
    asked = [issued[0], *issued[1:] * 4]
    answers = await asyncio.gather(*(answer(bank, one, "000000", OTHER) for one in asked))
    assert {one.status_code for one in answers} == {200, 503}
    refused = next(one for one in answers if one.status_code == 503)
    assert refused.json()["code"] == "overloaded"
    assert int(refused.headers["retry-after"]) >= 1
    decided = Counter(one for one, told in zip(asked, answers, strict=True) if told.status_code == 200)
    left = {one: (await bank.get(one))["attempts_left"] for one in issued}
    assert left == {one: 5 - decided[one] for one in issued}


async def keep_dearly(service: Deployment, authenticator: str) -> None:
    """Keep a PIN with parameters that take some twelve times as long as today's."""
    hasher = PinHasher(service.keyring.pin_pepper, Argon2Parameters(memory_kib=64 * 1024, passes=8))
    kept = PinSealed(await hasher.hash(Secret(PIN), authenticator), "Anna")
    await hasher.close()
    connection = await asyncpg.connect(service.servers.postgres.url)
    resealed = sealed(service.keyring, kept, authenticator)
    await connection.execute("UPDATE authenticators SET sealed = $2 WHERE id = $1", authenticator, resealed)
    await connection.close()


async def test_neither_pin_nor_seed_lies_in_clear(bank: Bank, service: Deployment) -> None:
    """What is stored opens with the keyring only, and the log names type and id."""
    psu = unique_psu()
    authenticator = await pin_enrolled(bank, psu, PIN)
    connection = await asyncpg.connect(service.servers.postgres.url)
    row = await connection.fetchrow("SELECT * FROM authenticators WHERE id = $1", authenticator)
    bodies = await connection.fetch(
        "SELECT body FROM audit_events WHERE type LIKE 'authenticator.%' AND body LIKE $1",
        f"%{authenticator}%",
    )
    await connection.close()
    assert row is not None
    stored = " ".join(map(str, row.values())) + " ".join(body["body"] for body in bodies)
    assert PIN not in stored
    assert "argon2" not in stored
    assert psu["id"] not in stored
    assert [body["body"].count("authenticator_type") for body in bodies] == [1, 1]


async def test_a_wrong_pin_of_a_payment_changes_no_order(bank: Bank) -> None:
    """The transaction is still compared first: one changed cent voids the challenge, whatever the PIN."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, PIN)
    challenge, code = await payment(bank, psu)
    changed = order()["transaction"] | {"amount": {"currency": "EUR", "amount": "49.98"}}
    told = (await answer(bank, challenge, code, OTHER, transaction=changed)).json()
    assert told["outcome"] == "transaction_mismatch"


async def test_an_approval_without_the_pin_sets_no_guesses_back(bank: Bank) -> None:
    """RTS Art. 4(3)(b): who has the payer's line guesses at the PIN five times, whatever is approved in between."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, PIN)
    outcomes = []
    for _ in range(3):
        asked = (await bank.issue(psu=psu))["id"]
        code = await bank.code(psu["phone"], of=asked)
        outcomes += [(await answer(bank, asked, code, OTHER)).json()["outcome"] for _ in range(2)]
        alone = (await bank.issue(psu=psu, elements_presented=["knowledge"]))["id"]
        if outcomes[-1] == "incorrect":
            await bank.verify(alone, await bank.code(psu["phone"], of=alone))
    assert outcomes == ["incorrect"] * 5 + ["blocked"]
    right = (await answer(bank, asked, code, PIN)).json()
    assert right["outcome"] == "blocked"


async def test_an_approval_with_the_pin_sets_the_guesses_back(bank: Bank) -> None:
    """They are consecutive failures: the right PIN begins anew."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, PIN)
    for number in range(1, 4):
        asked = (await bank.issue(psu=psu))["id"]
        code = await bank.code(psu["phone"], number=number)
        for _ in range(3):
            assert (await answer(bank, asked, code, OTHER)).json()["outcome"] == "incorrect"
        assert (await answer(bank, asked, code, PIN)).json()["outcome"] == "approved"


async def test_a_new_pin_puts_out_the_old(bank: Bank) -> None:
    """RTS Art. 26: after the renewal the new one is right and the old one wrong."""
    psu = unique_psu()
    old = await pin_enrolled(bank, psu, PIN)
    asked = (await bank.issue(psu=psu, purpose="enrolment", transaction=None))["id"]
    code = await bank.code(psu["phone"])
    word = (await answer(bank, asked, code, PIN, transaction=None)).json()["authentication_code"]
    new = await pin_enrolled(bank, psu, "850274", authorisation=word)
    assert [one["id"] for one in (await bank.http.get(path(psu))).json()["data"]] == [new]
    assert new != old
    asked = (await bank.issue(psu=psu))["id"]
    code = await bank.code(psu["phone"], number=2)
    assert (await answer(bank, asked, code, PIN)).json()["outcome"] == "incorrect"
    assert (await answer(bank, asked, code, "850274")).json()["outcome"] == "approved"


async def test_nothing_tells_that_the_pin_was_right(bank: Bank) -> None:
    """RTS Art. 4(3)(a): neither when it was last used, nor an answer to what is over."""
    psu = unique_psu()
    await pin_enrolled(bank, psu, PIN)
    asked = (await bank.issue(psu=psu))["id"]
    code = await bank.code(psu["phone"])
    assert (await answer(bank, asked, wrong(code), PIN)).json()["outcome"] == "incorrect"
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert seen["used_at"] is None
    place, key = f"/v1/challenges/{asked}/verify", {"Idempotency-Key": "mine"}
    body = {"code": code, "transaction": TRANSACTION}
    first = await bank.http.post(place, json=body | {"pin": PIN}, headers=key)
    assert first.json()["outcome"] == "approved"
    guesses = [
        await bank.http.post(place, json=body | {"pin": pin}, headers=key) for pin in (OTHER, "850274")
    ]
    assert [one.json()["outcome"] for one in guesses] == ["already_used"] * 2
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert seen["used_at"] is not None


async def test_a_repeated_request_gets_one_challenge_whatever_changed_meanwhile(
    bank: Bank, service: Deployment
) -> None:
    """After a lost answer a PIN became active, or the keyring got another root: the id holds both, and none counts."""
    psu = unique_psu()
    order = ChallengeOrder(psu_id=psu["id"], purpose=Purpose.LOGIN, phone=PhoneNumber.parse(psu["phone"]))
    caller, unique = Caller("bank", "req_12345678"), secrets.token_hex(16)
    settings = read_settings(service.config(service.api.port))
    async with open_core(settings) as core:
        first = await issuer(core, core.assessor()).issue(caller, order, unique=unique)
        await pin_enrolled(bank, psu, PIN)
        again = await issuer(core, core.assessor()).issue(caller, order, unique=unique)
    rotated = replace(settings, keyring=another_root(service.keyring_file.read_text("utf-8")))
    async with open_core(rotated) as core:
        late = await issuer(core, core.assessor()).issue(caller, order, unique=unique)
        fresh = await issuer(core, core.assessor()).issue(caller, order, unique=secrets.token_hex(16))
    assert again.state.id == late.state.id == first.state.id
    assert not first.state.asks_pin
    assert fresh.state.asks_pin
    assert fresh.state.id[7:9] != first.state.id[7:9]


def another_root(text: str) -> Keyring:
    """The keyring with one more root, which is used from now on."""
    content = json.loads(text)
    content["current"] = 2
    content["roots"]["2"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return Keyring.parse(json.dumps(content))
