"""RTS Art. 23 to 27: security credentials are made, bound, renewed and destroyed under control."""

import asyncpg

from tests.device import Device, asked, authorisation
from tests.device import enrol as enrol_device
from tests.device import enrolled as device_enrolled
from tests.generator import activate, enrol, enrolled, login, path
from tests.harness import Bank, Deployment, unique_psu, wrong


async def _word(bank: Bank, psu: dict[str, str], code: str, **members: object) -> str:
    challenge = await login(bank, psu, "hotp", **({"purpose": "enrolment"} | members))
    verified = await bank.verify(challenge, code, None)
    assert verified["outcome"] == "approved"
    authorisation: str = verified["authentication_code"]
    return authorisation


async def test_23_credentials_are_made_in_the_service_and_stored_sealed(
    bank: Bank, service: Deployment
) -> None:
    """The seed is 160 random bits of the service; what lies in the table opens with the keyring only."""
    psu = unique_psu()
    authenticator, generator = await enrolled(bank, psu, "hotp")
    connection = await asyncpg.connect(service.servers.postgres.url)
    row = await connection.fetchrow("SELECT * FROM authenticators WHERE id = $1", authenticator)
    await connection.close()
    assert row is not None
    assert len(generator.otp.byte_secret()) * 8 == 160
    stored = " ".join(map(str, row.values()))
    for clear in (generator.otp.secret, generator.otp.byte_secret().hex(), psu["id"], "Anna"):
        assert clear not in stored


async def test_24_1_only_this_payer_is_bound(bank: Bank) -> None:
    """One payer's word binds nothing to another, and one's code activates nothing of another."""
    psu, other = unique_psu(), unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    word = await _word(bank, psu, generator.code())
    assert (await enrol(bank, other, "hotp", authorisation=word)).status_code == 422
    pending = (await enrol(bank, other, "hotp")).json()["authenticator"]["id"]
    assert (await activate(bank, psu, pending, "000000")).status_code == 404


async def test_24_2_b_a_later_one_rests_on_strong_authentication(bank: Bank) -> None:
    """Refused without an approved enrolment challenge; one that rests on a single element is not even issued."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    assert (await enrol(bank, psu)).json()["code"] == "authorisation-required"
    weak = {"psu": psu, "purpose": "enrolment", "method": "hotp"}
    assert (await bank.http.post("/v1/challenges", json=weak)).status_code == 422
    strong = await _word(bank, psu, generator.code())
    assert (await enrol(bank, psu, authorisation=strong)).status_code == 201


async def test_24_2_b_a_word_for_something_else_enrols_nothing(bank: Bank) -> None:
    """The authentication code of a login is not one of an enrolment."""
    psu = unique_psu()
    _, generator = await enrolled(bank, psu, "hotp")
    word = await _word(bank, psu, generator.code(), purpose="login")
    assert (await enrol(bank, psu, authorisation=word)).status_code == 422


async def test_25_2_c_what_is_delivered_is_activated_before_it_counts(bank: Bank) -> None:
    """A pending generator answers nothing: a challenge for it is not even issued."""
    psu = unique_psu()
    assert (await enrol(bank, psu, "hotp")).status_code == 201
    body = {"psu": psu, "purpose": "login", "method": "hotp"}
    response = await bank.http.post("/v1/challenges", json=body)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/method")


async def test_26_renewal_follows_the_way_of_enrolment(bank: Bank) -> None:
    """A new generator beside the old needs the old one's word, its own proof, and then the old one can go."""
    psu = unique_psu()
    old, generator = await enrolled(bank, psu, "hotp")
    word = await _word(bank, psu, generator.code())
    _, renewed = await enrolled(bank, psu, "hotp", authorisation=word)
    assert (await bank.http.delete(f"{path(psu)}/{old}")).status_code == 204
    challenge = await login(bank, psu, "hotp")
    assert (await bank.verify(challenge, generator.code(), None))["outcome"] == "incorrect"
    assert (await bank.verify(challenge, renewed.code(), None))["outcome"] == "approved"


async def test_27_a_revocation_destroys_the_credential_and_is_on_record(
    bank: Bank, service: Deployment
) -> None:
    """Nothing is left that it could answer by; the log says who revoked it."""
    psu = unique_psu()
    authenticator, _ = await enrolled(bank, psu, "hotp")
    assert (await bank.http.delete(f"{path(psu)}/{authenticator}")).status_code == 204
    connection = await asyncpg.connect(service.servers.postgres.url)
    row = await connection.fetchrow("SELECT state, sealed FROM authenticators WHERE id = $1", authenticator)
    events = await connection.fetch(
        "SELECT type FROM audit_events WHERE body LIKE $1 ORDER BY txid, position", f'%"{authenticator}"%'
    )
    await connection.close()
    assert tuple(row or ()) == ("revoked", "")
    assert [event["type"] for event in events] == [
        "authenticator.enrolled",
        "authenticator.activated",
        "authenticator.revoked",
    ]


async def _line(bank: Bank, psu: dict[str, str], phone: str, **members: object) -> str:
    body = {"type": "phone", "label": "Mine", "phone": phone} | members
    response = await bank.http.post(path(psu), json=body)
    assert response.status_code == 201, response.text
    authenticator: str = response.json()["authenticator"]["id"]
    return authenticator


async def test_24_2_b_a_phone_line_is_bound_by_a_code_that_reached_it(bank: Bank) -> None:
    """Who enrols it has to hold it: another code, or another payer, binds nothing."""
    psu = unique_psu()
    line = await _line(bank, psu, psu["phone"])
    code = await bank.code(psu["phone"])
    assert (await activate(bank, psu, line, wrong(code))).json()["outcome"] == "incorrect"
    assert (await activate(bank, unique_psu(), line, code)).status_code == 404
    assert (await activate(bank, psu, line, code)).json()["outcome"] == "activated"


async def test_24_2_b_a_device_is_bound_by_the_payer_s_strong_word(bank: Bank) -> None:
    """A device that is possession alone gives no word for another one: its approval is not even asked for."""
    psu = unique_psu()
    await device_enrolled(bank, psu, unlocked_by=None)
    weak = {"psu": psu, "purpose": "enrolment", "method": "device_signature"}
    refused = await bank.http.post("/v1/challenges", json=weak)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/elements_presented")
    strong = unique_psu()
    device = await device_enrolled(bank, strong)
    word = await authorisation(bank, strong, device)
    await device_enrolled(bank, strong, authorisation=word)


async def test_25_1_neither_the_code_nor_a_key_alone_activates(bank: Bank) -> None:
    """What the bank delivers and what the device shows come over two channels: each without the other is nothing."""
    psu = unique_psu()
    device, code = await enrol_device(bank, psu)
    assert (await device.activate("AAAAAA-AAAAAA-AAAAAA-AAAAAA")).json()["outcome"] == "incorrect"
    body = {"authenticator": device.id, "activation_code": code}
    by_bank = await bank.http.post(f"{device.url}/activate", json=body)
    assert (by_bank.status_code, by_bank.json()["code"]) == (401, "invalid-proof")
    assert (await device.call("GET", "/challenges")).status_code == 401
    assert (await device.activate(code)).json()["outcome"] == "activated"


async def test_25_2_c_a_device_and_a_line_count_once_they_are_activated(bank: Bank) -> None:
    """Pending, neither is asked: no challenge for the one, no message to the other but its own code."""
    psu = unique_psu()
    await enrol_device(bank, psu)
    await _line(bank, psu, psu["phone"])
    by_device = {"psu": psu, "purpose": "login", "method": "device_signature"}
    by_line = {"psu": {"id": psu["id"]}, "purpose": "login", "channels": [{"channel": "sms"}]}
    for body, pointer in ((by_device, "/method"), (by_line, "/psu/phone")):
        refused = await bank.http.post("/v1/challenges", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_26_a_new_phone_number_is_a_new_binding(bank: Bank) -> None:
    """It needs the payer's strong word and its own code, and puts out the old one when it is active, not before."""
    psu, new = unique_psu(), unique_psu()["phone"]
    old = await _line(bank, psu, psu["phone"])
    await activate(bank, psu, old, await bank.code(psu["phone"]))
    unauthorised = await bank.http.post(path(psu), json={"type": "phone", "label": "New", "phone": new})
    assert unauthorised.json()["code"] == "authorisation-required"
    strong = {"purpose": "enrolment", "transaction": None, "elements_presented": ["knowledge"]}
    issued = await bank.issue(psu={"id": psu["id"], "locale": "de-DE"}, **strong)
    verified = await bank.verify(issued["id"], await bank.code(psu["phone"], number=2), None)
    line = await _line(bank, psu, new, authorisation=verified["authentication_code"])
    states = {one["id"]: one["state"] for one in (await bank.http.get(path(psu))).json()["data"]}
    assert states == {old: "active", line: "pending"}
    assert (await activate(bank, psu, line, await bank.code(new))).json()["outcome"] == "activated"
    states = {one["id"]: one["state"] for one in (await bank.http.get(path(psu))).json()["data"]}
    assert states == {line: "active"}


async def test_26_a_renewed_device_has_a_new_key(bank: Bank) -> None:
    """The way of the enrolment once more; the old key is not taken again, neither before nor after it is revoked."""
    psu = unique_psu()
    old = await device_enrolled(bank, psu)
    word = await authorisation(bank, psu, old)
    renewed, code = await enrol_device(bank, psu, authorisation=word)
    fresh, renewed.key = renewed.key, old.key
    assert (await renewed.activate(code)).json()["code"] == "key-already-enrolled"
    renewed.key = fresh
    assert (await renewed.activate(code)).json()["outcome"] == "activated"
    assert (await bank.http.delete(f"{path(psu)}/{old.id}")).status_code == 204
    issued = await asked(bank, psu)
    assert await renewed.approve(issued) == "approved"


async def test_27_a_revoked_device_is_destroyed_and_its_challenges_void(
    bank: Bank, service: Deployment
) -> None:
    """RTS Art. 27(a) to (c): its key is gone, it is known nowhere, and nothing it was asked can be approved."""
    psu = unique_psu()
    device = await device_enrolled(bank, psu)
    issued = await asked(bank, psu)
    assert (await bank.http.delete(f"{path(psu)}/{device.id}")).status_code == 204
    connection = await asyncpg.connect(service.servers.postgres.url)
    row = await connection.fetchrow("SELECT state, sealed FROM authenticators WHERE id = $1", device.id)
    await connection.close()
    assert tuple(row or ()) == ("revoked", "")
    assert (await bank.get(issued["id"]))["reason"] == "authenticator_revoked"
    right = device.approval(issued, issued["matching_digits"])
    unknown = Device()
    unknown.id, unknown.url = "aut_" + "0" * 32, device.url
    refused = [await one.answer(issued["id"], right) for one in (device, unknown)]
    assert [one.status_code for one in refused] == [401, 401]
    assert (await bank.http.get(path(psu))).json()["data"] == []


async def test_27_what_was_approved_before_a_revocation_enrols_nothing_after(bank: Bank) -> None:
    """Whoever holds a stolen device may have had its word ready."""
    psu = unique_psu()
    stolen = await device_enrolled(bank, psu)
    word = await authorisation(bank, psu, stolen)
    pending, code = await enrol_device(bank, psu, authorisation=await authorisation(bank, psu, stolen))
    assert (await bank.http.delete(f"{path(psu)}/{stolen.id}")).status_code == 204
    assert (await pending.activate(code)).json()["outcome"] == "not_pending"
    body = {"type": "device_key", "label": "Mine", "authorisation": word}
    refused = await bank.http.post(path(psu), json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/authorisation")
