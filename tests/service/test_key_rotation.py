"""The roots of the keyring are changed while the service runs: nothing that was issued or enrolled before is lost."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from sca_service import keys_commands
from sca_service.custody.model import TABLES, Place
from sca_service.custody.postgres_store import SealedStore
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from tests.generator import Generator, enrolled, login, pin_enrolled
from tests.harness import TRANSACTION, Bank, Deployment, Role, unique_psu
from tests.ports import free_port
from tests.storeroom import eventually
from tests.valkeys import raw_async_client

pytestmark = [pytest.mark.long, pytest.mark.race]

PIN = "493817"
PATIENCE = 60.0
"""Seconds; a worker has to start first, on a busy machine."""
DEVICES = 40


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A service of its own, whose keys are changed."""
    deployment = Deployment(tmp_path_factory.mktemp("rotation"))
    deployment.start_stores()
    yield deployment
    deployment.stop()


@pytest.fixture
async def pool(deployment: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to its PostgreSQL."""
    async with asyncpg.create_pool(deployment.servers.postgres.url, min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def redis(deployment: Deployment) -> AsyncIterator[Redis]:
    """Its Redis, to let a day pass."""
    client = raw_async_client(deployment.servers.valkey.url, protocol=2)
    yield client
    await client.aclose()


async def refused(act: Callable[[], None]) -> str:
    """Why a command does nothing."""
    with pytest.raises(ConfigurationError) as said:
        await asyncio.to_thread(act)
    return str(said.value)


async def start(deployment: Deployment, name: str, **members: Any) -> Role:
    """Start a role with the keyring as it is now."""
    return await asyncio.to_thread(lambda: deployment.start(name, **members))


async def stop(deployment: Deployment, *roles: Role) -> None:
    """Stop roles."""
    for role in roles:
        await asyncio.to_thread(role.stop)
        deployment.forget(role)


async def under_root(pool: asyncpg.Pool, version: int) -> int:
    """How many records of the tables lie under a root."""
    store = SealedStore(pool)
    return sum([(await store.uses(table)).get(version, 0) for table in TABLES])


async def add_devices(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """Many payers' devices."""
    ids = [new_id("psb") for _ in range(DEVICES)]
    await pool.execute(
        "INSERT INTO push_subscriptions (id, client_id, psu, kind, address, fingerprint, registered_at)"
        " SELECT id, 'bank', 'psu', 'fcm', address, id, now() FROM unnest($1::text[], $2::text[]) AS new (id, address)",
        ids,
        [keyring.seal(b"address", one) for one in ids],
    )


async def approved(bank: Bank, challenge: str, code: str, **members: Any) -> None:
    """An answer that has to be right."""
    response = await bank.http.post(f"/v1/challenges/{challenge}/verify", json={"code": code, **members})
    assert response.json()["outcome"] == "approved", response.text


@dataclass(frozen=True, slots=True)
class Payers:
    """Payers of before the rotation, what they hold, and their challenges: one with its code, one without an answer."""

    totp: tuple[dict[str, str], Generator]
    hotp: tuple[dict[str, str], Generator]
    pin: dict[str, str]
    asked_pin: tuple[str, str]
    waiting: dict[str, str]
    unanswered: str


async def payers_of_before(bank: Bank) -> Payers:
    """One with a generator that follows the time, one with one that counts, one with a PIN, one who has to wait."""
    totp, hotp, pin, waiting = unique_psu(), unique_psu(), unique_psu(), unique_psu()
    await pin_enrolled(bank, pin, PIN)
    return Payers(
        totp=(totp, (await enrolled(bank, totp))[1]),
        hotp=(hotp, (await enrolled(bank, hotp, "hotp"))[1]),
        pin=pin,
        asked_pin=await pay_with_pin(bank, pin),
        waiting=waiting,
        unanswered=(await bank.issue(psu=waiting))["id"],
    )


async def pay_with_pin(bank: Bank, psu: dict[str, str]) -> tuple[str, str]:
    """A payment that asks for the PIN beside a code; the challenge and its code."""
    challenge = await bank.issue(psu=psu)
    assert challenge["pin_asked"]
    return challenge["id"], await bank.code(psu["phone"], of=challenge["id"])


async def count(bank: Bank, payers: Payers) -> None:
    """The generator that counts answers once more."""
    psu, generator = payers.hotp
    await approved(bank, await login(bank, psu, "hotp"), generator.code())


async def killed_in_the_middle(deployment: Deployment, pool: asyncpg.Pool) -> None:
    """A worker that begins to seal anew, and does not come to an end: the last device is held until it is killed."""
    total = await under_root(pool, 1)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM push_subscriptions ORDER BY id DESC LIMIT 1 FOR UPDATE")
        worker = await start(deployment, "worker")
        await eventually(lambda: below(pool, total), seconds=PATIENCE)
        worker.kill()
        deployment.forget(worker)
        assert 0 < await under_root(pool, 1) < total, "it was to be killed in the middle"


async def test_roots_are_changed_while_payers_go_on(
    deployment: Deployment, pool: asyncpg.Pool, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Add a root, take it into use, seal anew, take the old one out: two replicas, a killed worker, no answer lost."""
    path, config = deployment.keyring_file, deployment.config(1)
    keys_commands.add(path)
    first, worker = await start(deployment, "api"), await start(deployment, "worker")
    async with deployment.bank(url=first.url) as bank:
        payers = await payers_of_before(bank)
    await add_devices(pool, deployment.keyring)
    assert await under_root(pool, 2) == 0

    keys_commands.rotate(path)
    second = await start(deployment, "api", port=free_port())
    async with deployment.bank(url=first.url) as old, deployment.bank(url=second.url) as new:
        # Issued by one replica and answered at the other, both ways round.
        await approved(new, *payers.asked_pin, transaction=TRANSACTION, pin=PIN)
        issued = await new.issue(psu=(psu := unique_psu()))
        await approved(old, issued["id"], await old.code(psu["phone"]), transaction=TRANSACTION)
        await stop(deployment, first, worker)
        await killed_in_the_middle(deployment, pool)
        worker = await start(deployment, "worker")
        await count(new, payers)
        await eventually(lambda: below(pool, 1), seconds=PATIENCE)
        await count(new, payers)
        code = await new.code(payers.waiting["phone"])
        await approved(new, payers.unanswered, code, transaction=TRANSACTION)

    said = await refused(lambda: keys_commands.retire(1, path, config=config))
    # What was settled since the pass, and what is in Redis for an hour yet.
    assert re.search(rf"root 1 is still needed: [12] {Place.CHALLENGES}, 2 {Place.HOT_CHALLENGES}", said)
    await stop(deployment, second, worker)
    await let_a_day_pass(redis)
    worker = await start(deployment, "worker")  # its pass finds what was settled since
    await eventually(lambda: below(pool, 1), seconds=PATIENCE)
    await asyncio.to_thread(keys_commands.status, config=config)
    assert f"\n{Place.CHALLENGES}\t2\t" in (told := capsys.readouterr().out) and "\tolder" not in told
    await asyncio.to_thread(keys_commands.retire, 1, path, config=config)
    assert deployment.keyring.versions == (2,)
    await stop(deployment, worker)
    await assert_payers_go_on(deployment, payers)
    assert await pool.fetchval("SELECT count(*) FROM audit_events WHERE type = 'keys.resealed'")


async def assert_payers_go_on(deployment: Deployment, payers: Payers) -> None:
    """With the keyring as it is now: both generators, the PIN, and what was settled long ago."""
    api, _ = await start(deployment, "api", port=free_port()), await start(deployment, "worker")
    async with deployment.bank(url=api.url) as bank:
        psu, generator = payers.totp
        await approved(bank, await login(bank, psu), generator.code())
        await count(bank, payers)
        challenge, code = await pay_with_pin(bank, payers.pin)
        await approved(bank, challenge, code, transaction=TRANSACTION, pin=PIN)
        assert (await bank.get(payers.unanswered))["status"] == "approved"


async def below(pool: asyncpg.Pool, most: int) -> bool:
    """Whether fewer lie under the old root."""
    return await under_root(pool, 1) < most


async def let_a_day_pass(redis: Redis) -> None:
    """What Redis forgets by itself within a day: challenges, and answers under an Idempotency-Key."""
    for pattern in ("*:challenge:*", "idempotency:*"):
        found = [key async for key in redis.scan_iter(pattern)]
        if found:
            await redis.delete(*found)


def test_the_folder_of_the_keyring_holds_nothing_else(deployment: Deployment) -> None:
    """Nothing is left beside it, whatever was changed."""
    assert not list(Path(deployment.folder).glob(".keyring*"))
