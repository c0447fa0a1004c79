"""RTS Art. 23 to 27: security credentials are made, bound, renewed and destroyed under control."""

import asyncpg

from tests.generator import activate, enrol, enrolled, login, path
from tests.harness import Bank, Deployment, unique_psu


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
