"""SMS pumping over HTTP: an attack on a range is blocked, on record; known payers and other channels go on."""

import asyncio
import itertools
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sca_service.settings import shipped_policies
from tests.harness import Bank, Deployment
from tests.storeroom import eventually
from tests.valkeys import raw_async_client

SMS = [{"channel": "sms"}]
FLOOR = 4


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose guard refuses, with the shipped budgets, but that its tests share a country."""
    folder = tmp_path_factory.mktemp("guarded")
    policies = folder / "policies"
    shutil.copytree(shipped_policies(), policies)
    text = (policies / "pumping.toml").read_text("utf-8")
    text = text.replace('at_block_in_sandbox = "off"', 'at_block_in_sandbox = "refuse"')
    (policies / "pumping.toml").write_text(text.replace("floor = 25", "floor = 10000"), "utf-8")
    deployment = Deployment(folder, policies=policies)
    deployment.start_stores()
    for role in ("api", "worker", "log"):
        deployment.start(role)
    yield deployment
    deployment.stop()


@pytest.fixture
async def shop(guarded: Deployment) -> AsyncIterator[Bank]:
    """The bank of that deployment."""
    async with guarded.bank() as bank:
        yield bank


@pytest.fixture
async def desk(guarded: Deployment) -> AsyncIterator[Bank]:
    """Its operator."""
    async with guarded.bank(client="operator") as bank:
        yield bank


_PREFIXES = itertools.count(2_000)


def prefix_of_germany() -> str:
    """A prefix that no other test has: everything but the last four digits."""
    return f"+49151{next(_PREFIXES):04d}"


def psu(prefix: str, last: int) -> dict[str, str]:
    """A payer nobody knows with a number of this prefix."""
    return {"id": f"cust_{secrets.token_hex(6)}", "phone": f"{prefix}{last:04d}", "locale": "de-DE"}


async def blocks(desk: Bank) -> list[dict[str, Any]]:
    """What is blocked."""
    response = await desk.http.get("/v1/blocks", params={"limit": 200})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def block_of(desk: Bank, subject: str) -> dict[str, Any] | None:
    """The block of one subject."""
    return next((one for one in await blocks(desk) if one["subject"] == subject), None)


async def events(guarded: Deployment, kind: str) -> list[dict[str, Any]]:
    """The events of a kind, once there are any."""
    async with guarded.bank(client="auditor") as auditor:
        for _ in range(400):
            response = await auditor.http.get("/v1/audit/events", params={"type": kind, "limit": 200})
            if found := response.json()["data"]:
                told: list[dict[str, Any]] = found
                return told
            await asyncio.sleep(0.05)
    raise AssertionError(f"no {kind} on record")


async def attack(shop: Bank, prefix: str, count: int) -> list[dict[str, Any]]:
    """Challenges for so many payers at once, whose numbers lie in the range and whose codes nobody answers."""
    numbers = [at * 137 % 10_000 for at in range(1, count + 1)]
    return list(await asyncio.gather(*(shop.issue(psu=psu(prefix, one), channels=SMS) for one in numbers)))


async def test_an_attack_on_a_range_ends_at_its_budget(guarded: Deployment, shop: Bank, desk: Bank) -> None:
    """Of thirty at once as many pass as the floor has; the others are told why, nothing is sent; on record."""
    prefix = prefix_of_germany()
    issued = await attack(shop, prefix, 30)
    passed = [one for one in issued if one["status"] == "pending"]
    stopped = [one for one in issued if one["status"] == "refused"]
    assert (len(passed), len(stopped)) == (FLOOR, 30 - FLOOR)
    for one in stopped:
        assert one["reason"] == "pumping"
        assert one["risk"]["decision"] == "refuse"
        assert "sms_pumping" in one["risk"]["reasons"]
        assert one["deliveries"] == []
    block = await block_of(desk, prefix)
    assert block is not None
    assert (block["scope"], block["reason"], block["refused"]) == ("prefix", "budget", 30 - FLOOR)
    assert block["until"] > block["since"]
    recorded = [one for one in await events(guarded, "pumping.blocked") if one["subject"] == prefix]
    assert [(one["block"], one["scope"], one["reason"]) for one in recorded] == [
        (block["id"], "prefix", "budget")
    ]


async def test_a_block_whose_event_was_lost_is_recorded_by_the_next_that_meets_it(
    guarded: Deployment, shop: Bank, desk: Bank
) -> None:
    """A process killed between block and record leaves a mark; nothing is told of a block that is not on record."""
    prefix = prefix_of_germany()
    await attack(shop, prefix, FLOOR + 1)
    block = await block_of(desk, prefix)
    assert block is not None
    lost = f"evt_{secrets.token_hex(16)}"
    redis = raw_async_client(guarded.servers.valkey.url, protocol=2)
    await redis.hset(f"{{pumping}}:block-of:{block['id']}", mapping={"recorded": "0", "event": lost})
    for _ in range(2):
        assert (await shop.issue(psu=psu(prefix, 77), channels=SMS))["status"] == "refused"
    assert await redis.hget(f"{{pumping}}:block-of:{block['id']}", "recorded") == b"1"
    await redis.aclose()
    told = [one["id"] for one in await events(guarded, "pumping.blocked") if one["block"] == block["id"]]
    assert told.count(lost) == 1


async def test_a_payer_who_has_approved_with_the_number_passes(shop: Bank, desk: Bank) -> None:
    """A block of the range does not reach who is known; who is not is stopped, spelled in whatever way."""
    prefix = prefix_of_germany()
    known = psu(prefix, 7)
    first = await shop.issue(psu=known, channels=SMS)
    await shop.settled(first["id"])  # the line is known once it is on record that the code went over it
    verified = await shop.verify(first["id"], await shop.code(known["phone"]))
    assert verified["outcome"] == "approved"
    await attack(shop, prefix, 12)
    assert await block_of(desk, prefix) is not None
    again = await shop.issue(psu=known, channels=SMS)
    assert again["status"] == "pending"
    stranger = psu(prefix, 9)
    spelled = f"00{prefix[1:3]} (0){prefix[3:]}-{9:04d}"
    assert (await shop.issue(psu=stranger | {"phone": spelled}, channels=SMS))["status"] == "refused"


async def test_answers_give_back_what_was_sent(shop: Bank, desk: Bank) -> None:
    """Payers who answer are not counted against their range, however many come one after the other."""
    prefix = prefix_of_germany()
    for at in range(FLOOR + 3):
        new = psu(prefix, 1_000 + at * 311)
        challenge = await shop.issue(psu=new, channels=SMS)
        assert challenge["status"] == "pending"
        verified = await shop.verify(challenge["id"], await shop.code(new["phone"]))
        assert verified["outcome"] == "approved"
    assert await block_of(desk, prefix) is None


async def test_numbers_in_a_row_are_blocked_as_such(shop: Bank, desk: Bank) -> None:
    """Of one hundred neighbouring numbers no more than their floor is sent to, whatever else the range may have."""
    prefix = prefix_of_germany()
    issued = [await shop.issue(psu=psu(prefix, 5_500 + at), channels=SMS) for at in range(FLOOR + 1)]
    assert [one["status"] for one in issued] == ["pending"] * FLOOR + ["refused"]
    (block,) = [one for one in await blocks(desk) if one["subject"].startswith(prefix)]
    assert block["scope"] == "neighbours"
    assert block["subject"] != f"{prefix}55"


async def test_a_ladder_with_push_goes_on_without_the_rest(shop: Bank) -> None:
    """What costs nothing is sent all the same; the reason says what was left out."""
    prefix = prefix_of_germany()
    await attack(shop, prefix, FLOOR + 1)
    ladder = [{"channel": "push", "timeout_s": 20}, {"channel": "sms", "timeout_s": 45}, {"channel": "voice"}]
    challenge = await shop.issue(psu=psu(prefix, 77), channels=ladder)
    assert challenge["status"] == "pending"
    assert [one["channel"] for one in challenge["deliveries"]] == ["push"]
    assert "sms_pumping" in challenge["risk"]["reasons"]
    step = await shop.http.post(f"/v1/challenges/{challenge['id']}/next", json={"reason": "user_request"})
    assert step.status_code == 409


async def test_many_countries_from_one_address_are_stopped(shop: Bank, desk: Bank) -> None:
    """A fifth country within a day is one too many for one address (IPv6: its /64); another address may go there."""
    run = secrets.randbelow(1_000_000)
    numbers = [
        f"+49171{run:06d}0",
        f"+3361{run:06d}1",
        f"+3465{run:07d}",
        f"+3933{run:07d}1",
        f"+4366{run:07d}41",
    ]
    address = f"2001:db8:{run % 65_536:x}:1::"
    statuses = []
    for at, number in enumerate(numbers):
        one = {"id": f"cust_{secrets.token_hex(6)}", "phone": number, "locale": "de-DE"}
        issued = await shop.issue(psu=one, channels=SMS, signals={"ip": f"{address}{at + 1}"})
        statuses.append(issued["status"])
    assert statuses == ["pending"] * 4 + ["refused"]
    (block,) = [one for one in await blocks(desk) if one["reason"] == "countries"]
    assert block["scope"] == "ip"
    assert "2001:db8" not in block["subject"]
    one = {"id": f"cust_{secrets.token_hex(6)}", "phone": numbers[-1], "locale": "de-DE"}
    assert (await shop.issue(psu=one, channels=SMS, signals={"ip": "203.0.113.9"}))["status"] == "pending"


async def test_nothing_is_ever_sent_to_a_range_of_the_policy(shop: Bank, desk: Bank) -> None:
    """A British personal number is refused at once, without a block: nothing was counted."""
    before = len(await blocks(desk))
    one = {"id": f"cust_{secrets.token_hex(6)}", "phone": "+447012345678", "locale": "en-GB"}
    challenge = await shop.issue(psu=one, channels=SMS)
    assert (challenge["status"], challenge["reason"]) == ("refused", "pumping")
    assert len(await blocks(desk)) == before


async def test_a_lifted_block_starts_anew(guarded: Deployment, shop: Bank, desk: Bank) -> None:
    """After the operator has lifted it a range is counted from nothing, on record with who and why; once only."""
    prefix = prefix_of_germany()
    await attack(shop, prefix, FLOOR + 2)
    block = await block_of(desk, prefix)
    assert block is not None
    reason = {"reason": "a campaign of ours"}
    lifted = await desk.http.post(f"/v1/blocks/{block['id']}/lift", json=reason)
    assert (lifted.status_code, lifted.json()["subject"]) == (200, prefix)
    assert await block_of(desk, prefix) is None
    assert (await desk.http.post(f"/v1/blocks/{block['id']}/lift", json=reason)).status_code == 404
    assert (await shop.issue(psu=psu(prefix, 9_999), channels=SMS))["status"] == "pending"
    recorded = [one for one in await events(guarded, "pumping.lifted") if one["block"] == block["id"]]
    assert [(one["actor"], one["subject"], one["reason"]) for one in recorded] == [
        ("client:operator", prefix, "a campaign of ours")
    ]


async def test_what_is_allowed_is_left_alone_until_it_is_taken_off(
    guarded: Deployment, shop: Bank, desk: Bank
) -> None:
    """A range on the allow-list, its neighbours too, is neither counted nor blocked; taken off, it is watched again."""
    prefix = prefix_of_germany()
    form = {"scope": "prefix", "subject": prefix, "reason": "new staff", "days": 2}
    allowed = await desk.http.post("/v1/allow-list", json=form)
    assert allowed.status_code == 201, allowed.text
    entry = allowed.json()
    row = [await shop.issue(psu=psu(prefix, at), channels=SMS) for at in range(FLOOR * 2)]
    assert {one["status"] for one in row} == {"pending"}
    listed = (await desk.http.get("/v1/allow-list")).json()["data"]
    assert entry["id"] in [one["id"] for one in listed]
    removed = await desk.http.post(f"/v1/allow-list/{entry['id']}/remove", json={"reason": "they are in"})
    assert removed.status_code == 200
    issued = await attack(shop, prefix, FLOOR + 3)
    assert [one["status"] for one in issued].count("pending") == FLOOR
    for kind in ("pumping.allowed", "pumping.disallowed"):
        told = [one for one in await events(guarded, kind) if one["entry"] == entry["id"]]
        assert [one["subject"] for one in told] == [prefix]


async def test_what_is_allowed_outlives_a_loss_of_redis(guarded: Deployment, shop: Bank, desk: Bank) -> None:
    """A worker puts it back: an operator's word is durable, what the guard has counted is not."""
    prefix = prefix_of_germany()
    form = {"scope": "prefix", "subject": prefix, "reason": "new staff", "days": 2}
    assert (await desk.http.post("/v1/allow-list", json=form)).status_code == 201
    redis = raw_async_client(guarded.servers.valkey.url, protocol=2)
    await redis.delete(*(await redis.keys("{pumping}:*")))

    async def is_back() -> bool:
        return bool(await redis.exists(f"{{pumping}}:allow:prefix:{prefix}"))

    await eventually(is_back)
    await redis.aclose()
    row = [await shop.issue(psu=psu(prefix, at), channels=SMS) for at in range(FLOOR * 2)]
    assert {one["status"] for one in row} == {"pending"}


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"subject": "49151"}, "/subject"),
        ({"scope": "country", "subject": "Germany"}, "/subject"),
        ({"scope": "ip", "subject": "203.0.113"}, "/subject"),
        ({"scope": "client", "subject": "A"}, "/subject"),
        ({"scope": "neighbours"}, "/scope"),
        ({"days": 91}, "/days"),
        ({"reason": " "}, "/reason"),
        ({"client": "bank"}, "/client"),
    ],
)
async def test_what_cannot_be_allowed_is_told(desk: Bank, changed: dict[str, Any], pointer: str) -> None:
    """Each mistake with its place."""
    form = {"scope": "prefix", "subject": "+49151123", "reason": "known"} | changed
    response = await desk.http.post("/v1/allow-list", json=form)
    assert response.status_code == 422
    assert [one["pointer"] for one in response.json()["errors"]] == [pointer]


async def test_challenges_that_are_not_issued_are_not_counted(shop: Bank, desk: Bank) -> None:
    """What a limit refuses is given back: a range is not blocked by messages that nobody sent."""
    prefix = prefix_of_germany()
    one = psu(prefix, 4_321)
    first = await shop.issue(psu=one, channels=SMS)
    code = await shop.code(one["phone"])
    wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
    for _ in range(5):
        await shop.verify(first["id"], wrong)
    for _ in range(FLOOR + 1):
        refused = await shop.issue(psu=one, channels=SMS)
        assert (refused["status"], refused["reason"]) == ("refused", "payer_blocked")
    assert await block_of(desk, prefix) is None
    assert (await shop.issue(psu=psu(prefix, 1), channels=SMS))["status"] == "pending"
