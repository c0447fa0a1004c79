"""Pending challenges steered over HTTP: the next channel, cancel, and the 404 that another client gets."""

from typing import Any

import pytest
from redis.asyncio import Redis

from tests.harness import TRANSACTION, Bank, unique_psu
from tests.service.situations import FINAL, SITUATIONS, age


async def next_channel(bank: Bank, challenge_id: str) -> Any:
    """Ask for the next channel, as the contract shows it."""
    return await bank.http.post(f"/v1/challenges/{challenge_id}/next", json={"reason": "user_request"})


async def test_next_sends_the_same_code_over_the_next_channel(bank: Bank) -> None:
    """The payer asks: the same code comes over the next channel, and the answer says so."""
    psu = unique_psu()
    issued = await bank.issue(psu=psu, channels=[{"channel": "sms"}, {"channel": "voice"}])
    first = await bank.code(psu["phone"])
    response = await next_channel(bank, issued["id"])
    challenge = response.json()

    assert response.status_code == 200
    assert challenge["channel"] == "voice"
    assert [delivery["channel"] for delivery in challenge["deliveries"]] == ["sms", "voice"]
    assert challenge["expires_at"] == issued["expires_at"]
    assert challenge["attempts_left"] == 5
    assert await bank.code(psu["phone"], number=2) == first
    assert (await bank.verify(issued["id"], first))["outcome"] == "approved"


async def test_next_needs_no_body(bank: Bank) -> None:
    """Nothing has to be said to get the next channel."""
    issued = await bank.issue(channels=[{"channel": "push"}, {"channel": "sms"}])
    response = await bank.http.post(f"/v1/challenges/{issued['id']}/next")

    assert response.status_code == 200
    assert response.json()["channel"] == "sms"


async def test_next_ends_with_the_ladder(bank: Bank) -> None:
    """After the last channel there is no next one: 409."""
    issued = await bank.issue(channels=[{"channel": "sms"}])
    response = await next_channel(bank, issued["id"])

    assert response.status_code == 409
    assert response.json()["code"] == "no-more-channels"


async def test_next_waits_for_the_cooldown(bank: Bank, redis: Redis) -> None:
    """The next message but one is 429 with the seconds to wait, and is sent once they are over."""
    issued = await bank.issue(channels=None)
    first = await next_channel(bank, issued["id"])
    early = await next_channel(bank, issued["id"])
    await age(redis, issued["id"], int(early.headers["retry-after"]))
    later = await next_channel(bank, issued["id"])

    assert first.status_code == 200
    assert early.status_code == 429
    assert early.json()["code"] == "resend-cooldown"
    assert 1 <= int(early.headers["retry-after"]) <= 30
    assert later.status_code == 200
    assert later.json()["channel"] == "voice"


@pytest.mark.parametrize("status", FINAL)
async def test_next_of_a_final_challenge(bank: Bank, redis: Redis, script: Any, status: str) -> None:
    """Nothing more is sent for a challenge that is over: 409."""
    challenge = await SITUATIONS[status](bank, redis)
    response = await next_channel(bank, challenge["id"])

    assert response.status_code == 409
    assert response.json()["code"] == "not-pending"
    assert await bank.get(challenge["id"]) == challenge


async def test_cancel_is_idempotent_and_frees_the_payer(bank: Bank) -> None:
    """Cancelling twice gives the same answer, and the payer gets a new challenge at once."""
    psu = unique_psu()
    issued = await bank.issue(psu=psu)
    await bank.settled(issued["id"])
    answers = [await bank.http.post(f"/v1/challenges/{issued['id']}/cancel", json={}) for _ in range(2)]
    again = await bank.issue(psu=psu)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["status"] == "cancelled"
    assert answers[0].json()["next_channel_at"] is None
    assert again["status"] == "pending"
    assert again["id"] != issued["id"]
    code = await bank.code(psu["phone"], number=2)
    assert (await bank.verify(again["id"], code))["outcome"] == "approved"


@pytest.mark.parametrize("status", ["approved", "rejected", "blocked", "expired", "undeliverable", "refused"])
async def test_cancel_leaves_a_final_challenge(bank: Bank, redis: Redis, script: Any, status: str) -> None:
    """A challenge that is over stays as it is, and cancelling it needs no body."""
    challenge = await SITUATIONS[status](bank, redis)
    response = await bank.http.post(f"/v1/challenges/{challenge['id']}/cancel")

    assert response.status_code == 200
    assert response.json() == challenge


def unknown_ids(known: str) -> list[str]:
    """Ids that no challenge has: like the known one, in another partition, too short, of another kind, not hex."""
    return [
        known[:-4] + ("0000" if known[-4:] != "0000" else "1111"),
        f"chl_{(int(known[4:6], 16) + 1) % 64:02x}{known[6:]}",
        known[:-1],
        known.replace("chl_", "dlv_"),
        "chl_" + "z" * 38,
        "x",
    ]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "/verify", {"code": "123456", "transaction": TRANSACTION}),
        ("POST", "/next", {"reason": "user_request"}),
        ("POST", "/cancel", {}),
    ],
    ids=["read", "verify", "next", "cancel"],
)
async def test_another_clients_challenge_is_like_an_unknown_one(
    bank: Bank, other_bank: Bank, method: str, path: str, body: Any
) -> None:
    """Another client's id answers 404 exactly as ids that do not exist, and nothing happens to the challenge."""
    challenge = await bank.settled((await bank.issue())["id"])
    told = []
    for challenge_id in (challenge["id"], *unknown_ids(challenge["id"])):
        response = await other_bank.http.request(method, f"/v1/challenges/{challenge_id}{path}", json=body)
        problem = response.json()
        assert problem.pop("instance") == f"/v1/challenges/{challenge_id}{path}"
        assert problem.pop("request_id") == response.headers["x-request-id"]
        told.append((response.status_code, problem, response.headers["content-type"], len(response.headers)))

    assert told[0][0] == 404
    assert told == [told[0]] * len(told)
    assert await bank.get(challenge["id"]) == challenge
