"""What a device signs over HTTP: shown, approved with the bank's two digits or declined, for one challenge, once."""

import json
import re
import time
import warnings
from typing import Any

import asyncpg
import msgspec
import pytest
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet
from redis.asyncio import Redis

from sca_service.audit.offline.evidence import check_evidence
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.signed_answer import check_signed_answer
from sca_service.audit.offline.story import story_of
from sca_service.challenges.model import decode_state
from tests.device import Device, asked, enrol, enrolled, one_more
from tests.generator import path
from tests.harness import Bank, Deployment, order, unique_psu, wrong
from tests.service.situations import age, challenge_key
from tests.storeroom import let_expire

OTHER_DIGEST = "sha256:" + "ab" * 32
LOGIN: dict[str, Any] = {"purpose": "login", "transaction": None}


async def a_device(bank: Bank, **members: Any) -> tuple[dict[str, str], Device, dict[str, Any]]:
    """A payer with one device, and a payment that it is asked."""
    psu = unique_psu()
    device = await enrolled(bank, psu, **members)
    return psu, device, await asked(bank, psu)


async def events(auditor: Bank, challenge: str) -> list[dict[str, Any]]:
    """What is on record about a challenge."""
    response = await auditor.http.get("/v1/audit/events", params={"challenge": challenge})
    found: list[dict[str, Any]] = response.json()["data"]
    return found


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_payment_is_shown_and_approved(bank: Bank, auditor: Bank, algorithm: str) -> None:
    """The device reads amount and payee, the payer repeats the bank's digits; the bank learns it by reading."""
    psu, device, issued = await a_device(bank, algorithm=algorithm)
    assert re.fullmatch("[0-9]{2}", issued["matching_digits"])
    assert (issued["elements"], issued["sca"], issued["pin_asked"]) == (
        ["possession", "inherence"],
        True,
        False,
    )
    (shown,) = await device.asked()
    assert shown["message_shown"] == "49,99 € an ACME GmbH …3000"
    assert shown["transaction"] == issued["transaction"]
    assert (shown["status"], shown["matching_digits_needed"]) == ("pending", True)
    assert issued["matching_digits"] not in {str(one) for one in shown.values()}
    assert (await device.call("GET", f"/challenges/{issued['id']}")).json() == shown
    approved = await device.answered(issued["id"], device.approval(shown, issued["matching_digits"]))
    assert approved == ("approved", 4)
    read = await bank.get(issued["id"])
    assert (read["status"], read["reason"], read["matching_digits"]) == ("approved", None, None)
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert seen["used_at"] is not None
    assert await device.asked() == []
    (answered,) = [one for one in await events(auditor, issued["id"]) if one["type"] == "challenge.answered"]
    assert (answered["actor"], answered["outcome"]) == (f"device:{device.id}", "approved")


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
@pytest.mark.parametrize("decision", ["approve", "decline"])
async def test_the_evidence_holds_what_the_device_signed(
    bank: Bank, auditor: Bank, decision: str, algorithm: str
) -> None:
    """An auditor verifies the payer's own signature, and that its key is the one that was enrolled."""
    psu, device, issued = await a_device(bank, algorithm=algorithm)
    if decision == "decline":
        await device.answered(issued["id"], device.refusal(issued, "not_me"))
    else:  # a wrong answer is counted, and not kept
        await device.answered(issued["id"], device.approval(issued, wrong(issued["matching_digits"])))
        await device.answered(issued["id"], device.approval(issued, issued["matching_digits"]))
    response = await auditor.evidence(issued["id"])
    checked = check_evidence(response.content, [])
    (signed,) = [one for one in checked.events if one.signed]
    assert signed.signed is not None
    assert (signed.signed.by, signed.signed.decision) == ("device", decision)
    assert json.loads(signed.disclosed["device_key"]) == device.jwk
    wanted = {"psu": psu["id"], "type": "authenticator.activated"}
    (activated,) = (await auditor.http.get("/v1/audit/events", params=wanted)).json()["data"]
    assert activated["key"] == signed.signed.thumbprint
    assert signed.signed.thumbprint in "\n".join(story_of(checked))


async def test_an_answer_of_another_key_does_not_pass_for_the_devices(bank: Bank, auditor: Bank) -> None:
    """Evidence whose device's answer was signed by another key, or over another payment, is refused as a whole."""
    _, device, issued = await a_device(bank)
    await device.answered(issued["id"], device.approval(issued, issued["matching_digits"]))
    response = await auditor.evidence(issued["id"])
    checked = check_evidence(response.content, [])
    (event,) = [one for one in checked.events if one.signed]
    digest = issued["transaction"]["digest"]
    other = Device()
    forged = other.approval(issued, issued["matching_digits"])
    changed = device.approval(issued, issued["matching_digits"], transaction=OTHER_DIGEST)
    second = device.approval(issued | {"id": f"chl_{'0' * 38}"}, issued["matching_digits"])
    for answer in (forged, changed, second, device.refusal(issued), "no JWS"):
        with pytest.raises(Refused):
            check_signed_answer(event.members, event.disclosed | {"device_answer": answer}, digest)
    with pytest.raises(Refused):
        check_signed_answer(event.members, event.disclosed | {"device_key": "{}"}, digest)


async def test_a_login_has_no_transaction(bank: Bank) -> None:
    """The claim is left out; an approval that names one is for something else, and voids."""
    psu = unique_psu()
    device = await enrolled(bank, psu, unlocked_by=None)
    first, second = await asked(bank, psu, **LOGIN), await asked(bank, psu, **LOGIN)
    assert (first["elements"], first["sca"]) == (["possession"], False)
    assert [one["id"] for one in await device.asked()] == [first["id"], second["id"]], "the oldest first"
    assert await device.approve(first) == "approved"
    named = device.approval(second, second["matching_digits"], transaction=OTHER_DIGEST)
    assert (await device.answered(second["id"], named))[0] == "transaction_mismatch"


@pytest.mark.parametrize("decision", ["approve", "decline"])
@pytest.mark.parametrize("digest", [OTHER_DIGEST, None])
async def test_a_changed_transaction_voids(bank: Bank, decision: str, digest: str | None) -> None:
    """RTS Art. 5(1)(d): what the app showed was another payment, so this one is void; going back does not help."""
    _, device, issued = await a_device(bank)
    right = device.approval(issued, issued["matching_digits"])
    changed = (
        device.approval(issued, issued["matching_digits"], transaction=digest)
        if decision == "approve"
        else device.refusal(issued, transaction=digest)
    )
    assert (await device.answered(issued["id"], changed))[0] == "transaction_mismatch"
    assert (await bank.get(issued["id"]))["status"] == "rejected"
    assert (await device.answered(issued["id"], right))[0] == "transaction_mismatch"


async def test_wrong_digits_are_attempts_and_block_the_payer(bank: Bank) -> None:
    """RTS Art. 4(3)(b): counted with wrong codes, whatever the method; after five the right digits are refused too."""
    psu, device, issued = await a_device(bank)
    by_text = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"])
    assert (await bank.verify(by_text["id"], wrong(code)))["attempts_left"] == 4
    bad = device.approval(issued, wrong(issued["matching_digits"]))
    told = [await device.answered(issued["id"], bad) for _ in range(4)]
    assert told == [("incorrect", left) for left in (3, 2, 1, 0)]
    right = device.approval(issued, issued["matching_digits"])
    assert await device.answered(issued["id"], right) == ("blocked", 0)
    assert (await bank.get(issued["id"]))["status"] == "blocked"
    assert (await bank.verify(by_text["id"], code))["outcome"] == "blocked"
    for members in ({}, {"method": "device_signature", "channels": None}):
        refused = await bank.issue(psu=psu, **members)
        assert (refused["status"], refused["reason"]) == ("refused", "payer_blocked")
    assert await device.asked() == []


async def test_an_approval_sets_the_failures_back(bank: Bank) -> None:
    """They count in a row."""
    psu, device, issued = await a_device(bank)
    bad = device.approval(issued, wrong(issued["matching_digits"]))
    assert [await device.answered(issued["id"], bad) for _ in range(3)][-1] == ("incorrect", 2)
    assert await device.approve(issued) == "approved"
    assert (await bank.http.get(f"/v1/psus/{psu['id']}")).json()["failures"] == 0


async def test_what_is_no_answer_to_this_challenge_counts_as_none(bank: Bank) -> None:
    """422 at /answer, and no attempt is spent: for another challenge, too old, by another key, with other claims."""
    psu, device, issued = await a_device(bank)
    other = await asked(bank, psu)
    now, digits = int(time.time()), issued["matching_digits"]
    stranger = Device()
    answers = {
        "another challenge's": device.approval(other, other["matching_digits"]),
        "signed before the challenge": device.approval(issued, digits, iat=now - 60),
        "of the future": device.approval(issued, digits, iat=now + 60),
        "another key's": stranger.approval(issued, digits),
        "without digits": device.approval(issued, digits, digits=None),
        "three digits": device.approval(issued, digits + "0"),
        "digits of another script": device.approval(issued, "٤٢"),
        "digits as a number": device.approval(issued, digits, digits=int(digits)),
        "a decision of its own": device.approval(issued, digits, decision="yes"),
        "an approval with a reason": device.approval(issued, digits, reason="not_me"),
        "a refusal with digits": device.refusal(issued, digits=digits),
        "a refusal with its own reason": device.refusal(issued, "because"),
        "a refusal of another challenge": device.refusal(other),
        "an old refusal": device.refusal(issued, iat=now - 60),
        "an unknown claim": device.approval(issued, digits, amount="0.01"),
        "no time": device.approval(issued, digits, iat=None),
        "a proof": device.proof("POST", device.url),
        "alg none": _unsigned(device.approval(issued, digits)),
        "nothing": "",
    }
    for why, signed in answers.items():
        refused = await device.answer(issued["id"], signed)
        assert refused.status_code == 422, (why, refused.text)
        assert refused.json()["errors"][0]["pointer"] == "/answer", why
        assert digits not in refused.json()["errors"][0]["detail"], why
    assert (await bank.get(issued["id"]))["attempts_left"] == 5
    assert await device.approve(issued) == "approved"


def _unsigned(signed: str) -> str:
    """The same without a signature, which says so."""
    return f"eyJhbGciOiJub25lIiwidHlwIjoic2NhLWFwcHJvdmFsK2p3dCJ9.{signed.split('.')[1]}."


async def test_only_a_device_that_is_asked_answers(bank: Bank) -> None:
    """Another payer's, and one of the same payer that carries less or came later: 404, as for no challenge at all."""
    psu, device, issued = await a_device(bank)
    _, stranger, theirs = await a_device(bank)
    plain = await one_more(bank, psu, device, unlocked_by=None)
    later = await one_more(bank, psu, device)
    asked_now = await asked(bank, psu)
    for one, challenge in ((stranger, issued), (plain, asked_now), (later, issued), (device, theirs)):
        signed = one.approval(challenge, challenge["matching_digits"])
        assert (await one.answer(challenge["id"], signed)).status_code == 404
        assert (await one.call("GET", f"/challenges/{challenge['id']}")).status_code == 404
        assert challenge["id"] not in {found["id"] for found in await one.asked()}
    assert await later.approve(asked_now) == "approved"
    assert await device.approve(issued) == "approved"


async def test_a_challenge_of_another_method_is_not_shown(bank: Bank) -> None:
    """A code that was sent is not a device's to answer."""
    psu, device, _ = await a_device(bank)
    by_text = await bank.issue(psu=psu)
    assert (await device.call("GET", f"/challenges/{by_text['id']}")).status_code == 404
    signed = device.approval(by_text, "00")
    assert (await device.answer(by_text["id"], signed)).status_code == 404
    for unknown in ("chl_" + "0" * 38, "chl_", "x"):
        assert (await device.call("GET", f"/challenges/{unknown}")).status_code == 404


@pytest.mark.parametrize("reason", ["not_me", "mistake", "other", None])
async def test_the_payer_says_no(bank: Bank, auditor: Bank, reason: str | None) -> None:
    """It ends the challenge and counts as no attempt; `not_me` is an event of its own, that a bank can listen for."""
    _, device, issued = await a_device(bank)
    assert await device.answered(issued["id"], device.refusal(issued, reason)) == ("declined", 5)
    read = await bank.get(issued["id"])
    assert (read["status"], read["reason"]) == ("declined", reason or "payer_app")
    assert (read["authentication_code"], read["matching_digits"]) == (None, None)
    found = [one for one in await events(auditor, issued["id"]) if one["actor"] == f"device:{device.id}"]
    kinds = ["challenge.declined"] + (["payer.not_me"] if reason == "not_me" else [])
    assert [one["type"] for one in found] == kinds
    assert found[0]["reason"] == (reason or "payer_app")
    right = device.approval(issued, issued["matching_digits"])
    assert await device.answered(issued["id"], right) == ("declined", 5)
    assert (await device.answered(issued["id"], device.refusal(issued, "not_me")))[0] == "declined"
    assert (await bank.get(issued["id"]))["reason"] == (reason or "payer_app")


async def test_an_answer_that_comes_too_late(bank: Bank, service: Deployment) -> None:
    """After its time, after the bank took it back, after another answer: nothing is approved."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    over, taken_back, used = [await asked(bank, psu) for _ in range(3)]
    await let_expire(service, over["id"])
    await bank.http.post(f"/v1/challenges/{taken_back['id']}/cancel")
    assert await device.approve(used) == "approved"
    for issued, outcome in ((over, "expired"), (taken_back, "cancelled"), (used, "already_used")):
        for signed in (device.approval(issued, issued["matching_digits"]), device.refusal(issued, "not_me")):
            assert (await device.answered(issued["id"], signed))[0] == outcome
    statuses = [(await bank.get(one["id"]))["status"] for one in (over, taken_back, used)]
    assert statuses == ["expired", "cancelled", "approved"]


async def test_what_redis_has_forgotten_is_told_from_the_record(
    bank: Bank, service: Deployment, redis: Redis
) -> None:
    """Approved stays used; what was pending cannot be approved any more."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    used, pending = await asked(bank, psu), await asked(bank, psu)
    assert await device.approve(used) == "approved"
    for issued, outcome in ((used, "already_used"), (pending, "expired")):
        await redis.delete(challenge_key(issued["id"]))
        for signed in (device.approval(issued, issued["matching_digits"]), device.refusal(issued)):
            assert (await device.answered(issued["id"], signed))[0] == outcome


async def test_the_bank_does_not_answer_for_the_device(bank: Bank) -> None:
    """A code for it is 422 while it is pending, without an attempt, and `already_used` afterwards."""
    _, device, issued = await a_device(bank)
    for _ in range(2):
        refused = await bank.answer(issued["id"], "000000")
        assert (refused.status_code, refused.json()["code"]) == (422, "validation-error")
    assert (await bank.get(issued["id"]))["attempts_left"] == 5
    assert await device.approve(issued) == "approved"
    late = await bank.verify(issued["id"], "000000")
    assert (late["outcome"], late["authentication_code"]) == ("already_used", None)


async def test_the_authentication_code_is_read_for_five_minutes(
    bank: Bank, other_bank: Bank, redis: Redis
) -> None:
    """RTS Art. 4(3)(d): told to who reads the challenge, always the same; not in a list, not to others, not later."""
    psu, device, issued = await a_device(bank)
    assert (await bank.get(issued["id"]))["authentication_code"] is None
    assert await device.approve(issued) == "approved"
    codes = {(await bank.get(issued["id"]))["authentication_code"] for _ in range(3)}
    (code,) = codes
    keys = KeySet.import_key_set((await bank.http.get("/.well-known/jwks.json")).json())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        claims = json.loads(jws.deserialize_compact(code, keys, ["EdDSA"]).payload)
    assert (claims["challenge"], claims["sub"], claims["sca"]) == (issued["id"], psu["id"], True)
    assert claims["transaction"] == issued["transaction"]["digest"]
    assert claims["elements"] == ["possession", "inherence"]
    assert claims["exp"] - claims["iat"] == 300
    listed = (await bank.http.get("/v1/challenges", params={"psu": psu["id"]})).json()["data"]
    assert [(one["status"], one["authentication_code"]) for one in listed] == [("approved", None)]
    assert (await other_bank.http.get(f"/v1/challenges/{issued['id']}")).status_code == 404
    await _settled_earlier(redis, issued["id"], 295_000)
    assert (await bank.get(issued["id"]))["authentication_code"] is not None
    await _settled_earlier(redis, issued["id"], 5_000)
    late = await bank.get(issued["id"])
    assert (late["status"], late["authentication_code"]) == ("approved", None)


async def _stored(redis: Redis, challenge: str) -> bytes:
    packed = await redis.get(challenge_key(challenge))
    assert isinstance(packed, bytes)
    return packed


async def _settled_earlier(redis: Redis, challenge: str, by_ms: int) -> None:
    state = decode_state(await _stored(redis, challenge))
    state.settled_at -= by_ms
    await redis.set(challenge_key(challenge), msgspec.msgpack.encode(state), keepttl=True)


async def test_neither_digits_nor_activation_codes_are_on_record_or_in_logs(
    bank: Bank, service: Deployment
) -> None:
    """Of a whole life, enrolled, guessed, approved: no event and no line of a log names them."""
    psu = unique_psu()
    device, activation_code = await enrol(bank, psu)
    await device.activate("AAAAAA-AAAAAA-AAAAAA-AAAAAA")
    assert (await device.activate(activation_code)).json()["outcome"] == "activated"
    issued = await asked(bank, psu)
    guess = wrong(issued["matching_digits"])
    assert (await device.answered(issued["id"], device.approval(issued, guess)))[0] == "incorrect"
    assert await device.approve(issued) == "approved"
    connection = await asyncpg.connect(service.servers.postgres.url)
    rows = await connection.fetch(
        "SELECT body FROM audit_events WHERE body LIKE $1 OR body LIKE $2",
        f"%{device.id}%",
        f"%{issued['id']}%",
    )
    await connection.close()
    bodies = [json.loads(row["body"]) for row in rows]
    kinds = {body["type"] for body in bodies}
    assert {"authenticator.not_activated", "authenticator.activated", "challenge.answered"} <= kinds
    for body in bodies:
        assert not {issued["matching_digits"], guess} & set(_scalars(body)), body["type"]
        assert "digits" not in json.dumps(body)
    logs = "".join(log.read_text("utf-8") for log in service.folder.glob("*.log"))
    everything = json.dumps(bodies) + logs
    for secret in (activation_code, activation_code.replace("-", ""), "matching_digits", '"digits"'):
        assert secret not in everything


def _scalars(members: Any) -> list[str]:
    """Every value in there, as text."""
    if isinstance(members, dict):
        return [text for value in members.values() for text in _scalars(value)]
    if isinstance(members, list):
        return [text for value in members for text in _scalars(value)]
    return [str(members)]


async def test_digits_stand_beside_the_challenge_alone(bank: Bank) -> None:
    """The bank reads them as long as it is pending, the same each time; other methods have none."""
    psu, _, issued = await a_device(bank)
    read = await bank.get(issued["id"])
    (listed,) = (await bank.http.get("/v1/challenges", params={"psu": psu["id"]})).json()["data"]
    assert read["matching_digits"] == listed["matching_digits"] == issued["matching_digits"]
    assert (await bank.issue())["matching_digits"] is None


async def test_a_payer_without_a_device_is_not_asked(bank: Bank) -> None:
    """422 at /method when it is issued: a pending device is none, neither is a revoked one."""
    psu = unique_psu()
    await enrol(bank, psu)
    gone = unique_psu()
    device = await enrolled(bank, gone)
    assert (await bank.http.delete(f"{path(gone)}/{device.id}")).status_code == 204
    for payer in (psu, gone):
        refused = await bank.http.post(
            "/v1/challenges", json=order(psu=payer, method="device_signature", channels=None)
        )
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/method")


async def test_an_answer_signed_in_time_and_sent_too_late_is_late(bank: Bank, redis: Redis) -> None:
    """What counts is when it arrives: expired, and so it stays for the bank."""
    _, device, issued = await a_device(bank)
    signed = device.approval(issued, issued["matching_digits"])
    await age(redis, issued["id"], 301)
    assert (await device.answered(issued["id"], signed))[0] == "expired"
    assert (await bank.verify(issued["id"], "000000"))["outcome"] == "expired"


async def test_an_approval_that_redis_lost_and_took_again_has_one_authentication_code(
    bank: Bank, redis: Redis
) -> None:
    """Decision 6: the record holds the first one; what is told is that one, whatever Redis says."""
    _, device, issued = await a_device(bank)
    await bank.settled(issued["id"])
    before = await _stored(redis, issued["id"])
    assert await device.approve(issued) == "approved"
    first = (await bank.get(issued["id"]))["authentication_code"]
    await redis.set(challenge_key(issued["id"]), before, keepttl=True)
    again = device.approval(issued, issued["matching_digits"])
    assert (await device.answered(issued["id"], again))[0] == "already_used"
    assert (await bank.get(issued["id"]))["authentication_code"] == first
