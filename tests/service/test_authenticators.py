"""Authenticators over HTTP: enrolled, activated, used once for each code, revoked; nobody uses another's."""

import asyncio
import time
from typing import Any

import pytest

from tests.generator import Generator, activate, enrol, enrolled, login, path
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu, wrong
from tests.qr import read


async def listed(bank: Bank, psu: dict[str, str]) -> list[dict[str, Any]]:
    """A payer's authenticators."""
    response = await bank.http.get(path(psu))
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def authorisation(bank: Bank, psu: dict[str, str], generator: Generator) -> str:
    """What an approved enrolment challenge gives."""
    challenge = await login(bank, psu, purpose="enrolment")
    verified = await bank.verify(challenge, generator.code(), None)
    assert verified["outcome"] == "approved", verified
    code: str = verified["authentication_code"]
    return code


def let_no_period_end() -> None:
    """A code read now is still the current one for five seconds."""
    left = 30 - time.time() % 30
    if left < 5:
        time.sleep(left + 0.1)


async def test_a_generator_is_enrolled_activated_and_answers(bank: Bank) -> None:
    """The whole way: the URI once, pending, a code, active, a login approved by two elements."""
    psu = unique_psu()
    response = await enrol(bank, psu)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["otpauth_uri"].startswith("otpauth://totp/Example%20Bank:Anna?")
    assert len(Generator(body["otpauth_uri"]).otp.byte_secret()) == 20
    assert read(body["otpauth_qr"]) == body["otpauth_uri"]
    enrolled_one = body["authenticator"]
    assert (enrolled_one["state"], enrolled_one["element"]) == ("pending", "possession")
    let_no_period_end()
    generator = Generator(body["otpauth_uri"])
    activated = (await activate(bank, psu, enrolled_one["id"], generator.code(back=1))).json()
    assert (activated["outcome"], activated["authenticator"]["state"]) == ("activated", "active")

    challenge = await login(bank, psu)
    issued = await bank.get(challenge)
    assert (issued["method"], issued["channel"], issued["deliveries"]) == ("totp", None, [])
    assert (issued["elements"], issued["sca"]) == (["knowledge", "possession"], True)
    verified = await bank.verify(challenge, generator.code(), None)
    assert verified["outcome"] == "approved"
    assert verified["authentication_code"].count(".") == 2
    (seen,) = await listed(bank, psu)
    assert seen["id"] == enrolled_one["id"]
    assert seen["used_at"] is not None
    assert await bank.messages(psu["phone"]) == []


@pytest.mark.parametrize("kind", ["totp", "hotp"])
async def test_a_code_is_accepted_once_over_all_challenges(bank: Bank, kind: str) -> None:
    """RFC 6238 section 5.2, RFC 4226 section 7.2: the next challenge does not take the code of the one before."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, kind)
    let_no_period_end()
    code = generator.code()
    first, second = await login(bank, psu, kind), await login(bank, psu, kind)
    assert (await bank.verify(first, code, None))["outcome"] == "approved"
    assert (await bank.verify(first, code, None))["outcome"] == "already_used"
    replayed = await bank.verify(second, code, None)
    assert (replayed["outcome"], replayed["attempts_left"]) == ("incorrect", 4)


async def test_the_code_that_activated_answers_nothing(bank: Bank) -> None:
    """It was used: an authenticator starts after the step that proved it."""
    psu = unique_psu()
    body = (await enrol(bank, psu)).json()
    let_no_period_end()
    code = Generator(body["otpauth_uri"]).code()
    assert (await activate(bank, psu, body["authenticator"]["id"], code)).json()["outcome"] == "activated"
    assert (await bank.verify(await login(bank, psu), code, None))["outcome"] == "incorrect"


async def test_an_answer_repeated_under_its_key_hears_the_same(bank: Bank) -> None:
    """A client that heard nothing asks again: approved, with the same authentication code, though the step is used."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu)
    let_no_period_end()
    challenge, code = await login(bank, psu), generator.code()
    answers = [
        await bank.http.post(
            f"/v1/challenges/{challenge}/verify", json={"code": code}, headers={"Idempotency-Key": "again"}
        )
        for _ in range(2)
    ]
    assert [answer.json()["outcome"] for answer in answers] == ["approved"] * 2
    assert len({answer.json()["authentication_code"] for answer in answers}) == 1


async def test_hotp_skips_a_few_codes_and_never_goes_back(bank: Bank) -> None:
    """Five may be skipped (RFC 4226 section 7.4); what was skipped is void from then on."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    skipped = generator.code()
    generator.skip(4)
    assert (await bank.verify(await login(bank, psu, "hotp"), generator.code(), None))[
        "outcome"
    ] == "approved"
    assert (await bank.verify(await login(bank, psu, "hotp"), skipped, None))["outcome"] == "incorrect"
    generator.skip(6)
    too_far = await bank.verify(await login(bank, psu, "hotp"), generator.code(), None)
    assert too_far["outcome"] == "incorrect"


async def test_totp_looks_back_one_period_and_no_further(bank: Bank) -> None:
    """RFC 6238 section 5.2: one period; the code of two periods ago is wrong."""
    psu = unique_psu()
    body = (await enrol(bank, psu)).json()
    generator = Generator(body["otpauth_uri"])
    let_no_period_end()
    authenticator = body["authenticator"]["id"]
    old = await activate(bank, psu, authenticator, generator.code(back=2))
    assert (old.json()["outcome"], old.json()["tries_left"]) == ("incorrect", 4)
    assert (await activate(bank, psu, authenticator, generator.code(back=1))).json()["outcome"] == "activated"


@pytest.mark.parametrize("spelled", ["٢٨٧٠٨٢", "287 082", "２８７０８２", "287082\n", "28708２"])
async def test_digits_of_other_scripts_and_spaces_are_no_code(bank: Bank, spelled: str) -> None:
    """A respelled code is refused before it is looked at, and costs no try: it never counts as another one."""
    psu = unique_psu()
    body = (await enrol(bank, psu)).json()
    response = await activate(bank, psu, body["authenticator"]["id"], spelled)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/code"
    assert spelled.strip() not in response.text
    challenge_of_nobody = await bank.answer("chl_" + "0" * 38, spelled, None)
    assert challenge_of_nobody.status_code == 422


async def test_five_wrong_codes_revoke_what_is_pending(bank: Bank) -> None:
    """RTS Art. 4(3)(b), for activation too; parallel guesses share the five."""
    psu = unique_psu()
    body = (await enrol(bank, psu)).json()
    authenticator, generator = body["authenticator"]["id"], Generator(body["otpauth_uri"])
    bad = wrong(generator.code())
    tried = await asyncio.gather(*(activate(bank, psu, authenticator, bad) for _ in range(20)))
    outcomes = [one.json()["outcome"] for one in tried]
    assert outcomes.count("incorrect") == 5
    assert set(outcomes) <= {"incorrect", "not_pending", "expired"}
    late = (await activate(bank, psu, authenticator, generator.code())).json()
    assert late["outcome"] == "not_pending"
    assert await listed(bank, psu) == []


async def test_a_later_one_needs_the_word_of_an_active_one(bank: Bank, service: Deployment) -> None:
    """RTS Art. 24: an approved enrolment challenge of this payer, with two elements, once."""
    psu, other = unique_psu(), unique_psu()
    _, generator = await enrolled(bank, psu)
    let_no_period_end()
    refused = await enrol(bank, psu, "hotp")
    assert (refused.status_code, refused.json()["code"]) == (409, "authorisation-required")
    word = await authorisation(bank, psu, generator)
    forged = word[:-6] + ("AAAAAA" if word[-6:] != "AAAAAA" else "BBBBBB")
    for text, whose in ((forged, psu), (word, other), ("a.b.c", psu), ("", psu)):
        response = await enrol(bank, whose, "hotp", authorisation=text)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    async with service.bank(client="other-bank") as stranger:
        assert (await enrol(stranger, psu, "hotp", authorisation=word)).status_code == 422
    await enrolled(bank, psu, "hotp", authorisation=word)
    again = await enrol(bank, psu, "hotp", authorisation=word)
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    assert [one["type"] for one in await listed(bank, psu)] == ["totp", "hotp"]


async def test_an_enrolment_that_cannot_be_strong_is_refused_when_it_is_issued(bank: Bank) -> None:
    """RTS Art. 24(2)(b): a remote enrolment rests on strong customer authentication, so one element is not asked."""
    psu = unique_psu()
    await enrolled(bank, psu)
    body: dict[str, Any] = {"psu": psu, "purpose": "enrolment", "method": "totp"}
    refused = await bank.http.post("/v1/challenges", json=body)
    mistake = refused.json()["errors"][0]
    assert (refused.status_code, mistake["pointer"]) == (422, "/elements_presented")
    assert "possession only" in mistake["detail"]
    strong = await bank.http.post("/v1/challenges", json=body | {"elements_presented": ["knowledge"]})
    assert strong.json()["sca"] is True


async def test_two_first_ones_do_not_both_become_active(bank: Bank) -> None:
    """Enrolled in parallel when the payer had none: the second to be activated is a later one, and needs a word."""
    psu = unique_psu()
    pending = [(await enrol(bank, psu, "hotp")).json() for _ in range(2)]
    answers = await asyncio.gather(
        *(
            activate(bank, psu, one["authenticator"]["id"], Generator(one["otpauth_uri"]).code())
            for one in pending
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [one["state"] for one in await listed(bank, psu)].count("active") == 1


async def test_a_revoked_one_answers_nothing_and_voids_what_is_pending(
    bank: Bank, service: Deployment
) -> None:
    """RTS Art. 27: its pending challenges are cancelled, others stay; it is gone for good."""
    psu = unique_psu()
    authenticator, generator = await enrolled(bank, psu)
    let_no_period_end()
    its_own = await login(bank, psu)
    by_sms = (await bank.issue(psu=psu))["id"]
    async with service.bank(client="other-bank") as stranger:
        assert (await stranger.http.delete(f"{path(psu)}/{authenticator}")).status_code == 404
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204, "again is as once"
    voided = await bank.get(its_own)
    assert (voided["status"], voided["reason"]) == ("cancelled", "authenticator_revoked")
    assert (await bank.verify(its_own, generator.code(), None))["outcome"] == "cancelled"
    assert (await bank.get(by_sms))["status"] == "pending"
    response = await bank.http.post(
        "/v1/challenges",
        json=order(psu=psu, purpose="login", transaction=None, channels=None, method="totp"),
    )
    assert response.json()["errors"] == [
        {"pointer": "/method", "detail": "the payer has no active authenticator of this type"}
    ]
    assert await listed(bank, psu) == []


async def test_a_payment_takes_no_code_of_a_generator(bank: Bank) -> None:
    """RTS Art. 5(1)(b): the code has to be specific to amount and payee, and a generator shows one for all."""
    psu = unique_psu()
    await enrolled(bank, psu)
    response = await bank.http.post("/v1/challenges", json=order(psu=psu, method="totp", channels=None))
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/method"
    assert "Art. 5" in response.json()["errors"][0]["detail"]


async def test_nothing_is_sent_so_no_channel_is_taken(bank: Bank) -> None:
    """A channel would be ignored, and a wish is never ignored; there is no next one either."""
    psu = unique_psu()
    await enrolled(bank, psu)
    response = await bank.http.post(
        "/v1/challenges", json=order(psu=psu, purpose="login", transaction=None, method="totp")
    )
    assert response.json()["errors"][0]["pointer"] == "/channels"
    challenge = await login(bank, psu)
    nothing_next = await bank.http.post(f"/v1/challenges/{challenge}/next", json={})
    assert (nothing_next.status_code, nothing_next.json()["code"]) == (409, "no-more-channels")


async def test_another_client_neither_answers_nor_uses_up_a_code(bank: Bank, service: Deployment) -> None:
    """A stranger's answer to a challenge is a 404, and the code still works for whom it belongs to."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu)
    let_no_period_end()
    challenge, code = await login(bank, psu), generator.code()
    async with service.bank(client="other-bank") as stranger:
        assert (await stranger.answer(challenge, code, None)).status_code == 404
    assert (await bank.verify(challenge, code, None))["outcome"] == "approved"


async def test_wrong_codes_of_a_generator_block_the_payer(bank: Bank) -> None:
    """RTS Art. 4(3)(b): five in a row, whatever the method; then the right one is refused too."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu)
    let_no_period_end()
    challenge, code = await login(bank, psu), generator.code()
    outcomes = [(await bank.verify(challenge, wrong(code), None))["outcome"] for _ in range(5)]
    assert outcomes == ["incorrect"] * 5
    assert (await bank.verify(challenge, code, None))["outcome"] == "blocked"


async def test_the_seed_leaves_once(bank: Bank) -> None:
    """The same request under its key is the same authenticator, without the URI."""
    psu = unique_psu()
    body, key = {"type": "totp", "label": "Anna"}, {"Idempotency-Key": f"enrol-{psu['id']}"}
    first = await bank.http.post(path(psu), json=body, headers=key)
    again = await bank.http.post(path(psu), json=body, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json() | {"otpauth_uri": None, "otpauth_qr": None}
    assert first.json()["otpauth_uri"] is not None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "sms", "label": "Anna"}, "/type"),
        ({"type": "totp", "label": ""}, "/label"),
        ({"type": "totp", "label": "a\u202eb"}, "/label"),
        ({"type": "totp", "label": "x" * 65}, "/label"),
        ({"type": "totp"}, "/label"),
        ({"type": "totp", "label": "Anna", "seed": "AAAA"}, "/seed"),
    ],
)
async def test_what_cannot_be_enrolled_is_named(bank: Bank, body: dict[str, Any], pointer: str) -> None:
    """A 422 with its place, and nothing is stored."""
    psu = unique_psu()
    response = await bank.http.post(path(psu), json=body)
    assert response.status_code == 422
    assert pointer in {one["pointer"] for one in response.json()["errors"]}, response.text
    assert await listed(bank, psu) == []


async def test_a_payment_by_sms_goes_on_beside_a_generator(bank: Bank) -> None:
    """Who has a generator still confirms payments by a code that fits them."""
    psu = unique_psu()
    await enrolled(bank, psu)
    challenge = (await bank.issue(psu=psu))["id"]
    assert (await bank.verify(challenge, await bank.code(psu["phone"]), TRANSACTION))["outcome"] == "approved"


async def resync(bank: Bank, psu: dict[str, str], authenticator: str, *codes: str) -> dict[str, Any]:
    """Try to find a generator's counter; asserts that it came to an outcome."""
    response = await bank.http.post(f"{path(psu)}/{authenticator}/resynchronise", json={"codes": list(codes)})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_two_codes_in_a_row_find_a_generator_that_ran_away(bank: Bank) -> None:
    """RFC 4226 section 7.4; neither of the two, nor any before them, is ever taken again."""
    psu = unique_psu()
    authenticator, generator = await enrolled(bank, psu, "hotp")
    skipped = generator.code()
    generator.skip(60)
    first, second = generator.code(), generator.code()
    assert (await bank.verify(await login(bank, psu, "hotp"), first, None))["outcome"] == "incorrect"
    assert (await resync(bank, psu, authenticator, second, first))["outcome"] == "incorrect"
    assert (await resync(bank, psu, authenticator, first, second))["outcome"] == "resynchronised"
    again = await resync(bank, psu, authenticator, first, second)
    assert (again["outcome"], again["tries_left"]) == ("incorrect", 4)
    for used in (skipped, first, second):
        assert (await bank.verify(await login(bank, psu, "hotp"), used, None))["outcome"] == "incorrect"
    verified = await bank.verify(await login(bank, psu, "hotp"), generator.code(), None)
    assert verified["outcome"] == "approved"


async def test_guessing_at_two_codes_revokes_the_generator(bank: Bank) -> None:
    """Five wrong tries; it is no way around the lockout. A generator of time has no counter to find."""
    psu = unique_psu()
    authenticator, _ = await enrolled(bank, psu, "hotp")
    tried = [await resync(bank, psu, authenticator, "000000", "000000") for _ in range(6)]
    assert [one["outcome"] for one in tried] == ["incorrect"] * 5 + ["not_active"]
    assert tried[4]["tries_left"] == 0
    assert await listed(bank, psu) == []
    other = unique_psu()
    timed, _ = await enrolled(bank, other)
    response = await bank.http.post(
        f"{path(other)}/{timed}/resynchronise", json={"codes": ["000000", "000001"]}
    )
    assert response.status_code == 404


async def test_a_repetition_is_told_again_whatever_was_used_since(bank: Bank) -> None:
    """The answer under its key is not evaluated anew: a later code, used elsewhere, does not take the approval back."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    challenge, code, key = await login(bank, psu, "hotp"), generator.code(), {"Idempotency-Key": "once-more"}
    place, body = f"/v1/challenges/{challenge}/verify", {"code": code}
    first = (await bank.http.post(place, json=body, headers=key)).json()
    assert (await bank.verify(await login(bank, psu, "hotp"), generator.code(), None))[
        "outcome"
    ] == "approved"
    again = (await bank.http.post(place, json=body, headers=key)).json()
    assert (again["outcome"], again["authentication_code"]) == ("approved", first["authentication_code"])
    fresh = generator.code()
    other = (await bank.http.post(place, json={"code": fresh}, headers=key)).json()
    assert other["outcome"] == "already_used"
    assert (await bank.verify(await login(bank, psu, "hotp"), fresh, None))["outcome"] == "approved"


async def test_what_a_revoked_one_allowed_goes_with_it(bank: Bank) -> None:
    """RTS Art. 24, 27: neither what is pending on its word, nor a word not yet used, outlives it."""
    psu = unique_psu()
    thief, generator = await enrolled(bank, psu, "hotp")
    words = []
    for _ in range(2):
        challenge = await login(bank, psu, "hotp", purpose="enrolment")
        words.append((await bank.verify(challenge, generator.code(), None))["authentication_code"])
    pending = (await enrol(bank, psu, "hotp", authorisation=words[0])).json()
    assert (await bank.http.delete(f"{path(psu)}/{thief}")).status_code == 204
    code = Generator(pending["otpauth_uri"]).code()
    late = (await activate(bank, psu, pending["authenticator"]["id"], code)).json()
    assert late["outcome"] == "not_pending"
    refused = await enrol(bank, psu, "hotp", authorisation=words[1])
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    assert await listed(bank, psu) == []


async def test_a_challenge_that_another_one_can_answer_stays(bank: Bank) -> None:
    """Of two generators one is revoked: the challenge goes on with the other."""
    psu = unique_psu()
    first, generator = await enrolled(bank, psu, "hotp")
    challenge = await login(bank, psu, "hotp", purpose="enrolment")
    word = (await bank.verify(challenge, generator.code(), None))["authentication_code"]
    _, other = await enrolled(bank, psu, "hotp", authorisation=word)
    challenge = await login(bank, psu, "hotp")
    assert (await bank.http.delete(f"{path(psu)}/{first}")).status_code == 204
    assert (await bank.verify(challenge, other.code(), None))["outcome"] == "approved"


async def test_a_generator_that_guesses_revoke_voids_its_challenges(bank: Bank) -> None:
    """The fifth wrong try at its counter ends it, as a revocation does, and the answer says so."""
    psu = unique_psu()
    authenticator, _ = await enrolled(bank, psu, "hotp")
    challenge = await login(bank, psu, "hotp")
    tried = [await resync(bank, psu, authenticator, "000000", "000000") for _ in range(5)]
    assert [one["authenticator"]["state"] for one in tried] == ["active"] * 4 + ["revoked"]
    assert (await bank.get(challenge))["status"] == "cancelled"


async def test_a_wrong_last_try_takes_nothing_back_that_succeeded(bank: Bank) -> None:
    """A right fourth code beside a wrong fifth: who was told `activated` has an active one."""
    for _ in range(8):
        psu = unique_psu()
        body = (await enrol(bank, psu, "hotp")).json()
        authenticator, code = body["authenticator"]["id"], Generator(body["otpauth_uri"]).code()
        for _ in range(3):
            await activate(bank, psu, authenticator, wrong(code))
        answers = await asyncio.gather(
            activate(bank, psu, authenticator, code), activate(bank, psu, authenticator, wrong(code))
        )
        if "activated" in [answer.json()["outcome"] for answer in answers]:
            assert [one["state"] for one in await listed(bank, psu)] == ["active"]


@pytest.mark.parametrize("name", ["%00", "aut_", "aut_" + "0" * 31, "aut_" + "g" * 32, "chl_" + "0" * 32])
async def test_what_no_authenticator_is_called_is_not_found(bank: Bank, name: str) -> None:
    """It reaches no store."""
    place = f"{path(unique_psu())}/{name}"
    assert (await bank.http.delete(place)).status_code == 404
    assert (await bank.http.post(f"{place}/activate", json={"code": "123456"})).status_code == 404
    codes = {"codes": ["123456", "123456"]}
    assert (await bank.http.post(f"{place}/resynchronise", json=codes)).status_code == 404
