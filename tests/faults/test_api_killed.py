"""`kill -9` of the api: what it decided gets on record, and what it answered is there already (decision 5)."""

import asyncio
import random
import secrets
from collections.abc import Mapping

import httpx
import pytest

from sca_service.audit.offline.evidence import check_evidence
from sca_service.challenges.model import Status
from tests.device import asked, enrolled
from tests.faults.checker import issued_more_than_once, read, violations
from tests.faults.cuts import commits_held_back, redis_of, restart, state_of, until
from tests.faults.traffic import Traffic
from tests.harness import TRANSACTION, Bank, Deployment, unique_psu

pytestmark = pytest.mark.race


async def test_an_approval_gets_on_record_when_the_api_dies_before_its_commit(deployment: Deployment) -> None:
    """The script has approved, the commit hangs, the api dies: the worker commits, and the code stays used."""
    async with deployment.bank() as bank:
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        code = await bank.code(psu["phone"])
        async with commits_held_back(deployment, are_lost=True):
            answer = asyncio.ensure_future(bank.answer(challenge, code))
            await _until_approved_in_redis(deployment, challenge)
            deployment.api.kill()
        assert not await _was_answered(answer)
        restart(deployment, deployment.api)
        assert await violations(deployment) == []
        assert challenge in (await read(deployment)).acceptances
        assert (await bank.verify(challenge, code))["outcome"] == "already_used"
        assert (await bank.get(challenge))["status"] == "approved"


async def test_what_a_device_signed_is_kept_when_the_api_dies_before_its_commit(
    deployment: Deployment,
) -> None:
    """The script has approved, the commit hangs, the api dies: the worker commits the signature with the event."""
    async with deployment.bank() as bank:
        psu = unique_psu()
        device = await enrolled(bank, psu)
        issued = await asked(bank, psu)
        signed = device.approval(issued, issued["matching_digits"])
        async with commits_held_back(deployment, are_lost=True):
            answer = asyncio.ensure_future(device.answer(issued["id"], signed))
            await _until_approved_in_redis(deployment, issued["id"])
            deployment.api.kill()
        assert not await _was_answered(answer)
        restart(deployment, deployment.api)
        assert await violations(deployment) == []

        async def proven() -> bool:
            response = await bank.http.get(f"/v1/challenges/{issued['id']}/evidence")
            events = check_evidence(response.content, []).events if response.is_success else ()
            return [one.signed.decision for one in events if one.signed] == ["approve"]

        await until(proven, "the evidence holds what the device signed")


async def test_the_same_answer_sent_again_hears_what_the_dead_api_decided(deployment: Deployment) -> None:
    """With its Idempotency-Key the client gets the approval that it never heard of; with another key it does not."""
    async with deployment.bank() as bank:
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]
        path = f"/v1/challenges/{challenge}/verify"
        body = {"code": await bank.code(psu["phone"]), "transaction": TRANSACTION}
        key = {"Idempotency-Key": secrets.token_hex(8)}
        async with commits_held_back(deployment, are_lost=True):
            answer = asyncio.ensure_future(bank.http.post(path, json=body, headers=key))
            await _until_approved_in_redis(deployment, challenge)
            deployment.api.kill()
        assert not await _was_answered(answer)
        restart(deployment, deployment.api)
        heard = await _sent_until_decided(bank, path, body, key)
        assert heard.json()["outcome"] == "approved"
        assert heard.json()["authentication_code"]
        other = await _sent_until_decided(bank, path, body, {"Idempotency-Key": secrets.token_hex(8)})
        assert other.json()["outcome"] == "already_used"
        assert await violations(deployment) == []


async def test_an_issue_sent_again_gets_the_challenge_that_the_dead_api_issued(
    deployment: Deployment,
) -> None:
    """The script has issued, the commit hangs, the api dies: the same key gets that one challenge, sent once."""
    async with deployment.bank() as bank:
        psu = unique_psu()
        body = {"psu": psu, "purpose": "login", "channels": [{"channel": "sms"}]}
        key = {"Idempotency-Key": secrets.token_hex(8)}
        async with commits_held_back(deployment, are_lost=True):
            before = _challenges_in_redis(deployment)
            answer = asyncio.ensure_future(bank.http.post("/v1/challenges", json=body, headers=key))
            await until(lambda: _is_more(deployment, before), "the script has issued")
            deployment.api.kill()
        assert not await _was_answered(answer)
        issued = _challenges_in_redis(deployment) - before
        restart(deployment, deployment.api)
        response = await _sent_until_decided(bank, "/v1/challenges", body, key)
        assert response.json()["id"] in "".join(issued)
        assert len(issued) == 1
        code = await bank.code(psu["phone"])
        assert (await bank.verify(response.json()["id"], code, None))["outcome"] == "approved"
        assert len(await bank.messages(psu["phone"])) == 1
        assert await violations(deployment) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_when_the_api_is_killed_under_load(deployment: Deployment, seed: int) -> None:
    """Killed twice amid the answers of four payers: every answer is on record, each payer has one challenge."""
    chance = random.Random(seed)
    with Traffic(deployment, seed=seed) as traffic:
        for _ in range(2):
            traffic.await_answers(chance.randrange(20, 200))
            deployment.api.kill()
            restart(deployment, deployment.api)
        traffic.await_answers(20)
    assert traffic.heard.surprises == []
    assert traffic.heard.unanswered > 0
    assert asyncio.run(violations(deployment, traffic.heard.told)) == []
    assert issued_more_than_once(asyncio.run(read(deployment))) == []


async def _until_approved_in_redis(deployment: Deployment, challenge: str) -> None:
    async def approved() -> bool:
        return state_of(deployment, challenge).status is Status.APPROVED

    await until(approved, "the script has approved")


async def _was_answered(answer: "asyncio.Future[httpx.Response]") -> bool:
    """Whether the client was told anything but that the service cannot decide."""
    (response,) = await asyncio.gather(answer, return_exceptions=True)
    return isinstance(response, httpx.Response) and response.status_code != 503


async def _sent_until_decided(
    bank: Bank, path: str, body: Mapping[str, object], headers: dict[str, str]
) -> httpx.Response:
    """Send a request again until it is neither in flight (409) nor being put on record (503)."""
    heard: list[httpx.Response] = []

    async def decided() -> bool:
        heard.append(await bank.http.post(path, json=body, headers=headers))
        assert heard[-1].status_code in (200, 201, 409, 503), heard[-1].text
        return heard[-1].is_success

    await until(decided, "the request is decided")
    return heard[-1]


def _challenges_in_redis(deployment: Deployment) -> set[str]:
    with redis_of(deployment) as redis:
        return {key.decode() for key in redis.scan_iter("*:challenge:*", count=1000)}


async def _is_more(deployment: Deployment, before: set[str]) -> bool:
    return bool(_challenges_in_redis(deployment) - before)
