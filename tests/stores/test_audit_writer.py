"""The group commit: a record is there as a whole or not at all, once, and a challenge is accepted once."""

import asyncio
from collections.abc import Sequence

import asyncpg
import msgspec
import pytest

from sca_service.audit.model import Acceptance, AuditEvent, Record
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.model import ChallengeId, ChallengeState, Status
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring
from tests.storeroom import CLIENT, an_event, events_of, new_challenge, new_payer


@pytest.fixture
def writer(pool: asyncpg.Pool, archive: ChallengeArchive, keyring: Keyring) -> AuditWriter:
    """What commits."""
    return AuditWriter(pool, archive, Vault(pool, keyring))


def approval(challenge: ChallengeId, state: ChallengeState | None = None) -> Record:
    """The record of a right answer, whose event the state names, as the script has it."""
    event = an_event(client=CLIENT, challenge=challenge.text, outcome="approved", attempts_left=4)
    snapshots: Sequence[ChallengeState] = [state] if state else []
    for snapshot in snapshots:
        snapshot.answer_event = event.head.id
    return Record((event,), Acceptance(challenge.text, event.head.id), tuple(snapshots))


def approved_state() -> tuple[ChallengeId, ChallengeState]:
    """A challenge that a script has approved."""
    challenge, new = new_challenge(new_payer())
    new.state.status, new.state.revision = Status.APPROVED, 2
    return challenge, new.state


async def accepted_by(pool: asyncpg.Pool, challenge: ChallengeId) -> list[str]:
    """The events that hold the acceptance of a challenge."""
    rows = await pool.fetch("SELECT event_id FROM acceptances WHERE challenge_id = $1", challenge.text)
    return [row["event_id"] for row in rows]


async def test_a_record_is_durable_when_commit_returns(writer: AuditWriter, pool: asyncpg.Pool) -> None:
    """Event, acceptance and snapshot are there, for another connection too."""
    challenge, state = approved_state()
    record = approval(challenge, state)
    assert await writer.commit(record)
    assert await events_of(pool, challenge.text) == list(record.events)
    assert await accepted_by(pool, challenge) == [record.events[0].head.id]
    assert await pool.fetchval("SELECT status FROM challenges WHERE id = $1", challenge.text) == "approved"


async def test_committing_again_changes_nothing(writer: AuditWriter, pool: asyncpg.Pool) -> None:
    """A drain may repeat what an api has committed: the same event id is accepted again, and stands once."""
    challenge, state = approved_state()
    record = approval(challenge, state)
    before = None
    for _ in range(3):
        assert await writer.commit(record)
        now = await pool.fetch(
            "SELECT event.*, acceptance.* FROM audit_events AS event"
            " JOIN acceptances AS acceptance ON acceptance.event_id = event.id WHERE event.challenge_id = $1",
            challenge.text,
        )
        assert len(now) == 1
        assert before is None or now == before
        before = now


async def test_a_second_approval_is_put_on_record_as_already_used(
    writer: AuditWriter, pool: asyncpg.Pool
) -> None:
    """A store that lost its tail revives a used code: the log says so, and the first approval stands."""
    challenge, state = approved_state()
    first, second = approval(challenge, state), approval(challenge)
    revived = msgspec.structs.replace(state, revision=9, answer_event=second.events[0].head.id)
    assert await writer.commit(first)
    assert not await writer.commit(Record(second.events, second.acceptance, (revived,)))
    told = [msgspec.json.decode(event.body) for event in await events_of(pool, challenge.text)]
    assert [(event["outcome"], event.get("revived", False)) for event in told] == [
        ("approved", False),
        ("already_used", True),
    ]
    assert told[1]["id"] == second.events[0].head.id
    assert await accepted_by(pool, challenge) == [first.events[0].head.id]
    assert await pool.fetchval("SELECT revision FROM challenges WHERE id = $1", challenge.text) == 2


async def test_of_two_approvals_in_one_commit_one_holds(writer: AuditWriter, pool: asyncpg.Pool) -> None:
    """The guard holds among those who wait for the same commit too."""
    challenge, state = approved_state()
    records = [approval(challenge, state) for _ in range(20)]
    results = await asyncio.gather(*(writer.commit(record) for record in records))
    assert results.count(True) == 1
    winner = records[results.index(True)].events[0].head.id
    assert await accepted_by(pool, challenge) == [winner]
    outcomes = [msgspec.json.decode(event.body)["outcome"] for event in await events_of(pool, challenge.text)]
    assert sorted(outcomes) == ["already_used"] * 19 + ["approved"]


async def test_of_two_approvals_by_two_writers_one_holds(
    pool: asyncpg.Pool, archive: ChallengeArchive, keyring: Keyring
) -> None:
    """Two processes that commit at the same moment: one of them is contradicted."""
    writers = [AuditWriter(pool, archive, Vault(pool, keyring)) for _ in range(4)]
    challenges = [approved_state() for _ in range(25)]
    results = await asyncio.gather(
        *(writer.commit(approval(challenge, state)) for challenge, state in challenges for writer in writers)
    )
    each = [results[at : at + len(writers)] for at in range(0, len(results), len(writers))]
    assert [one.count(True) for one in each] == [1] * len(challenges)


async def test_one_contradicted_record_harms_no_other(writer: AuditWriter, pool: asyncpg.Pool) -> None:
    """Whoever shares a commit with a contradicted approval is on record as told."""
    used, used_state = approved_state()
    await writer.commit(approval(used, used_state))
    fresh = [approved_state() for _ in range(5)]
    plain = an_event("challenge.issued", challenge=used.text)
    results = await asyncio.gather(
        *(writer.commit(approval(challenge, state)) for challenge, state in fresh),
        writer.commit(approval(used)),
        writer.commit(Record((plain,))),
    )
    assert results == [True] * 5 + [False, True]
    assert plain in await events_of(pool, used.text)


async def test_a_commit_that_fails_leaves_nothing(
    writer: AuditWriter, pool: asyncpg.Pool, archive: ChallengeArchive
) -> None:
    """Where the snapshot cannot be stored, neither event nor acceptance is; afterwards all three are."""
    challenge, state = approved_state()
    record = approval(challenge, state)
    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE challenges IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable):
            await writer.commit(record)
    assert await events_of(pool, challenge.text) == []
    assert await accepted_by(pool, challenge) == []
    assert await archive.get(challenge.text, CLIENT) is None
    assert await writer.commit(record)
    assert await events_of(pool, challenge.text) == list(record.events)


async def test_a_pool_without_a_server_is_a_store_that_is_away(
    quiet_pool_closed: asyncpg.Pool, archive: ChallengeArchive, keyring: Keyring
) -> None:
    """All who wait are told at once that the store is away."""
    writer = AuditWriter(quiet_pool_closed, archive, Vault(quiet_pool_closed, keyring))
    results = await asyncio.gather(
        *(writer.commit(Record((an_event(),))) for _ in range(10)), return_exceptions=True
    )
    assert all(isinstance(result, StoreUnavailable) for result in results)


@pytest.fixture
async def quiet_pool_closed(pool: asyncpg.Pool) -> asyncpg.Pool:
    """A pool whose connections are gone."""
    await pool.close()
    return pool


async def test_the_events_of_one_record_keep_their_order(writer: AuditWriter, pool: asyncpg.Pool) -> None:
    """The log tells what happened in the order in which it happened."""
    challenge, _ = approved_state()
    events = tuple(an_event(f"test.{number}", challenge=challenge.text) for number in range(50))
    await asyncio.gather(writer.commit(Record(events[:30])), writer.commit(Record(events[30:])))
    assert await events_of(pool, challenge.text) == list(events)


def test_an_event_is_kept_in_its_canonical_form() -> None:
    """However it was written, it says one thing and is one text: members sorted, no spaces (RFC 8785)."""
    body = '{"id":"evt_1","type":"t","at_ms":1, "z":1,"a":2}'
    assert AuditEvent.parse(body).body == '{"a":2,"at_ms":1,"id":"evt_1","type":"t","z":1}'
    assert AuditEvent.parse(body.encode()) == AuditEvent.parse(body)
