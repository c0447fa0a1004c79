"""What a hostile reading of devices, phone lines and the sandbox's page has found; each test failed once."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from litestar.di import Provide
from redis.asyncio import Redis

from sca_service.api.answer import HttpAnswer
from sca_service.api.call import Call
from sca_service.api.challenge_events import MOST_OF_A_CLIENT, MOST_STREAMS, ChallengeStreams
from sca_service.api.clients import Client
from sca_service.api.routes import on_exception
from sca_service.authenticators.device_key.devices import Device as KnownDevice
from sca_service.authenticators.device_key.jwk import DeviceKey
from sca_service.authenticators.enrolment.model import Whose
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.challenges.ask import Asker, Question
from sca_service.challenges.device_answers import DeviceAnswers
from sca_service.challenges.issue import Caller, Issuer
from sca_service.challenges.model import ChallengeId
from sca_service.challenges.order import ChallengeOrder, WantedStep
from sca_service.challenges.redis_store import Reply
from sca_service.console.bank.keys import SandboxKeys
from sca_service.console.bank.routes import ROUTES
from sca_service.core import Core, open_core
from sca_service.kernel.errors import InvalidProof, Overloaded
from sca_service.limits.redis_store import LimitStore
from sca_service.policy.model import Channel, Purpose
from sca_service.settings import read_settings
from tests.device import Device, asked, enrol, enrolled, one_more
from tests.generator import activate, path
from tests.harness import Bank, Deployment, unique_psu, wrong
from tests.service.situations import challenge_key

WRONG_CODE = "AAAAAA-AAAAAA-AAAAAA-AAAAAA"
NOTHING = {"purpose": "login", "transaction": None}


@asynccontextmanager
async def a_core(service: Deployment) -> AsyncIterator[Core]:
    """The parts of the service in this process."""
    async with open_core(read_settings(service.config(service.api.port))) as core:
        yield core


async def a_line(bank: Bank, psu: dict[str, str]) -> str:
    """An active phone line of a payer; its id."""
    body = {"type": "phone", "label": "Mine", "phone": psu["phone"], "locale": "de-DE"}
    made: str = (await bank.http.post(path(psu), json=body)).json()["authenticator"]["id"]
    activated = await activate(bank, psu, made, await bank.code(psu["phone"]))
    assert activated.json()["outcome"] == "activated"
    return made


# --- phone lines


async def test_a_revocation_that_was_cut_off_is_ended_by_the_next_one(
    bank: Bank, service: Deployment
) -> None:
    """RTS Art. 27: a process dies between revocation and voiding; sent again, codes on their way are void."""
    psu = unique_psu()
    line = await a_line(bank, psu)
    issued = await bank.issue(psu={"id": psu["id"]}, **NOTHING)
    code = await bank.code(psu["phone"], number=2)
    async with a_core(service) as core:
        await core.enrolment().revoke(Whose("bank", psu["id"], {"actor": "client:bank"}), line)
    later = await bank.issue(psu=psu, **NOTHING)
    assert (await bank.http.delete(f"{path(psu)}/{line}")).status_code == 204
    assert (await bank.verify(issued["id"], code, None))["outcome"] == "cancelled"
    assert (await bank.get(later["id"]))["status"] == "pending", "the bank vouched for that number since"


class _RevokesTheLine(Asker):
    """The payer's line is revoked by another process while a challenge is on its way. Inherits to add that."""

    def __init__(self, core: Core, bank: Bank, place: str) -> None:
        super().__init__(core.generators(), core.signing_devices(), core.passkeys())
        self._bank = bank
        self._place = place

    async def question(
        self, payer: str, order: ChallengeOrder, challenge: str, *, asks_pin: bool
    ) -> Question:
        """After the line was read, and before the challenge is there."""
        assert (await self._bank.http.delete(self._place)).status_code == 204
        return await super().question(payer, order, challenge, asks_pin=asks_pin)


async def test_no_challenge_outlives_the_line_that_it_was_made_for(bank: Bank, service: Deployment) -> None:
    """RTS Art. 27: revoked between the look at the line and the challenge, which no revocation could see."""
    psu = unique_psu()
    line = await a_line(bank, psu)
    async with a_core(service) as core:
        issuer = Issuer(
            policy=core.policy,
            keyring=core.settings.keyring,
            store=core.store,
            limits=LimitStore(core.redis),
            recorder=core.recorder,
            asker=_RevokesTheLine(core, bank, f"{path(psu)}/{line}"),
            assessor=core.assessor(),
        )
        order = ChallengeOrder(psu["id"], Purpose.LOGIN, channels=(WantedStep(Channel.SMS),))
        view = await issuer.issue(Caller("bank", "req_12345678"), order)
    read = await bank.get(view.state.id)
    assert (view.state.status, read["status"]) == ("cancelled", "cancelled")
    assert read["reason"] == "authenticator_revoked"


# --- devices


class _Revokes:
    """The device is asked for and found active; then it is revoked, before the script hears of its answer."""

    def __init__(self, core: Core, bank: Bank, place: str, verb: str) -> None:
        self._devices = core.signing_devices()
        self._bank = bank
        self._place = place
        self._verb = verb

    async def keeps(self, device: KnownDevice, challenge: str) -> bool:
        """As it was a moment ago."""
        is_active = await self._devices.keeps(device, challenge)
        place = self._place if self._verb == "DELETE" else f"{self._place}/suspend"
        withdrawn = await self._bank.http.request(self._verb, place, json={})
        assert withdrawn.status_code in {200, 204}
        return is_active


@pytest.mark.parametrize("verb", ["DELETE", "POST"])
async def test_what_a_device_answered_before_its_revocation_comes_too_late_after_it(
    bank: Bank, service: Deployment, verb: str
) -> None:
    """RTS Art. 27: the process stood still in between; another device is asked too, so the challenge is still open."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    other = await one_more(bank, psu, device)
    issued = await asked(bank, psu)
    challenge = ChallengeId.parse(issued["id"])
    assert challenge is not None
    signed = device.approval(issued, issued["matching_digits"])
    async with a_core(service) as core:
        row = await AuthenticatorStore(core.postgres).of_anybody(device.id)
        assert row is not None
        answers = DeviceAnswers(
            policy=core.policy,
            keyring=core.settings.keyring,
            store=core.store,
            archive=core.archive,
            recorder=core.recorder,
            devices=_Revokes(core, bank, f"{path(psu)}/{device.id}", verb),
            assessor=core.assessor(),
            clock=core.clock,
        )
        with pytest.raises(InvalidProof):
            await answers.answer(
                KnownDevice(row, DeviceKey.parse(device.jwk)), "req_12345678", challenge, signed
            )
    assert await other.approve(issued) == "approved"
    if verb == "POST":
        await bank.http.post(f"{path(psu)}/{device.id}/resume", json={})
        assert await device.approve(await asked(bank, psu)) == "approved"


async def test_what_a_device_reads_is_kept_by_nobody_on_the_way(bank: Bank) -> None:
    """A cache tells requests apart by their URL: it would hand one payer's payments to any other's device."""
    psu = unique_psu()
    device = await enrolled(bank, psu)
    issued = await asked(bank, psu)
    for place in ("/challenges", f"/challenges/{issued['id']}"):
        assert (await device.call("GET", place)).headers["cache-control"] == "no-store"


async def test_who_does_not_know_the_code_learns_nothing_of_the_device(bank: Bank) -> None:
    """Its id travels in every proof and stands in the log: it opens neither the payer's label nor times."""
    psu = unique_psu()
    device, code = await enrol(bank, psu)
    stranger = Device()
    stranger.id, stranger.url = device.id, device.url
    tried = [(await stranger.activate(WRONG_CODE)).json()]
    assert (await device.activate(code)).json()["authenticator"]["label"] == "Anna's phone"
    await asked(bank, psu)
    tried.append((await stranger.activate(WRONG_CODE)).json())
    assert [one["outcome"] for one in tried] == ["incorrect", "not_pending"]
    for one in tried:
        told = one["authenticator"]
        assert "Anna" not in json.dumps(one)
        assert (told["unlocked_by"], told["activated_at"], told["used_at"]) == (None, None, None)


async def test_strangers_leave_nothing_in_redis(bank: Bank, service: Deployment, redis: Redis) -> None:
    """Whoever makes a key may sign proofs with it: they are remembered for what could be activated only."""
    device, code = await enrol(bank, unique_psu())
    stranger = Device()
    stranger.url, stranger.id = device.url, f"aut_{secrets.token_hex(16)}"
    body = {"authenticator": stranger.id, "activation_code": code}
    proof = stranger.proof("POST", f"{stranger.url}/activate", json.dumps(body).encode(), shows_key=True)
    before = {key async for key in redis.scan_iter("device_proof:*")}
    refused = [await stranger.call("POST", "/activate", body, proof=proof) for _ in range(2)]
    assert [one.status_code for one in refused] == [404, 404]
    assert {key async for key in redis.scan_iter("device_proof:*")} <= before


async def test_an_empty_suite_is_no_suite(bank: Bank) -> None:
    """It was read as left out, which nothing behind it expected: 500."""
    body = {"type": "ocra", "label": "Anna", "suite": ""}
    response = await bank.http.post(path(unique_psu()), json=body)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/suite")


async def test_a_challenge_has_one_authentication_code_whatever_redis_loses(
    bank: Bank, service: Deployment, redis: Redis
) -> None:
    """Decision 6: approved, lost, approved once more and contradicted; then a receipt for its push comes in.

    What that puts on record is the challenge as Redis has it, with the approval that was refused.
    """
    psu = unique_psu()
    device = await enrolled(bank, psu)
    issued = await asked(bank, psu)
    name, challenge = issued["id"], ChallengeId.parse(issued["id"])
    assert challenge is not None
    before = await redis.get(challenge_key(name))
    assert before is not None
    assert await device.answered(name, device.approval(issued, issued["matching_digits"])) == ("approved", 4)
    code = (await bank.get(name))["authentication_code"]
    assert code is not None
    await redis.set(challenge_key(name), before)
    for _ in range(4):  # what Redis has is newer than what is on record
        await device.answered(name, device.approval(issued, wrong(issued["matching_digits"])))
    again = await device.answered(name, device.approval(issued, issued["matching_digits"]))
    assert again[0] == "already_used"
    async with a_core(service) as core:
        revived = await core.store.get(challenge)
        await core.recorder.commit(challenge.partition, Reply("changed", revived))
    assert (await bank.get(name))["authentication_code"] == code
    await redis.delete(challenge_key(name))
    assert (await bank.get(name))["authentication_code"] == code


# --- streams


class _Still:
    """A challenge that never changes. A class because it is `Readings`."""

    async def get(self, call: Call, challenge_id: str) -> HttpAnswer:
        """Pending for ever."""
        return HttpAnswer(200, b'{"status":"pending"}')


async def test_one_clients_streams_leave_room_for_the_others() -> None:
    """A backend that never closes what it opened is turned away itself, and nobody else is."""
    streams = ChallengeStreams(_Still())
    greedy, other = (
        Call(Client(name, frozenset()), "req_12345678", "/", b"", None) for name in ("greedy", "other")
    )
    at_once = [await streams.follow(greedy, "chl_1", "") for _ in range(MOST_STREAMS)]
    told = [await anext(one, b"") for one in at_once]
    assert (len([one for one in told if one]), told[-1]) == (MOST_OF_A_CLIENT, b"")
    with pytest.raises(Overloaded):
        await streams.follow(greedy, "chl_1", "")
    stream = await streams.follow(other, "chl_1", "")
    assert await anext(stream)
    for one in (*at_once, stream):
        await one.aclose()  # type: ignore[attr-defined]


# --- the sandbox's page


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"])
async def test_what_came_through_a_proxy_gets_no_keys(service: Deployment, header: str) -> None:
    """A tunnel or proxy on this machine is a peer on loopback, and may write our own name into `Host`."""
    (service.folder / "sandbox.json").write_text(
        json.dumps({"clients": {name: {"api_key": key} for name, key in service.keys.items()}}), "utf-8"
    )
    keys = SandboxKeys(service.folder / "sandbox.json")
    app = Litestar(
        ROUTES,
        dependencies={"sandbox_keys": Provide(lambda: keys, sync_to_thread=False)},
        exception_handlers={Exception: on_exception},
        openapi_config=None,
    )
    transport = httpx.ASGITransport(cast("Any", app), client=("127.0.0.1", 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        own = await client.get("/sandbox/keys", headers={"Sec-Fetch-Site": "same-origin"})
        through = await client.get(
            "/sandbox/keys", headers={"Sec-Fetch-Site": "same-origin", header: "for=192.0.2.9"}
        )
    assert (own.status_code, through.status_code) == (200, 404)
