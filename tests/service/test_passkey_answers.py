"""What comes as a passkey's answer: payments that the browser showed (SPC), what is no answer, and many at once.

What is asserted of parallel answers is asserted of a broken version as well, and has to fail there before it counts.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from sca_service.audit.offline.evidence import check_evidence
from sca_service.audit.offline.findings import Refused
from sca_service.audit.offline.signed_answer import check_signed_answer
from sca_service.challenges.answer import Answer
from sca_service.challenges.authentication_code import AuthenticationCodeSigner
from sca_service.challenges.evaluate import Evaluator
from sca_service.challenges.issue import Caller
from sca_service.challenges.model import ChallengeId, ChallengeState
from sca_service.challenges.verify import Verifier
from sca_service.core import Core, open_core
from sca_service.kernel.ids import new_id
from sca_service.kernel.transaction import Transaction
from sca_service.limits.calm import Calm
from sca_service.limits.redis_store import LimitStore
from sca_service.settings import read_settings
from tests.device import Device
from tests.generator import path
from tests.harness import TRANSACTION, Bank, Deployment, Role, order, unique_psu
from tests.passkey import INSTRUMENT, SETTINGS, Passkey, enrolled, login, payment, post, start_api, verify
from tests.service.test_races import ReadThenWriteStore, UnguardedRecorder
from tests.soft_passkey import ORIGIN, base64url
from tests.valkeys import raw_async_client
from tests.volley import Post, Volley

ANSWERS = 50


@pytest.fixture(scope="module")
def apis(service: Deployment) -> Iterator[tuple[Role, Role]]:
    """Two apis that take passkeys, beside the one that takes none."""
    roles = start_api(service), start_api(service)
    yield roles
    for role in roles:
        role.stop()
        service.forget(role)


@pytest.fixture
async def bank(service: Deployment, apis: tuple[Role, Role]) -> AsyncIterator[Bank]:
    """A bank that calls the first of them."""
    async with service.bank(url=apis[0].url) as bank:
        yield bank


async def shown_payment(bank: Bank, passkey: Passkey | None = None) -> tuple[dict[str, Any], Passkey]:
    """A payment that the browser is to show, and the payer's passkey."""
    psu = unique_psu()
    _, held = await enrolled(bank, psu, passkey, for_payments=True)
    return await payment(bank, psu, instrument=INSTRUMENT), held


async def test_a_payment_that_the_browser_showed_is_confirmed(bank: Bank) -> None:
    """SPC section 9.1: amount, payee and instrument as the challenge has them, in the signature itself."""
    challenge, passkey = await shown_payment(bank)
    request = challenge["payment_request"]
    (method,) = request["methods"]
    assert (method["supportedMethods"], method["data"]["payeeName"]) == (
        "secure-payment-confirmation",
        "ACME GmbH",
    )
    assert method["data"]["instrument"] == {
        "displayName": INSTRUMENT["name"],
        "icon": INSTRUMENT["icon"],
        "iconMustBeShown": True,
    }
    assert method["data"]["challenge"] == challenge["passkey_request"]["challenge"]
    assert request["details"]["total"]["amount"] == {"currency": "EUR", "value": "49.99"}
    told = await verify(bank, challenge, passkey.confirmed(request))
    assert (told["outcome"], told["challenge"]["sca"]) == ("approved", True)


@pytest.mark.parametrize("shown", [True, False], ids=["in the browser", "in the page"])
async def test_the_evidence_holds_what_the_passkey_signed(
    bank: Bank, service: Deployment, *, shown: bool
) -> None:
    """An auditor verifies the signature over challenge and payment, by the key that was enrolled."""
    challenge, passkey = await shown_payment(bank)
    answer = (
        passkey.confirmed(challenge["payment_request"])
        if shown
        else passkey.answer(challenge["passkey_request"])
    )
    assert (await verify(bank, challenge, answer))["outcome"] == "approved"
    async with service.bank(client="auditor") as auditor:
        response = await auditor.evidence(challenge["id"])
        wanted = {"psu": challenge["psu"]["id"], "type": "authenticator.activated"}
        found = await auditor.http.get("/v1/audit/events", params=wanted)
    (event,) = [one for one in check_evidence(response.content, []).events if one.signed]
    assert event.signed is not None
    assert (event.signed.by, event.signed.decision) == ("passkey", "approve")
    assert event.signed.thumbprint in {one.get("key") for one in found.json()["data"]}
    other = passkey.answer({"challenge": base64url(bytes(32))})
    for changed in (
        {"passkey_nonce": base64.b64encode(bytes(32)).decode()},
        {"passkey_answer": json.dumps(other)},
        {"passkey_answer": "{}"},
        {"passkey_key": json.dumps(Device().jwk)},
    ):
        with pytest.raises(Refused):
            check_signed_answer(event.members, event.disclosed | changed, challenge["transaction"]["digest"])
    with pytest.raises(Refused):
        check_signed_answer(event.members, event.disclosed, "sha256:" + "ab" * 32)


async def test_a_browser_without_it_confirms_the_same_payment(bank: Bank) -> None:
    """The page falls back to a plain assertion over the same bytes; the bank's page shows the payment then."""
    challenge, passkey = await shown_payment(bank)
    answer = passkey.answer(challenge["passkey_request"])
    assert (await verify(bank, challenge, answer))["outcome"] == "approved"


@pytest.mark.parametrize(
    ("client", "changed"),
    [
        ({}, {"payeeName": "ACME GmbH "}),
        ({}, {"payeeName": "Acme GmbH"}),
        ({}, {"payeeName": None}),
        ({}, {"payeeOrigin": ORIGIN}),
        ({}, {"total": {"currency": "EUR", "value": "49.98"}}),
        ({}, {"total": {"currency": "USD", "value": "49.99"}}),
        ({}, {"total": None}),
        ({}, {"instrument": {"displayName": "Savings", "icon": INSTRUMENT["icon"]}}),
        ({}, {"instrument": {"displayName": INSTRUMENT["name"], "icon": "https://bank.example/other.png"}}),
        ({}, {"instrument": {"displayName": INSTRUMENT["name"], "icon": ""}}),
        ({}, {"topOrigin": "https://evil.example"}),
        ({}, {"rpId": "evil.example"}),
        ({}, {"paymentEntitiesLogos": [{"url": "https://evil.example/logo.png", "label": "Bank"}]}),
        ({"origin": "https://evil.example"}, {}),
        ({"topOrigin": "https://evil.example", "crossOrigin": True}, {}),
        ({"challenge": "A" * 43}, {}),
        ({"payment": None}, {}),
    ],
)
async def test_a_payment_that_was_shown_otherwise_is_not_confirmed(
    bank: Bank, client: dict[str, Any], changed: dict[str, Any]
) -> None:
    """RTS Art. 5(1): one cent or one letter; it costs an attempt, and what was shown rightly is approved after it."""
    challenge, passkey = await shown_payment(bank)
    wrong = passkey.confirmed(challenge["payment_request"], client=client, **changed)
    told = await verify(bank, challenge, wrong)
    assert (told["outcome"], told["attempts_left"]) == ("incorrect", 4)
    right = await verify(bank, challenge, passkey.confirmed(challenge["payment_request"]))
    assert right["outcome"] == "approved"


async def test_a_shown_payment_from_before_shows_a_copy(bank: Bank) -> None:
    """A counter that goes back counts here too (WebAuthn section 6.1.1)."""
    challenge, passkey = await shown_payment(bank)
    passkey.soft.sign_count = 4
    told = await verify(bank, challenge, passkey.confirmed(challenge["payment_request"]))
    assert told["outcome"] == "approved"
    psu = challenge["psu"]
    challenge = await payment(bank, psu, instrument=INSTRUMENT)
    passkey.soft.sign_count = 4
    told = await verify(bank, challenge, passkey.confirmed(challenge["payment_request"]))
    assert told["outcome"] == "incorrect"
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert seen["state"] == "suspended"


BATCH = {
    "total": {"currency": "EUR", "amount": "30.00"},
    "payees": [
        {"payee": {"name": name}, "amount": {"currency": "EUR", "amount": amount}}
        for name, amount in (("ACME GmbH", "10.00"), ("Bolt AG", "20.00"))
    ],
}


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"transaction": BATCH}, "/instrument"),
        ({"purpose": "login", "transaction": None}, "/instrument"),
        ({"method": "one_time_code"}, "/instrument"),
        ({"method": "device_signature"}, "/instrument"),
        ({"instrument": INSTRUMENT | {"icon": "http://bank.example/card.png"}}, "/instrument/icon"),
        ({"instrument": INSTRUMENT | {"icon": "data:image/png;base64,AA=="}}, "/instrument/icon"),
        ({"instrument": INSTRUMENT | {"icon": "https://bank.example/\n"}}, "/instrument/icon"),
        ({"instrument": INSTRUMENT | {"name": ""}}, "/instrument/name"),
        ({"instrument": INSTRUMENT | {"name": "x" * 141}}, "/instrument/name"),
        ({"instrument": INSTRUMENT | {"colour": "red"}}, "/instrument/colour"),
        ({"channels": [{"channel": "sms"}]}, "/channels"),
    ],
)
async def test_what_a_browser_cannot_show_is_refused(
    bank: Bank, members: dict[str, Any], pointer: str
) -> None:
    """When the challenge is issued, with its place; nothing is issued."""
    psu = unique_psu()
    await enrolled(bank, psu)
    wanted = {"psu": psu, "method": "passkey", "channels": None, "instrument": INSTRUMENT} | members
    response = await bank.http.post("/v1/challenges", json=order(**wanted))
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer), response.text
    assert (await bank.http.get("/v1/challenges", params={"psu": psu["id"]})).json()["data"] == []


def respelled(answer: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The same answer with other members in its response."""
    return answer | {"response": answer["response"] | members}


def deep(levels: int) -> str:
    """What a browser says, with something in it that is nested so deep."""
    text = '{"type":"webauthn.get","challenge":"A","origin":"B","x":' + "[" * levels + "]" * levels + "}"
    return base64url(text.encode())


async def test_what_is_no_answer_of_a_browser_costs_no_attempt(bank: Bank) -> None:
    """A 422 at the member, before anything is looked at; the right answer is approved after all of them."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge = await login(bank, psu)
    right = passkey.answer(challenge["passkey_request"])
    signature = right["response"]["signature"]
    for wrong in (
        {},
        {"id": "AA"},
        right | {"type": "password"},
        right | {"rawId": right["rawId"] + "="},
        right | {"id": "AA"},
        right | {"id": "", "rawId": ""},
        right | {"id": base64url(bytes(1024)), "rawId": base64url(bytes(1024))},
        right | {"response": None},
        right | {"response": {}},
        respelled(right, clientDataJSON="A"),
        respelled(right, clientDataJSON=base64url(b"[]")),
        respelled(right, clientDataJSON=base64url(b"\xff")),
        respelled(right, clientDataJSON=deep(3000)),
        respelled(right, authenticatorData="="),
        respelled(right, signature=signature + "="),
        respelled(right, signature=signature + "ä"),
        respelled(right, signature=7),
        right | {"padding": "x" * 17_000},
    ):
        response = await post(bank, challenge, wrong, None)
        assert response.status_code == 422, wrong
        assert [one["pointer"] for one in response.json()["errors"]] == ["/passkey"], wrong
    strange: list[tuple[Any, int]] = [([], 422), ("", 422), (7, 422), ({"x": "y" * 70_000}, 413)]
    for other, status in strange:
        assert (await post(bank, challenge, other, None)).status_code == status
    assert (await bank.get(challenge["id"]))["attempts_left"] == 5
    assert (await verify(bank, challenge, right, None))["outcome"] == "approved"


async def test_an_answer_of_another_kind_costs_no_attempt(bank: Bank) -> None:
    """A code for a passkey, a passkey for a code, both at once, a PIN that nobody asked for, or nothing at all."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge, by_sms = await login(bank, psu), await bank.issue(psu=psu, purpose="login", transaction=None)
    answer = passkey.answer(challenge["passkey_request"])
    for one, body, pointer in (
        (challenge, {"code": "123456"}, "/passkey"),
        (challenge, {"code": "123456", "passkey": answer}, "/passkey"),
        (challenge, {"passkey": answer, "pin": "493817"}, "/pin"),
        (challenge, {"passkey": answer, "transaction": TRANSACTION}, "/transaction"),
        (challenge, {}, "/code"),
        (by_sms, {"passkey": answer}, "/code"),
    ):
        response = await bank.http.post(f"/v1/challenges/{one['id']}/verify", json=body)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer), body
    for one in (challenge, by_sms):
        assert (await bank.get(one["id"]))["attempts_left"] == 5
    assert (await verify(bank, challenge, answer, None))["outcome"] == "approved"


async def test_another_clients_answer_is_not_found(
    bank: Bank, service: Deployment, apis: tuple[Role, Role]
) -> None:
    """It uses up nothing: the counter stands where it stood, and the right client is approved."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu)
    challenge = await login(bank, psu)
    answer = passkey.answer(challenge["passkey_request"])
    async with service.bank(url=apis[0].url, client="other-bank") as stranger:
        assert (await post(stranger, challenge, answer, None)).status_code == 404
    assert (await verify(bank, challenge, answer, None))["outcome"] == "approved"


def assert_one_is_approved(outcomes: Counter[str]) -> None:
    """Exactly one of many right answers."""
    assert outcomes == {"approved": 1, "already_used": ANSWERS - 1}


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.race
async def test_of_fifty_parallel_answers_one_is_approved(
    bank: Bank, service: Deployment, apis: tuple[Role, Role], counts: bool
) -> None:
    """One assertion, fifty times at once over two processes, in five rounds; it is no sign of a copy."""
    psu = unique_psu()
    _, passkey = await enrolled(bank, psu, Passkey(counts=counts))
    async with Volley([role.url for role in apis], service.keys["bank"], connections=ANSWERS) as volley:
        for _ in range(5):
            challenge = await payment(bank, psu)
            body = {"passkey": passkey.answer(challenge["passkey_request"]), "transaction": TRANSACTION}
            replies = await volley.fire([Post(f"/v1/challenges/{challenge['id']}/verify", body)] * ANSWERS)
            assert_one_is_approved(Counter(reply.body["outcome"] for reply in replies))
    (seen,) = (await bank.http.get(path(psu))).json()["data"]
    assert seen["state"] == "active"


class LookThenWriteStore(ReadThenWriteStore):
    """Broken: two look before the first writes, as they sooner or later would. Inherits to differ in this one way."""

    def __init__(self, redis: Redis, core: Core) -> None:
        super().__init__(redis, core)
        self._looked = asyncio.Barrier(2)

    async def get(self, challenge: ChallengeId) -> ChallengeState | None:
        """The state as it was a moment ago."""
        state = await super().get(challenge)
        with suppress(asyncio.BrokenBarrierError):
            await self._looked.wait()
            await self._looked.abort()
        return state


async def test_read_then_write_approves_an_assertion_many_times(bank: Bank, service: Deployment) -> None:
    """Without the script, and without the guard behind it, what is asserted above does not hold."""
    challenge, passkey = await shown_payment(bank, Passkey())
    answer = msgspec.json.encode(passkey.answer(challenge["passkey_request"]))
    outcomes = await _answered_brokenly(service, challenge, answer)
    assert outcomes["approved"] > 1
    with pytest.raises(AssertionError):
        assert_one_is_approved(outcomes)


async def test_two_answers_that_count_alike_are_never_both_approved(
    bank: Bank, service: Deployment, apis: tuple[Role, Role]
) -> None:
    """A copy answers one challenge while the passkey answers another: one is approved, and neither any more."""
    async with Volley([role.url for role in apis], service.keys["bank"], connections=2) as volley:
        for _ in range(10):
            psu = unique_psu()
            _, passkey = await enrolled(bank, psu)
            challenges, posts = [await login(bank, psu), await login(bank, psu)], []
            for challenge in challenges:
                passkey.soft.sign_count = 6
                body = {"passkey": passkey.answer(challenge["passkey_request"])}
                posts.append(Post(f"/v1/challenges/{challenge['id']}/verify", body))
            replies = await volley.fire(posts)
            assert sorted(reply.body["outcome"] for reply in replies) == ["approved", "incorrect"]
            (seen,) = (await bank.http.get(path(psu))).json()["data"]
            assert seen["state"] == "suspended"


async def _answered_brokenly(service: Deployment, challenge: dict[str, Any], answer: bytes) -> Counter[str]:
    """Fifty answers at once to a verifier that reads, decides and writes."""
    before, service.more_settings = service.more_settings, (*service.more_settings, *SETTINGS)
    settings = read_settings(service.config(service.api.port, metrics_port=1))
    service.more_settings = before
    parsed = ChallengeId.parse(challenge["id"])
    assert parsed is not None
    members = {name: value for name, value in challenge["transaction"].items() if name != "digest"}
    transaction = Transaction.from_canonical(msgspec.json.encode(members, order="sorted"))
    async with open_core(settings) as core, raw_async_client(service.servers.valkey.url) as redis:
        store = LookThenWriteStore(redis, core)
        recorder = UnguardedRecorder(
            writer=core.writer, outbox=core.outbox, archive=core.archive, store=core.store
        )
        evaluator = Evaluator(
            keyring=settings.keyring,
            store=core.store,
            generators=core.generators(),
            pins=core.pins(),
            passkeys=core.passkeys(),
        )
        verifier = Verifier(
            policy=core.policy,
            keyring=settings.keyring,
            store=store,
            archive=core.archive,
            recorder=recorder,
            signer=AuthenticationCodeSigner(settings.keyring, settings.issuer),
            conversions=core.router,
            evaluator=evaluator,
            uses=core.generators(),
            assessor=core.assessor(),
            limits=LimitStore(core.redis),
            calm=Calm(LimitStore(core.redis), core.settings.keyring),
            clock=core.clock,
        )

        async def once() -> str:
            caller = Caller("bank", new_id("req"))
            told = await verifier.verify(caller, parsed, Answer(None, transaction, passkey=answer))
            return told.outcome.value

        return Counter(await asyncio.gather(*(once() for _ in range(ANSWERS))))
