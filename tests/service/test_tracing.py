"""One challenge, one trace: from the bank's own trace over the api and the worker to the receipt and the answer."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.architecture.leaks import Canaries
from tests.collector import Collector, SpanSeen
from tests.device import asked, enrolled
from tests.harness import TRANSACTION, Deployment, code_in, unique_psu, wrong
from tests.ports import free_port

pytest.importorskip("opentelemetry.proto", reason="the extra `otlp` is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
PSU = "kundin-gelbfeder-spur"
REFERENCE = "Futterrechnung-4711"


@dataclass(slots=True)
class Told:
    """What a collector was sent of a service that was stopped, and what had gone through it."""

    bodies: list[bytes] = field(default_factory=list)
    spans: list[SpanSeen] = field(default_factory=list)
    approved: str = ""
    stepped: str = ""
    signed: str = ""
    phones: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def of(self, challenge: str) -> dict[str, list[SpanSeen]]:
        """The spans of a challenge by their names."""
        found: dict[str, list[SpanSeen]] = {}
        for span in self.spans:
            if span.attributes["sca.challenge"] == challenge:
                found.setdefault(span.name, []).append(span)
        return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Three challenges through an api and a worker; what waits is sent when they are stopped."""
    told = Told()
    with Collector() as collector:
        deployment = Deployment(tmp_path_factory.mktemp("traced"), more_settings=collector.settings())
        deployment.start_stores()
        try:
            port = free_port()
            deployment.start("worker", port=port)
            deployment.start("api", port=port)
            asyncio.run(_approve(deployment, told))
            asyncio.run(_step(deployment, told))
            asyncio.run(_sign(deployment, told))
        finally:
            deployment.stop()
        told.bodies, told.spans = collector.bodies, collector.spans()
    yield told


async def _approve(deployment: Deployment, told: Told) -> None:
    """A challenge by SMS, answered wrongly by the short way and rightly by the framework's."""
    psu, transaction = unique_psu() | {"id": PSU}, TRANSACTION | {"reference": REFERENCE}
    async with deployment.bank() as bank:
        bank.http.headers.update(PARENT)
        challenge = await bank.issue(psu=psu, transaction=transaction)
        code = code_in((await bank.message(psu["phone"]))["text"])
        await bank.settled(challenge["id"])
        assert (await bank.verify(challenge["id"], wrong(code), transaction))["outcome"] == "incorrect"
        path = f"/v1/challenges/{challenge['id']}/verify/"
        answered = await bank.http.post(path, json={"code": code, "transaction": transaction})
        assert answered.json()["outcome"] == "approved"
    told.approved = challenge["id"]
    told.phones.append(psu["phone"])
    told.codes.append(code)


async def _step(deployment: Deployment, told: Told) -> None:
    """A challenge whose SMS no supplier takes, so that it is spoken; its bank has no trace of its own."""
    psu = unique_psu()
    async with deployment.bank() as bank:
        await bank.script("sms", "error")
        challenge = await bank.issue(psu=psu, channels=[{"channel": "sms"}, {"channel": "voice"}])
        await bank.settled(challenge["id"], status="answered")
    told.stepped = challenge["id"]
    told.phones.append(psu["phone"])


async def _sign(deployment: Deployment, told: Told) -> None:
    """A challenge that the payer's device approves."""
    psu = unique_psu()
    async with deployment.bank() as bank:
        device = await enrolled(bank, psu)
        issued = await asked(bank, psu)
        assert await device.approve(issued) == "approved"
    told.signed = issued["id"]
    told.phones.append(psu["phone"])


def test_every_span_of_a_challenge_is_in_its_trace(told: Told) -> None:
    """Those of the api and those of the worker: in the trace that the challenge's id tells, below its issue."""
    digest = hashlib.sha256(told.approved.encode()).hexdigest()
    spans = told.of(told.approved)
    assert {name: len(found) for name, found in spans.items()} == {
        "challenge.issue": 1,
        "risk.assess": 1,
        "delivery.attempt": 1,
        "delivery.receipt": 1,
        "challenge.verify": 2,
    }
    (issue,) = spans.pop("challenge.issue")
    assert (issue.trace, issue.span, issue.parent) == (digest[:32], digest[32:48], "")
    below = [span for found in spans.values() for span in found]
    assert {(span.trace, span.parent) for span in below} == {(issue.trace, issue.span)}
    assert len({span.span for span in below}) == len(below)


def test_the_callers_trace_is_linked(told: Told) -> None:
    """By both ways through the api; what nobody called for has no link."""
    spans = told.of(told.approved)
    for name in ("challenge.issue", "challenge.verify"):
        assert {span.cause for span in spans[name]} == {(TRACE, SPAN)}
    for name in ("risk.assess", "delivery.attempt", "delivery.receipt"):
        assert {span.cause for span in spans[name]} == {("", "")}
    assert told.of(told.stepped)["challenge.issue"][0].cause == ("", "")


def test_spans_say_what_happened(told: Told) -> None:
    """In words of closed sets, ids and a country; and nothing else."""
    spans = told.of(told.approved)
    said = {name: [dict(span.attributes) for span in found] for name, found in spans.items()}
    challenge = {"sca.challenge": told.approved}
    delivery = challenge | {"sca.delivery": f"dlv_{told.approved[4:]}01", "sca.supplier": "sandbox-sms"}
    assert said["challenge.issue"] == [
        challenge | {"sca.purpose": "payment", "sca.method": "one_time_code", "sca.status": "pending"}
    ]
    assert said["risk.assess"] == [challenge | {"sca.decision": "challenge"}]
    assert said["delivery.attempt"] == [
        delivery | {"sca.channel": "sms", "sca.attempt": 1, "sca.outcome": "sent", "sca.country": "DE"}
    ]
    assert said["delivery.receipt"] == [delivery | {"sca.channel": "sms", "sca.outcome": "delivered"}]
    assert sorted(one["sca.outcome"] for one in said["challenge.verify"]) == ["approved", "incorrect"]
    assert not any(span.has_failed for found in spans.values() for span in found)
    assert all(span.took_ns >= 0 for span in told.spans)


def test_an_attempt_that_failed_says_so(told: Told) -> None:
    """With its reason, and beside the one that came to something."""
    attempts = told.of(told.stepped)["delivery.attempt"]
    by_channel = {str(span.attributes["sca.channel"]): span for span in attempts}
    assert by_channel["sms"].has_failed
    assert by_channel["sms"].attributes["sca.outcome"] == "failed"
    assert by_channel["sms"].attributes["sca.reason"] == "rejected"
    assert not by_channel["voice"].has_failed
    assert by_channel["voice"].attributes["sca.outcome"] == "sent"


def test_an_answer_of_a_device_is_in_the_trace(told: Told) -> None:
    """It came from the payer's phone: no bank's trace is linked."""
    spans = told.of(told.signed)
    (issue,), (verify,) = spans["challenge.issue"], spans["challenge.verify"]
    assert (verify.trace, verify.parent) == (issue.trace, issue.span)
    assert (verify.attributes["sca.outcome"], verify.cause) == ("approved", ("", ""))


def test_no_span_holds_anything_of_a_person(told: Told) -> None:
    """No number, payee, account, reference, payer or code in any byte that the collector was sent."""
    canaries = Canaries(
        numbers=frozenset(phone[3:] for phone in told.phones),
        texts=frozenset({PSU, REFERENCE, "ACME GmbH", "DE89370400440532013000", "370400440532013000"}),
    )
    assert told.approved.encode() in b"".join(told.bodies)
    for body in told.bodies:
        assert canaries.found_in(body) == []
    said = [str(value) for span in told.spans for value in span.attributes.values()]
    assert not any(code == one for one in said for code in told.codes)
