"""A primary of Redis dies amid traffic and another takes over: nothing is approved wrongly, no attempt comes back.

Over HTTP, with PostgreSQL beside it, and without a restart of any role. What the others know of it: on single scripts
`tests/stores/test_failover.py` and `test_cluster.py`, on the record's side `test_redis_tail.py`.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from tests.faults.checker import violations
from tests.faults.redis_servers import Cluster, Pair, start_roles
from tests.faults.traffic import Told, Traffic, code_of
from tests.harness import PATIENCE_SECONDS, TRANSACTION, Deployment, order, wrong

pytestmark = [pytest.mark.on_demand, pytest.mark.race]

_ATTEMPTS = 5  # RTS Art. 4(3)(b)
Record = Callable[[str, object], None]


class Patient:
    """A payer with one challenge, which is answered before and after. A class because it keeps what it was told."""

    def __init__(self, deployment: Deployment, http: httpx.Client) -> None:
        self.told: list[Told] = []
        self._http = http
        issued = self._post("/v1/challenges", order())
        self._challenge: str = issued["id"]
        self._right = code_of(deployment.keyring, issued)
        self.told.append(Told(None, self._challenge, "issued"))

    @property
    def said(self) -> Counter[str]:
        """How often it was told what."""
        return Counter(one.said for one in self.told)

    def answer(self, *, right: bool) -> str:
        """What an answer comes to; sent again while nobody can decide."""
        body = {"code": self._right if right else wrong(self._right), "transaction": TRANSACTION}
        said = str(self._post(f"/v1/challenges/{self._challenge}/verify", body)["outcome"])
        self.told.append(Told(None, self._challenge, said))
        return said

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (response := self._http.post(path, json=body)).status_code == 503:
            assert time.monotonic() < deadline, response.text
            time.sleep(0.05)
        assert response.is_success, response.text
        told: dict[str, str] = response.json()
        return told


def test_what_was_told_is_known_to_the_replica_that_takes_over(
    tmp_path: Path, record_property: Record
) -> None:
    """Where a replica is waited for: attempts, approvals and what is pending are as payers were told."""
    valkeys = Pair(tmp_path / "valkeys", are_waited_for=True)
    with _running(tmp_path, valkeys, settings=("redis.replicas = 1",)) as deployment:
        with _patients(deployment, 6) as patients, _traffic(deployment) as traffic:
            approved, tired, fresh = patients[:2], patients[2:4], patients[4:]
            assert [one.answer(right=True) for one in approved] == ["approved"] * 2
            assert [one.answer(right=False) for one in tired * 3] == ["incorrect"] * 6
            _fail_over(deployment, valkeys, traffic, record_property)
            assert [one.answer(right=True) for one in approved] == ["already_used"] * 2
            assert [one.answer(right=False) for one in tired * 2] == ["incorrect"] * 4
            assert [one.answer(right=True) for one in tired] == ["blocked"] * 2
            assert [one.answer(right=True) for one in fresh] == ["approved"] * 2
        _assert_sound(deployment, traffic, patients)


def test_what_the_replica_may_lack_is_void(tmp_path: Path, record_property: Record) -> None:
    """Where nobody waits for it, and it lacks the last moments: no attempt comes back, nothing is approved again."""
    valkeys = Pair(tmp_path / "valkeys")
    with _running(tmp_path, valkeys) as deployment:
        with _patients(deployment, 6) as patients, _traffic(deployment) as traffic:
            approved, tired, fresh = patients[:2], patients[2:4], patients[4:]
            _lose_what_is_told(valkeys, traffic, approved, tired)
            _fail_over(deployment, valkeys, traffic, record_property)
            assert {one.answer(right=True) for one in approved} <= {"already_used", "expired"}
            assert [one.answer(right=False) for one in tired] == ["expired"] * 2
            assert [one.answer(right=True) for one in (*tired, *fresh)] == ["expired"] * 4
        _assert_sound(deployment, traffic, patients, lost_tail=True)


def test_an_api_that_trusts_whoever_takes_over_gives_attempts_back(
    tmp_path: Path, record_property: Record
) -> None:
    """The negative control: who answered wrongly four times, which is lost, may do so again."""
    valkeys = Pair(tmp_path / "valkeys")
    with (
        _running(tmp_path, valkeys, broken="trusting") as deployment,
        _patients(deployment, 4, api=1) as patients,
        _traffic(deployment) as traffic,
    ):
        approved, tired = patients[:2], patients[2:]
        _lose_what_is_told(valkeys, traffic, approved, tired)
        _fail_over(deployment, valkeys, traffic, record_property)
        assert [one.answer(right=True) for one in approved] == ["already_used"] * 2
        assert [one.answer(right=False) for one in tired * 3] == ["incorrect"] * 6
        assert all(one.said["incorrect"] > _ATTEMPTS for one in tired)


def test_a_cluster_puts_another_in_place_amid_traffic(tmp_path: Path, record_property: Record) -> None:
    """Of the nodes' own accord: nobody has more than five attempts, nobody is approved after them."""
    valkeys = Cluster()
    valkeys.start(tmp_path / "valkeys")
    with _running(tmp_path, valkeys) as deployment:
        with _patients(deployment, 12) as patients, _traffic(deployment) as traffic:
            assert [one.answer(right=False) for one in patients * 2] == ["incorrect"] * 24
            _fail_over(deployment, valkeys, traffic, record_property)
            for one in patients:
                while one.answer(right=False) == "incorrect":
                    assert one.said["incorrect"] <= _ATTEMPTS
                assert one.answer(right=True) in ("blocked", "expired")
        _assert_sound(deployment, traffic, patients, lost_tail=True)


@contextlib.contextmanager
def _running(
    folder: Path, valkeys: Pair | Cluster, *, settings: Sequence[str] = (), broken: str = ""
) -> Iterator[Deployment]:
    """The service on these Valkeys, until the block ends."""
    deployment = start_roles(folder, valkeys, settings=settings, broken=broken)
    try:
        yield deployment
    finally:
        deployment.stop()


@contextlib.contextmanager
def _patients(deployment: Deployment, count: int, *, api: int = 0) -> Iterator[list[Patient]]:
    """So many, at the first api or the second."""
    role = [role for role in deployment.roles if role.name == "api"][api]
    headers = {"Authorization": f"Bearer {deployment.keys['bank']}"}
    with httpx.Client(base_url=role.url, headers=headers, timeout=5, trust_env=False) as http:
        yield [Patient(deployment, http) for _ in range(count)]


@contextlib.contextmanager
def _traffic(deployment: Deployment) -> Iterator[Sequence[Traffic]]:
    """Payers at both apis."""
    first, second = (role for role in deployment.roles if role.name == "api")
    with (
        Traffic(deployment, seed=1, url=first.url) as one,
        Traffic(deployment, seed=2, url=second.url) as other,
    ):
        yield one, other


def _lose_what_is_told(
    valkeys: Pair, traffic: Sequence[Traffic], approved: Sequence[Patient], tired: Sequence[Patient]
) -> None:
    """The replica hears nothing more; amid traffic some are approved, others keep only one attempt."""
    valkeys.cut()
    assert [one.answer(right=True) for one in approved] == ["approved"] * len(approved)
    wrongly = [one.answer(right=False) for one in (*tired,) * (_ATTEMPTS - 1)]
    assert wrongly == ["incorrect"] * len(wrongly)
    for one in traffic:
        one.await_answers(40)


def _fail_over(
    deployment: Deployment, valkeys: Pair | Cluster, traffic: Sequence[Traffic], record: Record
) -> None:
    """The primary dies; both apis notice; another takes over; both apis answer again, new payers and those who waited.

    How long new ones waited is noted, not judged: the machine has a say in it.
    """
    for one in traffic:
        one.await_answers(40)
    valkeys.fail()
    for one in traffic:
        one.await_undecided(3)
    valkeys.recover()
    began = time.monotonic()
    for api in (0, 1):
        with _patients(deployment, 1, api=api) as (newcomer,):
            assert newcomer.answer(right=True) == "approved"
        record(f"seconds until api {api + 1} approved somebody new", round(time.monotonic() - began, 2))
    for one in traffic:
        one.await_answers(40)


def _assert_sound(
    deployment: Deployment,
    traffic: Sequence[Traffic],
    patients: Sequence[Patient],
    *,
    lost_tail: bool = False,
) -> None:
    """Nothing was answered that nobody may get, no role ended, and both stores and the log hold together."""
    assert [surprise for one in traffic for surprise in one.heard.surprises] == []
    assert [role.name for role in deployment.roles if role.process.poll() is not None] == []
    told = [
        *(one for source in traffic for one in source.heard.told),
        *(one for each in patients for one in each.told),
    ]
    assert asyncio.run(violations(deployment, told, lost_tail=lost_tail)) == []
