"""RTS Art. 6 to 9: what each element is, how it is protected, and that two are two."""

from tests.generator import enrolled, login, path, pin_enrolled
from tests.harness import Bank, order, unique_psu

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
