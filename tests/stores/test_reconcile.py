"""Reconcile: real traffic is whole; whatever is taken away, doubled or changed afterwards is found and named."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from sca_service.audit.export.postgres_store import connect_reader
from sca_service.audit.model import AuditEvent
from sca_service.audit.private.vault import Vault
from sca_service.challenges.model import decode_state
from sca_service.challenges.reconcile.model import EVERYTHING, Counts, Fault, Finding, Span
from sca_service.challenges.reconcile.postgres_store import ReconcileStore
from sca_service.challenges.reconcile.reconcile import Reconciler
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.ids import new_id
from tests import warm
from tests.harness import Deployment
from tests.service.situations import SITUATIONS
from tests.storeroom import eventually
from tests.valkeys import raw_async_client

Connection = asyncpg.Connection

_TABLES = (
    *("challenges", "audit_events", "audit_leaves", "acceptances", "audit_private", "payer_keys", "erasures"),
    "log_state",
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """A service that has worked and stands still, and one challenge for each status."""

    deployment: Deployment
    challenges: dict[str, str]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """One challenge in each status, with messages, receipts and answers; then every role is stopped."""
    deployment = Deployment(tmp_path_factory.mktemp("reconcile"))
    deployment.start_stores()
    deployment.start_all()
    try:
        challenges = asyncio.run(_play(deployment))
        for role in list(deployment.roles):
            role.stop()
            deployment.forget(role)
        asyncio.run(_keep(deployment))
        yield Traffic(deployment, challenges)
    finally:
        deployment.stop()


async def _play(deployment: Deployment) -> dict[str, str]:
    async with (
        deployment.bank() as bank,
        raw_async_client(deployment.servers.valkey.url, protocol=2) as redis,
    ):
        challenges = {}
        for status, bring in SITUATIONS.items():
            challenges[status] = (await bring(bank, redis))["id"]
            for supplier in ("sms", "push"):
                await bank.script(supplier, "deliver")
    connection = await asyncpg.connect(deployment.servers.postgres.url)

    async def is_sequenced() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT (SELECT count(*) FROM audit_leaves) = (SELECT count(*) FROM audit_events)"
            )
        )

    await eventually(is_sequenced)
    await connection.close()
    return challenges


_FUNCTIONS = """
    CREATE FUNCTION first_of(challenge text, kind text) RETURNS text AS $$
        SELECT id FROM audit_events WHERE challenge_id = challenge AND type = kind ORDER BY position LIMIT 1
    $$ LANGUAGE sql;
    CREATE FUNCTION put_again(challenge text, kind text, old text, new text) RETURNS void AS $$
        INSERT INTO audit_events (id, at, type, client_id, psu, challenge_id, body)
        SELECT reverse(id), at, type, client_id, psu, challenge_id, replace(replace(body, id, reverse(id)), old, new)
        FROM audit_events WHERE id = first_of(challenge, kind)
    $$ LANGUAGE sql
"""
"""The first event of a kind of a challenge; and the same event once more, with another id and something changed."""


async def _keep(deployment: Deployment) -> None:
    """A copy of every table, from which each test is given back what the one before damaged."""
    connection = await asyncpg.connect(deployment.servers.postgres.url)
    await connection.execute(_FUNCTIONS)
    for table in _TABLES:
        await connection.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
    await connection.close()


@pytest.fixture
async def database(traffic: Traffic) -> AsyncIterator[Connection]:
    """A connection to damage what is stored; everything is as it was when the test is over."""
    connection = await asyncpg.connect(traffic.deployment.servers.postgres.url)
    yield connection
    async with connection.transaction():
        for table in _TABLES:
            await connection.execute(f"TRUNCATE {table}")
            await connection.execute(
                f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}"  # noqa: S608 - tables of ours
            )
    await connection.close()


async def reconciled(
    traffic: Traffic, *, span: Span = EVERYTHING, grace_seconds: int = 0
) -> tuple[list[Finding], Counts]:
    """What is found, and how much was compared."""
    async with await connect_reader(traffic.deployment.servers.postgres.url, most_connections=2) as pool:
        reconciler = Reconciler(
            ReconcileStore(pool),
            Vault(pool, traffic.deployment.keyring),
            SystemClock(),
            span=span,
            grace_seconds=grace_seconds,
            second_look_seconds=0.0,
        )
        return [finding async for finding in reconciler.findings()], reconciler.counts


async def test_real_traffic_is_whole(traffic: Traffic) -> None:
    """Every status that a challenge can come to is in the log as it should be, and everything was looked at."""
    found, counts = await reconciled(traffic)
    assert found == []
    assert counts.is_whole
    assert (
        counts.challenges == counts.judged == len(SITUATIONS) + 1
    )  # of the refused one's payer, who was blocked
    assert counts.deliveries == counts.challenges - 1
    assert counts.acceptances == 1
    assert counts.events == counts.leaves > 30
    assert counts.private_values == counts.challenges


async def test_what_is_in_motion_is_not_judged(traffic: Traffic, database: Connection) -> None:
    """Within the grace nothing is said of a challenge, nor of an event."""
    await database.execute("DELETE FROM acceptances")
    await database.execute("DELETE FROM audit_leaves WHERE index IN (SELECT max(index) FROM audit_leaves)")
    found, counts = await reconciled(
        traffic, span=Span(since=datetime(2020, 1, 1, tzinfo=UTC)), grace_seconds=3600
    )
    assert (found, counts.judged) == ([], 0)


NOW_LEAFLESS = "it has no index in the log"
DAMAGE = {
    "issued deleted": (
        "DELETE FROM audit_events WHERE id = first_of('{pending}', 'challenge.issued')",
        "missing pending neither challenge.issued nor challenge.refused is on record",
    ),
    "refused deleted": (
        "DELETE FROM audit_events WHERE id = first_of('{refused}', 'challenge.refused')",
        "missing refused neither challenge.issued nor challenge.refused is on record",
    ),
    "issued doubled": (
        "SELECT put_again('{approved}', 'challenge.issued', '', '')",
        "doubled approved challenge.issued is on record again as",
    ),
    "issued doubled with another actor": (
        "SELECT put_again('{approved}', 'challenge.issued', '\"actor\":\"', '\"actor\":\"x')",
        "doubled approved challenge.issued is on record 2 times",
    ),
    "receipt doubled with another actor": (
        "SELECT put_again('{approved}', 'delivery.settled', '\"sent\"', '\"delivered\"')",
        "doubled approved was settled for good 2 times",
    ),
    "attempt doubled with another actor": (
        "SELECT put_again('{approved}', 'delivery.attempted', '\"actor\":\"', '\"actor\":\"x')",
        "doubled approved try 1 was attempted 2 times",
    ),
    "approval doubled with another actor": (
        "SELECT put_again('{approved}', 'challenge.answered', '\"actor\":\"', '\"actor\":\"x')",
        "doubled approved it was approved 2 times",
    ),
    "approval deleted": (
        "DELETE FROM audit_events WHERE id = first_of('{approved}', 'challenge.answered')",
        "missing approved its acceptance rests on",
    ),
    "acceptance deleted": (
        "DELETE FROM acceptances WHERE challenge_id = '{approved}'",
        "missing approved and has no acceptance",
    ),
    "acceptance made up": (
        "INSERT INTO acceptances (challenge_id, event_id) VALUES ('{cancelled}', 'evt_0')",
        "contradicted cancelled it has an acceptance, and stands at cancelled",
    ),
    "acceptance of nothing": (
        "INSERT INTO acceptances (challenge_id, event_id) VALUES ('chl_0', 'evt_0')",
        "missing chl_0 an acceptance by evt_0 is of it, and it is not there",
    ),
    "acceptance moved": (
        "UPDATE acceptances SET event_id = first_of('{approved}', 'challenge.issued')",
        "contradicted approved its state on another event",
    ),
    "challenge deleted": (
        "DELETE FROM challenges WHERE id = '{rejected}'",
        "missing rejected tells of it, and it is not there",
    ),
    "challenge with another status": (
        "UPDATE challenges SET status = 'approved' WHERE id = '{rejected}'",
        "altered rejected its row and its state say different things",
    ),
    "state of another challenge": (
        "UPDATE challenges SET state = (SELECT state FROM challenges WHERE id = '{approved}') WHERE id = '{rejected}'",
        "altered rejected its row and its state say different things",
    ),
    "state cut": (
        "UPDATE challenges SET state = substr(state, 1, 40) WHERE id = '{rejected}'",
        "altered rejected its state or one of its events cannot be read",
    ),
    "wrong answer deleted": (
        "DELETE FROM audit_events WHERE challenge_id = '{blocked}' AND type = 'challenge.answered'"
        " AND body LIKE '%\"attempts_left\":0%'",
        "missing blocked an answer that spent an attempt is not on record",
    ),
    "block deleted": (
        "DELETE FROM audit_events WHERE challenge_id = '{blocked}' AND type = 'payer.blocked'",
        "missing blocked payer.blocked is not on record",
    ),
    "rejected not told": (
        "DELETE FROM audit_events WHERE id = first_of('{rejected}', 'challenge.answered')",
        "missing rejected it stands at rejected, and no event says how it came to that",
    ),
    "expired not told": (
        "DELETE FROM audit_events WHERE id = first_of('{expired}', 'challenge.expired')",
        "missing expired it stands at expired, and no event says how it came to that",
    ),
    "cancelled not told": (
        "DELETE FROM audit_events WHERE id = first_of('{cancelled}', 'challenge.cancelled')",
        "missing cancelled it stands at cancelled, and no event says how it came to that",
    ),
    "declined not told": (
        "DELETE FROM audit_events WHERE id = first_of('{declined}', 'challenge.declined')",
        "missing declined it stands at declined, and no event says how it came to that",
    ),
    "declined, and said to have expired": (
        "SELECT put_again('{declined}', 'challenge.declined', '.declined', '.expired')",
        "contradicted declined it stands at declined, and an event says expired",
    ),
    "undeliverable not told": (
        "DELETE FROM audit_events WHERE id = first_of('{undeliverable}', 'challenge.undeliverable')",
        "missing undeliverable it stands at undeliverable, and no event says how it came to that",
    ),
    "another ending": (
        "SELECT put_again('{cancelled}', 'challenge.cancelled', '.cancelled', '.expired')",
        "contradicted cancelled it stands at cancelled, and an event says expired",
    ),
    "attempt deleted": (
        "DELETE FROM audit_events WHERE id = first_of('{approved}', 'delivery.attempted')",
        "missing approved delivery.attempted is not on record for try 1",
    ),
    "settling deleted": (
        "DELETE FROM audit_events WHERE challenge_id = '{approved}' AND type = 'delivery.settled'",
        "unsettled approved it was attempted, and nothing says what became of it",
    ),
    "last settling deleted": (
        "DELETE FROM audit_events WHERE challenge_id = '{approved}' AND body LIKE '%\"delivered\"%'",
        "missing approved it stands at delivered, and no delivery.settled says so",
    ),
    "settled otherwise": (
        "UPDATE audit_events SET body = replace(body, '\"delivered\"', '\"undelivered\"')"
        " WHERE challenge_id = '{approved}' AND type = 'delivery.settled'",
        "contradicted approved it stands at delivered, and an event says undelivered",
    ),
    "delivery of another challenge": (
        "UPDATE audit_events SET body = replace(body, '01\",', '02\",') WHERE challenge_id = '{approved}'"
        " AND type = 'delivery.attempted'",
        "contradicted approved events speak of this delivery, and it has none of that id",
    ),
    "leaf deleted": ("DELETE FROM audit_leaves WHERE index = 5", "missing leaf 5 no event has this index"),
    "event deleted": (
        "DELETE FROM audit_events WHERE id = (SELECT event_id FROM audit_leaves WHERE index = 0)",
        "missing leaf 0 is not there",
    ),
    "event without leaf": (
        "DELETE FROM audit_leaves WHERE event_id = first_of('{pending}', 'challenge.issued')",
        f"missing evt_ {NOW_LEAFLESS}",
    ),
    "tail deleted": (
        "DELETE FROM audit_leaves WHERE index > 20",
        "missing leaf 21 no event has this index",
    ),
    "log rolled back": (
        "UPDATE log_state SET size = size - 3",
        "contradicted log the log from 0 to",
    ),
    "payer of an event changed": (
        "UPDATE audit_events SET psu = repeat('0', 32) WHERE id = first_of('{pending}', 'challenge.issued')",
        "altered evt_ its row and its leaf say different things",
    ),
    "leaf is no event": (
        "UPDATE audit_events SET body = '[]' WHERE challenge_id IS NULL"
        " AND position = (SELECT min(position) FROM audit_events WHERE challenge_id IS NULL)",
        "altered evt_ its leaf cannot be read",
    ),
    "values deleted": (
        "DELETE FROM audit_private WHERE event_id = first_of('{approved}', 'challenge.issued')",
        "missing evt_ the personal values that it commits to are not there",
    ),
    "one byte of values changed": (
        "UPDATE audit_private SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1)"
        " WHERE event_id = first_of('{approved}', 'challenge.issued')",
        "altered evt_ its personal values do not open",
    ),
    "values of another event": (
        "UPDATE audit_private SET sealed = (SELECT sealed FROM audit_private WHERE event_id ="
        " first_of('{pending}', 'challenge.issued')) WHERE event_id = first_of('{approved}', 'challenge.issued')",
        "altered evt_ its personal values do not open",
    ),
    "commitment changed": (
        "UPDATE audit_events SET body = regexp_replace(body, '(\"psu_id\":\"sha256:)..', '\\1zz')"
        " WHERE id = first_of('{approved}', 'challenge.issued')",
        "altered evt_ not what it commits to: psu_id",
    ),
    "key deleted": (
        "DELETE FROM payer_keys WHERE psu = (SELECT psu FROM challenges WHERE id = '{approved}')",
        "missing evt_ the key of its personal values is not there",
    ),
    "key emptied": (
        "UPDATE payer_keys SET wrapped = NULL, destroyed_at = now()"
        " WHERE psu = (SELECT psu FROM challenges WHERE id = '{approved}')",
        "missing evt_ the key of its personal values is gone, and no erasure says why",
    ),
    "values of no event": (
        "INSERT INTO audit_private (event_id, key_id, sealed)"
        " SELECT 'evt_0', key_id, sealed FROM audit_private LIMIT 1",
        "missing evt_0 it has personal values, and is not there",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found_and_named(traffic: Traffic, database: Connection, damage: str) -> None:
    """What was done is told with the id that it was done to, and how that differs from what should be."""
    statement, expected = DAMAGE[damage]
    tag = await database.execute(statement.format_map(traffic.challenges) if "{" in statement else statement)
    assert not tag.endswith(" 0"), "nothing was damaged"
    found, counts = await reconciled(traffic)
    fault, about, *_ = expected.split()
    detail = expected.removeprefix(f"{fault} {about} ")
    if about == "leaf":
        about, detail = " ".join(expected.split()[1:3]), " ".join(expected.split()[3:])
    subject = traffic.challenges.get(about, about)
    assert [
        one
        for one in found
        if one.fault == fault and one.subject.startswith(subject) and detail in one.detail
    ], found
    assert not counts.is_whole
    assert sum(counts.faults.values()) == len(found)


async def test_nothing_else_is_blamed(traffic: Traffic, database: Connection) -> None:
    """An acceptance that is gone is one finding, of the challenge that it was of."""
    await database.execute("DELETE FROM acceptances")
    found, counts = await reconciled(traffic)
    assert [(one.fault, one.subject) for one in found] == [(Fault.MISSING, traffic.challenges["approved"])]
    assert counts.faults[Fault.MISSING] == 1


async def test_an_erasure_explains_what_is_gone(traffic: Traffic, database: Connection) -> None:
    """A payer's values and key are gone because two operators said so; what is left over by mistake is told."""
    psu = await database.fetchval("SELECT psu FROM challenges WHERE id = $1", traffic.challenges["approved"])
    await database.execute(
        "INSERT INTO erasures (id, client_id, psu, reason, requested_by, confirmed_by, confirmed_at)"
        " VALUES ('era_1', 'bank', $1, 'asked', 'one', 'two', now())",
        psu,
    )
    await database.execute("UPDATE payer_keys SET wrapped = NULL, destroyed_at = now() WHERE psu = $1", psu)
    untold, _ = await reconciled(traffic)
    assert untold, "a row in a table that anybody may write explains nothing without its event"
    event = AuditEvent.create(
        event_id=new_id("evt"),
        kind="payer.erased",
        at_ms=int(time.time() * 1000),
        members={"client": "bank", "psu": psu, "actor": "two", "requested_by": "one"},
    )
    await database.execute(
        "INSERT INTO audit_events (id, at, type, client_id, psu, body) VALUES ($1, $2, $3, 'bank', $4, $5)",
        event.head.id,
        datetime.fromtimestamp(event.head.at_ms / 1000, UTC),
        event.head.type,
        psu,
        event.body,
    )
    await database.execute(
        "INSERT INTO audit_leaves (index, event_id) SELECT max(index) + 1, $1 FROM audit_leaves",
        event.head.id,
    )
    await database.execute("UPDATE log_state SET size = size + 1")
    (left_over,), _ = await reconciled(traffic)
    assert left_over.fault is Fault.CONTRADICTED
    assert "still there" in left_over.detail
    await database.execute(
        "DELETE FROM audit_private WHERE event_id IN (SELECT id FROM audit_events WHERE psu = $1)", psu
    )
    found, _ = await reconciled(traffic)
    assert found == []


async def test_what_retention_took_is_not_missed(traffic: Traffic, database: Connection) -> None:
    """Events before the minimum index are gone for good, and challenges from that time are not judged by them."""
    index = await database.fetchval(
        "SELECT leaf.index FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
        " WHERE event.challenge_id = $1 AND event.type = 'challenge.issued'",
        traffic.challenges["approved"],
    )
    for statement in (
        "DELETE FROM audit_private AS one USING audit_leaves AS leaf"
        " WHERE one.event_id = leaf.event_id AND index <= $1",
        "DELETE FROM audit_events AS one USING audit_leaves AS leaf WHERE one.id = leaf.event_id AND index <= $1",
        "DELETE FROM audit_leaves WHERE index <= $1",
        "UPDATE log_state SET first_index = $1 + 1",
    ):
        await database.execute(statement, index)
    found, counts = await reconciled(traffic)
    assert (found, counts.judged) == ([], 0)


async def test_a_span_of_time_is_compared_alone(traffic: Traffic, database: Connection) -> None:
    """What lies outside is neither read nor blamed."""
    await database.execute("DELETE FROM acceptances")
    state = decode_state(
        await database.fetchval("SELECT state FROM challenges WHERE id = $1", traffic.challenges["approved"])
    )
    issued = datetime.fromtimestamp(state.created_at / 1000, UTC)
    within, _ = await reconciled(traffic, span=Span(issued, issued + timedelta(milliseconds=1)))
    outside, counts = await reconciled(traffic, span=Span(issued + timedelta(days=1)))
    assert [one.subject for one in within] == [state.id]
    assert (outside, counts.challenges, counts.events) == ([], 0, 0)


async def test_the_command_tells_and_fails(traffic: Traffic, database: Connection) -> None:
    """`sca audit reconcile`: exit status 0 and what was compared; 1 and what is off."""
    command = ["sca_service", "audit", "reconcile", "--grace", "0", "--config"]
    command.append(str(traffic.deployment.config(1)))
    whole = await asyncio.to_thread(warm.run, *command)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "Nothing is missing, nothing is doubled." in whole.stdout
    await database.execute("DELETE FROM acceptances")
    off = await asyncio.to_thread(warm.run, *command)
    assert off.returncode == 1
    assert f"missing       {traffic.challenges['approved']}  it was approved by evt_" in off.stdout
    assert "Off: 1 missing." in off.stdout
