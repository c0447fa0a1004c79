"""Payers over HTTP: whether one is blocked, and how an operator lifts it."""

from datetime import datetime

from redis.asyncio import Redis

from tests.harness import Bank, unique_psu, wrong
from tests.service.situations import blocked


async def test_payer_starts_with_nothing_counted(bank: Bank) -> None:
    """A payer nobody has asked anything of is not blocked."""
    psu = unique_psu()
    response = await bank.http.get(f"/v1/psus/{psu['id']}")

    assert response.status_code == 200
    assert response.json() == {"id": psu["id"], "blocked": False, "blocked_until": None, "failures": 0}


async def test_failures_are_counted_until_the_payer_is_blocked(bank: Bank, redis: Redis) -> None:
    """The payer's page counts failures, and after the fifth says until when the payer is blocked."""
    psu = unique_psu()
    challenge = await bank.issue(psu=psu)
    await bank.verify(challenge["id"], wrong(await bank.code(psu["phone"])))
    counted = (await bank.http.get(f"/v1/psus/{psu['id']}")).json()
    other = unique_psu()
    challenge = await blocked(bank, redis, other)
    lockout = (await bank.http.get(f"/v1/psus/{other['id']}")).json()

    assert counted == {"id": psu["id"], "blocked": False, "blocked_until": None, "failures": 1}
    assert lockout["blocked"] is True
    assert lockout["blocked_until"] == challenge["blocked_until"]
    block = datetime.fromisoformat(lockout["blocked_until"]) - datetime.fromisoformat(challenge["settled_at"])
    assert block.total_seconds() == 900


async def test_payers_of_another_client_are_others(bank: Bank, other_bank: Bank, redis: Redis) -> None:
    """The same reference at another client is another payer: a block here is none there."""
    psu = unique_psu()
    await blocked(bank, redis, psu)
    elsewhere = (await other_bank.http.get(f"/v1/psus/{psu['id']}")).json()
    challenge = await other_bank.issue(psu=psu)

    assert elsewhere["blocked"] is False
    assert challenge["status"] == "pending"


async def test_operator_lifts_a_block(bank: Bank, operator: Bank, auditor: Bank, redis: Redis) -> None:
    """Unblocking names the client and the reason, is on record, and the payer is served again."""
    psu = unique_psu()
    await blocked(bank, redis, psu)
    response = await operator.http.post(
        f"/v1/psus/{psu['id']}/unblock", json={"reason": "identified in the branch", "client": "bank"}
    )
    challenge = await bank.issue(psu=psu)
    verified = await bank.verify(challenge["id"], await bank.code(psu["phone"], number=2))
    events = await auditor.http.get("/v1/audit/events", params={"psu": psu["id"], "type": "payer.unblocked"})

    assert response.status_code == 200
    assert response.json() == {"id": psu["id"], "blocked": False, "blocked_until": None, "failures": 0}
    assert challenge["status"] == "pending"
    assert challenge["attempts_left"] == 5
    assert verified["outcome"] == "approved"
    [event] = events.json()["data"]
    assert event["actor"] == "client:operator"
    assert event["client"] == "bank"
    assert event["reason"] == "identified in the branch"


async def test_bank_cannot_lift_its_own_block(bank: Bank, redis: Redis) -> None:
    """Unblocking needs the scope admin: a bank's key is refused and the block stays."""
    psu = unique_psu()
    await blocked(bank, redis, psu)
    response = await bank.http.post(f"/v1/psus/{psu['id']}/unblock", json={"reason": "we trust the payer"})

    assert response.status_code == 403
    assert (await bank.http.get(f"/v1/psus/{psu['id']}")).json()["blocked"] is True


async def test_unblocking_says_why_and_for_whom(operator: Bank) -> None:
    """Without a reason, or for what cannot be a client, nothing is lifted: 422 with the place."""
    pointers = []
    for body in (
        {},
        {"reason": " "},
        {"reason": "r\n"},
        {"reason": "r", "client": "a\0b"},
        {"reason": "r", "by": "me"},
    ):
        response = await operator.http.post("/v1/psus/nobody/unblock", json=body)
        assert response.status_code == 422
        pointers += [mistake["pointer"] for mistake in response.json()["errors"]]

    assert pointers == ["/reason", "/reason", "/reason", "/client", "/by"]
