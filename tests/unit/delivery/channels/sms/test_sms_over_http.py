"""The three SMS adapters over HTTP, each against a supplier that answers well, badly, late or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from sca_service.delivery.channels.kinds import make_supplier
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import FailureReason, Supplier, SupplierFailure
from sca_service.policy.model import Channel
from tests.adapters import DELIVERY, NUMBER, TEXT, adapter_context, text_message, words_of
from tests.rude_server import RudeServer

SECRET = "example-secret-of-a-supplier"
ACCOUNT = "AC" + "0" * 32


@dataclass(frozen=True, slots=True)
class Adapter:
    """One kind of supplier: how it is set up at a URL, and how the supplier says yes and no with a status of 200."""

    kind: str
    options: Callable[[str], Mapping[str, Any]]
    secrets: Mapping[str, str]
    taken: Any
    refused_inside: Any
    throttled_inside: Any


ADAPTERS = [
    Adapter(
        "twilio-messages",
        lambda url: {"account_sid": ACCOUNT, "base_url": url, "sender": "+4930900"},
        {"auth_token": SECRET},
        {"sid": "SM1", "status": "queued", "num_segments": "1", "price": None, "error_code": None},
        {"sid": "SM1", "status": "failed", "error_code": 21610, "error_message": NUMBER},
        {"sid": "SM1", "status": "failed", "error_code": 30001},
    ),
    Adapter(
        "kaleyra",
        lambda url: {"sid": "EXAMPLE1", "base_url": url, "sender": "BANKEX"},
        {"api_key": SECRET},
        {"id": "r1", "body": TEXT, "data": [{"message_id": "m1", "recipient": NUMBER}], "error": {}},
        {"id": "r1", "data": [], "error": {"to": f"{NUMBER} is invalid"}},
        {"id": "r1", "data": [], "error": {"message": "Too many requests"}},
    ),
    Adapter(
        "http-sms",
        lambda url: {
            "url": f"{url}/send",
            "headers": {"X-Api-Key": "{secret:api_key}"},
            "body": {"to": "{to}", "text": "{text}", "ref": "{delivery_id}"},
            "answer": {
                "id": "/messages/0/id",
                "status": "/messages/0/status",
                "accepted": ["queued"],
                "transient": ["throttled"],
                "permanent": ["refused"],
            },
        },
        {"api_key": SECRET},
        {"messages": [{"id": "m1", "status": "QUEUED"}]},
        {"messages": [{"id": "m1", "status": "refused", "to": NUMBER}]},
        {"messages": [{"status": "throttled"}]},
    ),
]
DOWN = (FailureReason.SUPPLIER_DOWN, True)
DOWN_FOR_GOOD = (FailureReason.SUPPLIER_DOWN, False)
TIMEOUT = (FailureReason.TIMEOUT, False)
REJECTED = (FailureReason.REJECTED, False)


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.kind)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """One adapter after the other."""
    found: Adapter = request.param
    return found


@pytest.fixture
async def server(adapter: Adapter) -> AsyncIterator[RudeServer]:
    """A supplier that takes messages unless told otherwise."""
    async with RudeServer() as server:
        server.answer(200, adapter.taken)
        yield server


@pytest.fixture
async def supplier(adapter: Adapter, server: RudeServer) -> AsyncIterator[Supplier]:
    """The adapter, connected to the supplier."""
    http = HttpClient()
    context = adapter_context(adapter.kind, adapter.options(server.url), adapter.secrets, http=http)
    supplier = make_supplier(context)
    yield supplier
    await supplier.close()
    await http.close()


async def failure(supplier: Supplier) -> SupplierFailure:
    """What a send that has to fail fails with; neither number, text, code nor secret is in the error."""
    with pytest.raises(SupplierFailure) as raised:
        await supplier.send(text_message())
    said = words_of(raised.value)
    for secret in (NUMBER, NUMBER[1:], TEXT, "271828", "ACME", SECRET):
        assert secret not in said
    return raised.value


async def outcome(supplier: Supplier) -> tuple[FailureReason, bool]:
    """The failure's reason, and whether another try is welcome."""
    failed = await failure(supplier)
    return failed.reason, failed.transient


async def test_taken(supplier: Supplier, server: RudeServer, adapter: Adapter) -> None:
    """The supplier's own reference comes back; number, text and our delivery went out, in the body only."""
    accepted = await supplier.send(text_message())
    assert accepted.reference in ("SM1", "m1")
    assert (accepted.segments, accepted.cost) == (1, None)
    assert (supplier.name, supplier.channel) == (f"example-{adapter.kind}", Channel.SMS)
    (request,) = server.requests
    sent = request.json() if adapter.kind == "http-sms" else request.form()
    assert NUMBER in sent.values()
    assert TEXT in sent.values()
    assert DELIVERY in request.body.decode()
    assert NUMBER[1:] not in request.target
    assert SECRET not in request.target


async def test_the_same_delivery_has_the_same_reference(supplier: Supplier, server: RudeServer) -> None:
    """A repeated send is the same request byte for byte."""
    await supplier.send(text_message())
    await supplier.send(text_message())
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, DOWN_FOR_GOOD),
        (400, REJECTED),
        (401, DOWN),
        (403, REJECTED),
        (404, REJECTED),
        (422, REJECTED),
        (500, DOWN_FOR_GOOD),
        (502, DOWN_FOR_GOOD),
        (503, DOWN),
        (504, TIMEOUT),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>Sorry</html>", {"message": f"{NUMBER}: {TEXT}"}])
async def test_statuses(
    supplier: Supplier, server: RudeServer, status: int, expected: tuple[FailureReason, bool], body: Any
) -> None:
    """An HTTP status alone, whatever comes with it, says whether another try is welcome; one request was made."""
    server.answer(status, body)
    assert await outcome(supplier) == expected
    assert len(server.requests) == 1


async def test_429_says_when_to_come_back(supplier: Supplier, server: RudeServer) -> None:
    """The supplier's wish is handed on."""
    server.answer(429, b"", {"Retry-After": "7"})
    failed = await failure(supplier)
    assert (failed.reason, failed.transient, failed.retry_after_ms) == (*DOWN, 7_000)


async def test_a_refusal_inside_a_success(supplier: Supplier, server: RudeServer, adapter: Adapter) -> None:
    """200 with an error inside is an error, for good."""
    server.answer(200, adapter.refused_inside)
    assert await outcome(supplier) == REJECTED


async def test_a_throttle_inside_a_success(supplier: Supplier, server: RudeServer, adapter: Adapter) -> None:
    """200 with a wish for fewer messages inside is one that may be tried again."""
    server.answer(200, adapter.throttled_inside)
    assert await outcome(supplier) == DOWN


@pytest.mark.parametrize(
    "body",
    [b"", b"OK", b"<html>", [], {}, None, {"messages": [], "data": []}, {"data": 7}, b"\xff", b"[" * 50_000],
)
async def test_a_success_that_nobody_can_read(supplier: Supplier, server: RudeServer, body: Any) -> None:
    """It may have been taken: it is not sent again."""
    server.answer(200, body)
    assert await outcome(supplier) == TIMEOUT


async def test_connections_that_end(supplier: Supplier, server: RudeServer) -> None:
    """Reset after reading, garbage, half an answer: each request was made once, and is not made again."""
    for be_rude in (server.reset_next, server.garbage_next, server.half_next):
        be_rude()
        assert await outcome(supplier) == TIMEOUT
    assert len(server.requests) == 3


async def test_a_connection_reset_unread(supplier: Supplier, server: RudeServer) -> None:
    """Reset at once, the message is taken over another connection, or nobody knows; never twice."""
    server.reset_next(read=False)
    try:
        await supplier.send(text_message())
    except SupplierFailure as failed:
        assert failed.reason in (FailureReason.TIMEOUT, FailureReason.SUPPLIER_DOWN)
    assert len(server.requests) <= 1


async def test_an_endless_answer(supplier: Supplier, server: RudeServer) -> None:
    """It is cut off, and cannot be read."""
    server.endless_next()
    assert await outcome(supplier) == TIMEOUT


async def test_the_dispatchers_deadline(supplier: Supplier, server: RudeServer) -> None:
    """Cancelled while the supplier takes its time, the send ends; the next one is taken."""
    server.delay_next(60)
    sending = asyncio.create_task(supplier.send(text_message()))
    await server.received(1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await supplier.send(text_message())).reference


async def test_nobody_is_there(adapter: Adapter) -> None:
    """A refused connection took nothing."""
    async with RudeServer() as gone:
        options = adapter.options(gone.url)
    http = HttpClient()
    assert (
        await outcome(make_supplier(adapter_context(adapter.kind, options, adapter.secrets, http=http)))
        == DOWN
    )
    await http.close()


async def test_many_at_once(supplier: Supplier, server: RudeServer) -> None:
    """Two hundred messages at a time all get there, over a bounded number of connections."""
    await asyncio.gather(*(supplier.send(text_message(delivery_id=f"dlv_{n}")) for n in range(200)))
    assert len({request.body for request in server.requests}) == 200
    assert server.connections <= 64


def test_a_supplier_shows_no_secret(adapter: Adapter) -> None:
    """Neither the adapter nor what it is built with tells a secret."""
    context = adapter_context(adapter.kind, adapter.options("https://supplier.example"), adapter.secrets)
    assert SECRET not in repr(context)
    assert SECRET not in repr(make_supplier(context))
