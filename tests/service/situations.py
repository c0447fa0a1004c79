"""Challenges brought to where a test wants them, over HTTP; only time is moved in the store."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from tests.harness import TRANSACTION, Bank, unique_psu, wrong

Challenge = dict[str, Any]

_AGE = """
    local state = cmsgpack.unpack(redis.call('GET', KEYS[1]))
    for _, name in ipairs({'created_at', 'expires_at', 'next_at', 'resend_at'}) do
        if state[name] > 0 then state[name] = state[name] - tonumber(ARGV[1]) end
    end
    redis.call('SET', KEYS[1], cmsgpack.pack(state), 'KEEPTTL')
    for at = 2, 3 do
        local key = at == 2 and KEYS[2] or KEYS[3] .. state.payer
        if redis.call('ZSCORE', key, state.id) then redis.call('ZINCRBY', key, -ARGV[1], state.id) end
    end
"""


def partition_tag(challenge_id: str) -> str:
    """The hash tag of a challenge's partition."""
    return f"{{p{int(challenge_id[4:6], 16):02d}}}"


def challenge_key(challenge_id: str) -> str:
    """Where Redis holds a challenge."""
    return f"{partition_tag(challenge_id)}:challenge:{challenge_id}"


async def age(redis: Redis, challenge_id: str, seconds: int) -> None:
    """Let `seconds` pass for one challenge: all its times move back, in one step."""
    tag = partition_tag(challenge_id)
    await redis.eval(
        _AGE, 3, challenge_key(challenge_id), f"{tag}:due", f"{tag}:pending:", str(seconds * 1000)
    )


async def pending(bank: Bank, _: Redis) -> Challenge:
    """A challenge whose message has arrived."""
    return await bank.settled((await bank.issue())["id"])


async def approved(bank: Bank, _: Redis) -> Challenge:
    """A challenge answered with the right code."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    verified: Challenge = await bank.verify(challenge["id"], await bank.code(psu["phone"]))
    assert verified["outcome"] == "approved"
    return await bank.settled(challenge["id"])


async def rejected(bank: Bank, redis: Redis) -> Challenge:
    """A challenge answered with another amount."""
    challenge = await pending(bank, redis)
    other = TRANSACTION | {"amount": {"currency": "EUR", "amount": "50.00"}}
    verified: Challenge = (await bank.verify(challenge["id"], "000000", other))["challenge"]
    return verified


async def blocked(bank: Bank, _: Redis, psu: dict[str, str] | None = None) -> Challenge:
    """A challenge answered wrongly five times."""
    psu = psu or unique_psu()
    challenge = await bank.issue(psu=psu)
    guess = wrong(await bank.code(psu["phone"]))
    for _attempt in range(5):
        verified = await bank.verify(challenge["id"], guess)
        assert verified["outcome"] == "incorrect"
    return await bank.settled(challenge["id"])


async def expired(bank: Bank, redis: Redis) -> Challenge:
    """A challenge whose time went by, and the worker has seen it."""
    challenge = await pending(bank, redis)
    await age(redis, challenge["id"], 301)
    return await bank.reached(challenge["id"], "expired")


async def cancelled(bank: Bank, redis: Redis) -> Challenge:
    """A challenge that the client took back."""
    challenge = await pending(bank, redis)
    response = await bank.http.post(f"/v1/challenges/{challenge['id']}/cancel")
    assert response.status_code == 200, response.text
    body: Challenge = response.json()
    return body


async def declined(bank: Bank, _: Redis) -> Challenge:
    """A challenge that the payer said no to in the app. Leaves the supplier as `undeliverable` does."""
    await bank.script("push", "decline")
    challenge = await bank.issue(channels=[{"channel": "push"}])
    return await bank.reached(challenge["id"], "declined")


async def undeliverable(bank: Bank, _: Redis) -> Challenge:
    """A challenge whose only channel failed. Leaves the supplier as it was scripted: see the fixture `script`."""
    await bank.script("sms", "error")
    challenge = await bank.issue()
    return await bank.reached(challenge["id"], "undeliverable")


async def refused(bank: Bank, redis: Redis) -> Challenge:
    """A challenge issued to a payer who is blocked."""
    psu = unique_psu()
    await blocked(bank, redis, psu)
    return await bank.issue(psu=psu)


SITUATIONS: dict[str, Callable[[Bank, Redis], Awaitable[Challenge]]] = {
    "pending": pending,
    "approved": approved,
    "declined": declined,
    "rejected": rejected,
    "blocked": blocked,
    "expired": expired,
    "cancelled": cancelled,
    "undeliverable": undeliverable,
    "refused": refused,
}
"""By status: every one that a one-time code can come to."""

FINAL = tuple(status for status in SITUATIONS if status != "pending")
"""Every one that nothing can change any more."""
