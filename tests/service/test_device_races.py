"""Devices' answers that arrive at once, over two api processes: one is approved, and none after a revocation.

What is asserted of parallel answers is asserted of broken versions as well. It has to fail there before it counts here.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from sca_service.authenticators.device_key.devices import Device as KnownDevice
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.challenges.device_answers import Active, DeviceAnswers
from sca_service.challenges.model import ChallengeId, Outcome
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore, Reply
from sca_service.core import Core, open_core
from sca_service.kernel.errors import InvalidProof
from sca_service.kernel.ids import new_id
from sca_service.settings import read_settings
from tests.device import Device, asked, enrolled, one_more
from tests.generator import path
from tests.harness import Bank, Deployment, Role, order, unique_psu
from tests.service.situations import partition_tag
from tests.service.test_races import ReadThenWriteStore, UnguardedRecorder
from tests.valkeys import raw_async_client

pytestmark = pytest.mark.race

ROUNDS = 3
ANSWERS = 30


@pytest.fixture(scope="module")
def second_api(service: Deployment) -> Iterator[Role]:
    """Another api process beside the first."""
    role = service.start("api")
    yield role
    role.stop()
    service.forget(role)


def urls_of(device: Device, second: Role) -> tuple[str, str]:
    """Where the two processes take devices' requests."""
    return device.url, f"{second.url}/device/v1"


async def test_of_thirty_parallel_approvals_one_is_approved(bank: Bank, second_api: Role) -> None:
    """In every round, over two processes: once approved, all others hear that it was used."""
    for _ in range(ROUNDS):
        psu = unique_psu()
        device = await enrolled(bank, psu)
        issued = await asked(bank, psu)
        signed = device.approval(issued, issued["matching_digits"])
        urls = urls_of(device, second_api)
        told = await asyncio.gather(
            *(device.answered(issued["id"], signed, url=urls[number % 2]) for number in range(ANSWERS))
        )
        assert Counter(outcome for outcome, _ in told) == {"approved": 1, "already_used": ANSWERS - 1}


async def test_yes_and_no_at_once_come_to_one_of_them(bank: Bank, second_api: Role) -> None:
    """Of two devices one approves and one declines: whichever is first, the other hears what became of it."""
    for _ in range(ROUNDS):
        psu = unique_psu()
        first = await enrolled(bank, psu)
        second = await one_more(bank, psu, first)
        issued = await asked(bank, psu)
        urls = urls_of(first, second_api)
        (yes, _), (no, _) = await asyncio.gather(
            first.answered(issued["id"], first.approval(issued, issued["matching_digits"]), url=urls[0]),
            second.answered(issued["id"], second.refusal(issued, "not_me"), url=urls[1]),
        )
        status = (await bank.get(issued["id"]))["status"]
        assert (yes, no, status) in {
            ("approved", "already_used", "approved"),
            ("declined", "declined", "declined"),
        }


class _LookThenWriteStore(ReadThenWriteStore):
    """The same, where two look before the first writes: on a slow machine one might be done before."""

    def __init__(self, redis: Redis, core: Core) -> None:
        super().__init__(redis, core)
        self._looked = asyncio.Barrier(2)

    async def answer(self, *about: Any, **members: Any) -> Reply:
        """After another one has come as far."""
        with suppress(asyncio.BrokenBarrierError):
            await self._looked.wait()
            await self._looked.abort()
        return await super().answer(*about, **members)


@asynccontextmanager
async def _answers(
    service: Deployment, *, store: str = "script", recorder: type[Recorder] = Recorder, keeps: bool = True
) -> AsyncIterator[tuple[DeviceAnswers, Core]]:
    """What answers are decided by, in this process: with parts that are broken on purpose, if told so."""
    settings = read_settings(service.config(service.api.port))
    async with open_core(settings) as core, raw_async_client(service.servers.valkey.url) as redis:
        stores: dict[str, ChallengeStore] = {
            "script": core.store,
            "read, then write": _LookThenWriteStore(redis, core),
        }
        active: Active = core.signing_devices() if keeps else _EveryDevice()
        answers = DeviceAnswers(
            policy=core.policy,
            keyring=settings.keyring,
            store=stores[store],
            archive=core.archive,
            recorder=recorder(writer=core.writer, outbox=core.outbox, archive=core.archive, store=core.store),
            devices=active,
            assessor=core.assessor(),
            clock=core.clock,
        )
        yield answers, core


class _EveryDevice:
    """Broken: it takes every device for active."""

    async def keeps(self, device: KnownDevice, challenge: str) -> bool:
        """As somebody would write it who believes what the request's proof said a moment ago."""
        return bool(device and challenge)


async def _known(core: Core, device: Device) -> KnownDevice:
    """The device as the service knows it, once its request's proof was right."""
    row = await AuthenticatorStore(core.postgres).of_anybody(device.id)
    assert row is not None
    return KnownDevice(row, DeviceKey.parse(device.jwk))


@pytest.mark.parametrize(
    ("store", "recorder", "is_guarded"),
    [
        ("read, then write", UnguardedRecorder, False),
        ("read, then write", Recorder, True),  # the guard `acceptances` alone
        ("script", UnguardedRecorder, True),  # the script alone
        ("script", Recorder, True),
    ],
)
async def test_without_script_and_guard_several_would_be_approved(
    bank: Bank, service: Deployment, store: str, recorder: type[Recorder], is_guarded: bool
) -> None:
    """Thirty at once in one process: either guard lets one through, and without both several are approved."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    issued = await asked(bank, psu)
    challenge = ChallengeId.parse(issued["id"])
    assert challenge is not None
    signed = device.approval(issued, issued["matching_digits"])
    async with _answers(service, store=store, recorder=recorder) as (answers, core):
        known = await _known(core, device)
        told = await asyncio.gather(
            *(answers.answer(known, new_id("req"), challenge, signed) for _ in range(ANSWERS))
        )
    outcomes = [one.outcome for one in told]
    assert (outcomes.count(Outcome.APPROVED) == 1) is is_guarded


@pytest.mark.parametrize("verb", ["revoke", "suspend"])
@pytest.mark.parametrize("keeps", [True, False])
async def test_a_device_that_was_withdrawn_after_its_proof_approves_nothing(
    bank: Bank, service: Deployment, verb: str, keeps: bool
) -> None:
    """RTS Art. 27: its request was let in, then it was withdrawn; the challenge is open for the payer's other device.

    Whoever stood still for longer than the store remembers it asks again; the version that does not approves.
    """
    psu = unique_psu()
    device = await enrolled(bank, psu)
    other = await one_more(bank, psu, device)
    issued = await asked(bank, psu)
    challenge = ChallengeId.parse(issued["id"])
    assert challenge is not None
    signed = device.approval(issued, issued["matching_digits"])
    async with _answers(service, keeps=keeps) as (answers, core):
        known = await _known(core, device)
        await withdraw(bank, psu, device, verb)
        async with raw_async_client(service.servers.valkey.url) as redis:
            tag = partition_tag(issued["id"])
            assert await redis.delete(f"{tag}:withdrawn:{device.id}") == 1
        if keeps:
            with pytest.raises(InvalidProof):
                await answers.answer(known, new_id("req"), challenge, signed)
            assert await other.approve(issued) == "approved"
        else:
            assert (await answers.answer(known, new_id("req"), challenge, signed)).outcome == "approved"


async def withdraw(bank: Bank, psu: dict[str, str], device: Device, verb: str) -> None:
    """Revoke or suspend a device."""
    place = f"{path(psu)}/{device.id}"
    response = await (
        bank.http.delete(place) if verb == "revoke" else bank.http.post(f"{place}/suspend", json={})
    )
    assert response.status_code in {200, 204}


@pytest.mark.parametrize("verb", ["revoke", "suspend"])
async def test_nothing_is_approved_after_a_device_was_withdrawn(
    bank: Bank, service: Deployment, second_api: Role, verb: str
) -> None:
    """One process withdraws while the other is answered; from the first one's answer on nothing is approved."""
    for _ in range(ROUNDS):
        psu = unique_psu()
        device = await enrolled(bank, psu)
        first, second = await asked(bank, psu), await asked(bank, psu)
        url = urls_of(device, second_api)[1]
        answered, _ = await asyncio.gather(
            device.answer(first["id"], device.approval(first, first["matching_digits"]), url=url),
            withdraw(bank, psu, device, verb),
        )
        if answered.status_code == 200:
            assert answered.json()["outcome"] in {"approved", "cancelled"}
        else:
            assert (answered.status_code, answered.json()["code"]) == (401, "invalid-proof")
        late = await device.answer(second["id"], device.approval(second, second["matching_digits"]), url=url)
        assert late.status_code == 401
        read = await bank.get(second["id"])
        assert (read["status"], read["reason"]) == ("cancelled", f"authenticator_{verb.rstrip('e')}ed")


async def test_of_parallel_pushes_exactly_five_go_out(
    bank: Bank, service: Deployment, second_api: Role
) -> None:
    """Push bombing over two processes: twenty issues at once, five challenges."""
    psu = unique_psu()
    await enrolled(bank, psu)
    body = order(psu=psu, method="device_signature", channels=None)
    async with service.bank(url=second_api.url) as other:
        banks = (bank, other)
        responses = await asyncio.gather(
            *(banks[number % 2].http.post("/v1/challenges", json=body) for number in range(20))
        )
    assert Counter(one.status_code for one in responses) == {201: 5, 429: 15}


async def test_a_proof_counts_once_over_two_processes(bank: Bank, second_api: Role) -> None:
    """RFC 9449, section 11.1: a proof for one replica is none for the other, and a second use is none at all."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    proof = device.proof("GET", f"{device.url}/challenges")
    elsewhere = urls_of(device, second_api)[1]
    assert (await device.call("GET", "/challenges", proof=proof, url=elsewhere)).status_code == 401
    sent = await asyncio.gather(*(device.call("GET", "/challenges", proof=proof) for _ in range(10)))
    assert Counter(one.status_code for one in sent) == {200: 1, 401: 9}
