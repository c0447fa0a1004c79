"""What lies under an older root is sealed anew: all of it, and nothing that changed meanwhile is brought back.

What is asserted of the exchange is asserted of a broken version as well, which writes whatever became of the record.
It has to fail there before it counts here.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from sca_service.alerts.cards.content import merchant_of
from sca_service.alerts.content import opened as opened_alert
from sca_service.alerts.postgres_store import AlertStore
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.view import ChallengeView
from sca_service.custody import resealing
from sca_service.custody.census import Census
from sca_service.custody.model import TABLES, UNREADABLE, Place, SealedRecord
from sca_service.custody.postgres_store import Portion, SealedStore
from sca_service.custody.redis_store import HotStore
from sca_service.custody.resealing import Resealer
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, add_root, create_keyring_text, remove_root, use_newest_root
from sca_service.kernel.postgres import connect_postgres
from tests.alerts import new_alert
from tests.cards import NOON, SetClock, a_card, balance, card_desk, past, upcoming
from tests.erasure_office import Office, cancel, on_record, open_office
from tests.harness import PATIENCE_SECONDS, Deployment
from tests.storeroom import CLIENT, forget_all, new_payer, values_of
from tests.webhooks import PostRoom

TEXT = create_keyring_text()
OLD = Keyring.parse(TEXT)
ROTATED = Keyring.parse(rotated_text := use_newest_root(add_root(TEXT)))
NEW_ONLY = Keyring.parse(remove_root(rotated_text, 1))
RUNNING = asyncio.Event()
"""Never set: the worker is not told to stop."""


@pytest.fixture(scope="module")
def own_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Stores of this file alone: what others sealed there would be sealed anew as well."""
    deployment = Deployment(tmp_path_factory.mktemp("resealing"))
    deployment.start_stores()
    yield deployment
    deployment.stop()


@pytest.fixture
async def pool(own_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to tables that are empty."""
    pool = await connect_postgres(own_stores.servers.postgres.url, most_connections=6)
    await pool.execute(f"TRUNCATE {', '.join(TABLES)}, audit_private, webhook_messages, webhook_attempts")
    yield pool
    await pool.close()


@pytest.fixture
async def redis(own_stores: Deployment) -> AsyncIterator[RedisConnection]:
    """A connection to a Redis that is empty."""
    redis = RedisConnection(own_stores.servers.valkey.url)
    await forget_all(redis)
    yield redis
    await redis.close()


@pytest.fixture
async def office(pool: asyncpg.Pool, redis: RedisConnection) -> AsyncIterator[Office]:
    """Where payers are challenged and erased, still under the old root."""
    async with open_office(pool, redis, OLD, ChallengeArchive(pool), ChallengeStore(redis)) as office:
        yield office


def resealer(pool: asyncpg.Pool, store: SealedStore | None = None, keyring: Keyring = ROTATED) -> Resealer:
    """What a worker runs, without its pauses."""
    writer = AuditWriter(pool, ChallengeArchive(pool), Vault(pool, keyring))
    return Resealer(
        store=store or SealedStore(pool),
        writer=writer,
        keyring=keyring,
        clock=SystemClock(),
        pause_seconds=0.0,
    )


async def add_authenticator(pool: asyncpg.Pool, keyring: Keyring = OLD) -> str:
    """An authenticator with a seed; its id."""
    authenticator = new_id("aut")
    await pool.execute(
        "INSERT INTO authenticators (id, client_id, psu, type, state, sealed)"
        " VALUES ($1, $2, $3, 'totp', 'active', $4)",
        authenticator,
        CLIENT,
        new_payer(),
        keyring.seal(b"seed", authenticator),
    )
    return authenticator


async def add_subscriptions(pool: asyncpg.Pool, count: int, keyring: Keyring = OLD) -> list[str]:
    """Devices, many at once; their ids."""
    ids = [new_id("psb") for _ in range(count)]
    await pool.execute(
        "INSERT INTO push_subscriptions (id, client_id, psu, kind, address, fingerprint, registered_at)"
        " SELECT id, 'bank', 'psu', 'fcm', address, id, now() FROM unnest($1::text[], $2::text[]) AS new (id, address)",
        ids,
        [keyring.seal(b"address", one) for one in ids],
    )
    return ids


async def add_beneficiary(pool: asyncpg.Pool) -> str:
    """A payee whom a payer trusts; its id."""
    beneficiary = new_id("ben")
    await pool.execute(
        "INSERT INTO trusted_beneficiaries (id, client_id, psu, payee, sealed) VALUES ($1, $2, $3, 'payee', $4)",
        beneficiary,
        CLIENT,
        new_payer(),
        OLD.seal(b"name", beneficiary),
    )
    return beneficiary


async def add_listing(pool: asyncpg.Pool) -> str:
    """An element on a list; its id."""
    listing = f"lst_{new_payer()}"
    await pool.execute(
        "INSERT INTO risk_marks (id, client_id, kind, subject, sealed) VALUES ($1, $2, 'device', $3, $4)",
        *(listing, CLIENT, listing[4:], OLD.seal(b"shown", listing)),
    )
    return listing


async def add_alert(pool: asyncpg.Pool) -> str:
    """A notice that waits to be sent; its id."""
    new = new_alert(OLD, url="https://bank.example/top-up")
    alert = await AlertStore(pool).add(new, {"actor": f"client:{CLIENT}"})
    return alert.id


async def add_card(pool: asyncpg.Pool) -> str:
    """A card with a charge to come and one that was made; its reference."""
    desk, ref, day = card_desk(pool, OLD, SetClock()), a_card(), NOON.date()
    await desk.put_balance(CLIENT, ref, balance(1_000), {"actor": f"client:{CLIENT}"})
    await desk.expect(CLIENT, ref, upcoming(100, day), {"actor": f"client:{CLIENT}"})
    await desk.record(CLIENT, ref, [past(100, day, merchant="Gym")], {"actor": f"client:{CLIENT}"})
    return ref


async def add_payer_key(pool: asyncpg.Pool) -> str:
    """A payer with a key and a value under it; the event that the value belongs to."""
    private = values_of(new_payer())
    async with pool.acquire() as connection, connection.transaction():
        await Vault(pool, OLD).save(connection, [private])
    return private.event_id


async def add_challenge(office: Office, pool: asyncpg.Pool) -> ChallengeId:
    """A challenge that is over."""
    challenge, _ = await office.challenged(f"cust_{secrets.token_hex(6)}")
    await cancel(office, challenge, pool)
    return challenge


async def uses(pool: asyncpg.Pool) -> dict[Place, dict[int, int]]:
    """What lies under each version, in the tables that have something."""
    store = SealedStore(pool)
    counted = {table: await store.uses(table) for table in TABLES}
    return {table: versions for table, versions in counted.items() if versions}


async def passes_on_record(pool: asyncpg.Pool) -> int:
    """How many finished passes the log tells of."""
    told: int = await pool.fetchval("SELECT count(*) FROM audit_events WHERE type = 'keys.resealed'")
    return told


async def test_everything_opens_without_the_old_root(office: Office, pool: asyncpg.Pool) -> None:
    """A seed, a device, a payee, a notice, a card, an endpoint's keys, values, challenges: under the new root alone."""
    authenticator = await add_authenticator(pool)
    (device,) = await add_subscriptions(pool, 1)
    beneficiary, alert = await add_beneficiary(pool), await add_alert(pool)
    listing = await add_listing(pool)
    endpoint = await PostRoom(pool, OLD).endpoint("https://bank.example/webhooks")
    event, card = await add_payer_key(pool), await add_card(pool)
    challenge = await add_challenge(office, pool)
    erased, _ = await office.challenged(payer := f"cust_{secrets.token_hex(6)}")
    await cancel(office, erased, pool)
    await office.erase(payer)
    before = await uses(pool)
    assert all(versions.keys() == {1} for versions in before.values()) and len(before) == len(TABLES)
    told = await passes_on_record(pool)

    assert await resealer(pool).run_pass(RUNNING)

    assert await uses(pool) == {table: {2: versions[1]} for table, versions in before.items()}
    sealed = await pool.fetchval("SELECT sealed FROM authenticators WHERE id = $1", authenticator)
    assert NEW_ONLY.open(sealed, authenticator) == b"seed"
    address = await pool.fetchval("SELECT address FROM push_subscriptions WHERE id = $1", device)
    assert NEW_ONLY.open(address, device) == b"address"
    payee = await pool.fetchval("SELECT sealed FROM trusted_beneficiaries")
    assert NEW_ONLY.open(payee, beneficiary) == b"name"
    shown = await pool.fetchval("SELECT sealed FROM risk_marks WHERE id = $1", listing)
    assert NEW_ONLY.open(shown, listing) == b"shown"
    held = await pool.fetchval("SELECT sealed FROM alerts WHERE id = $1", alert)
    assert opened_alert(NEW_ONLY, held, alert).number
    keys = (await PostRoom(pool, NEW_ONLY).desk.get(CLIENT, endpoint.endpoint.id)).keys
    signed = [one.sign(message="msg_1", at_s=1, body="{}", now_ms=1) for one in (endpoint.keys, keys)]
    assert signed[0] == signed[1]
    seen, (charge,) = await card_desk(pool, NEW_ONLY, SetClock()).upcoming(CLIENT, card)
    assert (seen.psu_id, charge.merchant) == ("cust_1", "Streaming AG")
    (made,) = await pool.fetch("SELECT id, sealed FROM card_charges")
    assert merchant_of(NEW_ONLY, made["sealed"], made["id"]) == "Gym"
    opened = await Vault(pool, NEW_ONLY).disclosures([event])
    assert [one.name for one in opened[event]] == ["phone"]
    view = ChallengeView.open(await on_record(office, challenge), NEW_ONLY)
    assert view.private.signals == {"ip": "203.0.113.7"}
    assert ChallengeView.open(await on_record(office, erased), NEW_ONLY).private.psu_id == ""
    assert await passes_on_record(pool) == told + 1


async def test_a_pass_is_put_on_record_with_what_it_did(pool: asyncpg.Pool) -> None:
    """By table, under which root; a pass that finds nothing tells nothing."""
    await add_subscriptions(pool, 3)
    await add_authenticator(pool)
    assert await resealer(pool).run_pass(RUNNING)
    told = await passes_on_record(pool)
    body = await pool.fetchval(
        "SELECT body FROM audit_events WHERE type = 'keys.resealed' ORDER BY position DESC LIMIT 1"
    )
    assert '"actor":"worker"' in body and '"current":2' in body
    assert '"records":{"authenticators":1,"push_subscriptions":3}' in body
    assert await resealer(pool).run_pass(RUNNING)
    assert await passes_on_record(pool) == told


class MeanwhileStore(SealedStore):
    """A store in which something happens to records right after they were read. Inherits to differ in this."""

    def __init__(self, pool: asyncpg.Pool, change: "Change") -> None:
        super().__init__(pool)
        self._change = change

    async def find(self, place: Place, versions: Sequence[int], *, after: str | int | None = None) -> Portion:
        """Read, and then it happens."""
        portion = await super().find(place, versions, after=after)
        if portion.records and place is self._change.table:
            await self._pool.execute(self._change.statement)
        return portion


class CarelessStore(MeanwhileStore):
    """Broken: it writes what it made of a record, whatever became of that."""

    async def exchange(self, place: Place, record: SealedRecord, held: str | bytes) -> bool:
        """As somebody would write it who does not think of what happens meanwhile."""
        columns = {
            Place.PUSH_SUBSCRIPTIONS: "address",
            Place.PAYER_KEYS: "wrapped",
            Place.CHALLENGES: "state",
        }
        column = columns.get(place, "sealed")
        statement = f"UPDATE {place} SET {column} = $2 WHERE id = $1"  # noqa: S608 - names of ours
        await self._pool.execute(statement, record.key, held)
        return True


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a table's records meanwhile, and what is asked of them afterwards."""

    table: Place
    statement: str
    column: str
    stays: object


CHANGES = (
    Change(
        Place.AUTHENTICATORS, "UPDATE authenticators SET state = 'revoked', sealed = ''", "sealed", ""
    ),  # else a revoked seed would be back
    Change(
        Place.AUTHENTICATORS, "UPDATE authenticators SET sealed = 'AQAA-changed'", "sealed", "AQAA-changed"
    ),
    Change(
        Place.PUSH_SUBSCRIPTIONS, "UPDATE push_subscriptions SET address = 'Ag__new'", "address", "Ag__new"
    ),
    Change(Place.TRUSTED_BENEFICIARIES, "UPDATE trusted_beneficiaries SET sealed = ''", "sealed", ""),
    Change(
        Place.PAYER_KEYS, "UPDATE payer_keys SET wrapped = NULL, destroyed_at = now()", "wrapped", None
    ),  # else an erased payer's values would open again
    Change(
        Place.CHALLENGES, "UPDATE challenges SET state = '\\x80', erased = true", "state", b"\x80"
    ),  # else what was personal would be back
)


async def one_of_each(office: Office, pool: asyncpg.Pool) -> None:
    """A record in every table."""
    await add_authenticator(pool)
    await add_subscriptions(pool, 1)
    await add_beneficiary(pool)
    await add_challenge(office, pool)  # and, with it, its payer's key


async def assert_a_change_stays(pool: asyncpg.Pool, store: SealedStore, change: Change) -> None:
    """Whatever was made of the record that was read before."""
    assert await resealer(pool, store).run_pass(RUNNING)
    query = f"SELECT {change.column} FROM {change.table}"  # noqa: S608 - names of ours
    assert await pool.fetchval(query) == change.stays


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.table}-{change.stays!r:.12}")
@pytest.mark.race
async def test_what_changed_meanwhile_stays(office: Office, pool: asyncpg.Pool, change: Change) -> None:
    """Revoked, erased, destroyed or written anew: between reading and writing nothing is undone."""
    await one_of_each(office, pool)
    await assert_a_change_stays(pool, MeanwhileStore(pool, change), change)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.table}-{change.stays!r:.12}")
async def test_writing_whatever_happened_is_found_out(
    office: Office, pool: asyncpg.Pool, change: Change
) -> None:
    """Without the comparison in the statement the same assertion fails."""
    await one_of_each(office, pool)
    with pytest.raises(AssertionError):
        await assert_a_change_stays(pool, CarelessStore(pool, change), change)


async def test_a_pass_that_was_cut_off_is_gone_on_with(pool: asyncpg.Pool) -> None:
    """What is done stays done; the next worker does the rest, and says how much that was."""
    await add_subscriptions(pool, 700)

    class DyingStore(SealedStore):
        """Goes away after the 300th record."""

        def __init__(self, pool: asyncpg.Pool) -> None:
            super().__init__(pool)
            self._left = 300

        async def exchange(self, place: Place, record: SealedRecord, held: str | bytes) -> bool:
            """Exchange, until it is gone."""
            if not self._left:
                raise StoreUnavailable
            self._left -= 1
            return await super().exchange(place, record, held)

    with pytest.raises(StoreUnavailable):
        await resealer(pool, DyingStore(pool)).run_pass(RUNNING)
    assert await uses(pool) == {Place.PUSH_SUBSCRIPTIONS: {1: 400, 2: 300}}
    assert await resealer(pool).run_pass(RUNNING)
    assert await uses(pool) == {Place.PUSH_SUBSCRIPTIONS: {2: 700}}
    assert await pool.fetchval(
        'SELECT count(*) FROM audit_events WHERE body LIKE \'%"records":{"push_subscriptions":400}%\''
    )


@pytest.mark.race
async def test_two_at_once_do_no_harm(pool: asyncpg.Pool) -> None:
    """Each record is sealed anew by one of them; the lock only saves work."""
    ids = await add_subscriptions(pool, 600)
    told = await passes_on_record(pool)

    class UnlockedStore(SealedStore):
        """Everybody's turn."""

        @asynccontextmanager
        async def turn(self) -> AsyncIterator[bool]:
            """Go on."""
            yield True

    both = [resealer(pool, UnlockedStore(pool)).run_pass(RUNNING) for _ in range(2)]
    assert await asyncio.gather(*both) == [True, True]
    rows = await pool.fetch("SELECT id, address FROM push_subscriptions")
    assert {row["id"] for row in rows if NEW_ONLY.open(row["address"], row["id"]) == b"address"} == set(ids)
    bodies = await pool.fetch(
        "SELECT substring(body FROM '\"push_subscriptions\":([0-9]+)')::int AS records FROM audit_events"
        " WHERE type = 'keys.resealed' ORDER BY position OFFSET $1",
        told,
    )
    assert sum(row["records"] for row in bodies) == 600


async def test_one_worker_has_its_turn(pool: asyncpg.Pool) -> None:
    """The other one leaves it alone, and may do it afterwards."""
    await add_authenticator(pool)
    store = SealedStore(pool)
    async with store.turn() as is_ours:
        assert is_ours
        assert not await resealer(pool).run_pass(RUNNING)
        assert await uses(pool) == {Place.AUTHENTICATORS: {1: 1}}
    assert await resealer(pool).run_pass(RUNNING)


async def test_what_does_not_open_holds_nothing_up(pool: asyncpg.Pool) -> None:
    """It stays as it is, for somebody to look into; the gauge still shows it, and the others go on."""
    ids = await add_subscriptions(pool, 5)
    altered = OLD.seal(b"address", "another record")
    await pool.execute("UPDATE push_subscriptions SET address = $2 WHERE id = $1", ids[2], altered)
    assert await resealer(pool).run_pass(RUNNING)
    assert await uses(pool) == {Place.PUSH_SUBSCRIPTIONS: {1: 1, 2: 4}}
    gauge = resealing.UNDER_OLDER_ROOTS.labels(Place.PUSH_SUBSCRIPTIONS)
    assert [sample.value for metric in gauge.collect() for sample in metric.samples] == [1]


@pytest.mark.parametrize("keyring", [OLD, Keyring.parse(add_root(TEXT))], ids=["one root", "a newer root"])
async def test_without_an_older_root_there_is_nothing_to_do(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """A root that waits to be used is not fallen back from: another replica may use it already."""
    await add_authenticator(pool)
    await add_authenticator(pool, ROTATED)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await resealer(pool, keyring=keyring).run(RUNNING)
    assert await uses(pool) == {Place.AUTHENTICATORS: {1: 1, 2: 1}}


async def test_it_stops_when_it_is_told(pool: asyncpg.Pool) -> None:
    """In the middle of a pass or between two; what is left is the next worker's."""
    stop = asyncio.Event()
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(resealer(pool).run(stop))
        await asyncio.sleep(0)
        stop.set()
    assert running.done()
    await add_authenticator(pool)
    assert not await resealer(pool).run_pass(stop)
    assert await uses(pool) == {Place.AUTHENTICATORS: {1: 1}}


@pytest.mark.parametrize("spoil", [lambda sealed: "", lambda sealed: "ä!", lambda sealed: sealed[:3]])
async def test_what_cannot_be_read_is_counted_apart(pool: asyncpg.Pool, spoil: Callable[[str], str]) -> None:
    """A revoked one holds nothing and is not counted; anything else is told as unreadable."""
    authenticator = await add_authenticator(pool)
    held = spoil(OLD.seal(b"seed", authenticator))
    await pool.execute("UPDATE authenticators SET sealed = $1", held)
    assert await uses(pool) == ({Place.AUTHENTICATORS: {UNREADABLE: 1}} if held else {})


async def test_a_challenge_without_a_text_is_unreadable(office: Office, pool: asyncpg.Pool) -> None:
    """Whatever bytes are there, the count goes on."""
    await add_challenge(office, pool)
    for state in (b"", b"\x00\xff", b'"sealed":"', b'"sealed":"\x00\x01\xff\\'):
        await pool.execute("UPDATE challenges SET state = $1", state)
        assert (await uses(pool))[Place.CHALLENGES] == {UNREADABLE: 1}


async def test_redis_is_counted_too(office: Office, pool: asyncpg.Pool, redis: RedisConnection) -> None:
    """A challenge whose code the root derives, and an answer that is kept for its repetition."""
    census = Census(SealedStore(pool), HotStore(redis))
    empty = await census.take()
    assert (empty[Place.HOT_CHALLENGES], empty[Place.STORED_ANSWERS]) == ({}, {})
    for _ in range(3):
        await office.challenged(f"cust_{secrets.token_hex(6)}")
    for keyring in (OLD, ROTATED):
        await redis.command(
            "SET", f"idempotency:{new_payer()}", packed_answer(keyring.seal(b"answer", "name"))
        )
    await redis.command("SET", "idempotency:claimed", b"\x81\xa5since\x01")
    await redis.command("SET", "idempotency:broken", b"\xc1")
    taken = await census.take()
    assert taken[Place.HOT_CHALLENGES] == {1: 3}
    assert taken[Place.STORED_ANSWERS] == {1: 1, 2: 1}
    assert taken[Place.CHALLENGES] == {1: 3}


def packed_answer(sealed: str) -> bytes:
    """A record as `api/redis_store.py` keeps it: MessagePack of two texts."""
    text = sealed.encode()
    return b"\x82\xabfingerprint\xa1f\xa6answer\xd9" + bytes((len(text),)) + text
