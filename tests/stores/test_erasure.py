"""Erasure: two operators, then the values are gone from every store, and what was committed to stays as it was."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import msgspec
import pytest

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.audit.private.postgres_store import ErasureStore
from sca_service.audit.private.vault import Vault
from sca_service.audit.redis_store import Outbox
from sca_service.audit.writer import AuditWriter
from sca_service.authenticators.generators import Generators
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.challenges.erasure import Eraser, ErasureRefused
from sca_service.challenges.issue import Caller, ChallengeOrder, Issuer
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import NotFound, Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.load import load
from sca_service.policy.model import Purpose
from sca_service.settings import shipped_policies
from tests.storeroom import CLIENT, events_of

PHONE = "+4915199887766"


@dataclass(frozen=True, slots=True)
class Office:
    """Where payers are challenged and erased, and two operators."""

    issuer: Issuer
    eraser: Eraser
    store: ChallengeStore
    archive: ChallengeArchive
    vault: Vault
    operators: tuple[Secret[str], Secret[str]]
    bank: Secret[str]

    async def challenged(self, psu_id: str) -> tuple[ChallengeId, str]:
        """Issue a challenge to a payer. Returns its id and the payer's pseudonym."""
        order = ChallengeOrder(
            psu_id,
            Purpose.LOGIN,
            phone=PhoneNumber.parse(PHONE),
            locale="de-DE",
            signals={"ip": "203.0.113.7"},
        )
        view = await self.issuer.issue(Caller(CLIENT, "req_erasure"), order)
        challenge = ChallengeId.parse(view.state.id)
        assert challenge is not None
        return challenge, view.state.payer


@pytest.fixture
async def office(
    pool: asyncpg.Pool,
    redis: RedisConnection,
    keyring: Keyring,
    archive: ChallengeArchive,
    store: ChallengeStore,
) -> AsyncIterator[Office]:
    """An office on stores that nothing else touches."""
    registry = ClientRegistry(ClientStore(pool), keyring)
    names = [f"ops-{new_id('x')[2:12]}" for _ in range(3)]
    vault = Vault(pool, keyring)
    outbox = Outbox(redis)
    writer = AuditWriter(pool, archive, vault)
    yield Office(
        issuer=Issuer(
            policy=load(shipped_policies()),
            keyring=keyring,
            store=store,
            limits=LimitStore(redis),
            recorder=Recorder(writer=writer, outbox=outbox, archive=archive, store=store),
            authenticators=Generators(
                policy=load(shipped_policies()).authenticators,
                keyring=keyring,
                store=AuthenticatorStore(pool),
                clock=SystemClock(),
            ),
        ),
        eraser=Eraser(erasures=ErasureStore(pool), challenges=store, keyring=keyring, clock=SystemClock()),
        store=store,
        archive=archive,
        vault=vault,
        operators=(
            await registry.create(names[0], [Scope.ADMIN]),
            await registry.create(names[1], [Scope.ADMIN]),
        ),
        bank=await registry.create(names[2], [Scope.CHALLENGES]),
    )
    await outbox.close()


async def cancel(office: Office, challenge: ChallengeId, pool: asyncpg.Pool) -> None:
    """The challenge is over, in both stores."""
    reply = await office.store.cancel(challenge, EventMembers("client:bank"), client=CLIENT)
    assert reply.state is not None
    async with pool.acquire() as connection:
        await office.archive.save(connection, [reply.state])


async def test_what_is_personal_is_gone_and_what_is_committed_stays(
    office: Office, pool: asyncpg.Pool, redis: RedisConnection, keyring: Keyring
) -> None:
    """Of one payer among two: key, values and hot state; the leaves are as they were, the other payer too."""
    gone, stays = new_id("cust"), new_id("cust")
    challenge, payer = await office.challenged(gone)
    other, _ = await office.challenged(stays)
    await cancel(office, challenge, pool)
    before = await events_of(pool, challenge.text)
    (other_issued,) = await events_of(pool, other.text)
    assert PHONE in {
        one.value for one in (await office.vault.disclosures([before[0].head.id]))[before[0].head.id]
    }

    asked, confirms = office.operators
    wish = await office.eraser.request(asked, client=CLIENT, psu_id=gone, reason="asked by the payer")
    assert wish in [row.id for row in await office.eraser.pending()]
    assert len(await office.vault.disclosures([before[0].head.id])) == 1  # a wish alone erases nothing
    await office.eraser.confirm(confirms, wish)

    assert wish not in [row.id for row in await office.eraser.pending()]
    assert await events_of(pool, challenge.text) == before
    assert await Vault(pool, keyring).disclosures([before[0].head.id]) == {}
    assert (
        await pool.fetchval("SELECT count(*) FROM audit_private WHERE event_id = $1", before[0].head.id) == 0
    )
    assert await pool.fetchval("SELECT wrapped FROM payer_keys WHERE psu = $1", payer) is None
    assert await redis.command("EXISTS", f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}") == 0
    state = await office.archive.get(challenge.text, CLIENT)
    assert state is not None
    private = ChallengeView.open(state, keyring).private
    assert (private.psu_id, private.phone, private.message_shown, private.seed) == ("", None, "", "")
    assert len(await office.vault.disclosures([other_issued.head.id])) == 1


async def test_the_erasure_is_on_record_with_both_operators(office: Office, pool: asyncpg.Pool) -> None:
    """Who asked, who confirmed and why; the payer by pseudonym."""
    _, payer = await office.challenged(psu := new_id("cust"))
    challenge = await pool.fetchval("SELECT id FROM challenges WHERE psu = $1", payer)
    parsed = ChallengeId.parse(challenge)
    assert parsed is not None
    await cancel(office, parsed, pool)
    wish = await office.eraser.request(office.operators[0], client=CLIENT, psu_id=psu, reason="why")
    await office.eraser.confirm(office.operators[1], wish)
    rows = await pool.fetch(
        "SELECT body FROM audit_events WHERE psu = $1 AND type IN ('erasure.requested', 'payer.erased') ORDER BY at",
        payer,
    )
    asked, erased = (msgspec.json.decode(row["body"]) for row in rows)
    assert asked["erasure"] == erased["erasure"] == wish
    assert erased["requested_by"] == asked["actor"] != erased["actor"]
    assert erased["reason"] == "why" and psu not in rows[1]["body"]


async def test_one_operator_is_not_enough(office: Office, pool: asyncpg.Pool) -> None:
    """Who asks cannot confirm, in the code or past it; a client without the scope can do neither."""
    asked, _ = office.operators
    wish = await office.eraser.request(asked, client=CLIENT, psu_id="cust_x", reason="r")
    with pytest.raises(ErasureRefused):
        await office.eraser.confirm(asked, wish)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE erasures SET confirmed_by = requested_by WHERE id = $1", wish)
    for stranger in (office.bank, Secret("sca_made_up")):
        with pytest.raises(Unauthorized):
            await office.eraser.request(stranger, client=CLIENT, psu_id="cust_x", reason="r")
        with pytest.raises(Unauthorized):
            await office.eraser.confirm(stranger, wish)
    assert wish in [row.id for row in await office.eraser.pending()]


async def test_an_erasure_is_confirmed_once(office: Office, pool: asyncpg.Pool) -> None:
    """Of ten confirmations at once one is carried out; an unknown wish is not found."""
    asked, confirms = office.operators
    wish = await office.eraser.request(asked, client=CLIENT, psu_id=new_id("cust"), reason="r")
    results = await asyncio.gather(
        *(office.eraser.confirm(confirms, wish) for _ in range(10)), return_exceptions=True
    )
    assert results.count(None) == 1
    assert sum(isinstance(result, ErasureRefused) for result in results) == 9
    with pytest.raises(NotFound):
        await office.eraser.confirm(confirms, "ers_unknown")


async def test_a_payer_with_an_open_challenge_is_not_erased(office: Office, pool: asyncpg.Pool) -> None:
    """What is under way ends first: nothing was destroyed, and it can be confirmed later."""
    challenge, payer = await office.challenged(psu := new_id("cust"))
    wish = await office.eraser.request(office.operators[0], client=CLIENT, psu_id=psu, reason="r")
    with pytest.raises(ErasureRefused):
        await office.eraser.confirm(office.operators[1], wish)
    assert await pool.fetchval("SELECT wrapped FROM payer_keys WHERE psu = $1", payer) is not None
    await cancel(office, challenge, pool)
    await office.eraser.confirm(office.operators[1], wish)
    assert await pool.fetchval("SELECT wrapped FROM payer_keys WHERE psu = $1", payer) is None
