"""No code, number, name or account in any byte that the service leaves behind: a canary is sent through all of it.

The service runs with everything it can log, through right and wrong answers, bad input, faults of its own, kills and
restarts. Then it is stopped, and every byte of its logs, its stores' files, dumps of what they hold, its metrics and
its responses is searched. Only the keyring and files whose names start with `sandbox` may hold anything.
"""

import asyncio
import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from tests.architecture.leaks import Canaries
from tests.faults.cuts import challenge_key, commits_held_back, restart
from tests.harness import Bank, Deployment, code_in, wrong

pytestmark = pytest.mark.long

_CODES = 12
_PAYEE = "Zwitschervogel Kanarienhaus"
_IBAN = "DE18370400440190817263"
_LINE = "15190817"  # every canary's number begins with +49 and this
_TEXTS = {
    "payee": _PAYEE,
    "iban": _IBAN,
    "account": _IBAN[4:18],
    "reference": "Futterrechnung-7719",
    "psu": "kundin-gelbfeder",
    "metadata": "voliere-nordseite",
    "device": "handy-gelbfeder-d7",
    "agent": "Vogelbrowser/17.4",
    "session": "sitzung-gelbfeder-s9",
    "case": "akte-gelbfeder-77",
    "presented": "Q0FALSCHX7",  # a code that is no challenge's
}
_TRANSACTION = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": _PAYEE, "account": {"iban": _IBAN}},
    "reference": _TEXTS["reference"],
}


@dataclass(slots=True)
class Leftovers:
    """What is left of a service that was stopped, and what had been sent through it."""

    folder: Path
    codes: set[str] = field(default_factory=set)
    challenges: set[str] = field(default_factory=set)
    api_keys: set[str] = field(default_factory=set)
    responses: list[bytes] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)
    dumps: list[bytes] = field(default_factory=list)

    @property
    def canaries(self) -> Canaries:
        """Everything: nothing of it may be at rest, in a log or in a metric."""
        return Canaries(
            codes=frozenset(self.codes),
            numbers=frozenset({_LINE}),
            texts=frozenset(_TEXTS.values()) | self.api_keys,
        )

    @property
    def canaries_of_responses(self) -> Canaries:
        """A response names payee and references as its client sent them, and never the rest."""
        told = {_TEXTS[name] for name in ("device", "agent", "session", "presented")}
        return Canaries(
            codes=frozenset(self.codes), numbers=frozenset({_LINE}), texts=frozenset(told) | self.api_keys
        )

    def files(self, pattern: str = "*") -> list[Path]:
        """The files that may hold nothing, by their path below the folder."""
        return [
            path
            for path in sorted(self.folder.rglob(pattern))
            if path.is_file() and not path.name.startswith("sandbox") and path.name != "keyring.json"
        ]


@pytest.fixture(scope="module")
def leftovers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leftovers]:
    """The service after all that can happen to it, stopped in order."""
    deployment = Deployment(tmp_path_factory.mktemp("canary"))
    deployment.start_stores()
    left = Leftovers(deployment.folder, api_keys=set(deployment.keys.values()))
    try:
        deployment.start_all()
        asyncio.run(_everything(deployment, left))
    finally:
        deployment.stop()
    yield left


async def _everything(deployment: Deployment, left: Leftovers) -> None:
    async with _recorded(deployment, left) as bank:
        challenges = await _issue_over_all_channels(bank, left)
        await _answer_in_all_ways(bank, challenges)
        await _send_bad_input(bank, challenges)
        await _fail_inside(deployment, bank, challenges)
        await _issue_with_failing_suppliers(bank, left)
        await _kill_and_restart(deployment, bank, challenges)
        await _read_everything(deployment, bank, left)


@asynccontextmanager
async def _recorded(deployment: Deployment, left: Leftovers) -> AsyncIterator[Bank]:
    """A bank whose every response is kept, but what the sandbox's handset shows."""

    async def keep(response: httpx.Response) -> None:
        await response.aread()
        if response.request.url.path != "/sandbox/messages":
            left.responses.append(str(response.headers).encode() + response.content)

    async with deployment.bank() as bank:
        bank.http.event_hooks["response"] = [keep]
        yield bank


def _order(phone: str, **members: Any) -> dict[str, Any]:
    order = {
        "psu": {"id": f"{_TEXTS['psu']}-{secrets.token_hex(4)}", "phone": phone, "locale": "de-DE"},
        "purpose": "payment",
        "transaction": _TRANSACTION,
        "signals": {
            "ip": "203.0.113.7",
            "device_id": _TEXTS["device"],
            "user_agent": _TEXTS["agent"],
            "session_id": _TEXTS["session"],
        },
        "reference": _TEXTS["case"],
        "metadata": {"place": _TEXTS["metadata"]},
    }
    return order | members


async def _issue_over_all_channels(bank: Bank, left: Leftovers) -> list[tuple[str, str]]:
    """Challenges over sms, voice and push, until enough of their codes begin with 0: these and their codes."""
    deliveries: dict[str, str] = {}
    for number in range(100, 1000):
        channel = ("sms", "voice", "push")[number % 3]
        headers = {"Idempotency-Key": f"canary-{number}"} if number % 2 else {}
        order = _order(_spelled(number), channels=[{"channel": channel}])
        issued = await bank.http.post("/v1/challenges", json=order, headers=headers)
        assert issued.status_code == 201, issued.text
        deliveries[issued.json()["deliveries"][0]["id"]] = issued.json()["id"]
        if len(deliveries) % 60 == 0:
            codes = await _codes(bank, len(deliveries))
            found = [(deliveries[one], code) for one, code in codes.items() if code.startswith("0")]
            if len(found) >= _CODES:
                left.challenges.update(deliveries.values())
                left.codes.update(code for _, code in found)
                return found
    raise AssertionError("no codes that begin with 0")


async def _codes(bank: Bank, count: int) -> dict[str, str]:
    """The code of each delivery, once so many messages have arrived."""
    texts: dict[str, str] = {}
    after = "msg_0"
    for _ in range(500):
        response = await bank.http.get("/sandbox/messages", params={"after": after})
        for message in response.json()["data"]:
            texts[message["delivery"]] = message["text"]
            after = message["id"]
        if len(texts) == count:
            return {delivery: code_in(text) for delivery, text in texts.items()}
        await asyncio.sleep(0.02)
    raise AssertionError("not all messages arrived")


def _spelled(number: int) -> str:
    """A canary's number, in one of the spellings that a client may send."""
    return (f"+49{_LINE}{number}", f"0049 1519 0817 {number}", f"tel:+49-151-90817{number}")[number % 3]


async def _answer_in_all_ways(bank: Bank, challenges: list[tuple[str, str]]) -> None:
    """Wrong, presented twice, right, right again, with another amount, cancelled, resent, and blocked."""
    (first, code), (second, other), (third, last) = challenges[:3]
    assert (await bank.verify(first, wrong(code), _TRANSACTION))["outcome"] == "incorrect"
    assert (await bank.verify(first, _TEXTS["presented"], _TRANSACTION))["outcome"] == "incorrect"
    body = {"code": code, "transaction": _TRANSACTION}
    for _ in range(2):
        headers = {"Idempotency-Key": "canary-answer"}
        answer = await bank.http.post(f"/v1/challenges/{first}/verify", json=body, headers=headers)
        assert answer.json()["outcome"] == "approved", answer.text
    assert (await bank.verify(first, code, _TRANSACTION))["outcome"] == "already_used"
    dearer = _TRANSACTION | {"amount": {"currency": "EUR", "amount": "50.00"}}
    assert (await bank.verify(second, other, dearer))["outcome"] == "transaction_mismatch"
    for _ in range(5):
        await bank.verify(third, wrong(last), _TRANSACTION)
    assert (await bank.verify(third, last, _TRANSACTION))["outcome"] == "blocked"
    await bank.http.post(f"/v1/challenges/{challenges[3][0]}/next", json={"reason": "user_request"})
    await bank.http.post(f"/v1/challenges/{challenges[4][0]}/cancel", json={})
    await bank.http.get(f"/v1/psus/{_TEXTS['psu']}")
    await bank.http.get("/v1/challenges", params={"psu": _TEXTS["psu"]})
    await bank.http.get("/sandbox/messages", params={"to": _spelled(100)})


async def _send_bad_input(bank: Bank, challenges: list[tuple[str, str]]) -> None:
    """What is refused is not repeated: neither to the client nor into a log."""
    challenge, code = challenges[5]
    phone = _spelled(107)
    orders = [
        _order(phone, unknown=_PAYEE),
        _order(f"{phone}x"),
        _order(
            phone,
            transaction=_TRANSACTION | {"payee": {"name": f"{_PAYEE}\u202e", "account": {"iban": _IBAN}}},
        ),
        _order(
            phone,
            transaction=_TRANSACTION | {"payee": {"name": _PAYEE, "account": {"iban": _IBAN[:-1] + "0"}}},
        ),
        _order(phone, transaction=_TRANSACTION | {"amount": {"currency": "EUR", "amount": f"1e{code}"}}),
        _order(phone, purpose=_PAYEE),
        _order(phone, metadata={"place": f"{_TEXTS['metadata']}\x00"}),
    ]
    responses = [await bank.http.post("/v1/challenges", json=order) for order in orders]
    verify = f"/v1/challenges/{challenge}/verify"
    bodies = [
        {"code": f"{code} ", "transaction": _TRANSACTION},
        {"code": int(code), "transaction": _TRANSACTION},
        {"code": code, "transaction": _TRANSACTION, "pin": code},
        {"code": code},
        {"codes": [code]},
    ]
    texts = [
        *map(json.dumps, bodies),
        f'{{"code": "{code}", "code": "{code}"}}',
        f'{{"code": "{code}"',
        code * 20_000,
    ]
    headers = {"Content-Type": "application/json"}
    responses += [await bank.http.post(verify, content=text, headers=headers) for text in texts]
    assert [one.status_code for one in responses if one.status_code not in (413, 422)] == []
    assert (
        await bank.http.get("/v1/challenges", headers={"Authorization": f"Bearer {code}"})
    ).status_code == 401


async def _fail_inside(deployment: Deployment, bank: Bank, challenges: list[tuple[str, str]]) -> None:
    """A state that cannot be read, and one whose seal is broken: faults of ours, logged as such."""
    (unreadable, code), (unsealed, other) = challenges[6:8]
    redis: Any = Redis.from_url(deployment.servers.valkey.url)
    try:
        packed = await redis.get(challenge_key(unsealed))
        assert b'"sealed":"A' in packed  # the version of its key
        await redis.set(challenge_key(unsealed), packed.replace(b'"sealed":"A', b'"sealed":"B'))
        await redis.set(challenge_key(unreadable), b"\xc1")
        responses = [
            await bank.answer(unreadable, code, _TRANSACTION),
            await bank.http.post(f"/v1/challenges/{unreadable}/cancel", json={}),
            await bank.answer(unsealed, other, _TRANSACTION),
            await bank.http.get(f"/v1/challenges/{unsealed}"),
        ]
        assert [response.status_code for response in responses] == [500] * 4
    finally:
        await redis.aclose()


async def _issue_with_failing_suppliers(bank: Bank, left: Leftovers) -> None:
    """Suppliers refuse, do not answer and lose the message, so that everything about it is logged."""
    ladder = [{"channel": channel, "timeout_s": 1} for channel in ("push", "sms", "voice")]
    for behaviour in ("error", "timeout", "undelivered", "slow"):
        for channel in ("push", "sms"):
            await bank.script(channel, behaviour, delay_ms=50, next=1)
        issued = await bank.http.post("/v1/challenges", json=_order(_spelled(111), channels=ladder))
        left.challenges.add(issued.json()["id"])
    payees = [
        {
            "payee": {"name": f"{_PAYEE} {number}", "account": {"iban": _IBAN}},
            "amount": {"currency": "EUR", "amount": "1.00"},
        }
        for number in range(99)
    ]
    batch = {"total": {"currency": "EUR", "amount": "99.00"}, "payees": payees}
    issued = await bank.http.post("/v1/challenges", json=_order(_spelled(112), transaction=batch))
    assert issued.status_code == 201, issued.text


async def _kill_and_restart(deployment: Deployment, bank: Bank, challenges: list[tuple[str, str]]) -> None:
    """Everything is killed once, an approval under way; both stores rewrite their files."""
    challenge, code = challenges[8]
    async with commits_held_back(deployment):
        answer = asyncio.ensure_future(bank.answer(challenge, code, _TRANSACTION))
        await asyncio.sleep(0.2)
        for role in deployment.roles:
            role.kill()
        await asyncio.gather(answer, return_exceptions=True)
    for role in tuple(deployment.roles):
        restart(deployment, role)
    for name, server in (("valkey", deployment.servers.valkey), ("postgres", deployment.servers.postgres)):
        server.kill()
        assert (await bank.answer(challenges[9][0], challenges[9][1], _TRANSACTION)).status_code == 503
        server.start(deployment.folder / name)
    redis: Any = Redis.from_url(deployment.servers.valkey.url)
    await redis.execute_command("BGREWRITEAOF")
    await asyncio.sleep(0.5)
    await redis.execute_command("SAVE")
    await redis.aclose()
    for challenge, code in challenges[9:]:
        await _answered(bank, challenge, code)


async def _answered(bank: Bank, challenge: str, code: str) -> None:
    for _ in range(200):
        response = await bank.answer(challenge, code, _TRANSACTION)
        if response.status_code == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the answer was not decided")


async def _read_everything(deployment: Deployment, bank: Bank, left: Leftovers) -> None:
    """All that can be asked for: metrics, events, pages, and dumps of both stores."""
    for path in ("/readyz", "/openapi.json", "/docs", "/problems", "/.well-known/jwks.json"):
        await bank.http.get(path)
    for challenge in sorted(left.challenges):
        await bank.http.get(f"/v1/challenges/{challenge}")
    left.metrics.append((await bank.http.get("/metrics")).content)
    async with deployment.bank(client="auditor") as auditor:
        cursor: dict[str, str] = {}
        while True:
            page = await auditor.http.get("/v1/audit/events", params={"limit": 200, **cursor})
            left.events.append(page.content)
            if page.json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.json()["next_cursor"]}
    left.dumps += [await _redis_dump(deployment), await _postgres_dump(deployment)]


async def _redis_dump(deployment: Deployment) -> bytes:
    """Every key with its value as it is, where Redis's own files compress what is long."""
    read: dict[bytes, Callable[[Redis, bytes], Any]] = {
        b"string": lambda redis, key: redis.get(key),
        b"hash": lambda redis, key: redis.hgetall(key),
        b"zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": lambda redis, key: redis.xrange(key),
    }
    redis: Any = Redis.from_url(deployment.servers.valkey.url)
    try:
        parts = []
        async for key in redis.scan_iter("*", count=1000):
            kind = await redis.type(key)
            if kind != b"none":
                value = await read[kind](redis, key)
                parts += [key, value if isinstance(value, bytes) else repr(value).encode()]
        return b"\n".join(parts)
    finally:
        await redis.aclose()


async def _postgres_dump(deployment: Deployment) -> bytes:
    """Every row of every table, as text and, where it is bytes, as these bytes."""
    connection = await asyncpg.connect(deployment.servers.postgres.url)
    try:
        parts = []
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables:
            for row in await connection.fetch(f'SELECT * FROM "{table}"'):  # noqa: S608 - our own tables
                parts += [value if isinstance(value, bytes) else str(value).encode() for value in row]
        return b"\n".join(parts)
    finally:
        await connection.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def _leaks(canaries: Canaries, contents: dict[str, bytes]) -> list[str]:
    return [f"{name}: {leak}" for name, content in contents.items() for leak in canaries.found_in(content)]


def _read(left: Leftovers, paths: list[Path]) -> dict[str, bytes]:
    return {str(path.relative_to(left.folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("role", ["api", "worker", "log"])
def test_no_log_of_a_role_holds_any(leftovers: Leftovers, role: str) -> None:
    """What the roles log with the level DEBUG, faults of their own included."""
    contents = _read(leftovers, leftovers.files(f"{role}-*.log"))
    assert contents
    assert _leaks(leftovers.canaries, contents) == []


@pytest.mark.parametrize("store", ["valkey", "postgres"])
def test_no_file_of_a_store_holds_any(leftovers: Leftovers, store: str) -> None:
    """Append-only files, snapshots, tables, indexes, the write-ahead log and the servers' own logs."""
    contents = _read(leftovers, [path for path in leftovers.files() if store in path.parts])
    text = b"".join(contents.values())
    assert all(challenge.encode() in text for challenge in leftovers.challenges), "not all of it is there"
    assert _leaks(leftovers.canaries, contents) == []


def test_no_other_file_holds_any(leftovers: Leftovers) -> None:
    """Whatever else the service wrote, but its keyring and the sandbox's own files."""
    elsewhere = [path for path in leftovers.files() if not {"valkey", "postgres"} & set(path.parts)]
    assert _leaks(leftovers.canaries, _read(leftovers, elsewhere)) == []


def test_no_dump_of_a_store_holds_any(leftovers: Leftovers) -> None:
    """Every value of Redis and PostgreSQL, uncompressed."""
    redis, postgres = leftovers.dumps
    assert _leaks(leftovers.canaries, {"redis": redis, "postgres": postgres}) == []


def test_no_metric_and_no_audit_event_holds_any(leftovers: Leftovers) -> None:
    """What operators and auditors read."""
    assert b"sca_challenges_issued_total" in leftovers.metrics[0]
    assert b"challenge.answered" in b"".join(leftovers.events)
    assert _leaks(leftovers.canaries, {"metrics": b"".join(leftovers.metrics)}) == []
    assert _leaks(leftovers.canaries, {"events": b"".join(leftovers.events)}) == []


def test_no_response_holds_a_code_a_number_or_a_key(leftovers: Leftovers) -> None:
    """Every response to the bank, but what the sandbox's handset shows; the payee is told as it was sent."""
    content = b"\n".join(leftovers.responses)
    assert _PAYEE.encode() in content
    assert _leaks(leftovers.canaries_of_responses, {"responses": content}) == []


def test_the_faults_were_logged_by_type(leftovers: Leftovers) -> None:
    """The forced faults did reach the log, as a type and a place and no more."""
    lines = b"".join(_read(leftovers, leftovers.files("api-*.log")).values()).splitlines()
    failed = [json.loads(line) for line in lines if b'"request.failed"' in line]
    assert len(failed) >= 4
    assert all(set(line) <= {"event", "level", "timestamp", "error", "at"} for line in failed)


def test_a_role_that_fails_says_no_more_than_the_type(leftovers: Leftovers) -> None:
    """A fault that ends a role, with a text that holds what a caller sent: status 1, its type, and none of the text."""
    (config, *_) = leftovers.folder.glob("sca-*.toml")
    program = f"""
import asyncio
from pathlib import Path
from sca_service import app
from sca_service.settings import read_settings

async def fail(settings: object) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(int, "{_PAYEE}"))

app.ROLES = {{"worker": fail}}
app.run_role("worker", read_settings(Path({str(config)!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, env=_environment()
    )
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"] == "ValueError"
    assert leftovers.canaries.found_in(done.stdout + done.stderr) == []


def test_the_scan_finds_what_the_sandbox_received(leftovers: Leftovers) -> None:
    """The same scan over the one file that may hold it all finds every code, the number and the payee."""
    content = b"".join(path.read_bytes() for path in leftovers.folder.glob("sandbox*"))
    assert len(leftovers.codes) > _CODES // 2
    for code in leftovers.codes:
        assert Canaries(codes=frozenset({code})).found_in(content), "a code was not found"
    assert Canaries(numbers=frozenset({_LINE})).found_in(content)
    assert Canaries(texts=frozenset({_PAYEE})).found_in(content)


@pytest.mark.parametrize(
    "planted",
    [
        b'{"event": "challenge.answered", "code": "014725"}',
        b"code=014725",
        b"Code: 014725, valid for 5 minutes",
        b"\xa6014725\xa5state",
        b"$6\r\n014725\r\n",
        b"Your code is: 0, 1, 4, 7, 2, 5.",
        "014725".encode("utf-16-le"),
        b"MDE0NzI1",
        b"303134373235",
        b"tel:+4915190817001",
        b"+49 151 9081 7001",
        b"(0)151/90 81-7 001",
        b"NDkxNTE5MDgxNzAwMQ==",
        b"ZWITSCHERVOGEL KANARIENHAUS",
        "Zwitschervogel Kanarienhaus".encode("utf-16-le"),
        base64.b64encode(b"Zwitschervogel Kanarienhaus"),
        base64.urlsafe_b64encode(b'{"name":"Zwitschervogel Kanarienhaus"}'),
        base64.b64encode(b"to Zwitschervogel Kanarienhaus"),
        b"Zwitschervogel Kanarienhaus".hex().encode(),
    ],
)
def test_the_scan_finds_a_planted_canary(planted: bytes) -> None:
    """In a file of many numbers, a canary is found in each form in which it could have been written."""
    canaries = Canaries(frozenset({"014725"}), frozenset({_LINE}), frozenset({_PAYEE}))
    noise = (
        b'{"timestamp": "2026-11-22T10:15:00.014725Z", "at_ms": 1763014725123, "id": "evt_a014725b"}\n' * 50
    )
    assert canaries.found_in(noise) == []
    assert len(canaries.found_in(noise + planted + b"\n" + noise)) == 1


def test_the_payees_account_is_a_valid_one() -> None:
    """The canary's IBAN passes the check of ISO 13616, or it would never have been stored."""
    assert re.fullmatch(r"[A-Z]{2}\d{20}", _IBAN)
    assert int(_IBAN[4:] + "1314" + _IBAN[2:4]) % 97 == 1
