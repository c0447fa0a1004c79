"""The PostgreSQL primary dies and its standby is promoted: what was answered is on record there, and once.

And what would lose it is seen: a standby that nobody waits for.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.checker import violations
from tests.faults.postgres_pair import Pair, start_deployment
from tests.faults.traffic import Traffic
from tests.harness import Deployment

pytestmark = [pytest.mark.on_demand, pytest.mark.race]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Deployment, Pair]]:
    """The service on a primary with a standby."""
    deployment, pair = start_deployment(tmp_path)
    try:
        yield deployment, pair
    finally:
        for role in deployment.roles:
            role.process.terminate()
        for role in deployment.roles:
            role.stop()
        deployment.servers.valkey.stop()
        pair.stop()


def test_the_standby_has_what_was_answered_and_the_old_primary_is_left_alone(
    running: tuple[Deployment, Pair],
) -> None:
    """Two apis under load find the promoted standby by themselves, and stay with it when the old primary is back."""
    deployment, pair = running
    with _traffic(deployment) as (one, other):
        for traffic in (one, other):
            traffic.await_answers(60)
        pair.first.process.kill()
        for traffic in (one, other):
            traffic.await_undecided(3)
        pair.promote()
        for traffic in (one, other):
            traffic.await_answers(30)
        pair.first.start()
        before = _events(pair)
        pair.second.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sca' AND pid <> pg_backend_pid()"
        )
        for traffic in (one, other):
            traffic.await_answers(30)
    assert _events(pair) == before
    assert [*one.heard.surprises, *other.heard.surprises] == []
    assert [role.name for role in deployment.roles if role.process.poll() is not None] == []
    assert asyncio.run(violations(deployment, [*one.heard.told, *other.heard.told])) == []


def test_a_standby_that_is_not_waited_for_loses_what_was_answered(running: tuple[Deployment, Pair]) -> None:
    """The checker sees it: what the guard above is worth."""
    deployment, pair = running
    pair.set_synchronous(False)
    with Traffic(deployment, seed=1) as traffic:
        traffic.await_answers(20)
        with pair.cut_off():
            traffic.await_answers(60)
            traffic.stop()
            pair.first.process.kill()
        pair.promote()
    found = asyncio.run(violations(deployment, traffic.heard.told))
    assert [one for one in found if "was told" in one]


@contextlib.contextmanager
def _traffic(deployment: Deployment) -> Iterator[tuple[Traffic, Traffic]]:
    """Payers at both apis."""
    first, second = (role for role in deployment.roles if role.name == "api")
    with (
        Traffic(deployment, seed=1, url=first.url) as one,
        Traffic(deployment, seed=2, url=second.url) as other,
    ):
        yield one, other


def _events(pair: Pair) -> int:
    """How many events the first server has."""
    return int(pair.first.ask_sca("SELECT count(*) FROM audit_events"))
