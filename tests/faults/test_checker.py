"""The checker notices what the faults could do: the api with one step taken out is shown to fail."""

import asyncio
from collections.abc import Iterator

import pytest

from sca_service.challenges.model import Status
from tests.faults.checker import read, violations
from tests.faults.cuts import Tail, commits_held_back, restart, start_broken, state_of, until
from tests.faults.traffic import Told
from tests.harness import PATIENCE_SECONDS, Bank, Deployment, Role, unique_psu


@pytest.fixture
def api(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Role]:
    """An api with the step that the test names taken out; the right one when it names none."""
    right = deployment.api
    fault: str = request.param
    if fault == "none":
        yield right
    else:
        right.kill()
        broken = start_broken(deployment, fault)
        deployment.forget(right)
        yield broken
        broken.kill()
        deployment.forget(broken)
        deployment.roles.append(right)
    restart(deployment, right)


@pytest.mark.parametrize("api", ["hasty", "none"], indirect=True)
async def test_answering_before_the_commit_is_noticed(
    deployment: Deployment, api: Role, request: pytest.FixtureRequest
) -> None:
    """Api and Redis's tail are lost during a commit: whoever was told before it was told what nobody knows any more."""
    is_broken = "hasty" in request.node.name
    async with deployment.bank(url=api.url) as bank:
        challenge, code = await _delivered(bank)
        tail = Tail(deployment)
        async with commits_held_back(deployment, are_lost=True):
            answer = asyncio.ensure_future(bank.answer(challenge, code))
            await _until_approved_in_redis(deployment, challenge)
            await asyncio.wait({answer}, timeout=PATIENCE_SECONDS if is_broken else 0.3)
            was_told = answer.done() and answer.result().json().get("outcome") == "approved"
            api.kill()
            await asyncio.gather(answer, return_exceptions=True)
            tail.lose()
    assert was_told is is_broken
    told = [Told(None, challenge, "approved")] if was_told else []
    found = await violations(deployment, told, lost_tail=True)
    assert any("was told `approved` and the log does not say so" in one for one in found) is is_broken
    assert found == [] or is_broken


@pytest.mark.parametrize("api", ["forgetful"], indirect=True)
async def test_forgetting_the_outbox_before_the_commit_is_noticed(deployment: Deployment, api: Role) -> None:
    """The api dies between the two: the challenge is approved, and nothing is left that could say so in the log."""
    async with deployment.bank(url=api.url) as bank:
        challenge, code = await _delivered(bank)
        async with commits_held_back(deployment, are_lost=True):
            answer = asyncio.ensure_future(bank.answer(challenge, code))
            await _until_approved_in_redis(deployment, challenge)
            await until(lambda: _is_outbox_empty(deployment), "the outbox is forgotten")
            api.kill()
            await asyncio.gather(answer, return_exceptions=True)
    found = await violations(deployment)
    assert f"{challenge}: approved, and the log does not say why" in found


async def _delivered(bank: Bank) -> tuple[str, str]:
    psu = unique_psu()
    challenge = (await bank.issue(psu=psu))["id"]
    await bank.settled(challenge)
    return challenge, await bank.code(psu["phone"])


async def _until_approved_in_redis(deployment: Deployment, challenge: str) -> None:
    async def approved() -> bool:
        return state_of(deployment, challenge).status is Status.APPROVED

    await until(approved, "the script has approved")


async def _is_outbox_empty(deployment: Deployment) -> bool:
    return (await read(deployment)).outbox == 0
