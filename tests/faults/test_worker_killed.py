"""`kill -9` of the worker: a delivery is taken up again under the same reference, and the log says so."""

import asyncio
import random
import sqlite3
from contextlib import closing
from typing import Any

import msgspec
import pytest

from sca_service.challenges.model import partition_of
from sca_service.sandbox.mailbox import MAILBOX_FILE, Mailbox
from tests.faults.checker import events_of, read, violations, violations_in
from tests.faults.cuts import (
    challenge_key,
    commits_held_back,
    due_key,
    end_lease,
    redis_of,
    restart,
    scripts_held_back,
    state_of,
    until,
)
from tests.faults.traffic import Traffic
from tests.harness import Bank, Deployment, Role, code_in, unique_psu
from tests.ports import free_port

pytestmark = pytest.mark.race


@pytest.fixture
def worker(deployment: Deployment) -> Role:
    """The worker, started again if a test that failed has left none."""
    worker = next(role for role in deployment.roles if role.name == "worker")
    return worker if worker.process.poll() is None else restart(deployment, worker)


async def test_killed_between_claim_and_send(deployment: Deployment) -> None:
    """The attempt is decided but not on record when the worker dies: the message is sent once, by the next one."""
    worker = _kill_worker(deployment)
    async with deployment.bank() as bank:
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        async with commits_held_back(deployment, are_lost=True):
            worker = restart(deployment, worker)
            await _until_tried(deployment, challenge)
            worker.kill()
        assert await bank.messages(psu["phone"]) == []
        restart(deployment, worker)
        end_lease(deployment, challenge)
        messages = await _messages_when_delivered(bank, challenge, psu["phone"])
        assert len(messages) == 1
        assert await _tries(deployment, challenge, 2) == [1, 2]
        assert (await bank.verify(challenge, code_in(messages[0]["text"])))["outcome"] == "approved"
    assert await violations(deployment) == []


@pytest.mark.long
async def test_an_attempt_that_cannot_be_put_on_record_spends_no_try(deployment: Deployment) -> None:
    """However long the log is away: nothing is sent meanwhile, and afterwards it is sent at once, and once."""
    worker = _kill_worker(deployment)
    async with deployment.bank() as bank:
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        async with commits_held_back(deployment):
            restart(deployment, worker)
            await until(
                lambda: _was_postponed(deployment, challenge, times=4), "four attempts were given back"
            )
            assert await bank.messages(psu["phone"]) == []
        messages = await _messages_when_delivered(bank, challenge, psu["phone"])
        assert len(messages) == 1
        assert state_of(deployment, challenge).deliveries[0].tries == 1
    assert await violations(deployment) == []


async def test_killed_while_sending(deployment: Deployment, worker: Role) -> None:
    """The supplier has not taken the message yet when the worker dies: it is sent once, by the next worker."""
    async with deployment.bank() as bank:
        await bank.script("sms", "slow", delay_ms=60_000, next=1)
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        await until(lambda: _is_sending(deployment), "the supplier keeps the worker waiting")
        worker.kill()
        restart(deployment, worker)
        end_lease(deployment, challenge)
        messages = await _messages_when_delivered(bank, challenge, psu["phone"])
        assert len(messages) == 1
        assert await _tries(deployment, challenge, 2) == [1, 2]


async def test_killed_after_the_supplier_took_the_message(deployment: Deployment) -> None:
    """Nobody put down that the message was sent: one duplicate under the same reference, marked as the second try."""
    worker = _kill_worker(deployment)
    async with deployment.bank() as bank:
        await bank.script("sms", "slow", delay_ms=1_000, next=1)
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        deployment.forget(worker)
        unheard = deployment.start("worker", port=free_port())  # its receipts reach nobody
        await until(lambda: _is_sending(deployment), "the supplier has the message in hand")
        with scripts_held_back(deployment):  # what became of the message cannot be put down
            await until(lambda: _has_arrived(deployment, psu["phone"]), "the supplier took the message")
            unheard.kill()
        deployment.forget(unheard)
        deployment.roles.append(worker)
        restart(deployment, worker)
        end_lease(deployment, challenge)
        messages = await _messages_when_delivered(bank, challenge, psu["phone"])
        assert [one["delivery"] for one in messages] == [messages[0]["delivery"]] * 2
        assert len({one["text"] for one in messages}) == 1
        assert await _tries(deployment, challenge, 2) == [1, 2]
    assert await violations(deployment) == []


async def test_a_supplier_that_never_answers_does_not_hold_the_challenge(
    deployment: Deployment, worker: Role
) -> None:
    """The worker dies while one channel's supplier keeps it waiting: the ladder goes on to the next channel by time."""
    async with deployment.bank() as bank:
        await bank.script("sms", "timeout", delay_ms=60_000, next=1)
        psu = unique_psu()
        ladder = [{"channel": "sms", "timeout_s": 2}, {"channel": "voice"}]
        challenge = (await bank.issue(psu=psu, channels=ladder))["id"]
        await until(lambda: _is_sending(deployment), "the supplier keeps the worker waiting")
        worker.kill()
        restart(deployment, worker)
        body = await bank.settled(challenge, status="answered")
        assert [one["channel"] for one in body["deliveries"]] == ["sms", "voice"]
        (message,) = await bank.messages(psu["phone"])
        assert message["channel"] == "voice"
        assert (await bank.verify(challenge, code_in(message["text"])))["outcome"] == "approved"


async def test_what_expires_while_no_worker_runs_is_expired_by_the_next_one(
    deployment: Deployment, worker: Role
) -> None:
    """A challenge whose time ended without a worker does not stay pending: it is expired, on record."""
    async with deployment.bank() as bank:
        challenge = (await bank.issue())["id"]
        await bank.settled(challenge)
        worker.kill()
        state = state_of(deployment, challenge)
        state.expires_at -= 400_000
        with redis_of(deployment) as redis:  # its time moves, as if six minutes had gone by
            redis.set(challenge_key(challenge), msgspec.msgpack.encode(state))
            redis.zadd(due_key(challenge), {challenge: state.expires_at})
        assert any("its time is over" in one for one in violations_in(await read(deployment)))
        restart(deployment, worker)
        await until(
            lambda: _is_in_log(deployment, challenge, "challenge.expired"), "it is expired, on record"
        )
        assert (await bank.get(challenge))["status"] == "expired"


async def test_a_key_that_is_not_what_it_should_be_does_not_end_the_worker(
    deployment: Deployment, worker: Role
) -> None:
    """Timers and an outbox of the wrong kind: the worker logs it, and the other payers get their messages meanwhile."""
    log = deployment.folder / f"worker-{worker.port}.log"
    keys = ("{p62}:due", "{p63}:outbox")
    with redis_of(deployment) as redis:
        for key in keys:
            redis.rename(key, f"{key}:aside") if redis.exists(key) else None
            redis.set(key, "neither")

        async def logged() -> bool:
            return all(event in log.read_text() for event in ('"dispatch.stumbled"', '"drain.stumbled"'))

        await until(logged, "the worker has met both")
        async with deployment.bank() as bank:
            await bank.settled((await bank.issue(psu=_payer_elsewhere(deployment, {62, 63})))["id"])
        for key in keys:
            redis.delete(key)
            redis.rename(f"{key}:aside", key) if redis.exists(f"{key}:aside") else None
    async with deployment.bank() as bank:
        await bank.settled((await bank.issue())["id"])
    assert worker.process.poll() is None


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_no_challenge_is_stuck_when_the_worker_is_killed_under_load(
    deployment: Deployment, worker: Role, seed: int
) -> None:
    """Killed twice amid the deliveries of four payers: each is settled or has a timer, and no message is unmarked."""
    chance = random.Random(seed)
    with Traffic(deployment, seed=seed) as traffic:
        for _ in range(2):
            traffic.await_answers(chance.randrange(20, 200))
            restart(deployment, _kill_worker(deployment))
        traffic.await_answers(20)
    assert traffic.heard.surprises == []
    assert asyncio.run(violations(deployment, traffic.heard.told)) == []


def _kill_worker(deployment: Deployment) -> Role:
    worker = next(role for role in deployment.roles if role.name == "worker")
    worker.kill()
    return worker


def _payer_elsewhere(deployment: Deployment, partitions: set[int]) -> dict[str, str]:
    """A payer whose partition is none of these."""
    while True:
        psu = unique_psu()
        if partition_of(deployment.keyring.pseudonym("payer", "bank", psu["id"])) not in partitions:
            return psu


async def _until_tried(deployment: Deployment, challenge: str) -> None:
    async def tried() -> bool:
        return state_of(deployment, challenge).deliveries[-1].tries == 1

    await until(tried, "a worker has taken the delivery up")


async def _was_postponed(deployment: Deployment, challenge: str, *, times: int) -> bool:
    with redis_of(deployment) as redis:
        entries = redis.xrange(f"{{p{int(challenge[4:6], 16):02d}}}:outbox")
    told = [entry[b"event"] for _, entry in entries if challenge.encode() in entry[b"event"]]
    return sum(b'"type":"delivery.postponed"' in event for event in told) >= times


async def _is_sending(deployment: Deployment) -> bool:
    """Whether the supplier of text messages has begun to do what it was scripted to do once."""
    with closing(sqlite3.connect(deployment.folder / MAILBOX_FILE)) as mailbox:
        found = mailbox.execute("SELECT remaining FROM scripts WHERE supplier = 'sandbox-sms'").fetchone()
    return bool(found == (0,))


async def _is_in_log(deployment: Deployment, challenge: str, kind: str) -> bool:
    return any(event["type"] == kind for event in await events_of(deployment, challenge))


async def _has_arrived(deployment: Deployment, phone: str) -> bool:
    mailbox = Mailbox(deployment.folder / MAILBOX_FILE)
    try:
        return bool(mailbox.messages(to=phone))
    finally:
        mailbox.close()


async def _messages_when_delivered(bank: Bank, challenge: str, phone: str) -> list[dict[str, Any]]:
    await bank.settled(challenge)
    return await bank.messages(phone)


async def _tries(deployment: Deployment, challenge: str, count: int) -> list[int]:
    """The tries of a challenge's delivery in the log, once so many are there."""
    tries: list[int] = []

    async def there() -> bool:
        events = await events_of(deployment, challenge)
        tries[:] = sorted(event["try"] for event in events if event["type"] == "delivery.attempted")
        return len(tries) >= count

    await until(there, f"the log has {count} tries")
    return tries
