"""The client for Python against the running service: its calls are the API's, and what is lost is not done twice."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType

import httpx2
import pytest

from sca_service.client import (
    ApprovalRefused,
    Approvals,
    AsyncSca,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Patience,
    Sca,
    Unauthorised,
    Unavailable,
    alerts,
    analytics,
    audit,
    authenticators,
    cards,
    challenges,
    exemptions,
    fraud,
    payers,
    pumping,
    webhooks,
)
from sca_service.client.shapes import PsuForm, TransactionForm
from tests.client_contract import Contract, calls_of, made
from tests.harness import Bank, Deployment, unique_psu, wrong

MODULES: tuple[ModuleType, ...] = (
    alerts, analytics, audit, authenticators, cards, challenges, exemptions, fraud, payers, pumping, webhooks,
)  # fmt: skip
PAYMENT: TransactionForm = {
    "amount": {"currency": "EUR", "amount": "49.99"},
    "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
}
NOT_OF_A_BACKEND = (
    "/device/",
    "/sandbox/",
    "/receipts/",
    "/log/tile/",
    "/l/",
    "/healthz",
    "/readyz",
    "/metrics",
)
"""What apps, suppliers, payers, machines and verifiers of the log call."""


def new_psu() -> PsuForm:
    """A payer whom no other test has."""
    psu = unique_psu()
    return {"id": psu["id"], "phone": psu["phone"], "locale": psu["locale"]}


@pytest.fixture
def sca(service: Deployment) -> Iterator[Sca]:
    """A bank's backend."""
    with Sca(service.api.url, service.keys["bank"], timeout_seconds=30) as sca:
        yield sca


@pytest.fixture
async def async_sca(service: Deployment) -> AsyncIterator[AsyncSca]:
    """A bank's backend on an event loop."""
    async with AsyncSca(service.api.url, service.keys["bank"], timeout_seconds=30) as sca:
        yield sca


@pytest.fixture
async def contract(bank: Bank) -> Contract:
    """What the API says of itself."""
    return Contract((await bank.http.get("/openapi.json")).json())


async def test_the_client_has_every_call_of_a_backend_and_no_other(contract: Contract) -> None:
    """What the API describes can be called, and what can be called is described: member by member."""
    calls = [function for module in MODULES for function in calls_of(module)]
    faults = {f"{one.__module__}.{one.__name__}": contract.faults_of(one) for one in calls}
    assert {name: found for name, found in faults.items() if found} == {}
    reached = {contract.place_of(made(one)) for one in calls}
    wanted = {place for place in contract.operations if not place[1].startswith(NOT_OF_A_BACKEND)}
    assert reached == wanted


async def test_the_comparison_finds_what_differs(contract: Contract) -> None:
    """A member too many, one that is missing, and another type are seen."""
    operation = contract.operations["POST", "/v1/challenges/{}/verify"]
    answer = contract._resolved(operation["responses"]["200"]["content"]["application/json"]["schema"])
    answer["properties"]["attempts_left"] = {"type": "string"}
    answer["properties"]["challenge"] = {"type": "object", "properties": {"id": {"type": "string"}}}
    form = contract._resolved(operation["requestBody"]["content"]["application/json"]["schema"])
    del form["properties"]["pin"]
    assert [fault.partition(" ")[0] for fault in contract.faults_of(challenges.verify)] == [
        "body", "/attempts_left:", "/challenge:",
    ]  # fmt: skip


async def test_a_payment_from_issue_to_proof(async_sca: AsyncSca, bank: Bank) -> None:
    """Issue, answer wrongly and rightly, believe the authentication code, and only for this payment."""
    psu = new_psu()
    assert psu["phone"]
    challenge = await async_sca.call(
        challenges.issue(
            psu=psu,
            purpose="payment",
            transaction=PAYMENT,
            channels=[{"channel": "sms"}],
        )
    )
    typed = await bank.code(psu["phone"])
    missed = await async_sca.call(challenges.verify(challenge.id, code=wrong(typed), transaction=PAYMENT))
    assert (missed.outcome, missed.attempts_left, missed.authentication_code) == ("incorrect", 4, None)
    approved = await async_sca.call(challenges.verify(challenge.id, code=typed, transaction=PAYMENT))
    assert (approved.outcome, approved.challenge.status) == ("approved", "approved")
    assert approved.authentication_code is not None
    assert challenge.transaction is not None
    approvals = Approvals(await async_sca.call(audit.keys()), issuer="https://sca.example", client="bank")
    digest = challenge.transaction.digest
    assert approvals.knows(approved.authentication_code)
    believed = approvals.read(approved.authentication_code, challenge=challenge.id, transaction=digest)
    assert (believed.sub, believed.purpose) == (psu["id"], "payment")
    code, now = approved.authentication_code, time.time()
    refusals: tuple[Callable[[], object], ...] = (
        lambda: approvals.read(code, challenge="chl_other", transaction=digest),
        lambda: approvals.read(code, challenge=challenge.id, transaction="sha256:0"),
        lambda: approvals.read(code, challenge=challenge.id, transaction=digest, now_seconds=now + 301),
        lambda: approvals.read(f"{code[:-8]}AAAAAAAA", challenge=challenge.id, transaction=digest),
        lambda: approvals.read("no code", challenge=challenge.id, transaction=digest),
    )
    for refused in refusals:
        with pytest.raises(ApprovalRefused):
            refused()


def test_a_challenge_is_followed_to_its_end(sca: Sca) -> None:
    """`listen` tells the challenge as it stands, and ends with its final status."""
    challenge = sca.call(challenges.issue(psu=new_psu(), purpose="login"))
    heard = []
    for seen in sca.listen(challenges.follow(challenge.id)):
        heard.append(seen.status)
        if len(heard) == 1:
            sca.call(challenges.cancel(challenge.id))
    assert heard[0] == "pending"
    assert heard[-1] == "cancelled"


async def test_a_challenge_is_followed_on_an_event_loop(async_sca: AsyncSca) -> None:
    """The same for callers that do not wait."""
    challenge = await async_sca.call(challenges.issue(psu=new_psu(), purpose="login"))
    await async_sca.call(challenges.cancel(challenge.id))
    assert [seen.status async for seen in async_sca.listen(challenges.follow(challenge.id))] == ["cancelled"]


async def test_lists_are_read_to_their_end(sca: Sca, async_sca: AsyncSca) -> None:
    """`each` goes from page to page; the newest challenge comes first."""
    psu = new_psu()
    made = [sca.call(challenges.issue(psu=psu, purpose="login")).id for _ in range(3)]
    every = challenges.find(psu=psu["id"], limit=1)
    assert [one.id for one in sca.each(every)] == made[::-1]
    assert [one.id async for one in async_sca.each(every)] == made[::-1]


def test_a_log_is_exported_part_by_part(service: Deployment) -> None:
    """What may be large is not held in memory at once."""
    with Sca(service.api.url, service.keys["auditor"], timeout_seconds=30) as sca:
        lines = b"".join(sca.parts(audit.export(format_="jsonl", type_="client.created"))).splitlines()
        with pytest.raises(Invalid):
            list(sca.parts(audit.export(format_="papyrus")))
    assert all(line.startswith(b"{") for line in lines)


class _LosesAnswers(httpx2.BaseTransport):
    """A network on which the answers to the first requests never arrive, though the service has decided."""

    def __init__(self, lost: int) -> None:
        self._inner = httpx2.HTTPTransport()
        self._lost = lost
        self.sent = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it, and lose what comes back as long as answers are to be lost."""
        self.sent += 1
        response = self._inner.handle_request(request)
        if self.sent <= self._lost:
            response.read()
            response.close()
            raise httpx2.ReadError("cut off", request=request)
        return response

    def close(self) -> None:
        self._inner.close()


def test_an_answer_that_was_lost_is_asked_for_again_and_nothing_is_done_twice(
    service: Deployment, sca: Sca
) -> None:
    """A call that is sent again under its key is the same request: one challenge, not two."""
    psu, network = new_psu(), _LosesAnswers(1)
    with Sca(service.api.url, service.keys["bank"], timeout_seconds=30, transport=network) as unlucky:
        issued = unlucky.call(challenges.issue(psu=psu, purpose="login"))
    assert network.sent == 2
    assert [one.id for one in sca.each(challenges.find(psu=psu["id"]))] == [issued.id]


def test_what_would_be_done_twice_is_not_sent_again(service: Deployment, sca: Sca) -> None:
    """The next channel is asked for once: the caller is told that nobody knows what became of it."""
    challenge = sca.call(challenges.issue(psu=new_psu(), purpose="login"))
    network = _LosesAnswers(1)
    with (
        Sca(service.api.url, service.keys["bank"], timeout_seconds=30, transport=network) as unlucky,
        pytest.raises(Unavailable),
    ):
        unlucky.call(challenges.next_channel(challenge.id))
    assert network.sent == 1


def test_patience_ends(service: Deployment) -> None:
    """After so many tries the caller hears that the service is not there."""
    network = _LosesAnswers(99)
    with (
        Sca(service.api.url, "x", transport=network, patience=Patience(tries=3)) as unlucky,
        pytest.raises(Unavailable),
    ):
        unlucky.call(audit.checkpoint())
    assert network.sent == 3


def test_each_fault_is_what_a_caller_does_about_it(service: Deployment, sca: Sca) -> None:
    """Problems are told by classes; their text says what is wrong, and not what was sent."""
    number = "+4915112345678x"
    with pytest.raises(Invalid) as invalid:
        sca.call(challenges.issue(psu={"id": "cust_1", "phone": number}, purpose="login"))
    assert invalid.value.problem.errors[0].pointer == "/psu/phone"
    assert number not in str(invalid.value)
    with pytest.raises(NotFound):
        sca.call(challenges.read("chl_unknown"))
    with pytest.raises(Forbidden):
        sca.call(audit.events())
    with Sca(service.api.url, "wrong") as stranger, pytest.raises(Unauthorised):
        stranger.call(challenges.find())
    challenge = sca.call(challenges.issue(psu=new_psu(), purpose="login", channels=[{"channel": "sms"}]))
    with pytest.raises(Conflict) as conflict:
        sca.call(challenges.next_channel(challenge.id, reason="user_request"))
    assert conflict.value.problem.code == "no-more-channels"


def test_what_is_told_once_is_not_shown_by_repr(sca: Sca) -> None:
    """Seeds, secrets and what was sent do not get into a caller's log by themselves."""
    enrolled = sca.call(authenticators.enrol(new_psu()["id"], type_="totp", label="Anna"))
    assert enrolled.otpauth_uri is not None
    assert "otpauth" not in repr(enrolled)
    call = challenges.verify("chl_1", code="693554", pin="1234")
    assert "693554" not in repr(call)
    assert "1234" not in repr(call)
