"""A payer's device over HTTP: its key is enrolled once, and each of its requests is signed, new, and for one place."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.device import Device, authorisation, base64url, claims_of, enrol, enrolled, one_more, send
from tests.generator import activate, path
from tests.generator import enrol as enrol_generator
from tests.harness import Bank, Deployment, unique_psu

ANOTHER_CODE = "AAAAAA-AAAAAA-AAAAAA-AAAAAA"


async def listed(bank: Bank, psu: dict[str, str]) -> list[dict[str, Any]]:
    """A payer's authenticators."""
    found: list[dict[str, Any]] = (await bank.http.get(path(psu))).json()["data"]
    return found


async def told(service: Deployment, query: str, *values: object) -> list[asyncpg.Record]:
    """What lies in PostgreSQL."""
    connection = await asyncpg.connect(service.servers.postgres.url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


def test_the_example_in_the_documents_is_right() -> None:
    """The hash of the body that the page shows is the hash of the body that the page shows."""
    page = (Path(__file__).parents[2] / "docs" / "authenticators.md").read_text("utf-8")
    section = page.split("## Device keys")[1]
    (body,) = re.findall(r'^\{"authenticator": .*\}$', section, re.MULTILINE)
    (shown,) = re.findall(r'"bth": "([^"]+)"', section)
    assert shown == base64url(hashlib.sha256(body.encode()).digest())


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_device_is_enrolled_by_its_own_key(bank: Bank, algorithm: str) -> None:
    """The code goes the bank's way, the key over the device's own (RTS Art. 25(2)); from then on its key is enough."""
    psu = unique_psu()
    device, code = await enrol(bank, psu, algorithm=algorithm)
    (pending,) = await listed(bank, psu)
    assert (pending["state"], pending["element"], pending["unlocked_by"]) == (
        "pending",
        "possession",
        "inherence",
    )
    activated = (await device.activate(code.lower().replace("-", " "))).json()
    assert (activated["outcome"], activated["tries_left"]) == ("activated", 4)
    assert activated["authenticator"]["state"] == "active"
    assert await device.asked() == []


async def test_the_activation_code_leaves_once(bank: Bank) -> None:
    """The same request again is the same authenticator, and tells no code; nobody may keep the first answer."""
    psu = unique_psu()
    body = {"type": "device_key", "label": "Anna's phone", "unlocked_by": None}
    key = {"Idempotency-Key": f"device-{psu['id']}"}
    first, again = [await bank.http.post(path(psu), json=body, headers=key) for _ in range(2)]
    assert first.headers["cache-control"] == "no-store"
    assert len(first.json()["activation_code"].replace("-", "")) == 24
    assert again.json() == first.json() | {"activation_code": None}


async def test_five_wrong_activation_codes_revoke_it(bank: Bank) -> None:
    """RTS Art. 4(3)(b): after five the right one comes to nothing, and the enrolment starts anew."""
    psu = unique_psu()
    device, code = await enrol(bank, psu)
    outcomes = [(await device.activate(ANOTHER_CODE)).json() for _ in range(5)]
    assert [(one["outcome"], one["tries_left"]) for one in outcomes] == [
        ("incorrect", left) for left in (4, 3, 2, 1, 0)
    ]
    late = (await device.activate(code)).json()
    assert (late["outcome"], late["authenticator"]["state"]) == ("not_pending", "revoked")
    assert await listed(bank, psu) == []


async def test_an_activation_code_has_its_time(bank: Bank, service: Deployment) -> None:
    """After `pending_seconds` the right code is too late."""
    psu = unique_psu()
    device, code = await enrol(bank, psu)
    await told(
        service,
        "UPDATE authenticators SET created_at = created_at - interval '601 seconds' WHERE id = $1",
        device.id,
    )
    assert (await device.activate(code)).json()["outcome"] == "expired"
    assert (await device.call("GET", "/challenges")).status_code == 401


async def test_only_a_device_is_activated_by_a_key(bank: Bank) -> None:
    """An authenticator of another type, an unknown one and a revoked one: 404, 404, and not pending."""
    psu = unique_psu()
    generator = (await enrol_generator(bank, psu)).json()["authenticator"]["id"]
    device, code = await enrol(bank, psu)
    mine = device.id
    for other in (generator, "aut_" + "0" * 32, "aut_", "chl_x"):
        device.id = other
        assert (await device.activate(code)).status_code == 404
    assert (await bank.http.delete(f"{path(psu)}/{mine}")).status_code == 204
    device.id = mine
    assert (await device.activate(code)).json()["outcome"] == "not_pending"


async def test_the_bank_cannot_activate_a_device_itself(bank: Bank) -> None:
    """Its code without a key proves nothing: a wrong try like any other."""
    psu = unique_psu()
    device, code = await enrol(bank, psu)
    tried = (await activate(bank, psu, device.id, code)).status_code
    assert tried == 422, "no such code of a generator"
    tried_digits = (await activate(bank, psu, device.id, "123456")).json()
    assert (tried_digits["outcome"], tried_digits["tries_left"]) == ("incorrect", 4)


async def test_one_key_is_no_two_authenticators(bank: Bank, auditor: Bank, service: Deployment) -> None:
    """The same key for another payer is 409, a try and on record, and not stored; its device may make another one."""
    psu, other = unique_psu(), unique_psu()
    device = await enrolled(bank, psu)
    twin, code = await enrol(bank, other)
    first_key, twin.key = twin.key, device.key
    refused = await twin.activate(code)
    assert (refused.status_code, refused.json()["code"]) == (409, "key-already-enrolled")
    (row,) = await told(service, "SELECT state, key_name FROM authenticators WHERE id = $1", twin.id)
    assert tuple(row) == ("pending", None)
    assert (await twin.call("GET", "/challenges")).status_code == 401
    assert (await device.call("GET", "/challenges")).status_code == 200
    wanted = {"psu": other["id"], "type": "authenticator.not_activated"}
    (tried,) = (await auditor.http.get("/v1/audit/events", params=wanted)).json()["data"]
    assert tried["reason"] == "key_already_enrolled"
    twin.key = first_key
    activated = (await twin.activate(code)).json()
    assert (activated["outcome"], activated["tries_left"]) == ("activated", 3)


async def test_a_revoked_key_is_never_enrolled_again(bank: Bank) -> None:
    """RTS Art. 27: neither for the same payer nor for another."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    assert (await bank.http.delete(f"{path(psu)}/{device.id}")).status_code == 204
    for payer in (psu, unique_psu()):
        again, code = await enrol(bank, payer)
        again.key = device.key
        refused = await again.activate(code)
        assert (refused.status_code, refused.json()["code"]) == (409, "key-already-enrolled")


@pytest.mark.race
async def test_two_devices_with_one_key_at_once_are_one(bank: Bank) -> None:
    """The key's name is unique in one statement: of two activations in the same moment one is refused."""

    psu, other = unique_psu(), unique_psu()
    (device, code), (twin, twins_code) = await enrol(bank, psu), await enrol(bank, other)
    twin.key = device.key
    tried = await asyncio.gather(device.activate(code), twin.activate(twins_code))
    assert sorted(one.status_code for one in tried) == [200, 409]


async def test_a_later_device_needs_the_word_of_an_active_one(bank: Bank) -> None:
    """RTS Art. 24: an enrolment challenge that a device approved; its word enrols one."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    body = {"type": "device_key", "label": "Tablet"}
    refused = await bank.http.post(path(psu), json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "authorisation-required")
    word = await authorisation(bank, psu, device)
    await enrolled(bank, psu, authorisation=word)
    again = await bank.http.post(path(psu), json=body | {"authorisation": word})
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/authorisation")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"unlocked_by": "possession"}, "/unlocked_by"),
        ({"unlocked_by": "face"}, "/unlocked_by"),
        ({"pin": "493817"}, "/pin"),
        ({"for_payments": True}, "/for_payments"),
        ({"label": ""}, "/label"),
    ],
)
async def test_what_cannot_be_enrolled_is_named(bank: Bank, body: dict[str, Any], pointer: str) -> None:
    """422 at the member, and nothing is stored."""
    psu = unique_psu()
    wanted = {"type": "device_key", "label": "Anna's phone"} | body
    response = await bank.http.post(path(psu), json=wanted)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await listed(bank, psu) == []


async def test_a_suspended_device_is_like_none(bank: Bank) -> None:
    """Until it is resumed: 401, nothing is asked of it, and what it was asked is void."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    issued = await bank.issue(psu=psu, method="device_signature", channels=None)
    for _ in range(2):  # again is as once
        suspended = await bank.http.post(f"{path(psu)}/{device.id}/suspend", json={})
        assert (suspended.status_code, suspended.json()["state"]) == (200, "suspended")
    assert (await device.call("GET", "/challenges")).status_code == 401
    assert (await bank.get(issued["id"]))["status"] == "cancelled"
    refused = await bank.http.post(
        "/v1/challenges", json={"psu": psu, "purpose": "login", "method": "device_signature"}
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/method")
    resumed = await bank.http.post(f"{path(psu)}/{device.id}/resume", json={})
    assert (resumed.status_code, resumed.json()["state"]) == (200, "active")
    assert await device.asked() == []
    assert (await bank.http.delete(f"{path(psu)}/{device.id}")).status_code == 204
    for verb in ("suspend", "resume"):
        late = await bank.http.post(f"{path(psu)}/{device.id}/{verb}", json={})
        assert (late.status_code, late.json()["state"]) == (200, "revoked")


def _altered(proof: str, header: dict[str, Any]) -> str:
    """The proof with another header, and the signature that it had."""
    _, payload, signature = proof.split(".")
    return f"{base64url(json.dumps(header).encode())}.{payload}.{signature}"


WRONG_PROOFS: dict[str, Callable[[Device, str, bytes], str]] = {
    "other method": lambda device, url, body: device.proof("PUT", url, body),
    "other path": lambda device, url, body: device.proof("POST", url + "/", body),
    "other host": lambda device, url, body: device.proof("POST", "https://bank.example/device/v1", body),
    "with its query": lambda device, url, body: device.proof("POST", url + "?a=b", body),
    "other body": lambda device, url, body: device.proof("POST", url, body + b" "),
    "no hash of the body": lambda device, url, body: device.proof("POST", url),
    "late": lambda device, url, body: device.proof("POST", url, body, iat=int(time.time()) - 75),
    "of the future": lambda device, url, body: device.proof("POST", url, body, iat=int(time.time()) + 45),
    "a time that is no number": lambda device, url, body: device.proof("POST", url, body, iat="now"),
    "short jti": lambda device, url, body: device.proof("POST", url, body, jti="0123456789abcde"),
    "no jti": lambda device, url, body: device.proof("POST", url, body, jti=None),
    "with an access key's hash": lambda device, url, body: device.proof("POST", url, body, ath="x"),
    "its key in the header": lambda device, url, body: device.proof("POST", url, body, shows_key=True),
    "unknown device": lambda device, url, body: _named(device, "aut_" + "0" * 32, url, body),
    "no device": lambda device, url, body: _named(device, "", url, body),
    "another's key": lambda device, url, body: _named(Device(), device.id, url, body),
    "alg none": lambda device, url, body: _altered(
        device.proof("POST", url, body), {"alg": "none", "typ": "dpop+jwt", "kid": device.id}
    ),
    "no signature": lambda device, url, body: device.proof("POST", url, body).rpartition(".")[0] + ".",
    "algorithm of another key": lambda device, url, body: _altered(
        device.proof("POST", url, body), {"alg": "EdDSA", "typ": "dpop+jwt", "kid": device.id}
    ),
    "a symmetric algorithm": lambda device, url, body: _altered(
        device.proof("POST", url, body), {"alg": "HS256", "typ": "dpop+jwt", "kid": device.id}
    ),
    "an answer for a proof": lambda device, url, body: device.sign(
        {"typ": "sca-approval+jwt", "kid": device.id}, {"htm": "POST", "htu": url, "iat": int(time.time())}
    ),
    "no JWS": lambda device, url, body: "eyJhbGciOiJub25lIn0",
    "nothing": lambda device, url, body: "",
}
"""What is no proof of this request, and why."""


def _named(device: Device, name: str, url: str, body: bytes) -> str:
    kept, device.id = device.id, name
    try:
        return device.proof("POST", url, body)
    finally:
        device.id = kept


@pytest.fixture(scope="module")
def asked_once() -> dict[str, Any]:
    """One device with one challenge, for all the proofs that are refused."""
    return {}


async def _asked(bank: Bank, kept: dict[str, Any]) -> tuple[Device, dict[str, Any]]:
    if not kept:
        psu = unique_psu()
        kept["device"] = await enrolled(bank, psu)
        kept["challenge"] = await bank.issue(psu=psu, method="device_signature", channels=None)
    return kept["device"], kept["challenge"]


def _without_ids(text: str, request_id: str) -> str:
    return text.replace(request_id, "")


@pytest.mark.parametrize("what", WRONG_PROOFS)
async def test_a_proof_that_is_not_right_is_401_and_tells_nothing(
    bank: Bank, asked_once: dict[str, Any], what: str
) -> None:
    """Whatever is wrong, the answer is the same byte for byte as without any proof; nothing is decided."""
    device, challenge = await _asked(bank, asked_once)
    body = json.dumps({"answer": device.approval(challenge, challenge["matching_digits"])}).encode()
    url = f"{device.url}/challenges/{challenge['id']}/answer"
    proof = WRONG_PROOFS[what](device, url, body)
    refused = await send("POST", url, body, [("DPoP", proof)])
    without = await send("POST", url, body, [])
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "DPoP")
    said = [_without_ids(one.text, one.headers["x-request-id"]) for one in (refused, without)]
    assert said[0] == said[1]
    assert refused.json()["code"] == "invalid-proof"
    assert (await bank.get(challenge["id"]))["status"] == "pending"


async def test_a_proof_counts_once_for_one_request(bank: Bank) -> None:
    """RFC 9449, section 11.1: the same proof again is refused, also when everything it covers is the same."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    proof = device.proof("GET", f"{device.url}/challenges")
    sent = [await device.call("GET", "/challenges", proof=proof) for _ in range(2)]
    assert [one.status_code for one in sent] == [200, 401]


@pytest.mark.race
async def test_a_proof_counts_once_also_at_once(bank: Bank) -> None:
    """Sent twenty times at once, one request is served: the first use is one command of Redis."""

    psu = unique_psu()
    device = await enrolled(bank, psu)
    proof = device.proof("GET", f"{device.url}/challenges")
    sent = await asyncio.gather(*(device.call("GET", "/challenges", proof=proof) for _ in range(20)))
    assert sorted(one.status_code for one in sent) == [200] + [401] * 19


async def test_two_proofs_are_none(bank: Bank) -> None:
    """RFC 9449, section 4.3: not more than one header field; which of two counts is nobody's guess."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    url = f"{device.url}/challenges"
    for second in (device.proof("GET", url), "x"):
        for headers in ([device.proof("GET", url), second], [second, device.proof("GET", url)]):
            sent = await send("GET", url, b"", [("DPoP", one) for one in headers])
            assert sent.status_code == 401
    issued = await bank.issue(psu=psu, method="device_signature", channels=None)
    body = json.dumps({"answer": device.approval(issued, issued["matching_digits"])}).encode()
    place = f"{url}/{issued['id']}/answer"
    twice = [("DPoP", device.proof("POST", place, body)) for _ in range(2)]
    assert (await send("POST", place, body, twice)).status_code == 401
    assert (await send("POST", place, body, twice[:1])).json()["outcome"] == "approved"


@pytest.mark.parametrize("seconds", [-55, 25])
async def test_a_clock_that_is_a_little_wrong_is_taken(bank: Bank, seconds: int) -> None:
    """A minute behind, half a minute ahead."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    proof = device.proof("GET", f"{device.url}/challenges", iat=int(time.time()) + seconds)
    assert (await device.call("GET", "/challenges", proof=proof)).status_code == 200


async def test_activation_needs_the_key_in_the_header(bank: Bank) -> None:
    """Without it, or with one of another kind, nothing is tried: no try of the enrolment is spent."""
    psu = unique_psu()
    device, code = await enrol(bank, psu)
    body = {"authenticator": device.id, "activation_code": code}
    raw = json.dumps(body).encode()
    url = f"{device.url}/activate"
    claims = claims_of(device.proof("POST", url, raw))
    private = device.jwk | {"d": base64url(b"\x01" * 32)}
    off_curve = device.jwk | {"y": base64url(b"\x01" * 32)}
    other_curve = {"kty": "EC", "crv": "P-384", "x": base64url(b"\x01" * 48), "y": base64url(b"\x01" * 48)}
    symmetric = {"kty": "oct", "k": base64url(b"\x01" * 32)}
    oversized = device.jwk | {"kid": "x" * 2000}
    headers: list[dict[str, Any]] = [{"kid": device.id}]
    headers += [{"jwk": jwk} for jwk in (private, off_curve, other_curve, symmetric, oversized, {})]
    headers += [{"jwk": device.jwk, "alg": "none"}, {"jwk": device.jwk, "alg": "EdDSA"}]
    headers += [{"jwk": Device().jwk}, {"jwk": Device("EdDSA").jwk, "alg": "EdDSA"}]
    for header in headers:
        signed = device.sign({"typ": "dpop+jwt", **header}, claims)
        refused = await send("POST", url, raw, [("DPoP", signed)])
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid-proof"), header
    activated = (await device.activate(code)).json()
    assert (activated["outcome"], activated["tries_left"]) == ("activated", 4)


async def test_the_devices_of_a_payer_are_told_apart(bank: Bank) -> None:
    """A second device signs with its own key; the first one's does not open its door."""
    psu = unique_psu()
    first = await enrolled(bank, psu)
    second = await one_more(bank, psu, first, algorithm="EdDSA")
    kept, first.id = first.id, second.id
    assert (await first.call("GET", "/challenges")).status_code == 401
    first.id = kept
    assert [len(await one.asked()) for one in (first, second)] == [0, 0]
