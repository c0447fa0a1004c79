"""Redis loses its tail, as in a failover: what was accepted stays accepted, once (architecture, decision 6)."""

import secrets
from typing import Any

import pytest

from tests.faults.checker import events_of, read, violations
from tests.faults.cuts import Tail, challenge_key, redis_of, until
from tests.harness import TRANSACTION, Bank, Deployment, unique_psu

pytestmark = pytest.mark.race


async def test_a_revived_code_is_already_used(deployment: Deployment) -> None:
    """Redis forgets the approval: the right code, sent again, is `already_used`, and the log says it was revived."""
    async with deployment.bank() as bank:
        challenge, code = await _delivered(bank)
        tail = Tail(deployment)
        assert (await bank.verify(challenge, code))["outcome"] == "approved"
        tail.lose()
        assert await _is_pending_again(deployment, challenge)
        answer = await _decided(bank, challenge, code, {})
        assert answer["outcome"] == "already_used"
        assert answer["authentication_code"] is None
    (revived,) = [event for event in await events_of(deployment, challenge) if event.get("revived")]
    assert revived["outcome"] == "already_used"


async def test_a_revived_code_is_not_approved_by_sending_the_same_answer_again(
    deployment: Deployment,
) -> None:
    """An answer under a key of its own, refused as revived, stays refused when it is repeated under that key."""
    async with deployment.bank() as bank:
        challenge, code = await _delivered(bank)
        tail = Tail(deployment)
        first, second = ({"Idempotency-Key": secrets.token_hex(8)} for _ in range(2))
        assert (await _decided(bank, challenge, code, first))["outcome"] == "approved"
        tail.lose()
        for _ in range(2):
            answer = await _decided(bank, challenge, code, second)
            assert (answer["outcome"], answer["authentication_code"]) == ("already_used", None)


async def test_an_approval_after_a_lost_tail_outlives_redis(deployment: Deployment) -> None:
    """PostgreSQL holds a newer pending state than Redis: the approval replaces it, and is read when Redis forgets."""
    async with deployment.bank() as bank:
        ladder = [{"channel": "sms"}, {"channel": "voice"}]
        challenge, code = await _delivered(bank, channels=ladder)
        tail = Tail(deployment)
        response = await bank.http.post(f"/v1/challenges/{challenge}/next", json={"reason": "user_request"})
        assert response.status_code == 200, response.text
        tail.lose()
        assert (await _decided(bank, challenge, code, {}))["outcome"] == "approved"
        with redis_of(deployment) as redis:
            redis.delete(challenge_key(challenge))  # as when the hour that Redis keeps it is over
        assert (await bank.get(challenge))["status"] == "approved"
        assert (await bank.verify(challenge, code))["outcome"] == "already_used"
    assert await violations(deployment, lost_tail=True) == []


async def _delivered(bank: Bank, **members: Any) -> tuple[str, str]:
    """A challenge whose message has arrived, receipt and all, and its code."""
    psu = unique_psu()
    challenge = (await bank.issue(psu=psu, **members))["id"]
    await bank.settled(challenge)
    return challenge, await bank.code(psu["phone"])


async def _decided(bank: Bank, challenge: str, code: str, headers: dict[str, str]) -> dict[str, Any]:
    """The first answer that is none of the 503s while the roles find Redis again."""
    heard: list[dict[str, Any]] = []
    body = {"code": code, "transaction": TRANSACTION}

    async def decided() -> bool:
        response = await bank.http.post(f"/v1/challenges/{challenge}/verify", json=body, headers=headers)
        assert response.status_code in (200, 503), response.text
        heard.append(response.json())
        return response.status_code == 200

    await until(decided, "the answer is decided")
    return heard[-1]


async def _is_pending_again(deployment: Deployment, challenge: str) -> bool:
    return (await read(deployment)).hot[challenge].status == "pending"
