"""SIGTERM, as an orchestrator sends it: what is under way is finished, and the process ends with status 0."""

import asyncio
import signal

import pytest

from sca_service.challenges.model import Status
from sca_service.dev import STOP_SECONDS
from tests.faults.checker import violations
from tests.faults.cuts import commits_held_back, restart, state_of, until
from tests.faults.traffic import Told
from tests.harness import Deployment, unique_psu

pytestmark = pytest.mark.race


async def test_a_stopped_api_answers_what_it_has_begun(deployment: Deployment) -> None:
    """Ten approvals wait for their commit when SIGTERM comes: all are told, all are on record, none is lost."""
    api = deployment.api
    async with deployment.bank() as bank:
        psus = [unique_psu() for _ in range(10)]
        challenges = [(await bank.issue(psu=psu))["id"] for psu in psus]
        codes = [await bank.code(psu["phone"]) for psu in psus]
        async with commits_held_back(deployment):
            answers = [
                asyncio.ensure_future(bank.verify(challenge, code))
                for challenge, code in zip(challenges, codes, strict=True)
            ]

            async def approved() -> bool:
                return all(
                    state_of(deployment, challenge).status is Status.APPROVED for challenge in challenges
                )

            await until(approved, "the scripts have approved")
            api.process.send_signal(signal.SIGTERM)
        told = [(await answer)["outcome"] for answer in answers]
    assert told == ["approved"] * 10
    assert await asyncio.to_thread(api.process.wait, STOP_SECONDS) == 0
    restart(deployment, api)
    assert await violations(deployment, [Told(None, one, "approved") for one in challenges]) == []


async def test_a_stopped_worker_finishes_what_it_sends(deployment: Deployment) -> None:
    """The supplier is slow when SIGTERM comes: the message is sent once, put down as sent, and then the worker ends."""
    worker = next(role for role in deployment.roles if role.name == "worker")
    async with deployment.bank() as bank:
        await bank.script("sms", "slow", delay_ms=1_000, next=1)
        psu = unique_psu()
        challenge = (await bank.issue(psu=psu))["id"]

        async def tried() -> bool:
            return state_of(deployment, challenge).deliveries[-1].tries == 1

        await until(tried, "the worker sends")
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, STOP_SECONDS) == 0
        assert (await bank.get(challenge))["deliveries"][0]["status"] in ("sent", "delivered")
        assert len(await bank.messages(psu["phone"])) == 1
    restart(deployment, worker)
    assert await violations(deployment) == []


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_log_role_ends_with_status_0(deployment: Deployment, by: signal.Signals) -> None:
    """The leader lets go of the log, and the next one numbers on; by Ctrl-C too."""
    log = next(role for role in deployment.roles if role.name == "log")
    log.process.send_signal(by)
    assert log.process.wait(STOP_SECONDS) == 0
    restart(deployment, log)
    assert asyncio.run(violations(deployment)) == []
