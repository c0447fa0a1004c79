"""Problems over HTTP: every document's shape, its page, the list in docs/, and the request id of every answer."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from sca_service.api.pages import errors_markdown
from sca_service.api.problems import problem_pages
from tests import device
from tests.generator import enrol, enrolled
from tests.harness import TRANSACTION, Bank, Deployment, order, unique_psu
from tests.service.situations import challenge_key, pending
from tests.service.test_idempotency import claim_by_hand

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}
POINTER = re.compile(r"(/([^~/]|~[01])*)*")
UNKNOWN = "chl_0020160123456789abcdef0123456789abcdef"
ERRORS_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


@dataclass(frozen=True, slots=True)
class World:
    """What it takes to meet every problem."""

    bank: Bank
    service: Deployment
    redis: Redis

    async def post(self, path: str, content: object = None, **headers: str) -> httpx.Response:
        """A POST of the bank's."""
        body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        return await self.bank.http.post(
            path, content=body, headers={"Content-Type": "application/json"} | headers
        )


@pytest.fixture
def world(bank: Bank, service: Deployment, redis: Redis) -> World:
    """The bank, the service and the store behind it."""
    return World(bank, service, redis)


async def _no_more_channels(world: World) -> httpx.Response:
    return await world.post(f"/v1/challenges/{(await world.bank.issue())['id']}/next")


async def _not_pending(world: World) -> httpx.Response:
    challenge = await world.bank.issue()
    await world.post(f"/v1/challenges/{challenge['id']}/cancel")
    return await world.post(f"/v1/challenges/{challenge['id']}/next")


async def _resend_cooldown(world: World) -> httpx.Response:
    challenge = await world.bank.issue(channels=None)
    await world.post(f"/v1/challenges/{challenge['id']}/next")
    return await world.post(f"/v1/challenges/{challenge['id']}/next")


async def _rate_limited(world: World) -> httpx.Response:
    body = order(channels=[{"channel": "push"}])
    body["psu"].pop("phone")
    answers = await asyncio.gather(*(world.post("/v1/challenges", body) for _ in range(31)))
    assert sorted(answer.status_code for answer in answers)[:30] == [201] * 30
    return max(answers, key=lambda answer: answer.status_code)


async def _request_in_flight(world: World) -> httpx.Response:
    body = json.dumps(order()).encode()
    key = unique_psu()["id"]
    await claim_by_hand(world.service, key, body)
    return await world.post("/v1/challenges", body, **{"Idempotency-Key": key})


async def _idempotency_key_reused(world: World) -> httpx.Response:
    key = unique_psu()["id"]
    await world.post("/v1/challenges", order(), **{"Idempotency-Key": key})
    return await world.post("/v1/challenges", order(), **{"Idempotency-Key": key})


async def _authorisation_required(world: World) -> httpx.Response:
    psu = unique_psu()
    await enrolled(world.bank, psu, "hotp")
    return await enrol(world.bank, psu, "hotp")


async def _known_key(world: World) -> httpx.Response:
    known = await device.enrolled(world.bank, unique_psu())
    again, code = await device.enrol(world.bank, unique_psu())
    again.key = known.key
    return await again.activate(code)


async def _untrusted_payee(world: World) -> httpx.Response:
    body = {"payee": TRANSACTION["payee"]}
    return await world.bank.http.post(f"/v1/psus/{unique_psu()['id']}/trusted-beneficiaries", json=body)


async def _internal_error(world: World) -> httpx.Response:
    challenge = await pending(world.bank, world.redis)
    await world.redis.set(challenge_key(challenge["id"]), b"nothing that a script wrote")
    response = await world.bank.http.get(f"/v1/challenges/{challenge['id']}")
    await world.redis.delete(challenge_key(challenge["id"]))
    return response


async def _internal_error_of_an_answer(world: World) -> httpx.Response:
    challenge = await pending(world.bank, world.redis)
    await world.redis.set(challenge_key(challenge["id"]), b"nothing that a script wrote")
    response = await world.bank.answer(challenge["id"], "123456")
    await world.redis.delete(challenge_key(challenge["id"]))
    return response


async def _disabled_webhook(world: World) -> httpx.Response:
    made = await world.bank.http.post("/v1/webhooks", json={"url": "https://bank.example/webhooks"})
    place = f"/v1/webhooks/{made.json()['id']}"
    await world.bank.http.patch(place, json={"status": "disabled"})
    response = await world.bank.http.post(f"{place}/test")
    await world.bank.http.delete(place)
    return response


Meet = Callable[[World], Awaitable[httpx.Response]]
MEETINGS: dict[str, tuple[str, int, Meet]] = {
    "no key": ("unauthorized", 401, lambda w: w.post("/v1/challenges", Authorization="")),
    "no key, framework": (
        "unauthorized",
        401,
        lambda w: w.post(f"/v1/challenges/{UNKNOWN}/next", Authorization=""),
    ),
    "scope": ("missing-scope", 403, lambda w: w.bank.http.get("/v1/audit/events")),
    "unknown path": ("not-found", 404, lambda w: w.bank.http.get("/v2/challenges")),
    "unknown id": ("not-found", 404, lambda w: w.bank.http.get(f"/v1/challenges/{UNKNOWN}")),
    "unknown page": ("not-found", 404, lambda w: w.bank.http.get("/problems/none")),
    "unknown file": ("not-found", 404, lambda w: w.bank.http.get("/static/..%2Fpages.py")),
    "wrong method": ("method-not-allowed", 405, lambda w: w.bank.http.delete(f"/v1/challenges/{UNKNOWN}")),
    "in flight": ("request-in-flight", 409, _request_in_flight),
    "no channel": ("no-more-channels", 409, _no_more_channels),
    "unsigned device": ("invalid-proof", 401, lambda w: w.bank.http.get("/device/v1/challenges")),
    "disabled webhook": ("webhook-disabled", 409, _disabled_webhook),
    "known key": ("key-already-enrolled", 409, _known_key),
    "untrusted payee": ("beneficiary-authorisation-required", 403, _untrusted_payee),
    "later authenticator": ("authorisation-required", 409, _authorisation_required),
    "final": ("not-pending", 409, _not_pending),
    "too large": ("body-too-large", 413, lambda w: w.post("/v1/challenges", b" " * 70_000)),
    "too large, framework": (
        "body-too-large",
        413,
        lambda w: w.post(f"/v1/challenges/{UNKNOWN}/next", b" " * 70_000),
    ),
    "media type": (
        "unsupported-media-type",
        415,
        lambda w: w.post("/v1/challenges", **{"Content-Type": "text/plain"}),
    ),
    "reused": ("idempotency-key-reused", 422, _idempotency_key_reused),
    "malformed": ("malformed-request", 422, lambda w: w.post("/v1/challenges", b"{")),
    "invalid": ("validation-error", 422, lambda w: w.post("/v1/challenges", {"psu": {}})),
    "invalid query": ("validation-error", 422, lambda w: w.bank.http.get("/v1/challenges?limit=0")),
    "limit": ("rate-limited", 429, _rate_limited),
    "cool-down": ("resend-cooldown", 429, _resend_cooldown),
    "internal": ("internal-error", 500, _internal_error),
    "internal, hot": ("internal-error", 500, _internal_error_of_an_answer),
}
"""Ways to meet a problem: its code, its status, and the request. A store that is away is for tests/faults."""


@pytest.mark.parametrize("meeting", MEETINGS)
async def test_problem_document(world: World, meeting: str) -> None:
    """Every problem is an RFC 9457 document with the contract's members, saying what the response says."""
    code, status, meet = MEETINGS[meeting]
    response = await meet(world)
    problem = response.json()

    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert set(problem) == MEMBERS | ({"errors"} if status == 422 else set())
    assert problem["code"] == code
    assert problem["type"] == f"/problems/{code}"
    assert problem["instance"] == response.request.url.path.replace("%2F", "/")
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"] == next(page.title for page in problem_pages() if page.code == code)
    assert problem["detail"]
    for mistake in problem.get("errors", []):
        assert set(mistake) == {"pointer", "detail"}
        assert POINTER.fullmatch(mistake["pointer"])
        assert mistake["detail"]
    assert status != 422 or problem["errors"]
    assert ("retry-after" in response.headers) == (status == 429)
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert ("allow" in response.headers) == (status == 405)
    assert status != 429 or 1 <= int(response.headers["retry-after"]) <= 600


async def test_every_problem_is_met() -> None:
    """The table above has every problem there is, but for the store that is away, and too many PINs (test_pins.py)."""
    assert {code for code, _, _ in MEETINGS.values()} | {"store-unavailable", "overloaded"} == {
        page.code for page in problem_pages()
    }


async def test_rate_limit_counts_one_payer(world: World) -> None:
    """A payer's limit is the payer's: another one is served."""
    assert (await _rate_limited(world)).status_code == 429
    assert (await world.post("/v1/challenges", order())).status_code == 201


async def test_wrong_method_says_which_are_right(bank: Bank) -> None:
    """405 names the methods that the path has (RFC 9110, section 15.5.6)."""
    allowed = (await bank.http.delete("/v1/challenges")).headers["allow"]

    assert set(allowed.split(", ")) == {"GET", "POST", "OPTIONS"}


async def test_internal_error_is_logged_without_its_words(world: World) -> None:
    """What nobody foresaw is in the log by type and place, with nothing that was stored or sent."""
    before = (world.service.folder / f"api-{world.service.api.port}.log").read_text("utf-8")
    for meet in (_internal_error, _internal_error_of_an_answer):
        assert (await meet(world)).status_code == 500
    written = (world.service.folder / f"api-{world.service.api.port}.log").read_text("utf-8")[len(before) :]
    failures = [json.loads(line) for line in written.splitlines()]

    assert [failure["event"] for failure in failures] == ["request.failed"] * 2
    assert all(failure["error"] and failure["at"] for failure in failures)
    assert "nothing that a script wrote" not in written
    assert "Traceback" not in written


@pytest.mark.parametrize("code", [page.code for page in problem_pages()])
async def test_every_problem_has_its_page(bank: Bank, code: str) -> None:
    """The `type` of a problem leads to a page that explains it, with nothing loaded from elsewhere."""
    page = next(page for page in problem_pages() if page.code == code)
    response = await bank.http.get(f"/problems/{code}", headers={"Authorization": ""})

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert page.title in response.text
    assert f"<code>{code}</code>" in response.text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", response.text)


async def test_problems_are_listed(bank: Bank) -> None:
    """The page of all problems leads to each."""
    response = await bank.http.get("/problems", headers={"Authorization": ""})

    assert response.status_code == 200
    assert all(f'href="/problems/{page.code}"' in response.text for page in problem_pages())


def test_docs_list_every_problem() -> None:
    """docs/errors.md is what the code makes of its problems today (`make docs` writes it)."""
    assert ERRORS_PAGE.read_text("utf-8") == errors_markdown(problem_pages())


ANSWERED: dict[str, Callable[[Bank, dict[str, str]], Awaitable[httpx.Response]]] = {
    "201": lambda b, h: b.http.post("/v1/challenges", json=order(), headers=h),
    "200": lambda b, h: b.http.get("/v1/challenges?limit=1", headers=h),
    "200 page": lambda b, h: b.http.get("/docs", headers=h),
    "200 metrics": lambda b, h: b.http.get("/metrics", headers=h),
    "200 sandbox": lambda b, h: b.http.get("/sandbox/messages", headers=h),
    "204": lambda b, h: b.http.options("/v1/challenges", headers=h),
    "401": lambda b, h: b.http.post("/v1/challenges", json={}, headers=h | {"Authorization": ""}),
    "403": lambda b, h: b.http.get("/v1/audit/events", headers=h),
    "404": lambda b, h: b.http.get("/nowhere", headers=h),
    "404 verify": lambda b, h: b.http.post(
        f"/v1/challenges/{UNKNOWN}/verify", json={"code": "123456"}, headers=h
    ),
    "405": lambda b, h: b.http.put("/v1/challenges", headers=h),
    "413": lambda b, h: b.http.post("/v1/challenges", content=b" " * 70_000, headers=h),
    "415": lambda b, h: b.http.post("/v1/challenges", content=b"x", headers=h | {"Content-Type": "text/xml"}),
    "422": lambda b, h: b.http.post("/v1/challenges", json={}, headers=h),
}


@pytest.mark.parametrize("answer", ANSWERED)
async def test_request_id_is_kept_or_made(bank: Bank, answer: str) -> None:
    """Every answer carries one request id: the caller's, or one of ours that is not used twice."""
    sent = await ANSWERED[answer](bank, {"X-Request-Id": "bank-2026.11_22-0001"})
    made = [(await ANSWERED[answer](bank, {})).headers.get_list("x-request-id") for _ in range(2)]

    assert sent.headers.get_list("x-request-id") == ["bank-2026.11_22-0001"]
    assert all(len(ids) == 1 and re.fullmatch(r"req_[0-9a-f]{32}", ids[0]) for ids in made)
    assert made[0] != made[1]


@pytest.mark.parametrize(
    "sent", ["short", "", "x" * 65, "with space", "umlaut-ü-12345", "a/b/c/d/e", '{"a":"b"}']
)
async def test_request_id_that_is_none_is_replaced(bank: Bank, sent: str) -> None:
    """What could not stand in a log line or a URL is no request id: the answer has one of ours."""
    response = await bank.http.get("/healthz", headers={b"X-Request-Id": sent.encode()})

    assert re.fullmatch(r"req_[0-9a-f]{32}", response.headers["x-request-id"])


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("", 201),
        ("text/plain", 415),
        ("application/jsonp", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/problem+json", 415),
    ],
)
async def test_media_type(bank: Bank, media_type: str, status: int) -> None:
    """A body that says it is something else than JSON is 415; one that says nothing is read as JSON."""
    content = json.dumps(order()).encode()
    response = await bank.http.post("/v1/challenges", content=content, headers={"Content-Type": media_type})

    assert response.status_code == status


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "x" * 300, "[::1]", ""])
async def test_host_is_never_believed(bank: Bank, host: str) -> None:
    """Whatever the Host header says, places are relative and it is repeated nowhere."""
    response = await bank.http.post("/v1/challenges", json=order(), headers={"Host": host})
    missing = await bank.http.get("/nowhere", headers={"Host": host})

    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/challenges/{response.json()['id']}"
    assert missing.json()["instance"] == "/nowhere"
    if host:
        assert host not in response.text + str(response.headers) + missing.text + str(missing.headers)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nZaunkoenig\r\n\r\n",
        b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
async def test_what_is_no_http_is_refused(service: Deployment, request_bytes: bytes) -> None:
    """Bytes that are no HTTP request are answered 400, echo nothing, and end the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.api.port)
    writer.write(request_bytes)
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Zaunkoenig" not in answer
    assert b"Zaunkoenig" not in (service.folder / f"api-{service.api.port}.log").read_bytes()
