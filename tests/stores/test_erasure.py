"""Erasure: two operators, then the values are gone from every store, and what was committed to stays as it was."""

import asyncio

import asyncpg
import msgspec
import pytest

from sca_service.audit.private.postgres_store import Destroyed
from sca_service.audit.private.vault import Vault
from sca_service.authenticators.model import SigningQuestion
from sca_service.challenges.erasure import ErasureRefused
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import NotFound, Unauthorized
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.limits.pumping.model import line_name
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.risk.copying import Copier
from sca_service.risk.listings import Listings
from sca_service.risk.marks import Element
from sca_service.risk.model import MarkedKind
from sca_service.risk.postgres_store import MarkStore
from sca_service.risk.redis_store import RiskStore, Subjects
from tests.erasure_office import PHONE, Office, cancel, late_state, on_record
from tests.exemption_office import ORIGIN, POLICY
from tests.storeroom import CLIENT, events_of, keys_of


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
    await office.challenged(psu := new_id("cust"))
    wish = await office.eraser.request(asked, client=CLIENT, psu_id=psu, reason="r")
    with pytest.raises(ErasureRefused):
        await office.eraser.confirm(asked, wish)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE erasures SET confirmed_by = requested_by WHERE id = $1", wish)
    for stranger in (office.bank, Secret("sca_made_up")):
        with pytest.raises(Unauthorized):
            await office.eraser.request(stranger, client=CLIENT, psu_id=psu, reason="r")
        with pytest.raises(Unauthorized):
            await office.eraser.confirm(stranger, wish)
    assert wish in [row.id for row in await office.eraser.pending()]


async def test_an_erasure_is_confirmed_once(office: Office, pool: asyncpg.Pool) -> None:
    """Of ten confirmations at once one is carried out; an unknown wish is not found."""
    asked, confirms = office.operators
    challenge, _ = await office.challenged(psu := new_id("cust"))
    await cancel(office, challenge, pool)
    wish = await office.eraser.request(asked, client=CLIENT, psu_id=psu, reason="r")
    results = await asyncio.gather(
        *(office.eraser.confirm(confirms, wish) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, Destroyed) for result in results) == 1
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


async def test_nothing_derived_from_the_transaction_stays(
    office: Office, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """A plain digest, a signing question and an answer's name would let somebody try out amounts and PINs."""
    challenge, _ = await office.challenged(psu := new_id("cust"))
    await cancel(office, challenge, pool)
    state = await late_state(office, challenge)
    state.digest, state.answer_key = "sha256:" + "5" * 64, "named"
    signing = msgspec.structs.replace(state.details, question=SigningQuestion("aut_1", "Q1234567"))
    state.fixed = msgspec.json.encode(signing).decode()
    async with pool.acquire() as connection:
        await office.archive.save(connection, [state])
    assert (await on_record(office, challenge)).digest == state.digest
    await office.erase(psu)
    left = await on_record(office, challenge)
    assert (left.digest, left.answer_key, left.details.question) == ("", "", None)
    assert (left.id, left.status, left.details.policy) == (state.id, state.status, signing.policy)
    assert b"Q1234567" not in msgspec.msgpack.encode(left)


async def test_a_payer_whom_nobody_knows_is_not_erased(office: Office, pool: asyncpg.Pool) -> None:
    """A mistyped reference, or another client's: no wish and no event, and the words say it."""
    await office.challenged(psu := new_id("cust"))
    before = len(await office.eraser.pending())
    for client, mistyped in ((CLIENT, psu + "x"), ("another", psu)):
        with pytest.raises(ErasureRefused, match="nothing is on record"):
            await office.eraser.request(office.operators[0], client=client, psu_id=mistyped, reason="r")
    assert len(await office.eraser.pending()) == before


async def test_it_tells_what_was_destroyed(office: Office, pool: asyncpg.Pool) -> None:
    """How much of what; a repeated erasure, as after a restore, finds nothing more, by the pseudonym as well."""
    challenges = [await office.challenged(psu := new_id("cust"))]
    challenges.append(await office.challenged(psu))
    for challenge, _ in challenges:
        await cancel(office, challenge, pool)
    assert await office.erase(psu) == Destroyed(keys=1, values=2, challenges=2, devices=0, authenticators=0)
    wish = await office.eraser.repeat(
        office.operators[0], client=CLIENT, psu=challenges[0][1], reason="after a restore"
    )
    again = await office.eraser.confirm(office.operators[1], wish)
    assert again == Destroyed(keys=0, values=0, challenges=2, devices=0, authenticators=0)


async def test_what_redis_knows_of_the_payer_s_lines_and_lists_goes_too(
    office: Office, pool: asyncpg.Pool, redis: RedisConnection, keyring: Keyring
) -> None:
    """A line that has approved something passes as known no more; the payer is on no list, and no copy comes back."""
    psu = new_id("cust")
    challenge, payer = await office.challenged(psu)
    await cancel(office, challenge, pool)
    line = line_name(PhoneNumber.parse(PHONE), keyring)
    pumping = PumpingStore(redis, POLICY.pumping)
    await redis.command("SET", f"{{line:{line}}}:approved", 1, "EX", 3_600)
    assert await pumping.knows(line)
    memory, marks = RiskStore(redis, POLICY.risk.memory), MarkStore(pool)
    lists = Listings(store=marks, memory=memory, keyring=keyring, clock=SystemClock())
    element = Element.reference(MarkedKind.PAYER, psu)
    await lists.put(CLIENT, element, reason="defrauded", days=9, origin=ORIGIN)
    assert (await memory.recall(Subjects(payer, {}))).payer.is_listed
    await office.erase(psu)
    assert not await pumping.knows(line)
    await redis.command("DEL", "{risk}:copied")
    copier = Copier(marks, memory)
    while await copier.step() == 0.0:
        pass
    assert not (await memory.recall(Subjects(payer, {}))).payer.is_listed
    assert await keys_of(redis, f"*risk:{payer}*") == []
