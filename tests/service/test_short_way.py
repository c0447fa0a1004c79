"""The three hot routes are served by a short way and by the framework: both give the same answers.

The framework serves a path that ends with a slash as the path without it, and the short way does not know it: so one
slash chooses the way.
"""

import json
import re
from typing import Any, cast

import httpx
import pytest

from sca_service.api.client_door import ClientDoor
from sca_service.api.devices import DeviceOperations
from sca_service.api.front import Front
from sca_service.api.operations import ChallengeOperations
from tests.device import Device, asked, enrolled, send
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu, wrong
from tests.service.bad_bodies import MARKED, BadBody, bad_answers, bad_orders

WAYS = ("", "/")
CREATE = "/v1/challenges"
UNKNOWN = "/v1/challenges/chl_0020160123456789abcdef0123456789abcdef/verify"
OF_NOBODY = "chl_0020160123456789abcdef0123456789abcdef"
DEVICE_ANSWER = f"/device/v1/challenges/{OF_NOBODY}/answer"
JSON = "application/json"
_ANSWER = {"code": "693554", "transaction": MARKED}
_CHANGING = re.compile(
    r"(chl|dlv|evt|req|cust)_[0-9a-f]+|\d{4}-\d\d-\d\dT[\d:.]+Z|\+\d+…\d{4}|device …[0-9a-f]{4}"
    r"|ey[\w-]+\.ey[\w-]+\.[\w-]+"
    r"|r=\d+;t=\d+"
)


def same_in_both(response: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body, with what is another one in each answer (ids, times) written as its kind."""

    def kind(text: str) -> str:
        return _CHANGING.sub(lambda found: f"<{found[0][:3] if found[0][3:4] == '_' else found[0][0]}>", text)

    ignored = {"date", "content-length"}
    headers = {name: kind(value) for name, value in response.headers.items() if name not in ignored}
    return response.status_code, headers, json.loads(kind(response.text)) if response.content else None


async def both_ways(bank: Bank, path: str, **request: Any) -> list[tuple[int, dict[str, str], Any]]:
    """The answers to one request, by the short way and by the framework's."""
    return [same_in_both(await bank.http.post(path + slash, **request)) for slash in WAYS]


async def test_a_slash_at_the_end_goes_the_long_way() -> None:
    """What these tests rest on: with the slash a request reaches the framework, without it it does not."""
    reached: list[str] = []

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    nobody = cast("ClientDoor", _Nobody())
    devices = cast("DeviceOperations", _NoDevices())
    front = Front(framework, nobody, cast("ChallengeOperations", None), devices)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cast("Any", front)), base_url="http://test", trust_env=False
    ) as client:
        statuses = [
            (await client.post(path + slash, json={"answer": "a.b.c"})).status_code
            for path in (CREATE, UNKNOWN, DEVICE_ANSWER)
            for slash in WAYS
        ]

    assert statuses == [500, 418] * 3
    assert reached == [CREATE + "/", UNKNOWN + "/", DEVICE_ANSWER + "/"]


class _Nobody:
    """A door that cannot be asked."""

    def admit(self, scope: Any, authorization: str | None) -> None:
        """Raises RuntimeError."""
        raise RuntimeError


class _NoDevices:
    """Operations that cannot be asked."""

    def limits_of(self, *_: object) -> None:
        """Raises RuntimeError."""
        raise RuntimeError


@pytest.mark.parametrize("path", [CREATE, UNKNOWN], ids=["create", "verify"])
async def test_bad_requests_are_answered_alike(bank: Bank, path: str) -> None:
    """Every bad body gets the same status, headers and problem by either way."""
    bad: dict[str, BadBody]
    bad = bad_orders(order(transaction=MARKED)) if path == CREATE else bad_answers(_ANSWER)
    for name, one in bad.items():
        short, long = await both_ways(bank, path, content=one.body, headers={"Content-Type": JSON})
        assert short == long, name


HEADERS: dict[str, dict[str, str]] = {
    "no key": {"Authorization": ""},
    "wrong key": {"Authorization": "Bearer sca_" + "A" * 43},
    "another scheme": {"Authorization": "Basic eDp5"},
    "form": {"Content-Type": "application/x-www-form-urlencoded"},
    "charset": {"Content-Type": "application/json; charset=utf-8"},
    "no media type": {"Content-Type": ""},
    "empty idempotency key": {"Idempotency-Key": ""},
    "bad idempotency key": {"Idempotency-Key": "two words"},
    "request id": {"X-Request-Id": "bank-0001-0002"},
    "bad request id": {"X-Request-Id": "no"},
    "accept": {"Accept": "text/html"},
    "origin": {"Origin": "https://evil.example"},
    "override": {"X-HTTP-Method-Override": "DELETE"},
    "encoding": {"Accept-Encoding": "gzip"},
}


@pytest.mark.parametrize("path", [CREATE, UNKNOWN], ids=["create", "verify"])
@pytest.mark.parametrize("name", HEADERS)
async def test_headers_are_read_alike(bank: Bank, path: str, name: str) -> None:
    """Keys, media types, idempotency keys and request ids mean the same by either way."""
    body = (
        order(channels=[{"channel": "push"}])
        if path == CREATE
        else {"code": "123456", "transaction": TRANSACTION}
    )
    content = json.dumps(body).encode()
    short, long = await both_ways(bank, path, content=content, headers={"Content-Type": JSON} | HEADERS[name])

    assert short == long


@pytest.mark.parametrize("path", [CREATE, UNKNOWN], ids=["create", "verify"])
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("Authorization", "right", "Bearer sca_" + "A" * 43),
        ("Authorization", "Bearer sca_" + "A" * 43, "right"),
        ("Content-Type", JSON, "text/plain"),
        ("Content-Type", "text/plain", JSON),
        ("Idempotency-Key", "two words", "twice-0001"),
    ],
)
async def test_headers_given_twice_are_read_alike(
    service: Deployment, bank: Bank, path: str, name: str, first: str, second: str
) -> None:
    """Whichever counts, it is the same one by either way."""
    key = f"Bearer {service.keys['bank']}"
    twice = [(name, key if value == "right" else value) for value in (first, second)]
    kind = [] if name == "Content-Type" else [("Content-Type", JSON)]
    short, long = await both_ways(bank, path, content=b"{}", headers=[*kind, *twice])

    assert short == long


@pytest.mark.parametrize("client", ["issuer", "auditor", "operator"])
async def test_scopes_are_asked_for_alike(service: Deployment, client: str) -> None:
    """A client without the scope is refused alike."""
    async with service.bank(client=client) as caller:
        for path in (CREATE, UNKNOWN):
            short, long = await both_ways(caller, path, json={})
            assert short == long
            assert short[0] == 403


@pytest.mark.parametrize("content", [b"", b" " * 70_000], ids=["nothing", "too much"])
async def test_bodies_are_read_alike(bank: Bank, content: bytes) -> None:
    """No body at all, and one that is too large, by either way."""
    for path in (CREATE, UNKNOWN):
        short, long = await both_ways(bank, path, content=content)
        assert short == long


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"channels": None},
        {"purpose": "login", "transaction": None},
        {
            "elements_presented": ["knowledge", "inherence"],
            "reference": "case-77",
            "metadata": {"case": "77"},
        },
        {"expires_in_s": 60, "signals": {"ip": "203.0.113.7"}},
    ],
)
async def test_challenges_are_issued_alike(bank: Bank, members: dict[str, Any]) -> None:
    """A challenge is created with the same members, headers and values by either way."""
    short, long = await both_ways(bank, CREATE, json=order(**members))

    assert short == long
    assert short[0] == 201
    assert short[1]["location"] == "/v1/challenges/<chl>"


async def outcomes(bank: Bank, slash: str) -> list[tuple[int, dict[str, str], Any]]:
    """What comes of answers to one payer's challenges, one after another, by one of the ways."""
    psu = unique_psu()

    async def answer(challenge: str, code: str, transaction: Any = TRANSACTION) -> httpx.Response:
        body = {"code": code, "transaction": transaction}
        return await bank.http.post(f"/v1/challenges/{challenge}/verify{slash}", json=body)

    first, second = await bank.issue(psu=psu), await bank.issue(psu=psu)
    await bank.message(psu["phone"], number=2)
    await bank.settled(first["id"])
    await bank.settled(second["id"])
    by_delivery = {message["delivery"]: message["text"] for message in await bank.messages(psu["phone"])}
    code = re.findall(r"(?<!\d)\d{6}(?!\d)", by_delivery[first["deliveries"][0]["id"]])[-1]
    other = TRANSACTION | {"amount": {"currency": "EUR", "amount": "50.00"}}
    return [
        same_in_both(response)
        for response in (
            await answer(first["id"], wrong(code)),
            await answer(first["id"], code),
            await answer(first["id"], code),
            await answer(second["id"], code, other),
            await answer(second["id"], code),
        )
    ]


async def test_answers_come_to_the_same_outcomes(bank: Bank) -> None:
    """Wrong, right, used, mismatched: the same bodies and headers by either way."""
    short, long = [await outcomes(bank, slash) for slash in WAYS]

    assert short == long
    assert [body["outcome"] for _, _, body in short] == [
        "incorrect",
        "approved",
        "already_used",
        "transaction_mismatch",
        "transaction_mismatch",
    ]


@pytest.mark.parametrize("first", WAYS, ids=["short first", "long first"])
async def test_idempotency_key_holds_over_both_ways(bank: Bank, first: str) -> None:
    """A key that was used by one way is replayed by the other."""
    body, key = order(), {"Idempotency-Key": unique_psu()["id"]}
    second = "/" if not first else ""
    created = await bank.http.post(CREATE + first, json=body, headers=key)
    replayed = await bank.http.post(CREATE + second, json=body, headers=key)

    assert created.status_code == replayed.status_code == 201
    assert replayed.headers["idempotency-replayed"] == "true"
    assert replayed.content == created.content


async def answer_both_ways(
    device: Device, body: bytes, headers: list[tuple[str, str]] | None = None
) -> list[tuple[int, dict[str, str], Any]]:
    """The answers to what a device says to a challenge of nobody; each way gets a proof of its own, and `headers`."""
    place = f"/challenges/{OF_NOBODY}/answer"
    told = []
    for slash in WAYS:
        proof = device.proof("POST", device.url + place, body)
        with_proof = [("DPoP", proof)] if headers is None else headers
        given = [(name, proof if value == "right" else value) for name, value in with_proof]
        told.append(same_in_both(await send("POST", device.url + place + slash, body, given)))
    return told


BAD_ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "no answer": b"{}",
    "null": b'{"answer": null}',
    "no text": b'{"answer": 1}',
    "too long": json.dumps({"answer": "a" * 9_000}).encode(),
    "too large": json.dumps({"answer": "a" * 70_000}).encode(),
    "unknown member": b'{"answer": "a.b.c", "code": "1"}',
    "twice": b'{"answer": "a.b.c", "answer": "a.b.c"}',
    "no UTF-8": b'{"answer": "\xff"}',
    "no JWS": b'{"answer": "a.b.c"}',
}


async def test_bad_answers_of_devices_are_answered_alike(bank: Bank) -> None:
    """Every bad body, and a challenge of nobody, get the same status, headers and problem by either way."""
    device = await enrolled(bank, unique_psu())
    for name, body in BAD_ANSWERS.items():
        short, long = await answer_both_ways(device, body)
        assert short == long, name


PROOFS: dict[str, list[tuple[str, str]]] = {
    "right": [("DPoP", "right")],
    "none": [],
    "empty": [("DPoP", "")],
    "no JWS": [("DPoP", "a.b.c")],
    "twice": [("DPoP", "right"), ("DPoP", "a.b.c")],
    "twice, the other way round": [("DPoP", "a.b.c"), ("DPoP", "right")],
    "request id": [("DPoP", "right"), ("X-Request-Id", "bank-0001-0002")],
    "form": [("DPoP", "right"), ("Content-Type", "application/x-www-form-urlencoded")],
    "API key": [("DPoP", "right"), ("Authorization", "Bearer sca_" + "A" * 43)],
    "idempotency key": [("DPoP", "right"), ("Idempotency-Key", "two words")],
}


async def test_proofs_of_devices_are_read_alike(bank: Bank) -> None:
    """A proof that is missing, wrong or given twice, and other headers, mean the same by either way."""
    device = await enrolled(bank, unique_psu())
    statuses = {}
    for name, headers in PROOFS.items():
        short, long = await answer_both_ways(device, b'{"answer": "a.b.c"}', headers)
        assert short == long, name
        statuses[name] = short[0]
    assert (statuses["right"], statuses["none"], statuses["no JWS"]) == (404, 401, 401)


async def device_outcomes(bank: Bank, slash: str) -> list[tuple[int, dict[str, str], Any]]:
    """What comes of one device's answers, one after another, by one of the ways."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    first, second, third = [await asked(bank, psu) for _ in range(3)]
    digits = first["matching_digits"]
    other = TRANSACTION | {"digest": "sha256:" + "0" * 64}
    told = []
    for challenge, signed in (
        (first, device.approval(second, second["matching_digits"])),
        (first, device.approval(first, f"{(int(digits) + 1) % 100:02d}")),
        (first, device.approval(first, digits)),
        (first, device.approval(first, digits)),
        (second, device.refusal(second, "not_me")),
        (third, device.approval(third | {"transaction": other}, third["matching_digits"])),
    ):
        place = f"{device.url}/challenges/{challenge['id']}/answer"
        body = json.dumps({"answer": signed}).encode()
        proof = device.proof("POST", place, body)
        told.append(same_in_both(await send("POST", place + slash, body, [("DPoP", proof)])))
    return told


async def test_answers_of_devices_come_to_the_same_outcomes(bank: Bank) -> None:
    """For another challenge, wrong digits, right, used, declined, mismatched: the same by either way."""
    short, long = [await device_outcomes(bank, slash) for slash in WAYS]

    assert short == long
    assert [status for status, _, _ in short] == [422, 200, 200, 200, 200, 200]
    assert [body["outcome"] for _, _, body in short[1:]] == [
        "incorrect",
        "approved",
        "already_used",
        "declined",
        "transaction_mismatch",
    ]
