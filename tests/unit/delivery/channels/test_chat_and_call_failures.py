"""Twilio Calls, Vonage Voice, RCS and WhatsApp against a server that behaves as badly as a supplier can."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sca_service.delivery.channels.kinds import make_reader, make_supplier
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.supplier import FailureReason, Supplier, SupplierFailure
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.secret import Secret
from tests.adapters import NUMBER, words_of
from tests.rude_server import RudeServer
from tests.unit.delivery.channels.examples import CODE, EXAMPLES, KEY, PATH_OF_KEYS, TWILIO, Example

every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.kind)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """A client of its own, closed afterwards."""
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
async def server() -> AsyncIterator[RudeServer]:
    """The server."""
    async with RudeServer() as server:
        yield server


async def supplier_at(example: Example, server: RudeServer, http: HttpClient) -> Supplier:
    """The supplier of an example at the server, which has taken one message already: keys are fetched."""
    server.answer_by(example.accept)
    supplier = make_supplier(example.context(server.url, http=http))
    await supplier.send(example.message())
    return supplier


async def failure(supplier: Supplier, example: Example) -> SupplierFailure:
    """How the next send fails; what it says holds no number, no code and no key."""
    with pytest.raises(SupplierFailure) as raised:
        await supplier.send(example.message())
    said = words_of(raised.value)
    assert not any(secret in said for secret in (NUMBER, NUMBER[1:], CODE, KEY, "ACME", "2, 7, 1"))
    return raised.value


@every_example
async def test_a_message_is_posted_once(example: Example, server: RudeServer, http: HttpClient) -> None:
    """One request to the API's path, and the supplier's acceptance."""
    server.answer_by(example.accept)
    supplier = make_supplier(example.context(server.url, http=http))
    accepted = await supplier.send(example.message())
    await supplier.close()
    assert supplier.name == f"example-{example.kind}"
    assert accepted.reference
    assert (accepted.segments, accepted.cost) == (1, None)
    assert [(one.method, one.path) for one in server.requests if one.path != PATH_OF_KEYS] == [
        ("POST", example.path)
    ]


@every_example
@pytest.mark.parametrize(
    ("status", "reason", "transient"),
    [
        (400, FailureReason.REJECTED, False),
        (403, FailureReason.REJECTED, False),
        (429, FailureReason.SUPPLIER_DOWN, True),
        (503, FailureReason.SUPPLIER_DOWN, True),
        (500, FailureReason.SUPPLIER_DOWN, False),
    ],
)
async def test_a_status_says_whether_the_message_may_be_sent_again(
    example: Example,
    server: RudeServer,
    http: HttpClient,
    status: int,
    reason: FailureReason,
    *,
    transient: bool,
) -> None:
    """Only what the supplier surely did not take may be: a throttle, not a server error."""
    supplier = await supplier_at(example, server, http)
    server.answer(status, b"not even JSON", {"Retry-After": "7"})
    failed = await failure(supplier, example)
    assert (failed.reason, failed.transient) == (reason, transient)
    assert failed.retry_after_ms == (7_000 if transient else 0)


@every_example
@pytest.mark.parametrize("rudeness", ["reset_next", "garbage_next", "half_next"])
async def test_a_message_that_was_written_is_not_sent_again(
    example: Example, server: RudeServer, http: HttpClient, rudeness: str
) -> None:
    """No answer, or one that breaks off: the supplier may have taken it."""
    supplier = await supplier_at(example, server, http)
    sent = len(server.requests)
    getattr(server, rudeness)()
    failed = await failure(supplier, example)
    assert (failed.reason, failed.transient) == (FailureReason.TIMEOUT, False)
    assert len(server.requests) == sent + 1


@every_example
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"[1, 2]", b"{}", b"\xff\xfe"])
async def test_a_success_that_cannot_be_read_is_no_success(
    example: Example, server: RudeServer, http: HttpClient, body: bytes
) -> None:
    """Nobody knows then whether the message was taken, so it is not sent again."""
    supplier = await supplier_at(example, server, http)
    server.answer(200, body)
    failed = await failure(supplier, example)
    assert (failed.reason, failed.transient) == (FailureReason.TIMEOUT, False)


@every_example
async def test_a_supplier_that_is_not_there_did_not_take_it(example: Example, http: HttpClient) -> None:
    """A refused connection is transient: the message may go to another supplier."""
    async with RudeServer() as server:
        supplier = await supplier_at(example, server, http)
    failed = await failure(supplier, example)
    assert (failed.reason, failed.transient) == (FailureReason.SUPPLIER_DOWN, True)


@every_example
def test_a_section_is_checked_when_it_is_read(example: Example) -> None:
    """Unknown options, an address in clear and missing secrets keep the service from starting, and no key is quoted."""
    with pytest.raises(ConfigurationError, match="https URL"):
        make_supplier(example.context("http://api.example"))
    context = example.context()
    for wrong in ({**context.rule.options, "sender_name": "x"}, {}):
        with pytest.raises(ConfigurationError, match=f"suppliers.toml:example-{example.kind}"):
            make_supplier(replace(context, rule=replace(context.rule, options=wrong)))
    for make in (make_supplier, make_reader):
        for secrets in ({}, {name: Secret("") for name in context.secrets}):
            with pytest.raises(ConfigurationError, match="SCA_SUPPLIER_EXAMPLE"):
                make(replace(context, secrets=secrets))


async def test_an_error_of_twilio_says_why(server: RudeServer, http: HttpClient) -> None:
    """A number that nobody can call is no device; a caller that is not ours is an unregistered sender."""
    supplier = await supplier_at(TWILIO, server, http)
    reasons = {
        21211: FailureReason.NO_DEVICE,
        21210: FailureReason.SENDER_UNREGISTERED,
        20001: FailureReason.REJECTED,
    }
    for status in (400, 200):
        for code, reason in reasons.items():
            server.answer(status, {"code": code, "message": "no", "status": 400})
            failed = await failure(supplier, TWILIO)
            assert (failed.reason, failed.transient) == (reason, False)
