"""What attackers try, over HTTP on two api processes whose clocks are 30 seconds apart, behind one proxy of theirs."""

import asyncio
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sca_service.settings import shipped_policies
from tests.device import Device, enrol, enrolled, send
from tests.faults.cuts import redis_of, start_broken, until
from tests.harness import Bank, Deployment, Role, order, unique_psu
from tests.ports import free_port
from tests.volley import Post, Reply, Volley

_FEW = {
    "issue-per-phone": 7,
    "issue-per-payer": 20,
    "verify-per-ip": 10,
    "prove-per-address": 12,
}
_BY_DEVICE = """
[[limit]]
name = "verify-per-device"
on = "verify"
scope = "device"
count = 8
per_seconds = 86400
burst = 8
at_limit = "refuse"
"""
LOGIN: dict[str, Any] = {"purpose": "login", "transaction": None, "channels": [{"channel": "sms"}]}
GUESS = {"code": "000000"}


def _with_few(policies: Path) -> None:
    """So many of each in a day: nothing is whole again while the tests run."""
    text = (policies / "limits.toml").read_text("utf-8")
    for name, count in _FEW.items():
        few = f"count = {count}\nper_seconds = 86400\nburst = {count}\n"
        row = rf'(name = "{name}"\non = "\w+"\nscope = "\w+"\n)count = \d+\nper_seconds = \d+\nburst = \d+\n'
        text, found = re.subn(row, rf"\1{few}", text)
        assert found == 1, name
    (policies / "limits.toml").write_text(text + _BY_DEVICE, "utf-8")
    text = (policies / "pumping.toml").read_text("utf-8")
    text = text.replace('at_block_in_sandbox = "off"', 'at_block_in_sandbox = "refuse"')
    text, found = re.subn(
        r'(scope = "ip"\n)floor = 6\n([^[]*)least_sent = 20', r"\1floor = 999\n\2least_sent = 999", text
    )
    assert found == 1
    text, found = re.subn("waiting = 1000\n", "waiting = 10\n", text)  # of a country, and of a client
    assert found == 2
    (policies / "pumping.toml").write_text(text, "utf-8")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The deployment: the shipped policy with few of what the tests spend, and a guard that refuses."""
    folder = tmp_path_factory.mktemp("town")
    policies = Path(shutil.copytree(shipped_policies(), folder / "policies"))
    _with_few(policies)
    deployment = Deployment(folder, policies, more_settings=('api.trusted_proxies = ["127.0.0.1"]',))
    deployment.start_stores()
    try:
        deployment.start("api")
        start_broken(deployment, "ahead", port=free_port())
        deployment.start("worker")
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
async def bank(town: Deployment) -> AsyncIterator[Bank]:
    """A bank, whose payers live in Germany: the guard counts no country that its operator has allowed."""
    async with town.bank(client="operator") as operator:
        form = {"scope": "country", "subject": "DE", "reason": "home"}
        assert (await operator.http.post("/v1/allow-list", json=form)).status_code == 201
    async with town.bank() as bank:
        yield bank


def urls(town: Deployment) -> list[str]:
    """The two processes."""
    return [role.url for role in town.roles if role.name == "api"]


async def fired(town: Deployment, posts: Sequence[Post], *, at: Sequence[str] = ()) -> list[Reply]:
    """The answers to requests that leave in one moment, over both processes in turn."""
    async with Volley(at or urls(town), town.keys["bank"], connections=len(posts)) as volley:
        return await volley.fire(posts)


async def pending(bank: Bank, count: int, **signals: str) -> list[str]:
    """Challenges of so many payers, begun from one place."""
    issued = await asyncio.gather(*(bank.issue(**LOGIN, signals=signals) for _ in range(count)))
    assert {one["status"] for one in issued} == {"pending"}
    return [one["id"] for one in issued]


def guesses(challenges: Sequence[str]) -> list[Post]:
    """One code for all of them."""
    return [Post(f"/v1/challenges/{one}/verify", GUESS) for one in challenges]


def statuses(replies: Sequence[Reply]) -> Counter[int]:
    """How often each was answered."""
    return Counter(reply.status for reply in replies)


def an_address() -> str:
    """One that no other test has."""
    return f"2001:db8:{secrets.randbelow(65_536):x}:{secrets.randbelow(65_536):x}::1"


async def test_one_code_sprayed_from_one_address_ends_at_its_limit(town: Deployment, bank: Bank) -> None:
    """Of sixty payers' challenges at once ten are tried, though no payer's lockout sees it; others go on."""
    address = an_address()
    replies = await fired(town, guesses(await pending(bank, 60, ip=address)))
    assert statuses(replies) == {200: 10, 429: 50}
    assert {reply.body["outcome"] for reply in replies if reply.status == 200} == {"incorrect"}
    again = await fired(town, guesses(await pending(bank, 4, ip=address.replace("::1", "::2"))))
    assert statuses(again) == {429: 4}, "all of a /64 is one address"
    elsewhere = await fired(town, guesses(await pending(bank, 4, ip=an_address())))
    assert statuses(elsewhere) == {200: 4}


async def test_beyond_the_limit_the_right_code_is_refused_too(town: Deployment, bank: Bank) -> None:
    """Or a spray would go on past its limit, and take each 429 for a wrong code. Both processes refuse."""
    address, psu = an_address(), unique_psu()
    mine = await bank.issue(**LOGIN, psu=psu, signals={"ip": address})
    right = Post(f"/v1/challenges/{mine['id']}/verify", {"code": await bank.code(psu["phone"])})
    assert statuses(await fired(town, guesses(await pending(bank, 20, ip=address)))) == {200: 10, 429: 10}
    for url in urls(town):
        assert statuses(await fired(town, [right], at=[url])) == {429: 1}
    assert (await bank.get(mine["id"]))["status"] == "pending", "nothing of it was decided"


async def test_one_device_with_many_addresses_ends_at_its_limit(town: Deployment, bank: Bank) -> None:
    """A rotating address does not help whom the bank knows by the device."""
    device = secrets.token_hex(8)
    challenges = [(await pending(bank, 1, ip=an_address(), device_id=device))[0] for _ in range(16)]
    assert statuses(await fired(town, guesses(challenges))) == {200: 8, 429: 8}


async def test_what_says_nothing_of_a_code_locks_nobody_out(town: Deployment, bank: Bank) -> None:
    """Answers to what is over, and to what never was, are no guesses: nobody spends a limit with them."""
    address = an_address()
    (over,) = await pending(bank, 1, ip=address)
    assert (await bank.http.post(f"/v1/challenges/{over}/cancel", json={})).status_code == 200
    unknown = over[:-32] + secrets.token_hex(16)
    for _ in range(5):  # of those under way at one time each counts until it is decided
        assert statuses(await fired(town, guesses([over, unknown] * 4))) == {200: 4, 404: 4}
    replies = await fired(town, guesses(await pending(bank, 12, ip=address)))
    assert statuses(replies) == {200: 10, 429: 2}


async def test_who_shares_an_address_with_honest_payers_gains_by_each_approval(bank: Bank) -> None:
    """An approval takes one wrong answer back, once: what many share is not used up by their typing errors."""
    address, psu = an_address(), unique_psu()
    for challenge in await pending(bank, 9, ip=address):
        assert (await bank.verify(challenge, "000000", None))["outcome"] == "incorrect"
    mine = await bank.issue(**LOGIN, psu=psu, signals={"ip": address})
    body = {"code": await bank.code(psu["phone"])}
    for _ in range(5):  # the same answer again is told again, and takes nothing back
        told = await bank.http.post(
            f"/v1/challenges/{mine['id']}/verify", json=body, headers={"Idempotency-Key": psu["id"]}
        )
        assert told.json()["outcome"] == "approved"
    tried = [await bank.answer(one, "000000", None) for one in await pending(bank, 4, ip=address)]
    assert [one.status_code for one in tried] == [200, 200, 429, 429]


def starts(phone: str, count: int) -> list[Post]:
    """Challenges of so many payers who name one phone."""
    return [Post("/v1/challenges", order(**LOGIN, psu=unique_psu() | {"phone": phone})) for _ in range(count)]


async def test_of_parallel_starts_the_limit_passes_whatever_the_processes_take_for_the_time(
    town: Deployment, bank: Bank
) -> None:
    """Exactly seven, and none more later where the clock is ahead: Redis tells the time."""
    phone = unique_psu()["phone"]
    assert statuses(await fired(town, starts(phone, 100))) == {201: 7, 429: 93}
    _, ahead = urls(town)
    assert statuses(await fired(town, starts(phone, 3), at=[ahead])) == {429: 3}


@pytest.fixture
def racing(town: Deployment, bank: Bank) -> Iterator[Role]:
    """An api that reads a limit and then writes it."""
    role = start_broken(town, "racing", port=free_port())
    yield role
    town.forget(role)
    role.stop()


async def test_read_then_write_would_let_more_pass(town: Deployment, racing: Role) -> None:
    """What is asserted above fails on an api without the script."""
    replies = await fired(town, starts(unique_psu()["phone"], 100), at=[racing.url])
    assert statuses(replies)[201] > 7


async def test_a_payer_whom_a_stranger_has_locked_out_pays_through_the_bank(
    town: Deployment, bank: Bank
) -> None:
    """Wrong answers at another bank block nobody here; those here until the bank knows who it is, and says so."""
    psu = unique_psu()
    async with town.bank(client="other-bank") as elsewhere:
        await locked_out(elsewhere, psu, message=1)
    challenge = await bank.issue(psu=psu)
    assert (await bank.verify(challenge["id"], await bank.code(psu["phone"], number=2)))[
        "outcome"
    ] == "approved"
    await locked_out(bank, psu, message=3)
    assert (await bank.issue(psu=psu))["reason"] == "payer_blocked"
    async with town.bank(client="operator") as operator:
        known = {"client": "bank", "reason": "identified at the counter"}
        assert (await operator.http.post(f"/v1/psus/{psu['id']}/unblock", json=known)).status_code == 200
    challenge = await bank.issue(psu=psu)
    code = await bank.code(psu["phone"], number=4)
    assert (await bank.verify(challenge["id"], code))["outcome"] == "approved"


async def locked_out(bank: Bank, psu: dict[str, str], *, message: int) -> None:
    """Five wrong answers, once the payer's message with this number is there."""
    challenge = await bank.issue(psu=psu)
    await bank.message(psu["phone"], number=message)
    for _ in range(5):
        assert (await bank.verify(challenge["id"], "000000"))["outcome"] == "incorrect"


async def test_hopping_over_the_ranges_of_a_caribbean_country_ends_at_its_budget(bank: Bank) -> None:
    """Jamaica's numbers begin with +1 like the American ones, and are no American ones; each range is a new one.

    Ten may wait besides the 25 that may be unanswered.
    """
    tail = f"{secrets.randbelow(10_000):04d}"

    async def status(phone: str) -> str:
        psu = {"id": f"cust_{secrets.token_hex(6)}", "phone": phone, "locale": "en-GB"}
        return str((await bank.issue(**LOGIN, psu=psu))["status"])

    hops = await asyncio.gather(*(status(f"+18763{at:02d}{tail}") for at in range(40)))
    assert Counter(hops) == {"pending": 35, "refused": 5}
    assert await status(f"+1876399{tail}") == "refused"
    assert await status(f"+1809399{tail}") == "pending", "the Dominican Republic is another country"
    assert await status(f"+1202456{tail}") == "pending", "and so are the United States"


async def alert_of(issuer: Bank, phone: str) -> dict[str, Any]:
    """What becomes of a notice to a number."""
    variables = {"merchant": "Streaming AG", "amount": "9,99 €", "date": "1.12."}
    body = {"psu": {"id": "p", "phone": phone}, "template": "upcoming_charge", "variables": variables}
    response = await issuer.http.post("/v1/alerts", json=body | {"channels": [{"channel": "sms"}]})
    assert response.status_code == 201, response.text
    for _ in range(800):
        alert: dict[str, Any] = (await issuer.http.get(f"/v1/alerts/{response.json()['id']}")).json()
        if alert["status"] in ("delivered", "failed", "suppressed"):
            return alert
        await asyncio.sleep(0.05)
    raise AssertionError("nothing became of it")


async def test_alerts_are_not_sent_into_a_range_that_is_pumped(town: Deployment, bank: Bank) -> None:
    """A block that codes have earned keeps notices back too; not from a line that has approved before."""
    prefix = f"+49160{secrets.randbelow(10_000):04d}"
    known = {"id": f"cust_{secrets.token_hex(6)}", "phone": f"{prefix}7777", "locale": "de-DE"}
    challenge = await bank.issue(**LOGIN, psu=known)
    await bank.settled(challenge["id"])  # the line is known once it is on record that the code went over it
    assert (await bank.verify(challenge["id"], await bank.code(known["phone"]), None))[
        "outcome"
    ] == "approved"
    async with town.bank(client="issuer") as issuer:
        before = await alert_of(issuer, f"{prefix}0001")
        for at in range(6):
            await bank.issue(**LOGIN, psu=unique_psu() | {"phone": f"{prefix}{at}500"})
        stopped, passed = await alert_of(issuer, f"{prefix}0001"), await alert_of(issuer, known["phone"])
    assert (before["status"], passed["status"]) == ("delivered", "delivered")
    assert (stopped["status"], stopped["reason"]) == ("failed", "pumping")
    assert [one["reason"] for one in stopped["deliveries"]] == ["pumping"]


def forwarded(last: str) -> tuple[str, str]:
    """A header whose beginning anybody can write, and whose end our proxy has."""
    return "X-Forwarded-For", f"198.51.100.{secrets.randbelow(250)}, {last}"


async def activation(device: Device, base: str, code: str, address: str) -> int:
    """The status of an attempt to activate, as our proxy hands it on."""
    raw = json.dumps({"authenticator": device.id, "activation_code": code}).encode()
    proof = device.proof("POST", f"{base}/activate", raw, shows_key=True)
    answer = await send("POST", f"{base}/activate", raw, [("DPoP", proof), forwarded(address)])
    return answer.status_code


async def test_proofs_that_prove_nothing_are_counted_by_the_address_that_our_proxy_saw(
    town: Deployment, bank: Bank
) -> None:
    """Over both processes, both ways in and wrong activation codes; a rotating header does not help."""
    bases = [f"{url}/device/v1" for url in urls(town)]
    device, code = await enrol(bank, unique_psu())
    address = f"203.0.113.{secrets.randbelow(250)}"
    found = []
    for at in range(5):
        found.append(
            (await send("GET", f"{bases[at % 2]}/challenges", b"", [forwarded(address)])).status_code
        )
        body, headers = b'{"answer": "a.b.c"}', [("DPoP", "a.b.c"), forwarded(address)]
        place = f"{bases[at % 2]}/challenges/chl_0/answer"
        found.append((await send("POST", place, body, headers)).status_code)
    assert found == [401] * 10
    wrong = [await activation(device, bases[0], "AAAAAA-AAAAAA-AAAAAA-AAAAAA", address) for _ in range(4)]
    assert wrong == [200, 200, 429, 429]
    late = await send("GET", f"{bases[1]}/challenges", b"", [forwarded(address)])
    assert (late.status_code, late.json()["code"]) == (429, "rate-limited")
    assert 0 < int(late.headers["retry-after"]) <= 86_400
    assert await activation(device, bases[0], code, address) == 429, "the right code too, from there"
    assert await activation(device, bases[0], code, "203.0.113.251") == 200


async def test_requests_that_prove_something_are_not_counted(town: Deployment, bank: Bank) -> None:
    """However often a device asks; and a challenge that is not its own is no wrong proof."""
    device = await enrolled(bank, unique_psu())
    address = f"203.0.114.{secrets.randbelow(250)}"

    async def status(place: str) -> int:
        url = f"{device.url}{place}"
        return (
            await send("GET", url, b"", [("DPoP", device.proof("GET", url)), forwarded(address)])
        ).status_code

    assert [await status("/challenges") for _ in range(8)] == [200] * 8
    assert [await status(f"/challenges/chl_{'0' * 38}") for _ in range(8)] == [404] * 8


@pytest.mark.one_server
async def test_without_redis_every_start_is_told_so_and_none_is_counted(town: Deployment, bank: Bank) -> None:
    """503 with Retry-After from both processes; when it is back the phone has what it had left."""
    phone, valkey = unique_psu()["phone"], town.servers.valkey
    assert statuses(await fired(town, starts(phone, 4))) == {201: 4}
    with redis_of(town) as redis:
        redis.execute_command("WAITAOF", 1, 0, 5000)  # what was spent is in the file
    valkey.kill()
    try:
        for url in urls(town):
            body = order(**LOGIN, psu=unique_psu() | {"phone": phone})
            told = [await bank.http.post(f"{url}/v1/challenges", json=body) for _ in range(5)]
            assert [(one.status_code, one.headers["retry-after"]) for one in told] == [(503, "1")] * 5
    finally:
        valkey.start(town.folder / "valkey")

    async def both_issue() -> bool:
        told = [await fired(town, starts(unique_psu()["phone"], 1), at=[url]) for url in urls(town)]
        return all(statuses(replies) == {201: 1} for replies in told)

    await until(both_issue, "both processes have found Redis again")
    assert statuses(await fired(town, starts(phone, 6))) == {201: 3, 429: 3}
