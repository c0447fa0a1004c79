"""Phone lines over HTTP: enrolled by the code that was sent there, one at a time, and used where the policy says so."""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from sca_service.settings import shipped_policies
from tests.generator import activate, path, pin_enrolled
from tests.harness import TRANSACTION, Bank, Deployment, Role, order, unique_psu, wrong

PIN = "493817"
LANDLINE = "+4930123456"
KNOWS = {"elements_presented": ["knowledge"]}


async def enrol(bank: Bank, psu: dict[str, str], phone: str, **members: Any) -> httpx.Response:
    """Enrol a line, whatever comes of it."""
    body = {"type": "phone", "label": "Mine", "phone": phone, "locale": "de-DE"} | members
    return await bank.http.post(path(psu), json=body)


async def enrolled(bank: Bank, psu: dict[str, str], phone: str, **members: Any) -> str:
    """An active line; its id."""
    before = len(await bank.messages(phone))
    response = await enrol(bank, psu, phone, **members)
    assert response.status_code == 201, response.text
    authenticator: str = response.json()["authenticator"]["id"]
    code = await bank.code(phone, number=before + 1)
    activated = (await activate(bank, psu, authenticator, code)).json()
    assert (activated["outcome"], activated["authenticator"]["state"]) == ("activated", "active"), activated
    return authenticator


async def listed(bank: Bank, psu: dict[str, str]) -> list[dict[str, Any]]:
    """A payer's authenticators."""
    found: list[dict[str, Any]] = (await bank.http.get(path(psu))).json()["data"]
    return found


async def challenges(bank: Bank, psu: dict[str, str]) -> list[dict[str, Any]]:
    """A payer's challenges, the newest first."""
    found: list[dict[str, Any]] = (await bank.http.get("/v1/challenges", params={"psu": psu["id"]})).json()[
        "data"
    ]
    return found


async def word(bank: Bank, psu: dict[str, str], phone: str) -> str:
    """The payer's word for one more authenticator: a code to the line, and what the bank knows of it."""
    before = len(await bank.messages(phone))
    issued = await bank.issue(
        psu={"id": psu["id"], "locale": "de-DE"}, purpose="enrolment", transaction=None, **KNOWS
    )
    verified = await bank.verify(issued["id"], await bank.code(phone, number=before + 1), None)
    assert verified["outcome"] == "approved"
    authorisation: str = verified["authentication_code"]
    return authorisation


async def test_a_line_is_enrolled_by_the_code_that_was_sent_there(bank: Bank) -> None:
    """RTS Art. 24(2)(b): it is pending until the code comes back, and its number stands in no answer."""
    psu = unique_psu()
    response = await enrol(bank, psu, psu["phone"])
    made = response.json()["authenticator"]
    assert (response.status_code, made["type"], made["state"], made["element"]) == (
        201,
        "phone",
        "pending",
        "possession",
    )
    text = (await bank.message(psu["phone"]))["text"]
    assert "keine Zahlung" in text
    code = await bank.code(psu["phone"])
    activated = await activate(bank, psu, made["id"], code)
    assert activated.json()["outcome"] == "activated"
    again = (await activate(bank, psu, made["id"], code)).json()
    assert again["outcome"] == "not_pending"
    said = response.text + activated.text + (await bank.http.get(path(psu))).text
    assert psu["phone"] not in said
    assert len(await bank.messages(psu["phone"])) == 1


async def test_an_enrolled_line_need_not_be_named(bank: Bank) -> None:
    """`psu.phone` is left out: codes go to the enrolled line; without one that is 422."""
    psu, phone = unique_psu(), unique_psu()["phone"]
    unnamed = order(psu={"id": psu["id"]})
    refused = await bank.http.post("/v1/challenges", json=unnamed)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/psu/phone")
    await enrolled(bank, psu, phone)
    issued = (await bank.http.post("/v1/challenges", json=unnamed)).json()
    assert issued["deliveries"][0]["to"].endswith(phone[-4:])
    verified = await bank.verify(issued["id"], await bank.code(phone, number=2))
    assert verified["outcome"] == "approved"
    named = await bank.issue(psu=psu)
    assert named["deliveries"][0]["to"].endswith(psu["phone"][-4:]), "the bank vouches for another number"


async def test_wrong_codes_count_like_any_others(bank: Bank) -> None:
    """RTS Art. 4(3)(b): five of them block the payer, and the right one comes to nothing."""
    psu = unique_psu()
    made = (await enrol(bank, psu, psu["phone"])).json()["authenticator"]["id"]
    code = await bank.code(psu["phone"])
    told = [(await activate(bank, psu, made, wrong(code))).json() for _ in range(5)]
    assert [(one["outcome"], one["tries_left"]) for one in told] == [
        ("incorrect", left) for left in (4, 3, 2, 1, 0)
    ]
    late = (await activate(bank, psu, made, code)).json()
    assert (late["outcome"], late["authenticator"]["state"]) == ("expired", "pending")
    assert (await bank.http.get(f"/v1/psus/{psu['id']}")).json()["blocked"] is True


async def test_a_wrong_code_leaves_the_right_one(bank: Bank) -> None:
    """As long as attempts remain."""
    psu = unique_psu()
    made = (await enrol(bank, psu, psu["phone"])).json()["authenticator"]["id"]
    code = await bank.code(psu["phone"])
    assert (await activate(bank, psu, made, wrong(code))).json()["outcome"] == "incorrect"
    assert (await activate(bank, psu, made, code)).json()["outcome"] == "activated"
    assert (await bank.http.get(f"/v1/psus/{psu['id']}")).json()["failures"] == 0


async def test_nothing_is_sent_to_a_payer_who_is_blocked(bank: Bank) -> None:
    """The line stays pending, and no code activates it."""
    psu, phone = unique_psu(), unique_psu()["phone"]
    issued = await bank.issue(psu=psu)
    bad = wrong(await bank.code(psu["phone"]))
    for _ in range(5):
        await bank.verify(issued["id"], bad)
    made = await enrol(bank, psu, phone)
    assert made.status_code == 201
    assert (await challenges(bank, psu))[0]["status"] == "refused"
    tried = (await activate(bank, psu, made.json()["authenticator"]["id"], "123456")).json()
    assert (tried["outcome"], tried["tries_left"]) == ("expired", 0)
    assert await bank.messages(phone) == []


async def test_a_line_that_is_sent_no_code_is_not_enrolled(
    bank: Bank, service: Deployment, redis: Redis
) -> None:
    """At a limit: 429, nothing is stored, and the authorisation that was given is not used."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    first = await enrolled(bank, psu, old)
    authorisation = await word(bank, psu, old)
    while (await bank.http.post("/v1/challenges", json=order(psu=psu))).status_code == 201:
        pass
    refused = await enrol(bank, psu, new, authorisation=authorisation)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
    assert [one["id"] for one in await listed(bank, psu)] == [first]
    payer = service.keyring.pseudonym("payer", "bank", psu["id"])
    await redis.delete(*[key async for key in redis.scan_iter(f"*:limit:*:{payer}")])
    await enrolled(bank, psu, new, authorisation=authorisation)


async def test_a_line_is_of_one_payer_and_one_bank(bank: Bank, other_bank: Bank) -> None:
    """Its code activates nothing for another payer or another bank; the same number may be enrolled by both."""
    psu, other = unique_psu(), unique_psu()
    made = (await enrol(bank, psu, psu["phone"])).json()["authenticator"]["id"]
    code = await bank.code(psu["phone"])
    assert (await activate(bank, other, made, code)).status_code == 404
    assert (await activate(other_bank, psu, made, code)).status_code == 404
    assert (await activate(bank, psu, made, code)).json()["outcome"] == "activated"
    await enrolled(bank, other, psu["phone"])
    assert (
        await bank.http.post("/v1/challenges", json=order(psu={"id": unique_psu()["id"]}))
    ).status_code == 422


async def test_a_landline_is_called(bank: Bank) -> None:
    """No text arrives there: the code is spoken, and later challenges take the call too."""
    psu, phone = unique_psu(), LANDLINE + unique_psu()["phone"][-3:]
    made = await enrol(bank, psu, phone)
    assert made.status_code == 201, made.text
    assert (await bank.message(phone))["channel"] == "voice"
    code = await bank.code(phone)
    told = (await activate(bank, psu, made.json()["authenticator"]["id"], code)).json()
    assert told["outcome"] == "activated"
    body = order(psu={"id": psu["id"]}, channels=[{"channel": "sms"}])
    assert (await bank.http.post("/v1/challenges", json=body)).json()["errors"][0]["pointer"] == "/psu/phone"
    called = await bank.issue(psu={"id": psu["id"]}, channels=[{"channel": "voice"}])
    assert called["channel"] == "voice"


@pytest.mark.parametrize(
    "phone", ["", "015155512345", "+49 151 55 12", "+4915155512345x", "+49900123456", None]
)
async def test_what_is_no_line_is_refused(bank: Bank, phone: str | None) -> None:
    """422 at /phone, nothing is stored, and the answer does not repeat it."""
    psu = unique_psu()
    body = {"type": "phone", "label": "Mine", "phone": phone}
    response = await bank.http.post(
        path(psu), json={name: one for name, one in body.items() if one is not None}
    )
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/phone")
    assert not phone or phone not in response.text
    assert await listed(bank, psu) == []


async def test_a_second_line_needs_a_word_and_replaces_the_first(bank: Bank, service: Deployment) -> None:
    """RTS Art. 24 and 26: a changed number is a new binding; from then on codes go to the new one alone."""
    psu, old, new = unique_psu(), unique_psu()["phone"], unique_psu()["phone"]
    first = await enrolled(bank, psu, old)
    refused = await enrol(bank, psu, new)
    assert (refused.status_code, refused.json()["code"]) == (409, "authorisation-required")
    assert await bank.messages(new) == []
    authorisation = await word(bank, psu, old)
    second = await enrolled(bank, psu, new, authorisation=authorisation)
    assert [one["id"] for one in await listed(bank, psu)] == [second]
    connection = await asyncpg.connect(service.servers.postgres.url)
    (body,) = await connection.fetch(
        "SELECT body FROM audit_events WHERE type = 'authenticator.revoked' AND body LIKE $1", f"%{first}%"
    )
    await connection.close()
    assert json.loads(body["body"])["reason"] == "replaced"
    issued = await bank.issue(psu={"id": psu["id"]})
    assert issued["deliveries"][0]["to"].endswith(new[-4:])
    again = await enrol(bank, psu, old, authorisation=authorisation)
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/authorisation")


async def test_the_code_of_a_line_proves_nothing_else(bank: Bank) -> None:
    """It rests on the line alone: its authentication code is no word for another authenticator, and says so."""
    psu = unique_psu()
    made = (await enrol(bank, psu, psu["phone"])).json()["authenticator"]["id"]
    (challenge,) = await challenges(bank, psu)
    assert (challenge["purpose"], challenge["elements"], challenge["sca"], challenge["pin_asked"]) == (
        "enrolment",
        ["possession"],
        False,
        False,
    )
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]), None)
    assert verified["outcome"] == "approved"
    totp = {"type": "totp", "label": "Anna", "authorisation": verified["authentication_code"]}
    refused = await bank.http.post(path(psu), json=totp)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/authorisation")
    # Used here, the code is used: the line is not activated by it any more.
    late = (await activate(bank, psu, made, await bank.code(psu["phone"]))).json()
    assert (late["outcome"], late["authenticator"]["state"]) == ("expired", "pending")


async def test_an_activation_that_broke_off_is_taken_up_again(bank: Bank) -> None:
    """The code was right, and the process died before the line was active: the same code again activates it."""
    psu = unique_psu()
    made = (await enrol(bank, psu, psu["phone"])).json()["authenticator"]["id"]
    (challenge,) = await challenges(bank, psu)
    code = await bank.code(psu["phone"])
    half = await bank.http.post(  # what an activation does first, under the name that it has there
        f"/v1/challenges/{challenge['id']}/verify",
        json={"code": code},
        headers={"Idempotency-Key": f"line {challenge['id']}"},
    )
    assert half.json()["outcome"] == "approved"
    assert (await activate(bank, psu, made, wrong(code))).json()["outcome"] == "expired"
    assert (await activate(bank, psu, made, code)).json()["outcome"] == "activated"


async def test_a_repeated_request_sends_once(bank: Bank) -> None:
    """An Idempotency-Key names the line and its code: one authenticator, one message."""
    psu = unique_psu()
    body = {"type": "phone", "label": "Mine", "phone": psu["phone"], "locale": "de-DE"}
    key = {"Idempotency-Key": f"line-{psu['id']}"}
    answers = [await bank.http.post(path(psu), json=body, headers=key) for _ in range(3)]
    assert len({one.json()["authenticator"]["id"] for one in answers}) == 1
    assert len(await challenges(bank, psu)) == 1
    code = await bank.code(psu["phone"])
    made = answers[0].json()["authenticator"]["id"]
    assert (await activate(bank, psu, made, code)).json()["outcome"] == "activated"
    assert len(await bank.messages(psu["phone"])) == 1


async def test_a_revoked_line_is_not_activated(bank: Bank) -> None:
    """RTS Art. 27: the code that was sent to it activates nothing, and enrols nothing else."""
    psu = unique_psu()
    made = (await enrol(bank, psu, psu["phone"])).json()["authenticator"]["id"]
    code = await bank.code(psu["phone"])
    assert (await bank.http.delete(f"{path(psu)}/{made}")).status_code == 204
    late = (await activate(bank, psu, made, code)).json()
    assert (late["outcome"], late["authenticator"]["state"]) == ("not_pending", "revoked")
    unnamed = order(psu={"id": psu["id"]})
    assert (await bank.http.post("/v1/challenges", json=unnamed)).status_code == 422


@pytest.mark.parametrize("verb", ["revoke", "suspend", "replace"])
async def test_what_was_sent_to_a_line_that_is_put_out_is_void(bank: Bank, verb: str) -> None:
    """RTS Art. 27: a stolen SIM has the code; what went to a number that the bank vouches for stays."""
    psu, phone = unique_psu(), unique_psu()["phone"]
    line = await enrolled(bank, psu, phone)
    authorisation = await word(bank, psu, phone)
    sent = await bank.issue(psu={"id": psu["id"]})
    code = await bank.code(phone, number=3)
    elsewhere = await bank.issue(psu=psu)
    if verb == "revoke":
        await bank.http.delete(f"{path(psu)}/{line}")
    elif verb == "suspend":
        await bank.http.post(f"{path(psu)}/{line}/suspend", json={})
    else:
        await enrolled(bank, psu, unique_psu()["phone"], authorisation=authorisation)
    read = await bank.get(sent["id"])
    reason = "authenticator_suspended" if verb == "suspend" else "authenticator_revoked"
    assert (read["status"], read["reason"]) == ("cancelled", reason)
    assert (await bank.verify(sent["id"], code))["outcome"] == "cancelled"
    assert (await bank.get(elsewhere["id"]))["status"] == "pending"


async def test_the_code_of_a_pending_line_that_is_revoked_is_void(bank: Bank) -> None:
    """Its challenge goes with it; another pending line's stays."""
    psu = unique_psu()
    made, other = [
        (await enrol(bank, psu, unique_psu()["phone"])).json()["authenticator"]["id"] for _ in range(2)
    ]
    assert (await bank.http.delete(f"{path(psu)}/{made}")).status_code == 204
    by_line = {f"aut_{one['id'][-32:]}": one["status"] for one in await challenges(bank, psu)}
    assert by_line == {made: "cancelled", other: "pending"}


async def test_a_suspended_line_gets_no_codes(bank: Bank) -> None:
    """Until it is resumed."""
    psu = unique_psu()
    made = await enrolled(bank, psu, psu["phone"])
    unnamed = order(psu={"id": psu["id"]})
    assert (await bank.http.post(f"{path(psu)}/{made}/suspend", json={})).json()["state"] == "suspended"
    assert (await bank.http.post("/v1/challenges", json=unnamed)).status_code == 422
    assert (await bank.http.post(f"{path(psu)}/{made}/resume", json={})).json()["state"] == "active"
    assert (await bank.http.post("/v1/challenges", json=unnamed)).status_code == 201


async def test_a_line_is_enrolled_beside_a_pin(bank: Bank) -> None:
    """The line's code is typed without the PIN, which proves no line; afterwards both are asked."""
    psu, phone = unique_psu(), unique_psu()["phone"]
    await pin_enrolled(bank, psu, PIN)
    asked = await bank.issue(psu=psu, purpose="enrolment", transaction=None)
    body = {"code": await bank.code(psu["phone"]), "pin": PIN}
    said = (await bank.http.post(f"/v1/challenges/{asked['id']}/verify", json=body)).json()
    made = (await enrol(bank, psu, phone, authorisation=said["authentication_code"])).json()
    newest = (await challenges(bank, psu))[0]
    assert (newest["pin_asked"], newest["elements"]) == (False, ["possession"])
    code = await bank.code(phone)
    told = (await activate(bank, psu, made["authenticator"]["id"], code)).json()
    assert told["outcome"] == "activated"
    issued = await bank.issue(psu={"id": psu["id"]})
    assert (issued["pin_asked"], issued["sca"]) == (True, True)
    answer = {"code": await bank.code(phone, number=2), "pin": PIN, "transaction": TRANSACTION}
    verified = await bank.http.post(f"/v1/challenges/{issued['id']}/verify", json=answer)
    assert verified.json()["outcome"] == "approved"


@pytest.fixture(scope="module")
def strict_api(service: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Role]:
    """An api whose policy takes no number from the client."""
    folder = tmp_path_factory.mktemp("strict") / "policies"
    shutil.copytree(shipped_policies(), folder)
    ladder = folder / "ladder.toml"
    text, changed = re.subn(
        r"phone_vouched_by_client = true", "phone_vouched_by_client = false", ladder.read_text("utf-8")
    )
    assert changed == 5
    ladder.write_text(text, "utf-8")
    shipped, service.policies = service.policies, folder
    try:
        role = service.start("api")
    finally:
        service.policies = shipped
    yield role
    role.stop()
    service.forget(role)


async def test_a_policy_may_take_enrolled_lines_only(service: Deployment, strict_api: Role) -> None:
    """`phone_vouched_by_client = false`: a number that the bank names is 422, and the enrolled one is used."""
    async with service.bank(url=strict_api.url) as bank:
        psu, phone = unique_psu(), unique_psu()["phone"]
        refused = await bank.http.post("/v1/challenges", json=order(psu=psu))
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/psu/phone")
        await enrolled(bank, psu, phone)
        refused = await bank.http.post("/v1/challenges", json=order(psu=psu))
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/psu/phone")
        assert await bank.messages(psu["phone"]) == []
        issued = await bank.issue(psu={"id": psu["id"]})
        assert (await bank.verify(issued["id"], await bank.code(phone, number=2)))["outcome"] == "approved"
        # A change of the line goes over the old one.
        new = unique_psu()["phone"]
        await enrolled(bank, psu, new, authorisation=await word(bank, psu, phone))
        assert (await bank.issue(psu={"id": psu["id"]}))["deliveries"][0]["to"].endswith(new[-4:])
