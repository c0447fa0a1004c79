"""`kill -9` of Valkey and of PostgreSQL under load: nothing is approved meanwhile, and all roles find them again."""

import asyncio
import random

import pytest

from tests.faults.checker import issued_more_than_once, read, violations
from tests.faults.traffic import Traffic
from tests.harness import Deployment

pytestmark = [pytest.mark.long, pytest.mark.race]


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("store", ["valkey", "postgres"])
def test_a_killed_store_loses_nothing_that_was_answered(
    deployment: Deployment, store: str, seed: int
) -> None:
    """Killed and started again amid the answers of four payers, without a restart of any role."""
    chance = random.Random(seed)
    server = deployment.servers.valkey if store == "valkey" else deployment.servers.postgres
    with Traffic(deployment, seed=seed) as traffic:
        for _ in range(2):
            traffic.await_answers(chance.randrange(20, 200))
            server.kill()
            traffic.await_undecided(5)
            server.start(deployment.folder / store)
        traffic.await_answers(50)
    assert traffic.heard.surprises == []
    assert [role.name for role in deployment.roles if role.process.poll() is not None] == []
    told = traffic.heard.told
    assert asyncio.run(violations(deployment, told, lost_tail=store == "valkey")) == []
    assert issued_more_than_once(asyncio.run(read(deployment))) == []
