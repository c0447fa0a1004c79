"""A suspended authenticator answers nothing, on any replica, until it is resumed; and what rested on it is void."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests import device, passkey, signer
from tests.generator import Generator, activate, enrol, enrolled, login, path, pin_enrolled
from tests.harness import Bank, Deployment, Role, order, unique_psu

PIN = "493817"
ROUNDS = 10


@pytest.fixture(scope="module")
def second_api(service: Deployment) -> Iterator[Role]:
    """Another api process beside the first, which takes passkeys too."""
    role = passkey.start_api(service)
    yield role
    role.stop()
    service.forget(role)


@pytest.fixture
async def other(service: Deployment, second_api: Role) -> AsyncIterator[Bank]:
    """The same bank at the other replica."""
    async with service.bank(url=second_api.url) as bank:
        yield bank


async def change(bank: Bank, psu: dict[str, str], authenticator: str, verb: str) -> dict[str, Any]:
    """Suspend or resume one; asserts that it was found."""
    response = await bank.http.post(f"{path(psu)}/{authenticator}/{verb}", json={})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def states(bank: Bank, psu: dict[str, str]) -> list[str]:
    """Where a payer's authenticators stand, the oldest first."""
    return [one["state"] for one in (await bank.http.get(path(psu))).json()["data"]]


async def refused_at(bank: Bank, psu: dict[str, str], **members: Any) -> str:
    """Where a challenge is refused."""
    wanted = {"purpose": "login", "transaction": None, "channels": None} | members
    response = await bank.http.post("/v1/challenges", json=order(psu=psu, **wanted))
    assert response.status_code == 422, response.text
    pointer: str = response.json()["errors"][0]["pointer"]
    return pointer


async def word_of(bank: Bank, psu: dict[str, str], generator: Generator) -> str:
    """What an approved enrolment challenge gives."""
    challenge = await login(bank, psu, "hotp", purpose="enrolment")
    told = await bank.verify(challenge, generator.code(), None)
    word: str = told["authentication_code"]
    return word


@pytest.mark.parametrize("kind", ["totp", "hotp"])
async def test_a_suspended_generator_answers_nothing_until_it_is_resumed(
    bank: Bank, other: Bank, kind: str
) -> None:
    """At the other replica at once: its challenge is void, none is issued; a challenge by SMS goes on."""
    psu = unique_psu()
    authenticator, generator = await enrolled(bank, psu, kind)
    waiting, by_sms = await login(bank, psu, kind), (await bank.issue(psu=psu))["id"]
    body = await change(bank, psu, authenticator, "suspend")
    assert (body["id"], body["state"]) == (authenticator, "suspended")
    assert (await other.verify(waiting, generator.code(), None))["outcome"] == "cancelled"
    assert await refused_at(other, psu, method=kind) == "/method"
    assert (await other.get(by_sms))["status"] == "pending"
    assert await states(other, psu) == ["suspended"]
    assert (await change(other, psu, authenticator, "resume"))["state"] == "active"
    told = await bank.verify(await login(bank, psu, kind), generator.code(), None)
    assert told["outcome"] == "approved"


async def test_a_suspended_device_is_not_known(bank: Bank, other: Bank, second_api: Role) -> None:
    """Its requests are refused at the other replica; what only it was asked is void; its key comes back as it was."""
    psu = unique_psu()
    held = await device.enrolled(bank, psu)
    issued = await device.asked(bank, psu)
    (shown,) = await held.asked()
    await change(bank, psu, held.id, "suspend")
    url = f"{second_api.url}/device/v1"
    late = await held.answer(issued["id"], held.approval(shown, issued["matching_digits"]), url=url)
    assert (late.status_code, late.json()["code"]) == (401, "invalid-proof")
    voided = await other.get(issued["id"])
    assert (voided["status"], voided["reason"]) == ("cancelled", "authenticator_suspended")
    assert await refused_at(other, psu, method="device_signature") == "/method"
    await change(other, psu, held.id, "resume")
    assert await held.approve(await device.asked(bank, psu)) == "approved"


async def test_a_suspended_signer_answers_no_question(bank: Bank, other: Bank) -> None:
    """A generator that signs: its own question is void, also where another could sign."""
    psu = unique_psu()
    first, older = await signer.enrolled(bank, psu)
    challenge = await login(bank, psu, "ocra", purpose="enrolment")
    question = (await bank.get(challenge))["ocra_question"]
    word = (await bank.verify(challenge, older.answer(question), None))["authentication_code"]
    second, _ = await signer.enrolled(bank, psu, authorisation=word)
    asked, question = await signer.payment(bank, psu)
    await change(bank, psu, first, "suspend")
    assert (await other.get(asked))["status"] == "pending"  # the newest one was asked
    await change(bank, psu, first, "resume")
    await change(bank, psu, second, "suspend")
    assert (await other.get(asked))["status"] == "cancelled"
    again, question = await signer.payment(other, psu)
    assert (await other.verify(again, older.answer(question)))["outcome"] == "approved"


async def test_a_suspended_passkey_is_not_asked(other: Bank) -> None:
    """Neither asked nor heard; what asks another one too goes on."""
    psu = unique_psu()
    first, lost = await passkey.enrolled(other, psu)
    word = await passkey.word_of(other, psu, lost)
    await passkey.enrolled(other, psu, authorisation=word)
    waiting = await passkey.login(other, psu)
    await change(other, psu, first, "suspend")
    told = await passkey.verify(other, waiting, lost.answer(waiting["passkey_request"]), None)
    assert told["outcome"] == "incorrect"
    (asked,) = (await passkey.login(other, psu))["passkey_request"]["allowCredentials"]
    assert asked["id"] != lost.name


async def test_a_suspended_pin_is_not_asked(bank: Bank, other: Bank) -> None:
    """What asks for it is void; a challenge that rests on the code alone stays, and a new one says what it lacks."""
    psu = unique_psu()
    authenticator = await pin_enrolled(bank, psu, PIN)
    asked, alone = await bank.issue(psu=psu), await bank.issue(psu=psu, elements_presented=["knowledge"])
    assert asked["pin_asked"] is True
    await change(bank, psu, authenticator, "suspend")
    assert (await other.get(asked["id"]))["status"] == "cancelled"
    assert (await other.get(alone["id"]))["status"] == "pending"
    without = await other.issue(psu=psu)
    assert (without["pin_asked"], without["sca"]) == (False, False)
    await change(other, psu, authenticator, "resume")
    assert (await bank.issue(psu=psu))["pin_asked"] is True


async def test_a_suspended_line_is_not_called(bank: Bank, other: Bank) -> None:
    """Codes on their way to it are void, those to another line are not; the service sends nothing to it any more."""
    psu = unique_psu()
    line = {"type": "phone", "label": "Anna", "phone": psu["phone"], "locale": "de-DE"}
    body = (await bank.http.post(path(psu), json=line)).json()
    authenticator = body["authenticator"]["id"]
    activated = await activate(bank, psu, authenticator, await bank.code(psu["phone"]))
    assert activated.json()["outcome"] == "activated"
    alone, elsewhere = {"id": psu["id"]}, psu | {"phone": unique_psu()["phone"]}
    to_it, to_another = await bank.issue(psu=alone), await bank.issue(psu=elsewhere)
    code = await bank.code(psu["phone"], number=2)
    await change(bank, psu, authenticator, "suspend")
    assert (await other.verify(to_it["id"], code))["outcome"] == "cancelled"
    assert (await other.get(to_another["id"]))["status"] == "pending"
    assert await refused_at(other, alone, channels=[{"channel": "sms"}]) == "/psu/phone"
    await change(other, psu, authenticator, "resume")
    assert (await bank.issue(psu=alone))["status"] == "pending"


async def test_to_suspend_again_is_as_once(bank: Bank, auditor: Bank) -> None:
    """One event of each; to resume what is active, or to suspend what is pending or revoked, changes nothing."""
    psu = unique_psu()
    authenticator, _ = await enrolled(bank, psu, "hotp")
    first = await change(bank, psu, authenticator, "suspend")
    assert await change(bank, psu, authenticator, "suspend") == first
    for _ in range(2):
        assert (await change(bank, psu, authenticator, "resume"))["state"] == "active"
    params = {"psu": psu["id"], "limit": "200"}
    found = (await auditor.http.get("/v1/audit/events", params=params)).json()["data"]
    told = [(one["type"], one.get("reason")) for one in found if one.get("authenticator") == authenticator]
    assert sorted(told, key=str) == [
        ("authenticator.activated", None),
        ("authenticator.enrolled", None),
        ("authenticator.resumed", None),
        ("authenticator.suspended", "client_request"),
    ]
    newcomer = unique_psu()
    pending = (await enrol(bank, newcomer, "hotp")).json()["authenticator"]["id"]
    for verb in ("suspend", "resume"):
        assert (await change(bank, newcomer, pending, verb))["state"] == "pending"
    await bank.http.delete(f"{path(newcomer)}/{pending}")
    for verb in ("suspend", "resume"):
        assert (await change(bank, newcomer, pending, verb))["state"] == "revoked"


async def test_nobody_else_suspends_it(bank: Bank, other_bank: Bank) -> None:
    """Neither another client, nor under another payer, nor by a name that none has."""
    psu, stranger = unique_psu(), unique_psu()
    authenticator, _ = await enrolled(bank, psu, "hotp")
    for verb in ("suspend", "resume"):
        for caller, place in (
            (other_bank, f"{path(psu)}/{authenticator}"),
            (bank, f"{path(stranger)}/{authenticator}"),
            (bank, f"{path(psu)}/aut_{'0' * 32}"),
            (bank, f"{path(psu)}/%00"),
        ):
            response = await caller.http.post(f"{place}/{verb}", json={})
            assert response.status_code == 404, (verb, place)
    assert await states(bank, psu) == ["active"]


@pytest.mark.parametrize("members", [{"type": "hotp"}, {"type": "pin", "pin": PIN}, {"type": "device_key"}])
async def test_a_payer_whose_only_one_is_suspended_has_no_first_one(
    bank: Bank, members: dict[str, Any]
) -> None:
    """RTS Art. 24: or whoever has an authenticator suspended would enrol their own in its place."""
    psu = unique_psu()
    authenticator, _ = await enrolled(bank, psu, "hotp")
    await change(bank, psu, authenticator, "suspend")
    response = await bank.http.post(path(psu), json={"label": "Eve"} | members)
    assert (response.status_code, response.json()["code"]) == (409, "authorisation-required")
    assert await states(bank, psu) == ["suspended"]


async def test_what_waits_for_activation_goes_with_it(bank: Bank) -> None:
    """Enrolled as a first one, or by its word: whoever it is suspended for may have prepared them."""
    psu = unique_psu()
    first = (await enrol(bank, psu, "hotp")).json()
    authenticator, generator = await enrolled(bank, psu, "hotp")
    word = await word_of(bank, psu, generator)
    by_word = (await enrol(bank, psu, "hotp", authorisation=word)).json()
    await change(bank, psu, authenticator, "suspend")
    assert await states(bank, psu) == ["suspended"]
    for body in (first, by_word):
        code = Generator(body["otpauth_uri"]).code()
        late = (await activate(bank, psu, body["authenticator"]["id"], code)).json()
        assert late["outcome"] == "not_pending"


async def test_a_word_from_before_is_void(bank: Bank) -> None:
    """Also once it is resumed; one that is given after that enrols (RTS Art. 24, 27)."""
    psu = unique_psu()
    authenticator, generator = await enrolled(bank, psu, "hotp")
    words = [await word_of(bank, psu, generator) for _ in range(2)]
    await change(bank, psu, authenticator, "suspend")
    void = await enrol(bank, psu, "hotp", authorisation=words[0])
    await change(bank, psu, authenticator, "resume")
    still_void = await enrol(bank, psu, "hotp", authorisation=words[1])
    for response in (void, still_void):
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    await asyncio.sleep(1.01)  # a word says by the second when it was given
    word = await word_of(bank, psu, generator)
    assert (await enrol(bank, psu, "hotp", authorisation=word)).status_code == 201


async def test_a_suspended_one_is_revoked_for_good(bank: Bank) -> None:
    """It is in nobody's list any more, and does not come back; a first one may be enrolled then."""
    psu = unique_psu()
    authenticator, generator = await enrolled(bank, psu, "hotp")
    await change(bank, psu, authenticator, "suspend")
    codes = {"codes": [generator.code(), generator.code()]}
    lost = await bank.http.post(f"{path(psu)}/{authenticator}/resynchronise", json=codes)
    assert (lost.json()["outcome"], lost.json()["authenticator"]["state"]) == ("not_active", "suspended")
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
    assert await states(bank, psu) == []
    assert (await change(bank, psu, authenticator, "resume"))["state"] == "revoked"
    assert await refused_at(bank, psu, method="hotp") == "/method"
    await enrolled(bank, psu, "hotp")


async def test_a_new_pin_puts_out_a_suspended_one(bank: Bank) -> None:
    """A payer knows one PIN: the old one is not resumed beside it."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    old = await pin_enrolled(bank, psu, PIN, authorisation=await word_of(bank, psu, generator))
    challenge = await login(bank, psu, "hotp", purpose="enrolment")
    word = (await bank.verify(challenge, generator.code(), None))["authentication_code"]
    await change(bank, psu, old, "suspend")
    await asyncio.sleep(1.01)  # a word says by the second when it was given
    assert (await enrol(bank, psu, "hotp", authorisation=word)).status_code == 422
    await pin_enrolled(bank, psu, "271828", authorisation=await word_of(bank, psu, generator))
    assert (await change(bank, psu, old, "resume"))["state"] == "revoked"
    assert await states(bank, psu) == ["active", "active"]


@pytest.mark.race
async def test_nothing_is_approved_after_a_suspension_was_answered(bank: Bank, other: Bank) -> None:
    """Suspended by one process while another verifies; from its answer on the next code is refused."""
    for _ in range(ROUNDS):
        psu = unique_psu()
        authenticator, generator = await enrolled(bank, psu, "hotp")
        first, second = await login(bank, psu, "hotp"), await login(bank, psu, "hotp")
        place = f"{path(psu)}/{authenticator}/suspend"
        suspended: httpx.Response
        told, suspended = await asyncio.gather(
            other.verify(first, generator.code(), None), bank.http.post(place, json={})
        )
        assert suspended.json()["state"] == "suspended"
        assert told["outcome"] in {"approved", "incorrect", "cancelled"}
        assert (await other.verify(second, generator.code(), None))["outcome"] == "cancelled"


async def test_codes_on_their_way_to_a_replaced_line_are_void(bank: Bank) -> None:
    """A changed number is a new binding: who has the old SIM answers nothing with what it still received."""
    psu, new = unique_psu(), unique_psu()["phone"]
    line = {"type": "phone", "label": "Anna", "locale": "de-DE"}
    body = (await bank.http.post(path(psu), json=line | {"phone": psu["phone"]})).json()
    await activate(bank, psu, body["authenticator"]["id"], await bank.code(psu["phone"]))
    alone = {"id": psu["id"]}
    known = {"purpose": "enrolment", "transaction": None, "elements_presented": ["knowledge"]}
    challenge = await bank.issue(psu=alone, **known)
    told = await bank.verify(challenge["id"], await bank.code(psu["phone"], number=2), None)
    waiting = await bank.issue(psu=alone)
    code = await bank.code(psu["phone"], number=3)
    wanted = line | {"phone": new, "authorisation": told["authentication_code"]}
    made = (await bank.http.post(path(psu), json=wanted)).json()
    activated = await activate(bank, psu, made["authenticator"]["id"], await bank.code(new))
    assert activated.json()["outcome"] == "activated"
    assert (await bank.verify(waiting["id"], code))["outcome"] == "cancelled"
    assert (await bank.issue(psu=alone))["deliveries"][0]["to"].endswith(new[-4:])
