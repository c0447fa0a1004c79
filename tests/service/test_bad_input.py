"""Bad input over HTTP: refused with its place, nothing stored, nothing sent, no attempt spent, nothing in the logs."""

from typing import Any

import pytest
from redis.asyncio import Redis

from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu, wrong
from tests.service.bad_bodies import CANARY, MARKED, MOST_BYTES, BadBody, bad_answers, bad_orders

STATUS = {"validation-error": 422, "malformed-request": 422, "body-too-large": 413}
_CODE = "693554"
ORDER_NAMES = tuple(bad_orders(order(transaction=MARKED)))
ANSWER_NAMES = tuple(bad_answers({"code": _CODE, "transaction": MARKED}))
JSON = {"Content-Type": "application/json"}


async def refused(bank: Bank, path: str, bad: BadBody) -> None:
    """Send a bad body; asserts the status, the code and the pointers of the answer, and that it echoes nothing."""
    response = await bank.http.post(path, content=bad.body, headers=JSON)
    problem = response.json()

    assert (problem["code"], response.status_code) == (bad.code, STATUS[bad.code]), response.text
    assert response.headers["content-type"] == "application/problem+json"
    pointers = tuple(mistake["pointer"] for mistake in problem.get("errors", ()))
    assert sorted(pointers) == sorted(bad.pointers)
    told = problem["detail"] + "".join(mistake["detail"] for mistake in problem.get("errors", ()))
    assert CANARY not in told


@pytest.mark.parametrize("name", ORDER_NAMES)
async def test_bad_order_is_refused(bank: Bank, name: str) -> None:
    """A challenge that cannot be issued is refused with the place of the mistake."""
    await refused(bank, "/v1/challenges", bad_orders(order(transaction=MARKED))[name])


@pytest.mark.parametrize("name", ANSWER_NAMES)
async def test_bad_answer_is_refused(bank: Bank, name: str) -> None:
    """An answer that is none is refused with the place of the mistake, whether or not its challenge exists."""
    bad = bad_answers({"code": _CODE, "transaction": MARKED})[name]
    await refused(bank, "/v1/challenges/chl_0020160123456789abcdef0123456789abcdef/verify", bad)


@pytest.mark.parametrize(
    ("call", "body", "pointer"),
    [
        ("next", b'{"reason": "because"}', "/reason"),
        ("next", b'{"channel": "voice"}', "/channel"),
        ("next", b"[]", ""),
        ("cancel", b'{"reason": "user_request"}', "/reason"),
        ("cancel", b'{"a": 1, "a": 1}', ""),
        ("cancel", b"x", ""),
    ],
)
async def test_bad_step_is_refused(bank: Bank, call: str, body: bytes, pointer: str) -> None:
    """The smaller calls are as strict, and the challenge stays as it is."""
    challenge = await bank.settled(
        (await bank.issue(channels=[{"channel": "sms"}, {"channel": "voice"}]))["id"]
    )
    response = await bank.http.post(f"/v1/challenges/{challenge['id']}/{call}", content=body, headers=JSON)

    assert response.status_code == 422
    assert [mistake["pointer"] for mistake in response.json()["errors"]] == [pointer]
    assert await bank.get(challenge["id"]) == challenge


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("duplicate key within", "twice"),
        ("deep nesting", "nested"),
        ("very deep nesting", "nested"),
        ("NaN", "JSON"),
    ],
)
async def test_unreadable_body_is_told_why(bank: Bank, name: str, said: str) -> None:
    """A body that cannot be read is refused with the reason, though its text is not repeated."""
    bad = bad_orders(order(transaction=MARKED))[name]
    response = await bank.http.post("/v1/challenges", content=bad.body, headers=JSON)

    assert said in response.json()["detail"]
    assert response.json()["errors"] == [{"pointer": "", "detail": response.json()["detail"]}]


async def keys_of(psu: dict[str, str], service: Deployment, redis: Redis) -> set[bytes]:
    """What Redis holds under a payer's or a phone line's pseudonym."""
    payer = service.keyring.pseudonym("payer", "bank", psu["id"])
    line = service.keyring.pseudonym("phone", psu["phone"])
    return {key async for key in redis.scan_iter(count=1000) if payer.encode() in key or line.encode() in key}


async def test_bad_orders_store_and_send_nothing(
    bank: Bank, auditor: Bank, service: Deployment, redis: Redis
) -> None:
    """After every bad order for one payer there is no challenge, message, event or key; then a good one works."""
    psu = unique_psu()
    for bad in bad_orders(order(psu=psu, transaction=MARKED)).values():
        response = await bank.http.post("/v1/challenges", content=bad.body, headers=JSON)
        assert response.status_code in (413, 422)
    listed = await bank.http.get("/v1/challenges", params={"psu": psu["id"]})
    events = await auditor.http.get("/v1/audit/events", params={"psu": psu["id"]})
    stored = await keys_of(psu, service, redis)
    challenge = await bank.issue(psu=psu)
    await bank.settled(challenge["id"])

    assert listed.json()["data"] == []
    assert events.json()["data"] == []
    assert stored == set()
    assert await keys_of(psu, service, redis) != set()
    assert [message["delivery"] for message in await bank.messages(psu["phone"])] == [
        challenge["deliveries"][0]["id"]
    ]
    assert challenge["attempts_left"] == 5


async def test_bad_answers_spend_no_attempt(bank: Bank, auditor: Bank) -> None:
    """After every bad answer to one challenge all attempts are left, nothing is on record, the right code works."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu, transaction=MARKED)
    code = await bank.code(psu["phone"])
    before = await bank.settled(challenge["id"])
    for presented in (code, wrong(code)):
        for bad in bad_answers({"code": presented, "transaction": MARKED}).values():
            response = await bank.http.post(
                f"/v1/challenges/{challenge['id']}/verify", content=bad.body, headers=JSON
            )
            assert response.status_code in (413, 422)
    after = await bank.get(challenge["id"])
    events = await auditor.http.get(
        "/v1/audit/events", params={"challenge": challenge["id"], "type": "challenge.answered"}
    )
    verified = await bank.verify(challenge["id"], code, MARKED)

    assert after == before
    assert events.json()["data"] == []
    assert verified["outcome"] == "approved"
    assert verified["attempts_left"] == 4


async def test_logs_repeat_nothing_that_was_sent(bank: Bank, service: Deployment) -> None:
    """No role's log, at DEBUG, has anything of a bad request in it: not of the body, the path, or the query."""
    psu = unique_psu()
    for bad in bad_orders(order(psu=psu, transaction=MARKED)).values():
        await bank.http.post("/v1/challenges", content=bad.body, headers=JSON)
    for bad in bad_answers({"code": _CODE, "transaction": MARKED}).values():
        await bank.http.post(f"/v1/challenges/{CANARY}/verify", content=bad.body, headers=JSON)
    await bank.http.get("/v1/challenges", params={"psu": f"{CANARY}\0", CANARY: CANARY})
    await bank.http.get(f"/{CANARY}", headers={"Authorization": f"Bearer sca_{CANARY}"})
    await bank.http.post("/v1/challenges", json={}, headers={"Idempotency-Key": f"{CANARY} {CANARY}"})
    logs = list(service.folder.glob("*.log"))
    written = "".join(log.read_text("utf-8") for log in logs)

    assert len(logs) >= 3
    assert "api.starting" in written
    for sent in (CANARY, _CODE, psu["id"], psu["phone"], psu["phone"][1:], "ACME", "DE8937040044053201300"):
        assert sent not in written


@pytest.mark.parametrize(
    "name",
    ["{code}", "%s", "{{7*7}}", "{payee}", "%(code)s", "${jndi:x}", "<b>A&B</b>", "'; DROP--", "\\u0041"],
)
async def test_payee_is_shown_as_it_is(bank: Bank, name: str) -> None:
    """A payee's name is never a template: the page, the SMS and the call show exactly what was sent."""
    psu = unique_psu()
    transaction = TRANSACTION | {"payee": {"name": name}}
    challenge = await bank.issue(
        psu=psu, transaction=transaction, channels=[{"channel": "sms"}, {"channel": "voice"}]
    )
    sms = await bank.message(psu["phone"])
    await bank.http.post(f"/v1/challenges/{challenge['id']}/next")
    call = await bank.message(psu["phone"], number=2)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"]), transaction)

    assert challenge["transaction"]["payee"] == {"name": name}
    assert challenge["message_shown"] == f"49,99 € an {name}"
    assert name in sms["text"]
    assert name in call["text"]
    assert verified["outcome"] == "approved"


@pytest.mark.parametrize(("spare", "status"), [(0, 201), (-1, 413)], ids=["64 KiB", "a byte more"])
async def test_body_may_have_64_kib(bank: Bank, spare: int, status: int) -> None:
    """A body of exactly 64 KiB is read, one byte more is not; the connection is good for the next request."""
    psu = unique_psu()
    body = b'{"psu":{"id":"%s","phone":"%s"},"purpose":"login"' % (psu["id"].encode(), psu["phone"].encode())
    padded = body.ljust(MOST_BYTES - spare - 1) + b"}"
    response = await bank.http.post("/v1/challenges", content=padded, headers=JSON)
    following = await bank.http.post("/v1/challenges", json=order())

    assert response.status_code == status
    assert following.status_code == 201


async def test_body_that_does_not_say_its_length_is_bounded_too(bank: Bank) -> None:
    """A chunked body is counted as it comes: over 64 KiB it is refused as any other, on both hot routes."""

    async def chunks() -> Any:
        for _ in range(70):
            yield b" " * 1024

    for path in ("/v1/challenges", "/v1/challenges/chl_x/verify", "/v1/challenges/chl_x/next"):
        response = await bank.http.post(path, content=chunks(), headers=JSON)
        assert response.status_code == 413
        assert response.json()["code"] == "body-too-large"
