"""Old and new beside each other: what the release before has begun, this one finishes, and the other way round.

`SCA_PREVIOUS=<commit>` names another commit than the newest tag.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import asyncpg
import pytest

from sca_service.migrations import migrate
from tests.faults.checker import violations
from tests.faults.cuts import await_started
from tests.faults.traffic import code_of
from tests.harness import TRANSACTION, Bank, Deployment, Role, await_ready, order, unique_psu, wrong
from tests.ports import free_port
from tests.previous import Previous, previous_commit, take_out

pytestmark = pytest.mark.race


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Previous:
    """The release before this one; the tests are skipped where there is none."""
    commit = previous_commit()
    if commit is None:
        pytest.skip("no release is tagged; SCA_PREVIOUS names a commit")
    found = take_out(commit, tmp_path_factory.mktemp("previous"))
    if found is None:
        pytest.skip(f"{commit} is not in this repository: a shallow clone")
    return found


@pytest.fixture(scope="module")
def old(previous: Previous, deployment: Deployment) -> Iterator[Role]:
    """An api and a worker of the release before this one, over the stores that this one has migrated."""
    api = previous.start(deployment, "api", free_port())
    await_ready(api)
    await_started(deployment, previous.start(deployment, "worker", api.port))
    yield api


@pytest.mark.parametrize("issued_by", ["old", "new"])
async def test_a_challenge_is_issued_by_one_and_answered_at_the_other(
    previous: Previous, deployment: Deployment, old: Role, issued_by: str
) -> None:
    """Its wrong answers count at both, the right one is taken once, and both read the same of it."""
    urls = (old.url, deployment.api.url) if issued_by == "old" else (deployment.api.url, old.url)
    async with deployment.bank(url=urls[0]) as here, deployment.bank(url=urls[1]) as there:
        issued = await here.issue()
        code, challenge = code_of(deployment.keyring, issued), issued["id"]
        assert (await there.verify(challenge, wrong(code)))["attempts_left"] == 4
        assert (await here.verify(challenge, wrong(code)))["attempts_left"] == 3
        told = await asyncio.gather(*(bank.verify(challenge, code) for bank in (here, there, here, there)))
        assert sorted(one["outcome"] for one in told) == ["already_used"] * 3 + ["approved"]
        assert (await here.get(challenge))["status"] == (await there.get(challenge))["status"] == "approved"
    assert await violations(deployment) == []


async def test_an_idempotency_key_holds_across_an_upgrade(
    previous: Previous, deployment: Deployment, old: Role
) -> None:
    """The same request under the same key at the new one gets what the old one has answered."""
    body, headers = order(), {"Idempotency-Key": f"key-{secrets.token_hex(8)}"}
    async with deployment.bank(url=old.url) as before, deployment.bank() as after:
        first = await before.http.post("/v1/challenges", json=body, headers=headers)
        again = await after.http.post("/v1/challenges", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]


async def test_what_is_sent_arrives_whoever_sends_it(
    previous: Previous, deployment: Deployment, old: Role
) -> None:
    """Workers of both releases take up what apis of both have queued; each message comes once, with its code."""
    async with deployment.bank(url=old.url) as before, deployment.bank() as after:
        for bank in (before, after) * 4:
            psu = unique_psu()
            challenge = (await bank.issue(psu=psu))["id"]
            other = after if bank is before else before
            assert (await other.verify(challenge, await bank.code(psu["phone"])))["outcome"] == "approved"
            assert len(await bank.messages(psu["phone"])) == 1
        await _cancelled_at_the_other(before, after)
        await _cancelled_at_the_other(after, before)
    assert await violations(deployment) == []


@dataclass(frozen=True, slots=True)
class Column:
    """What a column may hold, and whether it must be given."""

    kind: str
    is_nullable: bool
    has_default: bool


Columns = Mapping[tuple[str, str], Column]
"""The columns of a schema by table and name."""


def taken_away(before: Columns, after: Columns) -> list[str]:
    """What a role of the release before cannot do any more, in words: read a column, or add a row without a new one."""
    tables = {table for table, _ in before}
    wrong = []
    for (table, name), column in before.items():
        now = after.get((table, name))
        if now is None:
            wrong.append(f"{table}.{name} is gone")
        elif now.kind != column.kind:
            wrong.append(f"{table}.{name} is {now.kind}, and was {column.kind}")
        elif column.is_nullable and not now.is_nullable:
            wrong.append(f"{table}.{name} must be given now")
    for (table, name), column in after.items():
        if (
            (table, name) not in before
            and table in tables
            and not column.is_nullable
            and not column.has_default
        ):
            wrong.append(f"{table}.{name} is new, and must be given")
    return wrong


def test_what_a_migration_must_not_do_is_noticed() -> None:
    """A column that goes, changes or becomes a duty; a new one that must be given. A new table may be anything."""
    text = Column("text", is_nullable=True, has_default=False)
    duty = Column("text", is_nullable=False, has_default=False)
    before = {("a", "one"): text, ("a", "two"): text}
    assert taken_away(before, before | {("b", "x"): duty, ("a", "three"): text}) == []
    assert taken_away(before, {("a", "one"): text}) == ["a.two is gone"]
    assert taken_away(before, before | {("a", "two"): duty}) == ["a.two must be given now"]
    assert taken_away(before, before | {("a", "three"): duty}) == ["a.three is new, and must be given"]
    number = Column("bigint", is_nullable=True, has_default=False)
    assert taken_away(before, before | {("a", "one"): number}) == ["a.one is bigint, and was text"]


async def test_migrations_since_the_release_only_add(previous: Previous, deployment: Deployment) -> None:
    """The release before runs on this one's schema until its last role is replaced: expand now, contract later."""
    name = f"own_{secrets.token_hex(6)}"
    server = deployment.servers.postgres.url
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE SCHEMA {name}")
        url = f"{server}&search_path={name}"
        await asyncio.to_thread(previous.migrate, url)
        before = await _columns(connection, name)
        await asyncio.to_thread(migrate, url)
        assert before
        assert taken_away(before, await _columns(connection, name)) == []
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        await connection.close()


async def _columns(connection: asyncpg.Connection, schema: str) -> dict[tuple[str, str], Column]:
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity"
        " FROM information_schema.columns WHERE table_schema = $1 AND table_name <> 'alembic_version'",
        schema,
    )
    return {
        (row["table_name"], row["column_name"]): Column(
            row["data_type"],
            is_nullable=row["is_nullable"] == "YES",
            has_default=row["column_default"] is not None or row["is_identity"] == "YES",
        )
        for row in rows
    }


async def _cancelled_at_the_other(here: Bank, there: Bank) -> None:
    challenge = (await here.issue())["id"]
    response = await there.http.post(f"/v1/challenges/{challenge}/cancel", json={})
    assert response.json()["status"] == "cancelled", response.text
    answered = await here.http.post(
        f"/v1/challenges/{challenge}/verify", json={"code": "123456", "transaction": TRANSACTION}
    )
    assert answered.json()["outcome"] == "cancelled"
