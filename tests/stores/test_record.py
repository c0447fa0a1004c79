"""What is told is on record: use cases over both stores, where a process dies between deciding and committing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from sca_service.audit.model import AuditEvent
from sca_service.challenges import code
from sca_service.challenges.answer import Answer
from sca_service.challenges.authentication_code import AuthenticationCodeSigner
from sca_service.challenges.evaluate import Evaluator
from sca_service.challenges.follow import Follower
from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.model import ChallengeId, Outcome, Status
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.postgres_store import ChallengeFilter
from sca_service.challenges.redis_store import RECORD_MS, Reply
from sca_service.challenges.verify import Verified, Verifier
from sca_service.core import Core, open_core
from sca_service.kernel.errors import NotFound, ResendCooldown, StoreUnavailable, TooEarly
from sca_service.kernel.money import Amount
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.transaction import Payee, Transaction
from sca_service.limits.calm import Calm
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import AtLimit, Channel, LimitedAction, LimitRule, LimitScope, Purpose
from sca_service.settings import read_settings
from tests.harness import Deployment, unique_psu
from tests.storeroom import answered

PAYMENT = Transaction.payment(amount=Amount("EUR", 4_999), payee=Payee("ACME GmbH"))
BANK = Caller("bank", "req_record")
LADDER = tuple(WantedStep(channel) for channel in (Channel.PUSH, Channel.SMS, Channel.VOICE))


@dataclass(frozen=True, slots=True)
class Bench:
    """The use cases of one api process, over the stores."""

    core: Core
    issuer: Issuer
    verifier: Verifier
    follower: Follower

    @classmethod
    def of(cls, core: Core) -> "Bench":
        """Put together as the api does it."""
        keyring, limits = core.settings.keyring, LimitStore(core.redis)
        return cls(
            core=core,
            issuer=Issuer(
                policy=core.policy,
                keyring=keyring,
                store=core.store,
                limits=limits,
                recorder=core.recorder,
                asker=core.asker(),
                assessor=core.assessor(),
            ),
            verifier=Verifier(
                policy=core.policy,
                keyring=keyring,
                store=core.store,
                archive=core.archive,
                recorder=core.recorder,
                signer=AuthenticationCodeSigner(keyring, core.settings.issuer),
                conversions=core.router,
                evaluator=Evaluator(
                    keyring=keyring,
                    store=core.store,
                    generators=core.generators(),
                    pins=core.pins(),
                    passkeys=core.passkeys(),
                ),
                uses=core.generators(),
                assessor=core.assessor(),
                limits=limits,
                calm=Calm(limits, core.settings.keyring),
                clock=core.clock,
            ),
            follower=Follower(
                policy=core.policy,
                keyring=keyring,
                store=core.store,
                archive=core.archive,
                limits=limits,
                recorder=core.recorder,
            ),
        )

    def order(self, **members: str) -> ChallengeOrder:
        """A payment of a payer nobody else has."""
        psu = {**unique_psu(), **members}
        return ChallengeOrder(
            psu_id=psu["id"],
            purpose=Purpose.PAYMENT,
            transaction=PAYMENT,
            phone=PhoneNumber.parse(psu["phone"]),
            channels=LADDER,
        )

    async def issue(self, **members: str) -> ChallengeId:
        """A pending challenge, on record."""
        view = await self.issuer.issue(BANK, self.order(**members))
        challenge = ChallengeId.parse(view.state.id)
        assert challenge is not None
        return challenge

    async def verify(self, challenge: ChallengeId, *, key: str = "") -> Verified:
        """The right answer."""
        return await self.verifier.verify(BANK, challenge, self.right(challenge, key))

    def right(self, challenge: ChallengeId, key: str) -> Answer:
        """The right answer under a key."""
        right = code.derive(self.core.settings.keyring, challenge, PAYMENT.digest())
        return Answer(right, PAYMENT, key)

    async def taken_off_the_record(self, challenge: ChallengeId) -> tuple[AuditEvent, ...]:
        """The events of a challenge, as if they were not committed yet."""
        off = "DELETE FROM audit_events WHERE challenge_id = $1 RETURNING body"
        rows = await self.core.postgres.fetch(off, challenge.text)
        return tuple(AuditEvent.parse(row["body"].encode()) for row in rows)

    async def approve_and_die(self, challenge: ChallengeId, *, key: str = "") -> Reply:
        """The script has approved; the process was killed before it could commit."""
        name = self.right(challenge, key).name(self.core.settings.keyring, BANK.client)
        reply = await answered(self.core.store, challenge, right=True, digest=PAYMENT.digest(), key=name)
        assert reply.word == "approved"
        return reply


@pytest.fixture
async def bench(quiet_stores: Deployment) -> AsyncIterator[Bench]:
    """Use cases over stores that no worker works on."""
    async with open_core(read_settings(quiet_stores.config(1))) as core:
        yield Bench.of(core)


async def test_an_approval_that_is_not_on_record_is_not_told(bench: Bench) -> None:
    """Not to whoever reads, lists, cancels or asks again: until it is there, the challenge is as good as pending."""
    challenge = await bench.issue()
    reply = await bench.approve_and_die(challenge, key="key")
    assert reply.state is not None
    wanted = ChallengeFilter("bank", payer=reply.state.payer)

    assert (await bench.follower.get("bank", challenge)).state.status is Status.PENDING
    assert [view.state.status for view in await bench.follower.page(wanted, most=5)] == [Status.PENDING]
    with pytest.raises(StoreUnavailable):
        await bench.follower.cancel(BANK, challenge)
    with pytest.raises(StoreUnavailable):
        await bench.verify(challenge, key="key")

    assert await bench.core.recorder.commit(challenge.partition, reply)
    assert (await bench.follower.get("bank", challenge)).state.status is Status.APPROVED
    assert [view.state.status for view in await bench.follower.page(wanted, most=5)] == [Status.APPROVED]
    assert (await bench.follower.cancel(BANK, challenge)).state.status is Status.APPROVED
    assert (await bench.verify(challenge, key="key")).outcome is Outcome.APPROVED


async def test_a_snapshot_is_no_approval(bench: Bench) -> None:
    """A receipt's commit stores the newest state; the approval in it is told when its own event is there."""
    challenge = await bench.issue()
    reply = await bench.approve_and_die(challenge, key="key")
    assert reply.state is not None
    await bench.core.recorder.commit(challenge.partition, Reply("changed", reply.state))
    archived = await bench.core.archive.get(challenge.text, "bank")
    assert archived is not None
    assert archived.status is Status.APPROVED
    with pytest.raises(StoreUnavailable):
        await bench.follower.get("bank", challenge)
    with pytest.raises(StoreUnavailable):
        await bench.verify(challenge, key="key")


@pytest.mark.parametrize("action", ["issue", "cancel"])
async def test_a_snapshot_is_no_issue_and_no_cancellation(bench: Bench, action: str) -> None:
    """A commit of something else stores the newest state; the same request again waits for its own event."""
    order, unique = bench.order(), "5" * 32
    view = await bench.issuer.issue(BANK, order, unique=unique)
    challenge = ChallengeId.parse(view.state.id)
    assert challenge is not None
    if action == "cancel":
        members = BANK.event_members(bench.core.policy)
        reply = await bench.core.store.cancel(challenge, members, client="bank")
    else:
        reply = Reply("issued", view.state, await bench.taken_off_the_record(challenge))
    await bench.core.recorder.commit(challenge.partition, Reply("changed", reply.state))

    async def again() -> Status:
        if action == "cancel":
            return (await bench.follower.cancel(BANK, challenge)).state.status
        return (await bench.issuer.issue(BANK, order, unique=unique)).state.status

    with pytest.raises(StoreUnavailable):
        await again()
    assert await bench.core.recorder.commit(challenge.partition, reply)
    assert await again() is (Status.CANCELLED if action == "cancel" else Status.PENDING)


async def test_the_same_answer_again_is_the_same_proof(bench: Bench) -> None:
    """A client that heard nothing hears the same; another one hears that the code was used."""
    challenge = await bench.issue()
    first = await bench.verify(challenge, key="key")
    again = await bench.verify(challenge, key="key")
    assert first.authentication_code
    assert (again.outcome, again.authentication_code) == (Outcome.APPROVED, first.authentication_code)
    for key in ("", "another"):
        other = await bench.verify(challenge, key=key)
        assert (other.outcome, other.authentication_code) == (Outcome.ALREADY_USED, None)


@pytest.mark.parametrize("key", ["first", "second"])
async def test_a_revived_code_is_never_told_as_approved(bench: Bench, key: str) -> None:
    """Redis loses its tail and the code is answered again, and asked for again: there is one approval for ever."""
    challenge = await bench.issue()
    name = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    tail = await bench.core.redis.command("DUMP", name)
    first = await bench.verify(challenge, key="first")
    await bench.core.redis.command("RESTORE", name, 300_000, tail, "REPLACE")
    for _ in range(3):
        again = await bench.verify(challenge, key=key)
        assert (again.outcome, again.authentication_code) == (Outcome.ALREADY_USED, None)
    assert first.outcome is Outcome.APPROVED


async def test_a_revived_challenge_that_was_voided_is_not_approved(bench: Bench) -> None:
    """Redis loses the mismatch that voided a challenge: the right code is refused, and it reads as rejected."""
    challenge = await bench.issue()
    name = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    tail = await bench.core.redis.command("DUMP", name)
    other = structs.replace(PAYMENT, reference="another payment")
    right = code.derive(bench.core.settings.keyring, challenge, PAYMENT.digest())
    voided = await bench.verifier.verify(BANK, challenge, Answer(right, other))
    assert voided.outcome is Outcome.TRANSACTION_MISMATCH
    await bench.core.redis.command("RESTORE", name, 300_000, tail, "REPLACE")
    again = await bench.verify(challenge)
    assert (again.outcome, again.authentication_code) == (Outcome.ALREADY_USED, None)
    assert (await bench.follower.get(BANK.client, challenge)).state.status is Status.REJECTED


async def test_what_only_postgresql_remembers_is_over(bench: Bench) -> None:
    """A challenge that Redis has lost can be read, and never approved any more; its answers are on record."""
    challenge = await bench.issue()
    await bench.core.redis.command("DEL", f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}")
    assert (await bench.follower.get("bank", challenge)).state.status is Status.EXPIRED
    for _ in range(2):
        assert (await bench.verify(challenge)).outcome is Outcome.EXPIRED
    told = await bench.core.postgres.fetchval(
        "SELECT count(*) FROM audit_events WHERE challenge_id = $1 AND type = 'challenge.answered'",
        challenge.text,
    )
    assert told == 2
    with pytest.raises(NotFound):
        await bench.follower.get("other-bank", challenge)


async def test_a_decision_releases_only_what_it_queued_itself(bench: Bench) -> None:
    """A wrong answer is on record; the message it comes before waits for the record of its own decision."""
    challenge = await bench.issue()
    due = f"{{p{challenge.partition:02d}}}:due"
    stepped = await bench.core.store.step(
        challenge,
        BANK.event_members(bench.core.policy),
        client="bank",
        resend=bench.core.policy.resend,
        limits=(),
    )
    assert stepped.state is not None
    waits_until = b"%d" % (stepped.state.deliveries[-1].queued_at + RECORD_MS)
    await asyncio.sleep(0.002)  # decisions of one millisecond count as one
    wrong = await answered(bench.core.store, challenge, right=False, digest=PAYMENT.digest())
    await bench.core.recorder.commit(challenge.partition, wrong)
    assert await bench.core.redis.command("ZSCORE", due, challenge.text) == waits_until
    await bench.core.recorder.commit(challenge.partition, stepped)
    assert await bench.core.redis.command("ZSCORE", due, challenge.text) != waits_until


@pytest.mark.parametrize("at_limit", list(AtLimit))
async def test_a_payers_limit_bites_only_where_it_refuses(bench: Bench, at_limit: AtLimit) -> None:
    """One that observes lets through, counts and is logged, for challenges and for further messages."""
    rules = tuple(
        LimitRule(f"{action}-rarely", action, LimitScope.PAYER, 1, 86_400, burst=1, at_limit=at_limit)
        for action in LimitedAction
    )
    bench = Bench.of(replace(bench.core, policy=replace(bench.core.policy, limits=rules)))
    psu = unique_psu()
    with capture_logs() as logs:
        first = await bench.issue(**psu)
        try:
            await bench.issue(**psu)
            passed = True
        except TooEarly:
            passed = False
    observed = [line["limit"] for line in logs if line["event"] == "limit.observed"]
    refuses = at_limit is AtLimit.REFUSE
    assert passed is not refuses
    assert observed == ([] if refuses else ["issue-rarely"])

    await bench.follower.step(BANK, first)
    state = await bench.core.store.get(first)
    assert state is not None
    with capture_logs() as logs, pytest.raises(TooEarly) as early:
        await bench.follower.step(BANK, first)
    assert isinstance(early.value, ResendCooldown)
    observed = [line["limit"] for line in logs if line["event"] == "limit.observed"]
    assert observed == ([] if refuses else ["resend-rarely"])
