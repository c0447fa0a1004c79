"""Where payers are challenged and erased: what tests of erasures share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.audit.private.postgres_store import Destroyed, ErasureStore
from sca_service.audit.private.vault import Vault
from sca_service.audit.redis_store import Outbox
from sca_service.audit.writer import AuditWriter
from sca_service.authenticators.device_key.devices import Devices
from sca_service.authenticators.device_key.redis_store import ProofStore
from sca_service.authenticators.generators import Generators
from sca_service.authenticators.passkey.passkeys import Passkeys
from sca_service.authenticators.postgres_store import AuthenticatorRow, AuthenticatorStore
from sca_service.challenges.ask import Asker
from sca_service.challenges.erasure import Eraser
from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.model import ChallengeId, ChallengeState
from sca_service.challenges.order import ChallengeOrder
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, EventMembers
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.phone import PhoneNumber
from sca_service.kernel.secret import Secret
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.load import load
from sca_service.policy.model import Purpose
from sca_service.risk.assessor import Assessor
from sca_service.risk.camara import NobodyAsked
from sca_service.risk.redis_store import RiskStore
from sca_service.settings import shipped_policies
from tests.storeroom import CLIENT

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

    async def erase(self, psu_id: str) -> Destroyed:
        """One operator asks, the other confirms."""
        wish = await self.eraser.request(self.operators[0], client=CLIENT, psu_id=psu_id, reason="r")
        return await self.eraser.confirm(self.operators[1], wish)

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


@asynccontextmanager
async def open_office(
    pool: asyncpg.Pool,
    redis: RedisConnection,
    keyring: Keyring,
    archive: ChallengeArchive,
    store: ChallengeStore,
) -> AsyncIterator[Office]:
    """An office on stores."""
    registry = ClientRegistry(ClientStore(pool), keyring)
    names = [f"ops-{new_id('x')[-10:]}" for _ in range(3)]
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
            asker=_asker(pool, keyring, redis),
            assessor=_assessor(keyring, redis),
        ),
        eraser=Eraser(
            erasures=ErasureStore(pool),
            challenges=store,
            memory=RiskStore(redis, load(shipped_policies()).risk.memory),
            lines=PumpingStore(redis, load(shipped_policies()).pumping),
            keyring=keyring,
            clock=SystemClock(),
        ),
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


async def late_state(office: Office, challenge: ChallengeId) -> ChallengeState:
    """A challenge with all that is personal, as a script returned it whose commit still waits."""
    state = await office.store.get(challenge)
    assert state is not None
    state.revision += 1
    return state


async def on_record(office: Office, challenge: ChallengeId) -> ChallengeState:
    """A challenge as PostgreSQL has it."""
    state = await office.archive.get(challenge.text, CLIENT)
    assert state is not None
    return state


class _NoPasskeys:
    """No passkey is ever asked here, so none can be copied."""

    async def copied(self, row: AuthenticatorRow) -> None:
        """Never called."""
        raise AssertionError(row.id)


def _asker(pool: asyncpg.Pool, keyring: Keyring, redis: RedisConnection) -> Asker:
    store, clock = AuthenticatorStore(pool), SystemClock()
    return Asker(
        Generators(policy=load(shipped_policies()).authenticators, keyring=keyring, store=store, clock=clock),
        Devices(keyring=keyring, store=store, proofs=ProofStore(redis), clock=clock),
        Passkeys(keyring=keyring, store=store, site=None, suspends=_NoPasskeys()),
    )


def _assessor(keyring: Keyring, redis: RedisConnection) -> Assessor:
    policy = load(shipped_policies())
    return Assessor(
        policy,
        store=RiskStore(redis, policy.risk.memory),
        failures=ChallengeStore(redis),
        desk=NobodyAsked(),
        keyring=keyring,
        clock=SystemClock(),
    )
