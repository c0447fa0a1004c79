"""Lists and reports that last, and their copy in Redis: lost, overtaken or late, it comes to the same."""

import asyncio
import secrets

import asyncpg
import pytest

from sca_service.exemptions.reports.fraud import FraudFigures, FraudKind, WithdrawalReason
from sca_service.exemptions.reports.postgres_store import FraudStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring
from sca_service.risk import copying
from sca_service.risk.copying import Copier
from sca_service.risk.facts import subject_pseudonym
from sca_service.risk.listings import Listing, Listings
from sca_service.risk.marks import Element
from sca_service.risk.model import MarkedKind, Standing
from sca_service.risk.postgres_store import MarkRetention, MarkStore
from sca_service.risk.redis_store import RiskStore, SubjectKind, Subjects
from tests.exemption_office import IBAN, ORIGIN, POLICY, ExemptionOffice
from tests.storeroom import new_payer

COPIED, COPYING = "{risk}:copied", "{risk}:copying"


class Desk:
    """A bank's lists, and what the scoring sees of them. A class because it holds the stores."""

    def __init__(self, pool: asyncpg.Pool, redis: RedisConnection, keyring: Keyring) -> None:
        self.client = f"bank-{secrets.token_hex(6)}"
        self.pool = pool
        self.redis = redis
        self.keyring = keyring
        self.memory = RiskStore(redis, POLICY.risk.memory)
        self.store = MarkStore(pool)
        self.lists = Listings(store=self.store, memory=self.memory, keyring=keyring, clock=SystemClock())

    async def put(self, device: str, *, days: int = 30) -> Listing:
        """Put a device on the list."""
        element = Element.reference(MarkedKind.DEVICE, device)
        return await self.lists.put(self.client, element, reason="stolen", days=days, origin=ORIGIN)

    async def remove(self, listing: Listing) -> None:
        """Take it off."""
        await self.lists.remove(self.client, listing.id, reason="found", origin=ORIGIN)

    def key(self, device: str) -> str:
        """Where Redis remembers the device."""
        return f"{{risk:device:{subject_pseudonym(self.keyring, self.client, SubjectKind.DEVICE, device)}}}"

    async def is_listed(self, device: str) -> bool:
        """What the scoring sees."""
        name = subject_pseudonym(self.keyring, self.client, SubjectKind.DEVICE, device)
        found = await self.memory.recall(Subjects(new_payer(), {SubjectKind.DEVICE: name}))
        return found.others[SubjectKind.DEVICE].is_listed

    async def copy_all(self) -> None:
        """As a worker does, until there is nothing to hurry for."""
        copier = Copier(self.store, self.memory)
        while await copier.step() == 0.0:
            pass


@pytest.fixture
def desk(pool: asyncpg.Pool, redis: RedisConnection, keyring: Keyring) -> Desk:
    """A bank nobody else is."""
    return Desk(pool, redis, keyring)


async def test_what_redis_has_lost_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it without a pause, in portions of any size; then it is known to be whole."""
    monkeypatch.setattr(copying, "_AT_ONCE", 2)
    devices = [secrets.token_hex(8) for _ in range(5)]
    for device in devices:
        await desk.put(device)
    await desk.redis.command("DEL", COPIED)
    for device in devices:
        await desk.redis.command("DEL", desk.key(device))
    assert not any([await desk.is_listed(device) for device in devices])
    await desk.copy_all()
    assert all([await desk.is_listed(device) for device in devices])
    assert await desk.memory.has_copies()


async def test_a_redis_lost_in_the_middle_of_a_pass_is_filled_from_the_beginning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied before the loss is copied again before it is called whole."""
    monkeypatch.setattr(copying, "_AT_ONCE", 1)
    listings = sorted([await desk.put(secrets.token_hex(8)) for _ in range(3)], key=lambda one: one.id)
    await desk.copy_all()
    copier = Copier(desk.store, desk.memory)
    for _ in range(2):
        assert await copier.step() > 0
    key = f"{{risk:device:{listings[0].id.removeprefix('lst_')}}}"
    await desk.redis.command("DEL", COPIED)
    await desk.redis.command("DEL", key)
    while await copier.step() == 0.0:
        pass
    assert await desk.redis.command("HGET", key, "l") is not None
    assert await desk.memory.has_copies()


async def test_a_redis_lost_again_while_it_is_filled_is_not_called_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is killed over and over: what was copied before the second loss is copied without a pause too."""
    monkeypatch.setattr(copying, "_AT_ONCE", 1)
    first, *_ = sorted([await desk.put(secrets.token_hex(8)) for _ in range(3)], key=lambda one: one.id)
    key = f"{{risk:device:{first.id.removeprefix('lst_')}}}"
    await desk.redis.command("DEL", COPIED, COPYING)
    copier = Copier(desk.store, desk.memory)
    while copier._after < first.id:
        assert await copier.step() == 0.0
    await desk.redis.command("DEL", COPYING)
    await desk.redis.command("DEL", key)
    while await copier.step() == 0.0:
        pass
    assert await desk.redis.command("EXISTS", key)
    assert await desk.memory.has_copies()


async def test_a_removal_that_never_reached_redis_is_copied(desk: Desk) -> None:
    """The process died in between: the worker takes it over, and an older copy never wins."""
    device = secrets.token_hex(8)
    listing = await desk.put(device)
    (before,) = [row for row in await desk.store.standings(after="", most=10_000) if row.id == listing.id]
    await desk.store.remove(listing.id, desk.client, "found", 0, ORIGIN)
    assert await desk.is_listed(device)
    await desk.redis.command("DEL", COPIED)
    await desk.copy_all()
    assert not await desk.is_listed(device)
    await desk.memory.copy(before.standing)
    assert not await desk.is_listed(device)


async def test_of_changes_at_once_redis_has_the_last(desk: Desk) -> None:
    """Twenty putting and removing: what PostgreSQL says in the end, the scoring sees."""
    device = secrets.token_hex(8)
    listing = await desk.put(device)
    await asyncio.gather(*(desk.put(device) if at % 2 else desk.remove(listing) for at in range(20)))
    (row,) = [row for row in await desk.store.standings(after="", most=10_000) if row.id == listing.id]
    assert await desk.is_listed(device) is bool(row.standing.listed_until)
    assert int(await desk.redis.command("HGET", desk.key(device), "w")) == row.standing.version


async def test_an_element_is_nowhere_in_clear(desk: Desk) -> None:
    """Neither in the table nor in Redis nor in the log: pseudonyms, and the end of it under seal."""
    device = f"device-{secrets.token_hex(8)}"
    listing = await desk.put(device)
    row = str(await desk.pool.fetchrow("SELECT * FROM risk_marks WHERE id = $1", listing.id))
    held = str(await desk.redis.command("HGETALL", desk.key(device)))
    query = "SELECT body FROM audit_events WHERE client_id = $1"
    said = str(await desk.pool.fetch(query, desk.client))
    assert "risk.listed" in said
    for place in (row, held, said):
        assert device not in place


async def test_an_entry_ends_by_itself_and_goes_a_month_later(desk: Desk) -> None:
    """At its end it is on no list any more; what counts stays."""
    ended, counts = secrets.token_hex(8), secrets.token_hex(8)
    listing, other = await desk.put(ended), await desk.put(counts)
    statement = "UPDATE risk_marks SET listed_until = now() - $2::int * interval '1 day' WHERE id = $1"
    await desk.pool.execute(statement, listing.id, 29)
    assert [one.id for one in await desk.lists.page(desk.client, None, after="", most=9)] == [other.id]
    for days, is_left in ((29, True), (31, False)):
        long_ago = (
            "UPDATE risk_marks SET listed_until = now() - $2::int * interval '1 day', changed_at = listed_at "
        )
        long_ago += "- interval '40 days' WHERE id = $1"
        await desk.pool.execute(long_ago, listing.id, days)
        async with desk.pool.acquire() as connection:
            while await MarkRetention().tidy(connection):
                pass
        left = [
            row["id"]
            for row in await desk.pool.fetch("SELECT id FROM risk_marks WHERE client_id = $1", desk.client)
        ]
        assert (listing.id in left, other.id in left) == (is_left, True)


async def test_of_reports_on_one_payee_at_once_none_is_lost(
    pool: asyncpg.Pool, redis: RedisConnection, keyring: Keyring
) -> None:
    """Twelve payers of one payee, one of them twice: twelve count; after as many withdrawals at once none does."""
    first = ExemptionOffice(pool, keyring)
    offices = [first, *(ExemptionOffice(pool, keyring, client=first.client) for _ in range(11))]
    memory = RiskStore(redis, POLICY.risk.memory)
    figures = FraudFigures(
        policy=POLICY.exemptions,
        store=FraudStore(pool),
        clock=SystemClock(),
        memory=memory,
        report_days=180,
    )
    rows = [await one.paid("5.00") for one in (*offices, first)]
    payee = subject_pseudonym(keyring, first.client, SubjectKind.PAYEE, IBAN)

    async def counted() -> int:
        found = await memory.recall(Subjects(first.psu, {SubjectKind.PAYEE: payee}))
        return found.others[SubjectKind.PAYEE].reports

    reports = await asyncio.gather(
        *(figures.report(first.client, row.id, FraudKind.UNAUTHORISED, ORIGIN) for row in rows)
    )
    assert await counted() == 12
    assert (await memory.recall(Subjects(first.psu, {}))).payer.reports == 2
    await figures.withdraw(first.client, reports[0].id, WithdrawalReason.MISTAKE, ORIGIN)
    assert await counted() == 12  # the payer has reported another one
    await asyncio.gather(
        *(
            figures.withdraw(first.client, report.id, WithdrawalReason.MISTAKE, ORIGIN)
            for report in reports[1:]
        )
    )
    assert await counted() == 0
    assert (await memory.recall(Subjects(first.psu, {}))).payer.reports == 0


async def test_a_report_counts_for_the_policy_s_days(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """From when it was made; the next change counts no older one."""
    office = ExemptionOffice(pool, keyring)
    rows = [await office.paid("5.00") for _ in range(2)]
    await office.figures.report(office.client, rows[0].id, FraudKind.UNAUTHORISED, ORIGIN)
    long_ago = "UPDATE fraud_reports SET reported_at = now() - interval '181 days' WHERE assessment = $1"
    await pool.execute(long_ago, rows[0].id)
    await office.figures.report(office.client, rows[1].id, FraudKind.UNAUTHORISED, ORIGIN)
    assert office.marks.reports_on(MarkedKind.PAYER, office.psu) == 1


def test_a_standing_shows_no_subject() -> None:
    """Its `repr` may come into a log."""
    assert "d0d0" not in repr(Standing(MarkedKind.DEVICE, "d0d0", 1))
