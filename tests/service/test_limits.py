"""Limits over HTTP, on two api processes with a tight policy: what is counted, what is told, and what attackers try."""

import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sca_service.settings import shipped_policies
from tests.device import asked as asked_of
from tests.device import enrolled
from tests.harness import Bank, Deployment, order, unique_psu
from tests.volley import Post, Volley

_ROWS = """
most_pending = 20
[[limit]]
name = "issue-per-payer"
on = "issue"
scope = "payer"
count = 9
per_seconds = 86400
burst = 9
at_limit = "refuse"
[[limit]]
name = "issue-per-phone"
on = "issue"
scope = "phone"
count = 7
per_seconds = 86400
burst = 7
at_limit = "refuse"
[[limit]]
name = "issue-per-ip"
on = "issue"
scope = "ip"
count = 5
per_seconds = 86400
burst = 5
at_limit = "refuse"
[[limit]]
name = "issue-per-device"
on = "issue"
scope = "device"
count = 4
per_seconds = 86400
burst = 4
at_limit = "refuse"
[[limit]]
name = "resend-per-payer"
on = "resend"
scope = "payer"
count = 10
per_seconds = 600
burst = 10
at_limit = "refuse"
[[limit]]
name = "send-per-prefix"
on = "send"
scope = "prefix"
count = 6
per_seconds = 86400
burst = 6
at_limit = "next_channel"
[[limit]]
name = "verify-per-client"
on = "verify"
scope = "client"
count = 20
per_seconds = 86400
burst = 20
at_limit = "refuse"
[[limit]]
name = "enrol-per-payer"
on = "enrol"
scope = "payer"
count = 3
per_seconds = 86400
burst = 3
at_limit = "refuse"
"""
LOGIN: dict[str, Any] = {"purpose": "login", "transaction": None, "channels": [{"channel": "sms"}]}


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two api processes and a worker with few of everything, behind one proxy of theirs."""
    folder = tmp_path_factory.mktemp("tight")
    policies = Path(shutil.copytree(shipped_policies(), folder / "policies"))
    (policies / "limits.toml").write_text(_ROWS, "utf-8")
    deployment = Deployment(folder, policies, more_settings=('api.trusted_proxies = ["127.0.0.1"]',))
    deployment.start_stores()
    try:
        for name in ("api", "api", "worker"):
            deployment.start(name)
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
async def bank(tight: Deployment) -> AsyncIterator[Bank]:
    """A bank."""
    async with tight.bank() as bank:
        yield bank


@pytest.fixture
async def other(tight: Deployment) -> AsyncIterator[Bank]:
    """Another bank."""
    async with tight.bank(client="other-bank") as bank:
        yield bank


async def ask(bank: Bank, **members: Any) -> httpx.Response:
    """Ask for a challenge, whatever comes of it."""
    return await bank.http.post("/v1/challenges", json=order(**{**LOGIN, **members}))


async def asked(bank: Bank, times: int, **members: Any) -> list[int]:
    """The statuses of so many requests, one after the other."""
    return [(await ask(bank, **members)).status_code for _ in range(times)]


def refused(passed: int, times: int) -> list[int]:
    """So many of them pass."""
    return [201] * passed + [429] * (times - passed)


@pytest.mark.race
async def test_of_a_hundred_parallel_starts_over_two_processes_the_limit_passes(tight: Deployment) -> None:
    """Exactly seven for one phone line, though each is for another payer; the others leave nothing behind."""
    urls = [role.url for role in tight.roles if role.name == "api"]
    phone = unique_psu()["phone"]
    posts = [
        Post(
            "/v1/challenges",
            order(**LOGIN, psu=unique_psu() | {"phone": phone}, signals={"ip": f"10.0.{at}.1"}),
        )
        for at in range(100)
    ]
    assert len(set(urls)) == 2
    async with Volley(urls, tight.keys["bank"], connections=100) as volley:
        replies = await volley.fire(posts)
    assert Counter(reply.status for reply in replies) == {201: 7, 429: 93}


@pytest.mark.race
async def test_of_parallel_starts_for_one_payer_the_limit_passes(tight: Deployment) -> None:
    """A payer's limit is spent in the step that issues; what the refused ones had spent beside it is given back."""
    urls = [role.url for role in tight.roles if role.name == "api"]
    psu, device = unique_psu(), unique_psu()["id"]
    phones = [unique_psu()["phone"] for _ in range(50)]
    async with Volley(urls, tight.keys["bank"], connections=50) as volley:
        replies = await volley.fire(
            [Post("/v1/challenges", order(**LOGIN, psu=psu | {"phone": phone})) for phone in phones]
        )
    assert Counter(reply.status for reply in replies) == {201: 9, 429: 41}
    async with tight.bank() as bank:
        assert await asked(bank, 5, psu=psu, signals={"device_id": device}) == [429] * 5
        assert await asked(bank, 5, signals={"device_id": device}) == refused(4, 5)


async def test_spellings_of_a_number_share_its_limit(bank: Bank) -> None:
    """Spaces, brackets, 00, a trunk zero, full-width digits: one phone line."""
    digits = unique_psu()["phone"].removeprefix("+49")
    spelled = [
        f"+49{digits}", f"0049{digits}", f"+49 (0){digits}", f"tel:+49-{digits}", f"＋49 {digits}",
        f"+49.{digits[:3]}.{digits[3:]}", f"+49 {digits[:3]} {digits[3:6]} {digits[6:]}", f"0049 (0) {digits}",
    ]  # fmt: skip
    statuses = [(await ask(bank, psu=unique_psu() | {"phone": phone})).status_code for phone in spelled]
    assert statuses == refused(7, 8)


async def test_addresses_and_devices_are_counted_within_a_bank(bank: Bank, other: Bank) -> None:
    """As the bank names them: all of a /64 together, and nobody uses up what is another bank's."""
    sixty_four = "2001:db8:7:1"
    statuses = [(await ask(bank, signals={"ip": f"{sixty_four}::{at:x}"})).status_code for at in range(1, 8)]
    assert statuses == refused(5, 7)
    assert await asked(bank, 1, signals={"ip": "2001:db8:7:2::1"}) == [201]
    assert await asked(other, 1, signals={"ip": f"{sixty_four}::1"}) == [201]
    device = {"device_id": unique_psu()["id"]}
    assert await asked(bank, 6, signals=device) == refused(4, 6)
    assert await asked(other, 1, signals=device) == [201]


async def test_the_payers_address_is_the_one_that_the_bank_names(bank: Bank) -> None:
    """A header about the bank's own connection changes nothing, however often it rotates."""
    statuses = []
    for at in range(7):
        headers = {"X-Forwarded-For": f"198.51.100.{at}", "Forwarded": f"for=198.51.100.{at}"}
        body = order(**LOGIN, signals={"ip": "192.0.2.77"})
        statuses.append((await bank.http.post("/v1/challenges", json=body, headers=headers)).status_code)
    assert statuses == refused(5, 7)


async def test_what_is_left_is_told_with_each_answer(bank: Bank) -> None:
    """Of the limits that are the bank's own; the phone line's would say what other banks do."""
    signals = {"ip": "192.0.2.78"}
    psu = unique_psu()
    first, second = [await ask(bank, psu=psu, signals=signals) for _ in range(2)]
    assert first.headers["ratelimit-policy"] == '"issue-per-payer";q=9;w=86400, "issue-per-ip";q=5;w=86400'
    assert first.headers["ratelimit"] == '"issue-per-payer";r=8;t=9600, "issue-per-ip";r=4;t=17280'
    assert second.headers["ratelimit"].startswith('"issue-per-payer";r=7;t=')
    for _ in range(3):
        await ask(bank, psu=psu, signals=signals)
    last = await ask(bank, psu=psu, signals=signals)
    assert last.status_code == 429
    assert last.headers["ratelimit"].startswith('"issue-per-ip";r=0;t=')
    assert 0 < int(last.headers["retry-after"]) <= 17_280


async def test_a_repeated_request_spends_nothing(bank: Bank) -> None:
    """The same Idempotency-Key: the same answer, without the state of limits as it was then."""
    body = order(**LOGIN, signals={"device_id": unique_psu()["id"]})
    key = {"Idempotency-Key": unique_psu()["id"]}
    first, *again = [await bank.http.post("/v1/challenges", json=body, headers=key) for _ in range(9)]
    assert first.headers["ratelimit"].startswith('"issue-per-payer";r=8')
    assert {(one.status_code, one.content, one.headers.get("ratelimit")) for one in again} == {
        (201, first.content, None)
    }


async def test_both_ways_tell_alike(bank: Bank) -> None:
    """The short way and the framework's (a slash at the end): one count, the same headers."""
    psu = unique_psu()
    told = [
        (await bank.http.post(path, json=order(**LOGIN, psu=psu))).headers["ratelimit"].split(";t=")[0]
        for path in ("/v1/challenges", "/v1/challenges/", "/v1/challenges", "/v1/challenges/")
    ]
    assert told == [f'"issue-per-payer";r={left}' for left in (8, 7, 6, 5)]
    for _ in range(5):
        await ask(bank, psu=psu | {"phone": unique_psu()["phone"]})
    short, long = [
        await bank.http.post(path, json=order(**LOGIN, psu=psu | {"phone": unique_psu()["phone"]}))
        for path in ("/v1/challenges", "/v1/challenges/")
    ]
    names = ("ratelimit", "ratelimit-policy", "retry-after")
    assert short.status_code == long.status_code == 429
    assert [set(one.headers) & set(names) for one in (short, long)] == [set(names)] * 2
    assert short.headers["ratelimit-policy"] == long.headers["ratelimit-policy"]


async def test_one_code_tried_on_many_payers_meets_the_clients_limit(bank: Bank, other: Bank) -> None:
    """No payer is ever locked out, and still only so many are tried; a right answer counts for nothing."""
    psus = [unique_psu() for _ in range(24)]
    challenges = [await other.issue(psu=psu) for psu in psus]
    for psu, challenge in zip(psus[:3], challenges, strict=False):
        right = await other.answer(challenge["id"], await other.code(psu["phone"]))
        assert right.json()["outcome"] == "approved"
        assert "ratelimit" not in right.headers
    tried = [await other.answer(challenge["id"], "000000") for challenge in challenges[3:]]
    assert [one.status_code for one in tried] == [200] * 20 + [429]
    assert tried[0].headers["ratelimit"].startswith('"verify-per-client";r=19;t=')
    assert tried[-1].headers["ratelimit"].startswith('"verify-per-client";r=0;t=')
    mine = await bank.issue()
    assert (await bank.answer(mine["id"], "000000")).status_code == 200, "another bank's limit is its own"


async def test_new_challenges_do_not_reset_guesses(bank: Bank) -> None:
    """Five wrong answers in a row block the payer, each to a challenge of its own (RTS Art. 4(3)(b))."""
    psu = unique_psu()
    outcomes = []
    for _ in range(5):
        challenge = await bank.issue(psu=psu)
        outcomes.append((await bank.verify(challenge["id"], "000000"))["outcome"])
    assert outcomes == ["incorrect"] * 5
    assert (await bank.issue(psu=psu))["status"] == "refused"


async def test_a_stranger_does_not_keep_a_payer_from_paying(bank: Bank, other: Bank) -> None:
    """Whoever has messages sent to a victim's phone spends its limit; the victim's device still answers."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    stranger = [await ask(other, psu=unique_psu() | {"phone": psu["phone"]}) for _ in range(8)]
    assert [one.status_code for one in stranger] == refused(7, 8)
    assert "ratelimit" not in stranger[0].headers or "phone" not in stranger[0].headers["ratelimit"]
    assert (await ask(bank, psu=psu)).status_code == 429
    challenge = await asked_of(bank, psu)
    answer = await device.answer(challenge["id"], device.approval(challenge, challenge["matching_digits"]))
    assert answer.json()["outcome"] == "approved"


async def test_what_is_not_sent_does_not_count_against_a_number(bank: Bank) -> None:
    """A challenge for a device names the phone too, and sends nothing to it."""
    psu = unique_psu()
    await enrolled(bank, psu)
    for _ in range(2):
        await asked_of(bank, psu)
    assert await asked(bank, 8, psu=unique_psu() | {"phone": psu["phone"]}) == refused(7, 8)


async def test_a_block_of_numbers_goes_on_by_another_channel(bank: Bank) -> None:
    """Six texts into a block of ten thousand numbers, and the seventh payer is called; the delivery says why."""
    block = f"+49171{secrets.randbelow(10**3):03d}"
    channels = [{"channel": "sms", "timeout_s": 30}, {"channel": "voice"}]
    issued = [
        await bank.issue(psu=unique_psu() | {"phone": f"{block}{at:04d}"}, channels=channels)
        for at in range(7)
    ]
    for challenge in issued[:6]:
        assert (await bank.settled(challenge["id"]))["deliveries"][0]["channel"] == "sms"
    last = await bank.settled(issued[6]["id"], status="answered")
    told = [(one["channel"], one["status"], one["reason"]) for one in last["deliveries"]]
    assert told == [("sms", "failed", "send_limit"), ("voice", "answered", None)]


async def test_enrolling_has_a_limit_of_its_own(bank: Bank) -> None:
    """Three for a payer; what comes to nothing is not counted."""
    path, good = f"/v1/psus/{unique_psu()['id']}/authenticators", {"type": "totp", "label": "Anna"}
    bad = [await bank.http.post(path, json={"type": "phone", "label": "Anna"}) for _ in range(4)]
    assert {one.status_code for one in bad} == {422}
    statuses = [(await bank.http.post(path, json=good)).status_code for _ in range(4)]
    assert statuses == [201] * 3 + [429]


async def fails_to_sign_in(tight: Deployment, forwarded: str) -> int:
    """The status of a wrong key at the desk, as a proxy of ours hands it on."""
    url = tight.api.url
    async with httpx.AsyncClient(base_url=url, trust_env=False) as browser:
        headers = {"Origin": url, "X-Forwarded-For": forwarded}
        answer = await browser.post("/desk/sign-in", data={"key": "wrong"}, headers=headers)
    return answer.status_code


async def test_a_rotating_header_does_not_get_past_the_desks_door(tight: Deployment) -> None:
    """What the proxy added is whose address counts; what stood in the header before is anybody's word."""
    statuses = [await fails_to_sign_in(tight, f"198.51.100.{at}, 203.0.113.50") for at in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert await fails_to_sign_in(tight, "203.0.113.51") == 401
