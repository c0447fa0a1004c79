"""RTS Art. 6 to 9: what each element is, how it is protected, and that two are two."""

import json

import asyncpg

from tests.device import asked, base64url, claims_of, enrol, send
from tests.device import enrolled as device_enrolled
from tests.generator import enrolled, login, path, pin_enrolled
from tests.harness import Bank, Deployment, order, unique_psu, wrong

PIN = "493817"


async def test_6_1_a_known_secret_is_not_guessed_easily(bank: Bank) -> None:
    """Trivial PINs are refused, and so is one shorter than the policy asks for."""
    for pin in ("111111", "123456", "4938"):
        response = await bank.http.post(path(unique_psu()), json={"type": "pin", "label": "Anna", "pin": pin})
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/pin")


async def test_6_1_a_known_secret_is_disclosed_to_nobody(bank: Bank) -> None:
    """No answer of the API repeats the PIN: neither when it is enrolled, nor listed, nor given wrongly."""
    psu = unique_psu()
    made = await bank.http.post(path(psu), json={"type": "pin", "label": "Anna", "pin": PIN})
    place = f"{path(psu)}/{made.json()['authenticator']['id']}/activate"
    tried = [await bank.http.post(place, json={"pin": pin}) for pin in ("493818", PIN, PIN)]
    said = [made, *tried, await bank.http.get(path(psu))]
    assert PIN not in " ".join(answer.text for answer in said)


async def test_7_1_possession_cannot_be_replicated_from_what_the_service_tells(bank: Bank) -> None:
    """The seed of a generator leaves once; nothing that can be read later holds it."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu)
    listed = (await bank.http.get(path(psu))).text
    assert generator.otp.secret not in listed
    assert "otpauth" not in listed


async def test_4_1_two_elements_are_of_two_categories(bank: Bank) -> None:
    """A generator beside what the bank answers for: knowledge makes it strong, another possession does not."""
    psu = unique_psu()
    await enrolled(bank, psu)
    for presented, sca in (
        (["knowledge"], True),
        (["possession"], False),
        (["inherence"], True),
        ([], False),
    ):
        issued = await bank.get(await login(bank, psu, elements_presented=presented))
        assert issued["sca"] is sca
        assert set(issued["elements"]) == {*presented, "possession"}


async def test_9_1_a_breach_of_one_element_leaves_the_other(bank: Bank) -> None:
    """Who has the code alone, or the PIN alone, is refused alike; the PIN is revoked without the payer's line."""
    psu = unique_psu()
    authenticator = await pin_enrolled(bank, psu, PIN)
    challenge = (await bank.issue(psu=psu))["id"]
    transaction = order()["transaction"]
    code = await bank.code(psu["phone"])
    for shown, known in ((code, "493818"), ("000000" if code != "000000" else "111111", PIN)):
        body = {"code": shown, "pin": known, "transaction": transaction}
        told = (await bank.http.post(f"/v1/challenges/{challenge}/verify", json=body)).json()
        assert (told["outcome"], told["authentication_code"]) == ("incorrect", None)
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
    again = await bank.issue(psu=psu)
    assert (again["pin_asked"], again["sca"]) == (False, False)


async def test_7_1_a_key_cannot_be_replicated_from_what_the_service_has(
    bank: Bank, service: Deployment
) -> None:
    """Only the public part ever comes here: a private one is refused, and what is stored cannot sign."""
    psu = unique_psu()
    device, code = await enrol(bank, psu)
    url, body = f"{device.url}/activate", {"authenticator": device.id, "activation_code": code}
    raw = json.dumps(body).encode()
    private = device.jwk | {"d": base64url(b"1" * 32)}
    claims = claims_of(device.proof("POST", url, raw))
    signed = device.sign({"typ": "dpop+jwt", "jwk": private}, claims)
    assert (await send("POST", url, raw, [("DPoP", signed)])).status_code == 401
    assert (await device.activate(code)).json()["outcome"] == "activated"
    connection = await asyncpg.connect(service.servers.postgres.url)
    sealed = await connection.fetchval("SELECT sealed FROM authenticators WHERE id = $1", device.id)
    await connection.close()
    opened = service.keyring.open(sealed, device.id)
    assert device.jwk["x"].encode() in opened
    assert b'"d"' not in opened


async def test_8_1_inherence_is_claimed_only_where_the_bank_answers_for_it(bank: Bank) -> None:
    """Of a device that asks for nothing before its key signs, an approval is possession alone."""
    for unlocked_by, elements in (
        (None, ["possession"]),
        ("inherence", ["possession", "inherence"]),
        ("knowledge", ["knowledge", "possession"]),
    ):
        psu = unique_psu()
        await device_enrolled(bank, psu, unlocked_by=unlocked_by)
        issued = await asked(bank, psu)
        assert (issued["elements"], issued["sca"]) == (elements, unlocked_by is not None)


async def test_9_1_what_came_over_the_code_s_own_channel_is_no_second_element(bank: Bank) -> None:
    """Who reads the payer's texts has both the code and a PIN that was typed there."""
    presented = {"elements_presented": ["knowledge"]}
    together = await bank.issue(**presented, presented_over={"knowledge": "sms"})
    apart = await bank.issue(**presented, presented_over={"knowledge": "voice"})
    assert (together["elements"], together["sca"]) == (["possession"], False)
    assert (apart["elements"], apart["sca"]) == (["knowledge", "possession"], True)


async def test_9_2_a_phone_in_wrong_hands_approves_nothing_by_itself(bank: Bank) -> None:
    """The payer repeats two digits of the bank's page; an app that is only asked has them wrong, and that counts."""
    psu = unique_psu()
    device = await device_enrolled(bank, psu)
    issued = await asked(bank, psu)
    (shown,) = await device.asked()
    assert shown["matching_digits_needed"] is True
    assert "matching_digits" not in shown
    guess = device.approval(shown, wrong(issued["matching_digits"]))
    assert await device.answered(issued["id"], guess) == ("incorrect", 4)
    for digits in ("", "0", None):
        assert (
            await device.answer(issued["id"], device.approval(shown, "00", **{"digits": digits}))
        ).status_code == 422
    assert (await bank.get(issued["id"]))["status"] == "pending"


async def test_9_3_c_a_phone_that_is_lost_or_altered_is_put_out_at_once(bank: Bank) -> None:
    """Suspended, it is asked nothing and answers nothing, and what it was asked is void; it may be resumed."""
    psu = unique_psu()
    device = await device_enrolled(bank, psu)
    issued = await asked(bank, psu)
    place = f"{path(psu)}/{device.id}"
    assert (await bank.http.post(f"{place}/suspend", json={})).json()["state"] == "suspended"
    right = device.approval(issued, issued["matching_digits"])
    assert (await device.answer(issued["id"], right)).status_code == 401
    assert (await bank.get(issued["id"]))["status"] == "cancelled"
    assert (await bank.http.post(f"{place}/resume", json={})).json()["state"] == "active"
    assert (await device.answered(issued["id"], right))[0] == "cancelled"
