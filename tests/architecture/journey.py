"""What the canary goes through: everything that can happen to a challenge, and what is left of it afterwards."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from redis.asyncio import Redis

from tests.architecture.access import have_access
from tests.architecture.leaks import Canaries
from tests.faults.cuts import challenge_key, commits_held_back, restart
from tests.harness import Bank, Deployment, code_in, wrong
from tests.rude_server import RudeServer
from tests.valkeys import raw_async_client

CODES = 12
PAYEE = "Zwitschervogel Kanarienhaus"
IBAN = "DE18370400440190817263"
LINE = "15190817"  # every canary's number begins with +49 and this
_TEXTS = {
    "payee": PAYEE,
    "iban": IBAN,
    "account": IBAN[4:18],
    "reference": "Futterrechnung-7719",
    "psu": "kundin-gelbfeder",
    "metadata": "voliere-nordseite",
    "device": "handy-gelbfeder-d7",
    "agent": "Vogelbrowser/17.4",
    "session": "sitzung-gelbfeder-s9",
    "case": "akte-gelbfeder-77",
    "card": "karte-gelbfeder-3",
    "presented": "Q0FALSCHX7",  # a code that is no challenge's
    "dedupe": "abo-gelbfeder-dezember",
    "url": "konto-gelbfeder-aufladen",
    "text": "Zugang zur Voliere Gelbfeder",
}
_TRANSACTION = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": PAYEE, "account": {"iban": IBAN}},
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
    webhooks: list[bytes] = field(default_factory=list)
    traces: list[bytes] = field(default_factory=list)

    @property
    def canaries(self) -> Canaries:
        """Everything: nothing of it may be at rest, in a log or in a metric."""
        return Canaries(
            codes=frozenset(self.codes),
            numbers=frozenset({LINE}),
            texts=frozenset(_TEXTS.values()) | self.api_keys,
        )

    @property
    def canaries_of_responses(self) -> Canaries:
        """A response names payee and references as its client sent them, and never the rest."""
        told = {_TEXTS[name] for name in ("device", "agent", "session", "presented")}
        return Canaries(
            codes=frozenset(self.codes), numbers=frozenset({LINE}), texts=frozenset(told) | self.api_keys
        )

    def files(self, pattern: str = "*") -> list[Path]:
        """The files that may hold nothing, by their path below the folder."""
        return [
            path
            for path in sorted(self.folder.rglob(pattern))
            if path.is_file() and not path.name.startswith("sandbox") and path.name != "keyring.json"
        ]


async def leave_everything(deployment: Deployment, left: Leftovers) -> None:
    """Send the canary through a running service, and keep what can be read while it runs."""
    async with RudeServer() as receiver, _recorded(deployment, left) as bank:
        endpoint = await _add_webhook(deployment, receiver, left)
        challenges = await _issue_over_all_channels(bank, left)
        await _answer_in_all_ways(bank, challenges)
        await _send_bad_input(bank, challenges)
        await _report_and_list(bank)
        await _call_facades(bank, left)
        await _call_twilio(deployment)
        await _fail_inside(deployment, bank, challenges)
        await _issue_with_failing_suppliers(bank, left)
        await _tell_of_cards(deployment, bank)
        await _send_alerts(deployment, left)
        left.api_keys |= await have_access(deployment)
        await _kill_and_restart(deployment, bank, challenges)
        await _read_webhooks(bank, endpoint, receiver, left)
        await _read_everything(deployment, bank, left)


@asynccontextmanager
async def _recorded(deployment: Deployment, left: Leftovers, client: str = "bank") -> AsyncIterator[Bank]:
    """A bank whose every response is kept, but what the sandbox's handset shows."""

    async def keep(response: httpx.Response) -> None:
        await response.aread()
        if response.request.url.path != "/sandbox/messages":
            left.responses.append(str(response.headers).encode() + response.content)

    async with deployment.bank(client=client) as bank:
        bank.http.event_hooks["response"] = [keep]
        yield bank


async def _add_webhook(deployment: Deployment, receiver: RudeServer, left: Leftovers) -> str:
    """An endpoint that is told of everything; its secret is told once, and that answer is not looked at."""
    async with deployment.bank() as bank:
        made = await bank.http.post("/v1/webhooks", json={"url": f"{receiver.url}/hook"})
    assert made.status_code == 201, made.text
    left.api_keys.add(made.json()["secret"].removeprefix("whsec_"))
    return f"/v1/webhooks/{made.json()['id']}"


async def _read_webhooks(bank: Bank, endpoint: str, receiver: RudeServer, left: Leftovers) -> None:
    """What arrived there, once something has after all the kills, and what the service shows of it."""
    tested = (await bank.http.post(f"{endpoint}/test")).json()["id"]
    for _ in range(1000):
        if any(request.headers["webhook-id"] == tested for request in receiver.requests):
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the test message did not arrive")
    for path in ("", "/messages?limit=200", f"/messages/{tested}"):
        await bank.http.get(endpoint + path)
    left.webhooks += [str(one.headers).encode() + one.body for one in receiver.requests]


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
            if len(found) >= CODES:
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
    return (f"+49{LINE}{number}", f"0049 1519 0817 {number}", f"tel:+49-151-90817{number}")[number % 3]


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
        _order(phone, unknown=PAYEE),
        _order(f"{phone}x"),
        _order(
            phone,
            transaction=_TRANSACTION | {"payee": {"name": f"{PAYEE}\u202e", "account": {"iban": IBAN}}},
        ),
        _order(
            phone,
            transaction=_TRANSACTION | {"payee": {"name": PAYEE, "account": {"iban": IBAN[:-1] + "0"}}},
        ),
        _order(phone, transaction=_TRANSACTION | {"amount": {"currency": "EUR", "amount": f"1e{code}"}}),
        _order(phone, purpose=PAYEE),
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


async def _call_facades(bank: Bank, left: Leftovers) -> None:
    """A code through CAMARA, in the application's own words: wrong, right and again; and bodies that are refused."""
    send, validate = (f"/one-time-password-sms/v1/{call}-code" for call in ("send", "validate"))
    said = {"message": f"{_TEXTS['text']}: {{{{code}}}}"}
    authentication, code = await _facade_code(bank, send, said)
    left.codes.add(code)
    for presented, status in ((wrong(code), 400), (code, 204), (code, 400), (f"{code}{code}", 400)):
        body = {"authenticationId": authentication, "code": presented}
        response = await bank.http.post(validate, json=body)
        assert response.status_code == status, response.text
    for members in ({"phoneNumber": f"{_spelled(501)}x"}, {"message": f"{_TEXTS['text']}\x00{{{{code}}}}"}):
        body = said | {"phoneNumber": _spelled(501)} | members
        assert (await bank.http.post(send, json=body)).status_code == 400


async def _call_twilio(deployment: Deployment) -> None:
    """A payment through Twilio's API: wrong, another amount, refused. Its answers name the number, as Twilio's do."""
    path, number = f"/v2/Services/VA{'0' * 32}", _spelled(990)
    auth = httpx.BasicAuth("bank", deployment.keys["bank"])
    payment = {"To": number, "Amount": "€49.99", "Payee": PAYEE}
    async with deployment.bank() as bank:
        sent = payment | {"Channel": "sms", "DeviceIp": "203.0.113.7"}
        started = await bank.http.post(f"{path}/Verifications", data=sent, auth=auth)
        assert started.status_code == 201, started.text
        code = code_in((await bank.message(number))["text"])
        for changes, status in (
            ({"Code": wrong(code)}, 201),
            ({"Code": _TEXTS["presented"]}, 201),
            ({"Code": code, "Amount": "€50.00"}, 201),
            ({"Code": code, "Amount": IBAN}, 400),
        ):
            checked = await bank.http.post(f"{path}/VerificationCheck", data=payment | changes, auth=auth)
            assert checked.status_code == status, checked.text
        refused = sent | {"CustomMessage": _TEXTS["text"], "To": f"{number}x"}
        assert (await bank.http.post(f"{path}/Verifications", data=refused, auth=auth)).status_code == 403


async def _facade_code(bank: Bank, send: str, said: dict[str, str]) -> tuple[str, str]:
    """What names a code that begins with 0, and the code: sent to one number after another."""
    for number in range(501, 1000, 3):
        sent = await bank.http.post(send, json=said | {"phoneNumber": _spelled(number)})
        code = code_in((await bank.message(_spelled(number)))["text"])
        if code.startswith("0"):
            return sent.json()["authenticationId"], code
    raise AssertionError("no code that begins with 0")


async def _report_and_list(bank: Bank) -> None:
    """A payment that is exempt, reported as fraud and not after all; everything on a list, seen and taken off."""
    body = {
        "psu": {"id": _TEXTS["psu"]},
        "transaction": _TRANSACTION | {"amount": {"currency": "EUR", "amount": "9.99"}},
        "payment": {"type": "card", "context": "remote", "instrument": _TEXTS["device"]},
        "signals": {"device_id": _TEXTS["device"], "card_ref": _TEXTS["case"]},
    }
    assessed = (await bank.http.post("/v1/exemptions/assess", json=body)).json()["id"]
    assert (await bank.http.post(f"/v1/exemptions/{assessed}/executed", json={})).status_code == 200
    sent = {"assessment": assessed, "kind": "unauthorised"}
    report = (await bank.http.post("/v1/fraud-reports", json=sent)).json()["id"]
    await bank.http.post(f"/v1/fraud-reports/{report}/withdraw", json={"reason": "mistake"})
    elements: list[dict[str, Any]] = [
        {"psu_id": _TEXTS["psu"]},
        {"device_id": _TEXTS["device"]},
        {"card_ref": _TEXTS["case"]},
        {"account": {"iban": IBAN}},
        {"phone": _spelled(100)},
    ]
    for element in elements:
        made = await bank.http.post("/v1/risk-listings", json={"element": element, "reason": "stolen"})
        assert made.status_code == 201, made.text
        await bank.http.get("/v1/risk-listings")
        removed = f"/v1/risk-listings/{made.json()['id']}/remove"
        assert (await bank.http.post(removed, json={"reason": "found"})).status_code == 204
    kept = {"element": {"account": {"iban": IBAN}}, "reason": "mule_account", "days": 1}
    await bank.http.post("/v1/risk-listings", json=kept)
    await bank.http.post(
        "/v1/risk-listings", json=kept | {"element": {"device_id": _TEXTS["device"], "ip": "x"}}
    )


async def _fail_inside(deployment: Deployment, bank: Bank, challenges: list[tuple[str, str]]) -> None:
    """A state that cannot be read, and one whose seal is broken: faults of ours, logged as such."""
    (unreadable, code), (unsealed, other) = challenges[6:8]
    redis: Any = raw_async_client(deployment.servers.valkey.url)
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
            "payee": {"name": f"{PAYEE} {number}", "account": {"iban": IBAN}},
            "amount": {"currency": "EUR", "amount": "1.00"},
        }
        for number in range(99)
    ]
    batch = {"total": {"currency": "EUR", "amount": "99.00"}, "payees": payees}
    issued = await bank.http.post("/v1/challenges", json=_order(_spelled(112), transaction=batch))
    assert issued.status_code == 201, issued.text


async def _tell_of_cards(deployment: Deployment, bank: Bank) -> None:
    """A card whose holder is warned of everything, with charges that were made and one that is refused."""
    issuer = {"Authorization": f"Bearer {deployment.keys['issuer']}"}
    path, now = f"/v1/cards/{_TEXTS['card']}", datetime.now(UTC)
    balance = {
        "psu": {"id": _TEXTS["psu"], "phone": _spelled(113), "locale": "de-DE"},
        "balance": {"currency": "EUR", "amount": "4.00"},
        "threshold": {"currency": "EUR", "amount": "5.00"},
        "as_of": now.isoformat(),
    }
    put = await bank.http.put(f"{path}/balance", json=balance, headers=issuer)
    assert len(put.json()["alerts"]) == 1, put.text
    charge = {"merchant": PAYEE, "amount": {"currency": "EUR", "amount": "9.99"}}
    upcoming = charge | {"expected_date": now.date().isoformat(), "reference": _TEXTS["reference"]}
    told = await bank.http.post(f"{path}/upcoming-charges", json=upcoming, headers=issuer)
    assert told.json()["warned"], told.text
    days = [(now - timedelta(days=back)).date().isoformat() for back in (1, 8, 15)]
    made = {"charges": [charge | {"date": day} for day in days]}
    for body, status in ((made, 200), (made | {"unknown": PAYEE}, 422)):
        response = await bank.http.post(f"{path}/charges", json=body, headers=issuer)
        assert response.status_code == status, response.text
    listed = await bank.http.get(f"{path}/upcoming-charges", headers=issuer)
    assert PAYEE in {one["merchant"] for one in listed.json()["data"]}


async def _send_alerts(deployment: Deployment, left: Leftovers) -> None:
    """Notices that are sent, followed, refused, repeated, not wanted and kept for later."""
    psu = {"id": f"{_TEXTS['psu']}-n", "phone": _spelled(114), "locale": "de-DE"}
    link = f"https://bank.example/{_TEXTS['url']}"
    offer = {"psu": psu, "template": "offer", "variables": {"offer": PAYEE}, "link": link}
    charge = {"psu": psu, "template": "upcoming_charge", "dedupe_key": _TEXTS["dedupe"]}
    filled = {"merchant": PAYEE, "amount": "49,99 €", "date": "1.12."}
    orders: list[Any] = [
        offer,
        charge | {"variables": filled, "channels": [{"channel": "sms"}]},
        charge | {"variables": filled},
        charge
        | {"variables": filled, "dedupe_key": f"{_TEXTS['dedupe']}-2", "send_at": "2099-01-01T00:00:00Z"},
        charge | {"variables": {"merchant": f"{PAYEE}\x00"}},
        offer | {"link": f"https://evil.example/{_TEXTS['url']}"},
        offer | {"psu": psu | {"phone": f"{psu['phone']}x", "time_zone": PAYEE}},
    ]
    async with _recorded(deployment, left, "issuer") as issuer:
        consent = f"/v1/psus/{psu['id']}/alert-consent"
        await issuer.http.put(consent, json={"topics": {"offer": True}})
        headers = {"Idempotency-Key": "canary-notices"}
        for _ in range(2):
            told = await issuer.http.post("/v1/alerts/batch", json={"alerts": orders}, headers=headers)
        assert [one["status"] for one in told.json()["results"]] == [
            "queued",
            "queued",
            "suppressed",
            *["refused"] * 4,
        ]
        handset = f"+49{LINE}114"
        await issuer.message(handset, number=2)
        (text,) = [one["text"] for one in await issuer.messages(handset) if "/l/" in one["text"]]
        path = text[text.index("/l/") :].split()[0]
        followed = await issuer.http.get(path, headers={"User-Agent": _TEXTS["agent"]})
        assert followed.headers["location"] == link
        await issuer.http.get("/v1/alerts", params={"psu": psu["id"]})


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
    redis: Any = raw_async_client(deployment.servers.valkey.url)
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
    for query in ("", "/list", "?group_by=route,country,network,purpose", "?interval=minute&format=csv"):
        counted = await bank.http.get(f"/v1/analytics/deliveries{query}")
        assert counted.status_code == 200, counted.text
    left.metrics.append((await bank.http.get("/metrics")).content)
    async with deployment.bank(client="auditor") as auditor:
        cursor: dict[str, str] = {}
        while True:
            page = await auditor.http.get("/v1/audit/events", params={"limit": 200, **cursor})
            left.events.append(page.content)
            if page.json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.json()["next_cursor"]}
    left.dumps += [await redis_dump(deployment), await postgres_dump(deployment)]


async def redis_dump(deployment: Deployment) -> bytes:
    """Every key with its value as it is, where Redis's own files compress what is long."""
    read: dict[bytes, Callable[[Redis, bytes], Any]] = {
        b"string": lambda redis, key: redis.get(key),
        b"hash": lambda redis, key: redis.hgetall(key),
        b"zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": lambda redis, key: redis.xrange(key),
    }
    redis: Any = raw_async_client(deployment.servers.valkey.url)
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


async def postgres_dump(deployment: Deployment) -> bytes:
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
